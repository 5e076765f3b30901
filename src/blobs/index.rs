//! Where every block is, in memory: about 85 bytes for each.
//!
//! Four of them say when the block was last written, found or read, counted in collections, and whether the collection
//! under way has reached it. So marking, sparing what is new and forgetting cost no memory of their own.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use crate::{digest::Digest, metrics, pack::Entry};

/// Parts of the map, each with its own lock, so that growing one does not hold up readers for long.
const SHARDS: usize = 64;
/// Bits of a stamp below the number of the collection: how the block was reached.
const WALK_BITS: u32 = 4;
/// A part that is emptier than this is made smaller.
const SPARSE: usize = 4;

/// The record of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// Number of its pack.
    pub(crate) pack: u32,
    /// Where its record begins in the pack.
    pub(crate) offset: u32,
    /// Length of the block in bytes.
    pub(crate) data_len: u32,
}

/// A block of the store and where its record is.
pub(crate) type Placed = (Digest, Location);

/// How a collection follows a block. The same bytes may be reached under several codecs, which link different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Walk {
    /// Not beyond the block itself.
    Alone = 1,
    DagPb = 2,
    DagCbor = 4,
    DagJson = 8,
}

struct Slot {
    location: Location,
    /// The number of the collection that had begun last when it was used last, and the [`Walk`]s by which that reached it.
    stamp: AtomicU32,
}

impl Slot {
    fn epoch(&self) -> u32 {
        self.stamp.load(Ordering::Relaxed) >> WALK_BITS
    }
}

/// Digest to record. Locks are held for a look-up or an insert, never over I/O.
pub(crate) struct Index {
    shards: [RwLock<HashMap<Digest, Slot>>; SHARDS],
    blocks: AtomicU64,
    bytes: AtomicU64,
    /// Collections begun, and one: what was there at the opening counts as used before all of them.
    epoch: AtomicU32,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            blocks: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            epoch: AtomicU32::new(1),
        }
    }

    fn shard(&self, digest: &Digest) -> &RwLock<HashMap<Digest, Slot>> {
        &self.shards[usize::from(digest.shard()) % SHARDS]
    }

    fn with<T>(&self, digest: &Digest, look: impl FnOnce(&Slot) -> T) -> Option<T> {
        self.shard(digest).read().unwrap_or_else(PoisonError::into_inner).get(digest).map(look)
    }

    /// The record of a block that is about to be read, or relied upon: it counts as used.
    pub(crate) fn get(&self, digest: &Digest) -> Option<Location> {
        let epoch = self.epoch();
        self.with(digest, |slot| {
            if slot.epoch() < epoch {
                slot.stamp.fetch_max(epoch << WALK_BITS, Ordering::Relaxed);
            }
            slot.location
        })
    }

    /// The record of a block, for those who only look.
    pub(crate) fn peek(&self, digest: &Digest) -> Option<Location> {
        self.with(digest, |slot| slot.location)
    }

    /// How many parts [`Index::part`] has.
    pub(crate) const PARTS: usize = SHARDS;

    /// The keys of one part, blocks only.
    pub(crate) fn part(&self, at: usize) -> Vec<Digest> {
        let shard = self.shards[at % SHARDS].read().unwrap_or_else(PoisonError::into_inner);
        shard.keys().filter(|digest| digest.is_block()).copied().collect()
    }

    /// Looks at every record of one part.
    pub(crate) fn each(&self, at: usize, mut look: impl FnMut(&Digest, &Location)) {
        let shard = self.shards[at % SHARDS].read().unwrap_or_else(PoisonError::into_inner);
        shard.iter().for_each(|(digest, slot)| look(digest, &slot.location));
    }

    /// Notes a record; a later one of the same block takes the place of an earlier one. `old`: it was there before the
    /// store was opened.
    pub(crate) fn insert(&self, pack: u32, entry: &Entry, old: bool) {
        let location = Location { pack, offset: entry.offset, data_len: entry.data_len };
        let epoch = if old { 0 } else { self.epoch() };
        self.put(&entry.digest, location, epoch);
    }

    fn put(&self, digest: &Digest, location: Location, epoch: u32) {
        let slot = Slot { location, stamp: AtomicU32::new(epoch << WALK_BITS) };
        let before = self.shard(digest).write().unwrap_or_else(PoisonError::into_inner).insert(*digest, slot);
        if before.is_none() && digest.is_block() {
            self.blocks.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(u64::from(location.data_len), Ordering::Relaxed);
        }
    }

    /// Forgets a record that turned out to be damaged, unless another has taken its place.
    pub(crate) fn remove(&self, digest: &Digest, damaged: Location) {
        if self.take(digest, |slot| slot.location == damaged) {
            self.publish();
        }
    }

    /// Forgets a record of which `gone` holds.
    fn take(&self, digest: &Digest, gone: impl FnOnce(&Slot) -> bool) -> bool {
        let mut shard = self.shard(digest).write().unwrap_or_else(PoisonError::into_inner);
        let Some(location) = shard.get(digest).filter(|slot| gone(slot)).map(|slot| slot.location) else {
            return false;
        };
        shard.remove(digest);
        if shard.len() * SPARSE < shard.capacity() {
            let room = shard.len() * 2;
            shard.shrink_to(room);
        }
        drop(shard);
        if digest.is_block() {
            self.blocks.fetch_sub(1, Ordering::Relaxed);
            self.bytes.fetch_sub(u64::from(location.data_len), Ordering::Relaxed);
        }
        true
    }

    /// Blocks, and their bytes without headers and padding. Notes about whole files do not count.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.blocks.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Sets the gauges.
    pub(crate) fn publish(&self) {
        let (blocks, bytes) = self.totals();
        metrics::held(blocks, bytes);
    }
}

/// For collections.
impl Index {
    /// The number of the collection that began last.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// A collection begins; its number.
    pub(crate) fn begin(&self) -> u32 {
        self.epoch.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The collection under way reached a block: it stays. Whether that is new; `None`: the block is not here.
    pub(crate) fn mark(&self, digest: &Digest, walk: Walk) -> Option<bool> {
        let (epoch, bit) = (self.epoch(), walk as u32);
        self.with(digest, |slot| {
            let next = |stamp: u32| {
                let walked = if stamp >> WALK_BITS == epoch { stamp } else { epoch << WALK_BITS };
                (walked & bit == 0).then_some(walked | bit)
            };
            slot.stamp.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
        })
    }

    /// Whether a block is here and was used or reached since collection `cutoff` began.
    pub(crate) fn is_live(&self, digest: &Digest, cutoff: u32) -> bool {
        self.with(digest, |slot| slot.epoch() >= cutoff).unwrap_or(false)
    }

    /// The records of one part that were neither used nor reached since collection `cutoff` began.
    pub(crate) fn stale(&self, at: usize, cutoff: u32) -> Vec<Placed> {
        let shard = self.shards[at % SHARDS].read().unwrap_or_else(PoisonError::into_inner);
        let stale = shard.iter().filter(|(_, slot)| slot.epoch() < cutoff);
        stale.map(|(digest, slot)| (*digest, slot.location)).collect()
    }

    /// Forgets a record unless it was used or reached since `cutoff` began, or lies elsewhere by now.
    pub(crate) fn forget(&self, (digest, location): &Placed, cutoff: u32) -> bool {
        self.take(digest, |slot| slot.location == *location && slot.epoch() < cutoff)
    }

    /// Takes a forgotten record back, unless the block has another one by now.
    pub(crate) fn restore(&self, (digest, location): &Placed) {
        if self.peek(digest).is_none() {
            self.put(digest, *location, self.epoch());
        }
    }

    /// A record was copied; when it was used stays. Whether it was still where it was copied from.
    pub(crate) fn moved(&self, digest: &Digest, from: Location, to: Location) -> bool {
        let mut shard = self.shard(digest).write().unwrap_or_else(PoisonError::into_inner);
        let slot = shard.get_mut(digest).filter(|slot| slot.location == from);
        slot.map(|slot| slot.location = to).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha2_256;

    fn entry(data: &[u8]) -> Entry {
        Entry { digest: sha2_256(data), offset: 0, data_len: data.len() as u32 }
    }

    #[test]
    fn what_was_used_or_reached_since_a_collection_began_is_not_forgotten() {
        let index = Index::new();
        let blocks = [b"old".as_slice(), b"read", b"kept", b"peeked"].map(entry);
        blocks.iter().for_each(|block| index.insert(7, block, true));
        let first = index.begin();
        index.insert(7, &entry(b"new"), false);
        assert!(index.get(&blocks[1].digest).is_some() && index.peek(&blocks[3].digest).is_some());
        assert_eq!(index.mark(&blocks[2].digest, Walk::Alone), Some(true));
        assert_eq!(index.mark(&sha2_256(b"absent"), Walk::Alone), None);
        let stale: Vec<Placed> = (0..Index::PARTS).flat_map(|at| index.stale(at, first)).collect();
        assert_eq!(stale.len(), 2);
        assert!(stale.iter().all(|placed| !index.forget(placed, 0) && index.forget(placed, first)));
        assert_eq!(index.totals(), (3, 11));
        index.restore(&stale[0]);
        assert!(index.is_live(&stale[0].0, first) && index.totals().0 == 4);
        // The next one spares nothing of that.
        let second = index.begin();
        assert_eq!((0..Index::PARTS).map(|at| index.stale(at, second).len()).sum::<usize>(), 4);
    }

    #[test]
    fn a_block_is_followed_once_under_each_codec() {
        let index = Index::new();
        let block = entry(b"x");
        index.insert(0, &block, true);
        for _ in 0..2 {
            index.begin();
            for walk in [Walk::Alone, Walk::DagPb, Walk::DagCbor, Walk::DagJson] {
                assert_eq!(index.mark(&block.digest, walk), Some(true), "{walk:?}");
                // Reading it in between does not make it new.
                index.get(&block.digest);
                assert_eq!(index.mark(&block.digest, walk), Some(false), "{walk:?}");
            }
        }
    }

    #[test]
    fn a_move_loses_against_whoever_was_faster() {
        let index = Index::new();
        let block = entry(b"x");
        index.insert(1, &block, false);
        let from = index.peek(&block.digest).unwrap();
        let to = Location { pack: 2, ..from };
        assert!(index.moved(&block.digest, from, to) && !index.moved(&block.digest, from, to));
        assert!(!index.forget(&(block.digest, from), u32::MAX) && index.forget(&(block.digest, to), u32::MAX));
    }
}
