//! What is revoked in the spaces that the jobs under way touch, as it was joined, durable or not.
//!
//! A space may name any number of revoked certificates, and every write in it, in a network of mode `members` every write
//! at all, has to know them: they are read when one was joined, not for each write.

use std::{collections::HashMap, sync::Arc};

use moka::sync::Cache;
use rustdht_core::{Entry, PublicKey, ports::StoreError};
use rustdht_graph::NodeState;

use crate::authority::{Authority, REVOKED_CACHE, Revoked, decides, root_owner};

/// What was read of one root, for as long as nothing is joined there.
#[derive(Clone)]
struct Known {
    revoked: Arc<Revoked>,
    /// Certificates that were learned by then: one more may be what a revocation waits for.
    learned: u64,
}

pub(super) struct Revocations {
    /// Of the spaces in which something is revoked.
    open: HashMap<PublicKey, Arc<Revoked>>,
    known: Cache<PublicKey, Known>,
}

impl Default for Revocations {
    fn default() -> Self {
        let weigh =
            |_: &PublicKey, known: &Known| u32::try_from(known.revoked.len()).unwrap_or(u32::MAX).saturating_add(4);
        Self { open: HashMap::new(), known: Cache::builder().max_capacity(REVOKED_CACHE).weigher(weigh).build() }
    }
}

impl Revocations {
    pub(super) fn get(&self, owner: &PublicKey) -> Option<&Arc<Revoked>> {
        self.open.get(owner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The jobs under way are others.
    pub(super) fn close(&mut self) {
        self.open.clear();
    }

    /// Brings what is revoked in `~K`, whose state this is.
    pub(super) async fn open(
        &mut self,
        owner: PublicKey,
        state: &NodeState,
        authority: &Authority,
    ) -> Result<(), StoreError> {
        let learned = authority.learned_count();
        let known = self.known.get(&owner).filter(|known| known.learned == learned || !known.revoked.waits());
        let revoked = match known {
            Some(known) => known.revoked,
            None => {
                let revoked = Arc::new(Revoked::read(state, &owner, authority).await?);
                self.known.insert(owner, Known { revoked: Arc::clone(&revoked), learned });
                revoked
            }
        };
        if !revoked.is_empty() {
            self.open.insert(owner, revoked);
        }
        Ok(())
    }

    /// An entry became part of a state.
    pub(super) fn joined(&mut self, entry: &Entry) {
        if decides(&entry.field)
            && let Some(owner) = root_owner(&entry.soul)
        {
            self.known.invalidate(&owner);
        }
    }

    /// What was joined may not be durable after all.
    pub(super) fn forget(&mut self) {
        self.known.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use rustdht_core::{Soul, Stamp, Value};
    use rustdht_testkit::{Author, set_add};
    use rustdht_wire::{Rights, SignedCertificate};

    use super::*;
    use crate::tests::{Bench, NOW_MS};

    /// `~K` with the revocation of a certificate by `author`.
    fn root(author: &mut Author, bench: &Bench, of: &SignedCertificate) -> (NodeState, Arc<Entry>) {
        let soul: Soul = of.certificate().space.clone();
        let op = vec![set_add(&soul, "revoked", Value::Blob(of.id().to_cid())).unwrap()];
        let built = author.sign(bench.node.identity().net, Stamp::from_ms(NOW_MS), op).unwrap();
        let entry = Arc::new(built.entries[0].clone());
        let mut state = NodeState::new(soul);
        state.join(Arc::clone(&entry));
        (state, entry)
    }

    #[tokio::test]
    async fn a_root_is_read_when_something_was_joined_there() {
        let bench = Bench::new(1).await;
        let authority = &bench.node.inner.shared.authority;
        let mut owner = Author::new(3);
        let write = Rights { write: true, ..Rights::default() };
        let certificate = owner.certificate(bench.node.identity().net, Author::new(4).public(), write);
        let certificate = certificate.sign(owner.key()).unwrap();
        let (state, entry) = root(&mut owner, &bench, &certificate);
        let empty = NodeState::new(state.soul().clone());
        let mut revocations = Revocations::default();
        let names = |revocations: &Revocations| {
            revocations.get(&owner.public()).is_some_and(|revoked| revoked.names(&certificate.id()))
        };
        revocations.open(owner.public(), &state, authority).await.unwrap();
        assert!(names(&revocations));
        revocations.close();
        assert!(revocations.is_empty());
        // Not read again: nothing was joined there.
        revocations.open(owner.public(), &empty, authority).await.unwrap();
        assert!(names(&revocations));
        revocations.close();
        revocations.joined(&entry);
        revocations.open(owner.public(), &empty, authority).await.unwrap();
        assert!(!names(&revocations), "it is read again");
        revocations.forget();
        revocations.open(owner.public(), &state, authority).await.unwrap();
        assert!(names(&revocations), "what was joined may not have become durable");
    }

    #[tokio::test]
    async fn what_waits_for_a_certificate_is_read_when_one_came() {
        let bench = Bench::new(1).await;
        let authority = &bench.node.inner.shared.authority;
        let (owner, mut steward, net) = (Author::new(3), Author::new(4), bench.node.identity().net);
        let all = Rights { write: true, delegate: true, endorse: false };
        let above = Arc::new(owner.certificate(net, steward.public(), all).sign(owner.key()).unwrap());
        let mut below = above.certificate().clone();
        (below.issuer, below.audience, below.parent) = (steward.public(), Author::new(5).public(), Some(above.id()));
        let below = Arc::new(below.sign(steward.key()).unwrap());
        steward = steward.under(&[&[Arc::clone(&above)]]);
        let (state, _) = root(&mut steward, &bench, &below);
        let mut revocations = Revocations::default();
        for _ in 0..2 {
            revocations.open(owner.public(), &state, authority).await.unwrap();
            assert!(revocations.is_empty(), "whether the steward may is not known");
        }
        let rows = [&above, &below].into_iter().flat_map(|link| crate::authority::rows_of(link)).collect();
        bench.node.side(rows).await.unwrap();
        authority.learned(&[above, Arc::clone(&below)]);
        revocations.open(owner.public(), &state, authority).await.unwrap();
        assert!(revocations.get(&owner.public()).is_some_and(|revoked| revoked.names(&below.id())));
    }
}
