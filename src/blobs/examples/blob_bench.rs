//! How fast a file is added durably and read back, beside the speed of plain SHA-256 on one core in the same run.
//!
//! `cargo run --release -p rustdht-blobs --example blob_bench -- <GiB> [folder]`

use std::{
    io::{Error, Write},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use rustdht_blobs::{Config, Store};
use rustdht_core::ports::{AddOptions, BlobStore};
use sha2::Digest;
use tokio::time::Instant;

const MIB: f64 = 1048576.0;
/// Pieces as an HTTP server hands them on.
const PIECE_BYTES: usize = 64 << 10;
/// Roots that Kubo's tests expect (test/cli/add_test.go) of its deterministic bytes, by mebibytes.
const KUBO: [(usize, &str); 2] = [
    (1024, "bafybeiej5w63ir64oxgkr5htqmlerh5k2rqflurn2howimexrlkae64xru"),
    (1025, "bafybeieilp2qx24pe76hxrxe6bpef5meuxto3kj5dd6mhb5kplfeglskdm"),
];

/// A line of /proc/self/status in MiB.
fn memory(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

fn rate(bytes: usize, took: Duration) -> f64 {
    bytes as f64 / MIB / took.as_secs_f64()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout();
    let mut arguments = std::env::args().skip(1);
    let gib: f64 = arguments.next().map_or(Ok(2.0), |text| text.parse())?;
    let base = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = base.join(format!("blob_bench-{}", std::process::id()));
    let size = (gib * 1024.0 * MIB) as usize;

    let mut block = vec![0; 1 << 20];
    StdRng::seed_from_u64(7).fill_bytes(&mut block);
    let began = Instant::now();
    let mut hasher = sha2::Sha256::new();
    (0..1024).for_each(|_| hasher.update(&block));
    let digest = hasher.finalize();
    let sha = rate(1 << 30, began.elapsed());
    writeln!(out, "sha-256, one core      {sha:7.0} MiB/s   ({:02x}...)", digest[0])?;

    std::fs::create_dir_all(&dir)?;
    let mut plain = std::fs::File::create(dir.join("plain"))?;
    let began = Instant::now();
    for _ in 0..size >> 20 {
        plain.write_all(&block)?;
    }
    plain.sync_data()?;
    writeln!(out, "plain file, one fsync  {:7.0} MiB/s", rate(size, began.elapsed()))?;
    std::fs::remove_file(dir.join("plain"))?;

    let store = Store::open(Config::new(&dir))?;
    // Different mebibytes, cheap to make: the counter is part of every one.
    let mut piece = bytes::BytesMut::from(&block[..PIECE_BYTES]);
    let mut made = 0_usize;
    let body = stream::iter(std::iter::from_fn(move || {
        let len = PIECE_BYTES.min(size - made);
        piece[..8].copy_from_slice(&made.to_le_bytes());
        made += len;
        (len > 0).then(|| Ok(Bytes::copy_from_slice(&piece[..len])))
    }))
    .boxed();
    let idle = memory("VmRSS");
    let began = Instant::now();
    let added = store.add(body, AddOptions::default()).await?;
    let took = began.elapsed();
    let speed = rate(size, took);
    writeln!(out, "add, durable           {speed:7.0} MiB/s   {:.0} % of sha-256, {took:.2?}", 100.0 * speed / sha)?;
    writeln!(out, "memory above idle      {:7.1} MiB     peak of the add", memory("VmHWM") - idle)?;

    for name in ["read", "read again"] {
        let began = Instant::now();
        let mut stream = store.read(&added.cid, 0..added.size).await?;
        let mut came = 0;
        while let Some(piece) = stream.try_next().await? {
            came += piece.len();
        }
        if came != size {
            return Err(Error::other("another number of bytes came back").into());
        }
        writeln!(out, "{name:<22} {:7.0} MiB/s", rate(came, began.elapsed()))?;
    }
    writeln!(out, "memory above idle      {:7.1} MiB     peak with the reads", memory("VmHWM") - idle)?;

    let mut random = StdRng::seed_from_u64(8);
    let mut times = Vec::new();
    for _ in 0..2000 {
        let from = random.random_range(0..added.size - PIECE_BYTES as u64);
        let began = Instant::now();
        let part: Vec<Bytes> = store.read(&added.cid, from..from + PIECE_BYTES as u64).await?.try_collect().await?;
        times.push(began.elapsed());
        drop(part);
    }
    times.sort_unstable();
    let (median, high) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    writeln!(out, "ranges of 64 KiB       p50 {median:.2?}, p99 {high:.2?}")?;

    if let Some((mebibytes, root)) = KUBO.iter().find(|(mebibytes, _)| mebibytes << 20 == size) {
        let mut bytes = rand_chacha::ChaCha20Rng::from_seed(sha2::Sha256::digest("v1-seed-1024").into());
        let body = stream::iter((0..*mebibytes).map(move |_| {
            let mut piece = vec![0; 1 << 20];
            bytes.fill_bytes(&mut piece);
            Ok(piece.into())
        }));
        let cid = store.add(body.boxed(), AddOptions::default()).await?.cid;
        let equal = if cid.to_string() == *root { "equal" } else { "NOT EQUAL" };
        writeln!(out, "root of Kubo's bytes   {cid}: {equal}")?;
    }
    let began = Instant::now();
    store.close().await;
    drop(store);
    writeln!(out, "close                  {:.2?}", began.elapsed())?;
    let began = Instant::now();
    let store = Store::open(Config::new(&dir))?;
    writeln!(out, "open                   {:.2?} for {:?} blocks, bytes", began.elapsed(), store.totals().await)?;
    drop(store);
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
