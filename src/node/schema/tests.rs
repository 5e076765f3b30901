//! Schemas at the doors of a node.

use std::{sync::Arc, time::Duration};

use rustdht_core::{Code, Value};
use rustdht_graph::Content;
use rustdht_testkit::{ManualClock, MemoryStore};

use super::{MAX_SCHEMAS, SchemaViolation};
use crate::{
    Action, Error, ImportNode, Op, Principal, Wanted, WriteMode,
    tests::{Bench, NOW_MS, founding, request, set, text},
};

const PERSON: &str = r#"{
    "type": "object",
    "required": ["name"],
    "properties": {
        "type": {"const": "person"},
        "name": {"type": "string", "pattern": "^[A-Z]"},
        "age": {"type": "integer", "minimum": 0},
        "tags": {"properties": {"@set": {"type": "array", "maxItems": 2}}}
    },
    "additionalProperties": false
}"#;

fn violation<T: std::fmt::Debug>(result: Result<T, Error>) -> SchemaViolation {
    match result {
        Err(Error::Schema(violation)) => *violation,
        other => panic!("{other:?}"),
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Code {
    match result {
        Err(Error::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}

async fn person() -> Bench {
    let bench = Bench::new(1).await;
    bench.node.put_schema("person", PERSON).await.unwrap();
    bench
}

fn op(soul: &str, field: &str, action: Action) -> Op {
    Op { soul: soul.parse().unwrap(), field: field.parse().unwrap(), action }
}

#[tokio::test]
async fn writes_are_judged_by_what_they_make_of_the_node() {
    let bench = person().await;
    let write = |mode, fields: &[(&str, Wanted)]| bench.node.write(request("ada", mode, fields));
    let named =
        violation(write(WriteMode::Patch, &[("type", text("person")), ("age", Wanted::Value(Value::Int(3)))]).await);
    assert_eq!((named.kind.as_str(), named.soul.as_str(), named.field.as_str()), ("person", "ada", ""));
    assert_eq!(bench.data("ada").await, "absent");
    write(WriteMode::Patch, &[("type", text("person")), ("name", text("Ada"))]).await.unwrap();
    // Alone each of these is fine; on top of what is there they are not.
    let age = violation(write(WriteMode::Patch, &[("age", Wanted::Value(Value::Int(-1)))]).await);
    assert_eq!(age.field, "/age");
    assert!(violation(write(WriteMode::Patch, &[("name", text("secretive"))]).await).field == "/name");
    assert!(!violation(write(WriteMode::Patch, &[("name", text("secretive"))]).await).detail.contains("secretive"));
    violation(write(WriteMode::Patch, &[("name", Wanted::Value(Value::Null))]).await);
    violation(write(WriteMode::Put, &[("type", text("person"))]).await);
    violation(write(WriteMode::Patch, &[("more", text("x"))]).await);
    write(WriteMode::Patch, &[("tags", set(&[1, 2]))]).await.unwrap();
    assert_eq!(violation(write(WriteMode::Patch, &[("tags", set(&[1, 2, 3]))]).await).field, "/tags/@set");
    write(WriteMode::Patch, &[("tags", set(&[3]))]).await.unwrap();
    // Another type, or none, is judged by another schema, or none.
    write(WriteMode::Patch, &[("type", text("robot")), ("more", text("x"))]).await.unwrap();
    violation(write(WriteMode::Patch, &[("type", text("person"))]).await);
    write(WriteMode::Delete, &[]).await.unwrap();
    assert_eq!(bench.data("ada").await, "absent");
}

#[tokio::test]
async fn a_node_can_be_deleted_whatever_its_schema_says() {
    let bench = person().await;
    bench.patch("ada", &[("type", text("person")), ("name", text("Ada"))]).await;
    bench.node.write(request("ada", WriteMode::Delete, &[])).await.unwrap();
    assert_eq!(bench.data("ada").await, "absent");
}

#[tokio::test]
async fn commits_and_imports_are_judged_too() {
    let bench = person().await;
    let commit = |ops| bench.node.commit(Principal::Owner, ops, Duration::ZERO);
    let good = vec![
        op("ada", "type", Action::Set(text("person"))),
        op("ada", "name", Action::Set(text("Ada"))),
        op("ada", "tags", Action::Add(Value::Int(1))),
        op("else", "x", Action::Set(text("anything"))),
    ];
    commit(good).await.unwrap();
    let bad = vec![
        op("else", "x", Action::Set(text("changed"))),
        op("ada", "tags", Action::Add(Value::Int(2))),
        op("ada", "tags", Action::Add(Value::Int(3))),
    ];
    assert_eq!(violation(commit(bad).await).field, "/tags/@set");
    assert!(bench.data("else").await.contains("anything"), "the whole commit is refused");
    let count = Wanted::Wrapped { kind: "counter".parse().unwrap(), content: Content::Value(Value::Int(1)) };
    violation(commit(vec![op("ada", "n", Action::Set(count))]).await);

    let node = |line, soul: &str, name: &str| ImportNode {
        line,
        soul: soul.parse().unwrap(),
        fields: vec![("type".parse().unwrap(), text("person")), ("name".parse().unwrap(), text(name))],
    };
    let answers =
        bench.node.import(Principal::Owner, vec![node(1, "a", "A"), node(2, "b", "b"), node(3, "c", "C")]).await;
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert!(matches!(&answers[1], Err((2, Error::Schema(_)))), "{answers:?}");
    assert_eq!(bench.data("b").await, "absent");
    assert!(bench.data("c").await.contains('C'));
}

#[tokio::test]
async fn what_members_send_is_not_judged() {
    let bench = person().await;
    let other = Bench::joined(&bench, 2).await;
    other.patch("ada", &[("type", text("person")), ("name", text("lower"))]).await;
    let envelopes = other.node.ingest().soul_envelopes(&"ada".parse().unwrap(), 1 << 20).await;
    bench.node.ingest().ingest(&rustdht_core::ports::ReplicaId("peer".into()), envelopes).await;
    assert!(bench.data("ada").await.contains("lower"));
    // A write that leaves it invalid is refused, one that mends it is taken.
    violation(bench.node.write(request("ada", WriteMode::Patch, &[("age", Wanted::Value(Value::Int(1)))])).await);
    bench.patch("ada", &[("name", text("Upper"))]).await;
}

#[tokio::test]
async fn private_nodes_are_judged_by_what_is_in_them() {
    let bench = person().await;
    let soul = format!("~{}/me", bench.node.identity().gateway);
    bench.node.set_recipients(Principal::Owner, &soul.parse().unwrap(), Vec::new()).await.unwrap();
    // The wrapped keys are a field like any other.
    bench.node.put_schema("person", &PERSON.replace("\"age\"", "\"private\": {}, \"age\"")).await.unwrap();
    let write =
        |name| bench.node.write(request(&soul, WriteMode::Patch, &[("type", text("person")), ("name", text(name))]));
    violation(write("lower").await);
    write("Upper").await.unwrap();
}

#[tokio::test]
async fn schemas_are_kept_replaced_and_taken_away() {
    let store = Arc::new(MemoryStore::default());
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let bench = Bench::on(store.clone(), clock.clone(), 1, founding()).await;
    assert_eq!(bench.node.schemas(), Vec::new());
    bench.node.put_schema("person", PERSON).await.unwrap();
    drop(bench);
    let bench = Bench::on(store.clone(), clock.clone(), 2, founding()).await;
    let info = bench.node.schema("person").unwrap();
    assert_eq!((&*info.json, info.updated_ms), (PERSON, NOW_MS));
    let write = async |bench: &Bench, name: &str| {
        let fields = [("type", text("person")), ("name", text(name))];
        bench.node.write(request("ada", WriteMode::Patch, &fields)).await
    };
    violation(write(&bench, "lower").await);
    bench.node.put_schema("person", r#"{"properties":{"name":{"pattern":"^[a-z]"}}}"#).await.unwrap();
    violation(write(&bench, "Upper").await);
    write(&bench, "lower").await.unwrap();
    assert!(bench.node.delete_schema("person").await.unwrap());
    assert!(!bench.node.delete_schema("person").await.unwrap());
    write(&bench, "Upper").await.unwrap();
    assert_eq!(bench.node.schemas(), Vec::new());
    drop(bench);
    assert_eq!(Bench::on(store, clock, 3, founding()).await.node.schemas(), Vec::new());
}

#[tokio::test]
async fn what_is_no_schema_is_refused() {
    let bench = Bench::new(1).await;
    for (json, wanted) in [
        (r#"{"type":"nothing"}"#, Code::BadValue),
        (r#"{"pattern":"(a"}"#, Code::BadValue),
        // Backtracking is for engines that have it.
        (r#"{"pattern":"(a)\\1"}"#, Code::BadValue),
        (r#"{"$ref":"https://example.org/schema"}"#, Code::BadValue),
        ("[]", Code::BadValue),
        ("{", Code::Malformed),
    ] {
        assert_eq!(code(bench.node.put_schema("t", json).await), wanted, "{json}");
    }
    assert_eq!(code(bench.node.put_schema("", "{}").await), Code::OutOfRange);
    assert_eq!(code(bench.node.put_schema(&"x".repeat(257), "{}").await), Code::OutOfRange);
    for at in 0..MAX_SCHEMAS {
        bench.node.put_schema(&at.to_string(), "{}").await.unwrap();
    }
    assert_eq!(code(bench.node.put_schema("more", "{}").await), Code::OutOfRange);
    bench.node.put_schema("0", r#"{"type":"object"}"#).await.unwrap();
}
