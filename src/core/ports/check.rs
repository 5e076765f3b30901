//! What an integrity check of the stored rows finds.

use super::{EndorsedPartition, IndexRow};
use crate::Soul;

/// Namespace of the private rows that hold what was taken out of the graph because it could not be used. A key begins
/// with the soul, a zero byte, the field and a zero byte, as far as they could be read.
pub const LOST_AND_FOUND: &str = "lost+found";

/// A kind of stored row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Signed parts of commits.
    #[default]
    Commits,
    /// Entries of the state.
    Entries,
    /// Where entries and endorsements are found by record id.
    Records,
    /// Endorsements of commits.
    Endorsements,
    /// Displaced entries.
    History,
    /// The change feed.
    Feed,
}

impl Table {
    /// Every table, in the order in which a check goes through them.
    pub const ALL: [Self; 6] =
        [Self::Commits, Self::Entries, Self::Records, Self::Endorsements, Self::History, Self::Feed];

    /// The name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commits => "commits",
            Self::Entries => "entries",
            Self::Records => "records",
            Self::Endorsements => "endorsements",
            Self::History => "history",
            Self::Feed => "feed",
        }
    }
}

/// Where a check goes on; the default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckCursor {
    /// The table.
    pub table: Table,
    /// The row behind which to go on.
    pub row: i64,
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It cannot be decoded. Taken out by a repair.
    Unreadable(String),
    /// An entry or endorsement whose commit is not stored: nobody could be shown that it is genuine. Taken out.
    CommitMissing,
    /// A header whose hash is not the commit's id, or a signature of another length. Taken out, with all that the commit
    /// has.
    CommitForged,
    /// A commit that counts other entries than it has. Counted anew; one without entries is removed.
    Count {
        /// Entries according to the row.
        counted: i64,
        /// Entries stored.
        stored: i64,
    },
    /// An entry or endorsement that is not found by its record id. Entered anew.
    Unfindable,
    /// A record id that leads nowhere. Removed.
    Dangling,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::CommitMissing => f.write_str("its commit is not stored"),
            Self::CommitForged => f.write_str("the header is not the one that was signed"),
            Self::Count { counted, stored } => write!(f, "counts {counted} entries and has {stored}"),
            Self::Unfindable => f.write_str("is not found by its record id"),
            Self::Dangling => f.write_str("leads to no row"),
        }
    }
}

/// A row that cannot be used as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands.
    pub table: Table,
    /// Its number there.
    pub row: i64,
    /// The soul it belongs to, if it belongs to one and says so readably.
    pub soul: Option<Soul>,
    /// What is wrong.
    pub damage: Damage,
}

/// A page of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckPage {
    /// The faults among the rows looked at.
    pub faults: Vec<Fault>,
    /// Rows looked at.
    pub rows: u64,
    /// Where to go on; `None`: the check is through.
    pub next: Option<CheckCursor>,
}

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Rows taken out into [`LOST_AND_FOUND`].
    pub quarantined: u64,
    /// Rows put right where they stand.
    pub mended: u64,
    /// Entries that left the state: their records go from the reconciliation index, and members are asked for them anew.
    /// One whose id could not be read is not among them; the index is right again after a restart.
    pub gone: Vec<IndexRow>,
    /// Endorsed partitions that ended.
    pub ended: Vec<EndorsedPartition>,
    /// The number of the change feed's row that names the souls touched, or of the last row when there are none.
    pub feed: u64,
}
