//! A block that is wanted, and a session of such blocks.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use cid::Cid;
use libp2p_identity::PeerId;

use super::{SessionId, WaiterId};
use crate::hash::Key;
use crate::limits::MAX_SESSION_PEERS;

/// What a peer said of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing yet to our WANT-HAVE.
    AskedHave,
    Have,
    DontHave,
}

/// That nobody is known who has a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// When WANT-HAVE was last sent to all.
    pub(super) since: Duration,
    /// When it is reported (again).
    pub(super) report_at: Duration,
    /// The pause before that.
    pub(super) pause: Duration,
    /// Somebody may still say HAVE to the first question.
    pub(super) fresh: bool,
}

#[derive(Debug)]
pub(super) struct Want {
    pub(super) cid: Cid,
    /// Its place among all wants; the sooner asked, the sooner served.
    pub(super) seq: u64,
    pub(super) waiters: Vec<WaiterId>,
    /// The session whose peers are asked.
    pub(super) home: SessionId,
    pub(super) known: HashMap<PeerId, Known>,
    /// Who was sent WANT-BLOCK and has neither answered nor been sent CANCEL.
    pub(super) asked: Vec<PeerId>,
    pub(super) search: Option<Search>,
}

impl Want {
    pub(super) fn has_denied(&self, peer: &PeerId) -> bool {
        self.known.get(peer) == Some(&Known::DontHave)
    }
}

/// How useful a peer has been to a session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Merit {
    pub(super) hits: u32,
    pub(super) misses_in_a_row: u32,
}

impl Merit {
    /// Beyond this many DONT_HAVEs in a row a peer is not asked on trust any more, only after a HAVE.
    const MISSES: u32 = 16;

    pub(super) const fn is_trusted(self) -> bool {
        self.misses_in_a_row < Self::MISSES
    }

    /// Whether it will have the next block with hardly a doubt, so that nobody else need be asked.
    pub(super) const fn is_sure(self) -> bool {
        self.hits >= 4 && self.misses_in_a_row == 0
    }
}

#[derive(Debug)]
pub(super) struct Session {
    /// Who had something, or was named as a provider, and is connected.
    pub(super) peers: HashMap<PeerId, Merit>,
    /// Named as providers and not connected yet.
    pub(super) expected: Vec<PeerId>,
    /// What was wanted last.
    pub(super) newest: Option<Key>,
    /// Wants that nobody has been asked for, by place.
    pub(super) queue: BTreeMap<u64, Key>,
    /// Wants that are searched for, by place.
    pub(super) searching: BTreeMap<u64, Key>,
    /// How many of them are fresh.
    pub(super) fresh_searches: usize,
    /// Blocks asked for and not arrived.
    pub(super) waiters: usize,
    /// Size of its blocks, averaged.
    pub(super) block_bytes: u64,
    pub(super) timeout: Option<Duration>,
    /// Closed by its owner; ends with its last waiter.
    pub(super) closed: bool,
    /// Whether it stands in the round of sessions with something to ask.
    pub(super) in_round: bool,
    /// When more peers were last looked for among the connected ones.
    pub(super) widened_at: Duration,
    /// When the owner was last asked for providers.
    pub(super) reported_at: Option<Duration>,
}

impl Session {
    /// Guess for the first block: the chunk size of Kubo's default.
    const FIRST_BLOCK_BYTES: u64 = 256 * 1024;

    pub(super) fn new(timeout: Option<Duration>, now: Duration) -> Self {
        Self {
            peers: HashMap::new(),
            expected: Vec::new(),
            newest: None,
            queue: BTreeMap::new(),
            searching: BTreeMap::new(),
            fresh_searches: 0,
            waiters: 0,
            block_bytes: Self::FIRST_BLOCK_BYTES,
            timeout,
            closed: false,
            in_round: false,
            widened_at: now,
            reported_at: None,
        }
    }

    /// Takes a peer among its own, in place of a useless one if there are too many.
    pub(super) fn join(&mut self, peer: PeerId) -> Option<&mut Merit> {
        if self.peers.len() >= MAX_SESSION_PEERS && !self.peers.contains_key(&peer) {
            let useless = self.peers.iter().find(|(_, merit)| merit.hits == 0).map(|(peer, _)| *peer)?;
            self.peers.remove(&useless);
        }
        Some(self.peers.entry(peer).or_default())
    }

    pub(super) fn hit(&mut self, peer: PeerId, bytes: u64) {
        self.block_bytes = (self.block_bytes * 7 + bytes) / 8;
        if let Some(merit) = self.join(peer) {
            merit.hits = merit.hits.saturating_add(1);
            merit.misses_in_a_row = 0;
        }
    }

    pub(super) fn miss(&mut self, peer: &PeerId) {
        if let Some(merit) = self.peers.get_mut(peer) {
            merit.misses_in_a_row += 1;
        }
    }
}
