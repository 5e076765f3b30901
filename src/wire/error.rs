//! What can go wrong when stored parts are put together again. What is wrong with foreign bytes is a
//! [`rustdht_core::Refusal`].

use rustdht_core::{CommitId, Refusal};

use crate::limits::MAX_ENVELOPE_BYTES;

/// Why an envelope could not be built from what is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The entry belongs to another commit.
    #[error("operation {index} belongs to commit {found}, not to {wanted}")]
    ForeignEntry {
        /// The commit that the envelope is for.
        wanted: CommitId,
        /// The commit of the entry.
        found: CommitId,
        /// The operation's index.
        index: u16,
    },
    /// No entry was given.
    #[error("an envelope carries at least one operation")]
    NoEntries,
    /// A content commit travels whole, and these are not all of its operations.
    #[error("a content commit of {of} operations travels whole; {found} were given")]
    NotWhole {
        /// How many it has.
        of: u16,
        /// How many were given.
        found: usize,
    },
    /// Neither all leaves nor the proof of this operation are stored.
    #[error("no proof of operation {0} is stored")]
    Unproven(u16),
    /// One operation alone exceeds the bound asked for, or several together exceed what an envelope may hold.
    #[error("the envelope would have {0} bytes; at most {MAX_ENVELOPE_BYTES} are allowed, or fewer were asked for")]
    TooLarge(usize),
    /// The stored header or proofs do not decode.
    #[error("the stored commit does not decode: {0}")]
    Stored(#[from] Refusal),
}
