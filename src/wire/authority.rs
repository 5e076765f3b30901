//! The certificates around a commit: which leaves its author stands under, and who vouches for it.

use std::{collections::HashMap, sync::Arc};

use rustdht_core::{CertificateId, Code, CommitId, Refusal};

use crate::{
    Certificates, EndorsedBy, Header, Place, Rules, SignedCertificate, certificate, chain,
    endorse::{self, check_endorser},
    envelope::Envelope,
    refuse::refuse,
    rules::Author,
};

/// What the certificates of an envelope come to.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) author: Author,
    /// The chains of the leaves that hold.
    pub(crate) certificates: Vec<Arc<SignedCertificate>>,
    pub(crate) vouchers: Vec<Voucher>,
    /// An endorsement whose chain cannot be judged yet.
    pub(crate) unknown: Option<Refusal>,
}

/// An endorsement in which everything but the signature is right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Voucher {
    /// Where it stands in `e`.
    pub(crate) at: usize,
    pub(crate) endorsement: EndorsedBy,
    /// The endorser's certificate and those above it.
    pub(crate) chain: Vec<Arc<SignedCertificate>>,
}

/// Certificates that are here, and those that travel along, whose signatures are verified when they are needed.
struct Source<'a> {
    known: &'a Certificates,
    carried: HashMap<CertificateId, (usize, &'a [u8], &'a [u8; 64])>,
    verified: Certificates,
}

impl<'a> Source<'a> {
    fn new(envelope: &'a Envelope<'_>, known: &'a Certificates) -> Self {
        let carried = envelope.certificates.iter().enumerate();
        let carried =
            carried.map(|(at, (bytes, signature))| (certificate::id_of(bytes), (at, *bytes, signature))).collect();
        Self { known, carried, verified: Certificates::new() }
    }

    /// `None`: it is neither here nor travels along.
    fn find(&mut self, id: &CertificateId) -> Result<Option<Arc<SignedCertificate>>, Refusal> {
        if let Some(found) = self.known.get(id).or_else(|| self.verified.get(id)) {
            return Ok(Some(Arc::clone(found)));
        }
        let Some((at, bytes, signature)) = self.carried.get(id) else { return Ok(None) };
        let found = SignedCertificate::decode(bytes, *signature);
        let found = Arc::new(found.map_err(|refusal| refusal.within(&format!("c.{at}")))?);
        self.verified.insert(*id, Arc::clone(&found));
        Ok(Some(found))
    }
}

/// Judges the certificates of an envelope.
///
/// At a door everything that travels along or is named must hold. Between replicas a leaf that does not hold covers nothing,
/// an endorsement that does not hold counts for nothing, and what travels along and does not hold is as if it were not there.
///
/// # Errors
/// `certificate_missing` for a leaf, or the parent of one, that is not here; at a door what does not hold.
pub(crate) fn judge(
    header: &Header,
    envelope: &Envelope<'_>,
    place: Place,
    rules: &Rules<'_>,
) -> Result<Authority, Refusal> {
    let mut source = Source::new(envelope, rules.certificates);
    if place == Place::Door {
        check_carried(&source, envelope)?;
    }
    let mut leaves = Vec::with_capacity(header.auth.len());
    let mut certificates: Vec<Arc<SignedCertificate>> = Vec::new();
    for (at, id) in header.auth.iter().enumerate() {
        match leaf(header, id, place, rules, &mut source) {
            Ok(chain) => {
                leaves.extend(chain.first().cloned());
                certificates.extend(chain);
            }
            Err(refusal) if place == Place::Door || refusal.code == Code::CertificateMissing => {
                return Err(refusal.within(&format!("h.auth.{at}")));
            }
            Err(_) => {}
        }
    }
    let mut vouchers = Vec::with_capacity(envelope.endorsements.len());
    let mut unknown = None;
    for (at, endorsement) in envelope.endorsements.iter().enumerate() {
        match endorser(header, &endorsement.certificate, place, rules, &mut source) {
            Ok(chain) => vouchers.push(Voucher { at, endorsement: *endorsement, chain }),
            Err(refusal) => {
                let refusal = refusal.within(&format!("e.{at}"));
                if place == Place::Door {
                    return Err(refusal);
                }
                if refusal.code == Code::CertificateMissing {
                    unknown.get_or_insert(refusal);
                }
            }
        }
    }
    Ok(Authority { author: Author::new(header.author, leaves), certificates, vouchers, unknown })
}

/// At a door a certificate that travels along holds by itself, needed or not.
fn check_carried(source: &Source<'_>, envelope: &Envelope<'_>) -> Result<(), Refusal> {
    for (at, (bytes, signature)) in envelope.certificates.iter().enumerate() {
        let known = source.known.get(&certificate::id_of(bytes));
        if known.is_none_or(|known| known.signature() != signature) {
            SignedCertificate::decode(bytes, signature).map_err(|refusal| refusal.within(&format!("c.{at}")))?;
        }
    }
    Ok(())
}

fn walk(
    id: &CertificateId,
    place: Place,
    rules: &Rules<'_>,
    source: &mut Source<'_>,
) -> Result<Vec<Arc<SignedCertificate>>, Refusal> {
    chain::walk(id, &rules.net, |id| match source.find(id) {
        // Whoever passes a commit on may have put another signature there; the right one may come another way.
        Err(refusal) if place == Place::Replica && refusal.code == Code::BadSignature => Ok(None),
        found => found,
    })
}

fn leaf(
    header: &Header,
    id: &CertificateId,
    place: Place,
    rules: &Rules<'_>,
    source: &mut Source<'_>,
) -> Result<Vec<Arc<SignedCertificate>>, Refusal> {
    let chain = walk(id, place, rules, source)?;
    if chain.first().is_some_and(|leaf| leaf.certificate().audience != header.author) {
        return refuse(Code::NotAuthorised, "the certificate was issued to another key");
    }
    Ok(chain)
}

fn endorser(
    header: &Header,
    id: &CertificateId,
    place: Place,
    rules: &Rules<'_>,
    source: &mut Source<'_>,
) -> Result<Vec<Arc<SignedCertificate>>, Refusal> {
    let chain = walk(id, place, rules, source)?;
    if let Some(leaf) = chain.first() {
        check_endorser(leaf, &rules.community, header.stamp)?;
    }
    Ok(chain)
}

impl Voucher {
    /// Key, message and signature.
    pub(crate) fn claim(&self, commit: &CommitId) -> Option<(rustdht_core::PublicKey, [u8; 32], [u8; 64])> {
        let leaf = self.chain.first()?;
        Some((leaf.certificate().audience, endorse::digest(commit), self.endorsement.signature))
    }

    /// Whether the endorser's certificate was issued to `key`.
    pub(crate) fn is_by(&self, key: &rustdht_core::PublicKey) -> bool {
        self.chain.first().is_some_and(|leaf| leaf.certificate().audience == *key)
    }
}
