//! A replicator that reaches nobody and remembers what it was told.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use rustdht_core::{
    CommitId, PublicKey, Soul,
    ports::{Durability, NetworkStatus, PeerStatus, Published, ReplicaId, ReplicationError, Replicator},
};

#[derive(Debug, Default)]
struct Told {
    published: Vec<Published>,
    broadcast: Vec<Bytes>,
}

/// Remembers what was published and broadcast.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Told>);

impl Recorder {
    /// Takes what was published since the last call.
    pub fn take(&self) -> Vec<Published> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).published)
    }

    /// Takes what was broadcast since the last call.
    pub fn take_broadcast(&self) -> Vec<Bytes> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).broadcast)
    }
}

#[async_trait]
impl Replicator for Recorder {
    async fn publish(&self, published: Published) -> Result<(), ReplicationError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).published.push(published);
        Ok(())
    }

    async fn durability(&self, _commit: CommitId, _wait: Duration) -> Result<Durability, ReplicationError> {
        Ok(Durability { durable: 1, wanted: 1, outstanding: Vec::new() })
    }

    async fn outstanding(&self, _commit: CommitId) -> Result<Option<Durability>, ReplicationError> {
        Ok(None)
    }

    async fn ask(&self, _soul: &Soul) -> Result<Vec<Bytes>, ReplicationError> {
        Ok(Vec::new())
    }

    async fn certify(&self, _gateway: PublicKey) -> Result<Vec<(Bytes, Bytes)>, ReplicationError> {
        Ok(Vec::new())
    }

    async fn broadcast(&self, message: Bytes) -> Result<(), ReplicationError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).broadcast.push(message);
        Ok(())
    }

    async fn peers(&self) -> Result<Vec<PeerStatus>, ReplicationError> {
        Ok(Vec::new())
    }

    async fn status(&self) -> Result<NetworkStatus, ReplicationError> {
        Ok(NetworkStatus {
            id: ReplicaId("recorder".into()),
            listen: vec!["/ip4/127.0.0.1/tcp/1".into()],
            replicas: 1,
            write_quorum: 1,
            reachable: 1,
            indexed: 0,
        })
    }

    async fn dial(&self, _address: &str) -> Result<(), ReplicationError> {
        Ok(())
    }
}
