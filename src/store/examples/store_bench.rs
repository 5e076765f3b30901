//! Measures the store: bulk puts, single puts of many callers, loads.
//!
//! `cargo run --release -p rustdht-store --example store_bench [-- FOLDER [ROWS [endorsed]]]`; `endorsed`: each commit
//! comes with an endorsement.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool that prints and may stop at any error")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustdht_core::ports::{Applied, Batch, Change, Endorsement, GraphStore, Loser, Put, StoredCommit};
use rustdht_core::{
    Body, CertificateId, CommitId, EndorsementId, Entry, EntryId, PublicKey, Salt, Slot, Soul, Stamp, Value, Writer,
};
use rustdht_store::{Config, Store};
use tokio::task::JoinSet;
use tokio::time::Instant;

const NETWORK_KEY: [u8; 32] = [9; 32];
const OPERATIONS: usize = 1024;
const FIELDS: u64 = 4;

/// A commit of `len` registers on consecutive fields, four to a soul.
fn commit(first: u64, len: usize, salt: u8) -> (Arc<StoredCommit>, Vec<Put>) {
    let mut header = vec![salt; 200];
    header[..8].copy_from_slice(&first.to_be_bytes());
    let id = CommitId::of(&header);
    let author = PublicKey([salt; 32]);
    let puts = (0..len).map(|index| {
        let number = first + index as u64;
        let index = u16::try_from(index).unwrap();
        let id = EntryId::of(&id, index);
        let entry = Entry {
            id,
            commit: CommitId::of(&header),
            index,
            soul: format!("wordnet/synset/{:08}", number / FIELDS).parse().unwrap(),
            field: format!("field{}", number % FIELDS).parse().unwrap(),
            kind: "register".parse().unwrap(),
            slot: Slot::Explicit([].into()),
            stamp: Stamp(number << 12),
            author,
            leaf: None,
            writer: Writer::new(&author, None),
            body: Body::Live {
                value: Value::from("a short text of about 40 bytes, a gloss"),
                salt: Some(Salt([3; 16])),
            },
            kills: vec![],
            over: vec![],
            base: None,
        };
        Put { record: id.record_id(&NETWORK_KEY), entry: Arc::new(entry) }
    });
    let puts = puts.collect();
    let leaves = vec![7; 32 * len].into();
    (
        Arc::new(StoredCommit {
            id,
            header: header.into(),
            signature: vec![1; 64].into(),
            leaves,
            proofs: vec![].into(),
        }),
        puts,
    )
}

fn changes(puts: &[Put]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for put in puts {
        match changes.last_mut() {
            Some(last) if last.soul == put.entry.soul => last.fields.push(put.entry.field.clone()),
            _ => changes.push(Change { soul: put.entry.soul.clone(), fields: vec![put.entry.field.clone()] }),
        }
    }
    changes
}

/// Whether each commit comes with an endorsement; set once at the start.
static ENDORSED: AtomicBool = AtomicBool::new(false);

fn endorsement(commit: CommitId) -> Endorsement {
    let certificate = CertificateId([4; 32]);
    let record = EndorsementId::of(&commit, &certificate).record_id(&NETWORK_KEY);
    Endorsement { commit, certificate, signature: [1; 64], record }
}

fn batch(first: u64, len: usize, salt: u8) -> Batch {
    let (commit, puts) = commit(first, len, salt);
    let endorsements = if ENDORSED.load(Ordering::Relaxed) { vec![endorsement(commit.id)] } else { vec![] };
    Batch { changes: changes(&puts), puts, commits: vec![commit], endorsements, ..Batch::default() }
}

/// When a measurement began, and how much processor time the process had used.
#[derive(Clone, Copy)]
struct Stopwatch(Instant, f64);

/// Processor seconds of this process, user and system, in steps of 10 ms (proc(5)).
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn start() -> Stopwatch {
    Stopwatch(Instant::now(), processor_seconds())
}

/// Prints a rate, and the processor time of each: on a machine that others use too, only that can be compared.
fn rate(what: &str, count: u64, start: Stopwatch) {
    let Stopwatch(started, before) = start;
    let (wall, cpu) = (started.elapsed().as_secs_f64(), processor_seconds() - before);
    let (per_second, each) = (count as f64 / wall, cpu / count as f64 * 1e6);
    println!("{what:<48} {per_second:>9.0}/s  {each:>7.1} us of processor each  ({count} in {wall:.2} s)");
}

/// Applies batches made beforehand, so that hashing is not measured.
async fn bulk(store: &Arc<Store>, what: &str, first: u64, rows: u64, callers: u64, salt: u8) {
    let batches = rows / OPERATIONS as u64;
    let mut lots: Vec<Vec<Batch>> = (0..callers).map(|_| Vec::new()).collect();
    for number in 0..batches {
        lots[(number % callers) as usize].push(batch(first + number * OPERATIONS as u64, OPERATIONS, salt));
    }
    let started = start();
    let mut tasks = JoinSet::new();
    for lot in lots {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            for batch in lot {
                assert!(matches!(store.apply(batch).await.unwrap(), Applied::Done { .. }));
            }
        });
    }
    tasks.join_all().await;
    rate(what, batches * OPERATIONS as u64, started);
}

/// Callers that write one register each, over and over: with `overwrite`, each drops its last entry into history.
async fn singles(store: &Arc<Store>, callers: u64, each: u64, overwrite: bool, base: u64) {
    let done = Arc::new(AtomicU64::new(0));
    let started = start();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (store, done) = (Arc::clone(store), Arc::clone(&done));
        tasks.spawn(async move {
            let mut last: Option<Put> = None;
            for number in 0..each {
                let place = base + if overwrite { caller * FIELDS } else { caller * each + number };
                let mut next = batch(place, 1, (number % 251) as u8);
                next.now_ms = number;
                if overwrite {
                    let put = next.puts[0].clone();
                    if let Some(last) = last.replace(put) {
                        next.drops = vec![(last.entry.id, last.record)];
                        next.losers = vec![Loser { entry: last.entry, lost_ms: number }];
                    }
                }
                assert!(matches!(store.apply(next).await.unwrap(), Applied::Done { .. }));
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tasks.join_all().await;
    let what = if overwrite { "single overwrites (drop, loser)" } else { "single puts" };
    rate(&format!("{what}, {callers} callers"), done.load(Ordering::Relaxed), started);
}

async fn loads(store: &Store, souls: u64) {
    let names: Vec<Soul> =
        (0..1000).map(|n| format!("wordnet/synset/{:08}", (n * 7919) % souls).parse().unwrap()).collect();
    let started = start();
    let found = store.load(&names).await.unwrap().len();
    rate("entries of 1,000 souls in one load", found as u64, started);
    let started = start();
    for soul in names.iter().cycle().take(5000) {
        store.load(std::slice::from_ref(soul)).await.unwrap();
    }
    rate("loads of one soul, one caller", 5000, started);
    let (mut after, mut rows) = (0, 0);
    let started = start();
    loop {
        let (page, last) = store.index(after, 8192).await.unwrap();
        if page.is_empty() {
            break;
        }
        rows += page.len() as u64;
        after = last;
    }
    rate("rows of the index", rows, started);
}

/// What a collection of blocks reads of the graph; none of the entries names a blob.
async fn references(store: &Store, rows: u64) {
    let (mut after, mut found) = (0, 0);
    let started = start();
    loop {
        let page = store.blob_references(after, 16_384).await.unwrap();
        found += page.references.len();
        let Some(next) = page.next else { break };
        after = next;
    }
    rate("entries looked through for blobs", rows, started);
    assert_eq!(found, 0);
}

async fn one_large_soul(store: &Store) {
    for commit_number in 0..98_u64 {
        let (commit, mut puts) = commit(commit_number * OPERATIONS as u64, OPERATIONS, 252);
        for put in &mut puts {
            let entry = Arc::make_mut(&mut put.entry);
            entry.soul = "large".parse().unwrap();
            entry.slot = Slot::Own;
        }
        store.apply(Batch { puts, commits: vec![commit], ..Batch::default() }).await.unwrap();
    }
    let started = start();
    let found = store.load(&["large".parse().unwrap()]).await.unwrap().len();
    rate("entries of one soul in one load", found as u64, started);
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| std::env::temp_dir().display().to_string());
    let rows: u64 = arguments.next().map_or(500 * 1024, |text| text.parse().unwrap());
    ENDORSED.store(arguments.next().is_some(), Ordering::Relaxed);
    let folder = tempfile::tempdir_in(folder).unwrap();
    let store = Arc::new(Store::open(Config::new(folder.path().join("bench.sqlite"))).await.unwrap());

    bulk(&store, "puts, batches of 1,024, 1 caller", 0, rows, 1, 1).await;
    bulk(&store, "puts, batches of 1,024, 4 callers", rows, rows, 4, 1).await;
    bulk(&store, "puts, batches of 1,024, 8 callers", 2 * rows, rows, 8, 1).await;
    singles(&store, 64, 1000, false, 4 * rows).await;
    singles(&store, 64, 1000, true, 5 * rows).await;
    singles(&store, 1, 2000, false, 6 * rows).await;
    loads(&store, 3 * rows / FIELDS).await;
    references(&store, store.stats().await.unwrap().entries).await;
    one_large_soul(&store).await;
    let stats = store.stats().await.unwrap();
    println!("{stats:?}, {} bytes per entry", stats.bytes / stats.entries.max(1));
    store.close().await;
}
