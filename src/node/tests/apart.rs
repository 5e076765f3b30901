//! A week apart: two gateways write on, cut off from each other, and merge.

use std::{collections::BTreeSet, time::Duration};

use rustdht_core::{
    Kind, Value,
    ports::{IngestOutcome, ReplicaId},
};

use super::{Bench, exchange::export, text};
use crate::{Action, Content, Op, Principal, Wanted};

const DAYS: u64 = 7;
const ROUNDS_A_DAY: u64 = 24;
const DAY_MS: u64 = 24 * 3_600_000;

fn op(soul: &str, field: &str, action: Action) -> Op {
    Op { soul: soul.parse().unwrap(), field: field.parse().unwrap(), action }
}

fn kind(name: &'static str) -> Kind {
    Kind::listed(name)
}

/// Edits of every kind; `at` makes them differ from round to round.
fn edits(side: u64, at: u64) -> Vec<Op> {
    let name = |what: &str| format!("{what}/{}", at % 5);
    let number = i64::try_from(at * 2 + side).unwrap_or_default();
    let word = format!("{side}:{at} ");
    let mut ops = vec![
        op(&name("registers"), "x", Action::Set(text(&word))),
        op(&name("sets"), "s", Action::Add(Value::Int(number % 11))),
        op(&name("sets"), "t", Action::Remove(Value::Int(number % 7))),
        op(&name("counters"), "c", Action::Increment(number % 9 - 4)),
        op(&name("flags"), "f", if number % 3 == 0 { Action::Disable } else { Action::Enable }),
        op(
            &name("texts"),
            "t",
            Action::Insert { kind: kind(Kind::TEXT), index: 0, value: Content::Value(Value::from(word.as_str())) },
        ),
        op(
            &name("lists"),
            "l",
            Action::Insert { kind: kind(Kind::LIST), index: 0, value: Content::Value(Value::Int(number)) },
        ),
        op(
            &name("maps"),
            "m",
            Action::SetKey {
                kind: kind(Kind::MAP),
                key: format!("k{}", number % 4),
                value: Content::Value(Value::from(word.as_str())),
            },
        ),
    ];
    for (field, wrapper) in [("max", Kind::MAX), ("min", Kind::MIN)] {
        let content = Content::Value(Value::Int(number % 100));
        ops.push(op(&name("extremes"), field, Action::Set(Wanted::Wrapped { kind: kind(wrapper), content })));
    }
    if at % 6 == side {
        ops.push(op(&name("registers"), "gone", Action::Delete { erase: at % 12 == side }));
    } else {
        ops.push(op(&name("registers"), "gone", Action::Set(text(&word))));
    }
    ops
}

/// What one lacks, by record.
async fn bring(from: &Bench, to: &Bench) -> bool {
    let index = |bench: &Bench| {
        let ingest = bench.node.ingest();
        async move {
            let (mut records, mut after) = (BTreeSet::new(), 0);
            loop {
                let (page, next) = ingest.index(after, 4096).await.unwrap();
                if page.is_empty() {
                    return records;
                }
                records.extend(page.iter().map(|item| item.record));
                after = next;
            }
        }
    };
    let (held, offered) = (index(to).await, index(from).await);
    let lacks: Vec<_> = offered.difference(&held).copied().collect();
    for records in lacks.chunks(512) {
        let mut rest: BTreeSet<_> = records.iter().copied().collect();
        for _ in 0..64 {
            if rest.is_empty() {
                break;
            }
            let asked: Vec<_> = rest.iter().copied().collect();
            let (envelopes, missing) = from.node.ingest().envelopes(&asked, 256 << 10).await;
            let outcomes = to.node.ingest().ingest(&ReplicaId("peer".into()), envelopes).await;
            let fine = |outcome: &IngestOutcome| matches!(outcome, IngestOutcome::Durable | IngestOutcome::Pending);
            assert!(outcomes.iter().all(fine), "{outcomes:?}");
            let here = index(to).await;
            let before = rest.len();
            rest.retain(|record| !here.contains(record) && !missing.contains(record));
            if rest.len() == before {
                break;
            }
        }
    }
    !lacks.is_empty()
}

#[tokio::test]
async fn a_week_of_edits_on_both_sides_merges_equal() {
    let a = Bench::founder(1).await;
    let b = Bench::member(&a, 2).await;
    a.patch("registers/0", &[("x", text("before the cut"))]).await;
    bring(&a, &b).await;
    bring(&b, &a).await;
    assert_eq!(export(&a).await, export(&b).await);
    let mut edited = 0;
    for at in 0..DAYS * ROUNDS_A_DAY {
        for (side, bench) in [(0, &a), (1, &b)] {
            let ops = edits(side, at);
            edited += ops.len();
            bench.node.commit(Principal::Owner, ops, Duration::ZERO).await.unwrap();
        }
        a.clock.advance(DAY_MS / ROUNDS_A_DAY);
    }
    assert!(edited > 3000, "{edited}");
    assert_ne!(export(&a).await, export(&b).await);
    for _ in 0..8 {
        let more = bring(&a, &b).await;
        if !(bring(&b, &a).await || more) {
            break;
        }
    }
    assert_eq!(export(&a).await, export(&b).await);
    let rows = |bench: &Bench| {
        let mut rows: Vec<_> = bench.store.entries().into_iter().map(|entry| (entry.id, entry.body)).collect();
        rows.sort_by_key(|(id, _)| *id);
        rows
    };
    assert_eq!(rows(&a), rows(&b), "replicas compare equal byte for byte");
    for soul in ["registers/1", "sets/1", "counters/1", "flags/1", "texts/1", "lists/1", "maps/1", "extremes/1"] {
        assert_ne!(a.data(soul).await, "absent", "{soul}");
    }
}
