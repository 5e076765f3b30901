//! What one node publishes, another ingests.

use std::time::Duration;

use futures::TryStreamExt;
use rustdht_core::{
    Code, Soul, Stamp, Value,
    ports::{IngestOutcome, ReplicaId},
};
use rustdht_testkit::{Author, set_add, set_remove, write};

use super::{Bench, NOW_MS, set, text};
use crate::{Error, Outcome, Principal, Wanted};

pub(crate) async fn export(bench: &Bench) -> String {
    let chunks: Vec<_> = bench.node.export(String::new()).try_collect().await.unwrap();
    String::from_utf8(chunks.concat()).unwrap()
}

pub(crate) async fn pass(from: &Bench, to: &Bench) {
    for published in from.net.take() {
        let envelopes = published.push.into_iter().map(|(_, envelope)| envelope).collect();
        let outcomes = to.node.ingest().ingest(&ReplicaId("peer".into()), envelopes).await;
        assert!(outcomes.iter().all(|outcome| *outcome == IngestOutcome::Durable), "{outcomes:?}");
    }
}

#[tokio::test]
async fn two_sides_of_a_cut_end_alike() {
    let a = Bench::new(1).await;
    let b = Bench::joined(&a, 2).await;
    assert_eq!(a.node.identity().net, b.node.identity().net);
    a.patch("n", &[("x", text("base")), ("s", set(&[1, 2]))]).await;
    pass(&a, &b).await;
    assert_eq!(b.data("n").await, a.data("n").await);
    // Concurrently: one side removes 1, the other adds it again; both write x.
    a.patch("n", &[("x", text("from a")), ("s", set(&[2]))]).await;
    let add = crate::Op {
        soul: "n".parse().unwrap(),
        field: "s".parse().unwrap(),
        action: crate::Action::Add(Value::Int(1)),
    };
    b.node.commit(Principal::Owner, vec![add], Duration::ZERO).await.unwrap();
    b.clock.advance(5);
    b.patch("n", &[("x", text("from b"))]).await;
    pass(&a, &b).await;
    pass(&b, &a).await;
    assert_eq!(a.data("n").await, r#"{"s":{"@set":[1,2]},"x":"from b"}"#);
    assert_eq!(export(&a).await, export(&b).await);
}

#[tokio::test]
async fn a_late_joiner_gets_what_is_left_of_commits_by_their_records() {
    let a = Bench::new(1).await;
    a.patch("n", &[("x", text("old")), ("y", text("kept")), ("s", set(&[1, 2, 3]))]).await;
    a.patch("n", &[("x", text("new")), ("s", set(&[2, 4]))]).await;
    let own = format!("~{}/p", a.node.identity().gateway);
    a.patch(&own, &[("s", set(&[1, 2]))]).await;
    a.patch(&own, &[("s", set(&[2])), ("gone", text("x"))]).await;
    a.patch(&own, &[("gone", Wanted::Value(Value::Null))]).await;
    let b = Bench::joined(&a, 2).await;
    let (index, _) = a.node.ingest().index(0, 1000).await.unwrap();
    let mut wanted: Vec<_> = index.iter().map(|item| item.record).collect();
    // In small answers, as a peer would ask.
    while !wanted.is_empty() {
        let (envelopes, missing) = a.node.ingest().envelopes(&wanted, 2000).await;
        assert_eq!(missing, [], "everything asked for is here");
        let outcomes = b.node.ingest().ingest(&ReplicaId("a".into()), envelopes).await;
        assert!(outcomes.iter().all(|outcome| *outcome == IngestOutcome::Durable), "{outcomes:?}");
        let (held, _) = b.node.ingest().index(0, 1000).await.unwrap();
        let before = wanted.len();
        wanted.retain(|record| !held.iter().any(|item| item.record == *record));
        assert!(wanted.len() < before, "every answer brings something");
    }
    let (_, missing) = a.node.ingest().envelopes(&[rustdht_core::RecordId([7; 32])], 600).await;
    assert_eq!(missing.len(), 1);
    assert_eq!(export(&a).await, export(&b).await);
    let rows = |bench: &Bench| {
        let mut rows: Vec<_> = bench.store.entries().into_iter().map(|entry| (entry.id, entry.body)).collect();
        rows.sort_by_key(|(id, _)| *id);
        rows
    };
    assert_eq!(rows(&a), rows(&b), "replicas compare equal byte for byte");
}

#[tokio::test]
async fn doors_and_members_refuse_what_breaks_a_rule() {
    let a = Bench::new(1).await;
    let other = Bench::new(7).await;
    let soul: Soul = "n".parse().unwrap();
    let stamp = Stamp::from_ms(NOW_MS);
    let op = || vec![write(&soul, "x", Value::from("v")).unwrap()];
    let foreign = Author::new(3).sign(other.node.identity().net, stamp, op()).unwrap();
    let mut forged = Author::new(3).sign(a.node.identity().net, stamp, op()).unwrap().envelope.to_vec();
    let at = forged.windows(2).position(|pair| pair == [0x58, 0x40]).unwrap() + 5;
    forged[at] ^= 1;
    for (envelope, code) in [(foreign.envelope, Code::WrongNetwork), (forged.into(), Code::BadSignature)] {
        match a.node.commit_signed(envelope.clone(), Duration::ZERO, Principal::Owner).await {
            Err(Error::Refused(refusal)) => assert_eq!(refusal.code, code),
            made => panic!("{made:?}"),
        }
        let outcomes = a.node.ingest().ingest(&ReplicaId("peer".into()), vec![envelope]).await;
        assert!(matches!(&outcomes[0], IngestOutcome::Refused(refusal) if refusal.code == code), "{outcomes:?}");
    }
    assert!(a.store.entries().is_empty(), "nothing changed");
}

#[tokio::test]
async fn a_kill_of_a_slotted_or_foreign_entry_is_refused_at_the_door() {
    let a = Bench::new(1).await;
    let soul: Soul = "n".parse().unwrap();
    let mut author = Author::new(3);
    let net = a.node.identity().net;
    let ops = vec![write(&soul, "x", Value::from("v")).unwrap(), set_add(&soul, "s", Value::Int(1)).unwrap()];
    let first = author.sign(net, Stamp::from_ms(NOW_MS), ops).unwrap();
    a.node.commit_signed(first.envelope.clone(), Duration::ZERO, Principal::Owner).await.unwrap();
    for (at, id) in [first.entries[0].id, first.entries[1].id].into_iter().enumerate() {
        let field = ["x", "t"][at];
        let kill =
            author.sign(net, Stamp::from_ms(NOW_MS + 1), vec![set_remove(&soul, field, vec![id]).unwrap()]).unwrap();
        match a.node.commit_signed(kill.envelope, Duration::ZERO, Principal::Owner).await {
            Err(Error::Refused(refusal)) => {
                assert_eq!((refusal.code, refusal.field.as_str()), (Code::BadValue, "ops.0.x.0"));
            }
            made => panic!("{made:?}"),
        }
    }
    let replay = a.node.commit_signed(first.envelope, Duration::ZERO, Principal::Owner).await.unwrap();
    assert!(replay.results.iter().all(|result| result.outcome == Outcome::Known));
}

#[tokio::test]
async fn parts_of_one_commit_that_come_at_the_same_time_are_united() {
    let a = Bench::new(1).await;
    let fields: Vec<_> = (0..6).map(|at| format!("f{at}")).collect();
    let wanted: Vec<_> = fields.iter().map(|field| (field.as_str(), text("x"))).collect();
    a.patch("n", &wanted).await;
    let b = Bench::joined(&a, 2).await;
    let (index, _) = a.node.ingest().index(0, 1000).await.unwrap();
    let parts = index.iter().map(|item| async {
        let (envelopes, _) = a.node.ingest().envelopes(&[item.record], 1 << 20).await;
        b.node.ingest().ingest(&ReplicaId("a".into()), envelopes).await
    });
    futures::future::join_all(parts).await;
    let records: Vec<_> = index.iter().map(|item| item.record).collect();
    let (envelopes, missing) = b.node.ingest().envelopes(&records, 1 << 20).await;
    assert_eq!((envelopes.len(), missing.len()), (1, 0), "the whole commit can be sent on");
    let c = Bench::joined(&a, 3).await;
    c.node.ingest().ingest(&ReplicaId("b".into()), envelopes).await;
    assert_eq!(export(&c).await, export(&a).await);
}
