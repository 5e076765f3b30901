use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::{Cid, multihash::Multihash};
use futures::{StreamExt, stream};
use rustdht_blobs::IpnsRecords;
use rustdht_core::ports::{AddOptions, Announcer, GraphStore as _, Provider, RoutingError};

use super::*;
use crate::{NewPin, Principal, RoutingPorts, tests::Bench};

/// A DHT of two peers.
#[derive(Default)]
struct Dht(Mutex<BTreeMap<Multihash<64>, Vec<String>>>);

#[async_trait]
impl Announcer for Dht {
    async fn nearest(&self, _: &[u8]) -> Result<Vec<Provider>, RoutingError> {
        // Peer ids: base58 of whatever.
        let peers = ["2g", "2h"];
        Ok(peers.map(|peer| Provider { peer: peer.into(), addresses: vec![], protocols: vec![] }).into())
    }

    async fn announce(&self, records: Vec<(Provider, Vec<Multihash<64>>)>) -> Result<usize, RoutingError> {
        let mut told = self.0.lock().unwrap();
        let mut count = 0;
        for (peer, keys) in records {
            count += keys.len();
            keys.into_iter().for_each(|key| told.entry(key).or_default().push(peer.peer.clone()));
        }
        Ok(count)
    }
}

impl Dht {
    /// Who was told of a block since the last call, sorted.
    fn told(&self, cid: &Cid) -> Vec<String> {
        let mut told = self.0.lock().unwrap().remove(cid.hash()).unwrap_or_default();
        told.sort_unstable();
        told
    }

    async fn until_told(&self, cid: &Cid) -> Vec<String> {
        for _ in 0..1500 {
            let told = self.told(cid);
            if !told.is_empty() {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{cid} was not announced");
    }
}

fn bind(bench: &Bench, provide: Provide) -> Arc<Dht> {
    let dht = Arc::new(Dht::default());
    bench.node.bind_routing(RoutingPorts {
        routers: vec![],
        announcers: vec![("test", Arc::clone(&dht) as _)],
        provide,
        records: Arc::new(IpnsRecords),
        links: None,
    });
    dht
}

/// A file of two chunks: its root, and the CID of a chunk.
async fn add(bench: &Bench, first: u8) -> (Cid, Cid) {
    let chunk = Bytes::from(vec![first; 1 << 20]);
    let whole = stream::iter([Ok(chunk.clone()), Ok(Bytes::from_static(b"the end"))]).boxed();
    let root = bench.node.blobs().add(whole, AddOptions::default()).await.unwrap().cid;
    let chunk = bench.node.blobs().add(stream::iter([Ok(chunk)]).boxed(), AddOptions::default()).await.unwrap().cid;
    (root, chunk)
}

async fn pin(bench: &Bench, cid: Cid) {
    bench.node.add_pin(Principal::Owner, NewPin::new(cid), Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roots_are_announced_when_they_come_and_in_each_cycle() {
    let bench = Bench::new(1).await;
    let (before, chunk) = add(&bench, 1).await;
    pin(&bench, before).await;
    let dht = bind(&bench, Provide::Roots);
    assert_eq!(dht.until_told(&before).await, ["2g", "2h"], "what was there before");
    let (root, _) = add(&bench, 2).await;
    pin(&bench, root).await;
    assert_eq!(dht.until_told(&root).await, ["2g", "2h"]);
    assert_eq!(dht.told(&before), [""; 0], "only what is new");
    bench.clock.advance(22 * 3_600_000);
    assert_eq!((dht.until_told(&before).await.len(), dht.until_told(&root).await.len()), (2, 2));
    assert_eq!(dht.told(&chunk), [""; 0], "it is no root");
    let row = bench.store.side_get("provide", b"test").await.unwrap();
    assert!(row.is_some(), "how far it got is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_block_is_announced_where_the_operator_wants_it() {
    let bench = Bench::new(1).await;
    let (root, chunk) = add(&bench, 1).await;
    let dht = bind(&bench, Provide::All);
    assert_eq!((dht.until_told(&root).await.len(), dht.until_told(&chunk).await.len()), (2, 2));
    let quiet = Bench::new(2).await;
    let (root, _) = add(&quiet, 1).await;
    pin(&quiet, root).await;
    let dht = bind(&quiet, Provide::Off);
    assert!(!quiet.node.provides(&root).await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(dht.told(&root), [""; 0]);
}
