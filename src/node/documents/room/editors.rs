//! Editors: what they send, and what they are sent.

use std::collections::BTreeSet;

use rustdht_core::{Code, Refusal};
use rustdht_graph::yjs::{StateVector, Update, split};

use super::{Editor, Effect, Room, Staged};
use crate::{
    Principal,
    documents::{
        Close, EditorId, UserTag,
        limits::{MAX_DOCUMENT_BYTES, MAX_ECHO_BYTES, MAX_RANGES, STRUCT_BYTES},
        live::Body,
        message::{self, Message},
    },
};

/// The reason given to a client whose change was dropped.
const READ_ONLY: &str = "you may read this document, not change it";

fn refused(refusal: &Refusal) -> Close {
    if refusal.code == Code::TooLarge { Close::TooLarge } else { Close::Malformed }
}

/// Whether two updates that came at the same time bring the same elements, not in the same form.
fn differ(staged: &Update, update: &Update) -> bool {
    let structs = update.structs();
    if !structs.meets(&staged.structs()) {
        return false;
    }
    let both = |update: &Update, other: &Update| {
        let mut outside = update.structs();
        outside.subtract(&other.structs());
        update.without(&outside, update.deletes()).encode()
    };
    both(staged, update) != both(update, staged)
}

impl Room {
    /// An editor comes: it is asked for what is not durable here, and told who else is there.
    pub(crate) fn join(&mut self, id: EditorId, by: Principal, user: UserTag, may_write: bool) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.editors.is_empty() && !self.private {
            effects.push(Effect::Tell(Body::Query));
        }
        self.editors.insert(id, Editor { by, user, may_write });
        effects.push(Effect::Send(id, message::step_1(&self.held.state_vector().encode())));
        if !self.awareness.is_empty() {
            effects.push(Effect::Send(id, self.present()));
        }
        effects
    }

    fn present(&self) -> bytes::Bytes {
        message::awareness(&self.awareness.encode(&self.awareness.present()))
    }

    /// An editor went.
    pub(crate) fn leave(&mut self, id: EditorId, now_ms: u64) -> Vec<Effect> {
        if self.editors.remove(&id).is_none() {
            return Vec::new();
        }
        let ended = self.awareness.leave(id, now_ms);
        self.spread(&ended, &ended)
    }

    /// A frame of an editor.
    pub(crate) fn frame(&mut self, id: EditorId, frame: &[u8], now_ms: u64) -> Vec<Effect> {
        let Ok(messages) = message::read(frame) else { return self.close(id, Close::Malformed, now_ms) };
        let mut effects = Vec::new();
        for message in messages {
            if !self.editors.contains_key(&id) {
                break;
            }
            let done = match message {
                Message::Step1(vector) => self.step_1(id, vector),
                Message::Update(update) => self.update(id, update),
                Message::Awareness(states) => self.states(id, states, now_ms),
                Message::QueryAwareness => Ok(vec![Effect::Send(id, self.present())]),
            };
            match done {
                Ok(more) => effects.extend(more),
                Err(close) => effects.extend(self.close(id, close, now_ms)),
            }
        }
        effects
    }

    fn step_1(&mut self, id: EditorId, vector: &[u8]) -> Result<Vec<Effect>, Close> {
        let vector = StateVector::decode(vector).map_err(|_| Close::Malformed)?;
        // Before it is sent anything or heard: it would bring back what was deleted.
        if vector.iter().any(|(client, _)| !self.hidden.of(client).is_empty()) {
            return Err(Close::Deleted);
        }
        Ok(vec![Effect::Send(id, message::step_2(&self.replica.diff(&vector)))])
    }

    fn update(&mut self, id: EditorId, bytes: &[u8]) -> Result<Vec<Effect>, Close> {
        let update = Update::decode(bytes).map_err(|refusal| refused(&refusal))?;
        let new = self.held.rest(&update);
        let conflict =
            self.replica.contradicts(&update) || self.staged.iter().any(|staged| differ(&staged.update, &update));
        let Some(editor) = self.editors.get(&id) else { return Ok(Vec::new()) };
        if new.is_empty() && !conflict {
            return Ok(Vec::new());
        }
        if !editor.may_write {
            return Ok(vec![Effect::Send(id, message::permission_denied(READ_ONLY))]);
        }
        if self.hidden.meets(&new.structs()) || self.hidden.meets(new.deletes()) {
            return Err(Close::Deleted);
        }
        let by = editor.by;
        // Other content under the name of an element that is here: another author's, or of a copy of a client.
        if conflict {
            return Err(Close::Forbidden);
        }
        // What cannot be signed is refused before anybody sees it.
        split(&new, self.most()).map_err(|refusal| refused(&refusal))?;
        let staged: usize = self.staged.iter().map(|staged| staged.update.struct_count()).sum();
        let more = bytes.len() + (staged + new.struct_count()) * STRUCT_BYTES;
        if self.bytes() + more > MAX_DOCUMENT_BYTES || self.held.len() > MAX_RANGES {
            return Err(Close::TooLarge);
        }
        self.held.add(&new);
        self.staged.push(Staged { editor: Some(id), by, update: new });
        Ok(Vec::new())
    }

    fn states(&mut self, id: EditorId, states: &[u8], now_ms: u64) -> Result<Vec<Effect>, Close> {
        let Some(editor) = self.editors.get(&id) else { return Ok(Vec::new()) };
        let applied = self.awareness.editor_says(id, &editor.user, states, now_ms).map_err(|_| Close::Malformed)?;
        let mut effects = self.spread(&applied.changed, &applied.changed);
        if !applied.ended.is_empty() {
            effects.push(Effect::Send(id, message::awareness(&self.awareness.encode(&applied.ended))));
        }
        Ok(effects)
    }

    /// Tells every editor of the states of `changed`, and the other gateways of those of `own`.
    pub(super) fn spread(&self, changed: &BTreeSet<u64>, own: &BTreeSet<u64>) -> Vec<Effect> {
        if changed.is_empty() {
            return Vec::new();
        }
        let frame = message::awareness(&self.awareness.encode(changed));
        let mut effects = self.to_all(&frame);
        if !self.private {
            let parts = self.awareness.encode_parts(own);
            effects.extend(parts.into_iter().map(|part| Effect::Tell(Body::Awareness(part.into()))));
        }
        effects
    }

    /// Gives editors what became ready; whoever sent it gets it too and knows that it is durable.
    pub(super) fn give(&self, ready: Option<&Update>) -> Vec<Effect> {
        ready.map_or_else(Vec::new, |update| self.to_all(&message::update(&update.encode())))
    }

    /// Tells an editor that its change is durable, where nobody can be given it yet.
    pub(super) fn acknowledge(&self, id: EditorId, update: &Update) -> Option<Effect> {
        let bytes = update.encode();
        let known = self.editors.contains_key(&id);
        (known && bytes.len() <= MAX_ECHO_BYTES).then(|| Effect::Send(id, message::update(&bytes)))
    }
}
