//! Field keys and kind names: bounded UTF-8 without U+0000, compared byte for byte, never normalised.

use std::{fmt, ops::Deref, str::FromStr, sync::Arc};

use crate::{Code, Refusal};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal, $code:expr, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Greatest length in bytes.
            pub const MAX_BYTES: usize = $max;

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Refusal;
            fn from_str(text: &str) -> Result<Self, Refusal> {
                if text.is_empty() || text.len() > $max || text.contains('\0') {
                    return Err(Refusal::new($code, concat!($what, " is 1 to ", $max, " bytes of UTF-8 without U+0000")));
                }
                Ok(Self(text.into()))
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name!(
    /// The key of a field of a node.
    Field, 256, Code::BadField, "a field key"
);
name!(
    /// The name of a CRDT kind.
    Kind, 32, Code::BadKind, "a kind name"
);

macro_rules! kinds {
    ($($(#[$doc:meta])* $constant:ident, $test:ident = $text:literal;)*) => {
        impl Kind {
            $($(#[$doc])* pub const $constant: &'static str = $text;)*
            $($(#[$doc])* #[must_use] pub fn $test(&self) -> bool { &*self.0 == $text })*

            /// The closed list of v 1: for these the slot is checked; every other kind is judged as unknown.
            pub const LISTED: &'static [&'static str] = &[$($text,)*];
        }
    };
}

kinds! {
    /// The greatest entry wins.
    REGISTER, is_register = "register";
    /// A deletion: the cut-off of its field.
    NULL, is_null = "null";
    /// A removal of observed entries, or an erase.
    KILL, is_kill = "kill";
    /// Observed-remove set, add wins.
    SET, is_set = "set";
    /// Enable-wins flag.
    FLAG, is_flag = "flag";
    /// Sum of running totals.
    COUNTER, is_counter = "counter";
    /// Greatest of the slots.
    MAX, is_max = "max";
    /// Least of the slots.
    MIN, is_min = "min";
    /// Yjs text.
    TEXT, is_text = "text";
    /// Yjs array.
    LIST, is_list = "list";
    /// Yjs map.
    MAP, is_map = "map";
}

impl Kind {
    /// The kind named `text`, a constant of this type.
    #[must_use]
    pub fn listed(text: &'static str) -> Self {
        debug_assert!(Self::LISTED.contains(&text), "not a listed kind");
        Self(text.into())
    }

    /// Whether v 1 lists this kind.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        Self::LISTED.contains(&&*self.0)
    }

    /// text, list or map: the kinds whose compactions carry a base stamp.
    #[must_use]
    pub fn is_yjs(&self) -> bool {
        self.is_text() || self.is_list() || self.is_map()
    }
}
