//! Content, mirror and local space.

use std::time::Duration;

use rustdht_core::{
    Code, Soul, Value,
    ports::{IngestOutcome, ReplicaId},
};

use super::{
    Bench,
    authority::{account, code},
    exchange::{export, pass},
    request, text,
};
use crate::{At, NodeWrite, Principal, RenderOptions, WriteMode};

fn internal(soul: &str, field: &str, value: &str) -> NodeWrite {
    NodeWrite { by: Principal::Internal, ..request(soul, WriteMode::Patch, &[(field, text(value))]) }
}

#[tokio::test]
async fn content_is_named_by_what_it_says_and_travels_whole() {
    let a = Bench::founder(1).await;
    let b = Bench::member(&a, 2).await;
    let ada = account(&a, "ada").await;
    let fields = || vec![("x".parse().unwrap(), Value::from("one")), ("y".parse().unwrap(), Value::Int(2))];
    let made = a.node.put_content(Principal::Anonymous, fields(), Duration::ZERO, RenderOptions::default()).await;
    assert_eq!(code(made), Code::NotAuthorised);
    let (soul, written) = a.node.put_content(ada, fields(), Duration::ZERO, RenderOptions::default()).await.unwrap();
    assert_eq!(written.commits.len(), 1);
    assert_eq!(a.data(&soul).await, r#"{"x":"one","y":2}"#);
    // The same content anywhere is the same node, and the same commit.
    let put = |by, value: &str| NodeWrite {
        by,
        ..request(&soul, WriteMode::Put, &[("x", text(value)), ("y", crate::Wanted::Value(Value::Int(2)))])
    };
    let again = b.node.write(put(Principal::Owner, "one")).await.unwrap();
    assert_eq!(again.commits, written.commits);
    assert_eq!(code(b.node.write(put(Principal::Owner, "two")).await), Code::BadSoul);
    for mode in [WriteMode::Patch, WriteMode::Delete] {
        let fields: &[_] = if mode == WriteMode::Patch { &[("x", text("two"))] } else { &[] };
        let made = a.node.write(NodeWrite { by: ada, ..request(&soul, mode, fields) }).await;
        assert_eq!(code(made), Code::Immutable);
    }
    assert_eq!(export(&a).await.lines().filter(|line| line.contains(soul.as_str())).count(), 1);
    // One record of it asked for brings all of it.
    let c = Bench::member(&a, 3).await;
    let (items, _) = a.node.ingest().index(0, 1000).await.unwrap();
    let of_content: Vec<_> = items.iter().filter(|item| item.seconds == u32::MAX).collect();
    assert_eq!(of_content.len(), 2, "it stands at the end of time");
    let (envelopes, missing) = a.node.ingest().envelopes(&[of_content[0].record], 1 << 20).await;
    assert_eq!((envelopes.len(), missing.len()), (1, 0));
    assert_eq!(c.node.ingest().ingest(&ReplicaId("a".into()), envelopes).await, [IngestOutcome::Durable]);
    assert_eq!(c.data(&soul).await, r#"{"x":"one","y":2}"#);
}

#[tokio::test]
async fn local_souls_are_written_by_this_process_and_go_nowhere() {
    let a = Bench::founder(1).await;
    let b = Bench::member(&a, 2).await;
    a.until_member().await;
    a.net.take();
    let before = a.node.ingest().index(0, 1000).await.unwrap().0.len();
    a.node.write(internal("_/bridge", "x", "one")).await.unwrap();
    a.node.write(internal("_/bridge", "x", "two")).await.unwrap();
    assert_eq!(a.data("_/bridge").await, r#"{"x":"two"}"#);
    let made = a.node.write(request("_/bridge", WriteMode::Patch, &[("x", text("three"))])).await;
    assert_eq!(code(made), Code::LocalSpace);
    for published in a.net.take() {
        assert!(published.push.is_empty() && published.adds.is_empty() && published.drops.is_empty(), "{published:?}");
    }
    assert_eq!(a.node.ingest().index(0, 1000).await.unwrap().0.len(), before);
    let soul: Soul = "_/bridge".parse().unwrap();
    assert!(a.node.ingest().soul_envelopes(&soul, 1 << 20).await.is_empty());
    let records: Vec<_> = a.store.entries().iter().map(|entry| entry.id.record_id(&a.node.network_key())).collect();
    let (envelopes, _) = a.node.ingest().envelopes(&records, 1 << 20).await;
    assert!(envelopes.iter().all(|envelope| !envelope.windows(8).any(|part| part == b"_/bridge")));
    assert!(!export(&a).await.contains("_/bridge"));
    // Written beside something public it is a commit of its own.
    let ops = ["_/bridge", "n"].map(|soul| crate::Op {
        soul: soul.parse().unwrap(),
        field: "x".parse().unwrap(),
        action: crate::Action::Set(text("v")),
    });
    assert_eq!(code(a.node.commit(Principal::Internal, ops.into(), Duration::ZERO).await), Code::LocalSpace);
    let writes = ["_/bridge", "n", "_/other", "m"].map(|soul| a.node.write(internal(soul, "x", "both")));
    futures::future::join_all(writes).await;
    let pushed: Vec<_> = a.net.take().into_iter().flat_map(|published| published.push).collect();
    assert!(!pushed.is_empty());
    assert!(pushed.iter().all(|(_, envelope)| !envelope.windows(2).any(|part| part == b"_/")));
    let outcomes =
        b.node.ingest().ingest(&ReplicaId("a".into()), pushed.into_iter().map(|push| push.1).collect()).await;
    assert!(outcomes.iter().all(|outcome| *outcome == IngestOutcome::Durable), "{outcomes:?}");
}

#[tokio::test]
async fn mirror_souls_are_written_by_bridges_each_in_its_slot() {
    let a = Bench::founder(1).await;
    let b = Bench::member(&a, 2).await;
    let soul = "^https://example.com/note/1";
    for by in [Principal::Owner, account(&a, "ada").await] {
        let made = a.node.write(NodeWrite { by, ..internal(soul, "x", "no") }).await;
        assert_eq!(code(made), Code::NotAuthorised);
    }
    a.node.write(internal(soul, "x", "seen by a")).await.unwrap();
    a.clock.advance(5);
    b.node.write(internal(soul, "x", "seen by b")).await.unwrap();
    pass(&a, &b).await;
    pass(&b, &a).await;
    assert_eq!(export(&a).await, export(&b).await);
    assert_eq!(a.data(soul).await, r#"{"x":"seen by b"}"#);
    assert_eq!(a.store.entries().iter().filter(|entry| entry.soul.as_str() == soul).count(), 2, "one slot each");
    let parsed: Soul = soul.parse().unwrap();
    assert!(a.node.get(&parsed, At::Local, RenderOptions::default()).await.unwrap().is_some());
}
