//! Pushing new commits to the members, and who holds them.

use bytes::Bytes;
use rustdht_core::{
    CommitId,
    ports::{Durability, IngestOutcome, ReplicaId},
};
use rustdht_wire::protocol::{MAX_PUT_ENVELOPES, PUT_BATCH_BYTES, PutOutcome, Request, Response};

use super::{CallerId, Engine, Note, Output, Pending};
use crate::limits::{
    MAX_GOSSIP_BYTES, MAX_GOSSIP_COMMITS, MAX_PUTS_IN_FLIGHT, MAX_QUEUED_BYTES, MAX_QUEUED_COMMITS, SYNC_SOON_MS,
};

impl Engine {
    /// Queues commits for every connected peer.
    pub(super) fn push(&mut self, commits: &[(CommitId, Bytes)]) {
        if commits.is_empty() {
            return;
        }
        let soon_ms = self.now_ms + SYNC_SOON_MS;
        // Alone there is nobody to wait for; whoever joins later is found equal or not.
        if self.members.counted().next().is_some() {
            commits.iter().for_each(|(commit, _)| self.deliveries.begin(*commit));
        }
        for (replica, link) in &mut self.links {
            for (commit, envelope) in commits {
                link.queued_bytes += envelope.len();
                link.queue.push_back((*commit, envelope.clone()));
            }
            if link.queue.len() > MAX_QUEUED_COMMITS || link.queued_bytes > MAX_QUEUED_BYTES {
                let dropped = std::mem::take(&mut link.queue).len();
                link.queued_bytes = 0;
                link.lost(soon_ms);
                self.out.push(Output::Note(Note::QueueDropped { replica: replica.clone(), commits: dropped }));
            }
        }
        let replicas: Vec<ReplicaId> = self.links.keys().cloned().collect();
        replicas.iter().for_each(|replica| self.pump(replica));
    }

    /// Sends what is queued for a peer while there is room in flight. What is published meanwhile gathers to the next
    /// batch.
    fn pump(&mut self, replica: &ReplicaId) {
        while let Some(link) = self.links.get_mut(replica)
            && link.puts_in_flight < MAX_PUTS_IN_FLIGHT
            && !link.queue.is_empty()
        {
            let (mut commits, mut envelopes, mut bytes) = (Vec::new(), Vec::new(), 0);
            while let Some((_, next)) = link.queue.front()
                && envelopes.len() < MAX_PUT_ENVELOPES
                && (envelopes.is_empty() || bytes + next.len() <= PUT_BATCH_BYTES)
                && let Some((commit, envelope)) = link.queue.pop_front()
            {
                bytes += envelope.len();
                commits.push(commit);
                envelopes.push(envelope);
            }
            link.queued_bytes -= bytes;
            link.puts_in_flight += 1;
            let token = self.token(Pending::Push { peer: replica.clone(), commits });
            self.out.push(Output::Send { token, to: replica.clone(), request: Request::Put { envelopes } });
        }
    }

    pub(super) fn push_answered(&mut self, peer: &ReplicaId, commits: &[CommitId], response: Option<Response>) {
        let soon_ms = self.now_ms + SYNC_SOON_MS;
        let Some(link) = self.links.get_mut(peer) else { return };
        link.puts_in_flight -= 1;
        match response {
            Some(Response::Put { outcomes }) if outcomes.len() == commits.len() => {
                for (commit, PutOutcome(outcome)) in commits.iter().zip(outcomes) {
                    self.confirmed(peer, commit, outcome);
                }
            }
            Some(_) => {
                link.lost(soon_ms);
                self.strike(peer, "an answer of another kind");
            }
            None => link.lost(soon_ms),
        }
        self.pump(peer);
    }

    fn confirmed(&mut self, peer: &ReplicaId, commit: &CommitId, outcome: IngestOutcome) {
        if outcome == IngestOutcome::Durable {
            if self.deliveries.confirm(commit, peer) {
                self.settle(commit, false);
            }
            return;
        }
        let Some(link) = self.links.get_mut(peer) else { return };
        match outcome {
            IngestOutcome::Pending | IngestOutcome::Unavailable => link.lost(self.now_ms + SYNC_SOON_MS),
            // It is due later there, or never: the regular reconciliation sees to it.
            IngestOutcome::Early { .. } | IngestOutcome::Durable => link.lost(link.sync_at_ms),
            IngestOutcome::Refused(refusal) => {
                link.lost(link.sync_at_ms);
                self.out.push(Output::Note(Note::Refused { replica: peer.clone(), refusal }));
            }
        }
    }

    /// How far a commit got. One that is not remembered is with whoever is in sync.
    pub(super) fn durability(&self, commit: &CommitId) -> Durability {
        let confirmed: Option<Vec<&ReplicaId>> = self.deliveries.holders(commit).map(Iterator::collect);
        let holds = |id: &ReplicaId| match &confirmed {
            Some(holders) => holders.contains(&id),
            None => self.links.get(id).is_some_and(super::Link::is_in_sync),
        };
        let (held, outstanding): (Vec<&ReplicaId>, Vec<&ReplicaId>) = self.members.counted().partition(|id| holds(id));
        Durability {
            durable: u16::try_from(held.len()).unwrap_or(u16::MAX).saturating_add(self.members.own_weight()),
            wanted: self.write_quorum(),
            outstanding: outstanding.into_iter().cloned().collect(),
        }
    }

    pub(super) fn wait(&mut self, caller: CallerId, commit: CommitId, deadline_ms: u64) {
        let durability = self.durability(&commit);
        let hopeless = self.reachable() < durability.wanted || deadline_ms <= self.now_ms;
        if durability.is_acknowledged() || hopeless || !self.deliveries.wait(caller, commit, deadline_ms) {
            self.out.push(Output::Durable { caller, durability });
        }
    }

    /// Answers those who wait for a commit: when it is acknowledged, or in any case.
    pub(super) fn settle(&mut self, commit: &CommitId, anyway: bool) {
        let durability = self.durability(commit);
        if !durability.is_acknowledged() && !anyway {
            return;
        }
        for caller in self.deliveries.take_waiters(commit) {
            self.out.push(Output::Durable { caller, durability: durability.clone() });
        }
    }

    /// Gossips small batches while a counted replica is out of direct reach but somebody is connected.
    pub(super) fn announce(&mut self, commits: &[(CommitId, Bytes)]) {
        let unreached = self.members.counted().any(|id| !self.links.contains_key(id));
        if !unreached || self.links.is_empty() || commits.len() > MAX_GOSSIP_COMMITS {
            return;
        }
        for (_, envelope) in commits.iter().filter(|(_, envelope)| envelope.len() <= MAX_GOSSIP_BYTES) {
            self.out.push(Output::Announce { envelope: envelope.clone() });
        }
    }
}
