//! Stamps ahead of the clock.

use std::{sync::Arc, time::Duration};

use rustdht_core::{
    Body, Code, Entry, Kind, Soul, Stamp, Value,
    ports::{Batch, GraphStore as _, LOST_AND_FOUND, SideRow},
};
use rustdht_testkit::{Author, ManualClock, write};

use super::{Bench, NOW_MS, founding, text};
use crate::{Error, Outcome, Principal};

const HOUR_MS: u64 = 3_600_000;

async fn wait_for(bench: &Bench, soul: &str, data: &str) {
    for _ in 0..200 {
        if bench.data(soul).await == data {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(bench.data(soul).await, data);
}

#[tokio::test]
async fn a_write_an_hour_ahead_waits_and_drags_no_clock() {
    let bench = Bench::new(1).await;
    let soul: Soul = "a".parse().unwrap();
    let mut author = Author::new(3);
    let net = bench.node.identity().net;
    let ahead = Stamp::from_ms(NOW_MS + HOUR_MS);
    let built = author.sign(net, ahead, vec![write(&soul, "x", Value::from("future")).unwrap()]).unwrap();
    let made = bench.node.commit_signed(built.envelope.clone(), Duration::ZERO, Principal::Owner).await.unwrap();
    assert_eq!(made.results[0].outcome, Outcome::Deferred { until_ms: NOW_MS + HOUR_MS });
    assert!(made.is_deferred());
    assert_eq!(bench.data("a").await, "absent");
    let written = bench.patch("a", &[("x", text("now"))]).await;
    assert!(written.stamp < Stamp::from_ms(NOW_MS + 1000), "the clock was not dragged ahead");
    assert!(bench.net.take().iter().all(|published| published.push.iter().all(|(id, _)| *id != built.commit.id)));

    // A restart while it waits.
    bench.node.stop();
    let clock = Arc::new(ManualClock::new(NOW_MS + 1000));
    let bench = Bench::on(Arc::clone(&bench.store), clock, 2, founding()).await;
    assert_eq!(bench.data("a").await, r#"{"x":"now"}"#);
    bench.clock.advance(HOUR_MS);
    wait_for(&bench, "a", r#"{"x":"future"}"#).await;
    let pushed = bench.net.take().iter().any(|published| published.push.iter().any(|(id, _)| *id == built.commit.id));
    assert!(pushed, "the members hear of it when it is admitted");
    let replay = bench.node.commit_signed(built.envelope, Duration::ZERO, Principal::Owner).await.unwrap();
    assert_eq!(replay.results[0].outcome, Outcome::Known);
}

#[tokio::test]
async fn two_days_ahead_is_refused_and_the_queue_is_bounded() {
    let bench = Bench::new(1).await;
    let soul: Soul = "a".parse().unwrap();
    let mut author = Author::new(3);
    let net = bench.node.identity().net;
    let op = || vec![write(&soul, "x", Value::from("future")).unwrap()];
    let far = author.sign(net, Stamp::from_ms(NOW_MS + 48 * HOUR_MS), op()).unwrap();
    match bench.node.commit_signed(far.envelope, Duration::ZERO, Principal::Owner).await {
        Err(Error::Refused(refusal)) => assert_eq!(refusal.code, Code::TooEarly),
        other => panic!("{other:?}"),
    }
    for at in 0..1024 {
        let built = author.sign(net, Stamp::from_ms(NOW_MS + HOUR_MS + at), op()).unwrap();
        bench.node.commit_signed(built.envelope, Duration::ZERO, Principal::Owner).await.unwrap();
    }
    let built = author.sign(net, Stamp::from_ms(NOW_MS + 2 * HOUR_MS), op()).unwrap();
    assert!(matches!(
        bench.node.commit_signed(built.envelope, Duration::ZERO, Principal::Owner).await,
        Err(Error::Refused(_))
    ));
    let other = Author::new(4).sign(net, Stamp::from_ms(NOW_MS + HOUR_MS), op()).unwrap();
    bench.node.commit_signed(other.envelope, Duration::ZERO, Principal::Owner).await.unwrap();
}

#[tokio::test]
async fn a_part_that_waits_does_not_shadow_the_whole() {
    let bench = Bench::new(1).await;
    let soul: Soul = "a".parse().unwrap();
    let net = bench.node.identity().net;
    let ops = vec![write(&soul, "x", Value::from("one")).unwrap(), write(&soul, "y", Value::from("two")).unwrap()];
    let built = Author::new(3).sign(net, Stamp::from_ms(NOW_MS + HOUR_MS), ops).unwrap();
    let part =
        rustdht_wire::envelope_of(&built.commit, &[&built.entries[0]], &rustdht_wire::Extras::default()).unwrap();
    let from = rustdht_core::ports::ReplicaId("peer".into());
    bench.node.ingest().ingest(&from, vec![part.into()]).await;
    bench.node.commit_signed(built.envelope, Duration::ZERO, Principal::Owner).await.unwrap();
    bench.clock.advance(HOUR_MS);
    wait_for(&bench, "a", r#"{"x":"one","y":"two"}"#).await;
}

fn holds(rows: &[(Vec<u8>, Vec<u8>)], text: &str) -> bool {
    rows.iter().any(|(_, row)| row.windows(text.len()).any(|part| part == text.as_bytes()))
}

#[tokio::test]
async fn an_erase_reaches_what_waits_and_what_a_repair_put_aside() {
    let bench = Bench::new(1).await;
    let soul: Soul = "a".parse().unwrap();
    let net = bench.node.identity().net;
    let mut author = Author::new(3);
    let op = |field: &str, text: &str| write(&soul, field, Value::from(text)).unwrap();
    // Due in 61 seconds: whole, in part, and under a base long before its stamp.
    let stamp = Stamp::from_ms(NOW_MS + 61_000);
    let whole = author.sign(net, stamp, vec![op("x", "secret one")]).unwrap();
    let part = author.sign(net, stamp, vec![op("x", "secret two"), op("y", "kept")]).unwrap();
    let compaction = rustdht_wire::Operation {
        kind: Kind::listed("text"),
        kills: vec![whole.entries[0].id],
        base: Some(Stamp::from_ms(NOW_MS)),
        slot: rustdht_core::Slot::Own,
        ..write(&soul, "x", Value::Bytes((&b"secret three"[..]).into())).unwrap()
    };
    let later = author.sign(net, Stamp::from_ms(NOW_MS + HOUR_MS), vec![compaction]).unwrap();
    for built in [whole, part, later] {
        bench.node.commit_signed(built.envelope, Duration::ZERO, Principal::Owner).await.unwrap();
    }
    let row = |field: &str| SideRow {
        ns: LOST_AND_FOUND,
        key: [b"a\0", field.as_bytes(), b"\0history\0", &[0; 8]].concat(),
        value: Some(b"secret".to_vec()),
        insert_only: false,
    };
    let batch = Batch { side: vec![row("x"), row("y")], now_ms: NOW_MS, ..Batch::default() };
    bench.store.apply(batch).await.unwrap();
    bench.clock.advance(2000);
    let erase = rustdht_wire::Operation {
        kind: Kind::listed(Kind::KILL),
        slot: rustdht_core::Slot::Own,
        body: Body::Live { value: Value::from(Entry::ERASE), salt: Some(rustdht_core::Salt([7; 16])) },
        ..op("x", "")
    };
    let erase = author.sign(net, Stamp::from_ms(NOW_MS + 62_000), vec![erase]).unwrap();
    bench.node.commit_signed(erase.envelope, Duration::ZERO, Principal::Owner).await.unwrap();
    let rows = bench.store.side_scan("deferred", &[], 10).await.unwrap();
    assert_eq!((rows.len(), holds(&rows, "secret"), holds(&rows, "kept")), (1, false, true));
    let rows = bench.store.side_scan(LOST_AND_FOUND, &[], 10).await.unwrap();
    assert_eq!((rows.len(), rows[0].0.starts_with(b"a\0y\0")), (1, true), "what is of another field stays");
    // What an erase does not cover is admitted in its time.
    bench.clock.advance(HOUR_MS);
    wait_for(&bench, "a", r#"{"y":"kept"}"#).await;
    assert!(bench.store.losers().iter().all(|loser| loser.entry.field.as_str() == "y"));
}
