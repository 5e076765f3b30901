//! The line between the node and the swarm, which can be cut and closed again while both sides go on: the demo pulls
//! this plug, and a swarm could be restarted behind it.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use rustdht_core::{
    CommitId, PublicKey, Soul,
    ports::{BlockSource, Durability, NetworkStatus, PeerStatus, Published, ReplicationError, Replicator},
};

/// The swarm, or what was known of it when the line was cut.
enum Line {
    Joined(Arc<dyn Replicator>),
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
    pub(super) fn new(swarm: Arc<dyn Replicator>) -> Self {
        Self(RwLock::new(Arc::new(Line::Joined(swarm))))
    }

    /// Closes the line to a swarm. What was written meanwhile it finds in the store's index.
    pub(super) fn join(&self, swarm: Arc<dyn Replicator>) {
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
            Line::Joined(swarm) => swarm.publish(published).await,
            Line::Cut { .. } => Ok(()),
        }
    }

    async fn durability(&self, commit: CommitId, wait: Duration) -> Result<Durability, ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.durability(commit, wait).await,
            Line::Cut { status, peers } => Ok(alone(status, peers)),
        }
    }

    async fn outstanding(&self, commit: CommitId) -> Result<Option<Durability>, ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.outstanding(commit).await,
            Line::Cut { status, peers } => Ok(Some(alone(status, peers))),
        }
    }

    async fn ask(&self, soul: &Soul) -> Result<Vec<Bytes>, ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.ask(soul).await,
            Line::Cut { .. } => Ok(Vec::new()),
        }
    }

    async fn fetch_block(&self, cid: &Cid) -> Option<Bytes> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.fetch_block(cid).await,
            Line::Cut { .. } => None,
        }
    }

    async fn certify(&self, gateway: PublicKey) -> Result<Vec<(Bytes, Bytes)>, ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.certify(gateway).await,
            Line::Cut { .. } => Ok(Vec::new()),
        }
    }

    async fn broadcast(&self, message: Bytes) -> Result<(), ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.broadcast(message).await,
            Line::Cut { .. } => Ok(()),
        }
    }

    async fn peers(&self) -> Result<Vec<PeerStatus>, ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.peers().await,
            Line::Cut { peers, .. } => Ok(peers.clone()),
        }
    }

    async fn status(&self) -> Result<NetworkStatus, ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.status().await,
            Line::Cut { status, .. } => Ok(status.clone()),
        }
    }

    async fn dial(&self, address: &str) -> Result<(), ReplicationError> {
        match &*self.line() {
            Line::Joined(swarm) => swarm.dial(address).await,
            Line::Cut { .. } => Err(ReplicationError::Closed),
        }
    }
}

#[async_trait]
impl BlockSource for Switch {
    async fn fetch_block(&self, cid: &Cid) -> Option<Bytes> {
        Replicator::fetch_block(self, cid).await
    }
}

#[cfg(test)]
mod tests {
    use rustdht_core::ports::ReplicaId;

    use super::*;

    /// A swarm of three members that acknowledges everything.
    struct Swarm;

    #[async_trait]
    impl Replicator for Swarm {
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
        async fn fetch_block(&self, _: &Cid) -> Option<Bytes> {
            Some(Bytes::new())
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

    #[tokio::test]
    async fn a_cut_gateway_takes_writes_and_does_not_call_them_acknowledged() {
        let switch = Switch::new(Arc::new(Swarm));
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
        switch.join(Arc::new(Swarm));
        assert!(switch.durability(commit, Duration::ZERO).await.unwrap().is_acknowledged());
    }
}
