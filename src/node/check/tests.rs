//! A check finds what was damaged, and mends what can be mended.

use futures::StreamExt;
use rustdht_core::{
    Body, Soul, Value,
    ports::{Batch, GraphStore, LOST_AND_FOUND, Put},
};

use super::{CheckEvent, Fate};
use crate::{
    Action, NewAccount, NodeWrite, Op, Principal, Wanted, WriteMode,
    tests::{Bench, request, text},
};

fn link(soul: &str) -> Value {
    Value::Link(soul.parse().unwrap())
}

async fn run(bench: &Bench, repair: bool) -> Vec<CheckEvent> {
    bench.node.check(repair).collect().await
}

fn totals(events: &[CheckEvent]) -> (u64, u64) {
    match events.last() {
        Some(CheckEvent::Done { complete: true, findings, repaired, .. }) => (*findings, *repaired),
        other => panic!("{other:?}"),
    }
}

fn links(events: &[CheckEvent]) -> Vec<(String, String, Fate)> {
    let link = |event: &CheckEvent| match event {
        CheckEvent::Link { soul, field, target, fate } => Some((format!("{soul}.{field}"), target.clone(), *fate)),
        _ => None,
    };
    events.iter().filter_map(link).collect()
}

#[tokio::test]
async fn a_sound_graph_has_no_findings() {
    let bench = Bench::new(1).await;
    for at in 0..40 {
        let soul = format!("n/{at:02}");
        bench.patch(&soul, &[("name", text("x")), ("next", Wanted::Value(link("n/00")))]).await;
        bench.patch(&soul, &[("tags", Wanted::set([Value::Int(1), link("n/01")]))]).await;
        bench.patch(&soul, &[("tags", Wanted::set([link("n/01")])), ("name", Wanted::Value(Value::Null))]).await;
    }
    let events = run(&bench, false).await;
    assert_eq!(totals(&events), (0, 0), "{events:?}");
    let Some(CheckEvent::Done { souls: 40, entries, .. }) = events.last() else { panic!("{events:?}") };
    assert_eq!(*entries, bench.store.entries().len() as u64);
}

#[tokio::test]
async fn links_to_nothing_are_named_and_removed_where_the_owner_may() {
    let bench = Bench::new(1).await;
    let ada = bench.node.create_account(NewAccount { name: "ada".into(), password: None }).await.unwrap();
    bench.patch("there", &[("name", text("x"))]).await;
    bench.patch("gone", &[("name", text("x"))]).await;
    bench.node.write(request("gone", WriteMode::Delete, &[])).await.unwrap();
    bench.patch("a", &[("good", Wanted::Value(link("there"))), ("bad", Wanted::Value(link("nowhere")))]).await;
    bench.patch("b", &[("all", Wanted::set([link("there"), link("gone"), Value::Int(5)]))]).await;
    let owned = format!("~{}/x", ada.key);
    let write = NodeWrite {
        by: Principal::Account(ada.key),
        ..request(&owned, WriteMode::Patch, &[("bad", Wanted::Value(link("nowhere")))])
    };
    bench.node.write(write).await.unwrap();

    let found = run(&bench, false).await;
    let dangling = |at: &str, target: &str, fate| (at.to_owned(), target.to_owned(), fate);
    let wanted = |first, last| {
        vec![
            dangling("a.bad", "nowhere", first),
            dangling("b.all", "gone", first),
            dangling(&format!("{owned}.bad"), "nowhere", last),
        ]
    };
    assert_eq!(links(&found), wanted(Fate::Dangling, Fate::Dangling));
    assert_eq!(totals(&found), (3, 0));
    assert!(bench.data("a").await.contains("nowhere"), "looking changes nothing");

    let mended = run(&bench, true).await;
    assert_eq!(links(&mended), wanted(Fate::Removed, Fate::Left));
    assert_eq!(totals(&mended), (3, 2));
    assert_eq!(bench.data("a").await, r##"{"good":{"#":"there"}}"##);
    assert_eq!(bench.data("b").await, r##"{"all":{"@set":[5,{"#":"there"}]}}"##);
    assert_eq!(totals(&run(&bench, true).await), (1, 0));
}

#[tokio::test]
async fn an_entry_that_was_changed_on_disk_is_put_aside() {
    let bench = Bench::new(1).await;
    bench.patch("a", &[("name", text("genuine")), ("other", text("stays"))]).await;
    let soul: Soul = "a".parse().unwrap();
    let mut entry = bench.store.entries().into_iter().find(|entry| &*entry.field == "name").unwrap();
    let Body::Live { salt, .. } = entry.body.clone() else { panic!("no value") };
    entry.body = Body::Live { value: Value::from("forged"), salt };
    let record = entry.id.record_id(&bench.node.network_key());
    let put = Put { record, entry: std::sync::Arc::new(entry.clone()) };
    let seen_feed = bench.store.last_feed().await.unwrap();
    bench.store.apply(Batch { puts: vec![put], seen_feed, ..Batch::default() }).await.unwrap();

    let found = run(&bench, false).await;
    let forged = |event: &&CheckEvent| matches!(event, CheckEvent::Entry { field, .. } if field == "name");
    assert_eq!(found.iter().filter(forged).count(), 1, "{found:?}");
    assert_eq!(totals(&found), (1, 0));
    assert_eq!(totals(&run(&bench, true).await), (1, 1));
    assert_eq!(bench.data("a").await, r#"{"other":"stays"}"#);
    let kept = bench.store.side_scan(LOST_AND_FOUND, soul.as_bytes(), 10).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert!(String::from_utf8_lossy(&kept[0].1).contains("forged"), "what was there can still be looked at");
    assert_eq!(totals(&run(&bench, true).await), (0, 0));
    // The node takes writes as before.
    bench.patch("a", &[("name", text("again"))]).await;
    assert!(bench.data("a").await.contains("again"));
}

#[tokio::test]
async fn an_entry_that_is_stored_for_another_writer_is_found() {
    let bench = Bench::new(1).await;
    bench.patch("a", &[("name", text("genuine"))]).await;
    let mut entry = bench.store.entries().remove(0);
    entry.writer = rustdht_core::Writer([7; 16]);
    let record = entry.id.record_id(&bench.node.network_key());
    let put = Put { record, entry: std::sync::Arc::new(entry) };
    let seen_feed = bench.store.last_feed().await.unwrap();
    bench.store.apply(Batch { puts: vec![put], seen_feed, ..Batch::default() }).await.unwrap();
    let found = run(&bench, false).await;
    assert!(matches!(&found[0], CheckEvent::Entry { problem, .. } if problem.contains("another form")), "{found:?}");
}

#[tokio::test]
async fn a_check_ends_when_nobody_listens() {
    let bench = Bench::new(1).await;
    bench.patch("a", &[("bad", Wanted::Value(link("nowhere")))]).await;
    let mut events = Box::pin(bench.node.check(true));
    drop(events.next().await);
    drop(events);
    bench
        .node
        .commit(
            Principal::Owner,
            vec![Op { soul: "a".parse().unwrap(), field: "x".parse().unwrap(), action: Action::Set(text("x")) }],
            std::time::Duration::ZERO,
        )
        .await
        .unwrap();
}
