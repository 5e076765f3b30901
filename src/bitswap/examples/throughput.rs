//! How fast blocks go from one node or several to another over the loopback, in one process.
//!
//! `cargo run --release -p rustdht-bitswap --example throughput -- [MiB] [peers] [KiB of a block]`, by default 1024, 1, 256.

#![expect(clippy::print_stdout, reason = "a measuring tool that prints")]

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, stream};
use libp2p::multihash::Multihash;
use libp2p::swarm::SwarmEvent;
use libp2p::{Swarm, SwarmBuilder, noise, tcp, yamux};
use rustdht_bitswap::{Behaviour, Blockstore, Config, NoBlocks, SessionOptions};
use sha2::Digest;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Blocks that the reader asks for at a time, in order: 16 MiB of the usual ones.
const AHEAD: usize = 64;

struct Shelf(HashMap<Cid, Bytes>);

#[async_trait]
impl Blockstore for Shelf {
    async fn get(&self, cid: &Cid) -> io::Result<Option<Bytes>> {
        Ok(self.0.get(cid).cloned())
    }

    async fn size(&self, cid: &Cid) -> io::Result<Option<u64>> {
        Ok(self.0.get(cid).map(|block| block.len() as u64))
    }
}

fn node(store: Arc<dyn Blockstore>) -> Result<Swarm<Behaviour>, Box<dyn Error>> {
    let bitswap = Behaviour::new(Config::default(), store)?;
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| bitswap)?
        .build())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<usize> = std::env::args().skip(1).map(|argument| argument.parse()).collect::<Result<_, _>>()?;
    let argument = |at: usize, default| arguments.get(at).copied().unwrap_or(default);
    let (mib, peers, kib) = (argument(0, 1024), argument(1, 1), argument(2, 256));

    let started = Instant::now();
    let mut blocks = HashMap::new();
    let mut cids = Vec::new();
    for n in 0..mib * 1024 / kib {
        let mut block = vec![n as u8; kib * 1024];
        block[..8].copy_from_slice(&n.to_be_bytes());
        let cid = Cid::new_v1(0x55, Multihash::wrap(0x12, &sha2::Sha256::digest(&block))?);
        cids.push(cid);
        blocks.insert(cid, Bytes::from(block));
    }
    let hashing = started.elapsed();
    println!(
        "{} blocks; hashing alone takes {:.1} s, {:.0} MiB/s",
        cids.len(),
        hashing.as_secs_f64(),
        mib as f64 / hashing.as_secs_f64()
    );

    let shelf: Arc<dyn Blockstore> = Arc::new(Shelf(blocks));
    let mut client = node(Arc::new(NoBlocks))?;
    let handle = client.behaviour().handle();
    let mut tasks = JoinSet::new();
    for _ in 0..peers {
        let mut server = node(Arc::clone(&shelf))?;
        server.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
                break address;
            }
        };
        client.dial(address)?;
        tasks.spawn(async move {
            loop {
                server.select_next_some().await;
            }
        });
    }
    let mut connected = 0;
    while connected < peers {
        connected += usize::from(matches!(client.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }));
    }
    tasks.spawn(async move {
        loop {
            if let SwarmEvent::Behaviour(event) = client.select_next_some().await {
                println!("{event:?}");
            }
        }
    });

    let session = &handle.session(SessionOptions::default());
    let start = Instant::now();
    let (mut last, mut longest) = (start, Duration::ZERO);
    let mut fetched = stream::iter(cids).map(|cid| session.get(cid)).buffered(AHEAD);
    while let Some(block) = fetched.next().await {
        drop(block?);
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    let took = start.elapsed().as_secs_f64();
    println!(
        "{mib} MiB from {peers} in {took:.2} s: {:.1} MiB/s, longest pause {:.0} ms",
        mib as f64 / took,
        longest.as_secs_f64() * 1000.0
    );
    println!("{:#?}", handle.stats());
    Ok(())
}
