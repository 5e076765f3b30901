//! What makes one operation valid, from its header and itself alone.

use std::collections::HashSet;

use rustdht_core::{Body, Code, Entry, NetId, Refusal, Slot, Soul, Space, Stamp, Value, Writer};

use crate::{
    Header, Operation,
    key::check_key,
    refuse::{Within, malformed, refuse},
    slot::slot_in,
};

/// Through where a commit came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// HTTP, import, a bridge, the first put: the whole commit is judged, the first refusal refuses it.
    Door,
    /// From another replica: each operation is judged by itself.
    Replica,
}

/// What validity depends on besides the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The network of this node.
    pub net: NetId,
    /// The physical clock, in milliseconds since the epoch.
    pub now_ms: u64,
}

/// What all operations of a commit share.
pub(crate) struct Signer<'a> {
    header: &'a Header,
    /// `~K` of the author.
    root: Soul,
    pub(crate) writer: Writer,
}

impl<'a> Signer<'a> {
    pub(crate) fn new(header: &'a Header) -> Self {
        Self { header, root: Soul::of_key(header.author), writer: Writer::new(&header.author, None) }
    }

    /// Judges one operation.
    ///
    /// # Errors
    /// The first rule that it breaks; `field` names the key.
    pub(crate) fn judge(&self, op: &Operation, place: Place) -> Result<(), Refusal> {
        let space = self.space(&op.soul).within("s")?;
        self.slot(op, &space)?;
        kills_and_base(op, self.header.stamp)?;
        body(op, place)
    }

    /// The soul's space, when the author may write there.
    fn space(&self, soul: &Soul) -> Result<Space, Refusal> {
        if soul.starts_with('~') && soul.placement_key() == self.root.as_str() {
            return Ok(Space::Owned(self.header.author));
        }
        match soul.space() {
            Space::Public => Ok(Space::Public),
            Space::Owned(owner) => {
                check_key(&owner)?;
                refuse(
                    Code::NotAuthorised,
                    "only the key in an owned soul, or whoever holds its certificate, writes it",
                )
            }
            Space::Mirror => refuse(Code::NotAuthorised, "only a bridge writes mirror souls"),
            Space::Content(_) => refuse(Code::Immutable, "a content soul never changes"),
            Space::Local => refuse(Code::LocalSpace, "local souls never leave their gateway"),
        }
    }

    fn slot(&self, op: &Operation, space: &Space) -> Result<(), Refusal> {
        let header = self.header;
        let fits = match (slot_in(&op.kind, space, &header.author, &header.session, &self.writer), &op.slot) {
            (Some(expected), found) => expected == *found,
            (None, Slot::Own) => true,
            (None, Slot::Explicit(slot)) => !space.has_writer_slots() || slot.starts_with(&self.writer.0),
        };
        if fits {
            return Ok(());
        }
        refuse(Code::BadSlot, "not the slot that kind, author, session and space give").within("t")
    }
}

fn kills_and_base(op: &Operation, stamp: Stamp) -> Result<(), Refusal> {
    if !op.kills.is_empty() && !op.slot.is_own() {
        return Err(malformed("only an operation with its own id kills").within("x"));
    }
    if let Some(base) = op.base {
        if !op.kind.is_yjs() || op.kills.is_empty() {
            return Err(malformed("only a text, list or map that kills carries a base").within("b"));
        }
        if base > stamp {
            return refuse(Code::OutOfRange, "a base is at most the stamp").within("b");
        }
    }
    Ok(())
}

fn body(op: &Operation, place: Place) -> Result<(), Refusal> {
    let bad = |part: &str, detail: &'static str| refuse(Code::BadValue, detail).within(part);
    match &op.body {
        Body::Dropped(_) if place == Place::Door => {
            refuse(Code::Malformed, "w travels between replicas only").within("w")
        }
        // Neither is ever dropped: a kill in K would bring back what it killed, a cut-off what it hides.
        Body::Dropped(_) if op.kind.is_null() || op.kind.is_kill() => {
            bad("w", "the value of a null or kill is never dropped")
        }
        Body::Live { value: Value::Null, .. } if op.kind.is_register() => {
            bad("v", "a register never holds null; an entry of kind null deletes")
        }
        Body::Live { value, .. } if op.kind.is_null() && *value != Value::Null => bad("v", "a null has the value null"),
        Body::Live { value, .. }
            if op.kind.is_kill() && !matches!(value, Value::Text(text) if &**text == Entry::ERASE) =>
        {
            bad("v", "a kill has the value \"erase\" or none")
        }
        _ => Ok(()),
    }
}

/// Finds a slot named twice, which only a door can see.
#[derive(Default)]
pub(crate) struct Slots<'a>(HashSet<(&'a str, &'a str, &'a str, &'a [u8])>);

impl<'a> Slots<'a> {
    /// # Errors
    /// `duplicate_operation` when an operation before this one has its slot.
    pub(crate) fn insert(&mut self, op: &'a Entry) -> Result<(), Refusal> {
        match &op.slot {
            Slot::Explicit(slot) if !self.0.insert((&op.soul, &op.field, &op.kind, slot)) => {
                refuse(Code::DuplicateOperation, "a commit names each soul, field, kind and slot at most once")
            }
            _ => Ok(()),
        }
    }
}
