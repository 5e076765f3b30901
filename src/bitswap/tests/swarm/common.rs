//! Nodes with a store in memory, over TCP on the loopback.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::StreamExt;
use libp2p::core::Multiaddr;
use libp2p::multihash::Multihash;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{PeerId, Swarm, SwarmBuilder, noise, tcp, yamux};
use rustdht_bitswap::{Behaviour, Blockstore, Config, Event, Handle};
use sha2::Digest;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Blocks in memory.
#[derive(Default)]
pub(crate) struct Store {
    blocks: Mutex<HashMap<Multihash<64>, Bytes>>,
}

impl Store {
    pub(crate) fn put(&self, data: Bytes) -> Cid {
        let cid = cid_of(&data);
        self.blocks.lock().unwrap().insert(*cid.hash(), data);
        cid
    }

    /// Under another hash than sha2-256.
    pub(crate) fn put_as(&self, hash: Multihash<64>, data: Bytes) {
        self.blocks.lock().unwrap().insert(hash, data);
    }

    fn find(&self, cid: &Cid) -> Option<Bytes> {
        self.blocks.lock().unwrap().get(cid.hash()).cloned()
    }
}

#[async_trait]
impl Blockstore for Store {
    async fn get(&self, cid: &Cid) -> io::Result<Option<Bytes>> {
        Ok(self.find(cid))
    }

    async fn size(&self, cid: &Cid) -> io::Result<Option<u64>> {
        Ok(self.find(cid).map(|block| block.len() as u64))
    }
}

pub(crate) fn cid_of(data: &[u8]) -> Cid {
    Cid::new_v1(0x55, Multihash::wrap(0x12, &sha2::Sha256::digest(data)).unwrap())
}

/// A block of `len` bytes that differs from all others by its number.
pub(crate) fn block(n: u64, len: usize) -> Bytes {
    let mut data = vec![n as u8; len];
    let head = len.min(8);
    data[..head].copy_from_slice(&n.to_be_bytes()[..head]);
    data.into()
}

/// A DAG: its root lists the CIDs of its blocks.
pub(crate) fn dag(store: &Store, count: u64, len: usize) -> Cid {
    let links: Vec<u8> = (0..count).flat_map(|n| store.put(block(n, len)).to_bytes()).collect();
    store.put(links.into())
}

/// The links of a root that [`dag`] made.
pub(crate) fn links(root: &[u8]) -> Vec<Cid> {
    root.chunks(36).map(|cid| Cid::try_from(cid).unwrap()).collect()
}

pub(crate) fn swarm<B: NetworkBehaviour>(behaviour: B) -> Swarm<B> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| behaviour)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build()
}

pub(crate) async fn listen<B: NetworkBehaviour>(swarm: &mut Swarm<B>) -> Multiaddr {
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address;
        }
    }
}

/// A node of this crate.
pub(crate) struct Node {
    pub(crate) peer: PeerId,
    pub(crate) addr: Multiaddr,
    pub(crate) handle: Handle,
    pub(crate) store: Arc<Store>,
    pub(crate) events: mpsc::Receiver<Event>,
    dial: mpsc::Sender<Multiaddr>,
    connected: mpsc::Receiver<PeerId>,
    tasks: JoinSet<()>,
}

impl Node {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default(), |behaviour| behaviour).await
    }

    pub(crate) async fn with(config: Config, change: impl FnOnce(Behaviour) -> Behaviour) -> Self {
        let store = Arc::new(Store::default());
        let shared: Arc<dyn Blockstore> = Arc::clone(&store) as _;
        let behaviour = change(Behaviour::new(config, shared).unwrap());
        let handle = behaviour.handle();
        let mut swarm = swarm(behaviour);
        let addr = listen(&mut swarm).await;
        let peer = *swarm.local_peer_id();
        let (dial, mut dials) = mpsc::channel::<Multiaddr>(16);
        let (told, events) = mpsc::channel(1024);
        let (met, connected) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    Some(addr) = dials.recv() => swarm.dial(addr).unwrap(),
                    event = swarm.select_next_some() => match event {
                        SwarmEvent::Behaviour(event) => drop(told.try_send(event)),
                        SwarmEvent::ConnectionEstablished { peer_id, .. } => drop(met.try_send(peer_id)),
                        _ => {}
                    }
                }
            }
        });
        Self { peer, addr, handle, store, events, dial, connected, tasks }
    }

    /// Connects to a peer and waits for it.
    pub(crate) async fn connect(&mut self, peer: PeerId, addr: &Multiaddr) {
        self.dial.send(addr.clone()).await.unwrap();
        while self.connected.recv().await.unwrap() != peer {}
    }

    pub(crate) async fn meet(&mut self, other: &Self) {
        self.connect(other.peer, &other.addr).await;
    }

    /// Stops it as if its machine were gone.
    pub(crate) fn kill(&mut self) {
        self.tasks.abort_all();
    }

    /// The next event that is wanted.
    pub(crate) async fn event(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.events.recv().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    }
}

/// Fails a test that hangs.
pub(crate) async fn within<T>(seconds: u64, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), work).await.expect("done in time")
}
