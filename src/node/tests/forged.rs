//! What a modified peer, or a client, may try: each attempt is without effect, and answered with its code.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rustdht_core::{
    Code, Kind, NetId, Soul, Stamp, Value,
    ports::{IngestOutcome, ReplicaId},
};
use rustdht_testkit::{Author, Forged, forge, set_add, set_remove, slotted, write};
use rustdht_wire::{Certificate, Extras, Operation, Rights, SignedCertificate, with_extras};

use super::{Bench, NOW_MS, exchange::export};
use crate::{Error, Principal};

const WRITE: Rights = Rights { write: true, delegate: false, endorse: false };

/// Tries an envelope between replicas and at the door of `a`: the code of each.
async fn tried(a: &Bench, envelope: Bytes) -> (Code, Code) {
    let before = (export(a).await, a.store.entries().len());
    let peers = a.node.ingest().ingest(&ReplicaId("peer".into()), vec![envelope.clone()]).await;
    let door = a.node.commit_signed(envelope, Duration::ZERO, Principal::Owner).await;
    assert_eq!((export(a).await, a.store.entries().len()), before, "nothing changed");
    match (&peers[..], door) {
        ([IngestOutcome::Refused(one)], Err(Error::Refused(two))) => (one.code, two.code),
        other => panic!("{other:?}"),
    }
}

fn both(code: Code) -> (Code, Code) {
    (code, code)
}

struct Scene {
    a: Bench,
    net: NetId,
    owner: Author,
    guest: Author,
    soul: Soul,
}

async fn scene() -> Scene {
    let a = Bench::new(1).await;
    let net = a.node.identity().net;
    let (owner, guest) = (Author::new(3), Author::new(4));
    let soul: Soul = format!("~{}/blog", owner.public()).parse().unwrap();
    Scene { a, net, owner, guest, soul }
}

impl Scene {
    fn now(&self) -> Stamp {
        Stamp::from_ms(NOW_MS)
    }

    fn op(&self) -> Operation {
        write(&self.soul, "x", Value::from("forged")).unwrap()
    }

    fn certificate(&self, change: impl FnOnce(&mut Certificate)) -> Arc<SignedCertificate> {
        let mut certificate = self.owner.certificate(self.net, self.guest.public(), WRITE);
        change(&mut certificate);
        Arc::new(certificate.sign(self.owner.key()).unwrap())
    }

    async fn under(&self, chain: &[Arc<SignedCertificate>]) -> (Code, Code) {
        let op = slotted(self.op(), &self.guest, Some(&chain[0].id()));
        tried(&self.a, forge(&self.guest, self.net, self.now(), &[chain], vec![op]).whole()).await
    }
}

#[tokio::test]
async fn writing_what_is_anothers() {
    let scene = scene().await;
    let op = slotted(scene.op(), &scene.guest, None);
    let forged = forge(&scene.guest, scene.net, scene.now(), &[], vec![op]);
    assert_eq!(tried(&scene.a, forged.whole()).await, both(Code::NotAuthorised));
    // In the owner's slot no better.
    let op = slotted(scene.op(), &scene.owner, None);
    let forged = forge(&scene.guest, scene.net, scene.now(), &[], vec![op]);
    assert_eq!(tried(&scene.a, forged.whole()).await, both(Code::NotAuthorised));
    let own = slotted(write(&Soul::of_key(scene.guest.public()), "x", Value::from("v")).unwrap(), &scene.owner, None);
    let forged = forge(&scene.guest, scene.net, scene.now(), &[], vec![own]);
    assert_eq!(tried(&scene.a, forged.whole()).await, both(Code::BadSlot), "one's own soul in a foreign slot");
    for (soul, code) in
        [("_/x", Code::LocalSpace), ("#bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", Code::Immutable)]
    {
        let op = slotted(write(&soul.parse().unwrap(), "x", Value::from("v")).unwrap(), &scene.guest, None);
        let forged = forge(&scene.guest, scene.net, scene.now(), &[], vec![op]);
        assert_eq!(tried(&scene.a, forged.whole()).await, both(code), "{soul}");
    }
}

#[tokio::test]
async fn certificates_that_do_not_hold() {
    let scene = scene().await;
    let good = scene.certificate(|_| {});
    // It would do, so that what follows fails for its own reason.
    let op = slotted(write(&scene.soul, "fine", Value::from("v")).unwrap(), &scene.guest, Some(&good.id()));
    let made = forge(&scene.guest, scene.net, scene.now(), &[&[Arc::clone(&good)]], vec![op]);
    scene.a.node.commit_signed(made.whole(), Duration::ZERO, Principal::Owner).await.unwrap();

    let over = scene.certificate(|certificate| certificate.not_after = Stamp::from_ms(NOW_MS - 1000));
    assert_eq!(scene.under(&[over]).await, both(Code::CertificateExpired));
    let early = scene.certificate(|certificate| certificate.not_before = Stamp::from_ms(NOW_MS + 1000));
    assert_eq!(scene.under(&[early]).await, both(Code::CertificateExpired));
    let below =
        scene.certificate(|certificate| certificate.prefixes = vec![format!("{}/deep", scene.soul).parse().unwrap()]);
    assert_eq!(scene.under(&[below]).await, both(Code::NotAuthorised));
    let fields = scene.certificate(|certificate| certificate.fields = vec!["y".parse().unwrap()]);
    assert_eq!(scene.under(&[fields]).await, both(Code::NotAuthorised));
    let endorse =
        scene.certificate(|certificate| certificate.rights = Rights { write: false, delegate: true, endorse: true });
    assert_eq!(scene.under(&[endorse]).await, both(Code::NotAuthorised));
    let net = scene.certificate(|certificate| certificate.net = NetId([7; 32]));
    assert_eq!(scene.under(&[net]).await, both(Code::NotAuthorised));
    let others = scene.certificate(|certificate| certificate.audience = Author::new(6).public());
    assert_eq!(scene.under(&[others]).await, both(Code::NotAuthorised));
    // Widened: the guest issues itself more than the owner gave it.
    for (rights, fields) in [(WRITE, Vec::new()), (Rights { delegate: true, ..WRITE }, vec!["y".parse().unwrap()])] {
        let given = scene.certificate(|certificate| {
            certificate.rights = rights;
            certificate.fields = fields;
        });
        let widened = Certificate {
            issuer: scene.guest.public(),
            parent: Some(given.id()),
            fields: Vec::new(),
            rights: WRITE,
            ..given.certificate().clone()
        };
        let widened = Arc::new(widened.sign(scene.guest.key()).unwrap());
        assert_eq!(scene.under(&[widened, given]).await, both(Code::NotAuthorised));
    }
    // Made by the guest alone, in the owner's name only as far as the space goes.
    let own = Certificate { issuer: scene.guest.public(), ..good.certificate().clone() };
    let own = Arc::new(own.sign(scene.guest.key()).unwrap());
    assert_eq!(scene.under(&[own]).await, both(Code::NotAuthorised));
}

#[tokio::test]
async fn a_certificate_that_is_not_here_makes_a_door_refuse_and_a_member_wait() {
    let scene = scene().await;
    let good = scene.certificate(|_| {});
    let op = slotted(scene.op(), &scene.guest, Some(&good.id()));
    let mut forged = forge(&scene.guest, scene.net, scene.now(), &[&[Arc::clone(&good)]], vec![op]);
    forged.certificates.clear();
    let from = ReplicaId("peer".into());
    // Nobody has something kept in another's name.
    let mut unsigned = forged.commit.clone();
    unsigned.signature = vec![1; 64].into();
    let named = Forged { commit: unsigned, entries: forged.entries.clone(), certificates: Vec::new() };
    match &scene.a.node.ingest().ingest(&from, vec![named.whole()]).await[..] {
        [IngestOutcome::Refused(refusal)] => assert_eq!(refusal.code, Code::BadSignature),
        outcomes => panic!("{outcomes:?}"),
    }
    let outcomes = scene.a.node.ingest().ingest(&from, vec![forged.whole()]).await;
    assert_eq!(outcomes, [IngestOutcome::Pending]);
    match scene.a.node.commit_signed(forged.whole(), Duration::ZERO, Principal::Owner).await {
        Err(Error::Refused(refusal)) => assert_eq!(refusal.code, Code::CertificateMissing),
        made => panic!("{made:?}"),
    }
    assert_eq!(scene.a.data(&scene.soul).await, "absent");
    // It comes with another commit: what waited is taken.
    let op = slotted(write(&scene.soul, "y", Value::from("v")).unwrap(), &scene.guest, Some(&good.id()));
    let other = forge(&scene.guest, scene.net, scene.now(), &[&[good]], vec![op]);
    let outcomes = scene.a.node.ingest().ingest(&from, vec![other.whole()]).await;
    assert_eq!(outcomes, [IngestOutcome::Durable]);
    for _ in 0..500 {
        if scene.a.data(&scene.soul).await == r#"{"x":"forged","y":"v"}"# {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("what waited for the certificate was not taken");
}

#[tokio::test]
async fn a_commit_stamped_or_proven_anew() {
    let scene = scene().await;
    let net = scene.net;
    let ops = || {
        let soul = Soul::of_key(scene.owner.public());
        vec![
            slotted(write(&soul, "x", Value::from("one")).unwrap(), &scene.owner, None),
            slotted(write(&soul, "y", Value::from("two")).unwrap(), &scene.owner, None),
            slotted(write(&soul, "z", Value::from("three")).unwrap(), &scene.owner, None),
        ]
    };
    let good = forge(&scene.owner, net, scene.now(), &[], ops());
    // The signature of one header under another.
    let mut restamped = forge(&scene.owner, net, Stamp::from_ms(NOW_MS + 5), &[], ops());
    restamped.commit.signature = good.commit.signature.clone();
    assert_eq!(tried(&scene.a, restamped.whole()).await, both(Code::BadSignature));
    // A value in place of another.
    let mut altered = forge(&scene.owner, net, scene.now(), &[], ops());
    altered.entries[1].body = write(&scene.soul, "y", Value::from("other")).unwrap().body;
    assert_eq!(tried(&scene.a, altered.whole()).await, both(Code::BadRoot));
    // An altered path, which only members take.
    let mut proof = good.envelope(&[1]).to_vec();
    let at = proof.len() - 40;
    proof[at] ^= 1;
    let outcomes = scene.a.node.ingest().ingest(&ReplicaId("peer".into()), vec![proof.into()]).await;
    assert!(matches!(&outcomes[0], IngestOutcome::Refused(refusal) if refusal.code == Code::BadRoot), "{outcomes:?}");
    assert!(scene.a.store.entries().is_empty());
    // Replayed it changes nothing, also after it was written over.
    scene.a.node.commit_signed(good.whole(), Duration::ZERO, Principal::Owner).await.unwrap();
    let newer = forge(
        &scene.owner,
        net,
        Stamp::from_ms(NOW_MS + 10),
        &[],
        vec![Operation { body: write(&scene.soul, "x", Value::from("newer")).unwrap().body, ..ops().remove(0) }],
    );
    scene.a.node.commit_signed(newer.whole(), Duration::ZERO, Principal::Owner).await.unwrap();
    let before = export(&scene.a).await;
    for _ in 0..2 {
        let outcomes = scene.a.node.ingest().ingest(&ReplicaId("peer".into()), vec![good.whole()]).await;
        assert_eq!(outcomes, [IngestOutcome::Durable]);
    }
    assert_eq!(export(&scene.a).await, before);
}

#[tokio::test]
async fn totals_and_kills_of_others() {
    let scene = scene().await;
    let (a, net) = (&scene.a, scene.net);
    let public: Soul = "n".parse().unwrap();
    let total = |author: &Author, value: i64| {
        let op = Operation { kind: Kind::listed(Kind::COUNTER), ..write(&public, "c", Value::Int(value)).unwrap() };
        slotted(op, author, None)
    };
    let own = forge(&scene.owner, net, scene.now(), &[], vec![total(&scene.owner, 5)]);
    a.node.commit_signed(own.whole(), Duration::ZERO, Principal::Owner).await.unwrap();
    let foreign = forge(&scene.guest, net, scene.now(), &[], vec![total(&scene.owner, 900)]);
    assert_eq!(tried(a, foreign.whole()).await, both(Code::BadSlot));
    assert_eq!(a.data("n").await, r#"{"c":{"@counter":"5"}}"#);

    // In owned space a certificate lets the guest write, and kill: that hides, and drops nothing that is the owner's.
    let wall = forge(&scene.owner, net, scene.now(), &[], vec![set_add(&scene.soul, "s", Value::Int(1)).unwrap()]);
    a.node.commit_signed(wall.whole(), Duration::ZERO, Principal::Owner).await.unwrap();
    let good = scene.certificate(|_| {});
    let kill = set_remove(&scene.soul, "s", vec![wall.entries[0].id]).unwrap();
    let killed = forge(&scene.guest, net, Stamp::from_ms(NOW_MS + 5), &[&[good]], vec![kill]);
    let outcomes = a.node.ingest().ingest(&ReplicaId("peer".into()), vec![killed.whole()]).await;
    assert_eq!(outcomes, [IngestOutcome::Durable]);
    let held = a.store.entries().into_iter().find(|entry| entry.id == wall.entries[0].id).unwrap();
    assert_eq!(held.body.value(), Some(&Value::Int(1)), "the value stays in the state");
    // A kill that names a slotted entry of somebody is refused at a door, and without effect from a peer.
    let register = forge(
        &scene.owner,
        net,
        scene.now(),
        &[],
        vec![slotted(write(&public, "r", Value::from("v")).unwrap(), &scene.owner, None)],
    );
    a.node.commit_signed(register.whole(), Duration::ZERO, Principal::Owner).await.unwrap();
    let kill = set_remove(&public, "r", vec![register.entries[0].id]).unwrap();
    let kill = forge(&scene.guest, net, Stamp::from_ms(NOW_MS + 9), &[], vec![kill]);
    match a.node.commit_signed(kill.whole(), Duration::ZERO, Principal::Owner).await {
        Err(Error::Refused(refusal)) => {
            assert_eq!((refusal.code, refusal.field.as_str()), (Code::BadValue, "ops.0.x.0"));
        }
        made => panic!("{made:?}"),
    }
    a.node.ingest().ingest(&ReplicaId("peer".into()), vec![kill.whole()]).await;
    assert_eq!(a.data("n").await, r#"{"c":{"@counter":"5"},"r":"v"}"#);
}

#[tokio::test]
async fn one_good_and_one_unauthorised_operation_over_two_partial_replicas() {
    let scene = scene().await;
    let b = Bench::joined(&scene.a, 2).await;
    let good = slotted(write(&"n".parse().unwrap(), "x", Value::from("fine")).unwrap(), &scene.guest, None);
    let bad = slotted(scene.op(), &scene.guest, None);
    let forged = forge(&scene.guest, scene.net, scene.now(), &[], vec![good, bad]);
    // At a door neither counts.
    match scene.a.node.commit_signed(forged.whole(), Duration::ZERO, Principal::Owner).await {
        Err(Error::Refused(refusal)) => assert_eq!(refusal.code, Code::NotAuthorised),
        made => panic!("{made:?}"),
    }
    // One replica sees the good one and the bad one, the other each by itself: they agree.
    let from = ReplicaId("peer".into());
    let outcomes = scene.a.node.ingest().ingest(&from, vec![forged.whole()]).await;
    assert!(matches!(&outcomes[0], IngestOutcome::Refused(refusal) if refusal.code == Code::NotAuthorised));
    let outcomes = b.node.ingest().ingest(&from, vec![forged.envelope(&[1]), forged.envelope(&[0])]).await;
    assert!(matches!(&outcomes[0], IngestOutcome::Refused(refusal) if refusal.code == Code::NotAuthorised));
    assert_eq!(outcomes[1], IngestOutcome::Durable);
    assert_eq!(export(&scene.a).await, export(&b).await);
    assert_eq!(b.data("n").await, r#"{"x":"fine"}"#);
}

#[tokio::test]
async fn what_travels_along_for_nothing_is_not_kept() {
    let scene = scene().await;
    let unneeded = scene.certificate(|certificate| certificate.nonce = [8; 16]);
    let op = slotted(write(&"n".parse().unwrap(), "x", Value::from("v")).unwrap(), &scene.guest, None);
    let plain = forge(&scene.guest, scene.net, scene.now(), &[], vec![op]);
    let certificates = [Arc::clone(&unneeded)];
    let along = with_extras(&plain.whole(), &Extras { certificates: &certificates, endorsements: &[] }).unwrap();
    let outcomes = scene.a.node.ingest().ingest(&ReplicaId("peer".into()), vec![along.into()]).await;
    assert_eq!(outcomes, [IngestOutcome::Durable]);
    assert_eq!(scene.a.node.certificate(&unneeded.id()).await.unwrap(), None);
}
