//! What a group of batches amounts to. Pure: the database is what [`Known`] says.
//!
//! Batches are taken in order, each as a whole or not at all. What a later one drops or replaces of an earlier one is
//! never written. Every entry named ends as at most one row: the held row goes, and the last put of the id, if no drop
//! came after it, is written.

use std::collections::{BTreeMap, HashMap, HashSet};

use rustdht_core::ports::{Applied, Batch, Change, Loser, Put, StoreError, StoredCommit};
use rustdht_core::{CommitId, EntryId, PublicKey, partition_of};

use super::endorsed::{Insert, Tracker};
use super::lookup::{Known, Numbers};

/// A key of the private rows.
pub(crate) type SideKey<'a> = (&'static str, &'a [u8]);

/// The outcome so far.
pub(crate) struct Plan<'a> {
    known: &'a Known,
    at: HashMap<EntryId, usize>,
    entries: Vec<(EntryId, Option<&'a Put>)>,
    commits: HashMap<CommitId, &'a StoredCommit>,
    losers: Vec<&'a Loser>,
    forget: Vec<EntryId>,
    side: BTreeMap<SideKey<'a>, Option<&'a [u8]>>,
    feed: Vec<FeedInsert<'a>>,
    last_feed: u64,
    endorsed: Tracker<'a>,
}

/// A row of the change feed to be written.
pub(crate) struct FeedInsert<'a> {
    pub(crate) number: u64,
    pub(crate) ms: u64,
    pub(crate) changes: &'a [Change],
}

/// A commit to be written: a new row, or a held one whose signed part is replaced.
pub(crate) struct CommitWrite<'a> {
    pub(crate) no: i64,
    /// The author of its entries; not written over a held row.
    pub(crate) author: PublicKey,
    /// Entries of a new row; not written over a held row.
    pub(crate) live: i64,
    pub(crate) commit: &'a StoredCommit,
}

/// What is to be written, with every number known.
pub(crate) struct Effects<'a> {
    /// Numbers of rows with the first eight bytes of their records.
    pub(crate) delete_entries: Vec<(i64, i64)>,
    pub(crate) commits: Vec<CommitWrite<'a>>,
    /// Entries with the number of their commit, to be numbered upwards from `first_entry`.
    pub(crate) entries: Vec<(i64, &'a Put)>,
    pub(crate) first_entry: i64,
    /// Endorsements with the number of their commit, to be numbered upwards from `first_endorsement`.
    pub(crate) endorsements: Vec<Insert<'a>>,
    pub(crate) first_endorsement: i64,
    /// Numbers of endorsements with the first eight bytes of their records.
    pub(crate) delete_endorsements: Vec<(i64, i64)>,
    /// Held commits by what their count of entries changes by.
    pub(crate) live: BTreeMap<i64, Vec<i64>>,
    pub(crate) delete_commits: Vec<i64>,
    pub(crate) losers: Vec<&'a Loser>,
    pub(crate) first_loser: i64,
    pub(crate) forget: Vec<EntryId>,
    pub(crate) side: BTreeMap<SideKey<'a>, Option<&'a [u8]>>,
    pub(crate) feed: Vec<FeedInsert<'a>>,
    /// The last numbers once this is written.
    pub(crate) numbers: Numbers,
}

impl<'a> Plan<'a> {
    /// An empty plan for `batches`, over a database whose last row of the change feed is `last_feed`.
    pub(crate) fn new(known: &'a Known, batches: &'a [Batch], last_feed: u64) -> Self {
        Self {
            known,
            at: HashMap::new(),
            entries: Vec::new(),
            commits: HashMap::new(),
            losers: Vec::new(),
            forget: Vec::new(),
            side: BTreeMap::new(),
            feed: Vec::new(),
            last_feed,
            endorsed: Tracker::new(&known.endorsed, batches),
        }
    }

    /// Takes a batch, or leaves the plan as it was.
    pub(crate) fn admit(&mut self, batch: &'a Batch) -> Result<Applied, StoreError> {
        for row in batch.side.iter().filter(|row| row.insert_only) {
            let exists = match self.side.get(&(row.ns, row.key.as_slice())) {
                Some(planned) => planned.is_some(),
                None => !self.known.side.is_empty() && self.known.side.contains(&(row.ns.to_owned(), row.key.clone())),
            };
            if exists {
                return Ok(Applied::Duplicate { ns: row.ns, key: row.key.clone() });
            }
        }
        let orphan = batch.puts.iter().map(|put| put.entry.commit).find(|id| {
            !self.known.commits.contains_key(id)
                && !self.commits.contains_key(id)
                && !batch.commits.iter().any(|commit| commit.id == *id)
        });
        if let Some(id) = orphan {
            return Err(StoreError::Failed(format!("a put names commit {id}, which is neither stored nor brought")));
        }

        self.commits.extend(batch.commits.iter().map(|commit| (commit.id, &**commit)));
        // Drops first: a batch may drop an entry and put it anew without its value.
        for (id, _) in &batch.drops {
            self.set(*id, None);
        }
        for put in &batch.puts {
            self.set(put.entry.id, Some(put));
        }
        self.losers.extend(&batch.losers);
        if !batch.forget.is_empty() {
            let forget: HashSet<&EntryId> = batch.forget.iter().collect();
            self.losers.retain(|loser| !forget.contains(&loser.entry.id));
            self.forget.extend(&batch.forget);
        }
        self.side.extend(batch.side.iter().map(|row| ((row.ns, row.key.as_slice()), row.value.as_deref())));
        if !batch.changes.is_empty() {
            self.last_feed += 1;
            self.feed.push(FeedInsert { number: self.last_feed, ms: batch.now_ms, changes: &batch.changes });
        }
        let (endorsed, ended) = self.endorsed.end(batch);
        Ok(Applied::Done { feed: self.last_feed, endorsed, ended })
    }

    fn set(&mut self, id: EntryId, put: Option<&'a Put>) {
        self.track(&id, put);
        let at = *self.at.entry(id).or_insert_with(|| {
            self.entries.push((id, None));
            self.entries.len() - 1
        });
        self.entries[at].1 = put;
    }

    /// Tells the tracker what an id stood for and what it stands for now.
    fn track(&mut self, id: &EntryId, put: Option<&'a Put>) {
        let place = |put: &Put| (put.entry.commit, partition_of(&put.entry.soul), put.entry.stamp);
        match self.at.get(id).map(|at| self.entries[*at].1) {
            Some(Some(before)) if self.endorsed.matters(&before.entry.commit) => {
                let (commit, partition, stamp) = place(before);
                self.endorsed.entry(&commit, partition, stamp, -1);
            }
            Some(_) => {}
            None => {
                if let Some(held) = self.known.entries.get(id) {
                    self.endorsed.entry(&held.commit, held.partition, held.stamp, -1);
                }
            }
        }
        if let Some(put) = put.filter(|put| self.endorsed.matters(&put.entry.commit)) {
            let (commit, partition, stamp) = place(put);
            self.endorsed.entry(&commit, partition, stamp, 1);
        }
    }

    /// Numbers the rows, behind `last`.
    pub(crate) fn resolve(self, last: Numbers) -> Effects<'a> {
        let mut delete_entries = Vec::new();
        let mut changed: HashMap<i64, i64> = HashMap::new();
        let mut entries = Vec::with_capacity(self.entries.len());
        // New commits by id, as positions in `writes`.
        let mut numbered: HashMap<CommitId, usize> = HashMap::new();
        let mut writes: Vec<CommitWrite<'a>> = Vec::new();
        let mut next_commit = last.commits;
        for (id, put) in &self.entries {
            if let Some(held) = self.known.entries.get(id) {
                delete_entries.push((held.record8, held.no));
                *changed.entry(held.commit_no).or_default() -= 1;
            }
            let Some(put) = *put else { continue };
            let commit = put.entry.commit;
            if let Some(no) = self.known.commits.get(&commit) {
                *changed.entry(*no).or_default() += 1;
                entries.push((*no, put));
            } else if let Some(at) = numbered.get(&commit) {
                writes[*at].live += 1;
                entries.push((writes[*at].no, put));
            } else if let Some(stored) = self.commits.get(&commit) {
                next_commit += 1;
                numbered.insert(commit, writes.len());
                writes.push(CommitWrite { no: next_commit, author: put.entry.author, live: 1, commit: stored });
                entries.push((next_commit, put));
            }
        }
        // Held commits that were brought again: their leaves or proofs may say more now.
        writes.extend(self.commits.iter().filter_map(|(id, commit)| {
            let no = *self.known.commits.get(id)?;
            Some(CommitWrite { no, author: rustdht_core::UNSIGNED, live: 0, commit })
        }));
        let mut live: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let mut delete_commits = Vec::new();
        for (no, by) in changed {
            if self.known.live.get(&no).is_some_and(|held| held + by == 0) {
                delete_commits.push(no);
            } else if by != 0 {
                live.entry(by).or_default().push(no);
            }
        }
        let number = |id: &CommitId| {
            let new = || numbered.get(id).map(|at| writes[*at].no);
            self.known.commits.get(id).copied().or_else(new)
        };
        let (endorsements, delete_endorsements) = self.endorsed.resolve(number);
        let numbers = Numbers {
            entries: last.entries + entries.len() as i64,
            endorsements: last.endorsements + endorsements.len() as i64,
            commits: next_commit,
            history: last.history + self.losers.len() as i64,
            feed: self.last_feed,
        };
        Effects {
            delete_entries,
            commits: writes,
            entries,
            first_entry: last.entries + 1,
            endorsements,
            first_endorsement: last.endorsements + 1,
            delete_endorsements,
            live,
            delete_commits,
            losers: self.losers,
            first_loser: last.history + 1,
            forget: self.forget,
            side: self.side,
            feed: self.feed,
            numbers,
        }
    }
}
