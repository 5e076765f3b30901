//! Mode `members`: certificates, endorsements, and what happens without them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rustdht_core::{
    Code, Soul, Stamp, Value,
    ports::{GraphStore as _, IndexItem, IngestOutcome, ReplicaId},
};
use rustdht_testkit::{Author, set_add, set_remove, write};
use rustdht_wire::{Extras, Rights, with_extras};

use super::{
    Bench, NOW_MS,
    exchange::{export, pass},
    text,
};
use crate::{CertificateFilter, Error, Founding, Issue, Principal};

async fn index(bench: &Bench) -> BTreeSet<IndexItem> {
    let (mut items, mut after) = (BTreeSet::new(), 0);
    loop {
        let (page, next) = bench.node.ingest().index(after, 7).await.unwrap();
        if page.is_empty() {
            return items;
        }
        items.extend(page);
        after = next;
    }
}

/// What `to` lacks, by record, as reconciliation would bring it.
async fn reconcile(from: &Bench, to: &Bench) {
    for _ in 0..100 {
        let held = index(to).await;
        let lacks: Vec<_> = index(from).await.difference(&held).map(|item| item.record).collect();
        if lacks.is_empty() {
            return;
        }
        let (envelopes, _) = from.node.ingest().envelopes(&lacks, 4000).await;
        let outcomes = to.node.ingest().ingest(&ReplicaId("peer".into()), envelopes).await;
        assert!(outcomes.iter().all(|outcome| *outcome == IngestOutcome::Durable), "{outcomes:?}");
    }
    panic!("reconciliation does not end");
}

fn refused(outcomes: &[IngestOutcome]) -> Option<Code> {
    match outcomes {
        [IngestOutcome::Refused(refusal)] => Some(refusal.code),
        _ => None,
    }
}

#[tokio::test]
async fn what_a_founder_writes_is_endorsed_and_indexed_as_such() {
    let a = Bench::founder(1).await;
    a.until_member().await;
    a.net.take();
    a.patch("n", &[("x", text("one"))]).await;
    let published = a.net.take();
    let adds: usize = published.iter().map(|published| published.adds.len()).sum();
    assert_eq!(adds, 2, "the entry and its endorsement");
    let b = Bench::member(&a, 2).await;
    let envelopes = published.into_iter().flat_map(|published| published.push).map(|(_, envelope)| envelope).collect();
    let outcomes = b.node.ingest().ingest(&ReplicaId("a".into()), envelopes).await;
    assert_eq!(outcomes, [IngestOutcome::Durable]);
    assert_eq!(b.data("n").await, r#"{"x":"one"}"#);
    // Written over, neither is left in the index.
    let before = index(&a).await.len();
    a.patch("n", &[("x", text("two"))]).await;
    assert_eq!(index(&a).await.len(), before);
    let drops: usize = a.net.take().iter().map(|published| published.drops.len()).sum();
    assert_eq!(drops, 2, "the entry and its endorsement");
}

#[tokio::test]
async fn a_founder_lists_its_members() {
    let a = Bench::founder(1).await;
    let b = Bench::member(&a, 2).await;
    a.until_member().await;
    let soul = Soul::of_key(a.node.identity().community);
    for _ in 0..200 {
        let state = a.node.visible_state(&soul, Principal::Anonymous).await.unwrap();
        let members: BTreeSet<String> =
            state.added("members").filter_map(|entry| Some(format!("{:?}", entry.body.value()?))).collect();
        let wanted: BTreeSet<String> =
            [&a, &b].map(|bench| format!("{:?}", Value::Link(Soul::of_key(bench.node.identity().gateway)))).into();
        if members == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the members are not listed");
}

#[tokio::test]
async fn what_a_joiner_writes_waits_for_its_certificate() {
    let a = Bench::founder(1).await;
    let b = Bench::joined(&a, 2).await;
    let early = b.patch("n", &[("x", text("early"))]).await;
    assert!(!early.durability.is_acknowledged(), "nobody takes it yet");
    assert_eq!(b.data("n").await, r#"{"x":"early"}"#);
    assert!(b.net.take().iter().all(|published| published.push.is_empty()));
    // A restart while it waits.
    b.node.stop();
    let invite = a.node.invite().await.unwrap().parse().unwrap();
    let founding = Founding::Join(Box::new(invite));
    let b = Bench::beside(Arc::clone(&b.store), Arc::clone(&b.clock), 3, founding, Some(a.node.ingest())).await;
    b.until_member().await;
    pass(&b, &a).await;
    assert_eq!(a.data("n").await, r#"{"x":"early"}"#);
    reconcile(&a, &b).await;
    reconcile(&b, &a).await;
    assert_eq!((export(&a).await, index(&a).await), (export(&b).await, index(&b).await));
}

#[tokio::test]
async fn a_member_that_may_delegate_certifies_others() {
    let a = Bench::founder(1).await;
    let b = Bench::member(&a, 2).await;
    let c = Bench::member(&b, 3).await;
    assert_eq!(c.node.member_chain().len(), 3 - 1);
    c.patch("n", &[("x", text("from c"))]).await;
    pass(&c, &a).await;
    assert_eq!(a.data("n").await, r#"{"x":"from c"}"#);
    let again = b.node.ingest().certify(c.node.identity().gateway).await;
    assert_eq!(again.len(), 2, "asked again it is the same certificate");
    assert_eq!(again[0].0, *c.node.member_chain()[0].bytes());
}

#[tokio::test]
async fn a_gateway_does_not_go_with_whoever_certified_it() {
    let a = Bench::founder(1).await;
    let b = Bench::member(&a, 2).await;
    let c = Bench::member(&b, 3).await;
    c.patch("n", &[("x", text("from c"))]).await;
    pass(&c, &a).await;
    let of_b = CertificateFilter { audience: Some(b.node.identity().gateway), ..CertificateFilter::default() };
    let certificate = a.node.certificates(of_b).await.unwrap()[0].id();
    a.node.revoke(Principal::Owner, &certificate, false, Duration::ZERO).await.unwrap();
    assert!(a.node.ingest().certify(b.node.identity().gateway).await.is_empty(), "b was put out");
    let again = a.node.ingest().certify(c.node.identity().gateway).await;
    assert_eq!(again.len(), 1, "c was not");
}

#[tokio::test]
async fn nobody_gets_in_without_the_word_of_a_member() {
    let a = Bench::founder(1).await;
    let soul: Soul = "n".parse().unwrap();
    let net = a.node.identity().net;
    let sign = |author: &mut Author| {
        author.sign(net, Stamp::from_ms(NOW_MS), vec![write(&soul, "x", Value::from("v")).unwrap()]).unwrap()
    };
    let built = sign(&mut Author::new(3));
    let from = ReplicaId("peer".into());
    let outcomes = a.node.ingest().ingest(&from, vec![built.envelope.clone()]).await;
    assert_eq!(refused(&outcomes), Some(Code::NotAuthorised));
    match a.node.commit_signed(built.envelope.clone(), Duration::ZERO, Principal::Anonymous).await {
        Err(Error::Refused(refusal)) => assert_eq!(refusal.code, Code::NotAuthorised),
        made => panic!("{made:?}"),
    }
    // A certificate that C did not issue lends no weight.
    let liar = Author::new(9);
    let own = liar.certificate(net, liar.public(), Rights { write: true, delegate: true, endorse: true });
    let own = Arc::new(own.sign(liar.key()).unwrap());
    let by = rustdht_wire::EndorsedBy {
        certificate: own.id(),
        signature: rustdht_wire::endorse(liar.key(), &built.commit.id),
    };
    let extras = Extras { certificates: &[own], endorsements: &[by] };
    let forged = with_extras(&built.envelope, &extras).unwrap();
    let outcomes = a.node.ingest().ingest(&from, vec![forged.into()]).await;
    assert_eq!(refused(&outcomes), Some(Code::NotAuthorised));
    assert_eq!(a.data("n").await, "absent");
    // Whom this gateway knows, it vouches for.
    a.node.commit_signed(built.envelope, Duration::ZERO, Principal::Owner).await.unwrap();
    assert_eq!(a.data("n").await, r#"{"x":"v"}"#);
    let b = Bench::member(&a, 2).await;
    reconcile(&a, &b).await;
    assert_eq!(export(&b).await, export(&a).await);
}

#[tokio::test]
async fn what_was_endorsed_comes_in_through_any_door() {
    let a = Bench::founder(1).await;
    let b = Bench::member(&a, 2).await;
    let mut author = Author::new(3);
    let op = vec![write(&"n".parse().unwrap(), "x", Value::from("v")).unwrap()];
    let built = author.sign(a.node.identity().net, Stamp::from_ms(NOW_MS), op).unwrap();
    a.until_member().await;
    a.net.take();
    a.node.commit_signed(built.envelope.clone(), Duration::ZERO, Principal::Owner).await.unwrap();
    let endorsed = a.net.take().pop().unwrap().push.pop().unwrap().1;
    b.node.commit_signed(endorsed, Duration::ZERO, Principal::Anonymous).await.unwrap();
    assert_eq!(b.data("n").await, r#"{"x":"v"}"#);
    let endorsers = b.store.endorsements(&[built.commit.id]).await.unwrap();
    assert_eq!(endorsers.len(), 1, "b gives its word to those only whom it knows");
}

#[tokio::test]
async fn an_entry_is_shown_while_one_of_its_endorsers_stands() {
    let a = Bench::founder(1).await;
    let b = Bench::member(&a, 2).await;
    let c = Bench::member(&a, 3).await;
    let net = a.node.identity().net;
    let mut author = Author::new(3);
    let mut sign = |name: &str| {
        let op = vec![write(&name.parse().unwrap(), "x", Value::from("v")).unwrap()];
        author.sign(net, Stamp::from_ms(NOW_MS), op).unwrap().envelope
    };
    let (one, both) = (sign("one"), sign("both"));
    b.net.take();
    b.node.commit_signed(one, Duration::ZERO, Principal::Owner).await.unwrap();
    b.node.commit_signed(both.clone(), Duration::ZERO, Principal::Owner).await.unwrap();
    c.node.commit_signed(both, Duration::ZERO, Principal::Owner).await.unwrap();
    b.patch("own", &[("x", text("by b"))]).await;
    // `a` holds the entries; the second word for one of them comes alone.
    reconcile(&b, &a).await;
    let before = index(&a).await.len();
    reconcile(&c, &a).await;
    assert_eq!(index(&a).await.len(), before + 1, "the second endorsement of an entry that is here");
    assert_ne!(a.data("one").await, "absent");

    let of_b = CertificateFilter { audience: Some(b.node.identity().gateway), ..CertificateFilter::default() };
    let certificate = a.node.certificates(of_b).await.unwrap()[0].id();
    a.node.revoke(Principal::Owner, &certificate, false, Duration::ZERO).await.unwrap();
    assert_eq!(a.data("one").await, "absent");
    assert_eq!(a.data("own").await, "absent");
    assert_eq!(a.data("both").await, r#"{"x":"v"}"#);
    // Whoever learns of it, in whatever order, shows the same; b itself endorses nothing any more.
    reconcile(&a, &b).await;
    reconcile(&a, &c).await;
    reconcile(&b, &a).await;
    assert_eq!(export(&a).await, export(&b).await);
    assert_eq!(export(&a).await, export(&c).await);
    assert!(b.node.member_chain().is_empty(), "it knows that it was put out");
    assert!(a.node.ingest().certify(b.node.identity().gateway).await.is_empty(), "it does not come back by asking");
    b.patch("late", &[("x", text("by b"))]).await;
    assert!(b.net.take().iter().all(|published| {
        published.push.iter().all(|(_, envelope)| !envelope.windows(4).any(|part| part == b"late"))
    }));
}

#[tokio::test]
async fn a_member_stays_one_over_a_restart_and_renews_in_time() {
    let a = Bench::founder(1).await;
    let b = Bench::member(&a, 2).await;
    let first = b.node.member_chain()[0].id();
    b.node.stop();
    let founding = super::founding();
    let b = Bench::on(Arc::clone(&b.store), Arc::clone(&b.clock), 5, founding).await;
    assert_eq!(b.node.member_chain()[0].id(), first);
    b.node.stop();
    // Nine months later two thirds of it are over.
    a.clock.advance(270 * 24 * 3_600_000);
    let founding = super::founding();
    let b = Bench::beside(Arc::clone(&b.store), Arc::clone(&b.clock), 6, founding, Some(a.node.ingest())).await;
    for _ in 0..500 {
        if b.node.member_chain()[0].id() != first {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the certificate was not renewed");
}

#[tokio::test]
async fn what_waited_for_its_cover_is_endorsed_when_it_is_taken() {
    let a = Bench::founder(1).await;
    let b = Bench::member(&a, 2).await;
    let net = a.node.identity().net;
    let mut owner = Author::new(3);
    let soul: Soul = format!("~{}/list", owner.public()).parse().unwrap();
    let add = owner.sign(net, Stamp::from_ms(NOW_MS), vec![set_add(&soul, "s", Value::from("x")).unwrap()]).unwrap();
    let kill = vec![set_remove(&soul, "s", vec![add.entries[0].id]).unwrap()];
    let kill = owner.sign(net, Stamp::from_ms(NOW_MS + 1), kill).unwrap();
    for built in [&add, &kill] {
        b.node.commit_signed(built.envelope.clone(), Duration::ZERO, Principal::Owner).await.unwrap();
    }
    let mut envelopes = b.node.ingest().soul_envelopes(&soul, 1 << 20).await;
    assert_eq!(envelopes.len(), 2);
    // The one without its value first.
    envelopes
        .sort_by_key(|envelope| !envelope.windows(add.commit.header.len()).any(|part| part == &*add.commit.header));
    let outcomes = a.node.ingest().ingest(&ReplicaId("peer".into()), envelopes).await;
    assert_eq!(outcomes, [IngestOutcome::Durable, IngestOutcome::Durable]);
    assert_eq!(a.store.endorsements(&[add.commit.id]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn in_an_open_network_endorsements_are_exchanged_too() {
    let a = Bench::new(1).await;
    let b = Bench::joined(&a, 2).await;
    let identity = a.node.identity();
    let endorser = Author::new(9);
    let wanted = Issue {
        space: Some(Soul::of_key(identity.community)),
        rights: Rights { endorse: true, ..Rights::default() },
        ..super::authority::issue(endorser.public())
    };
    let certificate = Arc::new(a.node.issue(Principal::Owner, wanted).await.unwrap());
    let op = vec![write(&"n".parse().unwrap(), "x", Value::from("v")).unwrap()];
    let built = Author::new(3).sign(identity.net, Stamp::from_ms(NOW_MS), op).unwrap();
    let signature = rustdht_wire::endorse(endorser.key(), &built.commit.id);
    let by = rustdht_wire::EndorsedBy { certificate: certificate.id(), signature };
    let extras = Extras { certificates: &[certificate], endorsements: &[by] };
    let envelope = with_extras(&built.envelope, &extras).unwrap();
    let outcomes = a.node.ingest().ingest(&ReplicaId("peer".into()), vec![envelope.into()]).await;
    assert_eq!(outcomes, [IngestOutcome::Durable]);
    reconcile(&a, &b).await;
    assert_eq!(index(&a).await, index(&b).await);
}

#[tokio::test]
async fn all_endorsements_that_are_asked_for_come_in_turn() {
    let a = Bench::founder(1).await;
    a.until_member().await;
    let net = a.node.identity().net;
    let op = vec![write(&"n".parse().unwrap(), "x", Value::from("v")).unwrap()];
    let built = Author::new(3).sign(net, Stamp::from_ms(NOW_MS), op).unwrap();
    for number in 100..140 {
        let endorser = Author::new(number);
        let wanted = Issue {
            space: Some(Soul::of_key(a.node.identity().community)),
            rights: Rights { endorse: true, ..Rights::default() },
            ..super::authority::issue(endorser.public())
        };
        let certificate = Arc::new(a.node.issue(Principal::Owner, wanted).await.unwrap());
        let signature = rustdht_wire::endorse(endorser.key(), &built.commit.id);
        let by = rustdht_wire::EndorsedBy { certificate: certificate.id(), signature };
        let envelope = with_extras(&built.envelope, &Extras { certificates: &[certificate], endorsements: &[by] });
        let from = ReplicaId("peer".into());
        assert_eq!(a.node.ingest().ingest(&from, vec![envelope.unwrap().into()]).await, [IngestOutcome::Durable]);
    }
    let b = Bench::member(&a, 2).await;
    let mut rounds = 0;
    while b.store.endorsements(&[built.commit.id]).await.unwrap().len() < 40 {
        let held = index(&b).await;
        let lacks: Vec<_> = index(&a).await.difference(&held).map(|item| item.record).collect();
        let (envelopes, _) = a.node.ingest().envelopes(&lacks, 1 << 20).await;
        b.node.ingest().ingest(&ReplicaId("a".into()), envelopes).await;
        rounds += 1;
        assert!(rounds <= 2, "each answer brings as many of those asked for as fit");
    }
}
