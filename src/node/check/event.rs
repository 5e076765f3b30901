//! What a check tells.

use serde::Serialize;

/// What became of a link that leads to nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Nothing was tried.
    Dangling,
    /// A member had what it names; it is here now.
    Fetched,
    /// It was removed.
    Removed,
    /// Nobody has what it names, and the owner of this gateway may not remove it, or it changed meanwhile.
    Left,
}

/// An event of a check; one JSON object with its name in `event`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum CheckEvent {
    /// A stored row that cannot be used as it is.
    Row {
        /// The kind of row.
        table: &'static str,
        /// Its number.
        row: i64,
        /// The node that it belongs to, as far as that can be read.
        soul: Option<String>,
        /// What is wrong.
        problem: String,
        /// Whether it was put right, or put aside.
        repaired: bool,
    },
    /// An entry that does not follow from what its author signed.
    Entry {
        /// The node.
        soul: String,
        /// The field.
        field: String,
        /// The entry.
        id: String,
        /// Its commit.
        commit: String,
        /// Why it does not hold.
        problem: String,
        /// Whether it was put aside.
        repaired: bool,
    },
    /// A commit with an endorsement that does not hold. It counts for nothing.
    Endorsement {
        /// The commit.
        commit: String,
        /// The certificate of the endorser.
        certificate: String,
    },
    /// A link in what a node shows, to a node that shows nothing here.
    Link {
        /// The node.
        soul: String,
        /// The field.
        field: String,
        /// What it names.
        target: String,
        /// What became of it.
        fate: Fate,
    },
    /// A sign of life.
    Progress {
        /// Rows looked at.
        rows: u64,
        /// Nodes looked at.
        souls: u64,
    },
    /// The check could not go on.
    Failed {
        /// Why.
        detail: String,
    },
    /// The last event.
    Done {
        /// Whether everything was looked at.
        complete: bool,
        /// Rows looked at.
        rows: u64,
        /// Nodes looked at.
        souls: u64,
        /// Entries verified.
        entries: u64,
        /// Findings.
        findings: u64,
        /// Findings that were put right.
        repaired: u64,
    },
}
