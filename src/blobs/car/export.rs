//! Writing an archive of a path and what is below it.

use std::{
    collections::{HashMap, VecDeque, hash_map},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, stream};
use rustdht_core::ports::{BlobError, BoxByteStream, CarOptions, DagScope, EntityBytes, Fetch, PathError};

use super::header;
use crate::{
    ahead::Ahead,
    blocks::Blocks,
    digest::Place,
    hamt::{Shard, Slot},
    node::{Node, RAW},
    protobuf::put_varint,
    resolve,
    view::{View, Viewed, links},
};

/// Blocks loaded ahead.
const AHEAD_BLOCKS: usize = 8;
/// Links from the end of the path down, as boxo bounds them by default.
const MAX_DEPTH: u16 = 1024;
/// Links that wait to be followed, of all levels together; about 120 bytes each.
const MAX_WAITING: usize = 1 << 18;
/// Blocks that are remembered, so that none is written twice; about 25 bytes each.
const MAX_SEEN: usize = 1 << 22;
/// A block up to this length is copied behind its head; a longer one is a piece of its own.
const COPIED_BYTES: usize = 16 << 10;

/// How the links of a block are chosen.
#[derive(Clone, Copy)]
enum Follow {
    /// None of them.
    Nothing,
    /// All of them.
    Links,
    /// Those of a file that lie in a range; the block stands for the bytes from `start` to `end`.
    File { start: u64, end: u64 },
    /// The shards of a sharded directory.
    Shards,
}

/// A block that is to be written.
struct Waiting {
    cid: Cid,
    follow: Follow,
    depth: u16,
    load: Option<u64>,
}

struct Export {
    blocks: Arc<Blocks>,
    waiting: VecDeque<Waiting>,
    ahead: Ahead<Bytes>,
    /// Of a file, the bytes that are wanted.
    range: Range<u64>,
    /// What was written, and whether all that was wanted below it was or will be; absent when blocks may be written again.
    seen: Option<HashMap<[u8; 16], bool>>,
}

/// Streams the archive.
pub(crate) async fn export(
    blocks: Arc<Blocks>,
    root: &Cid,
    path: &[String],
    options: CarOptions,
) -> Result<BoxByteStream, PathError> {
    let mut trail = Vec::new();
    let mut export = Export {
        blocks,
        waiting: VecDeque::new(),
        ahead: Ahead::new(),
        range: 0..0,
        seen: (!options.duplicates).then(HashMap::new),
    };
    let root = match resolve::follow(&export.blocks, root, path, Fetch::Allowed, &mut trail).await {
        Ok(end) => {
            let block = export.blocks.load(&end.cid, Fetch::Allowed).await?;
            let follow = export.follow(&end.cid, &block, options)?;
            export.waiting.push_back(Waiting { cid: end.cid, follow, depth: 0, load: None });
            end.cid
        }
        // The blocks that were read show that the path leads nowhere.
        Err(PathError::NoLink { .. }) => empty(),
        Err(other) => return Err(other),
    };
    for cid in trail.into_iter().rev() {
        export.waiting.push_front(Waiting { cid, follow: Follow::Nothing, depth: 0, load: None });
    }
    let head = stream::iter([Ok(Bytes::from(header::encode(&root)))]);
    let sections = stream::unfold(Some(export), |export| async {
        let mut export = export?;
        match export.next().await {
            Ok(Some(pieces)) => Some((Ok(pieces), Some(export))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    let pieces = sections.flat_map(|section| {
        stream::iter(match section {
            Ok((head, block)) => [Some(Ok(head)), block.map(Ok)],
            Err(error) => [Some(Err(error)), None],
        })
    });
    Ok(head.chain(pieces.filter_map(std::future::ready)).boxed())
}

/// The CID of no bytes, inline: an archive should name a root even when there is none.
fn empty() -> Cid {
    #[expect(clippy::unwrap_used, reason = "no bytes fit into a multihash")]
    let hash = multihash::Multihash::wrap(0, &[]).unwrap();
    Cid::new_v1(RAW, hash)
}

impl Export {
    /// What is to be followed from the end of the path on.
    fn follow(&mut self, cid: &Cid, block: &Bytes, options: CarOptions) -> Result<Follow, BlobError> {
        match options.scope {
            DagScope::Block => return Ok(Follow::Nothing),
            DagScope::All => return Ok(Follow::Links),
            DagScope::Entity => {}
        }
        // What is not what it says has no entity beyond its block.
        Ok(match Viewed::of(cid, block).map(|viewed| viewed.view) {
            Ok(View::File(node)) => {
                self.range = range(options.bytes, node.size_bytes)?;
                Follow::File { start: 0, end: node.size_bytes }
            }
            Ok(View::Shard(_)) => Follow::Shards,
            Ok(_) | Err(_) => Follow::Nothing,
        })
    }

    /// The next section: its head, perhaps with the block behind it, and else the block.
    async fn next(&mut self) -> Result<Option<(Bytes, Option<Bytes>)>, BlobError> {
        loop {
            self.load_ahead();
            let Some(waiting) = self.waiting.pop_front() else { return Ok(None) };
            let (write, descend) = self.is_new(&waiting)?;
            if !write && !descend {
                continue;
            }
            let block = match waiting.load {
                Some(load) => self.ahead.take(load).await?,
                None => self.blocks.load(&waiting.cid, Fetch::Allowed).await?,
            };
            if descend {
                self.descend(&waiting, &block)?;
            }
            // What stands in its CID is in the archive already.
            if write && !matches!(Place::of(&waiting.cid), Place::Inline(_)) {
                return Ok(Some(section(&waiting.cid, block)));
            }
        }
    }

    /// Whether a block is to be written, and whether its links are to be followed.
    fn is_new(&mut self, waiting: &Waiting) -> Result<(bool, bool), BlobError> {
        let whole = match waiting.follow {
            Follow::File { start, end } => self.range.start <= start && end <= self.range.end,
            Follow::Nothing | Follow::Links | Follow::Shards => true,
        };
        let Some(seen) = &mut self.seen else { return Ok((true, true)) };
        // 128 bits of a hash of codec and multihash: who finds two alike leaves a block out of an archive of their own.
        let (cid, mut key) = (&waiting.cid, [0; 16]);
        let of = [&cid.codec().to_le_bytes()[..], &cid.hash().to_bytes()].concat();
        key.copy_from_slice(&blake3::hash(&of).as_bytes()[..16]);
        let full = seen.len() >= MAX_SEEN;
        match seen.entry(key) {
            // Met before, but then only a part of the file below it lay in the range.
            hash_map::Entry::Occupied(mut done) => {
                let again = !*done.get();
                *done.get_mut() |= whole;
                Ok((false, again))
            }
            hash_map::Entry::Vacant(_) if full => {
                let why =
                    format!("an archive of more than {MAX_SEEN} blocks without duplicates: ask for them (dups=y)");
                Err(BlobError::Bounded(why))
            }
            hash_map::Entry::Vacant(new) => {
                new.insert(whole);
                Ok((true, true))
            }
        }
    }

    fn descend(&mut self, waiting: &Waiting, block: &Bytes) -> Result<(), BlobError> {
        let cid = &waiting.cid;
        let children: Vec<(Cid, Follow)> = match waiting.follow {
            Follow::Nothing => return Ok(()),
            Follow::Links => links(cid, block)?.into_iter().map(|cid| (cid, Follow::Links)).collect(),
            Follow::File { start, .. } => self.in_range(start, Node::parse(cid, block).map_err(BlobError::NotAFile)?),
            Follow::Shards => match Viewed::of(cid, block)?.view {
                View::Shard(Shard { slots, .. }) => {
                    let shards = slots.into_iter().filter_map(|(_, slot)| match slot {
                        Slot::Shard(link) => Some((link.cid, Follow::Shards)),
                        Slot::Entry { .. } => None,
                    });
                    shards.collect()
                }
                _ => return Err(BlobError::NotADirectory(format!("block {cid} is no shard of a directory"))),
            },
        };
        if children.is_empty() {
            return Ok(());
        }
        if waiting.depth >= MAX_DEPTH {
            return Err(BlobError::Bounded(format!("a DAG of more than {MAX_DEPTH} levels, at block {cid}")));
        }
        if self.waiting.len() + children.len() > MAX_WAITING {
            return Err(BlobError::Bounded(format!("a DAG with more than {MAX_WAITING} links side by side")));
        }
        let depth = waiting.depth + 1;
        for (cid, follow) in children.into_iter().rev() {
            self.waiting.push_front(Waiting { cid, follow, depth, load: None });
        }
        Ok(())
    }

    /// The parts of a file's block that lie in the range.
    fn in_range(&self, start: u64, node: Node) -> Vec<(Cid, Follow)> {
        let mut at = start.saturating_add(node.data.len() as u64);
        let mut inside = Vec::new();
        if self.range.is_empty() {
            return inside;
        }
        for link in node.links {
            let end = at.saturating_add(link.span_bytes);
            if at < self.range.end && end > self.range.start && end > at {
                let leaf = link.cid.codec() == RAW;
                inside.push((link.cid, if leaf { Follow::Nothing } else { Follow::File { start: at, end } }));
            }
            at = end;
        }
        inside
    }

    fn load_ahead(&mut self) {
        for waiting in self.waiting.iter_mut().take(AHEAD_BLOCKS) {
            if waiting.load.is_none() && self.ahead.held() < AHEAD_BLOCKS {
                let (blocks, cid) = (Arc::clone(&self.blocks), waiting.cid);
                waiting.load = Some(self.ahead.start(async move { blocks.load(&cid, Fetch::Allowed).await }));
            }
        }
    }
}

/// The bytes that are asked for, as a range within a file of `size` bytes.
fn range(bytes: Option<EntityBytes>, size: u64) -> Result<Range<u64>, BlobError> {
    let Some(EntityBytes { from, to }) = bytes else { return Ok(0..size) };
    let at = |position: i64| match u64::try_from(position) {
        Ok(position) => position,
        Err(_) => size.saturating_sub(position.unsigned_abs()),
    };
    // A last byte before the first of all is none: -11 of ten bytes.
    let beyond = |to: i64| to < 0 && to.unsigned_abs() > size;
    let start = at(from);
    let end = match to {
        None => size,
        Some(to) if beyond(to) => 0,
        Some(to) => at(to).saturating_add(1),
    };
    if end < start && to.is_some() {
        return Err(BlobError::OutOfRange { size });
    }
    Ok(start.min(size)..end.min(size))
}

fn section(cid: &Cid, block: Bytes) -> (Bytes, Option<Bytes>) {
    let cid = cid.to_bytes();
    let mut head = Vec::with_capacity(cid.len() + 4 + if block.len() <= COPIED_BYTES { block.len() } else { 0 });
    put_varint(&mut head, (cid.len() + block.len()) as u64);
    head.extend(cid);
    if block.len() > COPIED_BYTES {
        return (head.into(), Some(block));
    }
    head.extend_from_slice(&block);
    (head.into(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_an_entity_are_cut_to_the_file() {
        let of = |from, to| range(Some(EntityBytes { from, to }), 10).ok();
        assert_eq!(range(None, 10).unwrap(), 0..10);
        for (from, to, expected) in [
            (0, None, Some(0..10)),
            (3, None, Some(3..10)),
            (0, Some(0), Some(0..1)),
            (2, Some(4), Some(2..5)),
            (2, Some(100), Some(2..10)),
            (-4, None, Some(6..10)),
            (-40, None, Some(0..10)),
            (-4, Some(-2), Some(6..9)),
            (2, Some(-2), Some(2..9)),
            (20, None, Some(10..10)),
            (20, Some(30), Some(10..10)),
            (5, Some(4), Some(5..5)),
            (5, Some(3), None),
            (5, Some(-9), None),
            (0, Some(-11), Some(0..0)),
            (i64::MIN, Some(i64::MAX), Some(0..10)),
        ] {
            assert_eq!(of(from, to), expected, "{from}:{to:?}");
        }
    }
}
