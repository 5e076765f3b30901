//! Uploads and collections while the process is killed: what was acknowledged and is kept is whole, and nothing else is
//! left after the next collection.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use cid::Cid;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::gateway::{Gateway, run, signal};

/// Kills.
const ROUNDS: u64 = 20;
const UPLOADERS: u64 = 4;

/// The same bytes for the same seed, up to one and a half megabytes: two chunks and what is above them.
fn file(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % 2_500_000];
    blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// What was acknowledged and not let go of, by seed.
type Kept = Arc<Mutex<BTreeMap<u64, String>>>;

/// Uploads until the gateway ends, and lets go of two thirds of it.
async fn upload(client: Client, api: String, first: u64, kept: Kept) {
    for seed in (first..).step_by(UPLOADERS as usize) {
        let sent = client.post(format!("{api}/api/v1/blobs")).body(file(seed)).send().await;
        let Ok(answer) = sent else { return };
        if answer.status() != StatusCode::CREATED {
            return;
        }
        let Ok(added) = answer.json::<Value>().await else { return };
        let cid = added["cid"].as_str().unwrap().to_owned();
        kept.lock().unwrap().insert(seed, cid.clone());
        if seed % 3 != 0 {
            // From here on nobody is owed it.
            kept.lock().unwrap().remove(&seed);
            let Ok(pins) = client.get(format!("{api}/api/v1/pins?cid={cid}")).send().await else { return };
            let Ok(pins) = pins.json::<Value>().await else { return };
            for pin in pins["results"].as_array().unwrap() {
                let id = pin["requestid"].as_str().unwrap();
                if client.delete(format!("{api}/api/v1/pins/{id}")).send().await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Collects without a pause until the gateway ends; how often it came to an end.
async fn collect(client: Client, api: String) -> u64 {
    let mut ended = 0;
    while let Ok(answer) = client.post(format!("{api}/api/v1/admin/blobs/gc")).send().await {
        let status = answer.status();
        let Ok(text) = answer.text().await else { break };
        assert!(status == StatusCode::OK || status == StatusCode::SERVICE_UNAVAILABLE, "{status}: {text}");
        ended += u64::from(status == StatusCode::OK);
    }
    ended
}

async fn is_whole(gateway: &Gateway, seed: u64, cid: &str) {
    let answer = gateway.client.get(gateway.url(&format!("/ipfs/{cid}"))).send().await.unwrap();
    let status = answer.status();
    let bytes = answer.bytes().await.unwrap();
    assert!(status == StatusCode::OK && bytes == file(seed), "file {seed}, {cid}: {status}, {} bytes", bytes.len());
}

/// The multihashes of the blocks below everything that is pinned.
async fn pinned_blocks(gateway: &Gateway) -> HashSet<Vec<u8>> {
    let pins = gateway.request(Method::GET, "/api/v1/pins?limit=1000", None).await.json::<Value>().await.unwrap();
    assert_eq!(pins["count"].as_u64().unwrap(), pins["results"].as_array().unwrap().len() as u64);
    let mut blocks = HashSet::new();
    for pin in pins["results"].as_array().unwrap() {
        let cid = pin["pin"]["cid"].as_str().unwrap();
        let car = gateway.client.get(gateway.url(&format!("/ipfs/{cid}?format=car"))).send().await.unwrap();
        assert_eq!(car.status(), StatusCode::OK, "a pin is whole: {cid}");
        let car = car.bytes().await.unwrap();
        let mut rest = &car[..];
        let header = varint(&mut rest);
        rest = &rest[header..];
        while !rest.is_empty() {
            let len = varint(&mut rest);
            let (section, behind) = rest.split_at(len);
            blocks.insert(Cid::read_bytes(section).unwrap().hash().to_bytes());
            rest = behind;
        }
    }
    blocks
}

fn varint(bytes: &mut &[u8]) -> usize {
    let mut number = 0;
    for at in 0.. {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

#[tokio::test]
async fn kill_9_in_uploads_and_collections_loses_nothing_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::default();
    let mut collections = 0;
    for round in 0..ROUNDS {
        let gateway = Gateway::start(folder.path(), &[]);
        let mut tasks = JoinSet::new();
        for uploader in 0..UPLOADERS {
            let first = round * 1_000_000 + uploader;
            tasks.spawn(upload(gateway.client.clone(), gateway.api.clone(), first, Arc::clone(&kept)));
        }
        let collecting = collect(gateway.client.clone(), gateway.api.clone());
        let pid = gateway.child.id();
        // From at once to a second and a half, another moment in each round.
        let moment = Duration::from_millis(100 + blake3::hash(&round.to_be_bytes()).as_bytes()[0] as u64 * 6);
        let killing = async {
            tokio::time::sleep(moment).await;
            signal("KILL", pid);
        };
        let (ended, ()) = tokio::join!(collecting, killing);
        collections += ended;
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        gateway.kill();

        let gateway = Gateway::start(folder.path(), &[]);
        // What this round brought, and some of what was there before.
        let known = kept.lock().unwrap().clone();
        for (seed, cid) in known.iter().filter(|(seed, _)| *seed / 1_000_000 == round || (*seed + round) % 5 == 0) {
            is_whole(&gateway, *seed, cid).await;
        }
        if round % 5 == 4 {
            let collected = run(&["blob", "gc", "--json", "--api", &gateway.api]);
            assert!(collected.status.success(), "{}", String::from_utf8_lossy(&collected.stderr));
            let done: Value = serde_json::from_slice(&collected.stdout).unwrap();
            assert_eq!(done["missing"], 0, "of what is pinned everything is here: {done}");
            let stat = run(&["blob", "stat", "--json", "--api", &gateway.api]);
            let stat: Value = serde_json::from_slice(&stat.stdout).unwrap();
            assert_eq!(stat["blocks"].as_u64().unwrap(), pinned_blocks(&gateway).await.len() as u64, "round {round}");
            for (seed, cid) in &known {
                is_whole(&gateway, *seed, cid).await;
            }
        }
        gateway.kill();
    }
    let kept = kept.lock().unwrap().len();
    eprintln!("{kept} files kept, {collections} collections ended");
    assert!(kept >= 20 && collections >= 10, "{kept} {collections}");
}
