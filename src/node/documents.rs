//! Open documents: fields of kind text, list or map that editors have open over the y-websocket protocol.
//!
//! One room for each open field: a task with a bounded mailbox that alone changes the room, so a change is journalled,
//! passed on and signed in one order. The room itself is without I/O.

mod awareness;
#[cfg(test)]
mod client;
mod hidden;
mod journal;
mod lib0;
mod limits;
mod live;
mod message;
mod outbox;
mod replica;
mod room;
mod rooms;
mod state;
mod task;
#[cfg(test)]
mod tests;

pub(crate) use hidden::Hidden;
pub use limits::MAX_FRAME_BYTES as MAX_DOCUMENT_FRAME_BYTES;
pub use outbox::{Close, DocumentHandle, Outbox, Outgoing};
pub(crate) use rooms::{Documents, heard, run};

/// An editor of one room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EditorId(pub(crate) u64);

/// Who an editor is, as the others see it in awareness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserTag {
    /// Names the user for programs: an account's key, or a word for others.
    pub id: String,
    /// Names the user for people.
    pub name: String,
}
