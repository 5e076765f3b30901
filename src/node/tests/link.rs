//! A replicator that records like the one of the testkit, and asks one other node where the network would be asked.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use rustdht_core::{
    CommitId, PublicKey, Soul,
    ports::{Durability, Ingest, NetworkStatus, PeerStatus, Published, ReplicationError, Replicator},
};
use rustdht_testkit::Recorder;

pub(crate) struct Link {
    recorder: Arc<Recorder>,
    peer: Option<Arc<dyn Ingest>>,
}

impl Link {
    pub(crate) fn new(recorder: Arc<Recorder>, peer: Option<Arc<dyn Ingest>>) -> Self {
        Self { recorder, peer }
    }
}

#[async_trait]
impl Replicator for Link {
    async fn publish(&self, published: Published) -> Result<(), ReplicationError> {
        self.recorder.publish(published).await
    }

    async fn durability(&self, commit: CommitId, wait: Duration) -> Result<Durability, ReplicationError> {
        self.recorder.durability(commit, wait).await
    }

    async fn outstanding(&self, commit: CommitId) -> Result<Option<Durability>, ReplicationError> {
        self.recorder.outstanding(commit).await
    }

    async fn ask(&self, soul: &Soul) -> Result<Vec<Bytes>, ReplicationError> {
        match &self.peer {
            Some(peer) => Ok(peer.soul_envelopes(soul, 1 << 20).await),
            None => Ok(Vec::new()),
        }
    }

    async fn certify(&self, gateway: PublicKey) -> Result<Vec<(Bytes, Bytes)>, ReplicationError> {
        match &self.peer {
            Some(peer) => Ok(peer.certify(gateway).await),
            None => Ok(Vec::new()),
        }
    }

    async fn broadcast(&self, message: Bytes) -> Result<(), ReplicationError> {
        self.recorder.broadcast(message).await
    }

    async fn peers(&self) -> Result<Vec<PeerStatus>, ReplicationError> {
        self.recorder.peers().await
    }

    async fn status(&self) -> Result<NetworkStatus, ReplicationError> {
        self.recorder.status().await
    }

    async fn dial(&self, address: &str) -> Result<(), ReplicationError> {
        self.recorder.dial(address).await
    }
}
