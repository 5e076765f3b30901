//! Several gateways of one network in one process. Commits lie in a queue until they are delivered; a gateway that is down
//! neither gets any nor is asked for blocks.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use rustdht_core::{
    CommitId, Mode, PublicKey, Soul,
    ports::{
        BlockSource, Durability, Ingest, NetworkStatus, PeerStatus, Published, ReplicaId, ReplicationError, Replicator,
    },
};
use rustdht_testkit::{ManualClock, MemoryStore, SeededEntropy, TempBlobs};

use super::*;
use crate::{Config, Founding, PinsConfig, Ports, tests::NOW_MS};

/// One gateway as the others see it.
#[derive(Default)]
pub(super) struct Place {
    up: AtomicBool,
    seen_ms: AtomicU64,
    ingest: OnceLock<Arc<dyn Ingest>>,
    /// Envelopes on their way to it.
    inbox: Mutex<VecDeque<Bytes>>,
}

pub(super) struct Net {
    places: Vec<Place>,
    clock: Arc<ManualClock>,
}

fn id(number: usize) -> ReplicaId {
    ReplicaId(format!("replica-{number}"))
}

impl Net {
    fn is_up(&self, number: usize) -> bool {
        self.places[number].up.load(Ordering::SeqCst)
    }

    /// The others that are up, if this one is.
    fn reachable(&self, own: usize) -> impl Iterator<Item = &Place> {
        let others = self.places.iter().enumerate().filter(move |(number, _)| *number != own);
        others.filter(move |(number, _)| self.is_up(own) && self.is_up(*number)).map(|(_, place)| place)
    }
}

struct Link {
    own: usize,
    net: Arc<Net>,
}

#[async_trait]
impl Replicator for Link {
    async fn publish(&self, published: Published) -> Result<(), ReplicationError> {
        for (number, place) in self.net.places.iter().enumerate() {
            if number != self.own {
                let envelopes = published.push.iter().map(|(_, envelope)| envelope.clone());
                place.inbox.lock().unwrap().extend(envelopes);
            }
        }
        Ok(())
    }

    async fn durability(&self, _: CommitId, _: Duration) -> Result<Durability, ReplicationError> {
        Ok(Durability { durable: 1, wanted: 1, outstanding: Vec::new() })
    }

    async fn outstanding(&self, _: CommitId) -> Result<Option<Durability>, ReplicationError> {
        Ok(None)
    }

    async fn ask(&self, _: &Soul) -> Result<Vec<Bytes>, ReplicationError> {
        Ok(Vec::new())
    }

    async fn certify(&self, gateway: PublicKey) -> Result<Vec<(Bytes, Bytes)>, ReplicationError> {
        match self.net.places[0].ingest.get() {
            Some(founder) => Ok(founder.certify(gateway).await),
            None => Ok(Vec::new()),
        }
    }

    async fn broadcast(&self, _: Bytes) -> Result<(), ReplicationError> {
        Ok(())
    }

    async fn peers(&self) -> Result<Vec<PeerStatus>, ReplicationError> {
        let others = self.net.places.iter().enumerate().filter(|(number, _)| *number != self.own);
        Ok(others
            .map(|(number, place)| PeerStatus {
                id: id(number),
                connected: self.net.is_up(self.own) && self.net.is_up(number),
                addresses: Vec::new(),
                rtt_us: None,
                in_sync: true,
                seen_ms: place.seen_ms.load(Ordering::SeqCst),
                replica: true,
                guest: false,
            })
            .collect())
    }

    async fn status(&self) -> Result<NetworkStatus, ReplicationError> {
        let replicas = u16::try_from(self.net.places.len()).unwrap();
        Ok(NetworkStatus {
            id: id(self.own),
            listen: Vec::new(),
            replicas,
            write_quorum: 1,
            reachable: replicas,
            indexed: 0,
        })
    }

    async fn dial(&self, _: &str) -> Result<(), ReplicationError> {
        Ok(())
    }
}

#[async_trait]
impl BlockSource for Link {
    async fn fetch_block(&self, cid: &Cid) -> Option<Bytes> {
        for place in self.net.reachable(self.own) {
            if let Some(ingest) = place.ingest.get()
                && let Some(block) = ingest.block(cid).await
            {
                return Some(block);
            }
        }
        None
    }
}

/// One gateway, with what outlives its process.
pub(super) struct Member {
    pub(super) node: Node,
    pub(super) store: Arc<MemoryStore>,
    pub(super) blobs: Arc<TempBlobs>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.node.stop();
    }
}

pub(super) struct World {
    pub(super) members: Vec<Member>,
    pub(super) clock: Arc<ManualClock>,
    net: Arc<Net>,
    config: PinsConfig,
}

impl World {
    pub(super) async fn new(count: usize) -> Self {
        Self::with(count, PinsConfig::default()).await
    }

    /// A founder and `count - 1` gateways that it made members.
    pub(super) async fn with(count: usize, config: PinsConfig) -> Self {
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let places = (0..count).map(|_| Place::default()).collect();
        let net = Arc::new(Net { places, clock: Arc::clone(&clock) });
        let mut world = Self { members: Vec::new(), clock, net, config };
        for number in 0..count {
            let member = world.start(number, Arc::default(), Arc::default()).await;
            world.members.push(member);
        }
        world
    }

    async fn start(&self, number: usize, store: Arc<MemoryStore>, blobs: Arc<TempBlobs>) -> Member {
        let founding = match self.members.first() {
            Some(founder) => Founding::Join(Box::new(founder.node.invite().await.unwrap().parse().unwrap())),
            None => Founding::Found { name: "test".into(), mode: Mode::Members },
        };
        let ports = Ports {
            store: store.clone(),
            blobs: blobs.clone(),
            clock: self.clock.clone(),
            entropy: Arc::new(SeededEntropy::new(number as u64 + 1)),
        };
        let config = Config { pins: self.config.clone(), ..Config::new(founding, [0; 32], [9; 32].into()) };
        let (node, tasks) = Node::start(ports, config).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends with the test")]
        drop(tokio::spawn(tasks.run()));
        let link = Arc::new(Link { own: number, net: Arc::clone(&self.net) });
        let place = &self.net.places[number];
        // The door of a gateway that was started again is the one that the others knew.
        let _ = place.ingest.set(node.ingest());
        place.up.store(true, Ordering::SeqCst);
        blobs.store().bind_source(link.clone());
        node.bind(link);
        until("a member certificate", async || !node.member_chain().is_empty()).await;
        Member { node, store, blobs }
    }

    /// Ends a gateway's process and starts it again on what is left on its disk.
    pub(super) async fn restart(&mut self, number: usize) {
        let Member { store, blobs, .. } = &self.members[number];
        let (store, blobs) = (Arc::clone(store), Arc::clone(blobs));
        self.members[number].node.stop();
        let member = self.start(number, store, blobs).await;
        self.members[number] = member;
    }

    /// Takes a gateway off the network, or brings it back.
    pub(super) fn set_up(&self, number: usize, up: bool) {
        let place = &self.net.places[number];
        place.seen_ms.store(rustdht_core::Clock::now_ms(&*self.net.clock), Ordering::SeqCst);
        place.up.store(up, Ordering::SeqCst);
    }

    /// Delivers what is under way and lets everybody look, until `done` holds.
    pub(super) async fn until<F: Future<Output = bool>>(&self, what: &str, mut done: impl FnMut() -> F) {
        for _ in 0..1500 {
            self.step().await;
            if done().await {
                return;
            }
        }
        panic!("{what} did not happen");
    }

    async fn step(&self) {
        for (number, place) in self.net.places.iter().enumerate() {
            let envelopes: Vec<Bytes> = match self.net.is_up(number) {
                true => place.inbox.lock().unwrap().drain(..).collect(),
                false => continue,
            };
            if !envelopes.is_empty() {
                let from = ReplicaId("somebody".into());
                self.members[number].node.ingest().ingest(&from, envelopes).await;
            }
            self.members[number].node.inner.pins.shared.look();
            self.members[number].node.inner.pins.wake.notify_one();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    /// Steps for a while.
    pub(super) async fn rest(&self) {
        for _ in 0..40 {
            self.step().await;
        }
    }

    /// Who says that it holds something, as `number` knows it.
    pub(super) async fn holders(&self, number: usize, cid: &Cid) -> Vec<usize> {
        let pins = self.members[number].node.shared_pins(None, 1000).await.unwrap();
        let pin = pins.into_iter().find(|pin| pin.pin.cid == *cid);
        let number = |id: &ReplicaId| id.0.strip_prefix("replica-").unwrap().parse().unwrap();
        pin.map(|pin| pin.holders.iter().map(number).collect()).unwrap_or_default()
    }
}
