//! Delegation: issuing certificates, keeping those that others issued, and listing them.

use std::sync::Arc;

use rustdht_core::{CertificateId, Code, FUTURE_LIMIT_MS, Field, PublicKey, Refusal, Soul, Space, Stamp};
use rustdht_wire::{Certificate, Rights, SignedCertificate};

use super::CertificateFilter;
use crate::{Error, Node, Principal};

/// A certificate that is wanted.
#[derive(Clone, Debug)]
pub struct Issue {
    /// Who may.
    pub audience: PublicKey,
    /// `~K`; `None`: the issuer's own space.
    pub space: Option<Soul>,
    /// Souls in the space, each with what lies below it; none: the whole space.
    pub prefixes: Vec<Soul>,
    /// Fields; none: all.
    pub fields: Vec<Field>,
    /// What is allowed.
    pub rights: Rights,
    /// The first stamp; `None`: now, less what clocks may be apart.
    pub not_before: Option<Stamp>,
    /// The first stamp that is too late.
    pub not_after: Stamp,
    /// The issuer's own certificate; `None`: one that allows this is looked for, unless the issuer owns the space.
    pub parent: Option<CertificateId>,
}

fn refuse<T>(detail: &'static str) -> Result<T, Error> {
    Err(Refusal::new(Code::NotAuthorised, detail).into())
}

impl Node {
    /// Issues a certificate with the principal's key, and keeps it here. It reaches other gateways with the commits that
    /// are written under it, or when its holder brings it there.
    ///
    /// # Errors
    /// `not_authorised` when the principal neither owns the space nor holds a certificate that lets it delegate this;
    /// `certificate_missing` for a parent that is not here, `certificate_revoked` for one that was revoked; what the form
    /// of a certificate refuses.
    pub async fn issue(&self, by: Principal, wanted: Issue) -> Result<SignedCertificate, Error> {
        let shared = &self.inner.shared;
        let mut keys = shared.keys_of(by);
        let Some(first) = keys.first() else { return refuse("this principal has no key here") };
        let space = match wanted.space {
            Some(space) => space,
            None => Soul::of_key(shared.home_of(by).unwrap_or_else(|| first.public())),
        };
        let Space::Owned(owner) = space.space() else {
            return Err(Refusal::new(Code::BadSoul, "the space of a certificate is exactly ~K").within("space").into());
        };
        // What K itself issues does not end when another successor follows.
        keys.sort_by_key(|key| key.public() != owner);
        let now_ms = shared.ports.clock.now_ms();
        let mut certificate = Certificate {
            net: shared.identity.net,
            issuer: owner,
            audience: wanted.audience,
            prefixes: if wanted.prefixes.is_empty() { vec![space.clone()] } else { wanted.prefixes },
            space,
            fields: wanted.fields,
            rights: wanted.rights,
            not_before: wanted.not_before.unwrap_or(Stamp::from_ms(now_ms.saturating_sub(FUTURE_LIMIT_MS))),
            not_after: wanted.not_after,
            parent: wanted.parent,
            nonce: [0; 16],
        };
        shared.ports.entropy.fill(&mut certificate.nonce);
        certificate.prefixes.sort_unstable();
        certificate.fields.sort_unstable();
        let mut refused = None;
        for key in &keys {
            certificate.issuer = key.public();
            for parent in self.parents(&owner, &certificate, wanted.parent).await? {
                certificate.parent = parent;
                let signed = Arc::new(certificate.sign(key)?);
                match shared.authority.judge(&signed, &[]).await {
                    Ok(chain) => {
                        shared.authority.keep(&chain, Vec::new(), now_ms).await?;
                        return Ok((*signed).clone());
                    }
                    Err(error) => refused = Some(error),
                }
            }
        }
        match refused {
            Some(error) => Err(error),
            None => refuse("neither the owner of the space nor the holder of a certificate that may delegate this"),
        }
    }

    /// What a certificate by this issuer may stand under: nothing when it owns the space.
    async fn parents(
        &self,
        owner: &PublicKey,
        certificate: &Certificate,
        wanted: Option<CertificateId>,
    ) -> Result<Vec<Option<CertificateId>>, Error> {
        if wanted.is_some() {
            return Ok(vec![wanted]);
        }
        if certificate.issuer == *owner {
            return Ok(vec![None]);
        }
        let holdings = self.inner.shared.authority.holdings(&certificate.issuer).await?;
        let held = holdings.iter().filter_map(|holding| holding.leaf());
        let may =
            held.filter(|leaf| leaf.certificate().rights.delegate && leaf.certificate().space == certificate.space);
        Ok(may.map(|leaf| Some(leaf.id())).collect())
    }

    /// A certificate that is here.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn certificate(&self, id: &CertificateId) -> Result<Option<Arc<SignedCertificate>>, Error> {
        Ok(self.inner.shared.authority.certificate(id).await?)
    }

    /// The certificates that are here, at most 1,024.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn certificates(&self, filter: CertificateFilter) -> Result<Vec<Arc<SignedCertificate>>, Error> {
        Ok(self.inner.shared.authority.list(filter).await?)
    }

    /// Whether a certificate that is here counts as revoked, itself or by one above it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_revoked(&self, id: &CertificateId) -> Result<bool, Error> {
        let authority = &self.inner.shared.authority;
        let Some(certificate) = authority.certificate(id).await? else { return Ok(false) };
        let Space::Owned(owner) = certificate.certificate().space.space() else { return Ok(false) };
        let chain = authority.chain(id).await?.unwrap_or_default();
        let revoked = authority.revoked(&owner).await?;
        Ok(revoked.ends(id, &chain).is_some())
    }

    /// Keeps a certificate that its holder brings, with those above it as far as they are not here. From then on what the
    /// holder writes here may stand under it.
    ///
    /// # Errors
    /// `not_authorised` when it was issued to a key of somebody else, or its chain does not hold; `certificate_missing`;
    /// `certificate_revoked`.
    pub async fn add_certificate(
        &self,
        by: Principal,
        certificate: SignedCertificate,
        above: Vec<SignedCertificate>,
    ) -> Result<(), Error> {
        let shared = &self.inner.shared;
        if !shared.keys_of(by).iter().any(|key| key.public() == certificate.certificate().audience) {
            return refuse("a certificate is brought by its holder, whose key is here");
        }
        let leaf = Arc::new(certificate);
        let mut brought: Vec<Arc<SignedCertificate>> = vec![Arc::clone(&leaf)];
        brought.extend(above.into_iter().map(Arc::new));
        let chain = shared.authority.judge(&leaf, &brought).await?;
        shared.authority.keep(&chain, Vec::new(), shared.ports.clock.now_ms()).await
    }

    /// The chain of this gateway's member certificate, from it up; empty where it may not endorse.
    #[must_use]
    pub fn member_chain(&self) -> Vec<Arc<SignedCertificate>> {
        let shared = &self.inner.shared;
        let now = Stamp::from_ms(shared.ports.clock.now_ms());
        shared.authority.membership(now).map(|member| member.chain.clone()).unwrap_or_default()
    }
}

impl crate::node::Inner {
    /// Whether a chain makes `key` a member gateway now: it holds, comes from C, and is not revoked.
    pub(crate) async fn is_member(&self, chain: &[Arc<SignedCertificate>], key: &PublicKey) -> Result<bool, Error> {
        let authority = &self.shared.authority;
        let Some(leaf) = chain.first() else { return Ok(false) };
        let now = Stamp::from_ms(self.shared.ports.clock.now_ms());
        if !leaf.certificate().admits(now) {
            return Ok(false);
        }
        match authority.judge(leaf, chain).await {
            Ok(chain) => Ok(authority.is_member(&chain, key).await?),
            Err(Error::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
