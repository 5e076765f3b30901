//! Rules of the port that have a name.

use std::sync::Arc;

use rustdht_core::ports::{Applied, Batch, GraphStore, SideRow, StoreError};
use rustdht_core::{PublicKey, Soul, Stamp, UNSIGNED};

use crate::sample::{
    batch, commit, commit_id, done, entry, entry_id, field, loser, open, open_with, put, record, sorted, soul,
};

const DAY_MS: u64 = 24 * 3_600_000;

fn once(key: u8) -> Vec<SideRow> {
    vec![SideRow { ns: "seen", key: vec![key], value: Some(vec![1]), insert_only: true }]
}

#[tokio::test]
async fn a_duplicate_writes_nothing_and_spoils_nobody() {
    let (_folder, store) = open().await;
    let batches = (0..8).map(|number| Batch { side: once((number % 3) as u8), ..batch(number, 2) });
    let answers = futures::future::join_all(batches.map(|batch| store.apply(batch))).await;
    for (number, answer) in answers.into_iter().enumerate() {
        let key = vec![(number % 3) as u8];
        let wanted = if number < 3 { done(number as u64 + 1) } else { Applied::Duplicate { ns: "seen", key } };
        assert_eq!(answer.unwrap(), wanted);
    }
    assert_eq!(store.stats().await.unwrap().entries, 6);
    assert_eq!(
        store.apply(Batch { side: once(1), ..batch(9, 1) }).await.unwrap(),
        Applied::Duplicate { ns: "seen", key: vec![1] }
    );
    assert!(store.commits(&[commit_id(9)]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_put_without_its_commit_fails_alone() {
    let (_folder, store) = open().await;
    let orphan = Batch { commits: vec![], ..batch(1, 1) };
    let (first, bad, last) = tokio::join!(store.apply(batch(0, 1)), store.apply(orphan), store.apply(batch(2, 1)));
    assert_eq!((first.unwrap(), last.unwrap()), (done(1), done(2)));
    assert!(matches!(bad, Err(StoreError::Failed(why)) if why.contains(&commit_id(1).to_string())));
    assert_eq!(store.stats().await.unwrap().entries, 2);
}

#[tokio::test]
async fn a_put_replaces_its_row_and_a_brought_commit_its_proofs() {
    let (_folder, store) = open().await;
    store.apply(batch(3, 4)).await.unwrap();
    let mut valueless = put(3, 1);
    valueless.entry = entry(3, 1, false).into();
    let replaced = Batch { puts: vec![valueless], commits: vec![commit(3, 9)], ..Batch::default() };
    assert_eq!(store.apply(replaced).await.unwrap(), done(1), "no changes, no row of the feed");
    let mut wanted: Vec<_> = (0..4).map(|index| entry(3, index, index != 1)).collect();
    wanted = sorted(wanted);
    assert_eq!(sorted(store.load(&[soul(3), soul(5), soul(3)]).await.unwrap()), wanted);
    assert_eq!(store.commits(&[commit_id(3)]).await.unwrap(), [(*commit(3, 9)).clone()]);
}

#[tokio::test]
async fn a_commit_goes_with_its_last_entry() {
    let (_folder, store) = open().await;
    store.apply(batch(3, 2)).await.unwrap();
    let drop = |index| Batch { drops: vec![(entry_id(3, index), record(3, index))], ..Batch::default() };
    store.apply(drop(0)).await.unwrap();
    assert_eq!(store.commits(&[commit_id(3)]).await.unwrap().len(), 1);
    store.apply(drop(1)).await.unwrap();
    assert_eq!(store.commits(&[commit_id(3)]).await.unwrap(), []);
    assert_eq!(store.apply(drop(1)).await.unwrap(), done(1), "dropping again is no error");
}

#[tokio::test]
async fn batches_of_one_caller_keep_their_order() {
    let (_folder, store) = open().await;
    let row = |value| SideRow { ns: "n", key: vec![0], value: Some(vec![value]), insert_only: false };
    let writes = (0..100).map(|value| store.apply(Batch { side: vec![row(value)], ..Batch::default() }));
    for answer in futures::future::join_all(writes).await {
        answer.unwrap();
    }
    assert_eq!(store.side_get("n", &[0]).await.unwrap(), Some(vec![99]));
}

#[tokio::test]
async fn souls_are_paged_in_order_of_their_bytes() {
    let (_folder, store) = open().await;
    let names = ["a", "a/1", "a/2", "a/é", "a/\u{10ffff}", "b"];
    for (number, name) in names.iter().enumerate() {
        let mut batch = batch(number as u64, 3);
        for put in &mut batch.puts {
            let mut entry = (*put.entry).clone();
            entry.soul = name.parse().unwrap();
            put.entry = entry.into();
        }
        store.apply(batch).await.unwrap();
    }
    let text = |souls: Vec<Soul>| souls.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(text(store.souls("", None, 100).await.unwrap()), names);
    assert_eq!(text(store.souls("a/", None, 100).await.unwrap()), names[1..5]);
    assert_eq!(text(store.souls("a/", Some("a/1"), 2).await.unwrap()), names[2..4]);
    assert_eq!(text(store.souls("a/", Some("b"), 2).await.unwrap()), [""; 0]);
    assert_eq!(text(store.souls("a", None, 1).await.unwrap()), ["a"]);
    assert_eq!(text(store.souls("c", None, 9).await.unwrap()), [""; 0]);
}

#[tokio::test]
async fn more_souls_than_one_list_holds() {
    let (_folder, store) = open().await;
    let souls: Vec<Soul> = (0..3000).map(|number| format!("many/{number}").parse().unwrap()).collect();
    for (number, souls) in souls.chunks(1000).enumerate() {
        let mut large = batch(number as u64, 1000);
        for (put, soul) in large.puts.iter_mut().zip(souls) {
            let mut entry = (*put.entry).clone();
            entry.soul = soul.clone();
            put.entry = entry.into();
        }
        store.apply(large).await.unwrap();
    }
    let found = store.load(&souls).await.unwrap();
    assert_eq!(found.len(), 3000);
    let records: Vec<_> = (0..3).flat_map(|number| (0..1000).map(move |index| record(number, index))).collect();
    assert_eq!(store.by_record(&records).await.unwrap().len(), 3000);
    let drops = (0..1000).map(|index| (entry_id(1, index), record(1, index))).collect();
    store.apply(Batch { drops, ..Batch::default() }).await.unwrap();
    assert_eq!(store.by_record(&records).await.unwrap().len(), 2000);
}

#[tokio::test]
async fn old_history_and_feed_rows_are_trimmed_and_numbers_go_on() {
    let (_folder, store) = open_with(|config| config.feed_rows = 3).await;
    for number in 0..6 {
        let losers = vec![loser(number, 0, number * 10 * DAY_MS)];
        store.apply(Batch { losers, now_ms: number * 10 * DAY_MS, ..batch(number, 1) }).await.unwrap();
    }
    store.trim(51 * DAY_MS).await.unwrap();
    let page = store.feed(0, 10).await.unwrap();
    assert_eq!(page.rows.iter().map(|row| row.number).collect::<Vec<_>>(), [6], "the others are older than 7 days");
    assert_eq!(page.oldest, 6);
    let ids: Vec<_> = (0..6).map(|number| entry_id(number, 0)).collect();
    assert_eq!(store.in_history(&ids).await.unwrap().len(), 3, "30, 40 and 50 days are within 30 days of 51");

    store.trim(500 * DAY_MS).await.unwrap();
    assert_eq!(store.feed(0, 10).await.unwrap().oldest, 6, "the newest row stays");
    for number in 7..12 {
        let batch = Batch { now_ms: 500 * DAY_MS, ..batch(number, 1) };
        assert_eq!(store.apply(batch).await.unwrap(), done(number));
    }
    store.trim(500 * DAY_MS).await.unwrap();
    let page = store.feed(10, 10).await.unwrap();
    assert_eq!((page.oldest, page.rows.len(), page.rows[0].number), (9, 1, 11));
    assert_eq!(store.last_feed().await.unwrap(), 11);
}

#[tokio::test]
async fn an_empty_feed_begins_at_one() {
    let (_folder, store) = open().await;
    let page = store.feed(0, 10).await.unwrap();
    assert_eq!((page.rows.len(), page.oldest), (0, 1));
    assert_eq!(store.last_feed().await.unwrap(), 0);
    assert_eq!(store.apply(Batch::default()).await.unwrap(), done(0));
}

#[tokio::test]
async fn history_is_bounded_by_field_newest_first() {
    let (_folder, store) = open().await;
    for number in 0..40_u64 {
        let losers = vec![loser(number * 5, 0, number), loser(number * 5, 1, number)];
        store.apply(Batch { losers, ..Batch::default() }).await.unwrap();
    }
    let found = store.history(&soul(0), &field(0), None, 100).await.unwrap().losers;
    assert_eq!(found.iter().map(|loser| loser.lost_ms).collect::<Vec<_>>(), (24..40).rev().collect::<Vec<_>>());
    assert_eq!(store.history(&soul(0), &field(1), None, 2).await.unwrap().losers.len(), 2);
    let forget = vec![entry_id(39 * 5, 0)];
    store.apply(Batch { forget, ..Batch::default() }).await.unwrap();
    assert_eq!(store.history(&soul(0), &field(0), None, 1).await.unwrap().losers[0].lost_ms, 38);
}

/// Content is indexed last, and only content: anybody may sign a commit with stamp 0.
#[tokio::test]
async fn content_stands_last_in_the_index() {
    let (_folder, store) = open().await;
    for (number, author) in [(1, UNSIGNED), (2, PublicKey([9; 32]))] {
        let mut content = batch(number, 1);
        let entry = Arc::make_mut(&mut content.puts[0].entry);
        (entry.stamp, entry.author) = (Stamp(0), author);
        store.apply(content).await.unwrap();
    }
    store.apply(batch(3, 1)).await.unwrap();
    let (rows, _) = store.index(0, 10).await.unwrap();
    let later = entry(3, 0, true).stamp.index_seconds();
    assert_eq!(rows.iter().map(|row| row.seconds).collect::<Vec<_>>(), [u32::MAX, 0, later]);
}

#[tokio::test]
async fn history_is_read_in_pages() {
    let (_folder, store) = open().await;
    for number in 0..7_u64 {
        let losers = vec![loser(number * 5, 0, number), loser(number * 5, 1, 100)];
        store.apply(Batch { losers, ..Batch::default() }).await.unwrap();
    }
    for limit in 1..9 {
        let (mut before, mut seen) = (None, Vec::new());
        loop {
            let page = store.history(&soul(0), &field(0), before, limit).await.unwrap();
            assert!(page.losers.len() <= limit as usize);
            seen.extend(page.losers.iter().map(|loser| loser.lost_ms));
            before = page.next;
            if before.is_none() {
                break;
            }
            assert_eq!(page.losers.len(), limit as usize, "only the last page is short");
        }
        assert_eq!(seen, (0..7).rev().collect::<Vec<_>>(), "pages of {limit}");
    }
}

#[tokio::test]
async fn closing_finishes_what_was_queued() {
    let (folder, store) = open().await;
    let writes = futures::future::join_all((0..50).map(|number| store.apply(batch(number, 2))));
    // The writes are queued by their first poll; only then does the store close.
    let (answers, ()) = tokio::join!(writes, store.close());
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    assert!(matches!(store.apply(batch(99, 1)).await, Err(StoreError::Closed)));
    assert!(matches!(store.load(&[soul(0)]).await, Err(StoreError::Closed)));
    assert!(matches!(store.ping().await, Err(StoreError::Closed)));
    store.close().await;

    let again =
        rustdht_store::Store::open(rustdht_store::Config::new(folder.path().join("graph.sqlite"))).await.unwrap();
    assert_eq!(again.stats().await.unwrap().entries, 100);
    again.ping().await.unwrap();
    assert_eq!(again.load(&[soul(2)]).await.unwrap()[0].stamp, Stamp(u64::MAX - 2));
}
