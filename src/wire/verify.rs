//! Signatures: the last check, alone or in batches.

use rustdht_core::{Entry, Refusal, Timing, ports::StoredCommit};

use crate::{
    Header,
    key::{verify_signature, verify_signatures},
    refuse::Within,
};

/// Signatures verified together. Larger batches gain little, and one forgery costs its batch a second pass.
const BATCH: usize = 128;

/// A commit in which everything but the signature is right.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    verified: Verified,
    signature: [u8; 64],
}

/// A commit, or a part of one, that passed every check.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// The header.
    pub header: Header,
    /// What is stored of the commit beside its entries.
    pub commit: StoredCommit,
    /// Whether the stamp is due; never [`Timing::TooEarly`].
    pub timing: Timing,
    /// The operations by index: entries, and between replicas those refused by themselves.
    pub entries: Vec<(u16, Result<Entry, Refusal>)>,
    /// Whether any entry came without its value (`w`): it waits until what covers it is here.
    pub value_less: bool,
}

impl Checked {
    pub(crate) fn new(verified: Verified, signature: [u8; 64]) -> Self {
        Self { verified, signature }
    }

    /// The header, whose signature is not verified yet.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.verified.header
    }

    /// The operations, whose signature is not verified yet.
    pub fn operations(&self) -> &[(u16, Result<Entry, Refusal>)] {
        &self.verified.entries
    }

    /// Whether the stamp is due.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.verified.timing
    }

    /// Verifies the signature.
    ///
    /// # Errors
    /// `bad_signature`.
    pub fn verify(self) -> Result<Verified, Refusal> {
        let Self { verified, signature } = self;
        verify_signature(&verified.header.author, &verified.commit.id.0, &signature).within("g")?;
        Ok(verified)
    }
}

/// Verifies many signatures, at about half the cost of one by one. The outcome of each is that of [`Checked::verify`].
pub fn verify_batch(checked: Vec<Checked>) -> Vec<Result<Verified, Refusal>> {
    let items: Vec<_> = checked
        .iter()
        .map(|Checked { verified, signature }| (verified.header.author, verified.commit.id.0, *signature))
        .collect();
    let outcomes = items.chunks(BATCH).flat_map(verify_signatures);
    checked.into_iter().zip(outcomes).map(|(checked, outcome)| outcome.within("g").map(|()| checked.verified)).collect()
}
