//! Private nodes: what is stored, who reads it, and what a change of recipients does.

use std::{sync::Arc, time::Duration};

use rustdht_core::{Body, Code, Entropy, PublicKey, Soul, Stamp, Value, ports::ReplicaId};
use rustdht_graph::Content;
use rustdht_testkit::{Author, SeededEntropy, set_add, set_remove};

use super::{KeyId, NodeKey, RecipientSecret, Wrap, wrap};
use crate::{
    Account, Action, At, Error, NewAccount, NodeWritten, Op, Principal, RenderOptions, SharedWith, Wanted, WriteMode,
    merger::{Answer, Foreign, Origin, Request},
    tests::{Bench, request, set, text},
};

fn soul() -> Soul {
    format!("~{}/diary", PublicKey([2; 32])).parse().unwrap()
}

#[test]
fn a_wrap_opens_for_its_recipient_in_its_node_only() {
    let entropy = SeededEntropy::new(1);
    let (mine, other) = (RecipientSecret::new([3; 32]), RecipientSecret::new([4; 32]));
    let key = NodeKey::generate(Stamp::from_ms(5), &entropy);
    let account = PublicKey([7; 32]);
    let wrapped = Wrap::new(&soul(), &key, account, mine.public(), &entropy).unwrap();
    assert_eq!(wrapped.open(&soul(), &mine).unwrap().secret, key.secret);
    assert!(wrapped.open(&soul(), &other).is_none());
    assert!(wrapped.open(&format!("~{}/other", PublicKey([2; 32])).parse().unwrap(), &mine).is_none());
    let Value::Bytes(bytes) = wrapped.to_value() else { panic!("no bytes") };
    assert_eq!(Wrap::from_value(&Value::Bytes(bytes.clone())), Some(wrapped.clone()));
    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        let opened = Wrap::from_value(&Value::Bytes(changed.into())).and_then(|wrap| wrap.open(&soul(), &mine));
        assert!(opened.is_none(), "byte {at} may be changed");
    }
    // Neither the key's id nor whose it is can be exchanged.
    let mut renamed = wrapped.clone();
    renamed.id = KeyId([0; 16]);
    assert!(renamed.open(&soul(), &mine).is_none());
    let mut given = wrapped;
    given.account = PublicKey([8; 32]);
    assert!(given.open(&soul(), &mine).is_none());
}

#[test]
fn nothing_is_wrapped_for_a_key_of_small_order() {
    let entropy = SeededEntropy::new(1);
    let key = NodeKey::generate(Stamp::from_ms(5), &entropy);
    let mut one = [0; 32];
    one[0] = 1;
    for to in [[0; 32], one] {
        assert!(Wrap::new(&soul(), &key, PublicKey([7; 32]), to, &entropy).is_none());
    }
}

#[test]
fn ciphertext_is_bound_to_its_place() {
    let entropy = SeededEntropy::new(1);
    let key = NodeKey::generate(Stamp::from_ms(5), &entropy);
    let place = ("~a/b", "title", "register");
    let value = Value::from("a secret");
    let Value::Enc(boxed) = wrap::seal_value(&key, place, &value, &entropy) else { panic!("no ciphertext") };
    assert_eq!(boxed.len(), 16 + 24 + value.to_cbor().len() + 16);
    assert!(!boxed.windows(6).any(|part| part == b"secret"));
    assert_eq!(wrap::open_value(&key, place, &boxed), Some(value.clone()));
    for other in [("~a/c", "title", "register"), ("~a/b", "titel", "register"), ("~a/b", "title", "set")] {
        assert_eq!(wrap::open_value(&key, other, &boxed), None);
    }
    for at in 0..boxed.len() {
        let mut changed = boxed.to_vec();
        changed[at] ^= 1;
        assert_eq!(wrap::open_value(&key, place, &changed.into()), None, "byte {at}");
    }
    assert_ne!(wrap::seal_value(&key, place, &value, &entropy), wrap::seal_value(&key, place, &value, &entropy));
    // What no reader may be shown does not come out of ciphertext either.
    for value in [Value::Null, Value::Enc(vec![1].into())] {
        let Value::Enc(boxed) = wrap::seal_value(&key, place, &value, &entropy) else { panic!("no ciphertext") };
        assert_eq!(wrap::open_value(&key, place, &boxed), None);
    }
}

/// Everything random is this byte.
struct Constant(u8);

impl Entropy for Constant {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

/// The page was written with another implementation (Python: libsodium and blake3).
#[test]
fn the_vector_of_the_specification() {
    let page = include_str!("../../../docs/spec/private.md");
    let line = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name:<17}")));
        hex::decode(line.unwrap_or_else(|| panic!("{name} is not on the page"))).unwrap()
    };
    let soul = "~z6MkehRgf7yJbgaGfYsdoAsKdBPE3dj2CYhowQdcjqSJgvVd/diary";
    assert!(page.contains(soul));
    let key = NodeKey::generate(Stamp::from_ms(1_795_000_000_000), &Constant(0x42));
    assert_eq!(key.id.0, *line("key id"));
    let key = NodeKey { id: key.id, secret: line("node key").try_into().unwrap() };
    let reader = RecipientSecret::new(line("recipient secret").try_into().unwrap());
    assert_eq!(reader.public(), *line("to"));
    let account = PublicKey(line("for").try_into().unwrap());
    let wrapped = Wrap::new(&soul.parse().unwrap(), &key, account, reader.public(), &Constant(0x42)).unwrap();
    assert_eq!(wrapped.to_value(), Value::Bytes(line("element").into()));
    let sealed = wrap::seal_value(&key, (soul, "title", "register"), &Value::from("a secret"), &Constant(0x42));
    assert_eq!(sealed, Value::Enc(line("ciphertext").into()));
}

struct House {
    bench: Bench,
    ada: Account,
    bob: Account,
}

impl House {
    async fn new() -> Self {
        let bench = Bench::new(1).await;
        let make = |name: &str| NewAccount { name: name.into(), password: None };
        let ada = bench.node.create_account(make("ada")).await.unwrap();
        let bob = bench.node.create_account(make("bob")).await.unwrap();
        Self { bench, ada, bob }
    }

    fn diary(&self) -> String {
        format!("~{}/diary", self.ada.key)
    }

    fn by_ada(&self) -> Principal {
        Principal::Account(self.ada.key)
    }

    fn by_bob(&self) -> Principal {
        Principal::Account(self.bob.key)
    }

    async fn write(&self, mode: WriteMode, fields: &[(&str, Wanted)]) -> Result<NodeWritten, Error> {
        let mut write = request(&self.diary(), mode, fields);
        write.by = self.by_ada();
        write.render.reader = write.by;
        self.bench.node.write(write).await
    }

    async fn patch(&self, fields: &[(&str, Wanted)]) -> NodeWritten {
        self.write(WriteMode::Patch, fields).await.unwrap()
    }

    async fn act(&self, by: Principal, actions: Vec<(&str, Action)>) -> Result<(), Error> {
        let op = |(field, action): (&str, Action)| Op {
            soul: self.diary().parse().unwrap(),
            field: field.parse().unwrap(),
            action,
        };
        self.bench.node.commit(by, actions.into_iter().map(op).collect(), Duration::ZERO).await.map(|_| ())
    }

    async fn share(&self, with: &[&Account]) -> SharedWith {
        let keys = with.iter().map(|account| account.key).collect();
        self.bench.node.set_recipients(self.by_ada(), &self.diary().parse().unwrap(), keys).await.unwrap()
    }

    /// Lets a key write the fields of all of ada's nodes; none: all of them.
    async fn certify(&self, audience: PublicKey, fields: &[&str]) -> Arc<crate::SignedCertificate> {
        let issued = crate::Issue {
            audience,
            space: None,
            prefixes: Vec::new(),
            fields: fields.iter().map(|field| field.parse().unwrap()).collect(),
            rights: crate::Rights { write: true, delegate: false, endorse: false },
            not_before: None,
            not_after: Stamp(u64::MAX),
            parent: None,
        };
        Arc::new(self.bench.node.issue(self.by_ada(), issued).await.unwrap())
    }

    /// The data that a reader sees, without field `private`.
    async fn seen(&self, reader: Principal) -> serde_json::Value {
        let options = RenderOptions { reader, ..RenderOptions::default() };
        let node = self.bench.node.get(&self.diary().parse().unwrap(), At::Local, options).await.unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(&node.unwrap().json).unwrap();
        json["data"].as_object_mut().unwrap().remove("private");
        json["data"].take()
    }

    fn stored(&self) -> String {
        let entries = self.bench.store.entries();
        let values = entries.iter().filter_map(|entry| Some(entry.body.value()?.to_cbor()));
        let mut all: Vec<u8> = values.flatten().collect();
        all.extend(
            self.bench.store.losers().iter().flat_map(|loser| loser.entry.body.value().map(Value::to_cbor)).flatten(),
        );
        String::from_utf8_lossy(&all).into_owned()
    }
}

fn counter(total: i64) -> Wanted {
    Wanted::Wrapped { kind: "counter".parse().unwrap(), content: Content::Value(Value::Int(total)) }
}

fn document(text: &str) -> Wanted {
    Wanted::Wrapped { kind: "text".parse().unwrap(), content: Content::Value(Value::from(text)) }
}

#[tokio::test]
async fn only_recipients_read_what_is_written() {
    let house = House::new().await;
    let shared = house.share(&[&house.bob]).await;
    assert_eq!(shared.recipients.len(), 2);
    assert!(shared.recipients.iter().all(|recipient| recipient.current));
    let written = house.patch(&[("title", text("plaintext-marker")), ("tags", set(&[1, 2])), ("n", counter(3))]).await;
    let answer = written.node.unwrap();
    assert!(String::from_utf8_lossy(&answer.json).contains("plaintext-marker"), "the writer sees what he wrote");
    assert!(!house.stored().contains("plaintext-marker"));
    let wanted = serde_json::json!({"title":"plaintext-marker","tags":{"@set":[1,2]},"n":{"@counter":"3"}});
    assert_eq!(house.seen(house.by_ada()).await, wanted);
    assert_eq!(house.seen(house.by_bob()).await, wanted);
    for reader in [Principal::Anonymous, Principal::Owner, Principal::Internal] {
        let seen = house.seen(reader).await;
        assert!(!seen.to_string().contains("plaintext-marker"), "{reader:?} reads it");
        assert!(seen["title"]["enc"]["/"]["bytes"].is_string(), "{seen}");
    }
    assert!(house.bench.node.cached(&house.diary().parse().unwrap()).is_none(), "no cache between readers");
}

#[tokio::test]
async fn every_kind_works_on_ciphertext() {
    let house = House::new().await;
    house.share(&[]).await;
    house.patch(&[("tags", set(&[1, 2, 3])), ("n", counter(3)), ("body", document("hello world"))]).await;
    let actions = vec![
        ("tags", Action::Remove(Value::Int(2))),
        ("tags", Action::Add(Value::Int(9))),
        ("n", Action::Increment(4)),
        ("n", Action::Increment(5)),
        ("on", Action::Enable),
        (
            "body",
            Action::Splice {
                kind: "text".parse().unwrap(),
                index: 0,
                delete: 5,
                value: Some(Content::Value(Value::from("HELLO"))),
            },
        ),
    ];
    house.act(house.by_ada(), actions).await.unwrap();
    let most = Wanted::Wrapped { kind: "max".parse().unwrap(), content: Content::Value(Value::Int(7)) };
    house.patch(&[("most", most), ("tags", set(&[1, 9]))]).await;
    assert_eq!(
        house.seen(house.by_ada()).await,
        serde_json::json!({
            "tags": {"@set": [1, 9]}, "n": {"@counter": "12"}, "on": {"@flag": true},
            "body": {"@text": "HELLO world"}, "most": {"@max": 7},
        })
    );
    let plain = house.bench.store.entries().into_iter().filter(|entry| {
        let content = *entry.soul == house.diary() && !entry.kind.is_null() && !entry.kind.is_kill();
        content
            && &*entry.field != "private"
            && matches!(&entry.body, Body::Live { value, .. } if !matches!(value, Value::Enc(_)))
    });
    assert_eq!(plain.count(), 0, "something of the node is readable");
    house.act(house.by_ada(), vec![("on", Action::Disable), ("body", Action::Delete { erase: true })]).await.unwrap();
    let seen = house.seen(house.by_ada()).await;
    assert!(seen.get("on").is_none() && seen.get("body").is_none(), "{seen}");
}

#[tokio::test]
async fn what_was_plain_is_encrypted_and_forgotten() {
    let house = House::new().await;
    house.patch(&[("title", text("first-marker"))]).await;
    house
        .patch(&[
            ("title", text("second-marker")),
            ("tags", Wanted::set([Value::from("tag-marker")])),
            ("n", counter(5)),
            ("body", document("text-marker")),
            ("gone", text("gone-marker")),
        ])
        .await;
    house.act(house.by_ada(), vec![("gone", Action::Delete { erase: false })]).await.unwrap();
    assert!(house.stored().contains("first-marker") && house.stored().contains("gone-marker"));
    let shared = house.share(&[&house.bob]).await;
    assert_eq!(shared.left_plain, Vec::new());
    let stored = house.stored();
    for marker in ["first-marker", "second-marker", "tag-marker", "text-marker", "gone-marker"] {
        assert!(!stored.contains(marker), "{marker} is still there");
    }
    let wanted = serde_json::json!({
        "title": "second-marker", "tags": {"@set": ["tag-marker"]}, "n": {"@counter": "5"}, "body": {"@text": "text-marker"},
    });
    assert_eq!(house.seen(house.by_bob()).await, wanted);
    // Nothing to do any more.
    assert_eq!(house.share(&[&house.bob]).await.commits, Vec::new());
    house.patch(&[("n", counter(6)), ("body", document("text-marker!"))]).await;
    let seen = house.seen(house.by_bob()).await;
    assert_eq!(
        (&seen["n"], &seen["body"]),
        (&serde_json::json!({"@counter":"6"}), &serde_json::json!({"@text":"text-marker!"}))
    );
}

#[tokio::test]
async fn whoever_goes_reads_nothing_later_and_whoever_comes_reads_what_is_there() {
    let house = House::new().await;
    let eve = house.bench.node.create_account(NewAccount { name: "eve".into(), password: None }).await.unwrap();
    house.share(&[&house.bob]).await;
    house.patch(&[("before", text("one"))]).await;
    let without = house.share(&[]).await;
    assert_eq!(without.recipients.iter().map(|recipient| recipient.key).collect::<Vec<_>>(), [house.ada.key]);
    house.patch(&[("after", text("two"))]).await;
    let bob = house.seen(house.by_bob()).await;
    assert!(bob["after"]["enc"].is_object() && bob["before"]["enc"].is_object(), "{bob}");
    assert_eq!(house.seen(house.by_ada()).await, serde_json::json!({"before":"one","after":"two"}));
    house.share(&[&eve]).await;
    assert_eq!(house.seen(Principal::Account(eve.key)).await, serde_json::json!({"before":"one","after":"two"}));
    // Two generations are in use, and every later write is under the second.
    let keys: std::collections::BTreeSet<KeyId> = house
        .bench
        .store
        .entries()
        .iter()
        .filter_map(|entry| match entry.body.value() {
            Some(Value::Enc(boxed)) => wrap::key_of(boxed),
            _ => None,
        })
        .collect();
    assert_eq!(keys.len(), 2);
}

#[tokio::test]
async fn nothing_plain_gets_into_a_private_node() {
    let house = House::new().await;
    house.share(&[]).await;
    house.patch(&[("title", text("kept"))]).await;
    let code = |result: Result<(), Error>| match result {
        Err(Error::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    };
    // The keys cannot be taken away from what they open.
    let result = house.write(WriteMode::Patch, &[("private", Wanted::Value(Value::Null))]).await.map(|_| ());
    assert_eq!(code(result), Code::NotAuthorised);
    let result = house.write(WriteMode::Patch, &[("private", Wanted::set([]))]).await.map(|_| ());
    assert_eq!(code(result), Code::NotAuthorised);
    house.write(WriteMode::Put, &[("title", text("put"))]).await.unwrap();
    assert_eq!(house.seen(house.by_ada()).await, serde_json::json!({"title":"put"}));
    assert!(house.seen(Principal::Anonymous).await["title"]["enc"].is_object());
    // Somebody who may write there but not read.
    house.certify(house.bob.key, &[]).await;
    let result = house.act(house.by_bob(), vec![("title", Action::Set(text("plain")))]).await;
    assert_eq!(code(result), Code::NotAuthorised);
    house.act(house.by_bob(), vec![("title", Action::Delete { erase: false })]).await.unwrap();
    assert_eq!(house.seen(house.by_ada()).await, serde_json::json!({}));
    // The whole node can go, keys and all.
    house.write(WriteMode::Delete, &[]).await.unwrap();
    assert_eq!(house.bench.data(&house.diary()).await, "absent");
}

#[tokio::test]
async fn only_owners_of_a_space_share_and_only_below_it() {
    let house = House::new().await;
    let refused = async |by: Principal, soul: &str| match house
        .bench
        .node
        .set_recipients(by, &soul.parse().unwrap(), Vec::new())
        .await
    {
        Err(Error::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(house.by_bob(), &house.diary()).await, Code::NotAuthorised);
    assert_eq!(refused(Principal::Owner, &house.diary()).await, Code::NotAuthorised);
    assert_eq!(refused(Principal::Anonymous, &house.diary()).await, Code::NotAuthorised);
    assert_eq!(refused(house.by_ada(), "public/x").await, Code::BadSoul);
    assert_eq!(refused(house.by_ada(), &format!("~{}", house.ada.key)).await, Code::BadSoul);
    let stranger = vec![rustdht_wire::SigningKey::from_seed(&[1; 32]).public()];
    let shared = house.bench.node.set_recipients(house.by_ada(), &house.diary().parse().unwrap(), stranger).await;
    assert!(matches!(shared, Err(Error::Refused(refusal)) if refusal.code == Code::BadKey));
    // The owner of the gateway reads what is shared with the gateway's key.
    let soul = format!("~{}/notes", house.bench.node.identity().gateway);
    house.bench.node.set_recipients(Principal::Owner, &soul.parse().unwrap(), Vec::new()).await.unwrap();
    house.bench.patch(&soul, &[("a", text("mine"))]).await;
    assert!(!house.stored().contains("mine"));
    let options = RenderOptions { reader: Principal::Owner, ..RenderOptions::default() };
    let node = house.bench.node.get(&soul.parse().unwrap(), At::Local, options).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&node.json).contains("mine"));
}

#[tokio::test]
async fn other_gateways_hold_and_merge_ciphertext() {
    let house = House::new().await;
    let other = Bench::joined(&house.bench, 2).await;
    house.patch(&[("title", text("title-marker"))]).await;
    house.share(&[]).await;
    house.patch(&[("body", document("body-marker"))]).await;
    let soul: Soul = house.diary().parse().unwrap();
    let envelopes = house.bench.node.ingest().soul_envelopes(&soul, 1 << 20).await;
    other.node.ingest().ingest(&ReplicaId("peer".into()), envelopes).await;
    let mut entries = other.store.entries();
    let mut wanted: Vec<_> = house.bench.store.entries().into_iter().filter(|entry| entry.soul == soul).collect();
    entries.sort_by_key(|entry| entry.id);
    wanted.sort_by_key(|entry| entry.id);
    assert_eq!(entries, wanted, "they merge what they cannot read");
    assert!(!entries.iter().any(|entry| format!("{:?}", entry.body).contains("-marker")));
    assert!(other.data(&house.diary()).await.contains("\"enc\""));
}

#[tokio::test]
async fn history_and_meta_are_opened_for_recipients_only() {
    let house = House::new().await;
    house.share(&[]).await;
    house.patch(&[("title", text("old-marker"))]).await;
    house.patch(&[("title", text("new-marker"))]).await;
    let soul: Soul = house.diary().parse().unwrap();
    let field = "title".parse().unwrap();
    let page = |reader| house.bench.node.history(&soul, &field, reader, None, 10);
    let mine = page(house.by_ada()).await.unwrap().to_json(rustdht_core::json::Ints::Numbers);
    assert!(mine.contains("old-marker") && mine.contains("\"reason\":\"lower_stamp\""), "{mine}");
    let theirs = page(Principal::Anonymous).await.unwrap().to_json(rustdht_core::json::Ints::Numbers);
    assert!(!theirs.contains("marker") && theirs.contains("\"enc\""), "{theirs}");
    let meta = async |reader| {
        let options = RenderOptions { reader, meta: true, ..RenderOptions::default() };
        let node = house.bench.node.get(&soul, At::Local, options).await.unwrap().unwrap();
        String::from_utf8_lossy(&node.json).into_owned()
    };
    let mine = meta(house.by_ada()).await;
    assert!(mine.contains("old-marker") && mine.contains("new-marker"), "{mine}");
    let theirs = meta(Principal::Owner).await;
    assert!(!theirs.contains("marker"), "{theirs}");
}

#[tokio::test]
async fn what_was_planned_before_the_node_was_private_is_encrypted_all_the_same() {
    let house = House::new().await;
    let soul: Soul = house.diary().parse().unwrap();
    let field = "title".parse().unwrap();
    let pen = house.bench.node.pen(house.by_ada(), &soul, &field).await.unwrap();
    let drafts =
        rustdht_graph::write(&rustdht_graph::NodeState::new(soul), &pen, &field, &text("late-marker"), false).unwrap();
    house.share(&[]).await;
    house.bench.node.submit_drafts(house.by_ada(), drafts, Vec::new(), Duration::ZERO).await.unwrap();
    assert!(!house.stored().contains("late-marker"));
    assert_eq!(house.seen(house.by_ada()).await, serde_json::json!({"title":"late-marker"}));
}

#[tokio::test]
async fn a_wrap_dated_ahead_of_its_entry_does_not_count() {
    let house = House::new().await;
    let soul: Soul = house.diary().parse().unwrap();
    house.share(&[]).await;
    house.patch(&[("title", text("kept"))]).await;
    let before = house.bench.node.recipients(&soul).await.unwrap();
    let entropy = SeededEntropy::new(9);
    let import = async |stamp| {
        let key = NodeKey::generate(stamp, &entropy);
        let wrapped = Wrap::new(&soul, &key, house.bob.key, house.bob.recipient, &entropy).unwrap();
        let fields = vec![("private".parse().unwrap(), Wanted::set([wrapped.to_value()]))];
        let node = crate::ImportNode { line: 1, soul: soul.clone(), fields };
        let answers = house.bench.node.import(house.by_ada(), vec![node]).await;
        assert!(answers[0].is_ok(), "{answers:?}");
        house.bench.node.recipients(&soul).await.unwrap()
    };
    assert_eq!(import(Stamp(u64::MAX)).await, before);
    house.patch(&[("title", text("still written"))]).await;
    assert_eq!(house.seen(house.by_ada()).await, serde_json::json!({"title":"still written"}));
    // One that is dated when it is brought is the latest key, and ada has not got it: she is no recipient any more.
    house.bench.clock.advance(1000);
    assert_eq!(import(Stamp::from_ms(crate::tests::NOW_MS + 1000)).await.len(), 2);
    let refused = house.write(WriteMode::Patch, &[("title", text("x"))]).await;
    assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal.code == Code::NotAuthorised));
}

#[tokio::test]
async fn who_may_write_everything_does_not_write_the_keys() {
    let house = House::new().await;
    let soul: Soul = house.diary().parse().unwrap();
    house.share(&[]).await;
    house.patch(&[("title", text("kept"))]).await;
    let before = house.bench.node.recipients(&soul).await.unwrap();
    let (net, guest) = (house.bench.node.identity().net, Author::new(5));
    let certificate = house.certify(guest.public(), &[]).await;
    let mut guest = guest.under(&[&[Arc::clone(&certificate)]]);
    let stamp = Stamp::from_ms(crate::tests::NOW_MS + 1000);
    house.bench.clock.advance(1000);
    // A key that the guest knows, for ada to write under; and ada's own taken away.
    let key = NodeKey::generate(stamp, &SeededEntropy::new(9));
    let wrapped = Wrap::new(&soul, &key, house.ada.key, house.ada.recipient, &SeededEntropy::new(10)).unwrap();
    let entries = house.bench.store.entries();
    let held: Vec<_> = entries.iter().filter(|entry| entry.soul == soul && &*entry.field == "private").collect();
    let removal = set_remove(&soul, "private", held.iter().map(|entry| entry.id).collect()).unwrap();
    let ops = [set_add(&soul, "private", wrapped.to_value()).unwrap(), removal];
    for op in ops {
        let envelope = guest.sign(net, stamp, vec![op]).unwrap().envelope;
        let door = house.bench.node.commit_signed(envelope.clone(), Duration::ZERO, Principal::Owner).await;
        assert!(matches!(door, Err(Error::Refused(refusal)) if refusal.code == Code::NotAuthorised));
        let fields = [("title", text("still ada's"))];
        // A write that is planned right behind it, in the same group, knows of it too.
        let inner = &house.bench.node.inner;
        let certificates = inner.shared.authority.certificates([certificate.id()]).await.unwrap();
        let rules = inner.shared.authority.rules(stamp.ms(), &certificates);
        let verified = rustdht_wire::check(&envelope, rustdht_wire::Place::Replica, &rules).unwrap().verify().unwrap();
        let foreign = Foreign { verified, envelope: envelope.clone(), origin: Origin::Member, endorsed: Vec::new() };
        let busy = (0..1000).map(|line| crate::ImportNode {
            line,
            soul: format!("n/{line}").parse().unwrap(),
            fields: vec![("x".parse().unwrap(), text("both wait while this is planned"))],
        });
        let (_, joined, written) = tokio::join!(
            inner.submit(Request::Import(Principal::Owner, busy.collect())),
            inner.submit(Request::Foreign(vec![foreign])),
            house.write(WriteMode::Patch, &fields)
        );
        assert!(matches!(joined, Ok(Answer::Foreign(_))));
        written.unwrap();
        let ingest = house.bench.node.ingest();
        let taken = ingest.ingest(&ReplicaId("peer".into()), vec![envelope]).await;
        assert_eq!(taken, [rustdht_core::ports::IngestOutcome::Durable], "members keep it, without effect");
        assert!(!house.stored().contains("still ada's"));
        assert_eq!(house.bench.node.recipients(&soul).await.unwrap(), before);
        house.patch(&[("body", text("hers"))]).await;
        let wanted = serde_json::json!({"title":"still ada's","body":"hers"});
        assert_eq!(house.seen(house.by_ada()).await, wanted);
    }
    let under = |entry: &rustdht_core::Entry| match entry.body.value() {
        Some(Value::Enc(boxed)) => wrap::key_of(boxed),
        _ => None,
    };
    assert!(!house.bench.store.entries().iter().any(|entry| under(entry) == Some(key.id)), "nothing is under his key");
    // Neither does an account; one whose certificate names the field does.
    house.certify(house.bob.key, &[]).await;
    let add = || vec![("private", Action::Add(wrapped.to_value()))];
    let refused = house.act(house.by_bob(), add()).await;
    assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal.code == Code::NotAuthorised));
    house.certify(house.bob.key, &["private"]).await;
    house.act(house.by_bob(), add()).await.unwrap();
    house.patch(&[("title", text("under the key that was entrusted"))]).await;
    assert!(house.bench.store.entries().iter().any(|entry| under(entry) == Some(key.id)));
}

#[tokio::test]
async fn recipients_are_changed_as_they_were_read() {
    let house = House::new().await;
    let soul: Soul = house.diary().parse().unwrap();
    let set = |keys: Vec<PublicKey>, tag: &str| {
        house.bench.node.set_recipients_if(house.by_ada(), &soul, keys, Some(vec![tag.to_owned()]))
    };
    let none = super::recipients_tag(&house.bench.node.recipients(&soul).await.unwrap());
    let shared = set(vec![house.bob.key], &none).await.unwrap();
    let now = super::recipients_tag(&shared.recipients);
    assert_ne!(now, none);
    match set(Vec::new(), &none).await {
        Err(Error::PreconditionFailed(tag)) => assert_eq!(tag, now),
        other => panic!("{other:?}"),
    }
    assert_eq!(house.bench.node.recipients(&soul).await.unwrap(), shared.recipients);
    assert_eq!(set(Vec::new(), &now).await.unwrap().recipients.len(), 1);
    // Of two who read the same only one changes it.
    let now = super::recipients_tag(&house.bench.node.recipients(&soul).await.unwrap());
    let (one, two) = tokio::join!(set(vec![house.bob.key], &now), set(vec![house.bob.key], &now));
    assert_ne!(one.is_ok(), two.is_ok());
}

#[tokio::test]
async fn nobody_makes_a_public_node_private() {
    let house = House::new().await;
    let soul: Soul = "public/x".parse().unwrap();
    let key = NodeKey::generate(Stamp::from_ms(1), &SeededEntropy::new(9));
    let wrapped = Wrap::new(&soul, &key, house.ada.key, house.ada.recipient, &SeededEntropy::new(10)).unwrap();
    house.bench.patch("public/x", &[("private", Wanted::set([wrapped.to_value()]))]).await;
    let mut write = request("public/x", WriteMode::Patch, &[("title", text("readable"))]);
    write.by = house.by_ada();
    house.bench.node.write(write).await.unwrap();
    assert!(house.bench.data("public/x").await.contains("readable"), "it is encrypted under a key that others know");
    assert_eq!(house.bench.node.recipients(&soul).await.unwrap(), Vec::new());
}

#[tokio::test]
async fn documents_just_below_the_bound_of_a_value_are_taken() {
    let house = House::new().await;
    house.share(&[]).await;
    for len in [65_340, 65_400, 65_430, 65_460, 65_500, 65_536] {
        house.patch(&[("body", document("")), ("other", document(&"x".repeat(len)))]).await;
        let seen = house.seen(house.by_ada()).await;
        assert_eq!(seen["other"]["@text"].as_str().map(str::len), Some(len));
        house.act(house.by_ada(), vec![("other", Action::Delete { erase: false })]).await.unwrap();
    }
}
