//! Revocation: the same everywhere, in whatever order it is learned.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt as _;
use rustdht_core::{
    Code, Soul, Stamp, Value,
    ports::{IngestOutcome, ReplicaId},
};
use rustdht_testkit::{Author, set_add, write};
use rustdht_wire::{Certificate, Rights, SignedCertificate};

use super::{
    Bench, NOW_MS,
    authority::{account, code, issue},
    exchange::export,
    request, set, text,
};
use crate::{At, NodeWrite, Principal, RenderOptions, WriteMode};

const ALL: Rights = Rights { write: true, delegate: true, endorse: false };

async fn take(bench: &Bench, envelopes: &[Bytes]) -> Vec<IngestOutcome> {
    bench.node.ingest().ingest(&ReplicaId("peer".into()), envelopes.to_vec()).await
}

/// The revocation of a certificate, signed by an owner or, under `chain`, by somebody else.
fn revocation(author: &mut Author, net: rustdht_core::NetId, of: &SignedCertificate, stamp: Stamp) -> Bytes {
    let space = of.certificate().space.clone();
    author.sign(net, stamp, vec![set_add(&space, "revoked", Value::Blob(of.id().to_cid())).unwrap()]).unwrap().envelope
}

/// Owner 3, who let 4 write and delegate, who let 5 write.
struct House {
    owner: Author,
    steward: Author,
    guest: Author,
    to_steward: Arc<SignedCertificate>,
    to_guest: Arc<SignedCertificate>,
    soul: Soul,
}

fn house(net: rustdht_core::NetId) -> House {
    let (owner, steward, guest) = (Author::new(3), Author::new(4), Author::new(5));
    let to_steward = Arc::new(owner.certificate(net, steward.public(), ALL).sign(owner.key()).unwrap());
    let to_guest = Certificate {
        issuer: steward.public(),
        audience: guest.public(),
        parent: Some(to_steward.id()),
        ..to_steward.certificate().clone()
    };
    let to_guest = Arc::new(to_guest.sign(steward.key()).unwrap());
    let soul = format!("~{}/wall", owner.public()).parse().unwrap();
    let steward = steward.under(&[&[Arc::clone(&to_steward)]]);
    let guest = guest.under(&[&[Arc::clone(&to_guest), Arc::clone(&to_steward)]]);
    House { owner, steward, guest, to_steward, to_guest, soul }
}

impl House {
    fn by_guest(&mut self, net: rustdht_core::NetId, field: &str, stamp_ms: u64) -> Bytes {
        let op = vec![write(&self.soul, field, Value::from("guest")).unwrap()];
        self.guest.sign(net, Stamp::from_ms(stamp_ms), op).unwrap().envelope
    }
}

#[tokio::test]
async fn it_hides_everything_whatever_its_stamp_and_in_whatever_order() {
    let a = Bench::new(1).await;
    let b = Bench::joined(&a, 2).await;
    let net = a.node.identity().net;
    let mut house = house(net);
    let first = house.by_guest(net, "first", NOW_MS - 5000);
    let owners = {
        let op = vec![write(&house.soul, "own", Value::from("owner")).unwrap()];
        house.owner.sign(net, Stamp::from_ms(NOW_MS - 4000), op).unwrap().envelope
    };
    let revoked = revocation(&mut house.owner, net, &house.to_guest, Stamp::from_ms(NOW_MS));
    let back_dated = house.by_guest(net, "back", NOW_MS - 60_000);
    let later = house.by_guest(net, "later", NOW_MS + 1000);
    let all = [first, owners, revoked, back_dated, later];
    let orders = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]];
    for (bench, order) in [&a, &b].into_iter().zip(orders) {
        for at in order {
            let outcomes = take(bench, &all[at..=at]).await;
            assert_eq!(outcomes, [IngestOutcome::Durable], "between replicas it is admitted, without effect");
            // A rendering that is kept must not outlive the revocation.
            bench.data(&house.soul).await;
        }
        assert_eq!(bench.data(&house.soul).await, r#"{"own":"owner"}"#);
    }
    assert_eq!(export(&a).await, export(&b).await);
    // At a door it is refused, and planning works on what is shown.
    let once_more = house.by_guest(net, "more", NOW_MS + 2000);
    let made = a.node.commit_signed(once_more, Duration::ZERO, Principal::Owner).await;
    assert_eq!(code(made), Code::CertificateRevoked);
    let linked =
        a.node.path(&house.soul, &["first".parse().unwrap()], RenderOptions::default()).await.unwrap().unwrap();
    assert!(linked.values.is_empty());
    // A restart changes nothing.
    a.node.stop();
    let a = Bench::on(Arc::clone(&a.store), Arc::clone(&a.clock), 9, super::founding()).await;
    assert_eq!(export(&a).await, export(&b).await);
}

#[tokio::test]
async fn it_covers_descendants_and_counts_from_those_who_issued_only() {
    let a = Bench::new(1).await;
    let net = a.node.identity().net;
    let mut house = house(net);
    let guest = house.by_guest(net, "x", NOW_MS);
    take(&a, &[guest]).await;
    // The guest did not issue what the steward holds; and may not revoke it although he may write there.
    let by_guest = revocation(&mut house.guest, net, &house.to_steward, Stamp::from_ms(NOW_MS));
    assert_eq!(take(&a, &[by_guest]).await, [IngestOutcome::Durable]);
    assert_eq!(a.data(&house.soul).await, r#"{"x":"guest"}"#);
    let by_steward = revocation(&mut house.steward, net, &house.to_guest, Stamp::from_ms(NOW_MS));
    assert_eq!(take(&a, &[by_steward]).await, [IngestOutcome::Durable]);
    assert_eq!(a.data(&house.soul).await, "absent", "who issued it takes it back");
    let b = Bench::joined(&a, 2).await;
    let guest = house.by_guest(net, "y", NOW_MS);
    take(&b, &[guest]).await;
    assert_ne!(b.data(&house.soul).await, "absent");
    let by_owner = revocation(&mut house.owner, net, &house.to_steward, Stamp::from_ms(NOW_MS));
    take(&b, &[by_owner]).await;
    assert_eq!(b.data(&house.soul).await, "absent", "with the parent goes the child");
}

#[tokio::test]
async fn it_counts_when_the_certificate_comes_later_and_cannot_be_taken_back() {
    let a = Bench::new(1).await;
    let net = a.node.identity().net;
    let mut house = house(net);
    let by_steward = revocation(&mut house.steward, net, &house.to_guest, Stamp::from_ms(NOW_MS));
    take(&a, &[by_steward]).await;
    a.data(&house.soul).await;
    let guest = house.by_guest(net, "x", NOW_MS);
    take(&a, &[guest]).await;
    assert_eq!(a.data(&house.soul).await, "absent");
    // Killing the entry, or deleting the field, gives nothing back.
    let space = Soul::of_key(house.owner.public());
    let state = a.node.visible_state(&space, Principal::Anonymous).await.unwrap();
    let id = state.added("revoked").next().unwrap().id;
    let kill = vec![rustdht_testkit::set_remove(&space, "revoked", vec![id]).unwrap()];
    let kill = house.owner.sign(net, Stamp::from_ms(NOW_MS + 1000), kill).unwrap().envelope;
    assert_eq!(take(&a, &[kill]).await, [IngestOutcome::Durable]);
    assert_eq!(a.data(&house.soul).await, "absent");
}

#[tokio::test]
async fn what_is_worth_keeping_is_written_anew() {
    let a = Bench::founder(1).await;
    let (ada, ben) = (account(&a, "ada").await, account(&a, "ben").await);
    let (Principal::Account(ada_key), Principal::Account(ben_key)) = (ada, ben) else { panic!("two accounts") };
    let certificate = a.node.issue(ada, issue(ben_key)).await.unwrap();
    let soul = format!("~{ada_key}/page");
    let write = |by, fields: &[(&str, crate::Wanted)]| NodeWrite { by, ..request(&soul, WriteMode::Patch, fields) };
    a.node.write(write(ada, &[("title", text("by ada")), ("tags", set(&[1])), ("gone", text("x"))])).await.unwrap();
    let counter = |total: &str| {
        crate::read_wanted(&serde_json::value::to_raw_value(&serde_json::json!({"@counter": total})).unwrap()).unwrap()
    };
    a.node.write(write(ada, &[("count", counter("2"))])).await.unwrap();
    a.node
        .write(write(
            ben,
            &[
                ("title", text("by ben")),
                ("tags", set(&[1, 2])),
                ("gone", crate::Wanted::Value(Value::Null)),
                ("count", counter("5")),
            ],
        ))
        .await
        .unwrap();
    let shown = a.data(&soul).await;
    a.node.revoke(ada, &certificate.id(), true, Duration::ZERO).await.unwrap();
    assert_eq!(a.data(&soul).await, shown);
    assert_eq!(shown, r#"{"count":{"@counter":"5"},"tags":{"@set":[1,2]},"title":"by ben"}"#);
    a.node.revoke(ada, &certificate.id(), true, Duration::ZERO).await.unwrap();
    assert_eq!(a.data(&soul).await, shown, "run again it changes nothing");
    let made = a.node.write(write(ben, &[("title", text("again"))])).await;
    assert_eq!(code(made), Code::NotAuthorised);
    // What ben wrote elsewhere was not ada's to hide.
    a.node.write(NodeWrite { by: ben, ..request("public", WriteMode::Patch, &[("x", text("ben"))]) }).await.unwrap();
    assert_eq!(a.data("public").await, r#"{"x":"ben"}"#);
}

#[tokio::test]
async fn a_plain_revocation_drops_what_it_hides_from_view_at_once() {
    let a = Bench::founder(1).await;
    let (ada, ben) = (account(&a, "ada").await, account(&a, "ben").await);
    let (Principal::Account(ada_key), Principal::Account(ben_key)) = (ada, ben) else { panic!("two accounts") };
    let certificate = a.node.issue(ada, issue(ben_key)).await.unwrap();
    let soul: Soul = format!("~{ada_key}/page").parse().unwrap();
    a.node.write(NodeWrite { by: ben, ..request(&soul, WriteMode::Patch, &[("x", text("ben"))]) }).await.unwrap();
    assert!(a.node.cached(&soul).is_some());
    assert_eq!(code(a.node.revoke(ben, &certificate.id(), false, Duration::ZERO).await), Code::NotAuthorised);
    let filter = crate::WatchFilter::Soul(soul.clone());
    let mut watch = Box::pin(a.node.watch(filter, None, Principal::Anonymous));
    a.node.revoke(ada, &certificate.id(), false, Duration::ZERO).await.unwrap();
    assert!(a.node.cached(&soul).is_none());
    assert!(a.node.get(&soul, At::Local, RenderOptions::default()).await.unwrap().is_none());
    assert!(a.node.is_revoked(&certificate.id()).await.unwrap());
    match tokio::time::timeout(Duration::from_secs(20), watch.next()).await.unwrap() {
        Some(Ok(crate::WatchEvent::Changed { node: None, fields, .. })) => assert_eq!(fields[0].as_str(), "x"),
        other => panic!("{other:?}"),
    }
    // Ada writes the field anew, on top of nothing; a write in the same breath is planned on what is shown.
    let made =
        a.node.write(NodeWrite { by: ada, ..request(&soul, WriteMode::Patch, &[("x", text("ada"))]) }).await.unwrap();
    assert!(String::from_utf8(made.node.unwrap().json.to_vec()).unwrap().contains(r#""x":"ada""#));
}

#[tokio::test]
async fn who_waits_for_a_certificate_is_told_even_if_a_read_saw_it_first() {
    let a = Bench::new(1).await;
    let net = a.node.identity().net;
    let mut house = house(net);
    let bare = Arc::clone(&house.to_guest);
    let op = vec![write(&house.soul, "x", Value::from("guest")).unwrap()];
    let built = house.guest.sign(net, Stamp::from_ms(NOW_MS), op).unwrap();
    let without = rustdht_wire::with_extras(&built.envelope, &rustdht_wire::Extras::default()).unwrap();
    assert_eq!(take(&a, &[without.into()]).await, [IngestOutcome::Pending]);
    let authority = &a.node.inner.shared.authority;
    assert_eq!(authority.pending.len(), 1);
    // Durable, and read by somebody, before those who wait are told.
    let chain = [bare, Arc::clone(&house.to_steward)];
    a.node.side(authority.rows(&chain)).await.unwrap();
    assert!(authority.chain(&house.to_guest.id()).await.unwrap().is_some());
    authority.learned(&chain);
    for _ in 0..200 {
        if a.data(&house.soul).await == r#"{"x":"guest"}"# {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("what waited for the certificate was not tried again");
}

#[tokio::test]
async fn a_successor_that_another_one_followed_writes_no_more() {
    let a = Bench::new(1).await;
    let b = Bench::joined(&a, 2).await;
    let net = a.node.identity().net;
    // 3 was followed by 4, who let 5 write, and then by 6.
    let House { mut owner, steward: mut first, mut guest, to_steward, soul, .. } = house(net);
    let last = Author::new(6);
    let to_last = Arc::new(owner.certificate(net, last.public(), ALL).sign(owner.key()).unwrap());
    let mut last = last.under(&[&[to_last]]);
    let root = Soul::of_key(owner.public());
    let mut named = |key: rustdht_core::PublicKey, stamp_ms| {
        let op = vec![set_add(&root, "successor", Value::Link(Soul::of_key(key))).unwrap()];
        owner.sign(net, Stamp::from_ms(stamp_ms), op).unwrap().envelope
    };
    let (first_named, last_named) = (named(first.public(), NOW_MS - 5000), named(last.public(), NOW_MS - 1000));
    let by = |author: &mut Author, field: &str, stamp_ms| {
        let op = vec![write(&soul, field, Value::from("x")).unwrap()];
        author.sign(net, Stamp::from_ms(stamp_ms), op).unwrap().envelope
    };
    let all = [
        first_named,
        by(&mut first, "before", NOW_MS - 3000),
        by(&mut guest, "guest", NOW_MS - 2000),
        by(&mut first, "after", NOW_MS),
        last_named,
        by(&mut guest, "late", NOW_MS),
        by(&mut last, "last", NOW_MS),
    ];
    for (bench, order) in [&a, &b].into_iter().zip([[0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0]]) {
        for at in order {
            assert_eq!(take(bench, &all[at..=at]).await, [IngestOutcome::Durable]);
            bench.data(&soul).await;
        }
        assert_eq!(bench.data(&soul).await, r#"{"before":"x","guest":"x","last":"x"}"#);
    }
    assert_eq!(export(&a).await, export(&b).await);
    assert!(a.node.is_revoked(&to_steward.id()).await.unwrap());
    let once_more = by(&mut first, "door", NOW_MS + 1000);
    let made = a.node.commit_signed(once_more, Duration::ZERO, Principal::Owner).await;
    assert_eq!(code(made), Code::CertificateRevoked);
}

#[tokio::test]
async fn what_an_account_delegated_outlives_its_second_rotation() {
    let a = Bench::new(1).await;
    let (ada, ben) = (account(&a, "ada").await, account(&a, "ben").await);
    let (Principal::Account(ada_key), Principal::Account(ben_key)) = (ada, ben) else { panic!("two accounts") };
    let first = a.node.rotate(ada_key).await.unwrap();
    a.node.issue(ada, issue(ben_key)).await.unwrap();
    let held = async |key| {
        let filter = crate::CertificateFilter { audience: Some(key), ..Default::default() };
        a.node.certificates(filter).await.unwrap()[0].id()
    };
    assert!(!a.node.is_revoked(&held(first).await).await.unwrap());
    let second = a.node.rotate(ada_key).await.unwrap();
    assert!(a.node.is_revoked(&held(first).await).await.unwrap());
    assert!(!a.node.is_revoked(&held(second).await).await.unwrap());
    let soul = format!("~{ada_key}/page");
    for (by, field) in [(ben, "ben"), (ada, "ada")] {
        a.node.write(NodeWrite { by, ..request(&soul, WriteMode::Patch, &[(field, text("x"))]) }).await.unwrap();
    }
    assert_eq!(a.data(&soul).await, r#"{"ada":"x","ben":"x"}"#);
}
