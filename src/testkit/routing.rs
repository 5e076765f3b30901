//! A router in memory.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicUsize, atomic::Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::multihash::Multihash;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use rustdht_core::ports::{ContentRouting, IpnsName, NameRecord, Provider, RoutingError};

/// Keeps what it is given and answers with it; as other routers, it checks nothing.
#[derive(Debug, Default)]
pub struct MemoryRouter {
    providers: Mutex<HashMap<Multihash<64>, Vec<Provider>>>,
    peers: Mutex<HashMap<String, Provider>>,
    records: Mutex<HashMap<IpnsName, Vec<Bytes>>>,
    asked: AtomicUsize,
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryRouter {
    /// From now on this peer provides the block.
    pub fn provide(&self, key: Multihash<64>, provider: Provider) {
        held(&self.providers).entry(key).or_default().push(provider);
    }

    /// From now on the peer is known to be there.
    pub fn place(&self, peer: Provider) {
        held(&self.peers).insert(peer.peer.clone(), peer);
    }

    /// Adds a record of a name, whatever it is.
    pub fn put(&self, name: &IpnsName, record: &Bytes) {
        held(&self.records).entry(*name).or_default().push(record.clone());
    }

    /// The records of a name.
    #[must_use]
    pub fn records(&self, name: &IpnsName) -> Vec<Bytes> {
        held(&self.records).get(name).cloned().unwrap_or_default()
    }

    /// How often it was asked for names since the last call.
    pub fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl ContentRouting for MemoryRouter {
    async fn providers(&self, key: &Multihash<64>, limit: usize) -> Result<BoxStream<'static, Provider>, RoutingError> {
        let found = held(&self.providers).get(key).cloned().unwrap_or_default();
        Ok(stream::iter(found).take(limit).boxed())
    }

    async fn peer(&self, peer: &str) -> Result<Option<Provider>, RoutingError> {
        Ok(held(&self.peers).get(peer).cloned())
    }

    async fn name_records(&self, name: &IpnsName) -> Result<BoxStream<'static, Bytes>, RoutingError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(stream::iter(self.records(name)).boxed())
    }

    async fn put_name(&self, name: &IpnsName, record: &NameRecord) -> Result<(), RoutingError> {
        self.put(name, &record.bytes);
        Ok(())
    }
}
