//! The graph store in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use rustdht_core::{
    CertificateId, CommitId, Entry, EntryId, Field, RecordId, Soul, Space, Value, partition_of,
    ports::{
        Applied, Batch, BlobPage, BlobReference, CheckCursor, CheckPage, EndorsedPartition, Endorsement, Fault,
        FeedPage, FeedRow, GraphStore, HistoryPage, IndexRow, Loser, Repaired, StoreError, StoreStats, StoredCommit,
    },
};

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<EntryId, (RecordId, Entry, i64)>,
    commits: BTreeMap<CommitId, StoredCommit>,
    endorsements: BTreeMap<(CommitId, CertificateId), (Endorsement, i64)>,
    losers: Vec<(i64, Loser)>,
    feed: Vec<FeedRow>,
    side: BTreeMap<(&'static str, Vec<u8>), Vec<u8>>,
    next: i64,
    failing: bool,
}

impl State {
    fn number(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    /// Each endorsement of these commits in each partition of its commit's entries, with the endorsement's number.
    fn endorsed(&self, of: impl Fn(&CommitId) -> bool) -> BTreeSet<(i64, EndorsedPartition)> {
        let mut endorsed = BTreeSet::new();
        for (_, entry, _) in self.entries.values().filter(|(_, entry, _)| of(&entry.commit)) {
            let first = (entry.commit, CertificateId([0; 32]));
            let last = (entry.commit, CertificateId([0xff; 32]));
            for (endorsement, no) in self.endorsements.range(first..=last).map(|(_, found)| found) {
                let partition = partition_of(&entry.soul);
                endorsed.insert((*no, EndorsedPartition { record: endorsement.record, partition, stamp: entry.stamp }));
            }
        }
        endorsed
    }

    fn write(&mut self, batch: Batch) -> Applied {
        let held = batch.drops.iter().filter_map(|(id, _)| self.entries.get(id)).map(|(_, entry, _)| entry.commit);
        let touched: BTreeSet<CommitId> = held
            .chain(batch.puts.iter().map(|put| put.entry.commit))
            .chain(batch.endorsements.iter().map(|endorsement| endorsement.commit))
            .collect();
        let endorsed = |state: &Self| -> BTreeSet<EndorsedPartition> {
            state.endorsed(|commit| touched.contains(commit)).into_iter().map(|(_, endorsed)| endorsed).collect()
        };
        let before = endorsed(self);
        for commit in batch.commits {
            self.commits.insert(commit.id, (*commit).clone());
        }
        for (id, _) in batch.drops {
            self.entries.remove(&id);
        }
        for put in batch.puts {
            let no = self.number();
            self.entries.insert(put.entry.id, (put.record, (*put.entry).clone(), no));
        }
        let live: BTreeSet<CommitId> = self.entries.values().map(|(_, entry, _)| entry.commit).collect();
        self.commits.retain(|id, _| live.contains(id));
        for endorsement in batch.endorsements.into_iter().filter(|endorsement| live.contains(&endorsement.commit)) {
            let no = self.number();
            self.endorsements.entry((endorsement.commit, endorsement.certificate)).or_insert((endorsement, no));
        }
        self.endorsements.retain(|(commit, _), _| live.contains(commit));
        let after = endorsed(self);
        for loser in batch.losers {
            let no = self.number();
            self.losers.push((no, loser));
        }
        self.losers.retain(|(_, loser)| !batch.forget.contains(&loser.entry.id));
        for row in batch.side {
            match row.value {
                Some(value) => self.side.insert((row.ns, row.key), value),
                None => self.side.remove(&(row.ns, row.key)),
            };
        }
        let mut feed = self.feed.last().map_or(0, |row| row.number);
        if !batch.changes.is_empty() {
            feed += 1;
            self.feed.push(FeedRow { number: feed, ms: batch.now_ms, changes: batch.changes });
        }
        Applied::Done {
            feed,
            endorsed: after.difference(&before).copied().collect(),
            ended: before.difference(&after).copied().collect(),
        }
    }
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

    /// Every displaced entry of the history.
    #[must_use]
    pub fn losers(&self) -> Vec<Loser> {
        self.state().losers.iter().map(|(_, loser)| loser.clone()).collect()
    }

    /// Every stored entry.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.state().entries.values().map(|(_, entry, _)| entry.clone()).collect()
    }

    fn select(&self, wanted: impl Fn(&RecordId, &Entry) -> bool) -> Vec<Entry> {
        let state = self.state();
        let found = state.entries.values().filter(|(record, entry, _)| wanted(record, entry));
        found.map(|(_, entry, _)| entry.clone()).collect()
    }
}

#[async_trait]
impl GraphStore for MemoryStore {
    async fn load(&self, souls: &[Soul]) -> Result<Vec<Entry>, StoreError> {
        let wanted: BTreeSet<&Soul> = souls.iter().collect();
        Ok(self.select(|_, entry| wanted.contains(&entry.soul)))
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
        Ok(state.write(batch))
    }

    async fn by_record(&self, records: &[RecordId]) -> Result<Vec<Entry>, StoreError> {
        let wanted: BTreeSet<&RecordId> = records.iter().collect();
        Ok(self.select(|record, _| wanted.contains(record)))
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
            .filter(|(_, entry, no)| *no > after && entry.soul.space() != Space::Local)
            .map(|(_, entry, no)| {
                let (partition, seconds) = (partition_of(&entry.soul), entry.index_seconds());
                (*no, IndexRow { id: entry.id, partition, seconds })
            })
            .collect();
        rows.sort_by_key(|(no, _)| *no);
        rows.truncate(limit as usize);
        let cursor = rows.last().map_or(after, |(no, _)| *no);
        Ok((rows.into_iter().map(|(_, row)| row).collect(), cursor))
    }

    async fn endorsed(&self, after: i64, limit: u32) -> Result<(Vec<EndorsedPartition>, i64), StoreError> {
        let (mut page, mut last) = (Vec::new(), after);
        for (no, endorsed) in self.state().endorsed(|_| true).into_iter().filter(|(no, _)| *no > after) {
            if page.len() >= limit as usize && no != last {
                break;
            }
            last = no;
            page.push(endorsed);
        }
        Ok((page, last))
    }

    async fn endorsements_by_record(&self, records: &[RecordId]) -> Result<Vec<Endorsement>, StoreError> {
        let state = self.state();
        let all = state.endorsements.values().map(|(endorsement, _)| endorsement);
        Ok(all.filter(|endorsement| records.contains(&endorsement.record)).cloned().collect())
    }

    async fn endorsements(&self, commits: &[CommitId]) -> Result<Vec<Endorsement>, StoreError> {
        let state = self.state();
        let all = state.endorsements.values().map(|(endorsement, _)| endorsement);
        Ok(all.filter(|endorsement| commits.contains(&endorsement.commit)).cloned().collect())
    }

    async fn entries_of(&self, commit: CommitId, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.select(|_, entry| entry.commit == commit);
        entries.truncate(limit as usize);
        Ok(entries)
    }

    async fn souls(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Soul>, StoreError> {
        let state = self.state();
        let souls: BTreeSet<&Soul> = state.entries.values().map(|(_, entry, _)| &entry.soul).collect();
        let wanted = souls
            .into_iter()
            .filter(|soul| soul.starts_with(prefix) && after.is_none_or(|after| soul.as_str() > after));
        Ok(wanted.take(limit as usize).cloned().collect())
    }

    async fn history(
        &self,
        soul: &Soul,
        field: &Field,
        before: Option<i64>,
        limit: u32,
    ) -> Result<HistoryPage, StoreError> {
        let state = self.state();
        let of_field =
            state.losers.iter().rev().filter(|(_, loser)| loser.entry.soul == *soul && loser.entry.field == *field);
        let mut lost = of_field.filter(|(no, _)| before.is_none_or(|before| *no < before)).peekable();
        let mut page = HistoryPage::default();
        let mut last = None;
        while page.losers.len() < limit as usize {
            let Some((no, loser)) = lost.next() else { break };
            last = Some(*no);
            page.losers.push(loser.clone());
        }
        page.next = last.filter(|_| lost.peek().is_some());
        Ok(page)
    }

    async fn in_history(&self, ids: &[EntryId]) -> Result<Vec<EntryId>, StoreError> {
        Ok(self.state().losers.iter().map(|(_, loser)| loser.entry.id).filter(|id| ids.contains(id)).collect())
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

    async fn side_page(
        &self,
        ns: &'static str,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: u32,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let state = self.state();
        let rows = state.side.iter().filter(|((row_ns, key), _)| {
            *row_ns == ns && key.starts_with(prefix) && after.is_none_or(|after| key.as_slice() > after)
        });
        Ok(rows.take(limit as usize).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    async fn side_count(&self, ns: &'static str, from: &[u8], to: &[u8]) -> Result<u64, StoreError> {
        let state = self.state();
        let within = |key: &[u8]| from <= key && key < to;
        Ok(state.side.keys().filter(|(row_ns, key)| *row_ns == ns && within(key)).count() as u64)
    }

    async fn blob_references(&self, after: i64, rows: u32) -> Result<BlobPage, StoreError> {
        let state = self.state();
        let mut entries: Vec<(i64, &Entry)> =
            state.entries.values().filter(|(_, _, no)| *no > after).map(|(_, entry, no)| (*no, entry)).collect();
        entries.sort_by_key(|(no, _)| *no);
        entries.truncate(rows.max(1) as usize);
        let reference = |entry: &Entry| match entry.body.value()? {
            Value::Blob(cid) => Some(BlobReference::Blob(*cid)),
            Value::Enc(_) => Some(BlobReference::Sealed(entry.soul.clone())),
            _ => None,
        };
        let references = entries.iter().filter_map(|(_, entry)| reference(entry)).collect();
        Ok(BlobPage { references, next: entries.last().map(|(no, _)| *no) })
    }

    async fn trim(&self, _now_ms: u64) -> Result<(), StoreError> {
        Ok(())
    }

    /// Memory holds values, not bytes: nothing in it can be damaged.
    async fn check(&self, _after: CheckCursor, _limit: u32) -> Result<CheckPage, StoreError> {
        let state = self.state();
        Ok(CheckPage { rows: (state.entries.len() + state.commits.len()) as u64, ..CheckPage::default() })
    }

    async fn repair(&self, _faults: Vec<Fault>, _now_ms: u64) -> Result<Repaired, StoreError> {
        Ok(Repaired { feed: self.last_feed().await?, ..Repaired::default() })
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
