//! Random batches, applied one by one or all at once: the store answers what the model says.

use proptest::collection::vec;
use proptest::prelude::*;
use rustdht_core::ports::{Batch, CheckCursor, Endorsement, GraphStore, Put, SideRow};
use rustdht_core::{Entry, EntryId};
use rustdht_store::Store;

use crate::model::Model;
use crate::sample::{self, commit, commit_id, endorsement, entry, entry_id, field, loser, record, sorted, soul};

const COMMITS: u64 = 7;
const OPERATIONS: u16 = 4;
const PER_FIELD: u32 = 3;

fn side_rows() -> impl Strategy<Value = SideRow> {
    (0..2_usize, 0..3_u8, any::<Option<u8>>(), prop::bool::weighted(0.2)).prop_map(|(ns, key, value, insert_only)| {
        let value = value.map(|value| vec![value]);
        SideRow { ns: ["a", "b"][ns], key: vec![0xff, key], value, insert_only }
    })
}

/// With `shared`, nothing whose outcome depends on which batches share a transaction: the bound of history is applied
/// once per transaction, and a commit is gone only after it.
fn batches(shared: bool) -> impl Strategy<Value = Batch> {
    let id = || (0..COMMITS, 0..OPERATIONS);
    let brought = prop::bool::weighted(if shared { 1.0 } else { 0.9 });
    let forget = vec(id(), 0..if shared { 1 } else { 3 });
    (
        vec((id(), any::<bool>(), any::<u8>(), brought), 0..6),
        vec(id(), 0..5),
        vec(id(), 0..4),
        forget,
        vec(side_rows(), 0..3),
        any::<bool>(),
        vec(0..COMMITS, 0..2),
        vec((0..COMMITS, 0..3_u8, any::<u8>()), 0..4),
    )
        .prop_map(|(puts, drops, losers, forget, side, tells, brought_alone, endorsed)| Batch {
            endorsements: endorsed
                .into_iter()
                .map(|(commit, by, signature)| endorsement(commit, by, signature))
                .collect(),
            commits: {
                let with_puts =
                    puts.iter().filter(|put| put.3).map(|((number, _), _, proofs, _)| commit(*number, *proofs));
                with_puts.chain(brought_alone.into_iter().map(|number| commit(number, 77))).collect()
            },
            puts: puts
                .iter()
                .map(|((number, index), live, ..)| Put {
                    entry: entry(*number, *index, *live).into(),
                    record: record(*number, *index),
                })
                .collect(),
            drops: drops.into_iter().map(|(number, index)| (entry_id(number, index), record(number, index))).collect(),
            losers: losers.into_iter().map(|(number, index)| loser(number, index, 5)).collect(),
            forget: forget.into_iter().map(|(number, index)| entry_id(number, index)).collect(),
            side,
            changes: if tells { vec![sample::change(3), sample::change(4)] } else { vec![] },
            now_ms: 9,
            seen_feed: 0,
        })
}

async fn assert_same(store: &Store, model: &Model) {
    let all: Vec<Entry> = model.entries.values().cloned().collect();
    let souls: Vec<_> = (0..6).map(soul).collect();
    assert_eq!(sorted(store.load(&souls).await.unwrap()), all);
    let ids = || (0..COMMITS).flat_map(|number| (0..OPERATIONS).map(move |index| (number, index)));
    let records: Vec<_> = ids().map(|(number, index)| record(number, index)).collect();
    assert_eq!(sorted(store.by_record(&records).await.unwrap()), all);

    let mut commits = store.commits(&(0..=COMMITS).map(commit_id).collect::<Vec<_>>()).await.unwrap();
    commits.sort_by_key(|commit| commit.id);
    let mut wanted: Vec<_> = model.commits.values().cloned().collect();
    wanted.sort_by_key(|commit| commit.id);
    assert_eq!(commits, wanted);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.entries, stats.commits), (all.len() as u64, wanted.len() as u64));

    let mut names: Vec<_> = all.iter().map(|entry| entry.soul.clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!(store.souls("", None, 100).await.unwrap(), names);

    let (mut after, mut indexed) = (0, Vec::new());
    loop {
        let (page, last) = store.index(after, 5).await.unwrap();
        if page.is_empty() {
            break;
        }
        after = last;
        indexed.extend(page);
    }
    indexed.sort_by_key(|row| row.id);
    let wanted: Vec<_> =
        all.iter().map(|entry| (entry.id, rustdht_core::partition_of(&entry.soul), entry.index_seconds())).collect();
    assert_eq!(indexed.iter().map(|row| (row.id, row.partition, row.seconds)).collect::<Vec<_>>(), wanted);
    assert_same_endorsements(store, model).await;
    assert_no_faults(store).await;

    for soul in &souls {
        for field in [field(0), field(1)] {
            let here =
                model.history.iter().rev().filter(|loser| loser.entry.soul == *soul && loser.entry.field == field);
            let wanted: Vec<_> = here.map(|loser| (loser.entry.clone(), loser.lost_ms)).collect();
            let found = store.history(soul, &field, None, 100).await.unwrap();
            assert_eq!(found.losers.into_iter().map(|loser| (loser.entry, loser.lost_ms)).collect::<Vec<_>>(), wanted);
        }
    }
    let ids: Vec<EntryId> = ids().map(|(number, index)| entry_id(number, index)).collect();
    let mut found = store.in_history(&ids).await.unwrap();
    found.sort();
    let mut wanted: Vec<_> = model.history.iter().map(|loser| loser.entry.id).collect();
    wanted.sort();
    wanted.dedup();
    assert_eq!(found, wanted);

    assert_eq!(store.feed(0, 1000).await.unwrap().rows, model.feed);
    for ns in ["a", "b"] {
        let wanted: Vec<_> = model
            .side
            .iter()
            .filter(|((own, _), _)| *own == ns)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        assert_eq!(store.side_scan(ns, &[0xff], 100).await.unwrap(), wanted);
        for (key, value) in wanted {
            assert_eq!(store.side_get(ns, &key).await.unwrap(), Some(value));
        }
    }
}

/// Counts of commits and both generations of look-up rows among what is looked at.
async fn assert_no_faults(store: &Store) {
    let mut cursor = Some(CheckCursor::default());
    while let Some(after) = cursor {
        let page = store.check(after, 7).await.unwrap();
        assert_eq!(page.faults, []);
        cursor = page.next;
    }
}

async fn assert_same_endorsements(store: &Store, model: &Model) {
    let commits: Vec<_> = (0..=COMMITS).map(commit_id).collect();
    let sorted = |mut found: Vec<Endorsement>| {
        found.sort_by_key(|endorsement| (endorsement.commit, endorsement.certificate));
        found
    };
    let wanted: Vec<Endorsement> = model.endorsements.values().cloned().collect();
    assert_eq!(sorted(store.endorsements(&commits).await.unwrap()), wanted);
    let all = (0..COMMITS).flat_map(|number| (0..3).map(move |by| endorsement(number, by, 0).record));
    assert_eq!(sorted(store.endorsements_by_record(&all.collect::<Vec<_>>()).await.unwrap()), wanted);

    for limit in [1, 3, 100] {
        let (mut after, mut endorsed) = (0, Vec::new());
        loop {
            let (page, last) = store.endorsed(after, limit).await.unwrap();
            if page.is_empty() {
                break;
            }
            after = last;
            endorsed.extend(page);
        }
        endorsed.sort();
        assert_eq!(endorsed, model.endorsed().into_iter().collect::<Vec<_>>(), "pages of {limit}");
    }
    for commit in commits {
        let own: Vec<Entry> = model.entries.values().filter(|entry| entry.commit == commit).cloned().collect();
        assert_eq!(sample::sorted(store.entries_of(commit, 100).await.unwrap()), own);
        assert_eq!(store.entries_of(commit, 2).await.unwrap().len(), own.len().min(2));
    }
}

async fn run(batches: Vec<Batch>, shared: bool, merge_records: u64) {
    let (_folder, store) = sample::open_with(|config| {
        config.history_per_field = PER_FIELD;
        config.merge_records = merge_records;
    })
    .await;
    let mut model = Model::new(PER_FIELD as usize);
    for together in batches.chunks(if shared { 6 } else { 1 }) {
        let answers = futures::future::join_all(together.iter().map(|batch| store.apply(batch.clone()))).await;
        for (batch, answer) in together.iter().zip(answers) {
            assert_eq!(answer.ok(), model.apply(batch), "{batch:?}");
        }
        assert_same(&store, &model).await;
    }
    store.close().await;
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn one_by_one(batches in vec(batches(false), 1..16), merge_records in 1..20_u64) {
        block_on(run(batches, false, merge_records));
    }

    #[test]
    fn sharing_transactions(batches in vec(batches(true), 1..24), merge_records in 1..20_u64) {
        block_on(run(batches, true, merge_records));
    }
}
