//! Chains of certificates, from the leaf up to the owner of the space.

use std::sync::Arc;

use rustdht_core::{CertificateId, Code, NetId, Refusal, Soul};

use crate::{Certificates, SignedCertificate, limits::MAX_CHAIN, refuse::refuse};

/// The chain from `leaf` up to the certificate that the owner issued.
///
/// Each is of this network, issued by the audience of its parent, which may delegate, and lies within it in space,
/// prefixes, fields, rights and times; the last is issued by K of its space. At most 8.
///
/// # Errors
/// `certificate_missing`, with the CID in `detail`, when one of them is not in `known`; else `not_authorised`.
pub fn chain(leaf: &CertificateId, known: &Certificates, net: &NetId) -> Result<Vec<Arc<SignedCertificate>>, Refusal> {
    walk(leaf, net, |id| Ok(known.get(id).cloned()))
}

/// The first certificate on the way up from `leaf` that is not in `known`.
#[must_use]
pub fn missing(leaf: &CertificateId, known: &Certificates) -> Option<CertificateId> {
    let mut next = Some(*leaf);
    for _ in 0..MAX_CHAIN {
        let id = next?;
        match known.get(&id) {
            Some(found) => next = found.certificate().parent,
            None => return Some(id),
        }
    }
    None
}

/// As [`chain`], over any source of certificates.
pub(crate) fn walk(
    leaf: &CertificateId,
    net: &NetId,
    mut find: impl FnMut(&CertificateId) -> Result<Option<Arc<SignedCertificate>>, Refusal>,
) -> Result<Vec<Arc<SignedCertificate>>, Refusal> {
    let mut chain: Vec<Arc<SignedCertificate>> = Vec::with_capacity(2);
    let mut next = Some(*leaf);
    while let Some(id) = next {
        if chain.len() == MAX_CHAIN {
            return refuse(Code::NotAuthorised, "a chain has at most 8 certificates");
        }
        let Some(found) = find(&id)? else {
            return refuse(Code::CertificateMissing, format!("the certificate {} is not here", id.to_cid()));
        };
        let certificate = found.certificate();
        if certificate.net != *net {
            return refuse(Code::NotAuthorised, "the certificate belongs to another network");
        }
        if let Some(child) = chain.last() {
            child.certificate().lies_within(certificate)?;
        }
        next = certificate.parent;
        if next.is_none() && Soul::of_key(certificate.issuer) != certificate.space {
            return refuse(Code::NotAuthorised, "a chain ends in a certificate that the owner of the space issued");
        }
        chain.push(found);
    }
    Ok(chain)
}
