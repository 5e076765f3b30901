//! Which certificates of a space are revoked.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError},
};

use rustdht_core::{
    CertificateId, PublicKey, Soul, Space, Stamp, Value,
    ports::{Change, StoreError},
};
use rustdht_graph::NodeState;
use rustdht_wire::{Certificates, SignedCertificate};

use super::Authority;

/// The field of `~K` that names revoked certificates.
pub(crate) const REVOKED: &str = "revoked";

/// The field of `~K` that names the key which follows K.
pub(crate) const SUCCESSOR: &str = "successor";

/// Whether what is revoked is read from entries of this field of `~K`.
pub(crate) fn decides(field: &str) -> bool {
    field == REVOKED || field == SUCCESSOR
}

/// The certificates that count as revoked in `~K`. Whoever holds a descendant of one is revoked with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Revoked {
    ids: HashSet<CertificateId>,
    /// Certificates that somebody else than K revoked, and that are not here: whether he may is not known yet.
    unresolved: HashSet<CertificateId>,
    /// Successors of K that another one followed, and when: what K itself certified them for ends there.
    superseded: HashMap<PublicKey, Stamp>,
}

fn named(state: &NodeState) -> impl Iterator<Item = (CertificateId, PublicKey, bool)> {
    state.added(REVOKED).filter_map(|entry| match entry.body.value() {
        Some(Value::Blob(cid)) => Some((CertificateId::from_cid(cid)?, entry.author, entry.leaf.is_none())),
        _ => None,
    })
}

/// The successors that K itself named, less the last one, each with the stamp at which another one followed.
fn superseded(state: &NodeState, owner: &PublicKey) -> HashMap<PublicKey, Stamp> {
    let by_owner = state.added(SUCCESSOR).filter(|entry| entry.author == *owner && entry.leaf.is_none());
    let mut named: Vec<_> = by_owner
        .filter_map(|entry| match entry.body.value() {
            Some(Value::Link(soul)) => Some((entry.stamp, entry.id, root_owner(soul)?)),
            _ => None,
        })
        .collect();
    named.sort_unstable();
    let mut superseded = HashMap::new();
    for pair in named.windows(2) {
        let [(_, _, key), (stamp, _, next)] = pair else { continue };
        if key != next {
            superseded.insert(*key, *stamp);
        }
    }
    if let Some((.., last)) = named.last() {
        superseded.remove(last);
    }
    superseded
}

impl Revoked {
    /// Reads the admitted entries of `~K`: those of K itself without certificate count, and those of whoever issued
    /// a certificate of the named one's chain; in `~C` only those of C.
    fn of(state: &NodeState, owner: &PublicKey, authority: &Authority, known: &Certificates) -> Self {
        let mut revoked = Self { superseded: superseded(state, owner), ..Self::default() };
        for (id, author, bare) in named(state) {
            if author == *owner && bare {
                revoked.ids.insert(id);
            } else if *owner != authority.community {
                match rustdht_wire::chain(&id, known, &authority.net) {
                    Ok(chain) if chain.iter().any(|link| link.certificate().issuer == author) => {
                        revoked.ids.insert(id);
                    }
                    Ok(_) => {}
                    Err(_) if known.contains_key(&id) => {}
                    Err(_) => {
                        revoked.unresolved.insert(id);
                    }
                }
            }
        }
        revoked
    }

    /// As [`Revoked::of`], with the certificates that it takes.
    pub(crate) async fn read(state: &NodeState, owner: &PublicKey, authority: &Authority) -> Result<Self, StoreError> {
        if state.added(REVOKED).chain(state.added(SUCCESSOR)).next().is_none() {
            return Ok(Self::default());
        }
        let by_others = named(state).filter(|(_, author, bare)| author != owner || !bare).map(|(id, ..)| id);
        let known = authority.certificates(by_others.collect::<Vec<_>>()).await?;
        Ok(Self::of(state, owner, authority, &known))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.superseded.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len() + self.unresolved.len() + self.superseded.len()
    }

    /// The first stamp at which nothing counts any more under the chain of `leaf`, as far as it is here: 0 when one of it is
    /// revoked. `None`: it stands.
    pub(crate) fn ends(&self, leaf: &CertificateId, chain: &[Arc<SignedCertificate>]) -> Option<Stamp> {
        if self.is_empty() {
            return None;
        }
        if self.ids.contains(leaf) || chain.iter().any(|link| self.ids.contains(&link.id())) {
            return Some(Stamp::default());
        }
        let root = chain.last()?.certificate();
        self.superseded.get(&root.audience).copied()
    }

    /// Whether nothing that is written from now on counts under the chain.
    pub(crate) fn covers(&self, chain: &[Arc<SignedCertificate>]) -> bool {
        chain.first().is_some_and(|leaf| self.ends(&leaf.id(), chain).is_some())
    }

    /// Whether what has this stamp does not count under the chain.
    pub(crate) fn covers_at(&self, chain: &[Arc<SignedCertificate>], stamp: Stamp) -> bool {
        chain.first().and_then(|leaf| self.ends(&leaf.id(), chain)).is_some_and(|end| stamp >= end)
    }

    /// What would count if `id` were not revoked.
    pub(super) fn without(&self, id: &CertificateId) -> Self {
        let mut rest = self.clone();
        rest.ids.remove(id);
        rest
    }

    /// Whether this certificate itself is named.
    pub(crate) fn names(&self, id: &CertificateId) -> bool {
        self.ids.contains(id)
    }

    /// Whether a certificate that may come would make more of it.
    pub(crate) fn waits(&self) -> bool {
        !self.unresolved.is_empty()
    }

    pub(super) fn waits_for(&self, id: &CertificateId) -> bool {
        self.unresolved.contains(id)
    }
}

impl Authority {
    /// What is durably revoked in `~K`.
    pub(crate) async fn revoked(&self, owner: &PublicKey) -> Result<Arc<Revoked>, StoreError> {
        if let Some(known) = self.revoked.get(owner) {
            return Ok(known);
        }
        let generation = *self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        let soul = Soul::of_key(*owner);
        let mut state = NodeState::new(soul.clone());
        for entry in self.store.load(&[soul]).await? {
            state.restore(entry.into());
        }
        let revoked = Arc::new(Revoked::read(&state, owner, self).await?);
        let now = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        if *now == generation {
            self.revoked.insert(*owner, Arc::clone(&revoked));
        }
        Ok(revoked)
    }

    /// Forgets what was known of the revocations of `owner`.
    pub(super) fn forget_revoked(&self, owner: &PublicKey) {
        let mut generation = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        *generation += 1;
        self.revoked.invalidate(owner);
    }

    /// Takes note of what became durable: the keys in whose space something was revoked. Nodes there show something else
    /// than before, without a change of their own.
    pub(crate) fn changed(&self, changes: &[Change]) -> Vec<PublicKey> {
        let mut owners = Vec::new();
        for change in changes {
            if let Some(owner) = root_owner(&change.soul)
                && change.fields.iter().any(|field| decides(field))
            {
                self.forget_revoked(&owner);
                owners.push(owner);
            }
        }
        owners
    }
}

/// K, when the soul is exactly `~K`.
pub(crate) fn root_owner(soul: &Soul) -> Option<PublicKey> {
    match soul.space() {
        Space::Owned(key) if !soul.contains('/') => Some(key),
        _ => None,
    }
}
