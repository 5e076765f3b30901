//! Rendered nodes for reads.
//!
//! A reader that filled the cache from the store just before a write became visible must not undo that write's
//! invalidation. So each stripe of souls has a version: the reader takes it before it loads, and its fill is dropped
//! when the version moved meanwhile.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
};

use moka::sync::Cache;
use rustdht_core::Soul;

use crate::Rendered;

const STRIPES: usize = 256;
/// What an entry costs beside its bytes.
const OVERHEAD_BYTES: usize = 256;

#[derive(Debug)]
pub(crate) struct ReadCache {
    nodes: Cache<Soul, Rendered>,
    versions: Vec<Mutex<u64>>,
    hasher: RandomState,
}

/// The version of a soul's stripe when a reader began to load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket(u64);

impl ReadCache {
    pub(crate) fn new(max_bytes: u64) -> Self {
        let weigh = |soul: &Soul, node: &Rendered| {
            u32::try_from(soul.len() + node.json.len() + OVERHEAD_BYTES).unwrap_or(u32::MAX)
        };
        Self {
            nodes: Cache::builder().max_capacity(max_bytes).weigher(weigh).build(),
            versions: std::iter::repeat_with(Mutex::default).take(STRIPES).collect(),
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn get(&self, soul: &Soul) -> Option<Rendered> {
        self.nodes.get(soul)
    }

    fn version(&self, soul: &Soul) -> std::sync::MutexGuard<'_, u64> {
        let stripe = self.hasher.hash_one(soul) as usize % STRIPES;
        self.versions[stripe].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ticket(&self, soul: &Soul) -> Ticket {
        Ticket(*self.version(soul))
    }

    /// Keeps what a reader loaded, unless the soul may have changed since its ticket.
    pub(crate) fn fill(&self, soul: &Soul, ticket: Ticket, node: &Rendered) {
        let version = self.version(soul);
        if *version == ticket.0 {
            self.nodes.insert(soul.clone(), node.clone());
        }
    }

    /// Every soul may show something else than before.
    pub(crate) fn clear(&self) {
        for version in &self.versions {
            *version.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
        self.nodes.invalidate_all();
    }

    /// A durable write changed the soul; `node` is what it shows now, if that was rendered anyway.
    pub(crate) fn changed(&self, soul: &Soul, node: Option<Rendered>) {
        let mut version = self.version(soul);
        *version += 1;
        match node {
            Some(node) => self.nodes.insert(soul.clone(), node),
            None => self.nodes.invalidate(soul),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Rendered {
        Rendered { json: text.to_owned().into(), etag: "\"x\"".into(), stamp: rustdht_core::Stamp(1) }
    }

    #[test]
    fn a_slow_reader_cannot_undo_an_invalidation() {
        let cache = ReadCache::new(1 << 20);
        let soul: Soul = "a".parse().unwrap();
        let ticket = cache.ticket(&soul);
        cache.changed(&soul, Some(node("new")));
        cache.fill(&soul, ticket, &node("old"));
        assert_eq!(cache.get(&soul), Some(node("new")));
        cache.changed(&soul, None);
        assert_eq!(cache.get(&soul), None);
        let ticket = cache.ticket(&soul);
        cache.fill(&soul, ticket, &node("newer"));
        assert_eq!(cache.get(&soul), Some(node("newer")));
        let ticket = cache.ticket(&soul);
        cache.clear();
        cache.fill(&soul, ticket, &node("newer"));
        assert_eq!(cache.get(&soul), None);
    }
}
