//! Operations on a field, as JSON names them.

use rustdht_core::{Kind, Value};

use crate::{Content, Wanted};

/// One operation of `POST /api/v1/commits` in JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Anything PATCH takes.
    Set(Wanted),
    /// Deletes the field; with `erase` its values are forgotten everywhere.
    Delete {
        /// Whether values are forgotten.
        erase: bool,
    },
    /// Adds an element to a set.
    Add(Value),
    /// Removes an element from a set.
    Remove(Value),
    /// Changes a counter's own total.
    Increment(i64),
    /// Switches a flag on.
    Enable,
    /// Switches a flag off.
    Disable,
    /// Inserts into a text or list.
    Insert {
        /// text or list.
        kind: Kind,
        /// UTF-16 code units in a text, elements in a list.
        index: u64,
        /// A text, or one element.
        value: Content,
    },
    /// Replaces a part of a text or list.
    Splice {
        /// text or list.
        kind: Kind,
        /// UTF-16 code units in a text, elements in a list.
        index: u64,
        /// How much goes, in the same units.
        delete: u64,
        /// What comes there: a text, or an array of elements.
        value: Option<Content>,
    },
    /// Sets a key of a map.
    SetKey {
        /// map.
        kind: Kind,
        /// The key.
        key: String,
        /// Its value.
        value: Content,
    },
    /// Removes a key from a map.
    RemoveKey {
        /// map.
        kind: Kind,
        /// The key.
        key: String,
    },
}

impl Action {
    /// The operation's name in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Set(_) | Self::SetKey { .. } => "set",
            Self::Delete { .. } => "delete",
            Self::Add(_) => "add",
            Self::Remove(_) | Self::RemoveKey { .. } => "remove",
            Self::Increment(_) => "increment",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Insert { .. } => "insert",
            Self::Splice { .. } => "splice",
        }
    }

    /// The kind that it works on; `None` for those that any field takes.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Set(_) | Self::Delete { .. } => None,
            Self::Add(_) | Self::Remove(_) => Some(Kind::listed(Kind::SET)),
            Self::Increment(_) => Some(Kind::listed(Kind::COUNTER)),
            Self::Enable | Self::Disable => Some(Kind::listed(Kind::FLAG)),
            Self::Insert { kind, .. }
            | Self::Splice { kind, .. }
            | Self::SetKey { kind, .. }
            | Self::RemoveKey { kind, .. } => Some(kind.clone()),
        }
    }
}
