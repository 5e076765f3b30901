//! Two nodes in one process: one has a block, the other asks for it.
//!
//! `cargo run -p rustdht-bitswap --example two_nodes`

#![expect(clippy::print_stdout, reason = "a program that reports")]

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::StreamExt;
use libp2p::multihash::Multihash;
use libp2p::swarm::SwarmEvent;
use libp2p::{Swarm, SwarmBuilder, noise, tcp, yamux};
use rustdht_bitswap::{Behaviour, Blockstore, Config, NoBlocks, SessionOptions};
use sha2::Digest;

/// Blocks that were made beforehand.
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
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| bitswap)?
        .build())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let block = Bytes::from_static(b"what is asked for by what it is");
    // Raw bytes (0x55) under their sha2-256 (0x12).
    let cid = Cid::new_v1(0x55, Multihash::wrap(0x12, &sha2::Sha256::digest(&block))?);

    let mut server = node(Arc::new(Shelf(HashMap::from([(cid, block)]))))?;
    server.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
            break address;
        }
    };

    let mut client = node(Arc::new(NoBlocks))?;
    let handle = client.behaviour().handle();
    client.dial(address)?;

    let session = handle.session(SessionOptions::default());
    let mut get = std::pin::pin!(session.get(cid));
    let block = loop {
        tokio::select! {
            block = &mut get => break block?,
            event = server.select_next_some() => println!("server: {event:?}"),
            event = client.select_next_some() => println!("client: {event:?}"),
        }
    };
    println!("{cid} is {:?}", String::from_utf8_lossy(&block));
    println!("{:?}", handle.stats());
    Ok(())
}
