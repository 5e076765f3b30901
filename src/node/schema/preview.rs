//! What a node would show after a write that is not signed yet.

use std::sync::Arc;

use rustdht_core::{Body, CertificateId, CommitId, Entry, EntryId, PublicKey, Stamp, Writer};
use rustdht_graph::{Draft, NodeState};

/// `node` with those of `drafts` that are its own joined on top, as if they were signed.
pub(super) fn after(node: &NodeState, drafts: &[Draft], author: &PublicKey, leaf: Option<&CertificateId>) -> NodeState {
    let mut after = node.clone();
    let ours = || drafts.iter().filter(|draft| draft.soul == *node.soul());
    let seen = ours().map(|draft| draft.after).fold(node.stamp(), Stamp::max);
    let stamp = Stamp(seen.0.saturating_add(1));
    let commit = CommitId(*blake3::hash(b"what the node would show").as_bytes());
    for (index, draft) in (0..).zip(ours()) {
        let value = draft.value.clone();
        let entry = Entry {
            id: EntryId::of(&commit, index),
            commit,
            index,
            soul: draft.soul.clone(),
            field: draft.field.clone(),
            kind: draft.kind.clone(),
            slot: draft.slot.clone(),
            stamp,
            author: *author,
            leaf: leaf.copied(),
            writer: Writer::new(author, leaf),
            body: value.map_or(Body::None, |value| Body::Live { value, salt: None }),
            kills: draft.kills.clone(),
            over: draft.over.clone(),
            base: draft.base,
        };
        after.join(Arc::new(entry));
    }
    after
}
