//! Blocks, providers and names between gateways of different networks: to each other they are peers of IPFS.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cid::{Cid, multihash::Multihash};
use futures::StreamExt;
use rustdht_core::{
    NetId,
    ports::{Announcer, BlockGate, BlockSource, ContentRouting, IpnsName, NameRecord, Provider, Replicator},
};
use rustdht_net::{DhtMode, IpfsConfig, NetConfig, Serve};

use crate::member::{Member, config, eventually};

/// A gateway of a network of its own.
fn alone(seed: u8, ipfs: IpfsConfig) -> NetConfig {
    NetConfig { net: NetId([seed; 32]), network_key: [seed; 32], ipfs, ..config(seed, &[]) }
}

fn beside(other: &Member) -> IpfsConfig {
    IpfsConfig { peers: vec![other.handle.listen()[0].clone()], ..IpfsConfig::default() }
}

fn block(text: &str) -> (Cid, Bytes) {
    let bytes = Bytes::from(text.to_owned());
    (Cid::new_v1(0x55, Multihash::wrap(0x1e, blake3::hash(&bytes).as_bytes()).unwrap()), bytes)
}

impl Member {
    fn give(&self, text: &str) -> (Cid, Bytes) {
        let (cid, bytes) = block(text);
        self.memory.blocks.lock().unwrap().insert(cid, bytes.clone());
        (cid, bytes)
    }

    async fn guests(&self) -> usize {
        self.handle.peers().await.unwrap().iter().filter(|peer| peer.guest && peer.connected && !peer.replica).count()
    }

    async fn has(&self, cid: &Cid) -> Option<Bytes> {
        self.handle.session().unwrap().fetch_block(cid).await
    }

    fn place(&self) -> Provider {
        let (address, peer) = self.handle.listen()[0].rsplit_once("/p2p/").unwrap();
        Provider { peer: peer.into(), addresses: vec![address.into()], protocols: vec![] }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_exchange_blocks_and_stay_connected_when_they_were_named() {
    let a = Member::new(1, &[]).await;
    let b = Member::start(alone(2, beside(&a)), Arc::default()).await;
    eventually("each is the other's guest", async || a.guests().await == 1 && b.guests().await == 1).await;
    let (of_a, of_b) = (a.give("here"), b.give("there"));
    assert_eq!(b.has(&of_a.0).await, Some(of_a.1));
    assert_eq!(a.has(&of_b.0).await, Some(of_b.1));
    // A stranger that broke no rule of hello is not sent away when its time is over.
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!((a.guests().await, b.guests().await), (1, 1));
    assert_eq!(a.handle.status().await.unwrap().replicas, 1, "it is no member");
    assert_eq!(a.has(&block("nowhere").0).await, None);
}

struct Only(Cid);

impl BlockGate for Only {
    fn admits(&self, cid: &Cid) -> bool {
        *cid == self.0
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_served_what_is_the_operators_to_say() {
    let members_only = IpfsConfig { serve: Serve::Members, ..IpfsConfig::default() };
    let a = Member::start(NetConfig { ipfs: members_only, ..config(1, &[]) }, Arc::default()).await;
    let friend = Member::new(2, a.handle.listen()).await;
    let guest = Member::start(alone(3, beside(&a)), Arc::default()).await;
    eventually("both are there", async || a.guests().await == 1 && a.in_sync().await == 1).await;
    let (cid, bytes) = a.give("for members");
    assert_eq!(friend.has(&cid).await, Some(bytes));
    assert_eq!(guest.has(&cid).await, None);

    let (allowed, bytes) = block("allowed");
    let gated = IpfsConfig { gate: Some(Arc::new(Only(allowed))), ..IpfsConfig::default() };
    let b = Member::start(alone(4, gated), Arc::default()).await;
    let other = Member::start(alone(5, beside(&b)), Arc::default()).await;
    eventually("the other is there", async || b.guests().await == 1).await;
    b.give("allowed");
    let denied = b.give("denied").0;
    assert_eq!(other.has(&allowed).await, Some(bytes));
    assert_eq!(other.has(&denied).await, None);
    // What is not served is not taken either.
    let (cid, _) = other.give("elsewhere");
    assert_eq!(b.has(&cid).await, None);
}

const DHT: &str = "/test/kad/1.0.0";

async fn dht(count: u8) -> Vec<Member> {
    let mut nodes: Vec<Member> = Vec::new();
    for seed in 0..count {
        let bootstrap = nodes.first().map(|first| first.handle.listen()[0].clone()).into_iter().collect();
        let ipfs = IpfsConfig { dht: DhtMode::Server, dht_protocol: DHT.into(), bootstrap, ..IpfsConfig::default() };
        nodes.push(Member::start(alone(100 + seed, ipfs), Arc::default()).await);
    }
    for node in &nodes {
        let dht = node.handle.public_dht().unwrap();
        eventually("everybody finds everybody", async || {
            dht.nearest(b"anything").await.is_ok_and(|found| found.len() + 1 == usize::from(count))
        })
        .await;
    }
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_is_found_by_its_provider_records_and_they_survive_a_restart() {
    let mut nodes = dht(6).await;
    let (cid, bytes) = nodes[5].give("announced");
    let provider = nodes[5].handle.public_dht().unwrap();
    let nearest = provider.nearest(&cid.hash().to_bytes()).await.unwrap();
    assert!(nearest.iter().all(|near| near.peer != nodes[5].place().peer), "not itself");
    let others =
        (0..300_u32).map(|number| Multihash::wrap(0x12, &[&[0; 28][..], &number.to_be_bytes()].concat()).unwrap());
    let keys: Vec<Multihash<64>> = std::iter::once(*cid.hash()).chain(others).collect();
    let records = nearest.iter().map(|near| (near.clone(), keys.clone())).collect();
    assert_eq!(provider.announce(records).await.unwrap(), 5 * 301);

    // Somebody who is connected with nobody finds the provider, dials it and has the block.
    let bootstrap = vec![nodes[0].handle.listen()[0].clone()];
    let client = IpfsConfig { dht: DhtMode::Client, dht_protocol: DHT.into(), bootstrap, ..IpfsConfig::default() };
    let client = Member::start(alone(50, client), Arc::default()).await;
    let dht = client.handle.public_dht().unwrap();
    let found: Vec<Provider> = dht.providers(cid.hash(), 10).await.unwrap().collect().await;
    assert_eq!(found.iter().map(|found| &found.peer).collect::<Vec<_>>(), [&nodes[5].place().peer]);
    assert!(found[0].addresses.contains(&nodes[5].place().addresses[0]), "{found:?}");
    assert_eq!(client.has(&cid).await, Some(bytes));
    assert_eq!(dht.peer(&nodes[3].place().peer).await.unwrap().unwrap().peer, nodes[3].place().peer);
    assert_eq!(dht.providers(&keys[300], 10).await.unwrap().count().await, 1);

    // What others were told is theirs to keep: a record of a node that stops and starts is still there.
    let port = nodes[1].handle.listen()[0].split('/').nth(4).unwrap().parse().unwrap();
    let memory = nodes.remove(1).stop().await;
    assert!(memory.rows.lock().unwrap().keys().any(|key| key.starts_with(b"kad/public/")));
    let ipfs = IpfsConfig { dht: DhtMode::Server, dht_protocol: DHT.into(), ..IpfsConfig::default() };
    let again = Member::start(NetConfig { port, ..alone(101, ipfs) }, memory).await;
    let kept = again.handle.public_dht().unwrap().providers(cid.hash(), 10).await.unwrap();
    assert_eq!(kept.map(|found| found.peer).collect::<Vec<_>>().await, [nodes[4].place().peer]);
}

fn record(sequence: u64) -> NameRecord {
    let bytes = Bytes::from(sequence.to_string());
    NameRecord { bytes, value: String::new(), ttl_s: 0, sequence, until_ms: u64::MAX }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_names_are_checked_before_they_are_kept() {
    let nodes = dht(4).await;
    let name = IpnsName::of_ed25519(&[7; 32]);
    let dhts: Vec<_> = nodes.iter().map(|node| node.handle.public_dht().unwrap()).collect();
    dhts[0].put_name(&name, &record(5)).await.unwrap();
    eventually("all have checked it", async || {
        nodes[1..].iter().all(|node| node.memory.names.lock().unwrap().contains_key(&name))
    })
    .await;
    let found: Vec<Bytes> = dhts[3].name_records(&name).await.unwrap().collect().await;
    assert!(found.len() >= 3 && found.iter().all(|found| found == "5"), "{found:?}");
    // What is no record reaches nobody: the others check what they are given.
    let other = IpnsName::of_ed25519(&[8; 32]);
    let bad = NameRecord { bytes: Bytes::from_static(b"bad"), ..record(9) };
    dhts[0].put_name(&other, &bad).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(nodes[1..].iter().all(|node| !node.memory.names.lock().unwrap().contains_key(&other)));
    let found: Vec<Bytes> = dhts[3].name_records(&other).await.unwrap().collect().await;
    assert_eq!(found.len(), 1, "of the one who put it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_keep_records_in_the_dht_of_their_network() {
    let a = Member::new(1, &[]).await;
    let b = Member::new(2, a.handle.listen()).await;
    eventually("both are in sync", async || a.in_sync().await == 1 && b.in_sync().await == 1).await;
    assert!(a.handle.public_dht().is_none());
    let (cid, _) = block("of a");
    let (of_a, of_b) = (a.handle.network_dht(), b.handle.network_dht());
    let nearest = of_a.nearest(&cid.hash().to_bytes()).await.unwrap();
    assert_eq!(nearest.iter().map(|near| near.peer.clone()).collect::<Vec<_>>(), [b.place().peer]);
    assert_eq!(of_a.announce(vec![(nearest[0].clone(), vec![*cid.hash()])]).await.unwrap(), 1);
    eventually("b knows the provider", async || {
        let found = of_b.providers(cid.hash(), 9).await.unwrap().map(|found| found.peer).collect::<Vec<_>>().await;
        found == [a.place().peer]
    })
    .await;
    // A stranger is not heard there.
    let guest = Member::start(alone(3, beside(&a)), Arc::default()).await;
    eventually("the guest is there", async || a.guests().await == 1).await;
    assert!(guest.handle.network_dht().nearest(b"x").await.is_err());
}
