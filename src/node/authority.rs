//! Who may write what, as far as certificates and revocations say: which certificates are here, which are revoked,
//! which entries of a node that hides, and whether this gateway may endorse.
//!
//! A revocation is read from the admitted entries of `~K`, never from what the node shows, so that two gateways that
//! hold the same entries hide the same ones, whatever the order in which they came.

mod certificates;
mod hide;
mod issue;
mod member;
mod pending;
mod revoke;
mod revoked;

use std::sync::{Arc, Mutex, RwLock, atomic::AtomicU64};

use moka::sync::Cache;
use rustdht_core::{
    CertificateId, Mode, NetId, PublicKey, Soul,
    ports::{GraphStore, StoreError},
};
use rustdht_wire::{Certificates, Rules, SignedCertificate};

use crate::Identity;

pub use certificates::CertificateFilter;
pub(crate) use certificates::Holding;
#[cfg(test)]
pub(crate) use certificates::rows_of;
pub(crate) use hide::is_exempt;
pub use issue::Issue;
pub(crate) use member::{Membership, certify, member_value};
pub(crate) use pending::{Cause, Pending, Waiting};
pub(crate) use revoked::{Revoked, decides, root_owner};

/// Bytes of certificates kept in memory: some ten thousand.
const CERTIFICATE_CACHE_BYTES: u64 = 8 << 20;
/// Certificates of which it is known that everybody here was told; one that fell out is told again.
const NOTED: u64 = 1 << 16;
/// Keys whose certificates are kept in memory.
const HOLDERS: u64 = 4096;
/// Revocations kept in memory, over all keys: what K revoked is as large as K makes it.
pub(crate) const REVOKED_CACHE: u64 = 1 << 18;

/// What is known of authority; shared by doors, reads and the merger.
pub(crate) struct Authority {
    store: Arc<dyn GraphStore>,
    net: NetId,
    mode: Mode,
    community: PublicKey,
    community_soul: Soul,
    certificates: Cache<CertificateId, Arc<SignedCertificate>>,
    /// Those that [`Authority::learned`] told of. Not the ones in memory: a read may bring one there from the store
    /// before whoever waits for it was told.
    noted: Cache<CertificateId, ()>,
    /// How many times a certificate was noted.
    learned: AtomicU64,
    holdings: Cache<PublicKey, Arc<Vec<Holding>>>,
    revoked: Cache<PublicKey, Arc<Revoked>>,
    /// Rises when a revocation became durable, so that what was read before is not kept.
    generation: Mutex<u64>,
    member: RwLock<Option<Arc<Membership>>>,
    pub(crate) pending: Pending,
}

impl Authority {
    pub(crate) async fn load(store: Arc<dyn GraphStore>, identity: &Identity) -> Result<Self, StoreError> {
        let weigh = |_: &CertificateId, certificate: &Arc<SignedCertificate>| {
            u32::try_from(2 * certificate.bytes().len() + 512).unwrap_or(u32::MAX)
        };
        let weigh_revoked =
            |_: &PublicKey, revoked: &Arc<Revoked>| u32::try_from(revoked.len()).unwrap_or(u32::MAX).saturating_add(4);
        let authority = Self {
            store,
            net: identity.net,
            mode: identity.mode,
            community: identity.community,
            community_soul: Soul::of_key(identity.community),
            certificates: Cache::builder().max_capacity(CERTIFICATE_CACHE_BYTES).weigher(weigh).build(),
            noted: Cache::builder().max_capacity(NOTED).build(),
            learned: AtomicU64::new(0),
            holdings: Cache::builder().max_capacity(HOLDERS).build(),
            revoked: Cache::builder().max_capacity(REVOKED_CACHE).weigher(weigh_revoked).build(),
            generation: Mutex::new(0),
            member: RwLock::new(None),
            pending: Pending::default(),
        };
        authority.load_member(&identity.gateway).await?;
        Ok(authority)
    }

    /// What checks depend on.
    pub(crate) fn rules<'a>(&self, now_ms: u64, certificates: &'a Certificates) -> Rules<'a> {
        Rules { net: self.net, now_ms, mode: self.mode, community: self.community, certificates }
    }

    pub(crate) const fn net(&self) -> NetId {
        self.net
    }

    pub(crate) const fn community(&self) -> PublicKey {
        self.community
    }

    /// Whether entries need endorsements.
    pub(crate) fn wants_members(&self) -> bool {
        self.mode == Mode::Members
    }

    /// `~C`.
    pub(crate) fn community_soul(&self) -> Soul {
        self.community_soul.clone()
    }
}
