//! The port in memory, said as plainly as possible.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rustdht_core::ports::{Applied, Batch, EndorsedPartition, Endorsement, FeedRow, Loser, StoredCommit};
use rustdht_core::{CertificateId, CommitId, Entry, EntryId, partition_of};

/// What a store must answer after the same batches.
pub(crate) struct Model {
    pub(crate) entries: BTreeMap<EntryId, Entry>,
    pub(crate) commits: HashMap<CommitId, StoredCommit>,
    pub(crate) endorsements: BTreeMap<(CommitId, CertificateId), Endorsement>,
    /// Oldest first.
    pub(crate) history: Vec<Loser>,
    pub(crate) feed: Vec<FeedRow>,
    pub(crate) side: BTreeMap<(&'static str, Vec<u8>), Vec<u8>>,
    per_field: usize,
}

impl Model {
    pub(crate) fn new(per_field: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            commits: HashMap::new(),
            endorsements: BTreeMap::new(),
            history: Vec::new(),
            feed: Vec::new(),
            side: BTreeMap::new(),
            per_field,
        }
    }

    /// Every endorsement in every partition in which its commit has an entry.
    pub(crate) fn endorsed(&self) -> BTreeSet<EndorsedPartition> {
        let pairs = self.entries.values().flat_map(|entry| {
            let own = self.endorsements.values().filter(|endorsement| endorsement.commit == entry.commit);
            let partition = partition_of(&entry.soul);
            own.map(move |own| EndorsedPartition { record: own.record, partition, stamp: entry.stamp })
        });
        pairs.collect()
    }

    /// `None`: the batch must fail.
    pub(crate) fn apply(&mut self, batch: &Batch) -> Option<Applied> {
        for row in batch.side.iter().filter(|row| row.insert_only) {
            if self.side.contains_key(&(row.ns, row.key.clone())) {
                return Some(Applied::Duplicate { ns: row.ns, key: row.key.clone() });
            }
        }
        let brought = |id| batch.commits.iter().any(|commit| commit.id == id);
        if batch.puts.iter().any(|put| !self.commits.contains_key(&put.entry.commit) && !brought(put.entry.commit)) {
            return None;
        }
        let before = self.endorsed();
        for commit in &batch.commits {
            self.commits.insert(commit.id, (**commit).clone());
        }
        for (id, _) in &batch.drops {
            self.entries.remove(id);
        }
        for put in &batch.puts {
            self.entries.insert(put.entry.id, (*put.entry).clone());
        }
        for endorsement in &batch.endorsements {
            let key = (endorsement.commit, endorsement.certificate);
            self.endorsements.entry(key).or_insert_with(|| endorsement.clone());
        }
        self.commits.retain(|id, _| self.entries.values().any(|entry| entry.commit == *id));
        self.endorsements.retain(|(commit, _), _| self.commits.contains_key(commit));
        let after = self.endorsed();
        self.history.extend(batch.losers.iter().cloned());
        self.history.retain(|loser| !batch.forget.contains(&loser.entry.id));
        let mut kept: HashMap<_, usize> = HashMap::new();
        let mut newest_first: Vec<Loser> = self.history.drain(..).rev().collect();
        newest_first.retain(|loser| {
            let count = kept.entry((loser.entry.soul.clone(), loser.entry.field.clone())).or_default();
            *count += 1;
            *count <= self.per_field
        });
        self.history = newest_first.into_iter().rev().collect();
        for row in &batch.side {
            match &row.value {
                Some(value) => self.side.insert((row.ns, row.key.clone()), value.clone()),
                None => self.side.remove(&(row.ns, row.key.clone())),
            };
        }
        if !batch.changes.is_empty() {
            let number = self.feed.len() as u64 + 1;
            self.feed.push(FeedRow { number, ms: batch.now_ms, changes: batch.changes.clone() });
        }
        Some(Applied::Done {
            feed: self.feed.len() as u64,
            endorsed: after.difference(&before).copied().collect(),
            ended: before.difference(&after).copied().collect(),
        })
    }
}
