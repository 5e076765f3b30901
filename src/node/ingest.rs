//! What members send and ask for.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use cid::{Cid, multihash::Multihash};
use futures::stream::BoxStream;
use rustdht_core::{
    CertificateId, Code, CommitId, PublicKey, RecordId, Soul,
    ports::{
        Batch, BlockGate as _, IndexItem, Ingest, IngestOutcome, IpnsName, NameRecord, Provider, ReplicaId, SideRow,
        StoreError,
    },
};
use rustdht_wire::{Certificates, Checked, Place, Verified, check, limits::MAX_CHAIN, verify_batch};

use crate::{
    Node, Outcome,
    authority::{Cause, Waiting, certify},
    membership,
    merger::{Answer, Foreign, ForeignDone, Origin, Request, envelope_header, index_item},
    node::Inner,
    outgoing::Outgoing,
};

/// Namespace of the replication engine's rows.
const NS: &str = "engine";
/// Rows of the engine that are read at start.
const ENGINE_ROWS: u32 = 16_384;

pub(crate) struct Door {
    pub(crate) inner: Arc<Inner>,
}

/// Checks and verifies envelopes from a member, off the async threads.
async fn verify(
    inner: &Inner,
    envelopes: Vec<Bytes>,
    certificates: Arc<Certificates>,
) -> Vec<Result<Verified, IngestOutcome>> {
    let count = envelopes.len();
    let shared = Arc::clone(&inner.shared);
    let work = move || {
        let rules = shared.authority.rules(shared.ports.clock.now_ms(), &certificates);
        let mut outcomes: Vec<Option<Result<Verified, IngestOutcome>>> = Vec::with_capacity(envelopes.len());
        let mut checked: Vec<Checked> = Vec::new();
        let mut at = Vec::new();
        for (index, envelope) in envelopes.iter().enumerate() {
            match check(envelope, Place::Replica, &rules) {
                Ok(good) => {
                    checked.push(good);
                    at.push(index);
                    outcomes.push(None);
                }
                // What waits for a certificate counts against its author: it has to be the author's.
                Err(refusal) if refusal.code == Code::CertificateMissing => {
                    let refusal = rustdht_wire::verify_author(envelope).err().unwrap_or(refusal);
                    outcomes.push(Some(Err(IngestOutcome::Refused(refusal))));
                }
                Err(refusal) => outcomes.push(Some(Err(IngestOutcome::Refused(refusal)))),
            }
        }
        for (index, verified) in at.into_iter().zip(verify_batch(checked)) {
            outcomes[index] = Some(verified.map_err(IngestOutcome::Refused));
        }
        outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(IngestOutcome::Unavailable))).collect()
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| vec![Err(IngestOutcome::Unavailable); count])
}

/// The certificates that stand in the way of judging an envelope.
fn missing(envelope: &[u8], known: &Certificates) -> Vec<CertificateId> {
    let Ok(named) = rustdht_wire::named(envelope) else { return Vec::new() };
    let carried: HashMap<CertificateId, Option<CertificateId>> = named.carried.into_iter().collect();
    let mut missing = Vec::new();
    for id in named.auth.into_iter().chain(named.endorsers) {
        let mut next = Some(id);
        for _ in 0..MAX_CHAIN {
            let Some(id) = next else { break };
            next = match (known.get(&id), carried.get(&id)) {
                (Some(known), _) => known.certificate().parent,
                (None, Some(parent)) => *parent,
                (None, None) => {
                    missing.push(id);
                    None
                }
            };
        }
    }
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// Verifies, joins and makes durable what a member sent.
pub(crate) async fn join(inner: &Inner, from: &ReplicaId, envelopes: Vec<Bytes>) -> Vec<IngestOutcome> {
    let certificates = match inner.shared.authority.certificates_for(&envelopes).await {
        Ok(certificates) => Arc::new(certificates),
        Err(error) => {
            tracing::error!(%error, "certificates cannot be read");
            return vec![IngestOutcome::Unavailable; envelopes.len()];
        }
    };
    let verified = verify(inner, envelopes.clone(), Arc::clone(&certificates)).await;
    let endorsed = match known_endorsements(inner, &verified).await {
        Ok(endorsed) => endorsed,
        Err(error) => {
            tracing::error!(%error, "endorsements cannot be read");
            return vec![IngestOutcome::Unavailable; envelopes.len()];
        }
    };
    let mut outcomes = Vec::with_capacity(verified.len());
    let mut commits = Vec::new();
    for (verified, envelope) in verified.into_iter().zip(&envelopes) {
        match verified {
            Ok(verified) => {
                outcomes.push(None);
                let endorsed = endorsed.get(&verified.commit.id).cloned().unwrap_or_default();
                commits.push(Foreign { verified, envelope: envelope.clone(), origin: Origin::Member, endorsed });
            }
            Err(outcome) => outcomes.push(Some(outcome)),
        }
    }
    let souls: Vec<Vec<Soul>> = commits.iter().map(souls_of).collect();
    let mut done = Vec::new();
    if !commits.is_empty()
        && let Ok(Answer::Foreign(joined)) = inner.submit(Request::Foreign(commits)).await
    {
        done = joined;
    }
    let mut done = done.into_iter().zip(souls);
    let waits = Waits { inner, from, certificates: &certificates };
    let resolve = |(outcome, envelope): (Option<IngestOutcome>, &Bytes)| match outcome {
        Some(IngestOutcome::Refused(refusal)) if refusal.code == Code::CertificateMissing => {
            waits.keep(envelope, Vec::new(), &[], IngestOutcome::Refused(refusal))
        }
        Some(outcome) => outcome,
        None => done.next().map_or(IngestOutcome::Unavailable, |(done, souls)| {
            let (outcome, bare) = summarise(&done, &souls);
            match &outcome {
                IngestOutcome::Pending => waits.keep(envelope, bare, &souls, outcome),
                _ => outcome,
            }
        }),
    };
    outcomes.into_iter().zip(&envelopes).map(resolve).collect()
}

/// The souls of the operations, by their position; those that were refused have none.
fn souls_of(foreign: &Foreign) -> Vec<Soul> {
    foreign.verified.entries.iter().filter_map(|(_, entry)| Some(entry.as_ref().ok()?.soul.clone())).collect()
}

/// The endorsements of these commits that are durable here.
async fn known_endorsements(
    inner: &Inner,
    verified: &[Result<Verified, IngestOutcome>],
) -> Result<HashMap<CommitId, Vec<CertificateId>>, StoreError> {
    let endorsed = verified.iter().flatten().filter(|verified| !verified.endorsements.is_empty());
    let ids: Vec<CommitId> = endorsed.map(|verified| verified.commit.id).collect();
    let mut known: HashMap<CommitId, Vec<CertificateId>> = HashMap::new();
    if !ids.is_empty() {
        for held in inner.shared.ports.store.endorsements(&ids).await? {
            known.entry(held.commit).or_default().push(held.certificate);
        }
    }
    Ok(known)
}

/// What one word says of a commit whose operations fared differently: the one that stands most in the way. With it the
/// souls on which something waits for what covers it.
fn summarise(done: &ForeignDone, souls: &[Soul]) -> (IngestOutcome, Vec<Soul>) {
    let mut summary = IngestOutcome::Durable;
    let (mut refused, mut bare) = (None, Vec::new());
    let mut souls = souls.iter();
    for (_, _, outcome) in &done.results {
        match outcome {
            Ok(Some(Outcome::Deferred { until_ms })) => {
                return (IngestOutcome::Early { until_ms: *until_ms }, Vec::new());
            }
            Ok(Some(_)) => drop(souls.next()),
            Ok(None) => {
                bare.extend(souls.next().cloned());
                summary = IngestOutcome::Pending;
            }
            // Its endorser's certificate may still come.
            Err(refusal) if refusal.code == Code::CertificateMissing => summary = IngestOutcome::Pending,
            Err(refusal) => refused = Some(refusal.clone()),
        }
    }
    match (summary, refused) {
        (IngestOutcome::Durable, Some(refusal)) => (IngestOutcome::Refused(refusal), bare),
        (summary, _) => (summary, bare),
    }
}

/// Keeps what has to wait.
struct Waits<'a> {
    inner: &'a Inner,
    from: &'a ReplicaId,
    certificates: &'a Certificates,
}

impl Waits<'_> {
    /// `otherwise`: the answer when nothing that may come would help.
    fn keep(&self, envelope: &Bytes, bare: Vec<Soul>, souls: &[Soul], otherwise: IngestOutcome) -> IngestOutcome {
        let mut causes: Vec<Cause> = missing(envelope, self.certificates).into_iter().map(Cause::Certificate).collect();
        causes.extend(bare.into_iter().map(Cause::Cover));
        causes.dedup();
        let Ok(header) = envelope_header(envelope) else { return otherwise };
        if causes.is_empty() {
            return otherwise;
        }
        let waiting = Waiting {
            envelope: envelope.clone(),
            from: self.from.clone(),
            author: header.author,
            causes,
            souls: souls.to_vec(),
            since_ms: self.inner.shared.ports.clock.now_ms(),
        };
        if self.inner.shared.authority.pending.keep(waiting) {
            IngestOutcome::Pending
        } else {
            IngestOutcome::Unavailable
        }
    }
}

/// Tries again what waited for something that came, until it is stopped.
pub(crate) async fn retry_pending(inner: &Inner) {
    loop {
        let ready = tokio::select! {
            ready = inner.shared.authority.pending.ready() => ready,
            () = inner.stopping.cancelled() => return,
        };
        let mut by_sender: HashMap<ReplicaId, Vec<Bytes>> = HashMap::new();
        for waiting in ready {
            by_sender.entry(waiting.from).or_default().push(waiting.envelope);
        }
        for (from, envelopes) in by_sender {
            join(inner, &from, envelopes).await;
        }
    }
}

#[async_trait]
impl Ingest for Door {
    #[tracing::instrument(name = "node.ingest", level = "debug", skip_all, fields(%from, envelopes = envelopes.len()))]
    async fn ingest(&self, from: &ReplicaId, envelopes: Vec<Bytes>) -> Vec<IngestOutcome> {
        join(&self.inner, from, envelopes).await
    }

    async fn envelopes(&self, records: &[RecordId], max_bytes: usize) -> (Vec<Bytes>, Vec<RecordId>) {
        match (Outgoing { shared: &self.inner.shared }).records(records, max_bytes).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(%error, "records cannot be read");
                (Vec::new(), records.to_vec())
            }
        }
    }

    async fn soul_envelopes(&self, soul: &Soul, max_bytes: usize) -> Vec<Bytes> {
        match (Outgoing { shared: &self.inner.shared }).soul(soul, max_bytes).await {
            Ok(envelopes) => envelopes,
            Err(error) => {
                tracing::error!(%error, "a soul cannot be read");
                Vec::new()
            }
        }
    }

    async fn certify(&self, gateway: PublicKey) -> Vec<(Bytes, Bytes)> {
        let issued = async {
            let chain = certify(&self.inner, gateway).await?;
            if !chain.is_empty() {
                membership::list(&self.inner, gateway).await?;
            }
            Ok::<_, crate::Error>(chain)
        };
        match issued.await {
            Ok(chain) => {
                chain.iter().map(|link| (link.bytes().clone(), Bytes::copy_from_slice(link.signature()))).collect()
            }
            Err(error) => {
                tracing::warn!(%gateway, %error, "a member certificate could not be issued");
                Vec::new()
            }
        }
    }

    async fn heard(&self, _from: &ReplicaId, message: Bytes) -> bool {
        crate::documents::heard(&self.inner, message).await
    }

    async fn block(&self, cid: &Cid) -> Option<Bytes> {
        if !self.inner.pins.denylist.admits(cid) {
            return None;
        }
        self.inner.shared.ports.blobs.block(cid).await.ok().flatten()
    }

    async fn block_size(&self, cid: &Cid) -> Option<u64> {
        self.inner.shared.ports.blobs.block_size(cid).await.ok().flatten()
    }

    async fn providers(&self, hash: &Multihash<64>, limit: usize) -> BoxStream<'static, Provider> {
        Node { inner: Arc::clone(&self.inner) }.find_providers(*hash, limit)
    }

    async fn name_record(&self, name: &IpnsName, record: Bytes) -> Option<NameRecord> {
        let kept = self.inner.names.keep(&self.inner, name, record).await;
        kept.inspect_err(|error| tracing::debug!(%name, %error, "a record of a name is not kept")).ok()
    }

    async fn name_records(&self) -> Vec<(IpnsName, NameRecord)> {
        self.inner.names.all(&self.inner).await.unwrap_or_else(|error| {
            tracing::error!(%error, "records of names cannot be read");
            Vec::new()
        })
    }

    async fn index(&self, after: i64, limit: u32) -> Result<(Vec<IndexItem>, i64), StoreError> {
        let store = &self.inner.shared.ports.store;
        let key = &self.inner.shared.network_key;
        // Entries first, endorsements behind them, under cursors below zero.
        if after >= 0 {
            let (rows, cursor) = store.index(after, limit).await?;
            if !rows.is_empty() {
                let item = |row: &rustdht_core::ports::IndexRow| IndexItem {
                    seconds: row.seconds,
                    record: row.id.record_id(key),
                    partition: row.partition,
                };
                return Ok((rows.iter().map(item).collect(), cursor));
            }
        }
        let (rows, cursor) = store.endorsed((-1 - after).max(0), limit).await?;
        Ok((rows.iter().map(index_item).collect(), -1 - cursor))
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
