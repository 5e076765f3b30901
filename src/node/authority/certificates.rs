//! The certificates that are here: each with its whole chain, in rows of their own, found by id, by whom they were
//! issued to and by whom they were issued.

use std::{
    cmp::Reverse,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use rustdht_core::{
    CertificateId, Code, Field, PublicKey, Refusal, Soul, Space, Stamp,
    ports::{SideRow, StoreError},
};
use rustdht_wire::{Certificate, Certificates, SignedCertificate, limits::MAX_CHAIN};

use super::{Authority, Revoked};
use crate::private;

/// Namespace: key = id, value = DAG-CBOR [bytes, signature].
pub(crate) const NS: &str = "certificate";
/// Namespace: key = audience and id.
const NS_TO: &str = "certificate_to";
/// Namespace: key = issuer and id.
const NS_BY: &str = "certificate_by";
/// Certificates of one audience or issuer that are looked at.
const MOST: u32 = 1024;

/// Which certificates to list: those for which all that is named holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CertificateFilter {
    /// The key that issued it.
    pub issuer: Option<PublicKey>,
    /// The key that it was issued to.
    pub audience: Option<PublicKey>,
    /// K of the space.
    pub space: Option<PublicKey>,
}

impl CertificateFilter {
    fn wants(&self, certificate: &Certificate) -> bool {
        self.issuer.is_none_or(|key| certificate.issuer == key)
            && self.audience.is_none_or(|key| certificate.audience == key)
            && self.space.is_none_or(|key| certificate.space.space() == Space::Owned(key))
    }
}

/// A certificate that a key holds, with the chain from it up.
#[derive(Clone, Debug)]
pub(crate) struct Holding {
    pub(crate) chain: Vec<Arc<SignedCertificate>>,
}

impl Holding {
    pub(crate) fn leaf(&self) -> Option<&Arc<SignedCertificate>> {
        self.chain.first()
    }

    /// Whether the holder may write there under it now.
    pub(crate) fn lets_write(&self, soul: &Soul, field: &Field, stamp: Stamp, revoked: &Revoked) -> bool {
        self.leaf().is_some_and(|leaf| {
            let certificate = leaf.certificate();
            certificate.rights.write
                && certificate.covers(soul, field)
                && certificate.admits(stamp)
                && (!private::holds_keys(soul, field) || private::entitles(certificate))
                && !revoked.covers_at(&self.chain, stamp)
        })
    }
}

fn by_key(ns: &'static str, key: &PublicKey, id: &CertificateId) -> SideRow {
    SideRow { ns, key: [key.0, id.0].concat(), value: Some(Vec::new()), insert_only: false }
}

/// The rows that keep a certificate.
pub(crate) fn rows_of(certificate: &SignedCertificate) -> [SideRow; 3] {
    let id = certificate.id();
    let whole = SideRow { ns: NS, key: id.0.to_vec(), value: Some(certificate.encode_pair()), insert_only: false };
    let body = certificate.certificate();
    [whole, by_key(NS_TO, &body.audience, &id), by_key(NS_BY, &body.issuer, &id)]
}

impl Authority {
    /// A certificate that is here.
    pub(crate) async fn certificate(&self, id: &CertificateId) -> Result<Option<Arc<SignedCertificate>>, StoreError> {
        if let Some(known) = self.certificates.get(id) {
            return Ok(Some(known));
        }
        let Some(pair) = self.store.side_get(NS, &id.0).await? else { return Ok(None) };
        match SignedCertificate::decode_pair(&pair) {
            Ok(certificate) => {
                let certificate = Arc::new(certificate);
                self.certificates.insert(*id, Arc::clone(&certificate));
                Ok(Some(certificate))
            }
            Err(refusal) => {
                tracing::error!(certificate = %id, %refusal, "a stored certificate is damaged");
                Ok(None)
            }
        }
    }

    /// These certificates and those above them, as far as they are here.
    pub(crate) async fn certificates(
        &self,
        ids: impl IntoIterator<Item = CertificateId>,
    ) -> Result<Certificates, StoreError> {
        let mut found = Certificates::new();
        for id in ids {
            let mut next = Some(id);
            for _ in 0..MAX_CHAIN {
                let Some(id) = next.filter(|id| !found.contains_key(id)) else { break };
                let Some(certificate) = self.certificate(&id).await? else { break };
                next = certificate.certificate().parent;
                found.insert(id, certificate);
            }
        }
        Ok(found)
    }

    /// What the checks of these envelopes need.
    pub(crate) async fn certificates_for(&self, envelopes: &[Bytes]) -> Result<Certificates, StoreError> {
        let mut ids: Vec<CertificateId> = Vec::new();
        for envelope in envelopes {
            // Whatever is wrong with it the check says.
            let Ok(named) = rustdht_wire::named(envelope) else { continue };
            ids.extend(named.auth);
            ids.extend(named.endorsers);
            ids.extend(named.carried.iter().flat_map(|(id, parent)| [Some(*id), *parent]).flatten());
        }
        ids.sort_unstable();
        ids.dedup();
        self.certificates(ids).await
    }

    /// The chain of a certificate that is here; `None` when it, or one above it, is not.
    pub(crate) async fn chain(&self, leaf: &CertificateId) -> Result<Option<Vec<Arc<SignedCertificate>>>, StoreError> {
        let known = self.certificates([*leaf]).await?;
        Ok(rustdht_wire::chain(leaf, &known, &self.net).ok())
    }

    /// The rows that keep those of `certificates` that are not known to be here.
    pub(crate) fn rows(&self, certificates: &[Arc<SignedCertificate>]) -> Vec<SideRow> {
        let fresh = certificates.iter().filter(|certificate| !self.certificates.contains_key(&certificate.id()));
        fresh.flat_map(|certificate| rows_of(certificate)).collect()
    }

    /// Takes note of certificates that are durable now. Whether a revocation counts that did not before.
    pub(crate) fn learned(&self, certificates: &[Arc<SignedCertificate>]) -> bool {
        let mut counts = false;
        for certificate in certificates {
            let (id, body) = (certificate.id(), certificate.certificate());
            if self.noted.contains_key(&id) {
                continue;
            }
            self.noted.insert(id, ());
            self.certificates.insert(id, Arc::clone(certificate));
            self.holdings.invalidate(&body.audience);
            if let Space::Owned(owner) = body.space.space() {
                let known = self.revoked.get(&owner);
                let waits = known.as_ref().is_some_and(|revoked| revoked.waits_for(&id));
                // Where nothing is known somebody may be reading the revocations now, without this certificate.
                if waits || known.is_none() {
                    self.forget_revoked(&owner);
                }
                counts |= waits;
            }
            // Behind the certificate itself: whoever sees the count sees that too.
            self.learned.fetch_add(1, Ordering::AcqRel);
            self.pending.came(std::iter::once(super::Cause::Certificate(id)));
        }
        counts
    }

    /// Rises when certificates are learned.
    pub(crate) fn learned_count(&self) -> u64 {
        self.learned.load(Ordering::Acquire)
    }

    /// The certificates that a key holds, those that last longest first.
    pub(crate) async fn holdings(&self, key: &PublicKey) -> Result<Arc<Vec<Holding>>, StoreError> {
        if let Some(known) = self.holdings.get(key) {
            return Ok(known);
        }
        let mut holdings = Vec::new();
        for id in self.ids(NS_TO, key).await? {
            if let Some(chain) = self.chain(&id).await? {
                holdings.push(Holding { chain });
            }
        }
        // One order for all: an operation stands under the first certificate of its commit that covers it.
        holdings.sort_by_key(|holding| holding.leaf().map(|leaf| (Reverse(leaf.certificate().not_after), leaf.id())));
        let holdings = Arc::new(holdings);
        self.holdings.insert(*key, Arc::clone(&holdings));
        Ok(holdings)
    }

    async fn ids(&self, ns: &'static str, key: &PublicKey) -> Result<Vec<CertificateId>, StoreError> {
        let rows = self.store.side_scan(ns, &key.0, MOST).await?;
        Ok(rows.iter().filter_map(|(row, _)| row.get(32..)?.try_into().ok()).collect())
    }

    /// The certificates that a filter names, out of the first 1,024 of their audience, of their issuer, or of all.
    pub(crate) async fn list(&self, filter: CertificateFilter) -> Result<Vec<Arc<SignedCertificate>>, StoreError> {
        let ids = match (filter.audience, filter.issuer) {
            (Some(key), _) => self.ids(NS_TO, &key).await?,
            (None, Some(key)) => self.ids(NS_BY, &key).await?,
            (None, None) => {
                let rows = self.store.side_scan(NS, &[], MOST).await?;
                rows.iter().filter_map(|(row, _)| row.as_slice().try_into().ok()).collect()
            }
        };
        let mut found = Vec::new();
        for id in ids {
            found.extend(self.certificate(&id).await?.filter(|found| filter.wants(found.certificate())));
        }
        Ok(found)
    }

    /// The chain of a certificate that is here or among `brought`.
    pub(crate) async fn judge(
        &self,
        leaf: &Arc<SignedCertificate>,
        brought: &[Arc<SignedCertificate>],
    ) -> Result<Vec<Arc<SignedCertificate>>, crate::Error> {
        let mut ids = vec![leaf.id()];
        ids.extend(brought.iter().chain([leaf]).filter_map(|certificate| certificate.certificate().parent));
        let mut known = self.certificates(ids).await?;
        known.extend(brought.iter().chain([leaf]).map(|certificate| (certificate.id(), Arc::clone(certificate))));
        let chain = rustdht_wire::chain(&leaf.id(), &known, &self.net)?;
        if let Space::Owned(owner) = leaf.certificate().space.space()
            && self.revoked(&owner).await?.covers(&chain)
        {
            return Err(Refusal::new(Code::CertificateRevoked, "the certificate was revoked").into());
        }
        Ok(chain)
    }
}
