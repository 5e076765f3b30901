//! Fetches a DAG from a peer, such as Kubo, and serves it to whoever connects, such as another Kubo.
//!
//! `cargo run --release -p rustdht-bitswap --example dag -- /ip4/127.0.0.1/tcp/4001/p2p/12D3... <CID> [serve]`
//!
//! Prints the speed, the longest pause between two blocks in the order of the file, and what was counted; with `serve` its
//! own address too, and then does not end.

#![expect(clippy::print_stdout, reason = "a program that reports")]

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::stream::{FuturesOrdered, StreamExt};
use libp2p::multiaddr::Protocol;
use libp2p::multihash::Multihash;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, SwarmBuilder, identify, noise, tcp, yamux};
use rustdht_bitswap::{self as bitswap, Blockstore, Config, Handle, Provider, SessionOptions};
use tokio::time::Instant;

/// Blocks asked for at a time, in the order of the file.
const AHEAD: usize = 64;
/// Multicodec `dag-pb`.
const DAG_PB: u64 = 0x70;

/// Helia asks only peers that `identify` tells it speak Bitswap. There is no `ping` here: rust-libp2p's answers none once
/// its own were refused, as by a Helia without that service, and such a Helia leaves who does not answer.
#[derive(NetworkBehaviour)]
struct Behaviour {
    bitswap: bitswap::Behaviour,
    identify: identify::Behaviour,
}

#[derive(Default)]
struct Memory(Mutex<HashMap<Multihash<64>, Bytes>>);

impl Memory {
    fn put(&self, cid: &Cid, block: Bytes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(*cid.hash(), block);
    }

    fn find(&self, cid: &Cid) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(cid.hash()).cloned()
    }
}

#[async_trait]
impl Blockstore for Memory {
    async fn get(&self, cid: &Cid) -> io::Result<Option<Bytes>> {
        Ok(self.find(cid))
    }

    async fn size(&self, cid: &Cid) -> io::Result<Option<u64>> {
        Ok(self.find(cid).map(|block| block.len() as u64))
    }
}

/// A varint at the front of `bytes`, which it is taken off.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The contents of the fields of a protobuf message that have this number and hold bytes.
fn fields(mut bytes: &[u8], wanted: u64) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = varint(&mut bytes)?;
        if key & 7 == 2 {
            let (content, rest) = bytes.split_at_checked(usize::try_from(value).ok()?)?;
            bytes = rest;
            if key >> 3 == wanted {
                found.push(content);
            }
        }
    }
    Some(found)
}

/// The links of a dag-pb node: field 2, of which field 1 is the CID.
fn links(cid: &Cid, block: &[u8]) -> Option<Vec<Cid>> {
    if cid.codec() != DAG_PB {
        return Some(Vec::new());
    }
    let link = |link| Cid::try_from(*fields(link, 1)?.first()?).ok();
    fields(block, 2)?.into_iter().map(link).collect()
}

/// Fetches all blocks below `root`, depth first as a file is read, some ahead.
async fn fetch(handle: &Handle, store: &Memory, root: Cid, from: Provider) -> Result<(), Box<dyn Error>> {
    let session = &handle.session(SessionOptions { providers: vec![from], timeout: Some(Duration::from_secs(30)) });
    let start = Instant::now();
    let (mut last, mut longest, mut first, mut blocks, mut bytes) = (start, Duration::ZERO, None, 0, 0);
    let mut next: VecDeque<Cid> = [root].into();
    let mut under_way = FuturesOrdered::new();
    loop {
        while under_way.len() < AHEAD
            && let Some(cid) = next.pop_front()
        {
            under_way.push_back(async move { (cid, session.get(cid).await) });
        }
        let Some((cid, block)) = under_way.next().await else { break };
        let block = block?;
        first.get_or_insert(start.elapsed());
        longest = longest.max(last.elapsed());
        last = Instant::now();
        blocks += 1;
        bytes += block.len();
        let children = links(&cid, &block).ok_or_else(|| format!("{cid} is not dag-pb"))?;
        children.into_iter().rev().for_each(|child| next.push_front(child));
        store.put(&cid, block);
        handle.notify([cid]);
    }
    let mib = bytes as f64 / 1048576.0;
    println!(
        "{blocks} blocks, {mib:.0} MiB in {:.2} s: {:.1} MiB/s; first after {:.0} ms, longest pause {:.0} ms",
        start.elapsed().as_secs_f64(),
        mib / start.elapsed().as_secs_f64(),
        first.unwrap_or_default().as_secs_f64() * 1000.0,
        longest.as_secs_f64() * 1000.0,
    );
    Ok(())
}

/// A yamux whose windows grow to 1 MiB at most. js-libp2p sends a window in one frame, and rust-yamux 0.14 ends a
/// connection over a frame beyond 1 MiB. Windows share what 1 GiB leaves when each of the streams has its 256 KiB.
fn narrow_yamux() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(4096 - 3);
    config
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(root)) = (arguments.next(), arguments.next()) else {
        return Err("usage: dag /ip4/.../p2p/<peer> <CID> [serve]".into());
    };
    let address: Multiaddr = address.parse()?;
    let Some(Protocol::P2p(peer)) = address.iter().last() else {
        return Err("the address must end with /p2p/<peer>".into());
    };
    let root: Cid = root.parse()?;
    let serve = arguments.next().is_some();

    let store = Arc::new(Memory::default());
    let bitswap = bitswap::Behaviour::new(Config::default(), Arc::clone(&store) as _)?;
    let handle = bitswap.handle();
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, narrow_yamux)?
        .with_behaviour(|key| Behaviour {
            bitswap,
            identify: identify::Behaviour::new(identify::Config::new("ipfs/0.1.0".into(), key.public())),
        })?
        .build();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let own = *swarm.local_peer_id();

    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => println!("listening on {address}/p2p/{own}"),
                SwarmEvent::Behaviour(BehaviourEvent::Bitswap(event)) => println!("{event:?}"),
                SwarmEvent::ConnectionClosed { peer_id, cause, .. } => println!("{peer_id} is gone: {cause:?}"),
                _ => {}
            }
        }
    });
    fetch(&handle, &store, root, Provider { peer, addresses: vec![address] }).await?;
    println!("{:#?}", handle.stats());
    if serve {
        tasks.join_next().await;
    }
    Ok(())
}
