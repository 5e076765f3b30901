//! Measures how long a live message takes between real swarms on loopback: 1,000 messages of 60 bytes, 50 in a second,
//! with two members connected, with three, and with three in a line.
//!
//! `cargo run --release -p rustdht-net --example live_latency`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool that prints and may stop at any error")]

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use rustdht_core::{
    Clock, Entropy, NetId, Placement, PublicKey, RecordId, Soul,
    ports::{IndexItem, Ingest, IngestOutcome, ReplicaId, Replicator, StoreError},
};
use rustdht_net::{ConnectionLimits, Handle, NetConfig, Role, Service};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

const MESSAGES: u32 = 1000;
const INTERVAL: Duration = Duration::from_millis(20);

struct System;

impl Clock for System {
    fn now_ms(&self) -> u64 {
        u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
    }
}

impl Entropy for System {
    fn fill(&self, bytes: &mut [u8]) {
        rand::Rng::fill(&mut rand::rngs::ThreadRng::default(), bytes);
    }
}

/// Notes when each message was heard.
struct Ear {
    start: Instant,
    heard: Mutex<Vec<(u32, Duration)>>,
}

#[async_trait]
impl Ingest for Ear {
    async fn ingest(&self, _: &ReplicaId, envelopes: Vec<Bytes>) -> Vec<IngestOutcome> {
        vec![IngestOutcome::Unavailable; envelopes.len()]
    }
    async fn envelopes(&self, _: &[RecordId], _: usize) -> (Vec<Bytes>, Vec<RecordId>) {
        (vec![], vec![])
    }
    async fn soul_envelopes(&self, _: &Soul, _: usize) -> Vec<Bytes> {
        vec![]
    }
    async fn certify(&self, _: PublicKey) -> Vec<(Bytes, Bytes)> {
        vec![]
    }
    async fn heard(&self, _: &ReplicaId, message: Bytes) -> bool {
        let number = u32::from_be_bytes(message[..4].try_into().unwrap());
        self.heard.lock().unwrap().push((number, self.start.elapsed()));
        true
    }
    async fn block(&self, _: &Cid) -> Option<Bytes> {
        None
    }
    async fn index(&self, _: i64, _: u32) -> Result<(Vec<IndexItem>, i64), StoreError> {
        Ok((vec![], 0))
    }
    async fn save(&self, _: Vec<u8>, _: Option<Vec<u8>>) {}
    async fn saved(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        Ok(vec![])
    }
}

async fn member(tasks: &mut JoinSet<()>, start: Instant, seed: u8, dial: &[String], total: u32) -> (Handle, Arc<Ear>) {
    let config = NetConfig {
        identity: [seed; 32],
        net: NetId([1; 32]),
        network_key: [2; 32],
        placement: Placement::default(),
        role: Role::Full,
        hosts: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        port: 0,
        ws_port: None,
        external: vec![],
        dial: dial.to_vec(),
        mdns: false,
        limits: ConnectionLimits { total, ..ConnectionLimits::default() },
        ipfs: rustdht_net::IpfsConfig::default(),
    };
    let (service, handle) = Service::new(&config, Arc::new(System), Arc::new(System)).await.unwrap();
    let ear = Arc::new(Ear { start, heard: Mutex::default() });
    tasks.spawn(service.run(ear.clone(), CancellationToken::new()));
    (handle, ear)
}

fn message(number: u32) -> Bytes {
    let mut message = vec![7; 60];
    message[..4].copy_from_slice(&number.to_be_bytes());
    message.into()
}

async fn measure(what: &str, seeds: std::ops::Range<u8>, line: bool) {
    let (start, mut tasks) = (Instant::now(), JoinSet::new());
    let narrow = if line { 1 } else { 512 };
    let middle = member(&mut tasks, start, seeds.start, &[], 512).await;
    let mut members = vec![];
    for seed in seeds.skip(1) {
        members.push(member(&mut tasks, start, seed, middle.0.listen(), narrow).await);
    }
    let from = if line { members.remove(0).0 } else { middle.0.clone() };
    // Until the way is open: a message that is too early is lost.
    while members.iter().any(|(_, ear)| ear.heard.lock().unwrap().is_empty()) {
        from.broadcast(message(u32::MAX)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut sent = Vec::new();
    let mut ticks = tokio::time::interval(INTERVAL);
    for number in 0..MESSAGES {
        ticks.tick().await;
        sent.push(start.elapsed());
        from.broadcast(message(number)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for (number, (_, ear)) in members.iter().enumerate() {
        let heard = ear.heard.lock().unwrap();
        let numbered = heard.iter().filter(|(number, _)| *number != u32::MAX);
        let mut latencies: Vec<Duration> = numbered.map(|(number, at)| *at - sent[*number as usize]).collect();
        latencies.sort_unstable();
        let at = |share: usize| latencies.get(latencies.len() * share / 1000).copied().unwrap_or_default();
        println!(
            "{what}, receiver {number}: {} of {MESSAGES} heard, p50 {:?}, p99 {:?}, greatest {:?}",
            latencies.len(),
            at(500),
            at(990),
            latencies.last()
        );
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    measure("two members", 1..3, false).await;
    measure("three members", 11..14, false).await;
    measure("three in a line", 21..24, true).await;
}
