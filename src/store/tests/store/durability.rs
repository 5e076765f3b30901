//! A process that is killed while it writes: everything it was told is durable is there, and no half batch.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rustdht_core::ports::GraphStore;
use rustdht_store::{Config, Store};
use tokio::task::JoinSet;

use crate::sample::{batch, commit_id, record};

/// Set for the child only: the folder it writes into.
const CHILD: &str = "RUSTDHT_STORE_TEST_FOLDER";
const CALLERS: u64 = 8;
const OPERATIONS: u16 = 3;
const ROUNDS: usize = 3;

fn acknowledged(folder: &Path) -> BTreeSet<u64> {
    let text = std::fs::read_to_string(folder.join("acknowledged")).unwrap_or_default();
    // The kill may cut the last line short.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| line.parse().unwrap()).collect()
}

/// The child's part: numbers the batches from where the last child stopped and notes each answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(folder) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let mut config = Config::new(folder.join("graph.sqlite"));
    config.merge_records = 64;
    let store = Arc::new(Store::open(config).await.unwrap());
    let first = acknowledged(&folder).last().map_or(0, |last| last + 1000);
    let notes = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("acknowledged")).unwrap();
    let notes = Arc::new(Mutex::new(notes));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (store, notes) = (Arc::clone(&store), Arc::clone(&notes));
        callers.spawn(async move {
            for number in (first + caller..).step_by(CALLERS as usize) {
                store.apply(batch(number, OPERATIONS)).await.unwrap();
                notes.lock().unwrap().write_all(format!("{number}\n").as_bytes()).unwrap();
            }
        });
    }
    callers.join_all().await;
}

#[tokio::test]
async fn acknowledged_batches_survive_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=ROUNDS {
        let before = acknowledged(folder.path()).len();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["durability::child", "--exact"])
            .env(CHILD, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while acknowledged(folder.path()).len() < before + 40 {
            assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let store = Store::open(Config::new(folder.path().join("graph.sqlite"))).await.unwrap();
        let told = acknowledged(folder.path());
        for number in &told {
            let records: Vec<_> = (0..OPERATIONS).map(|index| record(*number, index)).collect();
            assert_eq!(store.by_record(&records).await.unwrap().len(), usize::from(OPERATIONS), "batch {number}");
            assert_eq!(store.commits(&[commit_id(*number)]).await.unwrap().len(), 1);
        }
        let stats = store.stats().await.unwrap();
        assert_eq!(stats.entries, stats.commits * u64::from(OPERATIONS), "no half batch");
        assert!(stats.commits >= told.len() as u64);
        // What was durable but not yet answered: at most one batch of each caller per round.
        assert!(stats.commits <= told.len() as u64 + CALLERS * round as u64);
        store.close().await;
    }
}
