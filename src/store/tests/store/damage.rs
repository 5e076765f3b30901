//! Damaged databases: reads go on, a check names every fault, a repair leaves a database without any.

use rustdht_core::cbor;
use rustdht_core::ports::{Batch, CheckCursor, Damage, Fault, GraphStore, LOST_AND_FOUND, Table};
use rustdht_core::{Entry, partition_of};
use rustdht_store::Store;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use tempfile::TempDir;

use crate::sample::{
    batch, commit_id, done, endorsement, entry, entry_id, field, loser, open_with, put, record, sorted, soul,
};

/// Commits 2, 3 and 4 with four operations each, endorsed; a displaced entry; and another way into the database.
async fn filled() -> (TempDir, Store, DatabaseConnection) {
    let (folder, store) = open_with(|config| config.merge_records = 8).await;
    for number in 2..5 {
        let endorsements = vec![endorsement(number, 1, 1)];
        store.apply(Batch { endorsements, losers: vec![loser(2, 0, number)], ..batch(number, 4) }).await.unwrap();
    }
    let path = folder.path().join("graph.sqlite");
    let db = Database::connect(format!("sqlite://{}", path.display())).await.unwrap();
    (folder, store, db)
}

async fn faults(store: &Store, limit: u32) -> Vec<Fault> {
    let (mut cursor, mut faults, mut rows) = (Some(CheckCursor::default()), Vec::new(), 0);
    while let Some(after) = cursor {
        let page = store.check(after, limit).await.unwrap();
        assert!(page.rows <= u64::from(limit));
        rows += page.rows;
        faults.extend(page.faults);
        cursor = page.next;
    }
    assert!(rows >= 12, "every table is gone through");
    faults
}

#[tokio::test]
async fn what_was_written_has_no_faults() {
    let (_folder, store, _db) = filled().await;
    for limit in [1, 2, 5, 1000] {
        assert_eq!(faults(&store, limit).await, [], "pages of {limit}");
    }
}

#[tokio::test]
async fn a_damaged_row_does_not_take_its_node_with_it() {
    let (_folder, store, db) = filled().await;
    let others: Vec<Entry> = sorted([0, 2].map(|index| entry(2, index, true)).into());
    for change in ["data = x'82f6'", "id = x'00'", "idx = 70000", "field = ''", "id = 5", "stamp = 'now'"] {
        db.execute_unprepared(&format!("UPDATE entries SET {change} WHERE no = 2")).await.unwrap();
        assert_eq!(sorted(store.load(&[soul(2)]).await.unwrap()), others, "{change}");
        assert_eq!(store.entries_of(commit_id(2), 100).await.unwrap().len(), 3, "{change}");
        assert_eq!(store.by_record(&[record(2, 1), record(2, 2)]).await.unwrap().len(), 1, "{change}");
    }
    // One that cannot be read at all leaves the index, and does not end it.
    assert_eq!(store.index(1, 1).await.unwrap().1, 3);
    assert_eq!(store.index(0, 100).await.unwrap().0.len(), 11);
    db.execute_unprepared("UPDATE history SET data = x'00' WHERE no = 2").await.unwrap();
    assert_eq!(store.history(&soul(2), &field(0), None, 10).await.unwrap().losers.len(), 2);
    db.execute_unprepared("UPDATE feed SET changes = x'00' WHERE number = 2").await.unwrap();
    assert_eq!(store.feed(0, 10).await.unwrap().rows.len(), 2);
    db.execute_unprepared("UPDATE endorsements SET signature = x'00' WHERE no = 1").await.unwrap();
    assert_eq!(store.endorsements(&[commit_id(2), commit_id(3)]).await.unwrap().len(), 1);
    db.execute_unprepared("UPDATE commits SET header = 7 WHERE no = 1").await.unwrap();
    assert_eq!(store.commits(&[commit_id(2), commit_id(3)]).await.unwrap().len(), 1);
}

/// Writing goes on too, for everybody who shares the transaction, and an entry that comes anew replaces nothing else.
#[tokio::test]
async fn damaged_rows_do_not_keep_anybody_from_writing() {
    let (_folder, store, db) = filled().await;
    db.execute_unprepared("UPDATE entries SET id = x'00' WHERE no = 2").await.unwrap();
    db.execute_unprepared("UPDATE commits SET live = 0 WHERE no = 2").await.unwrap();
    db.execute_unprepared("INSERT INTO feed VALUES (9, 0, x'ff')").await.unwrap();
    let drop = Batch { drops: vec![(entry_id(3, 0), record(3, 0))], ..Batch::default() };
    let (again, dropped) = tokio::join!(store.apply(batch(2, 2)), store.apply(drop));
    assert_eq!(again.unwrap(), rustdht_core::ports::Applied::Conflict, "the row of another process may have named it");
    dropped.unwrap();
    store.apply(Batch { seen_feed: 9, ..batch(2, 2) }).await.unwrap();
    assert_eq!(store.load(&[soul(2)]).await.unwrap().len(), 3);
    let replaced = Batch { puts: vec![put(3, 1)], ..Batch::default() };
    store.apply(Batch { seen_feed: 9, ..replaced }).await.unwrap();
    assert_eq!(store.load(&[soul(3)]).await.unwrap().len(), 2, "a commit that counts too few is not taken for empty");
}

async fn repaired(change: &str, damage: &[(Table, i64)], check: impl AsyncFn(&Store, &Repairs)) {
    let (_folder, store, db) = filled().await;
    db.execute_unprepared(change).await.unwrap();
    let found = faults(&store, 3).await;
    assert_eq!(found.iter().map(|fault| (fault.table, fault.row)).collect::<Vec<_>>(), damage, "{change}: {found:?}");
    let done = store.repair(found, 77).await.unwrap();
    assert_eq!(faults(&store, 3).await, [], "{change}");
    let lost = store.side_scan(LOST_AND_FOUND, &[], 100).await.unwrap();
    assert_eq!(lost.len() as u64, done.quarantined, "{change}");
    for (_, value) in &lost {
        assert_eq!(cbor::decode(value).unwrap().elements().unwrap().len(), 5);
    }
    check(&store, &Repairs { done, lost }).await;
}

struct Repairs {
    done: rustdht_core::ports::Repaired,
    lost: Vec<(Vec<u8>, Vec<u8>)>,
}

#[tokio::test]
async fn an_unreadable_entry_is_taken_out() {
    repaired("UPDATE entries SET data = x'82f6' WHERE no = 2", &[(Table::Entries, 2)], async |store, repairs| {
        let prefix = [soul(2).as_bytes(), &[0], field(1).as_bytes(), &[0]].concat();
        assert!(repairs.lost[0].0.starts_with(&prefix));
        assert!(repairs.lost[0].1.windows(2).any(|bytes| bytes == [0x82, 0xf6]), "the raw row is kept");
        assert_eq!(repairs.done.gone.iter().map(|row| row.id).collect::<Vec<_>>(), [entry_id(2, 1)]);
        assert_eq!(repairs.done.ended, [], "the commit has others in this partition");
        let page = store.feed(3, 10).await.unwrap();
        assert_eq!((page.rows.len(), page.rows[0].number, page.rows[0].ms), (1, repairs.done.feed, 77));
        assert_eq!(page.rows[0].changes[0].soul, soul(2));
        // Whoever holds the soul in memory from before must load it anew.
        let late = Batch { seen_feed: 3, ..batch(7, 1) };
        assert_eq!(store.apply(late).await.unwrap(), rustdht_core::ports::Applied::Conflict);
        // It comes again from a member.
        let again = Batch { seen_feed: 4, ..batch(2, 2) };
        let partition = partition_of(&soul(2));
        assert_eq!(store.apply(again).await.unwrap(), done(5), "endorsed in {partition} as before");
        assert_eq!(store.load(&[soul(2)]).await.unwrap().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_forged_commit_goes_with_all_that_it_has() {
    repaired("UPDATE commits SET header = x'00' WHERE no = 2", &[(Table::Commits, 2)], async |store, repairs| {
        assert_eq!((repairs.done.quarantined, repairs.done.gone.len()), (6, 4), "commit, endorsement, four entries");
        assert_eq!(repairs.done.ended.len(), 2, "its two partitions");
        assert_eq!(store.commits(&[commit_id(3)]).await.unwrap(), []);
        assert_eq!(store.endorsements(&[commit_id(3)]).await.unwrap(), []);
        assert_eq!(store.stats().await.unwrap().entries, 8);
    })
    .await;
}

#[tokio::test]
async fn entries_and_endorsements_without_their_commit_are_taken_out() {
    let damage: Vec<(Table, i64)> = (5..9).map(|row| (Table::Entries, row)).chain([(Table::Endorsements, 2)]).collect();
    repaired("DELETE FROM commits WHERE no = 2", &damage, async |store, repairs| {
        assert_eq!((repairs.done.quarantined, repairs.done.gone.len()), (5, 4));
        assert_eq!(store.stats().await.unwrap().entries, 8);
    })
    .await;
}

#[tokio::test]
async fn counts_and_look_up_rows_are_made_anew() {
    let mended = async |store: &Store, repairs: &Repairs| {
        // Counted by their look-up rows: each has one, in one of both generations.
        assert_eq!(store.stats().await.unwrap().entries, 12);
        assert_eq!((repairs.done.quarantined, repairs.done.gone.len(), repairs.done.feed), (0, 0, 3));
        assert!(repairs.done.mended > 0);
    };
    repaired("UPDATE commits SET live = 3 WHERE no = 2", &[(Table::Commits, 2)], mended).await;
    repaired("UPDATE commits SET id8 = 3 WHERE no = 2", &[(Table::Commits, 2)], mended).await;
    repaired("UPDATE history SET id8 = 3 WHERE no = 2", &[(Table::History, 2)], mended).await;
    repaired("UPDATE entries SET partition = 77 WHERE no = 2", &[(Table::Entries, 2)], mended).await;
    repaired("INSERT INTO records VALUES (5, 99), (6, -99)", &[(Table::Records, 5), (Table::Records, 6)], mended).await;
    repaired(
        "DELETE FROM records WHERE no IN (2, -1); DELETE FROM records_new WHERE no IN (2, -1)",
        &[(Table::Entries, 2), (Table::Endorsements, 1)],
        async |store, repairs| {
            mended(store, repairs).await;
            assert_eq!(store.by_record(&[record(2, 1)]).await.unwrap().len(), 1);
            assert_eq!(store.endorsements_by_record(&[endorsement(2, 1, 0).record]).await.unwrap().len(), 1);
        },
    )
    .await;
}

#[tokio::test]
async fn damaged_history_and_feed_rows_are_taken_out() {
    repaired("UPDATE history SET data = x'00' WHERE no = 2", &[(Table::History, 2)], async |store, repairs| {
        assert_eq!((repairs.done.quarantined, repairs.done.feed), (1, 3));
        assert_eq!(store.history(&soul(2), &field(0), None, 10).await.unwrap().losers.len(), 2);
    })
    .await;
    // The last row of the feed carries the numbering, so it stays and says nothing.
    repaired("UPDATE feed SET changes = x'00' WHERE number = 3", &[(Table::Feed, 3)], async |store, repairs| {
        assert_eq!((repairs.done.quarantined, repairs.done.feed), (1, 3));
        assert_eq!(store.feed(2, 10).await.unwrap().rows[0].changes, []);
    })
    .await;
}

/// Between a check and its repair the store goes on.
#[tokio::test]
async fn a_fault_that_is_none_any_more_is_passed_over() {
    let (_folder, store, db) = filled().await;
    db.execute_unprepared("UPDATE entries SET partition = 77 WHERE no = 2").await.unwrap();
    let mut found = faults(&store, 100).await;
    found.push(Fault { table: Table::Entries, row: 3, soul: None, damage: Damage::CommitForged });
    found.push(Fault { table: Table::Commits, row: 999, soul: None, damage: Damage::CommitForged });
    store.apply(Batch { drops: vec![(entry_id(2, 1), record(2, 1))], ..Batch::default() }).await.unwrap();
    let done = store.repair(found, 77).await.unwrap();
    assert_eq!((done.quarantined, done.mended, done.gone.len(), done.feed), (0, 0, 0, 3));
    assert_eq!(store.stats().await.unwrap().entries, 11);
}
