//! A gateway's swarm over a store in memory.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::{Cid, multihash::Multihash};
use futures::{StreamExt, stream::BoxStream};
use rand::{TryRngCore, rngs::OsRng};
use rustdht_core::{
    Clock, Code, CommitId, Entropy, NetId, Placement, PublicKey, RecordId, Refusal, Soul, Stamp,
    ports::{
        ContentRouting, IndexItem, Ingest, IngestOutcome, IpnsName, NameRecord, Provider, Published, ReplicaId,
        Replicator, StoreError,
    },
};
use rustdht_net::{ConnectionLimits, Handle, IpfsConfig, NetConfig, Role, Service};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const NET: NetId = NetId([7; 32]);
pub(crate) const KEY: [u8; 32] = [8; 32];

struct System;

impl Clock for System {
    fn now_ms(&self) -> u64 {
        u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
    }
}

impl Entropy for System {
    fn fill(&self, bytes: &mut [u8]) {
        OsRng.try_fill_bytes(bytes).unwrap();
    }
}

/// A commit with one record: seconds, record, commit, and a soul of any length.
pub(crate) fn envelope(seconds: u32, number: u64, soul: &str) -> (IndexItem, CommitId, Bytes) {
    let record = RecordId(*blake3::hash(&number.to_be_bytes()).as_bytes());
    let commit = CommitId(*blake3::hash(&[&number.to_be_bytes()[..], b"commit"].concat()).as_bytes());
    let bytes = [&seconds.to_be_bytes()[..], &record.0, &commit.0, soul.as_bytes()].concat();
    (IndexItem { seconds, record, partition: 0 }, commit, bytes.into())
}

/// A live message that every node refuses.
pub(crate) const REFUSED: &[u8] = b"bad";

#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) envelopes: Mutex<BTreeMap<RecordId, (IndexItem, Bytes)>>,
    pub(crate) blocks: Mutex<BTreeMap<Cid, Bytes>>,
    pub(crate) names: Mutex<BTreeMap<IpnsName, NameRecord>>,
    pub(crate) rows: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(crate) ingested: Mutex<usize>,
    /// Live messages, with their sources.
    pub(crate) heard: Mutex<Vec<(ReplicaId, Bytes)>>,
    /// What is issued to whoever asks, and who asked.
    pub(crate) chain: Mutex<Vec<(Bytes, Bytes)>>,
    pub(crate) certified: Mutex<Vec<PublicKey>>,
    /// How often rows and index are yet to fail.
    pub(crate) failures: AtomicUsize,
    handle: Mutex<OnceLock<Handle>>,
}

impl Memory {
    fn fail(&self) -> Result<(), StoreError> {
        let fewer = |left: usize| left.checked_sub(1);
        match self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer) {
            Ok(_) => Err(StoreError::Failed("not now".to_owned())),
            Err(_) => Ok(()),
        }
    }

    fn keep(&self, bytes: &Bytes) -> Option<IndexItem> {
        let seconds = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
        let record = RecordId(bytes.get(4..36)?.try_into().ok()?);
        let item = IndexItem { seconds, record, partition: 0 };
        self.envelopes.lock().unwrap().insert(record, (item, bytes.clone()));
        Some(item)
    }

    pub(crate) fn records(&self) -> Vec<RecordId> {
        self.envelopes.lock().unwrap().keys().copied().collect()
    }

    /// Puts a commit into the store without telling the swarm, as if it had been there before the start.
    pub(crate) fn fill(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            self.keep(&envelope(number as u32 / 10, number, "backlog").2);
        }
    }
}

#[async_trait]
impl Ingest for Memory {
    async fn ingest(&self, _: &ReplicaId, envelopes: Vec<Bytes>) -> Vec<IngestOutcome> {
        *self.ingested.lock().unwrap() += envelopes.len();
        let mut adds = Vec::new();
        let outcomes = envelopes
            .iter()
            .map(|bytes| match self.keep(bytes) {
                Some(item) => {
                    adds.push(item);
                    IngestOutcome::Durable
                }
                None => IngestOutcome::Refused(Refusal::new(Code::Malformed, "too short")),
            })
            .collect();
        let handle = self.handle.lock().unwrap().get().cloned();
        if let Some(handle) = handle {
            handle.publish(Published { adds, ..Published::default() }).await.unwrap();
        }
        outcomes
    }

    async fn envelopes(&self, records: &[RecordId], max_bytes: usize) -> (Vec<Bytes>, Vec<RecordId>) {
        let held = self.envelopes.lock().unwrap();
        let (mut found, mut missing, mut bytes) = (vec![], vec![], 0);
        for record in records {
            match held.get(record) {
                Some((_, envelope)) if bytes < max_bytes => {
                    bytes += envelope.len();
                    found.push(envelope.clone());
                }
                Some(_) => {}
                None => missing.push(*record),
            }
        }
        (found, missing)
    }

    async fn soul_envelopes(&self, soul: &Soul, _: usize) -> Vec<Bytes> {
        let held = self.envelopes.lock().unwrap();
        held.values().filter(|(_, bytes)| &bytes[68..] == soul.as_bytes()).map(|(_, bytes)| bytes.clone()).collect()
    }

    async fn certify(&self, gateway: PublicKey) -> Vec<(Bytes, Bytes)> {
        self.certified.lock().unwrap().push(gateway);
        self.chain.lock().unwrap().clone()
    }

    async fn heard(&self, from: &ReplicaId, message: Bytes) -> bool {
        // Those that are heard at once must not overtake one another.
        tokio::task::yield_now().await;
        let refused = &*message == REFUSED;
        self.heard.lock().unwrap().push((from.clone(), message));
        !refused
    }

    async fn block(&self, cid: &Cid) -> Option<Bytes> {
        self.blocks.lock().unwrap().get(cid).cloned()
    }

    async fn name_record(&self, name: &IpnsName, record: Bytes) -> Option<NameRecord> {
        // Its form is checked elsewhere; here a record is its sequence, and `bad` is none.
        let sequence = std::str::from_utf8(&record).ok()?.parse().ok()?;
        let record = NameRecord { bytes: record, value: String::new(), ttl_s: 0, sequence, until_ms: u64::MAX };
        self.names.lock().unwrap().insert(*name, record.clone());
        Some(record)
    }

    async fn name_records(&self) -> Vec<(IpnsName, NameRecord)> {
        self.names.lock().unwrap().iter().map(|(name, record)| (*name, record.clone())).collect()
    }

    async fn providers(&self, hash: &Multihash<64>, limit: usize) -> BoxStream<'static, Provider> {
        let dht = self.handle.lock().unwrap().get().and_then(Handle::public_dht);
        match dht {
            Some(dht) => dht.providers(hash, limit).await.unwrap(),
            None => futures::stream::empty().boxed(),
        }
    }

    async fn index(&self, after: i64, limit: u32) -> Result<(Vec<IndexItem>, i64), StoreError> {
        self.fail()?;
        let held = self.envelopes.lock().unwrap();
        let page: Vec<IndexItem> =
            held.values().map(|(item, _)| *item).skip(after as usize).take(limit as usize).collect();
        let next = after + page.len() as i64;
        Ok((page, next))
    }

    async fn save(&self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let mut rows = self.rows.lock().unwrap();
        match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
    }

    async fn saved(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        self.fail()?;
        Ok(self.rows.lock().unwrap().iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

pub(crate) struct Member {
    pub(crate) handle: Handle,
    pub(crate) memory: Arc<Memory>,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

pub(crate) fn config(seed: u8, dial: &[String]) -> NetConfig {
    NetConfig {
        identity: [seed; 32],
        net: NET,
        network_key: KEY,
        placement: Placement::default(),
        role: Role::Full,
        hosts: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        port: 0,
        ws_port: Some(0),
        external: vec![],
        dial: dial.to_vec(),
        mdns: false,
        limits: ConnectionLimits::default(),
        ipfs: IpfsConfig::default(),
    }
}

impl Member {
    pub(crate) async fn start(config: NetConfig, memory: Arc<Memory>) -> Self {
        // A socket of a swarm that stopped a moment ago in this very process may still be on its way out.
        let mut tries = 0;
        let (service, handle) = loop {
            match Service::new(&config, Arc::new(System), Arc::new(System)).await {
                Ok(made) => break made,
                Err(error) if tries == 50 => panic!("{error}"),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        *memory.handle.lock().unwrap() = OnceLock::from(handle.clone());
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(service.run(memory.clone(), cancel.clone()));
        Self { handle, memory, cancel, tasks }
    }

    pub(crate) async fn new(seed: u8, dial: &[String]) -> Self {
        Self::start(config(seed, dial), Arc::default()).await
    }

    pub(crate) async fn stop(mut self) -> Arc<Memory> {
        self.cancel.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(5), self.tasks.join_next()).await;
        ended.expect("stops in time").unwrap().unwrap();
        self.memory
    }

    /// Makes a commit durable here and publishes it.
    pub(crate) async fn publish(&self, number: u64) -> CommitId {
        self.publish_soul(number, "soul").await
    }

    pub(crate) async fn publish_soul(&self, number: u64, soul: &str) -> CommitId {
        let (item, commit, bytes) = envelope(Stamp::from_ms(System.now_ms()).index_seconds(), number, soul);
        self.memory.keep(&bytes);
        let published = Published { adds: vec![item], drops: vec![], push: vec![(commit, bytes)] };
        self.handle.publish(published).await.unwrap();
        commit
    }

    pub(crate) async fn connected(&self) -> usize {
        self.handle.peers().await.unwrap().iter().filter(|peer| peer.connected && !peer.guest).count()
    }

    pub(crate) async fn in_sync(&self) -> usize {
        self.handle.peers().await.unwrap().iter().filter(|peer| peer.in_sync).count()
    }
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never happened that {what}");
}

/// The system's clock and randomness.
pub(crate) fn system() -> (Arc<dyn Clock>, Arc<dyn Entropy>) {
    (Arc::new(System), Arc::new(System))
}
