//! What the engine keeps of a connected peer.

use std::collections::VecDeque;

use bytes::Bytes;
use rustdht_core::{CommitId, RecordId};

use super::session::Session;

/// A connected peer.
#[derive(Debug)]
pub(super) struct Link {
    /// Commits that wait for room in a put.
    pub(super) queue: VecDeque<(CommitId, Bytes)>,
    pub(super) queued_bytes: usize,
    pub(super) puts_in_flight: usize,
    /// Requests of the peer that are being worked on.
    pub(super) serving: usize,
    pub(super) strikes: u32,
    /// Reconciliation last ended equal, and nothing was lost since.
    pub(super) equal: bool,
    /// Something was lost since the running comparison began.
    pub(super) dirty: bool,
    pub(super) session: Option<Session>,
    /// When the next reconciliation begins.
    pub(super) sync_at_ms: u64,
    /// When the peer last sent a message of a reconciliation of its own.
    pub(super) peer_synced_ms: u64,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Reconciliations so far; seeds the jitter.
    pub(super) sessions: u64,
}

impl Link {
    pub(super) fn new(sync_at_ms: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            queued_bytes: 0,
            puts_in_flight: 0,
            serving: 0,
            strikes: 0,
            equal: false,
            dirty: false,
            session: None,
            sync_at_ms,
            peer_synced_ms: 0,
            failures: 0,
            sessions: 0,
        }
    }

    /// Whether the peer has everything that was published here.
    pub(super) fn is_in_sync(&self) -> bool {
        self.equal && self.queue.is_empty() && self.puts_in_flight == 0
    }

    /// Something did not reach the peer: reconcile at `at_ms` at the latest.
    pub(super) fn lost(&mut self, at_ms: u64) {
        self.equal = false;
        self.dirty = true;
        self.sync_at_ms = self.sync_at_ms.min(at_ms);
    }

    /// A record became part of the index.
    pub(super) fn arrived(&mut self, record: &RecordId) {
        if let Some(session) = &mut self.session {
            session.wanted.remove(record);
        }
    }
}
