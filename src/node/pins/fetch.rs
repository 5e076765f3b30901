//! Bringing a DAG here, whole: what is here is read, what is not is fetched, each block once.
//!
//! The block store walks; this end reads the archive that it makes of the walk, for the CIDs and lengths in it. Blocks pass
//! through and are let go of: the store keeps those that it fetched.

use std::{sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use cid::Cid;
use futures::StreamExt;
use rustdht_core::ports::{BlobError, CarOptions, DagScope, DagStore, PathError, Root};
use tokio::time::timeout;

use super::MAX_CID_BYTES;

/// Longest head of a section: its length, a varint, and a CID.
const MAX_HEAD_BYTES: usize = 10 + 4 * 10 + 64;

/// Why a DAG is not here.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may be had later.
    Again(String),
    /// It will never be.
    Never(String),
}

impl From<BlobError> for Failure {
    fn from(error: BlobError) -> Self {
        let text = error.to_string();
        match error {
            // A peer sent something else, or nobody has it, or the disk is full: all of that passes.
            BlobError::Missing(_) | BlobError::BadBlock(_) | BlobError::Storage(_) => Self::Again(text),
            _ => Self::Never(text),
        }
    }
}

impl From<PathError> for Failure {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Blob(error) => error.into(),
            other => Self::Never(other.to_string()),
        }
    }
}

/// Walks a DAG until all of it is here and durable. `seen` is told each block with its length, and may end it. No step
/// may take longer than `patience`.
pub(super) async fn fetch(
    blobs: &Arc<dyn DagStore>,
    root: Root,
    patience: Duration,
    mut seen: impl FnMut(&Cid, u64) -> Result<(), Failure> + Send,
) -> Result<(), Failure> {
    let slow = |_| Failure::Again(format!("no block came for {} s", patience.as_secs()));
    let unwritten = blobs.unwritten();
    let scope = if root.recursive { DagScope::All } else { DagScope::Block };
    // The root may stand in its CID: then no section tells of it.
    seen(&root.cid, 0)?;
    let options = CarOptions { scope, ..CarOptions::default() };
    let mut archive = timeout(patience, blobs.car(&root.cid, &[], options)).await.map_err(slow)??;
    let mut sections = Sections::default();
    while let Some(piece) = timeout(patience, archive.next()).await.map_err(slow)? {
        let mut piece = piece?;
        while let Some((cid, bytes)) = sections.next(&mut piece)? {
            seen(&cid, bytes)?;
        }
    }
    if !sections.is_between() {
        return Err(Failure::Again("the walk ended inside of a block".to_owned()));
    }
    // Blocks that were fetched are not flushed one by one.
    blobs.flush().await?;
    if blobs.unwritten() != unwritten {
        return Err(Failure::Again("a block could not be written here: is the disk full?".to_owned()));
    }
    Ok(())
}

/// Reads the heads of the sections of a CAR v1, piece by piece.
#[derive(Debug, Default)]
struct Sections {
    head: Vec<u8>,
    /// Bytes of a block, or of the archive's header, that are passed over.
    skip: u64,
    begun: bool,
}

impl Sections {
    /// The next block of which `piece` holds the whole head; `None`: the piece is used up.
    fn next(&mut self, piece: &mut Bytes) -> Result<Option<(Cid, u64)>, Failure> {
        loop {
            let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece.len());
            piece.advance(passed);
            self.skip -= passed as u64;
            if piece.is_empty() {
                return Ok(None);
            }
            self.head.push(piece.get_u8());
            let Some((len, rest)) = varint(&self.head) else {
                if self.head.len() > 9 {
                    return Err(damaged());
                }
                continue;
            };
            if !self.begun {
                self.begun = true;
                self.skip = len;
                self.head.clear();
                continue;
            }
            let mut unread = rest;
            match Cid::read_bytes(&mut unread) {
                Ok(cid) => {
                    let cid_len = (rest.len() - unread.len()) as u64;
                    let bytes = len.checked_sub(cid_len).ok_or_else(damaged)?;
                    self.skip = bytes;
                    self.head.clear();
                    return Ok(Some((cid, bytes)));
                }
                Err(_) if self.head.len() < MAX_HEAD_BYTES => {}
                Err(_) => return Err(damaged()),
            }
        }
    }

    /// Whether the last block ended.
    fn is_between(&self) -> bool {
        self.begun && self.head.is_empty() && self.skip == 0
    }
}

fn damaged() -> Failure {
    Failure::Never("the block store's archive cannot be read".to_owned())
}

/// An unsigned varint and what follows; `None`: it is not whole.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

/// A CID that can be pinned at all fits a head.
const _: () = assert!(MAX_CID_BYTES + 10 <= MAX_HEAD_BYTES);

#[cfg(test)]
mod tests {
    use futures::stream;
    use proptest::prelude::*;
    use rustdht_core::ports::{AddOptions, BlobStore as _, DagStore as _};
    use rustdht_testkit::TempBlobs;

    use super::*;

    #[tokio::test]
    async fn every_block_is_told_once_whatever_the_pieces() {
        let blobs = TempBlobs::default();
        // Two equal chunks, another one, and the block above them.
        let body = [vec![7; 2 << 20], vec![8; 1000]].concat();
        let body = stream::iter([Ok(Bytes::from(body))]).boxed();
        let added = blobs.add(body, AddOptions::default()).await.unwrap();
        let archive: Vec<Bytes> =
            blobs.car(&added.cid, &[], CarOptions::default()).await.unwrap().map(Result::unwrap).collect().await;
        let whole = Bytes::from(archive.concat());
        let read = |cut: usize| {
            let mut sections = Sections::default();
            let mut found = Vec::new();
            for piece in whole.chunks(cut) {
                let mut piece = Bytes::copy_from_slice(piece);
                while let Some(block) = sections.next(&mut piece).unwrap() {
                    found.push(block);
                }
            }
            assert!(sections.is_between());
            found
        };
        let found = read(whole.len());
        let bytes: Vec<u64> = found.iter().map(|(_, bytes)| *bytes).collect();
        assert_eq!((found[0].0, bytes.len(), &bytes[1..]), (added.cid, 3, &[1 << 20, 1000][..]));
        for cut in [1, 7, 4096] {
            assert_eq!(read(cut), found, "{cut}");
        }
        let mut told = Vec::new();
        let store: Arc<dyn DagStore> = Arc::new(blobs);
        let root = Root { cid: added.cid, recursive: true };
        fetch(&store, root, Duration::from_secs(5), |cid, bytes| {
            told.push((*cid, bytes));
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(told[1..], found);
        let mut alone = 0;
        let root = Root { cid: added.cid, recursive: false };
        let count = |_: &Cid, bytes: u64| {
            alone += u64::from(bytes > 0);
            Ok(())
        };
        fetch(&store, root, Duration::from_secs(5), count).await.unwrap();
        assert_eq!(alone, 1);
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut sections = Sections::default();
            let mut piece = Bytes::from(bytes);
            while let Ok(Some(_)) = sections.next(&mut piece) {}
        }
    }
}
