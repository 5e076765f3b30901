//! Where every block is, in memory: about 80 bytes for each.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{digest::Digest, metrics, pack::Entry};

/// Parts of the map, each with its own lock, so that growing one does not hold up readers for long.
const SHARDS: usize = 64;

/// The record of a block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    /// Number of its pack.
    pub(crate) pack: u32,
    /// Where its record begins in the pack.
    pub(crate) offset: u32,
    /// Length of the block in bytes.
    pub(crate) data_len: u32,
}

/// Digest to record. Locks are held for a look-up or an insert, never over I/O.
pub(crate) struct Index {
    shards: [RwLock<HashMap<Digest, Location>>; SHARDS],
    blocks: AtomicU64,
    bytes: AtomicU64,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()), blocks: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    fn shard(&self, digest: &Digest) -> &RwLock<HashMap<Digest, Location>> {
        &self.shards[usize::from(digest.shard()) % SHARDS]
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<Location> {
        self.shard(digest).read().unwrap_or_else(PoisonError::into_inner).get(digest).copied()
    }

    /// How many parts [`Index::part`] has.
    pub(crate) const PARTS: usize = SHARDS;

    /// The keys of one part, blocks only.
    pub(crate) fn part(&self, at: usize) -> Vec<Digest> {
        let shard = self.shards[at % SHARDS].read().unwrap_or_else(PoisonError::into_inner);
        shard.keys().filter(|digest| digest.is_block()).copied().collect()
    }

    /// Notes a record; a later one of the same block takes the place of an earlier one.
    pub(crate) fn insert(&self, pack: u32, entry: &Entry) {
        let location = Location { pack, offset: entry.offset, data_len: entry.data_len };
        let before =
            self.shard(&entry.digest).write().unwrap_or_else(PoisonError::into_inner).insert(entry.digest, location);
        if before.is_none() && entry.digest.is_block() {
            self.blocks.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(u64::from(entry.data_len), Ordering::Relaxed);
        }
    }

    /// Forgets a record that turned out to be damaged, unless another has taken its place.
    pub(crate) fn remove(&self, digest: &Digest, damaged: Location) {
        let mut shard = self.shard(digest).write().unwrap_or_else(PoisonError::into_inner);
        if shard.get(digest) == Some(&damaged) {
            shard.remove(digest);
            drop(shard);
            if digest.is_block() {
                self.blocks.fetch_sub(1, Ordering::Relaxed);
                self.bytes.fetch_sub(u64::from(damaged.data_len), Ordering::Relaxed);
                self.publish();
            }
        }
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
