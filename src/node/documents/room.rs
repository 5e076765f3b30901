//! One open document, without I/O: frames of editors, messages of other gateways, entries of the view and the time go
//! in; frames, closings, journal rows and what has to be signed come out.
//!
//! ```text
//!   editor ─frame─> staged ──journal──> durable ──> every editor (the sender takes it as an acknowledgement)
//!                                          │ ├────> other gateways, as previews
//!                                          │ └────> pending ──1 s or 32 KiB──> signed ──> the view
//!   gateway ─preview─> every editor        └ the journal's row goes with the signed commit
//! ```
//!
//! Three sets of elements are told apart: `held` (durable here: signed, pending or staged), what editors were given (the
//! replica: held and previews), and `hidden` (deleted or erased: nobody may bring it back).

mod editors;
mod gateways;
mod signing;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use rustdht_core::{EntryId, Field, Kind, Soul, Stamp, Value};
use rustdht_graph::yjs::{Ranges, Update};

use super::{
    Close, EditorId, UserTag,
    awareness::Awareness,
    live::Body,
    replica::{Coverage, Replica},
};
use crate::Principal;

pub(crate) use signing::{RowOf, Signing, Verdict};
pub(crate) use view::{Change, View};

/// What the room wants done.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Give an editor a frame.
    Send(EditorId, Bytes),
    /// End an editor's connection; the room knows it no more.
    Close(EditorId, Close),
    /// Tell the other gateways.
    Tell(Body),
}

/// An editor of the document.
#[derive(Debug)]
struct Editor {
    by: Principal,
    user: UserTag,
    may_write: bool,
}

/// An update of an editor that is not durable yet.
#[derive(Debug)]
struct Staged {
    /// `None`: a preview that was taken over.
    editor: Option<EditorId>,
    by: Principal,
    update: Update,
}

/// Keystrokes that are durable and not signed, of one author.
#[derive(Debug)]
struct Pending {
    updates: Vec<Update>,
    bytes: usize,
    since_ms: u64,
    /// Numbers of the journal's rows that hold them.
    rows: Vec<u64>,
}

/// Keystrokes of another gateway that are not signed yet, as far as known here.
#[derive(Debug)]
struct Preview {
    update: Update,
    bytes: usize,
    since_ms: u64,
    /// An editor here that built on it: signs it if its own author does not.
    built_by: Option<Principal>,
}

/// One open document.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) soul: Soul,
    pub(crate) field: Field,
    pub(crate) kind: Kind,
    /// What editors were given.
    replica: Replica,
    /// Durable here.
    held: Coverage,
    /// In entries that the view shows.
    signed: Coverage,
    /// Deleted or erased, and in no entry that the view shows.
    hidden: Ranges,
    /// The view's entries that were taken, and the elements that each brings.
    entries: BTreeMap<EntryId, Ranges>,
    awareness: Awareness,
    editors: BTreeMap<EditorId, Editor>,
    staged: Vec<Staged>,
    pending: HashMap<Principal, Pending>,
    /// What is being signed.
    signing: HashMap<Principal, Pending>,
    /// When signing for an author may be tried again, in milliseconds since the epoch, and how often it failed in a row.
    pauses: HashMap<Principal, (u64, u32)>,
    /// Who wrote here since it was opened.
    wrote: Vec<Principal>,
    previews: VecDeque<Preview>,
    preview_bytes: usize,
    /// Previews for other gateways that wait for their turn.
    unsent: Vec<Update>,
    next_row: u64,
    /// Nothing is told to other gateways: the node is private.
    private: bool,
    /// When the field was last deleted, as far as known here.
    cut_ms: u64,
    /// The stamp of the last deletion that keystrokes here come after.
    pub(crate) cut: Stamp,
}

impl Room {
    /// A document without content.
    pub(crate) fn new(soul: Soul, field: Field, kind: Kind) -> Self {
        Self {
            soul,
            field,
            kind,
            replica: Replica::default(),
            held: Coverage::default(),
            signed: Coverage::default(),
            hidden: Ranges::default(),
            entries: BTreeMap::new(),
            awareness: Awareness::default(),
            editors: BTreeMap::new(),
            staged: Vec::new(),
            pending: HashMap::new(),
            signing: HashMap::new(),
            pauses: HashMap::new(),
            wrote: Vec::new(),
            previews: VecDeque::new(),
            preview_bytes: 0,
            unsent: Vec::new(),
            next_row: 0,
            private: false,
            cut_ms: 0,
            cut: Stamp::default(),
        }
    }

    /// Whether no editor is here.
    pub(crate) fn is_deserted(&self) -> bool {
        self.editors.is_empty()
    }

    /// Editors here.
    pub(crate) fn len(&self) -> usize {
        self.editors.len()
    }

    /// Bytes of updates held in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.replica.bytes()
    }

    /// Every element that editors were given or that is durable here: what a deletion takes from them.
    pub(crate) fn everything(&self) -> Ranges {
        let mut all = self.replica.given().structs.clone();
        all.extend(&self.held.structs);
        all
    }

    /// What time alone changes: states that were not renewed end.
    pub(crate) fn tick(&mut self, now_ms: u64) -> Vec<Effect> {
        let own = self.awareness.own(&self.awareness.present());
        let ended = self.awareness.expire(now_ms);
        self.spread(&ended, &ended.intersection(&own).copied().collect())
    }

    /// Everybody who edits or reads here, once each.
    pub(crate) fn readers(&self) -> Vec<Principal> {
        let mut readers: Vec<Principal> = Vec::new();
        for editor in self.editors.values() {
            if !readers.contains(&editor.by) {
                readers.push(editor.by);
            }
        }
        readers
    }

    /// Ends every editor of a reader who lost the right to read.
    pub(crate) fn expel(&mut self, reader: &Principal, now_ms: u64) -> Vec<Effect> {
        let gone: Vec<EditorId> =
            self.editors.iter().filter(|(_, editor)| editor.by == *reader).map(|(id, _)| *id).collect();
        gone.into_iter().flat_map(|id| self.close(id, Close::Forbidden, now_ms)).collect()
    }

    /// Ends every editor.
    pub(crate) fn close_all(&mut self, close: Close) -> Vec<Effect> {
        std::mem::take(&mut self.editors).into_keys().map(|id| Effect::Close(id, close)).collect()
    }

    /// Ends one editor.
    pub(crate) fn close(&mut self, editor: EditorId, close: Close, now_ms: u64) -> Vec<Effect> {
        let mut effects = self.leave(editor, now_ms);
        effects.push(Effect::Close(editor, close));
        effects
    }

    fn to_all(&self, frame: &Bytes) -> Vec<Effect> {
        self.editors.keys().map(|id| Effect::Send(*id, frame.clone())).collect()
    }
}

/// An update as an entry or a row carries it.
pub(crate) fn value_of(update: &Update) -> Value {
    Value::Bytes(update.encode().into())
}
