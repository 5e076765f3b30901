//! A process that adds is killed; whatever it acknowledged is whole afterwards.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use cid::Cid;
use rustdht_blobs::{Config, Store};
use rustdht_core::ports::BlobStore;

use crate::common::{LEGACY, body, bytes, read};

/// Names the folder to the process that will be killed.
const CHILD: &str = "RUSTDHT_BLOBS_KILLED_DIR";
/// Small, so that packs are sealed and new ones begun while it lasts.
const PACK_BYTES: u64 = 3 << 20;

fn len(seed: u64) -> usize {
    (seed as usize * 7919) % 900_000
}

/// Adds two files at a time and says so on its standard output, until it is killed.
#[test]
fn adds_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let first: u64 = std::env::var("RUSTDHT_BLOBS_KILLED_FIRST").unwrap().parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(Config { pack_bytes: PACK_BYTES, ..Config::new(dir) }).unwrap();
        let one = |seed| {
            let store = store.clone();
            async move {
                let added = store.add(body(&bytes(seed, len(seed)), 50_000), LEGACY).await.unwrap();
                writeln!(std::io::stdout(), "acknowledged {seed} {}", added.cid).unwrap();
            }
        };
        for seed in (first..).step_by(2) {
            tokio::join!(one(seed), one(seed + 1));
        }
    });
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<(u64, Cid)> = Vec::new();
    for round in 0..8_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::adds_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(CHILD, dir.path())
            .env("RUSTDHT_BLOBS_KILLED_FIRST", (round * 1000).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left = 1 + round * 3;
        let mut note = |line: &str| {
            // The test harness writes its own words in front of the first line.
            let Some((_, told)) = line.split_once("acknowledged ") else { return false };
            let (seed, cid) = told.split_once(' ').unwrap();
            acknowledged.push((seed.parse().unwrap(), cid.parse().unwrap()));
            true
        };
        while left > 0 {
            let line = lines.next().expect("the child ended by itself").unwrap();
            left -= u64::from(note(&line));
        }
        // SIGKILL, in the middle of the next adds.
        child.kill().unwrap();
        child.wait().unwrap();
        lines.map_while(Result::ok).filter(|line| line.len() > 70).for_each(|line| {
            note(&line);
        });

        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = Store::open(Config { pack_bytes: PACK_BYTES, ..Config::new(dir.path()) }).unwrap();
            for (seed, cid) in &acknowledged {
                let whole = read(&store, cid, 0..len(*seed) as u64).await.unwrap();
                assert!(whole == bytes(*seed, len(*seed)), "round {round}, file {seed}");
            }
            if round % 2 == 0 {
                store.close().await;
            }
        });
    }
    assert!(acknowledged.len() > 80, "{}", acknowledged.len());
}
