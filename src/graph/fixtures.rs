//! Entries for tests, without signatures.

use std::sync::Arc;

use rustdht_core::{Body, CommitId, Entry, EntryId, Field, PublicKey, Salt, Session, Stamp};

use crate::{Action, Draft, FieldRef, Merge, NodeState, Pen, plan, render};

/// The entry that a draft becomes.
pub(crate) fn entry(draft: Draft, pen: &Pen, stamp: Stamp, commit: CommitId, index: u16) -> Arc<Entry> {
    let body = draft.value.map_or(Body::None, |value| Body::Live { value, salt: Some(Salt([0; 16])) });
    Arc::new(Entry {
        id: EntryId::of(&commit, index),
        commit,
        index,
        soul: draft.soul,
        field: draft.field,
        kind: draft.kind,
        slot: draft.slot,
        stamp,
        author: pen.author,
        leaf: pen.leaf,
        writer: pen.writer(),
        body,
        kills: draft.kills,
        over: draft.over,
        base: draft.base,
    })
}

/// The pen of the author and session `byte`, without certificate.
pub(crate) fn pen(byte: u8) -> Pen {
    Pen::new(PublicKey([byte; 32]), Session([byte; 8]), None)
}

/// One node and its writers.
pub(crate) struct Scene {
    pub(crate) node: NodeState,
    pub(crate) field: Field,
    commits: u64,
}

impl Scene {
    pub(crate) fn new(soul: &str) -> Self {
        Self { node: NodeState::new(soul.parse().unwrap()), field: "f".parse().unwrap(), commits: 0 }
    }

    pub(crate) fn plan(&self, pen: &Pen, actions: &[Action]) -> Result<Vec<Draft>, rustdht_core::Code> {
        let mut drafts = Vec::new();
        for action in actions {
            plan(&self.node, pen, &self.field, action, &mut drafts).map_err(|refusal| refusal.code)?;
        }
        Ok(drafts)
    }

    /// Makes one commit of drafts, without joining it.
    pub(crate) fn sign(&mut self, pen: &Pen, stamp: u64, drafts: Vec<Draft>) -> Vec<Arc<Entry>> {
        self.commits += 1;
        let mut commit = [0; 32];
        commit[..8].copy_from_slice(&self.commits.to_le_bytes());
        let indexed = (0..).zip(drafts);
        indexed.map(|(index, draft)| entry(draft, pen, Stamp(stamp), CommitId(commit), index)).collect()
    }

    pub(crate) fn join(&mut self, entries: &[Arc<Entry>]) -> Vec<Merge> {
        entries.iter().map(|entry| self.node.join(Arc::clone(entry)).merge).collect()
    }

    /// Plans, makes and joins one commit.
    pub(crate) fn act(&mut self, pen: &Pen, stamp: u64, actions: &[Action]) -> Vec<Arc<Entry>> {
        let drafts = self.plan(pen, actions).unwrap();
        let entries = self.sign(pen, stamp, drafts);
        self.join(&entries);
        entries
    }

    /// The JSON of the field, `absent` without one.
    pub(crate) fn shown(&self) -> String {
        let Some(view) = self.node.field(&self.field).and_then(FieldRef::view) else { return "absent".to_owned() };
        let mut out = String::new();
        render::write_shown(&mut out, &view, rustdht_core::json::Ints::Numbers);
        out
    }
}

/// The wish that a body of JSON states.
pub(crate) fn wish(json: &str) -> Action {
    let raw: Box<serde_json::value::RawValue> = serde_json::from_str(json).unwrap();
    Action::Set(crate::read_wanted(&raw).unwrap())
}
