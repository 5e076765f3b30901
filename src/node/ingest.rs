//! What members send and ask for.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use rustdht_core::{
    Body, CommitId, Entry, RecordId, Soul, Space,
    ports::{Batch, IndexItem, Ingest, IngestOutcome, ReplicaId, SideRow, StoreError, StoredCommit},
};
use rustdht_graph::{NodeState, Rules as JoinRules};
use rustdht_wire::{Checked, Place, Rules, check, envelopes_of, verify_batch};

use crate::{
    Outcome,
    merger::{Answer, Foreign, ForeignDone, Request},
    node::Inner,
};

/// Namespace of the replication engine's rows.
const NS: &str = "engine";
/// Rows of the engine that are read at start.
const ENGINE_ROWS: u32 = 16_384;
/// Records looked up at a time.
const RECORDS_AT_A_TIME: usize = 128;
/// Bytes of one envelope, as the format bounds it.
const ONE_ENVELOPE_BYTES: usize = 1 << 20;

pub(crate) struct Door {
    pub(crate) inner: Arc<Inner>,
}

/// Checks and verifies envelopes from a member, off the async threads.
async fn verify(inner: &Inner, envelopes: Vec<Bytes>) -> Vec<Result<Foreign, IngestOutcome>> {
    let count = envelopes.len();
    let rules = Rules { net: inner.shared.identity.net, now_ms: inner.shared.ports.clock.now_ms() };
    let work = move || {
        let mut outcomes: Vec<Option<Result<Foreign, IngestOutcome>>> = Vec::with_capacity(envelopes.len());
        let mut checked: Vec<Checked> = Vec::new();
        let mut at = Vec::new();
        for (index, envelope) in envelopes.iter().enumerate() {
            match check(envelope, Place::Replica, &rules) {
                Ok(good) => {
                    checked.push(good);
                    at.push(index);
                    outcomes.push(None);
                }
                Err(refusal) => outcomes.push(Some(Err(IngestOutcome::Refused(refusal)))),
            }
        }
        for (index, verified) in at.into_iter().zip(verify_batch(checked)) {
            outcomes[index] = Some(match verified {
                Ok(verified) => Ok(Foreign { verified, envelope: envelopes[index].clone(), door: false }),
                Err(refusal) => Err(IngestOutcome::Refused(refusal)),
            });
        }
        outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(IngestOutcome::Unavailable))).collect()
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| vec![Err(IngestOutcome::Unavailable); count])
}

/// Verifies, joins and makes durable what members sent.
pub(crate) async fn join(inner: &Inner, envelopes: Vec<Bytes>) -> Vec<IngestOutcome> {
    let verified = verify(inner, envelopes).await;
    let mut outcomes = Vec::with_capacity(verified.len());
    let mut commits = Vec::new();
    for verified in verified {
        match verified {
            Ok(foreign) => {
                outcomes.push(None);
                commits.push(foreign);
            }
            Err(outcome) => outcomes.push(Some(outcome)),
        }
    }
    let mut done = Vec::new();
    if !commits.is_empty()
        && let Ok(Answer::Foreign(joined)) = inner.submit(Request::Foreign(commits)).await
    {
        done = joined;
    }
    let mut done = done.into_iter();
    let resolve = |outcome: Option<IngestOutcome>| match outcome {
        Some(outcome) => outcome,
        None => done.next().map_or(IngestOutcome::Unavailable, summarise),
    };
    outcomes.into_iter().map(resolve).collect()
}

/// One word for a commit whose operations fared differently: the one that stands most in the way.
fn summarise(done: ForeignDone) -> IngestOutcome {
    let mut summary = IngestOutcome::Durable;
    let mut refused = None;
    for (_, _, outcome) in done.results {
        match outcome {
            Ok(Some(Outcome::Deferred { until_ms })) => return IngestOutcome::Early { until_ms },
            Ok(Some(_)) => {}
            Ok(None) => summary = IngestOutcome::Pending,
            Err(refusal) => refused = Some(refusal),
        }
    }
    refused.map_or(summary, IngestOutcome::Refused)
}

impl Door {
    /// Envelopes of the entries, those of the commits in `first` before the others, as many as fit.
    async fn envelopes_of(
        &self,
        entries: Vec<Entry>,
        first: &HashSet<CommitId>,
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let mut by_commit: BTreeMap<(bool, CommitId), Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            by_commit.entry((!first.contains(&entry.commit), entry.commit)).or_default().push(entry);
        }
        let ids: Vec<CommitId> = by_commit.keys().map(|(_, id)| *id).collect();
        let mut commits: HashMap<CommitId, StoredCommit> = HashMap::new();
        for commit in self.inner.shared.ports.store.commits(&ids).await? {
            commits.insert(commit.id, commit);
        }
        let (mut envelopes, mut total) = (Vec::new(), 0);
        // Half of the room is for what covers, so that every answer also brings something that was asked for.
        let (mut room, mut covering) = (max_bytes / 2, true);
        for ((asked, id), entries) in &by_commit {
            if *asked && covering {
                (room, covering, total) = (max_bytes.saturating_sub(total), false, 0);
            }
            let Some(commit) = commits.get(id) else { continue };
            let entries: Vec<&Entry> = entries.iter().collect();
            match envelopes_of(commit, &entries, ONE_ENVELOPE_BYTES.min(max_bytes)) {
                Ok(parts) => {
                    let bytes: usize = parts.iter().map(Vec::len).sum();
                    if total + bytes > room && (covering || total > 0) {
                        if covering {
                            continue;
                        }
                        break;
                    }
                    total += bytes;
                    envelopes.extend(parts.into_iter().map(Bytes::from));
                }
                Err(error) => tracing::error!(commit = %id, %error, "a stored commit cannot be sent"),
            }
        }
        Ok(envelopes)
    }

    /// The kills and erases that cover value-less entries: whoever gets one needs the other.
    async fn covers(&self, entries: &[Entry]) -> Result<Vec<Entry>, StoreError> {
        let bare: Vec<&Entry> = entries.iter().filter(|entry| matches!(entry.body, Body::Dropped(_))).collect();
        let souls: HashSet<Soul> = bare.iter().map(|entry| entry.soul.clone()).collect();
        if souls.is_empty() {
            return Ok(Vec::new());
        }
        let mut states: HashMap<Soul, NodeState> = HashMap::new();
        for entry in self.inner.shared.ports.store.load(&souls.into_iter().collect::<Vec<_>>()).await? {
            states
                .entry(entry.soul.clone())
                .or_insert_with(|| NodeState::new(entry.soul.clone()))
                .restore(entry.into());
        }
        let mut covers: HashMap<rustdht_core::EntryId, Entry> = HashMap::new();
        for entry in bare {
            let Some(field) = states.get(&entry.soul).and_then(|state| state.field(&entry.field)) else { continue };
            if let Some(cover) = field.covers(JoinRules::of(&entry.soul), entry).next() {
                covers.insert(cover.id, (**cover).clone());
            }
        }
        Ok(covers.into_values().collect())
    }

    async fn load_records(
        &self,
        records: &[RecordId],
        max_bytes: usize,
    ) -> Result<(Vec<Bytes>, Vec<RecordId>), StoreError> {
        let mut envelopes: Vec<Bytes> = Vec::new();
        let (mut missing, mut room) = (Vec::new(), max_bytes);
        // In slices, so that what is read stays near what is sent.
        for slice in records.chunks(RECORDS_AT_A_TIME) {
            let (more, absent) = self.load_slice(slice, room).await?;
            missing.extend(absent);
            let bytes: usize = more.iter().map(Bytes::len).sum();
            envelopes.extend(more);
            if bytes >= room / 2 {
                break;
            }
            room -= bytes;
        }
        Ok((envelopes, missing))
    }

    async fn load_slice(
        &self,
        records: &[RecordId],
        max_bytes: usize,
    ) -> Result<(Vec<Bytes>, Vec<RecordId>), StoreError> {
        let key = &self.inner.shared.network_key;
        let asked: HashSet<RecordId> = records.iter().copied().collect();
        let mut entries = self.inner.shared.ports.store.by_record(records).await?;
        entries.retain(|entry| asked.contains(&entry.id.record_id(key)));
        let found: HashSet<RecordId> = entries.iter().map(|entry| entry.id.record_id(key)).collect();
        // What covers a value-less entry goes ahead of it, or the receiver could not take it.
        let covers = self.covers(&entries).await?;
        let first: HashSet<CommitId> = covers.iter().map(|cover| cover.commit).collect();
        entries.extend(covers);
        entries.sort_by_key(|entry| (entry.commit, entry.index));
        entries.dedup_by_key(|entry| entry.id);
        let envelopes = self.envelopes_of(entries, &first, max_bytes).await?;
        Ok((envelopes, records.iter().filter(|record| !found.contains(record)).copied().collect()))
    }
}

#[async_trait]
impl Ingest for Door {
    #[tracing::instrument(name = "node.ingest", level = "debug", skip_all, fields(%from, envelopes = envelopes.len()))]
    async fn ingest(&self, from: &ReplicaId, envelopes: Vec<Bytes>) -> Vec<IngestOutcome> {
        join(&self.inner, envelopes).await
    }

    async fn envelopes(&self, records: &[RecordId], max_bytes: usize) -> (Vec<Bytes>, Vec<RecordId>) {
        match self.load_records(records, max_bytes).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(%error, "records cannot be read");
                (Vec::new(), records.to_vec())
            }
        }
    }

    async fn soul_envelopes(&self, soul: &Soul, max_bytes: usize) -> Vec<Bytes> {
        if soul.space() == Space::Local {
            return Vec::new();
        }
        let loaded = match self.inner.shared.ports.store.load(std::slice::from_ref(soul)).await {
            Ok(entries) => self.envelopes_of(entries, &HashSet::new(), max_bytes).await,
            Err(error) => Err(error),
        };
        match loaded {
            Ok(envelopes) => envelopes,
            Err(error) => {
                tracing::error!(%error, "a soul cannot be read");
                Vec::new()
            }
        }
    }

    async fn block(&self, cid: &Cid) -> Option<Bytes> {
        self.inner.shared.ports.blobs.block(cid).await.ok().flatten()
    }

    async fn index(&self, after: i64, limit: u32) -> Result<(Vec<IndexItem>, i64), StoreError> {
        let (rows, cursor) = self.inner.shared.ports.store.index(after, limit).await?;
        let key = &self.inner.shared.network_key;
        let item = |row: &rustdht_core::ports::IndexRow| IndexItem {
            seconds: row.stamp.index_seconds(),
            record: row.id.record_id(key),
            partition: row.partition,
        };
        Ok((rows.iter().map(item).collect(), cursor))
    }

    async fn save(&self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let side = vec![SideRow { ns: NS, key, value, insert_only: false }];
        let batch = Batch { side, now_ms: self.inner.shared.ports.clock.now_ms(), ..Batch::default() };
        if let Err(error) = self.inner.shared.ports.store.apply(batch).await {
            tracing::error!(%error, "the engine's state cannot be saved");
        }
    }

    async fn saved(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        self.inner.shared.ports.store.side_scan(NS, &[], ENGINE_ROWS).await
    }
}
