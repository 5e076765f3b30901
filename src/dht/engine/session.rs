//! The state of one reconciliation, on the side that began it.

use std::collections::{BTreeSet, VecDeque};

use rustdht_core::RecordId;
use rustdht_wire::protocol::{MAX_FETCH_RECORDS, Summary};

use crate::{
    limits::{MAX_FETCH_ATTEMPTS, OFFER_RECORDS},
    reconcile::Differences,
};

/// Records to ask for in one request.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) records: Vec<RecordId>,
    pub(super) attempts: u32,
}

/// One reconciliation.
#[derive(Debug)]
pub(super) struct Session {
    /// What is older was settled when it began: only that is compared after the second exchange.
    pub(super) settled_seconds: u32,
    /// Ids asked for or to be asked for that have not arrived.
    pub(super) wanted: BTreeSet<RecordId>,
    pub(super) chunks: VecDeque<Chunk>,
    pub(super) offers: VecDeque<Vec<RecordId>>,
    pub(super) next: Option<Vec<u8>>,
    pub(super) fetching: usize,
    pub(super) offering: usize,
    pub(super) rounds: u32,
    pub(super) restarts: u32,
    pub(super) fetched: u64,
    pub(super) offered: u64,
    /// Both sides' sums at the last comparison; unchanged: nothing was gained.
    pub(super) compared: Option<(Summary, Summary)>,
}

impl Session {
    pub(super) fn new(settled_seconds: u32) -> Self {
        Self {
            settled_seconds,
            wanted: BTreeSet::new(),
            chunks: VecDeque::new(),
            offers: VecDeque::new(),
            next: None,
            fetching: 0,
            offering: 0,
            rounds: 0,
            restarts: 0,
            fetched: 0,
            offered: 0,
            compared: None,
        }
    }

    /// Takes what a message showed.
    pub(super) fn found(&mut self, differences: Differences) {
        self.fetched += differences.need.len() as u64;
        self.offered += differences.have.len() as u64;
        self.wanted.extend(&differences.need);
        for records in differences.need.chunks(MAX_FETCH_RECORDS) {
            self.chunks.push_back(Chunk { records: records.to_vec(), attempts: 0 });
        }
        self.offers.extend(differences.have.chunks(OFFER_RECORDS).map(<[RecordId]>::to_vec));
        self.next = differences.next;
    }

    /// Nothing is under way and nothing is left to do of what was found.
    pub(super) fn is_settled(&self) -> bool {
        self.fetching == 0 && self.offering == 0 && self.chunks.is_empty() && self.offers.is_empty()
    }

    /// The records of a chunk that the peer has and that have not arrived are asked for again, as long as each answer
    /// brings something.
    pub(super) fn fetched(&mut self, chunk: Chunk, missing: &BTreeSet<RecordId>) {
        let asked = chunk.records.len();
        let left: Vec<RecordId> =
            chunk.records.into_iter().filter(|id| self.wanted.contains(id) && !missing.contains(id)).collect();
        if !left.is_empty() && left.len() < asked && chunk.attempts + 1 < MAX_FETCH_ATTEMPTS {
            self.chunks.push_front(Chunk { records: left, attempts: chunk.attempts + 1 });
        } else {
            left.iter().for_each(|id| {
                self.wanted.remove(id);
            });
        }
        missing.iter().for_each(|id| {
            self.wanted.remove(id);
        });
    }
}
