//! The workloads of tests/bench/crdt/peers.mjs on the graph in memory, with commits of 64 operations that are signed on one
//! replica, and checked, verified in batches and joined on the other.
//!
//! `cargo run --release -p rustdht-wire --example merge_bench -- registers|set COUNT`
//!
//! Prints one line of JSON as peers.mjs does. `joined_per_s` is the join alone, without signatures, as the peers have none.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool that prints and may stop at any error")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::{collections::HashMap, sync::Arc, time::Instant};

use rustdht_core::{Body, Entry, Kind, Mode, NetId, Salt, Session, Slot, Soul, Stamp, Value};
use rustdht_graph::{NodeState, Shown};
use rustdht_wire::{
    Built, Certificates, Operation, Place, Rules, Signing, SigningKey, check, sign_commit, slot_of, verify_batch,
};

const NET: NetId = NetId([1; 32]);
const NOW_MS: u64 = 1_800_000_000_000;
/// Fields of a node, as in peers.mjs.
const FIELDS: usize = 100;
const OPERATIONS: usize = 64;
/// Envelopes whose signatures are verified together.
const TOGETHER: usize = 128;

type Nodes = HashMap<Soul, NodeState>;

/// What one replica writes: operation `number` of `count`.
fn operation(workload: &str, number: usize, name: u8) -> (Soul, String, &'static str, Value) {
    if workload == "registers" {
        let soul = format!("node{}", number / FIELDS).parse().unwrap();
        let value = format!("value {name} {number}");
        (soul, format!("field{}", number % FIELDS), Kind::REGISTER, Value::from(value.as_str()))
    } else {
        ("set".parse().unwrap(), "set".into(), Kind::SET, Value::from(format!("element {number}").as_str()))
    }
}

fn replica(workload: &str, numbers: std::ops::Range<usize>, name: u8) -> Vec<Built> {
    let key = SigningKey::from_seed(&[name; 32]);
    let (author, session) = (key.public(), Session([name; 8]));
    let signing = Signing::new(&key, NET, session);
    let mut prev = None;
    let numbers: Vec<usize> = numbers.collect();
    let mut commits = Vec::new();
    for (seq, part) in numbers.chunks(OPERATIONS).enumerate() {
        let stamp = Stamp::from_ms(NOW_MS - 1_000_000 + 2 * seq as u64 + u64::from(name));
        let operation = |number: &usize| {
            let (soul, field, kind, value) = operation(workload, *number, name);
            let kind = Kind::listed(kind);
            let field = field.parse().unwrap();
            let writer = signing.standing(&soul, &field, stamp).unwrap().writer;
            let slot = slot_of(&kind, &soul, &author, &session, &writer).unwrap_or(Slot::Own);
            let mut salt = [name; 16];
            salt[..8].copy_from_slice(&number.to_be_bytes());
            let body = Body::Live { value, salt: Some(Salt(salt)) };
            Operation { soul, field, kind, slot, body, kills: Vec::new(), over: Vec::new(), base: None }
        };
        let built = sign_commit(&signing, seq as u64, prev, stamp, part.iter().map(operation).collect()).unwrap();
        prev = Some(built.commit.id);
        commits.push(built);
    }
    commits
}

fn join(nodes: &mut Nodes, entry: Arc<Entry>) {
    let node = nodes.entry(entry.soul.clone()).or_insert_with(|| NodeState::new(entry.soul.clone()));
    node.join(entry);
}

fn join_all(nodes: &mut Nodes, commits: &[Built]) -> f64 {
    let entries: Vec<Arc<Entry>> =
        commits.iter().flat_map(|built| built.entries.iter().cloned().map(Arc::new)).collect();
    let begun = Instant::now();
    entries.into_iter().for_each(|entry| join(nodes, entry));
    begun.elapsed().as_secs_f64()
}

/// Takes envelopes as a member does: decode, check, verify in batches, join.
fn ingest(nodes: &mut Nodes, commits: &[Built]) -> f64 {
    let certificates = Certificates::new();
    let community = SigningKey::from_seed(&[9; 32]).public();
    let rules = Rules { net: NET, now_ms: NOW_MS, mode: Mode::Open, community, certificates: &certificates };
    let begun = Instant::now();
    for lot in commits.chunks(TOGETHER) {
        let checked = lot.iter().map(|built| check(&built.envelope, Place::Replica, &rules).unwrap()).collect();
        for verified in verify_batch(checked) {
            for (_, entry) in verified.unwrap().entries {
                join(nodes, Arc::new(entry.unwrap()));
            }
        }
    }
    begun.elapsed().as_secs_f64()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let workload = arguments.next().unwrap_or_else(|| "registers".into());
    let count: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let wire = |commits: &[Built]| commits.iter().map(|built| built.envelope.len()).sum::<usize>();
    let split = if workload == "registers" { count } else { count / 2 };
    let begun = Instant::now();
    let a = replica(&workload, 0..split, 1);
    let written = begun.elapsed().as_secs_f64();
    let b = if workload == "registers" { replica(&workload, 0..count, 2) } else { replica(&workload, split..count, 2) };
    let (mut plain, mut nodes) = (Nodes::new(), Nodes::new());
    let built = join_all(&mut plain, &a) + written;
    let joined = join_all(&mut plain, &b);
    join_all(&mut nodes, &a);
    let merged = ingest(&mut nodes, &b);
    let begun = Instant::now();
    let shown: usize = nodes
        .values()
        .flat_map(NodeState::views)
        .map(|(_, view)| if let Shown::Set(elements) = view.shown { elements.len() } else { 1 })
        .sum();
    let show = begun.elapsed().as_secs_f64();
    assert_eq!(shown, count, "everything that was written is shown");
    let travelled = if workload == "registers" { wire(&b) } else { wire(&a) + wire(&b) };
    let merged_count = if workload == "registers" { count } else { count - split };
    println!(
        "{}",
        serde_json::json!({
            "peer": "rustdht", "workload": workload, "count": count, "build_s": built,
            "written_per_s": (split as f64 / written).round(),
            "merge_s": merged, "merged_per_s": (merged_count as f64 / merged).round(),
            "joined_per_s": (merged_count as f64 / joined).round(), "show_s": show, "wire_bytes": travelled,
        })
    );
}
