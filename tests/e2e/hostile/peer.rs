//! A member of a gateway's network inside the test: a swarm of its own, behind which stands no node but what the test
//! says.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rustdht_core::{
    Clock, CommitId, Entropy, PublicKey, RecordId, Soul,
    ports::{IndexItem, Ingest, IngestOutcome, Published, ReplicaId, Replicator, StoreError},
};
use rustdht_net::{ConnectionLimits, Handle, IpfsConfig, NetConfig, Role, Service};
use rustdht_testkit::{Author, Forged};
use rustdht_wire::{Certificates, EndorsedBy, Invite, SignedCertificate};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(15);

/// Waits until `holds`, for far less time than the tests of whole gateways.
pub(super) async fn soon<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}: not in {PATIENCE:?}");
}

/// Envelopes refused so far, by code, as a page of metrics counts them.
pub(super) fn refusals(page: &str) -> BTreeMap<String, u64> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("rustdht_net_refused_envelopes_total{code=\""));
    lines
        .map(|line| {
            let (code, count) = line.split_once("\"} ").unwrap();
            (code.to_owned(), count.parse().unwrap())
        })
        .collect()
}

/// What the peers of this process were answered; no other test of this binary has a swarm.
pub(super) fn answered() -> BTreeMap<String, u64> {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    refusals(&RECORDER.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap()).render())
}

pub(super) fn now_ms() -> u64 {
    u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

/// The time, and bytes that never repeat.
struct System {
    seed: u8,
    drawn: AtomicU64,
}

impl Clock for System {
    fn now_ms(&self) -> u64 {
        now_ms()
    }
}

impl Entropy for System {
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        blake3::Hasher::new().update(&[self.seed]).update(&number).finalize_xof().fill(bytes);
    }
}

/// An envelope, with what names the operations in it.
#[derive(Clone)]
pub(super) struct Parcel {
    pub(super) commit: CommitId,
    pub(super) envelope: Bytes,
    pub(super) items: Vec<IndexItem>,
    pub(super) souls: Vec<Soul>,
}

impl Parcel {
    /// The operations `only`, with `words` for the commit and the certificates `behind` them.
    pub(super) fn of(
        forged: &Forged,
        only: &[usize],
        words: &[EndorsedBy],
        behind: &[Arc<SignedCertificate>],
        network_key: &[u8; 32],
    ) -> Self {
        let entries: Vec<_> = only.iter().map(|at| &forged.entries[*at]).collect();
        let items = entries.iter().map(|entry| IndexItem {
            seconds: entry.index_seconds(),
            record: entry.id.record_id(network_key),
            partition: rustdht_core::partition_of(&entry.soul),
        });
        Self {
            commit: forged.commit.id,
            envelope: forged.envelope_with(only, words, behind),
            items: items.collect(),
            souls: entries.iter().map(|entry| entry.soul.clone()).collect(),
        }
    }
}

/// The envelope with `from`, which stands in it exactly once, replaced by as many other bytes.
pub(super) fn altered(parcel: Parcel, from: &[u8], to: &[u8]) -> Parcel {
    assert_eq!(from.len(), to.len());
    let mut bytes = parcel.envelope.to_vec();
    let mut found = (0..=bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from));
    let at = found.next().unwrap();
    assert_eq!(found.next(), None, "it stands there once");
    bytes[at..at + to.len()].copy_from_slice(to);
    Parcel { envelope: bytes.into(), ..parcel }
}

/// What a peer holds: it tells of it when members reconcile, and gives it to whoever asks.
#[derive(Default)]
pub(super) struct Wares {
    held: Vec<Parcel>,
    /// Souls that it was asked for.
    pub(super) asked: Mutex<BTreeSet<Soul>>,
    /// Envelopes that it gave away.
    pub(super) given: AtomicUsize,
}

impl Wares {
    pub(super) fn new(held: Vec<Parcel>) -> Self {
        Self { held, ..Self::default() }
    }

    fn give(&self, wanted: impl Fn(&Parcel) -> bool) -> Vec<Bytes> {
        let given: Vec<Bytes> =
            self.held.iter().filter(|parcel| wanted(parcel)).map(|parcel| parcel.envelope.clone()).collect();
        self.given.fetch_add(given.len(), Ordering::Relaxed);
        given
    }
}

#[async_trait]
impl Ingest for Wares {
    async fn ingest(&self, _: &ReplicaId, envelopes: Vec<Bytes>) -> Vec<IngestOutcome> {
        vec![IngestOutcome::Durable; envelopes.len()]
    }

    async fn envelopes(&self, records: &[RecordId], _: usize) -> (Vec<Bytes>, Vec<RecordId>) {
        (self.give(|parcel| parcel.items.iter().any(|item| records.contains(&item.record))), vec![])
    }

    async fn soul_envelopes(&self, soul: &Soul, _: usize) -> Vec<Bytes> {
        self.asked.lock().unwrap().insert(soul.clone());
        self.give(|parcel| parcel.souls.contains(soul))
    }

    async fn certify(&self, _: PublicKey) -> Vec<(Bytes, Bytes)> {
        vec![]
    }

    async fn heard(&self, _: &ReplicaId, _: Bytes) -> bool {
        true
    }

    async fn block(&self, _: &Cid) -> Option<Bytes> {
        None
    }

    async fn index(&self, after: i64, _: u32) -> Result<(Vec<IndexItem>, i64), StoreError> {
        let items: BTreeSet<IndexItem> = self.held.iter().flat_map(|parcel| parcel.items.iter().copied()).collect();
        Ok((if after == 0 { items.into_iter().collect() } else { vec![] }, 1))
    }

    async fn save(&self, _: Vec<u8>, _: Option<Vec<u8>>) {}

    async fn saved(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        Ok(vec![])
    }
}

/// A peer that proved the network key.
pub(super) struct Peer {
    pub(super) handle: Handle,
    pub(super) wares: Arc<Wares>,
    /// The key that is to be a member gateway's, and what makes it one, from the leaf up.
    pub(super) author: Author,
    pub(super) chain: Vec<Arc<SignedCertificate>>,
    invite: Invite,
    gateway: ReplicaId,
    // The swarm ends with it.
    _tasks: JoinSet<()>,
}

impl Peer {
    /// Joins the swarm of the gateway that the invite is from.
    pub(super) async fn join(invite: &Invite, seed: u8, wares: Wares) -> Self {
        let config = NetConfig {
            identity: [seed; 32],
            net: invite.charter.net(),
            network_key: invite.network_key,
            placement: invite.charter.charter().placement,
            role: Role::Full,
            hosts: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            port: 0,
            ws_port: None,
            external: vec![],
            dial: invite.addresses.clone(),
            mdns: false,
            limits: ConnectionLimits::default(),
            ipfs: IpfsConfig::default(),
        };
        let system = Arc::new(System { seed, drawn: AtomicU64::default() });
        let (service, handle) = Service::new(&config, system.clone(), system).await.unwrap();
        let (mut tasks, wares) = (JoinSet::new(), Arc::new(wares));
        tasks.spawn(service.run(wares.clone(), CancellationToken::new()));
        let (_, gateway) = invite.addresses[0].rsplit_once("/p2p/").unwrap();
        let author = Author::new(seed + 100);
        let (invite, gateway) = (invite.clone(), ReplicaId(gateway.to_owned()));
        let peer = Self { handle, wares, author, chain: vec![], invite, gateway, _tasks: tasks };
        soon("hello with the gateway", async || peer.is_connected().await).await;
        peer
    }

    /// Whether the gateway talks to it.
    pub(super) async fn is_connected(&self) -> bool {
        self.handle.peers().await.unwrap().iter().any(|other| other.id == self.gateway && other.connected)
    }

    /// Becomes a member as every new gateway does: it asks, and verifies what it is given.
    pub(super) async fn certified(mut self) -> Self {
        let answer = self.handle.certify(self.author.public()).await.unwrap();
        let link = |(bytes, signature): &(Bytes, Bytes)| SignedCertificate::decode(bytes, signature).unwrap();
        self.chain = answer.iter().map(|pair| Arc::new(link(pair))).collect();
        let known: Certificates = self.chain.iter().map(|link| (link.id(), Arc::clone(link))).collect();
        let leaf = self.leaf().certificate();
        assert!(leaf.audience == self.author.public() && leaf.rights.endorse);
        assert_eq!(leaf.space, Soul::of_key(self.invite.charter.charter().community));
        rustdht_wire::chain(&self.leaf().id(), &known, &self.invite.charter.net()).unwrap();
        self
    }

    /// Its member certificate.
    pub(super) fn leaf(&self) -> &Arc<SignedCertificate> {
        &self.chain[0]
    }

    /// Operations of a commit, for which it gives its word as a member.
    pub(super) fn endorsed(&self, forged: &Forged, only: &[usize]) -> Parcel {
        let word = forged.word(self.author.key(), self.leaf());
        Parcel::of(forged, only, &[word], &self.chain, &self.invite.network_key)
    }

    /// All of a commit, for which it gives its word as a member.
    pub(super) fn whole(&self, forged: &Forged) -> Parcel {
        self.endorsed(forged, &(0..forged.entries.len()).collect::<Vec<_>>())
    }

    /// Puts an envelope to every member.
    pub(super) async fn push(&self, parcel: &Parcel) {
        let push = vec![(parcel.commit, parcel.envelope.clone())];
        self.handle.publish(Published { push, ..Published::default() }).await.unwrap();
    }

    /// Whether the gateway has answered that a commit is durable there.
    pub(super) async fn is_taken(&self, commit: CommitId) -> bool {
        let outstanding = self.handle.outstanding(commit).await.unwrap();
        !outstanding.is_some_and(|durability| durability.outstanding.contains(&self.gateway))
    }

    /// Puts an envelope, which the gateway is to take.
    pub(super) async fn put(&self, what: &str, parcel: &Parcel) {
        self.push(parcel).await;
        soon(what, async || self.is_taken(parcel.commit).await).await;
    }
}
