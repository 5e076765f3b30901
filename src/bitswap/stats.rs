//! What was done, as numbers that only grow.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use libp2p_identity::PeerId;

use crate::limits::MAX_OLD_LEDGERS;

macro_rules! counters {
    ($(#[doc = $doc:literal] $name:ident),* $(,)?) => {
        /// What was done since the start, over all peers.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats { $(#[doc = $doc] pub $name: u64,)* }

        impl Stats {
            /// Each number with its name, for a page of metrics.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }

            /// What each number counts, by its name.
            pub fn descriptions() -> impl Iterator<Item = (&'static str, &'static str)> {
                [$((stringify!($name), $doc.trim_ascii())),*].into_iter()
            }
        }

        /// [`Stats`] in the making. Shared by the behaviour, its connections and its handles.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: AtomicU64,)* }

        impl Counters {
            pub(crate) fn read(&self) -> Stats {
                Stats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Blocks that were written to peers.
    blocks_sent,
    /// Bytes of the blocks written to peers.
    bytes_sent,
    /// Blocks that were asked for and came.
    blocks_received,
    /// Bytes of the blocks that were asked for and came.
    bytes_received,
    /// Blocks that came a second time, or after nobody wanted them any more.
    duplicates,
    /// Bytes of the blocks that came a second time, or too late.
    duplicate_bytes,
    /// Blocks that were never asked for, or do not hash to what was.
    unwanted,
    /// Blocks above 2 MiB, CIDs above 168 bytes, items beyond 16,384 of a message, hashes unknown here.
    refused,
    /// HAVEs and DONT_HAVEs written.
    presences_sent,
    /// HAVEs and DONT_HAVEs that came.
    presences_received,
    /// Messages that came whole and well-formed.
    messages_received,
    /// Messages that were refused.
    messages_malformed,
    /// Wants of peers that did not fit into their list.
    wants_dropped,
    /// Wants of peers that the gate refused.
    wants_denied,
    /// Times that a peer stalled and others were asked, or it again.
    stalls,
    /// Inbound streams that were closed because there were too many, or a message stopped half-way.
    streams_dropped,
    /// Reads of the store that failed.
    store_errors,
    /// Peers that were ignored for what they sent.
    peers_ignored,
}

/// Adds to a counter. Relaxed: the numbers stand for themselves.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// What was exchanged with one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ledger {
    /// Blocks written to it.
    pub blocks_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Blocks that were asked for and came from it.
    pub blocks_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Blocks that came late or twice.
    pub duplicates: u64,
    /// Blocks that were never asked for, or do not hash to what was.
    pub unwanted: u64,
    /// Entries of its wantlist that did not fit.
    pub wants_dropped: u64,
}

/// The ledgers of peers that are connected, and of the last ones that were.
#[derive(Debug, Default)]
pub(crate) struct Ledgers {
    by_peer: HashMap<PeerId, Ledger>,
    gone: VecDeque<PeerId>,
}

impl Ledgers {
    pub(crate) fn get(&self, peer: &PeerId) -> Option<Ledger> {
        self.by_peer.get(peer).copied()
    }

    pub(crate) fn of(&mut self, peer: PeerId) -> &mut Ledger {
        self.by_peer.entry(peer).or_default()
    }

    pub(crate) fn connected(&mut self, peer: PeerId) {
        self.gone.retain(|gone| *gone != peer);
        self.of(peer);
    }

    pub(crate) fn disconnected(&mut self, peer: PeerId) {
        self.gone.push_back(peer);
        if self.gone.len() > MAX_OLD_LEDGERS
            && let Some(oldest) = self.gone.pop_front()
        {
            self.by_peer.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ledgers_of_peers_that_are_gone_are_bounded_and_those_of_connected_ones_stay() {
        let mut ledgers = Ledgers::default();
        let here = PeerId::random();
        ledgers.connected(here);
        ledgers.of(here).blocks_sent = 1;
        for _ in 0..MAX_OLD_LEDGERS + 10 {
            let peer = PeerId::random();
            ledgers.connected(peer);
            ledgers.disconnected(peer);
        }
        assert_eq!(ledgers.by_peer.len(), MAX_OLD_LEDGERS + 1);
        assert_eq!(ledgers.get(&here).unwrap().blocks_sent, 1);
    }
}
