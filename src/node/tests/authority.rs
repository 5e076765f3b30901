//! Delegation: who writes under which certificate.

use std::{sync::Arc, time::Duration};

use rustdht_core::{CertificateId, Code, PublicKey, Soul, Stamp, Value};
use rustdht_testkit::{Author, write};
use rustdht_wire::{Certificate, Rights, SignedCertificate};

use super::{
    Bench, NOW_MS,
    exchange::{export, pass},
    request, text,
};
use crate::{Action, Error, Issue, NewAccount, NodeWrite, Op, Principal, WriteMode};

const WRITE: Rights = Rights { write: true, delegate: false, endorse: false };
const HOUR_MS: u64 = 3_600_000;

pub(crate) fn code<T: std::fmt::Debug>(made: Result<T, Error>) -> Code {
    match made {
        Err(Error::Refused(refusal)) => refusal.code,
        made => panic!("{made:?}"),
    }
}

pub(crate) fn issue(audience: PublicKey) -> Issue {
    Issue {
        audience,
        space: None,
        prefixes: Vec::new(),
        fields: Vec::new(),
        rights: WRITE,
        not_before: None,
        not_after: Stamp::from_ms(NOW_MS + 24 * HOUR_MS),
        parent: None,
    }
}

pub(crate) async fn account(bench: &Bench, name: &str) -> Principal {
    let made = bench.node.create_account(NewAccount { name: name.into(), password: None }).await.unwrap();
    Principal::Account(made.key)
}

fn by(principal: Principal, soul: &str, field: &str, value: &str) -> NodeWrite {
    NodeWrite { by: principal, ..request(soul, WriteMode::Patch, &[(field, text(value))]) }
}

fn key_of(principal: Principal) -> PublicKey {
    match principal {
        Principal::Account(key) => key,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_writes_what_is_his() {
    let a = Bench::founder(1).await;
    let (ada, ben) = (account(&a, "ada").await, account(&a, "ben").await);
    let home = format!("~{}/diary", key_of(ada));
    a.node.write(by(ada, &home, "x", "mine")).await.unwrap();
    a.node.write(by(ben, "public", "x", "ours")).await.unwrap();
    assert_eq!(code(a.node.write(by(ben, &home, "x", "no")).await), Code::NotAuthorised);
    assert_eq!(code(a.node.write(by(Principal::Owner, &home, "x", "no")).await), Code::NotAuthorised);
    assert_eq!(code(a.node.write(by(Principal::Anonymous, "public", "x", "no")).await), Code::NotAuthorised);
    let stranger = Principal::Account(Author::new(9).public());
    assert_eq!(code(a.node.write(by(stranger, "public", "x", "no")).await), Code::NotAuthorised);
    let authors = |soul: &str| -> Vec<PublicKey> {
        let entries = a.store.entries();
        entries.iter().filter(|entry| entry.soul.as_str() == soul).map(|entry| entry.author).collect()
    };
    assert_eq!((authors(&home), authors("public")), (vec![key_of(ada)], vec![key_of(ben)]));
    let community = format!("~{}/about", a.node.identity().community);
    a.node.write(by(Principal::Owner, &community, "x", "us")).await.unwrap();
    assert_eq!(authors(&community), [a.node.identity().community], "C signs what is C's, where it is held");
    let mixed = vec![
        Op { soul: community.parse().unwrap(), field: "x".parse().unwrap(), action: Action::Set(text("a")) },
        Op {
            soul: format!("~{}", a.node.identity().gateway).parse().unwrap(),
            field: "x".parse().unwrap(),
            action: Action::Set(text("b")),
        },
    ];
    assert_eq!(code(a.node.commit(Principal::Owner, mixed, Duration::ZERO).await), Code::NotAuthorised);
}

#[tokio::test]
async fn writers_of_one_group_sign_apart_and_all_count() {
    let a = Bench::founder(1).await;
    let people = [Principal::Owner, account(&a, "ada").await, account(&a, "ben").await];
    let writes = (0..60).map(|at| {
        let node = a.node.clone();
        let write = by(people[at % 3], &format!("n/{at}"), "x", "v");
        async move { node.write(write).await.unwrap() }
    });
    futures::future::join_all(writes).await;
    let entries = a.store.entries();
    for at in 0..60 {
        let entry = entries.iter().find(|entry| entry.soul.as_str() == format!("n/{at}")).unwrap();
        let author = match people[at % 3] {
            Principal::Account(key) => key,
            _ => a.node.identity().gateway,
        };
        assert_eq!(entry.author, author);
    }
    let b = Bench::member(&a, 2).await;
    pass(&a, &b).await;
    assert_eq!(export(&b).await, export(&a).await);
}

#[tokio::test]
async fn a_certificate_opens_what_it_names_and_no_more() {
    let a = Bench::founder(1).await;
    let (ada, ben) = (account(&a, "ada").await, account(&a, "ben").await);
    let home = Soul::of_key(key_of(ada));
    let wanted = Issue {
        prefixes: vec![format!("{home}/blog").parse().unwrap()],
        fields: vec!["x".parse().unwrap()],
        ..issue(key_of(ben))
    };
    assert_eq!(
        code(a.node.issue(ben, Issue { space: Some(home.clone()), ..wanted.clone() }).await),
        Code::NotAuthorised
    );
    let certificate = a.node.issue(ada, wanted).await.unwrap();
    a.node.write(by(ben, &format!("{home}/blog"), "x", "one")).await.unwrap();
    a.node.write(by(ben, &format!("{home}/blog/2"), "x", "two")).await.unwrap();
    for (soul, field) in [("blogger", "x"), ("blog", "y"), ("diary", "x")] {
        let made = a.node.write(by(ben, &format!("{home}/{soul}"), field, "no")).await;
        assert_eq!(code(made), Code::NotAuthorised, "{soul} {field}");
    }
    // Ben may not pass it on.
    let carol = account(&a, "carol").await;
    let further = Issue { space: Some(home.clone()), parent: Some(certificate.id()), ..issue(key_of(carol)) };
    assert_eq!(code(a.node.issue(ben, further).await), Code::NotAuthorised);
    let b = Bench::member(&a, 2).await;
    pass(&a, &b).await;
    assert_eq!(export(&b).await, export(&a).await);
    assert_eq!(b.node.certificate(&certificate.id()).await.unwrap().as_deref(), Some(&certificate), "it came along");
    // When it is over, it is over.
    a.clock.advance(25 * HOUR_MS);
    let late = a.node.write(by(ben, &format!("{home}/blog"), "x", "late")).await;
    assert_eq!(code(late), Code::NotAuthorised);
}

#[tokio::test]
async fn a_certificate_of_a_key_held_elsewhere_is_brought_by_its_holder() {
    let a = Bench::founder(1).await;
    let ben = account(&a, "ben").await;
    let owner = Author::new(3);
    let net = a.node.identity().net;
    let device = Author::new(4);
    let root = Arc::new(
        owner
            .certificate(net, device.public(), Rights { write: true, delegate: true, endorse: false })
            .sign(owner.key())
            .unwrap(),
    );
    let leaf = Certificate {
        issuer: device.public(),
        audience: key_of(ben),
        rights: WRITE,
        parent: Some(root.id()),
        ..root.certificate().clone()
    };
    let leaf = leaf.sign(device.key()).unwrap();
    assert_eq!(code(a.node.add_certificate(ben, leaf.clone(), Vec::new()).await), Code::CertificateMissing);
    let carol = account(&a, "carol").await;
    let above = || vec![SignedCertificate::clone(&root)];
    assert_eq!(code(a.node.add_certificate(carol, leaf.clone(), above()).await), Code::NotAuthorised);
    a.node.add_certificate(ben, leaf, above()).await.unwrap();
    let soul = format!("~{}/blog", owner.public());
    a.node.write(by(ben, &soul, "x", "one")).await.unwrap();
    let b = Bench::member(&a, 2).await;
    pass(&a, &b).await;
    assert_eq!(b.data(&soul).await, r#"{"x":"one"}"#);
    // After a restart it is still here.
    a.node.stop();
    let a = Bench::on(Arc::clone(&a.store), Arc::clone(&a.clock), 9, super::founding()).await;
    a.node.write(by(ben, &soul, "x", "two")).await.unwrap();
    assert_eq!(a.data(&soul).await, r#"{"x":"two"}"#);
}

#[tokio::test]
async fn a_successor_writes_where_the_first_key_did() {
    let a = Bench::founder(1).await;
    let ada = account(&a, "ada").await;
    let home = format!("~{}/diary", key_of(ada));
    a.node.write(by(ada, &home, "x", "old key")).await.unwrap();
    let successor = a.node.rotate(key_of(ada)).await.unwrap();
    a.node.write(by(ada, &home, "x", "new key")).await.unwrap();
    a.node.write(by(ada, "public", "x", "new key")).await.unwrap();
    let entries = a.store.entries();
    let last = |soul: &str| entries.iter().filter(|entry| entry.soul.as_str() == soul).max_by_key(|entry| entry.stamp);
    assert_eq!(last(&home).unwrap().author, successor);
    assert_eq!(last("public").unwrap().author, successor);
    let third = a.node.rotate(key_of(ada)).await.unwrap();
    a.node.write(by(ada, &home, "y", "third key")).await.unwrap();
    let root = Soul::of_key(key_of(ada));
    let state = a.node.visible_state(&root, Principal::Anonymous).await.unwrap();
    let named: Vec<_> = state.added("successor").map(|entry| (entry.author, entry.body.value().cloned())).collect();
    assert_eq!(named.len(), 2);
    assert!(named.contains(&(key_of(ada), Some(Value::Link(Soul::of_key(third))))), "K itself names who follows");
    // The second key was stolen: what it wrote goes, the third stays.
    let filter = crate::CertificateFilter { audience: Some(successor), ..Default::default() };
    let stolen = a.node.certificates(filter).await.unwrap()[0].id();
    a.node.revoke(ada, &stolen, false, Duration::ZERO).await.unwrap();
    assert_eq!(a.data(&home).await, r#"{"x":"old key","y":"third key"}"#);
    let b = Bench::member(&a, 2).await;
    pass(&a, &b).await;
    assert_eq!(export(&b).await, export(&a).await);
    a.node.stop();
    let a = Bench::on(Arc::clone(&a.store), Arc::clone(&a.clock), 9, super::founding()).await;
    a.node.write(by(ada, &home, "z", "after a restart")).await.unwrap();
    let entries = a.store.entries();
    assert_eq!(entries.iter().max_by_key(|entry| entry.stamp).unwrap().author, third);
}

#[tokio::test]
async fn a_device_with_its_own_key_signs_for_itself() {
    let a = Bench::founder(1).await;
    let ada = account(&a, "ada").await;
    let device = Author::new(5);
    let certificate = Arc::new(a.node.issue(ada, issue(device.public())).await.unwrap());
    let mut device = device.under(&[&[certificate]]);
    let soul: Soul = format!("~{}/notes", key_of(ada)).parse().unwrap();
    let op = vec![write(&soul, "x", Value::from("from the phone")).unwrap()];
    let built = device.sign(a.node.identity().net, Stamp::from_ms(NOW_MS), op).unwrap();
    // The certificate is known here, so the commit need not bring it.
    let bare = rustdht_wire::with_extras(&built.envelope, &rustdht_wire::Extras::default()).unwrap();
    a.node.commit_signed(bare.into(), Duration::ZERO, Principal::Anonymous).await.unwrap_err();
    let bare = rustdht_wire::with_extras(&built.envelope, &rustdht_wire::Extras::default()).unwrap();
    a.node.commit_signed(bare.into(), Duration::ZERO, ada).await.unwrap();
    assert_eq!(a.data(&soul).await, r#"{"x":"from the phone"}"#);
    let b = Bench::member(&a, 2).await;
    pass(&a, &b).await;
    assert_eq!(b.data(&soul).await, r#"{"x":"from the phone"}"#, "the chain goes along with the push");
    let missing = CertificateId([9; 32]);
    assert_eq!(code(a.node.revoke(ada, &missing, false, Duration::ZERO).await), Code::CertificateMissing);
}
