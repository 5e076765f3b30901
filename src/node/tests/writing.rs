//! Writes of this gateway.

use std::time::Duration;

use rustdht_core::{Code, Soul, Value};

use super::{Bench, request, set, text};
use crate::{Action, At, Error, ImportNode, Op, Outcome, Principal, RenderOptions, Wanted, WriteMode};

#[tokio::test]
async fn patch_put_delete() {
    let bench = Bench::new(1).await;
    let written = bench.patch("a", &[("x", text("one")), ("s", set(&[2, 1]))]).await;
    assert_eq!(written.commits.len(), 1);
    assert_eq!(bench.data("a").await, r#"{"s":{"@set":[1,2]},"x":"one"}"#);
    bench.patch("a", &[("s", set(&[2, 3]))]).await;
    assert_eq!(bench.data("a").await, r#"{"s":{"@set":[2,3]},"x":"one"}"#);
    let again = bench.patch("a", &[("s", set(&[3, 2, 2]))]).await;
    assert!(again.commits.is_empty(), "repeating a wrapped value changes nothing");
    bench.node.write(request("a", WriteMode::Put, &[("y", text("two"))])).await.unwrap();
    assert_eq!(bench.data("a").await, r#"{"y":"two"}"#);
    bench.patch("a", &[("y", Wanted::Value(Value::Null))]).await;
    assert_eq!(bench.data("a").await, "absent");
    bench.patch("a", &[("y", text("back")), ("s", set(&[1]))]).await;
    assert_eq!(bench.data("a").await, r#"{"s":{"@set":[1]},"y":"back"}"#);
    bench.node.write(request("a", WriteMode::Delete, &[])).await.unwrap();
    assert_eq!(bench.data("a").await, "absent");
}

#[tokio::test]
async fn preconditions_hold_the_write_back() {
    let bench = Bench::new(1).await;
    let first = bench.patch("a", &[("x", text("one"))]).await.node.unwrap();
    bench.patch("a", &[("x", text("two"))]).await;
    let mut stale = request("a", WriteMode::Patch, &[("x", text("three"))]);
    stale.if_match = Some(vec![first.etag.to_string()]);
    assert!(matches!(bench.node.write(stale).await, Err(Error::PreconditionFailed(_))));
    let mut create = request("a", WriteMode::Patch, &[("x", text("three"))]);
    create.if_none_match = Some(vec!["*".into()]);
    assert!(matches!(bench.node.write(create).await, Err(Error::PreconditionFailed(_))));
    assert_eq!(bench.data("a").await, r#"{"x":"two"}"#);
    let soul: Soul = "a".parse().unwrap();
    let now = bench.node.get(&soul, At::Auto, RenderOptions::default()).await.unwrap().unwrap();
    let mut fresh = request("a", WriteMode::Patch, &[("x", text("three"))]);
    fresh.if_match = Some(vec![now.etag.to_string()]);
    bench.node.write(fresh).await.unwrap();
    assert_eq!(bench.data("a").await, r#"{"x":"three"}"#);
}

#[tokio::test]
async fn other_spaces_are_refused() {
    let bench = Bench::new(1).await;
    let stranger = format!("~{}", rustdht_testkit::Author::new(9).public());
    for (soul, code) in [
        (stranger.as_str(), Code::NotAuthorised),
        ("^https://example.com/", Code::NotAuthorised),
        ("#bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", Code::Immutable),
        ("_/x", Code::LocalSpace),
    ] {
        match bench.node.write(request(soul, WriteMode::Patch, &[("x", text("one"))])).await {
            Err(Error::Refused(refusal)) => assert_eq!(refusal.code, code, "{soul}"),
            other => panic!("{soul}: {other:?}"),
        }
    }
    let own = format!("~{}/profile", bench.node.identity().gateway);
    bench.patch(&own, &[("x", text("one")), ("s", set(&[1]))]).await;
    bench.patch(&own, &[("s", set(&[2]))]).await;
    assert_eq!(bench.data(&own).await, r#"{"s":{"@set":[2]},"x":"one"}"#);
}

#[tokio::test]
async fn a_commit_is_atomic_and_answers_each_operation() {
    let bench = Bench::new(1).await;
    let op = |field: &str, action| Op { soul: "a".parse().unwrap(), field: field.parse().unwrap(), action };
    let made = bench
        .node
        .commit(
            Principal::Owner,
            vec![
                op("s", Action::Add(Value::Int(1))),
                op("s", Action::Remove(Value::Int(7))),
                op("x", Action::Set(text("one"))),
            ],
            Duration::ZERO,
        )
        .await
        .unwrap();
    let outcomes: Vec<_> = made.results.iter().map(|result| result.outcome).collect();
    assert_eq!(outcomes, [Outcome::Taken, Outcome::Known, Outcome::Taken]);
    let bad = vec![op("x", Action::Set(text("two"))), op("x", Action::Set(text("three")))];
    match bench.node.commit(Principal::Owner, bad, Duration::ZERO).await {
        Err(Error::Refused(refusal)) => assert_eq!(refusal.code, Code::DuplicateOperation),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.data("a").await, r#"{"s":{"@set":[1]},"x":"one"}"#);
    let erase = vec![op("x", Action::Delete { erase: true })];
    bench.node.commit(Principal::Owner, erase, Duration::ZERO).await.unwrap();
    assert_eq!(bench.data("a").await, r#"{"s":{"@set":[1]}}"#);
    let left = bench.store.entries();
    assert!(!left.iter().any(|entry| entry.body.value() == Some(&Value::from("one"))), "erased values are gone");
}

#[tokio::test]
async fn imports_add_and_resume() {
    let bench = Bench::new(1).await;
    let node = |line, soul: &str, value: &str| ImportNode {
        line,
        soul: soul.parse().unwrap(),
        fields: vec![("x".parse().unwrap(), text(value)), ("s".parse().unwrap(), set(&[line as i64]))],
    };
    let nodes = vec![node(1, "a", "one"), node(2, "_/b", "no"), node(3, "a", "two"), node(4, "c", "three")];
    let answers = bench.node.import(Principal::Owner, nodes.clone()).await;
    assert!(matches!(&answers[1], Err((2, Error::Refused(refusal))) if refusal.code == Code::LocalSpace));
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
    assert_eq!(bench.data("a").await, r#"{"s":{"@set":[1,3]},"x":"two"}"#);
    let before = bench.store.entries().len();
    bench.node.import(Principal::Owner, vec![node(4, "c", "three")]).await;
    assert_eq!(bench.store.entries().len(), before, "a line imported again changes nothing");
}

#[tokio::test]
async fn nothing_is_acknowledged_when_the_store_fails() {
    let bench = Bench::new(1).await;
    bench.patch("a", &[("x", text("one"))]).await;
    bench.store.set_failing(true);
    let failed = bench.node.write(request("a", WriteMode::Patch, &[("x", text("two"))])).await;
    assert!(matches!(failed, Err(Error::Store(_))));
    assert_eq!(bench.data("a").await, r#"{"x":"one"}"#);
    bench.store.set_failing(false);
    let written = bench.patch("a", &[("y", text("three"))]).await;
    assert_eq!(bench.data("a").await, r#"{"x":"one","y":"three"}"#);
    let shown = String::from_utf8(written.node.unwrap().json.to_vec()).unwrap();
    assert!(shown.contains(r#""x":"one""#), "{shown}");
}

#[tokio::test]
async fn many_writers_of_one_node_all_count() {
    let bench = Bench::new(1).await;
    let writes = (0..100).map(|at| {
        let node = bench.node.clone();
        let field = format!("f{at}");
        async move { node.write(request("a", WriteMode::Patch, &[(&field, text("x"))])).await.unwrap() }
    });
    futures::future::join_all(writes).await;
    let soul: Soul = "a".parse().unwrap();
    let node = bench.node.get(&soul, At::Local, RenderOptions::default()).await.unwrap().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&node.json).unwrap();
    assert_eq!(json["data"].as_object().unwrap().len(), 100);
}
