//! The line between the node and the swarm, which can be cut and closed again while both sides go on: the demo pulls
//! this plug, and a swarm could be restarted behind it.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::{Cid, multihash::Multihash};
use futures::stream::BoxStream;
use rustdht_core::{
    CommitId, PublicKey, Soul,
    ports::{
        Announcer, BlockSource, ContentRouting, Durability, IpnsName, NameRecord, NetworkStatus, PeerStatus, Provider,
        Published, ReplicationError, Replicator, RoutingError,
    },
};

/// A DHT, as the node needs it.
pub(crate) trait Dht: ContentRouting + Announcer {}

impl<T: ContentRouting + Announcer> Dht for T {}

/// A swarm, as the node and the block store need it.
#[derive(Clone)]
pub(crate) struct Swarm {
    pub replicator: Arc<dyn Replicator>,
    pub blocks: Arc<dyn BlockSource>,
    /// The DHT of the network.
    pub network: Arc<dyn Dht>,
    /// The public one, if the swarm takes part in it.
    pub public: Option<Arc<dyn Dht>>,
}

impl From<rustdht_net::Handle> for Swarm {
    fn from(handle: rustdht_net::Handle) -> Self {
        Self {
            network: Arc::new(handle.network_dht()),
            public: handle.public_dht().map(|dht| Arc::new(dht) as _),
            blocks: Arc::new(handle.clone()),
            replicator: Arc::new(handle),
        }
    }
}

/// The swarm, or what was known of it when the line was cut.
enum Line {
    Joined(Swarm),
    Cut { status: NetworkStatus, peers: Vec<PeerStatus> },
}

/// A replicator whose swarm comes and goes.
pub(crate) struct Switch(RwLock<Arc<Line>>);

impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Switch")
    }
}

impl Switch {
    /// A closed line to `swarm`.
    pub(super) fn new(swarm: Swarm) -> Self {
        Self(RwLock::new(Arc::new(Line::Joined(swarm))))
    }

    /// Closes the line to a swarm. What was written meanwhile it finds in the store's index.
    pub(super) fn join(&self, swarm: Swarm) {
        self.set(Line::Joined(swarm));
    }

    /// Cuts the line: from now on this gateway counts itself alone, among as many members as before.
    pub(super) async fn cut(&self) -> Result<(), ReplicationError> {
        let (mut status, mut peers) = (self.status().await?, self.peers().await?);
        status.reachable = 1;
        peers.iter_mut().for_each(|peer| peer.connected = false);
        self.set(Line::Cut { status, peers });
        Ok(())
    }

    fn set(&self, line: Line) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(line);
    }

    fn line(&self) -> Arc<Line> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is true of every commit while the line is cut: it is durable here and waits for the others.
fn alone(status: &NetworkStatus, peers: &[PeerStatus]) -> Durability {
    let outstanding = peers.iter().filter(|peer| peer.replica).map(|peer| peer.id.clone()).collect();
    Durability { durable: 1, wanted: status.write_quorum, outstanding }
}

#[async_trait]
impl Replicator for Switch {
    async fn publish(&self, published: Published) -> Result<(), ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.replicator.publish(published).await,
            Line::Cut { .. } => Ok(()),
        }
    }

    async fn durability(&self, commit: CommitId, wait: Duration) -> Result<Durability, ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.replicator.durability(commit, wait).await,
            Line::Cut { status, peers } => Ok(alone(status, peers)),
        }
    }

    async fn outstanding(&self, commit: CommitId) -> Result<Option<Durability>, ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.replicator.outstanding(commit).await,
            Line::Cut { status, peers } => Ok(Some(alone(status, peers))),
        }
    }

    async fn ask(&self, soul: &Soul) -> Result<Vec<Bytes>, ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.replicator.ask(soul).await,
            Line::Cut { .. } => Ok(Vec::new()),
        }
    }

    async fn certify(&self, gateway: PublicKey) -> Result<Vec<(Bytes, Bytes)>, ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.replicator.certify(gateway).await,
            Line::Cut { .. } => Ok(Vec::new()),
        }
    }

    async fn broadcast(&self, message: Bytes) -> Result<(), ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.replicator.broadcast(message).await,
            Line::Cut { .. } => Ok(()),
        }
    }

    async fn peers(&self) -> Result<Vec<PeerStatus>, ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.replicator.peers().await,
            Line::Cut { peers, .. } => Ok(peers.clone()),
        }
    }

    async fn status(&self) -> Result<NetworkStatus, ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.replicator.status().await,
            Line::Cut { status, .. } => Ok(status.clone()),
        }
    }

    async fn dial(&self, address: &str) -> Result<(), ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.replicator.dial(address).await,
            Line::Cut { .. } => Err(ReplicationError::Closed),
        }
    }
}

#[async_trait]
impl BlockSource for Switch {
    async fn fetch_block(&self, cid: &Cid) -> Option<Bytes> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.blocks.fetch_block(cid).await,
            Line::Cut { .. } => None,
        }
    }

    fn session(&self) -> Option<Arc<dyn BlockSource>> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.blocks.session(),
            Line::Cut { .. } => None,
        }
    }

    fn noted(&self, hash: &Multihash<64>) {
        if let Line::Joined(swarm) = &*self.line() {
            swarm.blocks.noted(hash);
        }
    }
}

/// Which DHT of a swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Network,
    Public,
}

/// A DHT whose swarm comes and goes.
#[derive(Debug)]
pub(crate) struct SwitchedDht {
    switch: Arc<Switch>,
    which: Which,
}

impl SwitchedDht {
    pub(super) const fn new(switch: Arc<Switch>, which: Which) -> Self {
        Self { switch, which }
    }

    fn dht(&self) -> Result<Arc<dyn Dht>, RoutingError> {
        let dht = match &*self.switch.line() {
            Line::Joined(swarm) => match self.which {
                Which::Network => Some(Arc::clone(&swarm.network)),
                Which::Public => swarm.public.clone(),
            },
            Line::Cut { .. } => None,
        };
        dht.ok_or(RoutingError::Unavailable)
    }
}

#[async_trait]
impl ContentRouting for SwitchedDht {
    async fn providers(&self, key: &Multihash<64>, limit: usize) -> Result<BoxStream<'static, Provider>, RoutingError> {
        self.dht()?.providers(key, limit).await
    }

    async fn peer(&self, peer: &str) -> Result<Option<Provider>, RoutingError> {
        self.dht()?.peer(peer).await
    }

    async fn name_records(&self, name: &IpnsName) -> Result<BoxStream<'static, Bytes>, RoutingError> {
        self.dht()?.name_records(name).await
    }

    async fn put_name(&self, name: &IpnsName, record: &NameRecord) -> Result<(), RoutingError> {
        self.dht()?.put_name(name, record).await
    }
}

#[async_trait]
impl Announcer for SwitchedDht {
    async fn nearest(&self, key: &[u8]) -> Result<Vec<Provider>, RoutingError> {
        self.dht()?.nearest(key).await
    }

    async fn announce(&self, records: Vec<(Provider, Vec<Multihash<64>>)>) -> Result<usize, RoutingError> {
        self.dht()?.announce(records).await
    }
}

#[cfg(test)]
mod tests {
    use rustdht_core::ports::ReplicaId;

    use super::*;

    /// A swarm of three members that acknowledges everything.
    struct Three;

    #[async_trait]
    impl Replicator for Three {
        async fn publish(&self, _: Published) -> Result<(), ReplicationError> {
            Err(ReplicationError::TimedOut)
        }
        async fn durability(&self, _: CommitId, _: Duration) -> Result<Durability, ReplicationError> {
            Ok(Durability { durable: 3, wanted: 2, outstanding: vec![] })
        }
        async fn outstanding(&self, _: CommitId) -> Result<Option<Durability>, ReplicationError> {
            Ok(None)
        }
        async fn ask(&self, _: &Soul) -> Result<Vec<Bytes>, ReplicationError> {
            Ok(vec![Bytes::new()])
        }
        async fn certify(&self, _: PublicKey) -> Result<Vec<(Bytes, Bytes)>, ReplicationError> {
            Ok(vec![])
        }
        async fn broadcast(&self, _: Bytes) -> Result<(), ReplicationError> {
            Ok(())
        }
        async fn peers(&self) -> Result<Vec<PeerStatus>, ReplicationError> {
            let peer = |id: &str, replica| PeerStatus {
                id: ReplicaId(id.into()),
                connected: true,
                addresses: vec![],
                rtt_us: None,
                in_sync: true,
                seen_ms: 0,
                replica,
                guest: false,
            };
            Ok(vec![peer("b", true), peer("c", true), peer("stranger", false)])
        }
        async fn status(&self) -> Result<NetworkStatus, ReplicationError> {
            let id = ReplicaId("a".into());
            Ok(NetworkStatus { id, listen: vec![], replicas: 3, write_quorum: 2, reachable: 3, indexed: 0 })
        }
        async fn dial(&self, _: &str) -> Result<(), ReplicationError> {
            Ok(())
        }
    }

    #[async_trait]
    impl BlockSource for Three {
        async fn fetch_block(&self, _: &Cid) -> Option<Bytes> {
            Some(Bytes::new())
        }
    }

    #[async_trait]
    impl ContentRouting for Three {
        async fn providers(&self, _: &Multihash<64>, _: usize) -> Result<BoxStream<'static, Provider>, RoutingError> {
            Ok(Box::pin(futures::stream::empty()))
        }
        async fn peer(&self, _: &str) -> Result<Option<Provider>, RoutingError> {
            Ok(None)
        }
        async fn name_records(&self, _: &IpnsName) -> Result<BoxStream<'static, Bytes>, RoutingError> {
            Ok(Box::pin(futures::stream::empty()))
        }
        async fn put_name(&self, _: &IpnsName, _: &NameRecord) -> Result<(), RoutingError> {
            Ok(())
        }
    }

    #[async_trait]
    impl Announcer for Three {
        async fn nearest(&self, _: &[u8]) -> Result<Vec<Provider>, RoutingError> {
            Ok(Vec::new())
        }
        async fn announce(&self, _: Vec<(Provider, Vec<Multihash<64>>)>) -> Result<usize, RoutingError> {
            Ok(0)
        }
    }

    fn three() -> Swarm {
        Swarm { replicator: Arc::new(Three), blocks: Arc::new(Three), network: Arc::new(Three), public: None }
    }

    #[tokio::test]
    async fn a_cut_gateway_has_nobody_to_ask() {
        let switch = Arc::new(Switch::new(three()));
        let dht = |which| SwitchedDht::new(Arc::clone(&switch), which);
        let cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap();
        assert!(switch.fetch_block(&cid).await.is_some());
        assert_eq!(dht(Which::Network).nearest(b"x").await, Ok(vec![]));
        assert_eq!(dht(Which::Public).nearest(b"x").await, Err(RoutingError::Unavailable), "it takes no part");
        switch.cut().await.unwrap();
        assert!(switch.fetch_block(&cid).await.is_none() && switch.session().is_none());
        assert_eq!(dht(Which::Network).nearest(b"x").await, Err(RoutingError::Unavailable));
    }

    #[tokio::test]
    async fn a_cut_gateway_takes_takes_writes_and_does_not_call_them_acknowledged() {
        let switch = Switch::new(three());
        let commit = CommitId([1; 32]);
        assert!(switch.publish(Published::default()).await.is_err(), "joined: the swarm answers");
        switch.cut().await.unwrap();
        switch.publish(Published::default()).await.unwrap();
        let durability = switch.durability(commit, Duration::ZERO).await.unwrap();
        assert!(!durability.is_acknowledged());
        assert_eq!(durability.outstanding, [ReplicaId("b".into()), ReplicaId("c".into())]);
        assert_eq!(switch.outstanding(commit).await.unwrap(), Some(durability));
        assert_eq!(switch.status().await.unwrap().reachable, 1);
        assert!(switch.peers().await.unwrap().iter().all(|peer| !peer.connected));
        assert!(switch.dial("/x").await.is_err());
        switch.join(three());
        assert!(switch.durability(commit, Duration::ZERO).await.unwrap().is_acknowledged());
    }
}
