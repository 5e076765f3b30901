//! Which peers may still send what is no longer wanted.

use std::collections::hash_map::RandomState;
use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;

use libp2p_identity::PeerId;

use crate::hash::Key;
use crate::limits::MAX_LATE;

/// (peer, block) pairs that were asked and settled otherwise; bounded, the oldest is forgotten. Kept as 64-bit hashes
/// under a random key: a collision lets one unwanted block pass for a late one.
#[derive(Debug, Default)]
pub(super) struct Late {
    hasher: RandomState,
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Late {
    pub(super) fn expect(&mut self, peer: &PeerId, key: &Key) {
        let hash = self.hasher.hash_one((peer, key));
        if !self.known.insert(hash) {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > MAX_LATE
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Whether this peer had been asked for it. True once: a second copy is unwanted.
    pub(super) fn take(&mut self, peer: &PeerId, key: &Key) -> bool {
        self.known.remove(&self.hasher.hash_one((peer, key)))
    }
}
