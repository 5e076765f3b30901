//! Entries and commits out of a small numbered universe, so that tests name them by number.

use std::sync::Arc;

use rustdht_core::ports::{Applied, Batch, Change, Endorsement, Loser, Put, StoredCommit};
use rustdht_core::{
    Body, CertificateId, CommitId, EndorsementId, Entry, EntryId, Field, PublicKey, RecordId, Salt, Slot, Soul, Stamp,
    Value, Writer,
};
use rustdht_store::{Config, Store};
use tempfile::TempDir;

pub(crate) fn soul(number: u64) -> Soul {
    // A content soul and an owned one among them, whose text is checked most closely.
    match number {
        0 => Soul::of_key(PublicKey([7; 32])),
        1 => "#bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap(),
        _ => format!("soul/{number}").parse().unwrap(),
    }
}

pub(crate) fn field(number: u64) -> Field {
    format!("field{number}").parse().unwrap()
}

pub(crate) fn header(commit: u64) -> Vec<u8> {
    format!("header {commit}").into_bytes()
}

pub(crate) fn commit_id(commit: u64) -> CommitId {
    CommitId::of(&header(commit))
}

/// Commit number `commit`; `proofs` tells arrivals of it apart.
pub(crate) fn commit(commit: u64, proofs: u8) -> Arc<StoredCommit> {
    Arc::new(StoredCommit {
        id: commit_id(commit),
        header: header(commit).into(),
        signature: vec![1; 64].into(),
        leaves: vec![2; 96].into(),
        proofs: vec![proofs].into(),
    })
}

pub(crate) fn entry_id(commit: u64, index: u16) -> EntryId {
    EntryId::of(&commit_id(commit), index)
}

pub(crate) fn record(commit: u64, index: u16) -> RecordId {
    entry_id(commit, index).record_id(&[5; 32])
}

/// Operation `index` of commit `commit`, on soul `commit % 5` (the last one on soul 5) and field `index % 2`, with or
/// without its value.
pub(crate) fn entry(commit: u64, index: u16, live: bool) -> Entry {
    let author = PublicKey([commit as u8 + 1; 32]);
    let leaf = commit.is_multiple_of(3).then_some(CertificateId([commit as u8; 32]));
    let body = Body::Live { value: Value::from(i64::from(index)), salt: Some(Salt([commit as u8; 16])) };
    Entry {
        id: entry_id(commit, index),
        commit: commit_id(commit),
        index,
        soul: soul(if index == 3 { 5 } else { commit % 5 }),
        field: field(u64::from(index % 2)),
        kind: if index == 0 { "register" } else { "set" }.parse().unwrap(),
        slot: if index == 0 { Slot::Explicit([1, 2].into()) } else { Slot::Own },
        // Above 2^63: the bits must come back, not the number.
        stamp: Stamp(u64::MAX - commit),
        author,
        leaf,
        writer: Writer::new(&author, leaf.as_ref()),
        body: if live { body } else { body.dropped() },
        kills: if index == 2 { vec![EntryId([3; 32]), EntryId([4; 32])] } else { vec![] },
        over: if index == 3 { vec![EntryId([6; 32])] } else { vec![] },
        base: (index == 1).then_some(Stamp(7)),
    }
}

pub(crate) fn put(commit: u64, index: u16) -> Put {
    Put { entry: Arc::new(entry(commit, index, true)), record: record(commit, index) }
}

/// The endorsement of commit `commit` by gateway `gateway`; `signature` tells arrivals of it apart.
pub(crate) fn endorsement(commit: u64, gateway: u8, signature: u8) -> Endorsement {
    let (commit, certificate) = (commit_id(commit), CertificateId([gateway; 32]));
    let record = EndorsementId::of(&commit, &certificate).record_id(&[5; 32]);
    Endorsement { commit, certificate, signature: [signature; 64], record }
}

/// What is answered when no endorsement was concerned.
pub(crate) fn done(feed: u64) -> Applied {
    Applied::Done { feed, endorsed: vec![], ended: vec![] }
}

pub(crate) fn loser(commit: u64, index: u16, lost_ms: u64) -> Loser {
    Loser { entry: Arc::new(entry(commit, index, true)), lost_ms }
}

pub(crate) fn change(number: u64) -> Change {
    Change { soul: soul(number % 5), fields: vec![field(0), field(1)] }
}

/// A batch that brings commit `number` with its first `operations` operations and tells the feed.
pub(crate) fn batch(number: u64, operations: u16) -> Batch {
    Batch {
        puts: (0..operations).map(|index| put(number, index)).collect(),
        commits: vec![commit(number, 0)],
        changes: vec![change(number)],
        now_ms: 1000 + number,
        ..Batch::default()
    }
}

/// A store in a folder of its own.
pub(crate) async fn open() -> (TempDir, Store) {
    open_with(|_| ()).await
}

pub(crate) async fn open_with(change: impl FnOnce(&mut Config)) -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path().join("graph.sqlite"));
    change(&mut config);
    (folder, Store::open(config).await.unwrap())
}

pub(crate) fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by_key(|entry| entry.id);
    entries
}
