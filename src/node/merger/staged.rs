//! Writes of different nodes that will share a commit.
//!
//! A signature and a commit's row cost a third of what a small write costs. Writes of one group are made durable together
//! anyway, so they are signed together too: one commit is still atomic, and each of its writes is named by its id.

use std::collections::{BTreeMap, HashSet};

use rustdht_core::{CertificateId, PublicKey, Soul, Space, Value};
use rustdht_graph::Draft;
use rustdht_wire::limits::{MAX_AUTH, MAX_OPERATIONS};

use crate::{NodeWrite, RenderOptions};

/// Bytes of operations that share a commit.
const SHARED_BYTES: usize = 256 << 10;
/// A write of more operations gets a commit of its own.
const SMALL_OPERATIONS: usize = 64;
/// A write of more bytes gets a commit of its own.
const SMALL_BYTES: usize = 16 << 10;

/// Operations that one author signs, under these certificates.
#[derive(Clone, Debug)]
pub(super) struct Signable {
    pub(super) author: PublicKey,
    /// The leaves under which they stand, in any order.
    pub(super) leaves: Vec<CertificateId>,
    pub(super) drafts: Vec<Draft>,
}

/// A write that waits to be signed.
#[derive(Debug)]
pub(super) struct StagedWrite {
    /// Where in the group its answer goes.
    pub(super) answer: usize,
    pub(super) soul: Soul,
    pub(super) render: RenderOptions,
    pub(super) what: Signable,
}

/// Writes that will share a commit.
#[derive(Debug, Default)]
struct Pool {
    writes: Vec<StagedWrite>,
    leaves: Vec<CertificateId>,
    operations: usize,
    bytes: usize,
}

/// The writes that wait, by author and by whether they stay here.
#[derive(Debug, Default)]
pub(super) struct Staged {
    pools: BTreeMap<(PublicKey, bool), Pool>,
    souls: HashSet<Soul>,
}

fn pool_of(what: &Signable) -> (PublicKey, bool) {
    (what.author, what.drafts.iter().any(|draft| draft.soul.space() == Space::Local))
}

/// Adds the leaves that are not among `leaves` yet.
pub(super) fn unite(leaves: &mut Vec<CertificateId>, more: &[CertificateId]) {
    for leaf in more {
        if !leaves.contains(leaf) {
            leaves.push(*leaf);
        }
    }
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

pub(super) fn bytes_of(drafts: &[Draft]) -> usize {
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

    /// Whether the operations fit into the commit of their author.
    pub(super) fn has_room(&self, what: &Signable) -> bool {
        let Some(pool) = self.pools.get(&pool_of(what)) else { return true };
        let mut leaves = pool.leaves.clone();
        unite(&mut leaves, &what.leaves);
        pool.operations + what.drafts.len() <= MAX_OPERATIONS
            && pool.bytes + bytes_of(&what.drafts) <= SHARED_BYTES
            && leaves.len() <= MAX_AUTH
    }

    pub(super) fn push(&mut self, answer: usize, write: &NodeWrite, what: Signable) {
        let pool = self.pools.entry(pool_of(&what)).or_default();
        pool.operations += what.drafts.len();
        pool.bytes += bytes_of(&what.drafts);
        unite(&mut pool.leaves, &what.leaves);
        self.souls.insert(write.soul.clone());
        let render = RenderOptions { reader: write.by, ..write.render };
        pool.writes.push(StagedWrite { answer, soul: write.soul.clone(), render, what });
    }

    /// What waits, in order, those that share a commit together.
    pub(super) fn take(&mut self) -> Vec<Vec<StagedWrite>> {
        std::mem::take(self).pools.into_values().map(|pool| pool.writes).collect()
    }
}
