//! How far the commits published here got, and who waits for them.

use std::collections::{BTreeMap, BTreeSet};

use rustdht_core::{CommitId, ports::ReplicaId};

use crate::{
    engine::CallerId,
    limits::{MAX_DELIVERIES, MAX_WAITERS},
};

#[derive(Debug, Default)]
struct Delivery {
    number: u64,
    /// Positions in `replicas`; few, so a list is smaller and faster than a set.
    holders: Vec<u16>,
    waiters: Vec<CallerId>,
}

/// The deliveries that are remembered; the oldest is forgotten when there are too many.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    commits: BTreeMap<CommitId, Delivery>,
    order: BTreeMap<u64, CommitId>,
    next_number: u64,
    replicas: Vec<ReplicaId>,
    /// By position: every commit of a lesser number is there, for the replica was found equal.
    equal_below: Vec<u64>,
    waiting: BTreeMap<CallerId, (u64, CommitId)>,
    deadlines: BTreeSet<(u64, CallerId)>,
}

impl Deliveries {
    /// Remembers a commit published here.
    pub(crate) fn begin(&mut self, commit: CommitId) {
        if self.commits.contains_key(&commit) {
            return;
        }
        // Waiters of a forgotten commit stay: their deadline answers them.
        if self.commits.len() >= MAX_DELIVERIES
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.commits.remove(&oldest);
        }
        let number = self.next_number;
        self.next_number += 1;
        self.order.insert(number, commit);
        self.commits.insert(commit, Delivery { number, ..Delivery::default() });
    }

    /// The number that the next commit will have: every commit so far has a lesser one.
    pub(crate) const fn mark(&self) -> u64 {
        self.next_number
    }

    fn position(&mut self, replica: &ReplicaId) -> Option<u16> {
        let found = self.replicas.iter().position(|known| known == replica);
        let position = found.unwrap_or_else(|| {
            self.replicas.push(replica.clone());
            self.equal_below.push(0);
            self.replicas.len() - 1
        });
        u16::try_from(position).ok()
    }

    /// A replica confirmed a commit: whether anybody waits for it.
    pub(crate) fn confirm(&mut self, commit: &CommitId, replica: &ReplicaId) -> bool {
        let Some(position) = self.position(replica) else { return false };
        let Some(delivery) = self.commits.get_mut(commit) else { return false };
        if !delivery.holders.contains(&position) {
            delivery.holders.push(position);
        }
        !delivery.waiters.is_empty()
    }

    /// A replica was found equal: it holds every commit with a number below `mark`. Returns those waited for.
    pub(crate) fn confirm_below(&mut self, mark: u64, replica: &ReplicaId) -> Vec<CommitId> {
        let Some(position) = self.position(replica) else { return Vec::new() };
        if let Some(below) = self.equal_below.get_mut(usize::from(position)) {
            *below = mark.max(*below);
        }
        let below = |commit: &CommitId| self.commits.get(commit).is_some_and(|delivery| delivery.number < mark);
        self.waited().into_iter().filter(below).collect()
    }

    /// The replicas that confirmed a commit; `None`: it is not remembered.
    pub(crate) fn holders(&self, commit: &CommitId) -> Option<impl Iterator<Item = &ReplicaId>> {
        let delivery = self.commits.get(commit)?;
        let known = self.replicas.iter().zip(&self.equal_below).zip(0_u16..);
        let holds = move |below: u64, position: u16| below > delivery.number || delivery.holders.contains(&position);
        Some(known.filter(move |((_, below), position)| holds(**below, *position)).map(|((replica, _), _)| replica))
    }

    /// Lets a caller wait; `false`: too many wait already, or the commit is not remembered.
    pub(crate) fn wait(&mut self, caller: CallerId, commit: CommitId, deadline_ms: u64) -> bool {
        if self.waiting.len() >= MAX_WAITERS {
            return false;
        }
        let Some(delivery) = self.commits.get_mut(&commit) else { return false };
        delivery.waiters.push(caller);
        self.waiting.insert(caller, (deadline_ms, commit));
        self.deadlines.insert((deadline_ms, caller));
        true
    }

    /// Takes the callers that wait for a commit.
    pub(crate) fn take_waiters(&mut self, commit: &CommitId) -> Vec<CallerId> {
        let callers = self.commits.get_mut(commit).map(|delivery| std::mem::take(&mut delivery.waiters));
        let callers = callers.unwrap_or_default();
        for caller in &callers {
            if let Some((deadline_ms, _)) = self.waiting.remove(caller) {
                self.deadlines.remove(&(deadline_ms, *caller));
            }
        }
        callers
    }

    /// Takes one caller whose deadline has passed.
    pub(crate) fn take_late(&mut self, now_ms: u64) -> Option<(CallerId, CommitId)> {
        let (deadline_ms, caller) = *self.deadlines.first()?;
        if deadline_ms > now_ms {
            return None;
        }
        self.deadlines.remove(&(deadline_ms, caller));
        let (_, commit) = self.waiting.remove(&caller)?;
        if let Some(delivery) = self.commits.get_mut(&commit) {
            delivery.waiters.retain(|waiting| *waiting != caller);
        }
        Some((caller, commit))
    }

    /// Commits that somebody waits for.
    pub(crate) fn waited(&self) -> BTreeSet<CommitId> {
        self.waiting.values().map(|(_, commit)| *commit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(number: u32) -> CommitId {
        CommitId(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    fn replica(name: &str) -> ReplicaId {
        ReplicaId(name.to_owned())
    }

    #[test]
    fn only_earlier_commits_are_confirmed_by_equality() {
        let mut deliveries = Deliveries::default();
        deliveries.begin(commit(1));
        let mark = deliveries.mark();
        deliveries.begin(commit(2));
        assert!(deliveries.confirm_below(mark, &replica("a")).is_empty());
        assert_eq!(deliveries.holders(&commit(1)).unwrap().count(), 1);
        assert_eq!(deliveries.holders(&commit(2)).unwrap().count(), 0);
    }

    #[test]
    fn the_oldest_is_forgotten_and_its_waiters_end_at_their_deadline() {
        let mut deliveries = Deliveries::default();
        deliveries.begin(commit(0));
        assert!(deliveries.wait(CallerId(1), commit(0), 500));
        for number in 1..=MAX_DELIVERIES as u32 {
            deliveries.begin(commit(number));
        }
        assert!(deliveries.holders(&commit(0)).is_none());
        assert_eq!(deliveries.commits.len(), MAX_DELIVERIES);
        assert_eq!(deliveries.take_late(499), None);
        assert_eq!(deliveries.take_late(500), Some((CallerId(1), commit(0))));
        assert_eq!(deliveries.take_late(u64::MAX), None);
    }

    #[test]
    fn a_confirmation_counts_once() {
        let mut deliveries = Deliveries::default();
        deliveries.begin(commit(1));
        assert!(deliveries.wait(CallerId(1), commit(1), 500));
        assert!(deliveries.confirm(&commit(1), &replica("a")));
        assert!(deliveries.confirm(&commit(1), &replica("a")));
        assert_eq!(deliveries.holders(&commit(1)).unwrap().count(), 1);
        assert_eq!(deliveries.take_waiters(&commit(1)), [CallerId(1)]);
        assert!(deliveries.waited().is_empty() && deliveries.deadlines.is_empty());
    }
}
