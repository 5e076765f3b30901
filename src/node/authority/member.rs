//! Member gateways: who may endorse, and how a joiner comes by its certificate.
//!
//! A member certificate has the right `endorse` in a chain from C. Whoever holds C issues them; whoever was issued one
//! with `endorse` and `delegate` passes that on, within its own times.

use std::sync::{Arc, PoisonError};

use rustdht_core::{
    PublicKey, Refusal, Soul, Stamp,
    ports::{Batch, SideRow, StoreError},
};
use rustdht_wire::{Certificate, Rights, SignedCertificate, SigningKey, limits::MAX_CHAIN};

use super::{Authority, CertificateFilter};
use crate::{Error, node::Inner};

/// Namespace: the row `leaf` names this gateway's member certificate.
const NS: &str = "member";
const LEAF: &[u8] = b"leaf";
/// How long a member certificate lasts: long enough that a founder may be away for months.
const LIFETIME_MS: u64 = 365 * 24 * 3_600_000;
/// What is left of a certificate when the next one is asked for: time enough for a holder of C to come back.
const RENEW_MS: u64 = LIFETIME_MS / 3;
/// How far a member certificate reaches back: what was written before it came is endorsed too, as far as the horizon
/// lets it be merged.
const REACH_BACK_MS: u64 = 90 * 24 * 3_600_000;

/// This gateway's right to endorse.
#[derive(Debug)]
pub(crate) struct Membership {
    /// From its certificate up.
    pub(crate) chain: Vec<Arc<SignedCertificate>>,
    leaf: Arc<SignedCertificate>,
}

impl Membership {
    pub(crate) fn leaf(&self) -> &Arc<SignedCertificate> {
        &self.leaf
    }

    fn ends(&self) -> Stamp {
        self.leaf.certificate().not_after
    }
}

/// The certificate that makes `gateway` a member, issued under `chain`, or by C itself.
fn issue(
    key: &SigningKey,
    authority: &Authority,
    chain: Option<&Membership>,
    gateway: PublicKey,
    now_ms: u64,
    nonce: [u8; 16],
) -> Result<SignedCertificate, Refusal> {
    let space = authority.community_soul();
    let begins = Stamp::from_ms(now_ms.saturating_sub(REACH_BACK_MS));
    let ends = Stamp::from_ms(now_ms + LIFETIME_MS);
    let above = chain.map(|above| above.leaf.certificate());
    let certificate = Certificate {
        net: authority.net(),
        issuer: key.public(),
        audience: gateway,
        prefixes: vec![format!("{space}/pins").parse()?],
        space,
        fields: Vec::new(),
        rights: Rights { write: true, delegate: true, endorse: true },
        not_before: above.map_or(begins, |above| begins.max(above.not_before)),
        not_after: above.map_or(ends, |above| ends.min(above.not_after)),
        parent: chain.map(|above| above.leaf.id()),
        nonce,
    };
    certificate.sign(key)
}

impl Authority {
    /// Reads this gateway's member certificate.
    pub(super) async fn load_member(&self, gateway: &PublicKey) -> Result<(), StoreError> {
        let stored = self.store.side_get(NS, LEAF).await?;
        let Some(id) = stored.and_then(|id| id.as_slice().try_into().ok()) else { return Ok(()) };
        if let Some(chain) = self.chain(&id).await?
            && self.is_member(&chain, gateway).await?
        {
            self.set_member(chain);
        }
        Ok(())
    }

    fn set_member(&self, chain: Vec<Arc<SignedCertificate>>) {
        let Some(leaf) = chain.first().cloned() else { return };
        let mut member = self.member.write().unwrap_or_else(PoisonError::into_inner);
        *member = Some(Arc::new(Membership { chain, leaf }));
    }

    /// This gateway's right to endorse a commit of this stamp.
    pub(crate) fn membership(&self, stamp: Stamp) -> Option<Arc<Membership>> {
        let member = self.member.read().unwrap_or_else(PoisonError::into_inner);
        member.clone().filter(|member| member.leaf.certificate().admits(stamp))
    }

    /// Whether a chain, which holds, makes `key` a member that is not revoked.
    pub(crate) async fn is_member(
        &self,
        chain: &[Arc<SignedCertificate>],
        key: &PublicKey,
    ) -> Result<bool, StoreError> {
        let Some(leaf) = chain.first().map(|leaf| leaf.certificate()) else { return Ok(false) };
        let named = leaf.audience == *key && leaf.rights.endorse && leaf.space == self.community_soul();
        Ok(named && !self.revoked(&self.community).await?.covers(chain))
    }

    /// A revocation in `~C` became durable: it may be of this gateway.
    pub(crate) async fn look_again(&self, gateway: &PublicKey) -> Result<(), StoreError> {
        let member = self.member.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(member) = member
            && !self.is_member(&member.chain, gateway).await?
        {
            tracing::warn!("the member certificate of this gateway was revoked: it endorses nothing any more");
            *self.member.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        Ok(())
    }

    /// Whether a member certificate has to be asked for.
    pub(crate) fn wants_certificate(&self, now_ms: u64) -> bool {
        let member = self.member.read().unwrap_or_else(PoisonError::into_inner);
        self.wants_members() && member.as_ref().is_none_or(|member| member.ends() < Stamp::from_ms(now_ms + RENEW_MS))
    }

    /// Makes a chain that somebody issued to this gateway its own, when it lasts longer than the one it has. Whether it
    /// did.
    ///
    /// # Errors
    /// `not_authorised` for a chain that makes this gateway no member.
    pub(crate) async fn adopt(
        &self,
        gateway: &PublicKey,
        brought: Vec<Arc<SignedCertificate>>,
        now_ms: u64,
    ) -> Result<bool, Error> {
        let Some(leaf) = brought.first() else { return Ok(false) };
        let chain = self.judge(leaf, &brought).await?;
        if !self.is_member(&chain, gateway).await? {
            let detail = "the certificate that was issued makes this gateway no member";
            return Err(Refusal::new(rustdht_core::Code::NotAuthorised, detail).into());
        }
        let ends = leaf.certificate().not_after;
        let longer = match self.member.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(member) => ends > member.ends(),
            None => true,
        };
        if !longer || ends <= Stamp::from_ms(now_ms) {
            return Ok(false);
        }
        let row = SideRow { ns: NS, key: LEAF.to_vec(), value: Some(leaf.id().0.to_vec()), insert_only: false };
        self.keep(&chain, vec![row], now_ms).await?;
        self.set_member(chain);
        Ok(true)
    }

    /// Makes certificates durable, with other rows.
    pub(super) async fn keep(
        &self,
        certificates: &[Arc<SignedCertificate>],
        mut side: Vec<SideRow>,
        now_ms: u64,
    ) -> Result<(), Error> {
        side.extend(self.rows(certificates));
        if !side.is_empty() {
            self.store.apply(Batch { side, now_ms, ..Batch::default() }).await?;
        }
        self.learned(certificates);
        Ok(())
    }
}

/// Whether this gateway issues member certificates.
fn may_issue(inner: &Inner) -> bool {
    let shared = &inner.shared;
    let now = Stamp::from_ms(shared.ports.clock.now_ms());
    shared.authority.wants_members()
        && (shared.community.is_some()
            || shared
                .authority
                .membership(now)
                .is_some_and(|member| member.chain.len() < MAX_CHAIN && member.leaf.certificate().rights.delegate))
}

/// Issues a member certificate to a gateway, or finds the one that it has: the chain from it up. Empty: this gateway
/// issues none, or none to that key.
pub(crate) async fn certify(inner: &Inner, gateway: PublicKey) -> Result<Vec<Arc<SignedCertificate>>, Error> {
    let shared = &inner.shared;
    let authority = &shared.authority;
    if !may_issue(inner) || rustdht_wire::check_key(&gateway).is_err() {
        return Ok(Vec::new());
    }
    let now_ms = shared.ports.clock.now_ms();
    let space = authority.community_soul();
    let revoked = authority.revoked(&authority.community()).await?;
    let of_gateway = CertificateFilter { audience: Some(gateway), ..CertificateFilter::default() };
    let mut known: Option<Vec<Arc<SignedCertificate>>> = None;
    for certificate in authority.list(of_gateway).await? {
        let body = certificate.certificate();
        if body.space != space || !body.rights.endorse {
            continue;
        }
        if revoked.names(&certificate.id()) {
            // Who was put out does not come back by asking again.
            return Ok(Vec::new());
        }
        let Some(chain) = authority.chain(&certificate.id()).await? else { continue };
        if revoked.covers(&chain) {
            // Its issuer was put out, not this gateway: it did not choose who would certify it, or that somebody did.
            continue;
        }
        if body.not_after > Stamp::from_ms(now_ms + RENEW_MS) {
            known = Some(chain);
        }
    }
    if let Some(chain) = known {
        return Ok(chain);
    }
    let mut nonce = [0; 16];
    shared.ports.entropy.fill(&mut nonce);
    let (issued, above) = match &shared.community {
        Some(key) => (issue(key, authority, None, gateway, now_ms, nonce)?, Vec::new()),
        None => {
            let Some(member) = authority.membership(Stamp::from_ms(now_ms)) else { return Ok(Vec::new()) };
            (issue(&shared.gateway, authority, Some(&member), gateway, now_ms, nonce)?, member.chain.clone())
        }
    };
    let mut chain = vec![Arc::new(issued)];
    chain.extend(above);
    authority.keep(&chain, Vec::new(), now_ms).await?;
    Ok(chain)
}

/// The entry of a member in `~C`.
pub(crate) fn member_value(gateway: &PublicKey) -> rustdht_core::Value {
    rustdht_core::Value::Link(Soul::of_key(*gateway))
}
