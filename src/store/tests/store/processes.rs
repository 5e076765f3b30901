//! Several handles on one file, as several processes have them.

use rustdht_core::ports::{Applied, Batch, GraphStore};
use rustdht_store::{Config, Store};

use crate::sample::{batch, done, open, soul};

#[tokio::test]
async fn a_change_by_another_handle_is_a_conflict_until_it_was_seen() {
    let (folder, ours) = open().await;
    ours.apply(batch(2, 1)).await.unwrap();
    let theirs = Store::open(Config::new(folder.path().join("graph.sqlite"))).await.unwrap();
    // Batch 7 and batch 12 are on the soul of batch 2; batch 3 is not.
    assert_eq!(theirs.apply(Batch { seen_feed: 1, ..batch(7, 1) }).await.unwrap(), done(2));
    let late = Batch { seen_feed: 1, ..batch(12, 1) };
    assert_eq!(ours.apply(late.clone()).await.unwrap(), Applied::Conflict);
    assert_eq!(ours.load(&[soul(2)]).await.unwrap().len(), 2, "nothing of the batch was written");
    assert_eq!(ours.apply(Batch { seen_feed: 1, ..batch(3, 1) }).await.unwrap(), done(3));
    assert_eq!(ours.apply(late.clone()).await.unwrap(), Applied::Conflict, "also after later rows of our own");
    assert_eq!(ours.apply(Batch { seen_feed: 2, ..late }).await.unwrap(), done(4));
    // What a handle wrote itself is no conflict, however old the caller's view.
    assert_eq!(ours.apply(Batch { seen_feed: 2, ..batch(12, 2) }).await.unwrap(), done(5));
}

#[tokio::test]
async fn what_lies_before_the_opening_is_known() {
    let (folder, first) = open().await;
    first.apply(batch(2, 1)).await.unwrap();
    let second = Store::open(Config::new(folder.path().join("graph.sqlite"))).await.unwrap();
    assert_eq!(second.apply(Batch { seen_feed: 0, ..batch(7, 1) }).await.unwrap(), done(2));
}

/// Both write at once: every batch is either there or was told so, and feed numbers are never given twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles_write_at_once() {
    let (folder, ours) = open().await;
    let theirs = Store::open(Config::new(folder.path().join("graph.sqlite"))).await.unwrap();
    let ours_writes = async {
        let mut feeds = vec![];
        for number in 0..40 {
            feeds.push(ours.apply(Batch { seen_feed: u64::MAX, ..batch(number, 2) }).await.unwrap());
        }
        feeds
    };
    let their_writes = async {
        let mut feeds = vec![];
        for number in 100..140 {
            feeds.push(theirs.apply(Batch { seen_feed: u64::MAX, ..batch(number, 2) }).await.unwrap());
        }
        feeds
    };
    let (mut feeds, theirs_feeds) = tokio::join!(ours_writes, their_writes);
    feeds.extend(theirs_feeds);
    let mut numbers: Vec<u64> = feeds
        .into_iter()
        .map(|applied| match applied {
            Applied::Done { feed, .. } => feed,
            other => panic!("{other:?}"),
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=80).collect::<Vec<_>>());
    assert_eq!(theirs.stats().await.unwrap().entries, 160);
    assert_eq!(theirs.feed(0, 100).await.unwrap().rows.len(), 80);
}

#[tokio::test]
async fn handles_may_open_a_new_file_together() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("graph.sqlite");
        let opened = futures::future::join_all((0..8).map(|_| Store::open(Config::new(&path)))).await;
        for store in opened {
            store.unwrap().ping().await.unwrap();
        }
    }
}
