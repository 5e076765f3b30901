//! Signatures: the last check, alone or in batches, and what follows from who vouched.

use std::{ops::Range, sync::Arc};

use rustdht_core::{Body, Code, Entry, PublicKey, Refusal, Timing, ports::StoredCommit};

use crate::{
    EndorsedBy, Header, Place, SignedCertificate,
    authority::Voucher,
    key::{verify_signature, verify_signatures},
    refuse::Within,
};

/// Signatures verified together. Larger batches gain little, and one forgery costs its batch a second pass.
const BATCH: usize = 128;

/// A commit in which everything but the signatures is right.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    verified: Verified,
    /// `None`: a content commit.
    signature: Option<[u8; 64]>,
    place: Place,
    vouchers: Vec<Voucher>,
    needs: Vec<Need>,
    /// An endorsement that cannot be judged before its certificate is here.
    unknown: Option<Refusal>,
}

/// An operation that needs somebody's word, by its position among the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) position: usize,
    pub(crate) of: Wanted,
}

/// Whose word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Of any member gateway.
    Member,
    /// Of the author, who is a member gateway.
    Author,
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
    /// The operations by index: entries, and between replicas those refused by themselves. One that is refused as
    /// `certificate_missing` (its endorser's) may pass later.
    pub entries: Vec<(u16, Result<Entry, Refusal>)>,
    /// Whether any entry came without its value (`w`): it waits until what covers it is here.
    pub value_less: bool,
    /// Endorsements that hold.
    pub endorsements: Vec<EndorsedBy>,
    /// The chains of the leaves that hold, and of the endorsers: what is stored beside the commit.
    pub certificates: Vec<Arc<SignedCertificate>>,
}

/// Key, message and signature.
type Claim = (PublicKey, [u8; 32], [u8; 64]);

impl Verified {
    pub(crate) fn new(
        header: Header,
        commit: StoredCommit,
        timing: Timing,
        entries: Vec<(u16, Result<Entry, Refusal>)>,
    ) -> Self {
        let value_less = entries.iter().any(|(_, entry)| matches!(entry, Ok(Entry { body: Body::Dropped(_), .. })));
        Self { header, commit, timing, entries, value_less, endorsements: Vec::new(), certificates: Vec::new() }
    }
}

impl Checked {
    pub(crate) fn signed(
        verified: Verified,
        signature: [u8; 64],
        place: Place,
        vouchers: Vec<Voucher>,
        needs: Vec<Need>,
        unknown: Option<Refusal>,
    ) -> Self {
        Self { verified, signature: Some(signature), place, vouchers, needs, unknown }
    }

    pub(crate) fn unsigned(verified: Verified) -> Self {
        Self {
            verified,
            signature: None,
            place: Place::Replica,
            vouchers: Vec::new(),
            needs: Vec::new(),
            unknown: None,
        }
    }

    /// The header, whose signature is not verified yet.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.verified.header
    }

    /// The operations, whose signature is not verified yet, nor that of who vouched for them.
    pub fn operations(&self) -> &[(u16, Result<Entry, Refusal>)] {
        &self.verified.entries
    }

    /// Whether the stamp is due.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.verified.timing
    }

    /// Verifies the signatures, of the author and of whoever vouched.
    ///
    /// # Errors
    /// `bad_signature`.
    pub fn verify(self) -> Result<Verified, Refusal> {
        let mut claims = Vec::new();
        self.claims(&mut claims);
        let outcomes: Vec<_> =
            claims.iter().map(|(key, message, signature)| verify_signature(key, message, signature)).collect();
        self.conclude(&outcomes)
    }

    /// Appends what is to be verified: the author's signature, then one for each voucher.
    fn claims(&self, claims: &mut Vec<Claim>) {
        let id = &self.verified.commit.id;
        claims.extend(self.signature.map(|signature| (self.verified.header.author, id.0, signature)));
        claims.extend(self.vouchers.iter().filter_map(|voucher| voucher.claim(id)));
    }

    /// What the outcomes of [`Checked::claims`] come to.
    fn conclude(self, outcomes: &[Result<(), Refusal>]) -> Result<Verified, Refusal> {
        let Self { mut verified, signature, place, vouchers, needs, unknown } = self;
        let mut outcomes = outcomes.iter().cloned();
        if signature.is_some() {
            let missing = || Err(Refusal::new(Code::BadSignature, "a signature was not looked at"));
            outcomes.next().unwrap_or_else(missing).within("g")?;
        }
        let mut by_author = false;
        for (voucher, outcome) in vouchers.into_iter().zip(outcomes) {
            match outcome {
                Ok(()) => {
                    by_author |= voucher.is_by(&verified.header.author);
                    verified.endorsements.push(voucher.endorsement);
                    verified.certificates.extend(voucher.chain);
                }
                Err(refusal) if place == Place::Door => return Err(refusal.within(&format!("e.{}", voucher.at))),
                Err(_) => {}
            }
        }
        if verified.certificates.len() > 1 {
            verified.certificates.sort_by_key(|certificate| certificate.id());
            verified.certificates.dedup_by_key(|certificate| certificate.id());
        }
        for Need { position, of } in needs {
            let vouched = match of {
                Wanted::Member => !verified.endorsements.is_empty(),
                Wanted::Author => by_author,
            };
            if !vouched && let Some((index, entry @ Ok(_))) = verified.entries.get_mut(position) {
                *entry = Err(unknown.clone().unwrap_or_else(|| unvouched(of, *index)));
            }
        }
        let dropped =
            |(_, entry): &(u16, Result<Entry, Refusal>)| matches!(entry, Ok(Entry { body: Body::Dropped(_), .. }));
        verified.value_less = verified.value_less && verified.entries.iter().any(dropped);
        Ok(verified)
    }
}

fn unvouched(wanted: Wanted, index: u16) -> Refusal {
    let detail = match wanted {
        Wanted::Member => "no member gateway endorses the commit",
        Wanted::Author => "the author of a mirror soul is not a member gateway that endorses the commit",
    };
    Refusal::new(Code::NotAuthorised, detail).within(&format!("ops.{index}.s"))
}

/// Verifies many signatures, at about half the cost of one by one. The outcome of each is that of [`Checked::verify`].
pub fn verify_batch(checked: Vec<Checked>) -> Vec<Result<Verified, Refusal>> {
    let mut claims = Vec::with_capacity(checked.len());
    let mut parts: Vec<Range<usize>> = Vec::with_capacity(checked.len());
    for one in &checked {
        let start = claims.len();
        one.claims(&mut claims);
        parts.push(start..claims.len());
    }
    let outcomes: Vec<_> = claims.chunks(BATCH).flat_map(verify_signatures).collect();
    checked.into_iter().zip(parts).map(|(checked, part)| checked.conclude(&outcomes[part])).collect()
}
