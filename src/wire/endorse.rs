//! Endorsements: a member gateway's word for a commit.

use rustdht_core::{CertificateId, Code, CommitId, PublicKey, Refusal, Soul, Stamp};

use crate::{SignedCertificate, SigningKey, refuse::refuse, signed};

const LABEL: &str = "rustdht/endorse/1";

/// An endorsement of a commit that is known from around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndorsedBy {
    /// The endorser's certificate.
    pub certificate: CertificateId,
    /// Over `BLAKE3("rustdht/endorse/1" || commit id)`, by the certificate's audience.
    pub signature: [u8; 64],
}

/// The signature that endorses a commit.
#[must_use]
pub fn endorse(key: &SigningKey, commit: &CommitId) -> [u8; 64] {
    signed::sign(key, LABEL, &commit.0)
}

/// What an endorser signs.
pub(crate) fn digest(commit: &CommitId) -> [u8; 32] {
    signed::digest(LABEL, &commit.0)
}

/// Whether the holder of a certificate, whose chain holds, may endorse a commit of this stamp.
///
/// # Errors
/// `not_authorised` without the right or in another space than `~C`; `certificate_expired`.
pub(crate) fn check_endorser(
    certificate: &SignedCertificate,
    community: &PublicKey,
    stamp: Stamp,
) -> Result<(), Refusal> {
    let certificate = certificate.certificate();
    if !certificate.rights.endorse || certificate.space != Soul::of_key(*community) {
        return refuse(Code::NotAuthorised, "an endorser holds a certificate of the community with the right endorse");
    }
    if !certificate.admits(stamp) {
        return refuse(Code::CertificateExpired, "the stamp lies outside the times of the endorser's certificate");
    }
    Ok(())
}
