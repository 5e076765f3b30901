//! Serving several peers, the gate, and what arrives late.

use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use futures::{AsyncWriteExt, StreamExt, stream};
use libp2p::PeerId;
use rustdht_bitswap::{Blockstore, Config, Error, Event, Fault, Gate, SessionOptions};

use crate::common::{Node, block, cid_of, dag, links, within};
use crate::raw::{Message, Raw, hear};

struct Rules {
    stranger: PeerId,
    denied: Cid,
}

impl Gate for Rules {
    fn peer(&self, peer: &PeerId) -> bool {
        *peer != self.stranger
    }

    fn block(&self, _: &PeerId, cid: &Cid) -> bool {
        *cid != self.denied
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_keeps_peers_and_blocks_out() {
    let (mut friend, mut stranger) = (Node::new().await, Node::new().await);
    let denied = cid_of(&block(1, 1000));
    let rules = Rules { stranger: stranger.peer, denied };
    let server = Node::with(Config::default(), |behaviour| behaviour.with_gate(Arc::new(rules))).await;
    server.store.put(block(1, 1000));
    let open = server.store.put(block(2, 1000));
    friend.meet(&server).await;
    stranger.meet(&server).await;
    assert!(within(10, friend.handle.get(open)).await.is_ok());
    let short = || SessionOptions { timeout: Some(Duration::from_millis(300)), ..SessionOptions::default() };
    for (node, cid) in [(&friend, denied), (&stranger, open), (&stranger, denied)] {
        assert_eq!(within(10, node.handle.session(short()).get(cid)).await, Err(Error::TimedOut { cid }));
    }
    assert_eq!(server.handle.stats().wants_denied, 3);
    assert_eq!(server.handle.stats().blocks_sent, 1);
    within(5, stranger.event(|event| matches!(event, Event::NeedProviders { .. }))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_arrives_later_is_sent_to_who_waits_for_it() {
    let (server, mut reader) = (Node::new().await, Node::new().await);
    reader.meet(&server).await;
    let data = block(1, 1000);
    let cid = cid_of(&data);
    let get = reader.handle.get(cid);
    let put = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.store.put(data.clone());
        server.handle.notify([cid]);
    };
    let (got, ()) = within(5, futures::future::join(get, put)).await;
    assert_eq!(got.unwrap(), data);
    assert_eq!(reader.handle.stats().unwanted, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_read_holds_up_nobody_and_is_given_up() {
    let config = Config { write_timeout: Duration::from_secs(2), ..Config::default() };
    let mut server = Node::with(config, |behaviour| behaviour).await;
    let root = dag(&server.store, 128, 256 * 1024);
    let cids = links(&server.store.get(&root).await.unwrap().unwrap());
    let mut deaf = Raw::new("/ipfs/bitswap/1.2.0").await;
    server.connect(deaf.peer, &deaf.addr).await;
    let message = cids.iter().fold(Message::default(), |message, cid| message.want(cid, 1, false));
    let mut stream = deaf.open(server.peer).await;
    stream.write_all(&message.bytes()).await.unwrap();
    stream.flush().await.unwrap();
    // It takes the stream of blocks and reads nothing of it.
    let unread = within(10, deaf.inbound.recv()).await.unwrap();

    let mut reader = Node::new().await;
    reader.meet(&server).await;
    let session = &reader.handle.session(SessionOptions::default());
    let gets =
        stream::iter(cids).map(|cid| session.get(cid)).buffered(64).filter(|got| std::future::ready(got.is_ok()));
    assert_eq!(within(60, gets.count()).await, 128);
    within(20, server.event(|event| matches!(event, Event::Misbehaved { fault: Fault::WriteTimedOut, .. }))).await;
    assert!(server.handle.ledger(&deaf.peer).unwrap().blocks_sent < 20);
    drop(unread);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_does_not_wait_for_the_end_of_another() {
    let server = Node::new().await;
    let root = dag(&server.store, 256, 128 * 1024);
    let (mut one, mut two) = (Node::new().await, Node::new().await);
    one.meet(&server).await;
    two.meet(&server).await;
    let cids = links(&server.store.get(&root).await.unwrap().unwrap());
    let fetch = |session: rustdht_bitswap::Session| {
        let cids = cids.clone();
        async move {
            let session = &session;
            stream::iter(cids)
                .map(|cid| session.get(cid))
                .buffered(64)
                .for_each(|got| async { drop(got.unwrap()) })
                .await;
        }
    };
    let first = fetch(one.handle.session(SessionOptions::default()));
    let second = fetch(two.handle.session(SessionOptions::default()));
    // When the first is done, the other is well on its way. Which of them reads faster is not up to the server; that their turns
    // are equal is tested where it serves.
    within(60, futures::future::select(Box::pin(first), Box::pin(second))).await;
    let got = [&one, &two].map(|node| node.handle.stats().blocks_received);
    assert!(got.iter().all(|count| *count >= 32), "{got:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wantlist_that_is_changed_on_the_way_is_followed() {
    let mut server = Node::new().await;
    let missing = cid_of(&block(1, 1000));
    let mut raw = Raw::new("/ipfs/bitswap/1.2.0").await;
    server.connect(raw.peer, &raw.addr).await;
    let mut stream = raw.open(server.peer).await;
    stream.write_all(&Message::default().want(&missing, 1, false).bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answers = within(10, raw.inbound.recv()).await.unwrap();
    assert_eq!(within(10, hear(&mut answers)).await.unwrap().presences, [(missing, false)]);
    stream.write_all(&Message::default().cancel(&missing).bytes()).await.unwrap();
    stream.flush().await.unwrap();
    while server.handle.stats().messages_received < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.store.put(block(1, 1000));
    server.handle.notify([missing]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.handle.stats().blocks_sent, 0);
}
