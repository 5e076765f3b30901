//! A tar of a file, directory or symbolic link (POSIX.1-2001: ustar headers, with pax records for what does not fit).
//!
//! Nothing in it depends on when or where it was made: owner and group are zero, and so is the time of what has none.

mod header;

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, stream};
use rustdht_core::ports::{BlobError, BoxByteStream, Fetch, MAX_PATH_SEGMENTS};

use self::header::{BLOCK_BYTES, Member};
use crate::{
    blocks::Blocks,
    directory::{Entry, Listing},
    view::{View, Viewed},
    walk::Walk,
};

/// Entries that wait to be written, of all levels together; about 200 bytes each.
const MAX_WAITING: usize = 1 << 18;
/// Longest path of an entry in bytes.
const MAX_PATH_BYTES: usize = 64 << 10;

struct Tar {
    blocks: Arc<Blocks>,
    /// The root, until it is written.
    root: Option<Cid>,
    name: String,
    /// Directories that are open, and their paths.
    open: Vec<(String, Listing)>,
    /// Bytes of the file that is being written, and how many of them are still to come.
    file: Option<(BoxByteStream, u64)>,
    ready: VecDeque<Bytes>,
    ended: bool,
}

/// Streams the tar of what is under `cid`, as an entry of this name.
pub(crate) async fn tar(blocks: Arc<Blocks>, cid: &Cid, name: String) -> Result<BoxByteStream, BlobError> {
    if joined("", name.as_bytes(), "")? != name {
        return Err(outside(&name));
    }
    // The error of a root that leads out is told before the stream begins.
    let block = blocks.load(cid, Fetch::Allowed).await?;
    match Viewed::of(cid, &block)?.view {
        View::Links(_) | View::Value => return Err(BlobError::NotAFile(format!("block {cid} is not UnixFS"))),
        root @ (View::Directory(_) | View::Shard(_)) => {
            let listing = Listing::new(Arc::clone(&blocks), *cid, root)?;
            for entry in listing.known() {
                joined(&name, entry, &name)?;
            }
        }
        View::File(_) | View::Symlink(_) => {}
    }
    let tar =
        Tar { blocks, root: Some(*cid), name, open: Vec::new(), file: None, ready: VecDeque::new(), ended: false };
    Ok(stream::unfold(Some(tar), |tar| async {
        let mut tar = tar?;
        match tar.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(tar))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed())
}

impl Tar {
    async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Ok(Some(bytes));
            }
            if let Some((bytes, left)) = &mut self.file {
                if let Some(piece) = bytes.next().await {
                    return piece.map(Some);
                }
                let padding = left.next_multiple_of(BLOCK_BYTES as u64) - *left;
                self.file = None;
                self.ready.push_back(Bytes::from_static(&[0; BLOCK_BYTES]).slice(..padding as usize));
                continue;
            }
            if let Some(root) = self.root.take() {
                let name = self.name.clone();
                self.member(&root, name).await?;
                continue;
            }
            match self.open.last_mut() {
                Some((path, listing)) => match listing.next().await? {
                    Some(Entry { name, link }) => {
                        let path = joined(path, &name, &self.name)?;
                        self.member(&link.cid, path).await?;
                    }
                    None => drop(self.open.pop()),
                },
                None if self.ended => return Ok(None),
                None => {
                    self.ended = true;
                    // Two blocks of zeros end an archive.
                    self.ready.push_back(Bytes::from_static(&[0; 2 * BLOCK_BYTES]));
                }
            }
        }
    }

    async fn member(&mut self, cid: &Cid, path: String) -> Result<(), BlobError> {
        let block = self.blocks.load(cid, Fetch::Allowed).await?;
        let Viewed { view, mode, modified_s } = Viewed::of(cid, &block)?;
        let member = |mode| Member { path: &path, size: 0, mode, modified_s: modified_s.unwrap_or(0), link: None };
        match view {
            View::File(node) => {
                let size = node.size_bytes;
                self.ready.push_back(Member { size, ..member(mode.unwrap_or(0o644)) }.file().into());
                let bytes = if size == 0 {
                    stream::empty().boxed()
                } else {
                    Walk::new(Arc::clone(&self.blocks), node, 0..size).into_stream()
                };
                self.file = Some((bytes, size));
            }
            root @ (View::Directory(_) | View::Shard(_)) => {
                self.ready.push_back(member(mode.unwrap_or(0o755)).directory().into());
                let listing = Listing::new(Arc::clone(&self.blocks), *cid, root)?;
                let held: usize = self.open.iter().map(|(_, listing)| listing.held()).sum();
                if self.open.len() >= MAX_PATH_SEGMENTS || held + listing.held() > MAX_WAITING {
                    let why = format!("a directory tree too deep or too wide for a tar, at {cid}");
                    return Err(BlobError::Bounded(why));
                }
                self.open.push((path, listing));
            }
            View::Symlink(target) => {
                let target = String::from_utf8_lossy(&target);
                let link = Some(&*target);
                self.ready.push_back(Member { link, ..member(mode.unwrap_or(0o777)) }.symlink().into());
            }
            View::Links(_) | View::Value => return Err(BlobError::NotAFile(format!("block {cid} is not UnixFS"))),
        }
        Ok(())
    }
}

fn outside(path: &str) -> BlobError {
    BlobError::BadName(format!("\"{path}\" leads out of the archive: take it as a CAR"))
}

/// The path of an entry, without `.` and `..`. Names may hold slashes and still stay below `root`, as Kubo lets them.
fn joined(directory: &str, name: &[u8], root: &str) -> Result<String, BlobError> {
    let name = String::from_utf8_lossy(name);
    let whole = format!("{directory}/{name}");
    let mut parts = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().ok_or_else(|| outside(&name))?),
            part if part.contains('\0') => return Err(BlobError::BadName(format!("{part:?} holds a zero byte"))),
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    let below = root.is_empty() || path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    match below {
        false => Err(outside(&name)),
        true if path.len() > MAX_PATH_BYTES => {
            Err(BlobError::Bounded(format!("a path of more than {MAX_PATH_BYTES} bytes")))
        }
        true => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_root() {
        for (directory, name, path) in [
            ("r", "a", "r/a"),
            ("r/d", "../f", "r/f"),
            ("r/d", "x/../y", "r/d/y"),
            ("r", "/a", "r/a"),
            ("r", "..a", "r/..a"),
            ("r", "", "r"),
        ] {
            assert_eq!(joined(directory, name.as_bytes(), "r").unwrap(), path, "{name}");
        }
        for (directory, name) in
            [("r", "../a"), ("r", "../rx"), ("r", "../../../../etc"), ("r/d", "../.."), ("r", "a\0b")]
        {
            assert!(matches!(joined(directory, name.as_bytes(), "r"), Err(BlobError::BadName(_))), "{name}");
        }
    }
}
