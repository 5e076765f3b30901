//! A rust-ipfs node on loopback that serves one file by Bitswap, or fetches one. TCP and QUIC; no routing at all: the two
//! sides are told each other's address.
//!
//! - `peer serve FILE` prints `{"cid", "address", "quic_address", "add_s"}` and ends when its standard input closes.
//! - `peer fetch ADDRESS CID` prints `{"bytes", "sha256", "seconds", "first_byte_s", "longest_stall_s"}`: the stall is the
//!   longest wait between two pieces, the first byte aside.

use std::{
    env,
    path::{Path, PathBuf},
    process::{self, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use futures::StreamExt;
use libp2p::Multiaddr;
use rust_ipfs::{Ipfs, IpfsPath, builder::DefaultIpfsBuilder, unixfs::UnixfsStatus};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

/// A block that does not come within this time does not come.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        // In one line, for the table of whoever started this.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let folder = env::temp_dir().join(format!("rust-ipfs-{}", process::id()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["serve", file] => serve(&folder, Path::new(file)).await,
        ["fetch", address, cid] => fetch(&folder, address, cid).await,
        _ => bail!("usage: peer serve FILE | peer fetch ADDRESS CID"),
    };
    // Best effort: the folder lies below the temporary one.
    let _ = tokio::fs::remove_dir_all(&folder).await;
    outcome
}

async fn node(folder: &Path) -> anyhow::Result<Ipfs> {
    let ipfs = DefaultIpfsBuilder::new()
        .with_identify(Default::default())
        .with_ping(Default::default())
        .with_bitswap()
        .enable_tcp()
        // The preset of `enable_quic` ends a connection after 300 ms of silence.
        .enable_quic_with_config(|config| config)
        .set_path(folder)
        .set_listening_addrs(vec!["/ip4/127.0.0.1/tcp/0".parse()?, "/ip4/127.0.0.1/udp/0/quic-v1".parse()?])
        .start()
        .await?;
    Ok(ipfs)
}

async fn serve(folder: &Path, file: &Path) -> anyhow::Result<()> {
    let ipfs = node(folder).await?;
    let start = Instant::now();
    let cid = add(&ipfs, file.to_path_buf()).await?;
    let add_s = start.elapsed().as_secs_f64();
    let peer = ipfs.keypair().public().to_peer_id();
    let addresses = listening(&ipfs).await?;
    let of = |part: &str| {
        let found = addresses.iter().map(Multiaddr::to_string).find(|text| text.contains(part));
        found.map(|text| format!("{text}/p2p/{peer}")).with_context(|| format!("no address with {part}"))
    };
    println!("{}", json!({ "cid": cid, "address": of("/tcp/")?, "quic_address": of("/quic-v1")?, "add_s": add_s }));
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    ipfs.exit_daemon().await;
    Ok(())
}

async fn add(ipfs: &Ipfs, file: PathBuf) -> anyhow::Result<String> {
    // A pin would read and hash every block again.
    let mut progress = ipfs.add_unixfs(file).pin(false);
    while let Some(status) = progress.next().await {
        match status {
            UnixfsStatus::CompletedStatus { path, .. } => {
                return path.root().cid().map(ToString::to_string).context("the path of the file has no CID");
            }
            UnixfsStatus::FailedStatus { error, .. } => bail!("the file was not added: {error}"),
            UnixfsStatus::ProgressStatus { .. } => {}
        }
    }
    bail!("adding ended without a CID")
}

/// Both listeners need a moment after the start.
async fn listening(ipfs: &Ipfs) -> anyhow::Result<Vec<Multiaddr>> {
    for _ in 0..100 {
        let addresses = ipfs.listening_addresses().await?;
        if addresses.len() > 1 {
            return Ok(addresses);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("the node does not listen")
}

async fn fetch(folder: &Path, address: &str, cid: &str) -> anyhow::Result<()> {
    let ipfs = node(folder).await?;
    ipfs.connect(address.parse::<Multiaddr>()?).await.context("the peer was not reached")?;
    let path: IpfsPath = cid.parse()?;
    let (mut digest, mut bytes, mut first, mut stall) = (Sha256::new(), 0_u64, None, 0.0_f64);
    let start = Instant::now();
    let mut last = start;
    let mut pieces = ipfs.cat_unixfs(path).timeout(PATIENCE);
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        if first.is_none() {
            first = Some(start.elapsed().as_secs_f64());
        } else {
            stall = stall.max(last.elapsed().as_secs_f64());
        }
        digest.update(&piece);
        bytes += piece.len() as u64;
        last = Instant::now();
    }
    let seconds = start.elapsed().as_secs_f64();
    let sha256: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    println!(
        "{}",
        json!({ "bytes": bytes, "sha256": sha256, "seconds": seconds, "first_byte_s": first, "longest_stall_s": stall })
    );
    ipfs.exit_daemon().await;
    Ok(())
}
