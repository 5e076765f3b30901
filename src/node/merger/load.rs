//! What has to be here before jobs are planned: states, sessions, certificates, revocations.

use std::{collections::HashSet, sync::Arc};

use rustdht_core::{Soul, Space};
use rustdht_graph::NodeState;

use super::{Job, Request, authors::Writers, run::Merger};
use crate::{
    Error, Principal,
    authority::{Revoked, is_exempt},
    private,
};

/// The souls that a job touches, each as often as it is named.
fn souls_of(request: &Request, mut each: impl FnMut(&Soul)) {
    let mut foreign = |commit: &super::Foreign| {
        commit.verified.entries.iter().filter_map(|(_, entry)| entry.as_ref().ok()).for_each(|entry| each(&entry.soul));
    };
    match request {
        Request::Foreign(commits) => commits.iter().for_each(foreign),
        Request::Due(commits) => commits.iter().for_each(|(_, commit)| foreign(commit)),
        Request::Write(write) => each(&write.soul),
        Request::Ops(_, ops) => ops.iter().for_each(|op| each(&op.soul)),
        Request::Import(_, nodes) => nodes.iter().for_each(|node| each(&node.soul)),
        Request::Planned(planned) => planned.drafts.iter().for_each(|draft| each(&draft.soul)),
        Request::Pen(_, soul, _) => each(soul),
        Request::Endorse(_) => {}
    }
}

/// Who writes.
fn writer_of(request: &Request) -> Option<Principal> {
    match request {
        Request::Write(write) => Some(write.by),
        Request::Ops(by, _) | Request::Import(by, _) | Request::Pen(by, ..) => Some(*by),
        Request::Planned(planned) => Some(planned.by),
        Request::Foreign(_) | Request::Due(_) | Request::Endorse(_) => None,
    }
}

impl Merger {
    /// Brings what planning the jobs takes.
    pub(super) async fn load(&mut self, jobs: &[Job], group: u64) -> Result<(), String> {
        let loaded = self.bring(jobs, group).await;
        loaded.map_err(|error| {
            tracing::error!(%error, "what a write needs cannot be read");
            error.to_string()
        })
    }

    async fn bring(&mut self, jobs: &[Job], group: u64) -> Result<(), Error> {
        let mut missing: HashSet<Soul> = HashSet::new();
        let mut owned: HashSet<Soul> = HashSet::new();
        let states = &mut self.states;
        let mut need = |soul: &Soul| {
            if !missing.contains(soul) && !states.touch(soul, group) {
                missing.insert(soul.clone());
            }
        };
        for job in jobs {
            souls_of(&job.request, |soul| {
                need(soul);
                if soul.starts_with('~') {
                    owned.insert(soul.clone());
                }
            });
        }
        // Revocations stand in the root of a space, and what counts is what was joined, not what is durable.
        let mut roots: HashSet<Soul> = owned
            .iter()
            .filter_map(|soul| if let Space::Owned(key) = soul.space() { Some(Soul::of_key(key)) } else { None })
            .collect();
        if self.shared.authority.wants_members() {
            roots.insert(self.shared.authority.community_soul());
        }
        roots.iter().for_each(need);
        if !missing.is_empty() {
            let souls: Vec<Soul> = missing.into_iter().collect();
            let entries = self.shared.ports.store.load(&souls).await?;
            self.states.restore(souls, entries, group);
        }
        for job in jobs {
            if let Some(by) = writer_of(&job.request) {
                self.bring_writer(by, !owned.is_empty(), group).await?;
            }
        }
        self.read_revocations(&roots).await?;
        for job in jobs {
            let mut souls: Vec<Soul> = Vec::new();
            souls_of(&job.request, |soul| {
                let may_be = soul.starts_with('~') || !self.revocations.is_empty();
                if may_be && souls.last() != Some(soul) && self.is_judged(soul) {
                    souls.push(soul.clone());
                }
            });
            for soul in souls {
                self.hide(&soul).await?;
            }
        }
        Ok(())
    }

    async fn bring_writer(&mut self, by: Principal, owned: bool, group: u64) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        // The owner's own key is what nearly every write takes.
        let keys = shared.keys_of(by);
        for key in &keys {
            let author = self.authors.load(&shared.ports, shared.host_tag, key, group, &mut self.clock).await?;
            if owned {
                author.holdings = shared.authority.holdings(&key.public()).await?;
            }
        }
        Ok(())
    }

    pub(super) fn writers(&self, by: Principal) -> Writers {
        self.shared.writers(by, &self.shared.keys_of(by))
    }

    async fn read_revocations(&mut self, roots: &HashSet<Soul>) -> Result<(), Error> {
        self.revocations.close();
        for root in roots {
            let (Space::Owned(owner), Some(state)) = (root.space(), self.states.get(root)) else { continue };
            self.revocations.open(owner, state, &self.shared.authority).await?;
        }
        Ok(())
    }

    /// What of a node may be hidden: what is revoked in its space, and in `~C`.
    fn judges(&self, soul: &Soul) -> (Option<Arc<Revoked>>, Arc<Revoked>) {
        let own = match soul.space() {
            Space::Owned(owner) => self.revocations.get(&owner).cloned(),
            _ => None,
        };
        let community = self.shared.identity.community;
        let endorsers = if is_exempt(soul, &community) { None } else { self.revocations.get(&community).cloned() };
        (own, endorsers.unwrap_or_default())
    }

    /// Whether what a node shows depends on more than its entries.
    pub(super) fn is_judged(&self, soul: &Soul) -> bool {
        let (own, endorsers) = self.judges(soul);
        let keys = || self.states.get(soul).is_some_and(|state| private::certified_keys(state).next().is_some());
        own.is_some() || !endorsers.is_empty() || keys()
    }

    async fn hide(&mut self, soul: &Soul) -> Result<(), Error> {
        let (own, endorsers) = self.judges(soul);
        let Some(state) = self.states.get(soul) else { return Ok(()) };
        let hidden = self.shared.authority.hidden(state, own.as_deref(), &endorsers).await?;
        if hidden != *state.hidden() {
            self.states.with(soul, |state: &mut NodeState| state.set_hidden(hidden));
        }
        Ok(())
    }
}
