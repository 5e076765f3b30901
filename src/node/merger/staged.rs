//! Writes of different nodes that will share a commit.
//!
//! A signature and a commit's row cost a third of what a small write costs. Writes of one group are made durable together
//! anyway, so they are signed together too: one commit is still atomic, and each of its writes is named by its id.

use std::collections::HashSet;

use rustdht_core::{Soul, Value};
use rustdht_graph::Draft;
use rustdht_wire::limits::MAX_OPERATIONS;

use crate::{NodeWrite, RenderOptions};

/// Bytes of operations that share a commit.
const SHARED_BYTES: usize = 256 << 10;
/// A write of more operations gets a commit of its own.
const SMALL_OPERATIONS: usize = 64;
/// A write of more bytes gets a commit of its own.
const SMALL_BYTES: usize = 16 << 10;

/// A write that waits to be signed.
#[derive(Debug)]
pub(super) struct StagedWrite {
    /// Where in the group its answer goes.
    pub(super) answer: usize,
    pub(super) soul: Soul,
    pub(super) render: RenderOptions,
    pub(super) drafts: Vec<Draft>,
}

#[derive(Debug, Default)]
pub(super) struct Staged {
    writes: Vec<StagedWrite>,
    souls: HashSet<Soul>,
    operations: usize,
    bytes: usize,
}

/// A rough size of an operation on the wire.
pub(super) fn size(draft: &Draft) -> usize {
    let value = match &draft.value {
        Some(Value::Text(text)) => text.len(),
        Some(Value::Bytes(bytes) | Value::Enc(bytes)) => bytes.len(),
        Some(Value::Link(soul)) => soul.len(),
        _ => 40,
    };
    96 + draft.soul.len() + draft.field.len() + value + 34 * (draft.kills.len() + draft.over.len())
}

fn bytes_of(drafts: &[Draft]) -> usize {
    drafts.iter().map(size).sum()
}

impl Staged {
    /// Whether a write is small enough to share a commit.
    pub(super) fn takes(drafts: &[Draft]) -> bool {
        drafts.len() <= SMALL_OPERATIONS && bytes_of(drafts) <= SMALL_BYTES
    }

    /// Whether a write of this soul waits.
    pub(super) fn holds(&self, soul: &Soul) -> bool {
        self.souls.contains(soul)
    }

    /// Whether the drafts fit into the commit.
    pub(super) fn has_room(&self, drafts: &[Draft]) -> bool {
        self.operations + drafts.len() <= MAX_OPERATIONS && self.bytes + bytes_of(drafts) <= SHARED_BYTES
    }

    pub(super) fn push(&mut self, answer: usize, write: &NodeWrite, drafts: Vec<Draft>) {
        self.operations += drafts.len();
        self.bytes += bytes_of(&drafts);
        self.souls.insert(write.soul.clone());
        self.writes.push(StagedWrite { answer, soul: write.soul.clone(), render: write.render, drafts });
    }

    /// What waits, in order.
    pub(super) fn take(&mut self) -> Vec<StagedWrite> {
        std::mem::take(self).writes
    }
}
