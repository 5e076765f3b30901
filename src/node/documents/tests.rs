//! Documents of whole nodes, over fakes of the ports.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rustdht_core::{
    Field, Soul, Value,
    ports::{GraphStore as _, IngestOutcome, ReplicaId},
};
use rustdht_testkit::MemoryStore;

use super::{
    Close, DocumentHandle, Outbox, Outgoing, UserTag,
    client::Client,
    journal,
    live::{self, Body, Live},
    message,
};
use crate::{
    Action, At, Error, NewAccount, Node, Op, Principal, RenderOptions, Wanted, WriteMode,
    merger::Unless,
    tests::{Bench, NOW_MS, founding, request, text},
};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it waits to see that nothing happens.
const QUIET: Duration = Duration::from_millis(80);

/// An editor that is connected to a node.
struct Editor {
    client: Client,
    handle: DocumentHandle,
    outbox: Outbox,
}

async fn open(node: &Node, soul: &str, by: Principal) -> Result<(DocumentHandle, Outbox), Error> {
    let (soul, field): (Soul, Field) = (soul.parse().unwrap(), "t".parse().unwrap());
    let user = UserTag { id: "id".into(), name: "name".into() };
    node.open_document(&soul, &field, by, true, Some(user)).await
}

impl Editor {
    /// Connects, and says what it has as the stock client does.
    async fn connect(node: &Node, soul: &str, by: Principal, client: Client) -> Self {
        let (handle, outbox) = open(node, soul, by).await.unwrap();
        handle.receive(client.step_1()).await.unwrap();
        Self { client, handle, outbox }
    }

    async fn new(node: &Node, soul: &str, id: u64) -> Self {
        Self::connect(node, soul, Principal::Owner, Client::new(id)).await
    }

    /// Takes what it is sent, and answers, until `done`; how the connection ended, if it did.
    async fn until(&mut self, mut done: impl FnMut(&Client) -> bool) -> Option<Close> {
        tokio::time::timeout(PATIENCE, async {
            loop {
                if done(&self.client) {
                    return None;
                }
                match self.outbox.next().await {
                    Outgoing::Frame(frame) => {
                        if let Some(answer) = self.client.take(&frame) {
                            // An error comes out of the outbox too.
                            let _ = self.handle.receive(answer).await;
                        }
                    }
                    Outgoing::Close(close) => return Some(close),
                }
            }
        })
        .await
        .unwrap_or_else(|_| panic!("the editor shows {:?}", self.client.text()))
    }

    /// Answers the gateway's first step: brings what it lacks.
    async fn syncs(&mut self) {
        let answered = async {
            while let Outgoing::Frame(frame) = self.outbox.next().await {
                if let Some(answer) = self.client.take(&frame) {
                    return self.handle.receive(answer).await.unwrap();
                }
            }
            panic!("the connection ended");
        };
        tokio::time::timeout(PATIENCE, answered).await.unwrap();
    }

    async fn shows(&mut self, text: &str) {
        assert_eq!(self.until(|client| client.text() == text).await, None);
    }

    /// Waits for the end of the connection.
    async fn ends(&mut self) -> Close {
        self.until(|_| false).await.unwrap()
    }

    /// Writes, and waits until that is acknowledged.
    async fn types(&mut self, at: u32, text: &str) {
        let frame = self.client.insert(at, text);
        self.handle.receive(frame.clone()).await.unwrap();
        let acknowledged = async { while self.outbox.next().await != Outgoing::Frame(frame.clone()) {} };
        tokio::time::timeout(PATIENCE, acknowledged).await.unwrap();
    }
}

async fn rows(store: &MemoryStore) -> usize {
    store.side_scan(journal::NS, &[], 1000).await.unwrap().len()
}

/// Waits until every document is closed, which is when everything is signed.
async fn closed(node: &Node) {
    let all = async {
        while node.open_documents() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
}

/// Gives what one node told the members to another.
async fn hear(from: &Bench, to: &Bench) -> Vec<bool> {
    let mut heard = Vec::new();
    for message in from.net.take_broadcast() {
        heard.push(to.node.ingest().heard(&ReplicaId("peer".into()), message).await);
    }
    heard
}

async fn pass(from: &Bench, to: &Bench) {
    for published in from.net.take() {
        let envelopes = published.push.into_iter().map(|(_, envelope)| envelope).collect();
        let outcomes = to.node.ingest().ingest(&ReplicaId("peer".into()), envelopes).await;
        assert!(outcomes.iter().all(|outcome| *outcome == IngestOutcome::Durable), "{outcomes:?}");
    }
}

#[tokio::test]
async fn what_editors_write_is_what_the_node_shows() {
    let bench = Bench::new(1).await;
    let (mut ada, mut bob) = (Editor::new(&bench.node, "n", 1).await, Editor::new(&bench.node, "n", 2).await);
    ada.types(0, "hello").await;
    bob.shows("hello").await;
    bob.types(5, " you").await;
    ada.shows("hello you").await;
    assert_eq!(bench.data("n").await, "absent", "it is not signed yet");
    drop((ada, bob));
    closed(&bench.node).await;
    assert_eq!(bench.data("n").await, r#"{"t":{"@text":"hello you"}}"#);
    assert_eq!(rows(&bench.store).await, 0);
    // And what the node writes reaches editors.
    let mut late = Editor::new(&bench.node, "n", 3).await;
    late.shows("hello you").await;
    let splice = Action::Splice {
        kind: rustdht_core::Kind::listed("text"),
        index: 5,
        delete: 4,
        value: Some(crate::Content::Value(Value::from(" world"))),
    };
    let op = Op { soul: "n".parse().unwrap(), field: "t".parse().unwrap(), action: splice };
    bench.node.commit(Principal::Owner, vec![op], Duration::ZERO).await.unwrap();
    late.shows("hello world").await;
}

#[tokio::test]
async fn a_field_of_another_kind_is_no_document() {
    let bench = Bench::new(1).await;
    bench.patch("n", &[("t", text("a register"))]).await;
    assert!(
        matches!(open(&bench.node, "n", Principal::Owner).await, Err(Error::NotADocument(kind)) if kind.is_register())
    );
    assert_eq!(bench.node.open_documents(), 0);
    bench.patch("n", &[("t", Wanted::Value(Value::Null))]).await;
    open(&bench.node, "n", Principal::Owner).await.unwrap();
}

#[tokio::test]
async fn who_may_not_write_is_told_and_nothing_of_it_is_kept() {
    let bench = Bench::new(1).await;
    let mut eve = Editor::connect(&bench.node, "n", Principal::Anonymous, Client::new(1)).await;
    eve.handle.receive(eve.client.insert(0, "x")).await.unwrap();
    let denied = message::permission_denied("you may read this document, not change it");
    let told = async { while eve.outbox.next().await != Outgoing::Frame(denied.clone()) {} };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert_eq!(rows(&bench.store).await, 0);
    assert!(matches!(open(&bench.node, "_/n", Principal::Anonymous).await, Err(Error::Refused(_))));
}

#[tokio::test]
async fn what_was_acknowledged_is_signed_after_a_kill() {
    let bench = Bench::new(1).await;
    let mut ada = Editor::new(&bench.node, "n", 1).await;
    ada.types(0, "a").await;
    ada.types(1, "b").await;
    let (store, clock) = (Arc::clone(&bench.store), Arc::clone(&bench.clock));
    // It goes without signing.
    drop(bench);
    assert_eq!(ada.ends().await, Close::Stopping);
    assert_eq!((rows(&store).await, store.entries().len()), (2, 0));
    let again = Bench::on(Arc::clone(&store), clock, 2, founding()).await;
    let signed = async {
        while rows(&store).await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, signed).await.unwrap();
    closed(&again.node).await;
    assert_eq!(again.data("n").await, r#"{"t":{"@text":"ab"}}"#);
    assert_eq!(store.entries().len(), 1);
    // The editor comes back with what it has: nothing is written twice.
    let mut ada = Editor::connect(&again.node, "n", Principal::Owner, ada.client).await;
    ada.types(2, "c").await;
    drop(ada);
    closed(&again.node).await;
    assert_eq!(again.data("n").await, r#"{"t":{"@text":"abc"}}"#);
    assert_eq!(store.entries().len(), 2);
}

#[tokio::test]
async fn a_large_change_of_a_private_document_survives_a_kill() {
    // It is signed as soon as it is on the disk; the kill has to come between.
    for _ in 0..100 {
        if a_large_change_is_killed_unsigned().await {
            return;
        }
    }
    panic!("each of a hundred changes was signed before the kill");
}

/// Whether the kill came before the signing.
async fn a_large_change_is_killed_unsigned() -> bool {
    let bench = Bench::new(1).await;
    let new = NewAccount { name: "ada".into(), password: None };
    let key = bench.node.create_account(new).await.unwrap().key;
    let (ada, soul) = (Principal::Account(key), format!("~{key}/diary"));
    let write = crate::NodeWrite { by: ada, ..request(&soul, WriteMode::Patch, &[("x", text("y"))]) };
    bench.node.write(write).await.unwrap();
    bench.node.set_recipients(ada, &soul.parse().unwrap(), vec![key]).await.unwrap();
    let long = "secret ".repeat(30_000);
    let mut editor = Editor::connect(&bench.node, &soul, ada, Client::new(1)).await;
    editor.types(0, &long).await;
    let (store, clock) = (Arc::clone(&bench.store), Arc::clone(&bench.clock));
    drop(bench);
    assert_eq!(editor.ends().await, Close::Stopping);
    let is_unsigned = rows(&store).await > 1;
    let again = Bench::on(Arc::clone(&store), clock, 2, founding()).await;
    let signed = async {
        while rows(&store).await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, signed).await.unwrap();
    closed(&again.node).await;
    let render = RenderOptions { reader: ada, ..RenderOptions::default() };
    let shown: Bytes = again.node.get(&soul.parse().unwrap(), At::Local, render).await.unwrap().unwrap().json;
    assert!(String::from_utf8_lossy(&shown).contains(&long));
    is_unsigned
}

#[tokio::test]
async fn what_was_typed_before_an_erase_is_not_signed_behind_it() {
    let bench = Bench::new(1).await;
    let (soul, field): (Soul, Field) = ("n".parse().unwrap(), "t".parse().unwrap());
    bench.patch("n", &[("t", text("plain"))]).await;
    let cut = |state: &rustdht_graph::NodeState| Unless::cut(state, &field);
    let before = cut(&bench.node.state(&soul).await.unwrap());
    let typed = Client::new(1);
    let frame = typed.insert(0, "typed before");
    let messages = message::read(&frame).unwrap();
    let [message::Message::Update(update)] = messages[..] else { panic!("no update") };
    let value = Value::Bytes(update.to_vec().into());
    let draft = || rustdht_graph::Draft {
        soul: soul.clone(),
        field: field.clone(),
        kind: rustdht_core::Kind::listed("text"),
        slot: rustdht_core::Slot::Own,
        value: Some(value.clone()),
        kills: Vec::new(),
        over: Vec::new(),
        base: None,
        after: rustdht_core::Stamp::default(),
    };
    let op = Op { soul: soul.clone(), field: field.clone(), action: Action::Delete { erase: true } };
    bench.node.commit(Principal::Owner, vec![op], Duration::ZERO).await.unwrap();
    // It was on its way to be signed when the erase came.
    let unless = Some(Unless::CutAfter(before));
    let late = bench.node.submit_unless(Principal::Owner, vec![draft()], Vec::new(), unless, Duration::ZERO).await;
    assert!(matches!(late, Err(Error::Refused(refusal)) if refusal.code == rustdht_core::Code::Stale));
    // A gateway that was killed before the room heard of the erase.
    let row = journal::Row {
        soul: soul.clone(),
        field: field.clone(),
        kind: rustdht_core::Kind::listed("text"),
        by: Principal::Owner,
        cut: before,
        update: value.clone(),
    };
    let put = row.put(journal::key(&journal::prefix(&soul, &field), 0));
    bench.node.side(vec![put]).await.unwrap();
    let (store, clock) = (Arc::clone(&bench.store), Arc::clone(&bench.clock));
    drop(bench);
    let again = Bench::on(Arc::clone(&store), clock, 2, founding()).await;
    let gone = async {
        while rows(&store).await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    closed(&again.node).await;
    assert!(!store.entries().iter().any(|entry| entry.kind.is_yjs()), "it was signed");
    // What is typed after it is.
    let now = Some(Unless::CutAfter(cut(&again.node.state(&soul).await.unwrap())));
    again.node.submit_unless(Principal::Owner, vec![draft()], Vec::new(), now, Duration::ZERO).await.unwrap();
    assert_eq!(again.data("n").await, r#"{"t":{"@text":"typed before"}}"#);
}

#[tokio::test]
async fn nothing_is_acknowledged_that_could_not_be_stored() {
    let bench = Bench::new(1).await;
    let (mut ada, mut bob) = (Editor::new(&bench.node, "n", 1).await, Editor::new(&bench.node, "n", 2).await);
    ada.types(0, "a").await;
    bob.shows("a").await;
    bench.store.set_failing(true);
    ada.handle.receive(ada.client.insert(1, "b")).await.unwrap();
    assert_eq!((ada.ends().await, bob.ends().await), (Close::Failed, Close::Failed));
    assert_eq!(bob.client.text(), "a");
    bench.store.set_failing(false);
    let mut ada = Editor::connect(&bench.node, "n", Principal::Owner, ada.client).await;
    let mut bob = Editor::connect(&bench.node, "n", Principal::Owner, bob.client).await;
    ada.syncs().await;
    bob.shows("ab").await;
    drop((ada, bob));
    closed(&bench.node).await;
    assert_eq!(bench.data("n").await, r#"{"t":{"@text":"ab"}}"#);
}

#[tokio::test]
async fn keystrokes_reach_editors_on_other_gateways_before_they_are_signed() {
    let a = Bench::new(1).await;
    let b = Bench::joined(&a, 2).await;
    let (mut ada, mut bob) = (Editor::new(&a.node, "n", 1).await, Editor::new(&b.node, "n", 2).await);
    hear(&b, &a).await;
    ada.types(0, "hello").await;
    tokio::time::sleep(QUIET).await;
    assert!(hear(&a, &b).await.iter().all(|passed| *passed));
    bob.shows("hello").await;
    assert!(b.store.entries().is_empty() && rows(&b.store).await == 0, "nobody stores a preview");
    // Signed, it changes nothing for the editor there.
    drop(ada);
    closed(&a.node).await;
    pass(&a, &b).await;
    bob.types(5, "!").await;
    assert_eq!(bob.client.text(), "hello!");
    drop(bob);
    closed(&b.node).await;
    assert_eq!(b.data("n").await, r#"{"t":{"@text":"hello!"}}"#);
}

#[tokio::test]
async fn only_member_gateways_are_heard_in_a_network_of_members() {
    let a = Bench::founder(1).await;
    let b = Bench::member(&a, 2).await;
    let mut ada = Editor::new(&a.node, "n", 1).await;
    // One that knows the network and has no certificate says nothing, and would not be heard.
    let stranger = Bench::joined(&a, 3).await;
    let mut far = Editor::new(&stranger.node, "n", 7).await;
    far.types(0, "x").await;
    tokio::time::sleep(QUIET).await;
    assert!(stranger.net.take_broadcast().is_empty());
    let client = Client::new(8);
    let update = client.insert(0, "forged").slice(3..);
    let live = Live { soul: "n".parse().unwrap(), field: "t".parse().unwrap(), body: Body::Preview(update) };
    let key = rustdht_wire::SigningKey::from_seed(&[5; 32]);
    let own: Vec<live::Pair> =
        b.node.member_chain().iter().map(|one| (Bytes::copy_from_slice(one.bytes()), *one.signature())).collect();
    assert_eq!(own.len(), 1);
    for chain in [vec![], own] {
        // With the chain of another gateway too.
        let message = live::sign(&live, &a.node.identity().net, &chain, &key, NOW_MS);
        assert!(!a.node.ingest().heard(&ReplicaId("peer".into()), message).await);
    }
    let mut far = Editor::new(&b.node, "n", 9).await;
    far.types(0, "x").await;
    tokio::time::sleep(QUIET).await;
    let heard = hear(&b, &a).await;
    assert!(!heard.is_empty() && heard.iter().all(|passed| *passed), "{heard:?}");
    ada.shows("x").await;
}

#[tokio::test]
async fn who_holds_a_deleted_document_is_closed() {
    for erase in [false, true] {
        let bench = Bench::new(1).await;
        let mut ada = Editor::new(&bench.node, "n", 1).await;
        ada.types(0, "secret").await;
        drop(ada.handle);
        closed(&bench.node).await;
        let mut ada = Editor::connect(&bench.node, "n", Principal::Owner, ada.client).await;
        ada.types(6, " and more").await;
        let mut cem = Editor::new(&bench.node, "n", 5).await;
        cem.types(0, "never signed ").await;
        let op = Op { soul: "n".parse().unwrap(), field: "t".parse().unwrap(), action: Action::Delete { erase } };
        bench.node.commit(Principal::Owner, vec![op], Duration::ZERO).await.unwrap();
        assert_eq!(ada.ends().await, Close::Deleted, "the open editor");
        assert_eq!(cem.ends().await, Close::Deleted);
        closed(&bench.node).await;
        let mut again = Editor::connect(&bench.node, "n", Principal::Owner, ada.client).await;
        assert_eq!(again.ends().await, Close::Deleted, "one that comes back");
        let place = ("n".parse().unwrap(), "t".parse().unwrap());
        let hidden = super::hidden::read(&*bench.store, &place).await.unwrap();
        assert_eq!((hidden.of(1), hidden.of(5)), (&[(0, 15)][..], &[(0, 13)][..]));
        // Also after a restart, and also where the field is filled anew.
        let mut bob = Editor::new(&bench.node, "n", 2).await;
        bob.types(0, "anew").await;
        drop(bob);
        closed(&bench.node).await;
        let (store, clock) = (Arc::clone(&bench.store), Arc::clone(&bench.clock));
        drop(bench);
        let bench = Bench::on(store, clock, 2, founding()).await;
        let mut again = Editor::connect(&bench.node, "n", Principal::Owner, again.client).await;
        assert_eq!(again.ends().await, Close::Deleted);
        assert_eq!(bench.data("n").await, r#"{"t":{"@text":"anew"}}"#);
        assert_eq!(rows(&bench.store).await, 0);
    }
}

#[tokio::test]
async fn who_was_away_when_it_was_deleted_is_closed() {
    for erase in [false, true] {
        let bench = Bench::new(1).await;
        let mut ada = Editor::new(&bench.node, "n", 1).await;
        ada.types(0, "secret").await;
        let client = ada.client;
        drop(ada.handle);
        closed(&bench.node).await;
        let op = Op { soul: "n".parse().unwrap(), field: "t".parse().unwrap(), action: Action::Delete { erase } };
        bench.node.commit(Principal::Owner, vec![op], Duration::ZERO).await.unwrap();
        let mut ada = Editor::connect(&bench.node, "n", Principal::Owner, client).await;
        assert_eq!(ada.ends().await, Close::Deleted);
    }
}

#[tokio::test]
async fn a_document_that_grew_is_compacted_by_its_author() {
    let bench = Bench::new(1).await;
    let mut client = Client::new(1);
    for at in 0..12 {
        let mut ada = Editor::connect(&bench.node, "n", Principal::Owner, client).await;
        ada.types(at, "x").await;
        client = ada.client;
        drop(ada.handle);
        closed(&bench.node).await;
    }
    let live = bench.store.entries().iter().filter(|entry| entry.body.value().is_some()).count();
    assert!(live < 8, "{live}");
    assert_eq!(bench.data("n").await, format!(r#"{{"t":{{"@text":"{}"}}}}"#, "x".repeat(12)));
    // What was compacted is not deleted: its editor goes on.
    let mut ada = Editor::connect(&bench.node, "n", Principal::Owner, client).await;
    ada.types(12, "y").await;
}

#[tokio::test]
async fn keystrokes_of_a_private_document_are_not_kept_in_the_open() {
    let bench = Bench::new(1).await;
    let mut keys = Vec::new();
    for name in ["ada", "eve"] {
        let new = NewAccount { name: name.into(), password: None };
        keys.push(bench.node.create_account(new).await.unwrap().key);
    }
    let (ada, eve) = (Principal::Account(keys[0]), Principal::Account(keys[1]));
    let soul: Soul = format!("~{}/diary", keys[0]).parse().unwrap();
    bench
        .node
        .write(crate::NodeWrite { by: ada, ..request(&soul, WriteMode::Patch, &[("x", text("y"))]) })
        .await
        .unwrap();
    bench.node.set_recipients(ada, &soul, vec![keys[0]]).await.unwrap();
    let mut editor = Editor::connect(&bench.node, &soul, ada, Client::new(1)).await;
    editor.types(0, "a secret that nobody greps").await;
    let kept = bench.store.side_scan(journal::NS, &[], 1000).await.unwrap();
    assert_eq!(kept.len(), 1);
    let needle = b"nobody greps";
    assert!(!kept[0].1.windows(needle.len()).any(|window| window == needle), "a row in the open");
    tokio::time::sleep(QUIET).await;
    assert!(bench.net.take_broadcast().is_empty(), "nothing is told");
    for other in [eve, Principal::Owner, Principal::Anonymous] {
        assert!(matches!(open(&bench.node, &soul, other).await, Err(Error::Refused(_))));
    }
    drop(editor);
    closed(&bench.node).await;
    let is_open = |entry: &rustdht_core::Entry| {
        entry.field.as_str() == "t" && matches!(entry.body.value(), Some(Value::Bytes(_)))
    };
    assert!(!bench.store.entries().iter().any(is_open), "signed in the open");
    let render = RenderOptions { reader: ada, ..RenderOptions::default() };
    let shown: Bytes = bench.node.get(&soul, At::Local, render).await.unwrap().unwrap().json;
    assert!(String::from_utf8_lossy(&shown).contains("nobody greps"));
}
