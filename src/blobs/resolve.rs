//! Following a path from a root.

use cid::Cid;
use rustdht_core::ports::{BlobError, Fetch, MAX_PATH_SEGMENTS, PathError, Resolved};

use crate::{
    blocks::Blocks,
    hamt::{self, Shard, Slot},
    value::{Codec, Step},
    view::{View, Viewed},
};

/// Most blocks on the way: segments, and the shards and values of nothing but a link between them.
const MAX_PATH_BLOCKS: usize = 16 * MAX_PATH_SEGMENTS;
/// Longest segment in bytes. File systems take 255; a link must fit into a block of 2 MiB.
const MAX_SEGMENT_BYTES: usize = 64 << 10;

/// A path that was followed.
pub(crate) struct End {
    /// The block at its end; not loaded, unless the path ends inside of it.
    pub(crate) cid: Cid,
    roots: Vec<Cid>,
    remainder: Vec<String>,
}

/// Refuses segments that no entry has.
pub(crate) fn check(path: &[String]) -> Result<(), PathError> {
    let bad = |why: String| Err(PathError::BadPath(why));
    if path.len() > MAX_PATH_SEGMENTS {
        return bad(format!("a path of more than {MAX_PATH_SEGMENTS} segments"));
    }
    for segment in path {
        if matches!(segment.as_str(), "" | "." | "..") {
            return bad(format!("a path with the segment \"{segment}\""));
        }
        if segment.len() > MAX_SEGMENT_BYTES {
            return bad(format!("a segment of more than {MAX_SEGMENT_BYTES} bytes"));
        }
    }
    Ok(())
}

/// Follows a path. `trail` gets the blocks on the way in the order in which they were read, the one at the end left out;
/// of a path that leads nowhere, all that were read.
pub(crate) async fn follow(
    blocks: &Blocks,
    root: &Cid,
    path: &[String],
    fetch: Fetch,
    trail: &mut Vec<Cid>,
) -> Result<End, PathError> {
    check(path)?;
    let mut end = End { cid: *root, roots: vec![*root], remainder: Vec::new() };
    let mut rest = path;
    while let Some((segment, after)) = rest.split_first() {
        let block = read(blocks, &end.cid, fetch, trail).await?;
        let none = |segment: &String, under| PathError::NoLink { segment: segment.clone(), under };
        let under = end.cid;
        let mut taken = 1;
        end.cid = match Viewed::of(&end.cid, &block)?.view {
            View::Directory(node) | View::Links(node) => {
                let link = node.links.into_iter().find(|link| link.name == segment.as_bytes());
                link.ok_or_else(|| none(segment, under))?.cid
            }
            View::Shard(shard) => {
                let found = in_shards(blocks, shard, segment, fetch, trail).await?;
                found.ok_or_else(|| none(segment, under))?
            }
            View::File(_) | View::Symlink(_) => return Err(none(segment, under)),
            View::Value => {
                let codec = Codec::of(under.codec()).ok_or_else(|| none(segment, under))?;
                let value = codec.read(&block).map_err(|why| {
                    PathError::Blob(BlobError::NotAFile(format!("block {under} is not of its codec: {why}")))
                })?;
                match value.follow(rest) {
                    Step::Nowhere(found) => return Err(none(&rest[found], under)),
                    Step::Link(cid, segments) => {
                        // What lies inside of the block has the block as its root.
                        end.roots.extend(std::iter::repeat_n(under, segments.saturating_sub(1)));
                        taken = segments;
                        cid
                    }
                    Step::Inside => {
                        end.roots.extend(std::iter::repeat_n(under, rest.len()));
                        end.remainder = rest.to_vec();
                        trail.pop();
                        return Ok(end);
                    }
                }
            }
        };
        rest = if taken == 1 { after } else { &rest[taken..] };
        if taken > 0 {
            end.roots.push(end.cid);
        }
    }
    Ok(end)
}

/// The entry of a name in a sharded directory.
async fn in_shards(
    blocks: &Blocks,
    root: Shard,
    name: &str,
    fetch: Fetch,
    trail: &mut Vec<Cid>,
) -> Result<Option<Cid>, PathError> {
    let (hash, bits) = (hamt::hash(name.as_bytes()), root.bits);
    let (mut shard, mut consumed) = (root, 0);
    loop {
        let slot = hamt::slot(hash, consumed, bits);
        let slot = slot.ok_or_else(|| {
            PathError::Blob(BlobError::NotADirectory("a sharded directory that is deeper than its hash".into()))
        })?;
        let next = match shard.get(slot) {
            None => return Ok(None),
            Some(Slot::Entry { name: held, link }) => return Ok((held == name.as_bytes()).then_some(link.cid)),
            Some(Slot::Shard(link)) => link.cid,
        };
        let block = read(blocks, &next, fetch, trail).await?;
        consumed += bits;
        shard = match Viewed::of(&next, &block)?.view {
            View::Shard(shard) if shard.bits == bits => shard,
            _ => {
                let why = format!("block {next} is no shard of the directory that links it");
                return Err(BlobError::NotADirectory(why).into());
            }
        };
    }
}

async fn read(blocks: &Blocks, cid: &Cid, fetch: Fetch, trail: &mut Vec<Cid>) -> Result<bytes::Bytes, PathError> {
    if trail.len() >= MAX_PATH_BLOCKS {
        return Err(BlobError::Bounded(format!("a path through more than {MAX_PATH_BLOCKS} blocks")).into());
    }
    let block = blocks.load(cid, fetch).await?;
    trail.push(*cid);
    Ok(block)
}

/// Follows a path and says what is at its end.
pub(crate) async fn resolve(blocks: &Blocks, root: &Cid, path: &[String], fetch: Fetch) -> Result<Resolved, PathError> {
    let end = follow(blocks, root, path, fetch, &mut Vec::new()).await?;
    let block = blocks.load(&end.cid, fetch).await?;
    let viewed = Viewed::of(&end.cid, &block)?;
    let (kind, size) = viewed.kind(&end.cid);
    let End { cid, roots, remainder } = end;
    Ok(Resolved { cid, kind, size, roots, remainder, modified_s: viewed.modified_s })
}
