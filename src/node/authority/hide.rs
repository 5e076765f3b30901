//! Which entries of a node authority hides.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use rustdht_core::{CertificateId, CommitId, EntryId, PublicKey, Soul, Space, Stamp, ports::StoreError};
use rustdht_graph::NodeState;

use super::{Authority, Revoked};
use crate::private;

/// Whether entries of this soul need no endorsement: `~C` and what lies below it governs who endorses, content is its
/// own proof, local souls go nowhere.
pub(crate) fn is_exempt(soul: &Soul, community: &PublicKey) -> bool {
    match soul.space() {
        Space::Owned(key) => key == *community,
        Space::Content(_) | Space::Local => true,
        Space::Public | Space::Mirror => false,
    }
}

impl Authority {
    /// Hides what is durably revoked.
    pub(crate) async fn hide(&self, states: &mut [NodeState]) -> Result<(), StoreError> {
        let community =
            if self.wants_members() { self.revoked(&self.community).await? } else { Arc::new(Revoked::default()) };
        for state in states {
            let own = match state.soul().space() {
                Space::Owned(owner) => Some(self.revoked(&owner).await?),
                _ => None,
            };
            let hidden = self.hidden(state, own.as_deref(), &community).await?;
            if hidden != *state.hidden() {
                state.set_hidden(hidden);
            }
        }
        Ok(())
    }

    /// The entries of one node that are hidden: `own` is what is revoked in its space, `community` what is in `~C`. Besides
    /// them keys of a private node that came from somebody who is not entitled to write them.
    pub(crate) async fn hidden(
        &self,
        state: &NodeState,
        own: Option<&Revoked>,
        community: &Revoked,
    ) -> Result<HashSet<EntryId>, StoreError> {
        let mut hidden = HashSet::new();
        for entry in private::certified_keys(state) {
            let Some(leaf) = entry.leaf else { continue };
            let certificate = self.certificate(&leaf).await?;
            if !certificate.is_some_and(|certificate| private::entitles(certificate.certificate())) {
                hidden.insert(entry.id);
            }
        }
        if let Some(own) = own.filter(|own| !own.is_empty()) {
            self.under_revoked(state, own, &mut hidden).await?;
        }
        if !community.is_empty() && !is_exempt(state.soul(), &self.community) {
            self.endorsed_by_revoked(state, community, &mut hidden).await?;
        }
        Ok(hidden)
    }

    async fn under_revoked(
        &self,
        state: &NodeState,
        own: &Revoked,
        hidden: &mut HashSet<EntryId>,
    ) -> Result<(), StoreError> {
        let mut judged: HashMap<CertificateId, Option<Stamp>> = HashMap::new();
        for entry in state.entries() {
            let Some(leaf) = entry.leaf else { continue };
            let ends = match judged.get(&leaf) {
                Some(known) => *known,
                None => {
                    // A chain that is not here any more cannot speak for its leaf; the leaf itself may be named.
                    let chain = self.chain(&leaf).await?.unwrap_or_default();
                    let ends = own.ends(&leaf, &chain);
                    judged.insert(leaf, ends);
                    ends
                }
            };
            if ends.is_some_and(|end| entry.stamp >= end) {
                hidden.insert(entry.id);
            }
        }
        Ok(())
    }

    /// An entry is shown while one of its endorsers is not revoked. One that nobody endorsed yet was written here.
    async fn endorsed_by_revoked(
        &self,
        state: &NodeState,
        community: &Revoked,
        hidden: &mut HashSet<EntryId>,
    ) -> Result<(), StoreError> {
        let commits: HashSet<CommitId> = state.entries().map(|entry| entry.commit).collect();
        let commits: Vec<CommitId> = commits.into_iter().collect();
        let mut stands: HashMap<CommitId, bool> = HashMap::new();
        // A few members endorse all of it.
        let mut judged: HashMap<CertificateId, bool> = HashMap::new();
        for endorsement in self.store.endorsements(&commits).await? {
            let is_revoked = match judged.get(&endorsement.certificate) {
                Some(known) => *known,
                None => {
                    let chain = self.chain(&endorsement.certificate).await?.unwrap_or_default();
                    let is_revoked = community.names(&endorsement.certificate) || community.covers(&chain);
                    judged.insert(endorsement.certificate, is_revoked);
                    is_revoked
                }
            };
            *stands.entry(endorsement.commit).or_default() |= !is_revoked;
        }
        hidden.extend(state.entries().filter(|entry| stands.get(&entry.commit) == Some(&false)).map(|entry| entry.id));
        Ok(())
    }
}
