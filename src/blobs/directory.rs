//! The entries of a directory, one block or many.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, stream, stream::BoxStream};
use rustdht_core::ports::{BlobError, DagEntry, Fetch};

use crate::{
    ahead::Ahead,
    blocks::Blocks,
    dagpb::PbLink,
    hamt::{self, Shard, Slot},
    view::{View, Viewed},
};

/// Shards loaded at once.
const AHEAD_SHARDS: usize = 8;

/// An entry; the name as it is stored.
pub(crate) struct Entry {
    pub(crate) name: Bytes,
    pub(crate) link: PbLink,
}

/// Something that was met and not yet told.
enum Item {
    Entry(Entry),
    Shard { cid: Cid, under: Prefix, load: Option<u64> },
}

/// The bits of the hash that led to a shard.
#[derive(Clone, Copy, Default)]
struct Prefix {
    bits: u64,
    len: u32,
}

impl Prefix {
    /// Whether the hash of a name begins with it.
    fn holds(self, name: &[u8]) -> bool {
        hamt::slot(hamt::hash(name), 0, self.len) == Some(self.bits)
    }
}

/// A listing under way: by name as stored, or depth first through the shards.
///
/// An entry that is not where its hash says, or a shard without entries, ends it: without this a few small blocks could
/// list the same entries for ever.
pub(crate) struct Listing {
    blocks: Arc<Blocks>,
    waiting: VecDeque<Item>,
    ahead: Ahead<Bytes>,
    /// Bits that a level uses, the same in all shards.
    bits: u32,
    of: Cid,
}

impl Listing {
    /// Begins with the root, which has been read.
    ///
    /// # Errors
    /// `NotADirectory`.
    pub(crate) fn new(blocks: Arc<Blocks>, of: Cid, root: View) -> Result<Self, BlobError> {
        let mut listing = Self { blocks, waiting: VecDeque::new(), ahead: Ahead::new(), bits: 0, of };
        match root {
            View::Directory(node) => {
                let entries = node.links.into_iter().map(|link| Entry { name: link.name.clone(), link });
                listing.waiting.extend(entries.map(Item::Entry));
            }
            View::Shard(shard) => {
                listing.bits = shard.bits;
                listing.descend(shard, Prefix::default())?;
            }
            _ => return Err(BlobError::NotADirectory(format!("block {of}"))),
        }
        Ok(listing)
    }

    /// Items held in memory.
    pub(crate) fn held(&self) -> usize {
        self.waiting.len()
    }

    /// Names that are known without loading more.
    pub(crate) fn known(&self) -> impl Iterator<Item = &[u8]> {
        self.waiting.iter().filter_map(|item| match item {
            Item::Entry(entry) => Some(&entry.name[..]),
            Item::Shard { .. } => None,
        })
    }

    /// The next entry.
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, BlobError> {
        loop {
            self.load_ahead();
            match self.waiting.pop_front() {
                None => return Ok(None),
                Some(Item::Entry(entry)) => return Ok(Some(entry)),
                Some(Item::Shard { cid, under, load }) => {
                    let block = self.ahead.take(load.unwrap_or_default()).await?;
                    let View::Shard(shard) = Viewed::of(&cid, &block)?.view else {
                        return Err(self.lies(&cid, "is no shard"));
                    };
                    if shard.bits != self.bits {
                        return Err(self.lies(&cid, "has another fanout"));
                    }
                    if shard.slots.is_empty() {
                        return Err(self.lies(&cid, "holds nothing"));
                    }
                    self.descend(shard, under)?;
                }
            }
        }
    }

    fn lies(&self, cid: &Cid, why: &str) -> BlobError {
        BlobError::NotADirectory(format!("block {cid} of the sharded directory {} {why}", self.of))
    }

    fn descend(&mut self, shard: Shard, under: Prefix) -> Result<(), BlobError> {
        if under.len + shard.bits > u64::BITS {
            return Err(BlobError::NotADirectory(format!("the sharded directory {} is deeper than its hash", self.of)));
        }
        for (slot, held) in shard.slots.into_iter().rev() {
            // Not more than 64 bits, see above.
            let prefix =
                Prefix { bits: under.bits.checked_shl(shard.bits).unwrap_or(0) | slot, len: under.len + shard.bits };
            self.waiting.push_front(match held {
                Slot::Shard(link) => Item::Shard { cid: link.cid, under: prefix, load: None },
                Slot::Entry { name, .. } if !prefix.holds(&name) => {
                    return Err(self.lies(&self.of, "has an entry in a slot that its name does not hash to"));
                }
                Slot::Entry { name, link } => Item::Entry(Entry { name, link }),
            });
        }
        Ok(())
    }

    fn load_ahead(&mut self) {
        let shards = self.waiting.iter_mut().filter_map(|item| match item {
            Item::Shard { cid, load, .. } => Some((cid, load)),
            Item::Entry(_) => None,
        });
        for (nth, (cid, load)) in shards.take(AHEAD_SHARDS).enumerate() {
            if load.is_none() && (nth == 0 || self.ahead.held() < AHEAD_SHARDS) {
                let (blocks, cid) = (Arc::clone(&self.blocks), *cid);
                *load = Some(self.ahead.start(async move { blocks.load(&cid, Fetch::Allowed).await }));
            }
        }
    }
}

/// The entries as a stream that ends after the first error.
pub(crate) async fn entries(
    blocks: &Arc<Blocks>,
    cid: &Cid,
) -> Result<BoxStream<'static, Result<DagEntry, BlobError>>, BlobError> {
    let block = blocks.load(cid, Fetch::Allowed).await?;
    let listing = Listing::new(Arc::clone(blocks), *cid, Viewed::of(cid, &block)?.view)?;
    Ok(stream::unfold(Some(listing), |listing| async {
        let mut listing = listing?;
        match listing.next().await {
            Ok(Some(entry)) => {
                let name = String::from_utf8_lossy(&entry.name).into_owned();
                Some((Ok(DagEntry { name, cid: entry.link.cid, size: entry.link.tsize }), Some(listing)))
            }
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed())
}
