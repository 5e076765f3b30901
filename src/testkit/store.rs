//! The graph store in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use rustdht_core::{
    CommitId, Entry, EntryId, Field, RecordId, Soul, partition_of,
    ports::{Applied, Batch, FeedPage, FeedRow, GraphStore, IndexRow, Loser, StoreError, StoreStats, StoredCommit},
};

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<EntryId, (RecordId, Entry, i64)>,
    commits: BTreeMap<CommitId, StoredCommit>,
    losers: Vec<Loser>,
    feed: Vec<FeedRow>,
    side: BTreeMap<(&'static str, Vec<u8>), Vec<u8>>,
    next: i64,
    failing: bool,
}

/// A store that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<State>);

impl MemoryStore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every `apply` fails, or works again.
    pub fn set_failing(&self, failing: bool) {
        self.state().failing = failing;
    }

    /// Every stored entry.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.state().entries.values().map(|(_, entry, _)| entry.clone()).collect()
    }
}

#[async_trait]
impl GraphStore for MemoryStore {
    async fn load(&self, souls: &[Soul]) -> Result<Vec<Entry>, StoreError> {
        let wanted: BTreeSet<&Soul> = souls.iter().collect();
        Ok(self
            .state()
            .entries
            .values()
            .filter(|(_, entry, _)| wanted.contains(&entry.soul))
            .map(|(_, entry, _)| entry.clone())
            .collect())
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        let mut state = self.state();
        if state.failing {
            return Err(StoreError::Failed("told to fail".into()));
        }
        if let Some(row) =
            batch.side.iter().find(|row| row.insert_only && state.side.contains_key(&(row.ns, row.key.clone())))
        {
            return Ok(Applied::Duplicate { ns: row.ns, key: row.key.clone() });
        }
        let last = state.feed.last().map_or(0, |row| row.number);
        for commit in batch.commits {
            state.commits.insert(commit.id, (*commit).clone());
        }
        for put in batch.puts {
            state.next += 1;
            let no = state.next;
            state.entries.insert(put.entry.id, (put.record, (*put.entry).clone(), no));
        }
        for (id, _) in batch.drops {
            state.entries.remove(&id);
        }
        let live: BTreeSet<CommitId> = state.entries.values().map(|(_, entry, _)| entry.commit).collect();
        state.commits.retain(|id, _| live.contains(id));
        state.losers.extend(batch.losers);
        state.losers.retain(|loser| !batch.forget.contains(&loser.entry.id));
        for row in batch.side {
            match row.value {
                Some(value) => state.side.insert((row.ns, row.key), value),
                None => state.side.remove(&(row.ns, row.key)),
            };
        }
        if batch.changes.is_empty() {
            return Ok(Applied::Done { feed: last });
        }
        state.feed.push(FeedRow { number: last + 1, ms: batch.now_ms, changes: batch.changes });
        Ok(Applied::Done { feed: last + 1 })
    }

    async fn by_record(&self, records: &[RecordId]) -> Result<Vec<Entry>, StoreError> {
        let wanted: BTreeSet<&RecordId> = records.iter().collect();
        Ok(self
            .state()
            .entries
            .values()
            .filter(|(record, ..)| wanted.contains(record))
            .map(|(_, entry, _)| entry.clone())
            .collect())
    }

    async fn commits(&self, ids: &[CommitId]) -> Result<Vec<StoredCommit>, StoreError> {
        let state = self.state();
        Ok(ids.iter().filter_map(|id| state.commits.get(id).cloned()).collect())
    }

    async fn index(&self, after: i64, limit: u32) -> Result<(Vec<IndexRow>, i64), StoreError> {
        let state = self.state();
        let mut rows: Vec<(i64, IndexRow)> = state
            .entries
            .values()
            .filter(|(.., no)| *no > after)
            .map(|(_, entry, no)| {
                (*no, IndexRow { id: entry.id, partition: partition_of(&entry.soul), stamp: entry.stamp })
            })
            .collect();
        rows.sort_by_key(|(no, _)| *no);
        rows.truncate(limit as usize);
        let cursor = rows.last().map_or(after, |(no, _)| *no);
        Ok((rows.into_iter().map(|(_, row)| row).collect(), cursor))
    }

    async fn souls(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Soul>, StoreError> {
        let state = self.state();
        let souls: BTreeSet<&Soul> = state.entries.values().map(|(_, entry, _)| &entry.soul).collect();
        let wanted = souls
            .into_iter()
            .filter(|soul| soul.starts_with(prefix) && after.is_none_or(|after| soul.as_str() > after));
        Ok(wanted.take(limit as usize).cloned().collect())
    }

    async fn history(&self, soul: &Soul, field: &Field, limit: u32) -> Result<Vec<Loser>, StoreError> {
        let state = self.state();
        let lost = state.losers.iter().rev().filter(|loser| loser.entry.soul == *soul && loser.entry.field == *field);
        Ok(lost.take(limit as usize).cloned().collect())
    }

    async fn in_history(&self, ids: &[EntryId]) -> Result<Vec<EntryId>, StoreError> {
        Ok(self.state().losers.iter().map(|loser| loser.entry.id).filter(|id| ids.contains(id)).collect())
    }

    async fn feed(&self, after: u64, limit: u32) -> Result<FeedPage, StoreError> {
        let state = self.state();
        let rows = state.feed.iter().filter(|row| row.number > after).take(limit as usize).cloned().collect();
        Ok(FeedPage { rows, oldest: 1 })
    }

    async fn last_feed(&self) -> Result<u64, StoreError> {
        Ok(self.state().feed.last().map_or(0, |row| row.number))
    }

    async fn side_get(&self, ns: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().side.get(&(ns, key.to_vec())).cloned())
    }

    async fn side_scan(
        &self,
        ns: &'static str,
        prefix: &[u8],
        limit: u32,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let state = self.state();
        let rows = state.side.iter().filter(|((row_ns, key), _)| *row_ns == ns && key.starts_with(prefix));
        Ok(rows.take(limit as usize).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    async fn trim(&self, _now_ms: u64) -> Result<(), StoreError> {
        Ok(())
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let state = self.state();
        Ok(StoreStats { entries: state.entries.len() as u64, commits: state.commits.len() as u64, bytes: 0 })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&self) {}
}
