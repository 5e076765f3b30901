//! What Kubo and older peers do on the wire, by a second implementation of the format.

use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use futures::{AsyncWriteExt, StreamExt, stream};
use rustdht_bitswap::{Blockstore, Event, Provider, SessionOptions};
use tokio::sync::Semaphore;

use crate::common::{Node, Store, block, cid_of, dag, links, within};
use crate::raw::{Message, Opener, Raw, hear, say_alone};

const BLOCK: usize = 256 * 1024;

/// Sends a block on a stream of its own, in small writes with pauses, so that several are half-way at a time.
async fn send_slowly(opener: Opener, to: libp2p::PeerId, cid: Cid, data: bytes::Bytes) {
    let mut stream = opener.open(to).await;
    for piece in Message::default().block(&cid, &data).bytes().chunks(20_000) {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_for_each_message_and_four_at_a_time_as_kubo_serves() {
    let mut reader = Node::new().await;
    let store = Store::default();
    let root = dag(&store, 64, BLOCK);
    let mut raw = Raw::new("/ipfs/bitswap/1.2.0").await;
    reader.connect(raw.peer, &raw.addr).await;
    let to = reader.peer;
    let opener = raw.opener();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let mut stream = raw.inbound.recv().await.unwrap();
        let workers = Arc::new(Semaphore::new(4));
        let mut sending = tokio::task::JoinSet::new();
        while let Some(heard) = hear(&mut stream).await {
            for (cid, cancel, have) in heard.wants {
                assert!(!have && !cancel, "a single peer is asked for the block at once, and gives it");
                let data = store.get(&cid).await.unwrap().unwrap();
                let (workers, opener) = (Arc::clone(&workers), opener.clone());
                sending.spawn(async move {
                    let _one_of_four = workers.acquire_owned().await;
                    send_slowly(opener, to, cid, data).await;
                });
            }
        }
    });
    let session = reader.handle.session(SessionOptions::default());
    let data = within(60, session.get(root)).await.unwrap();
    let session = &session;
    let bytes: usize = within(
        120,
        stream::iter(links(&data))
            .map(|cid| session.get(cid))
            .buffered(32)
            .map(|data| data.unwrap().len())
            .collect::<Vec<_>>(),
    )
    .await
    .iter()
    .sum();
    assert_eq!(bytes, 64 * BLOCK);
    let stats = reader.handle.stats();
    assert_eq!((stats.unwanted, stats.streams_dropped, stats.messages_malformed), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_as_helia_does_gets_everything_in_its_order() {
    let mut server = Node::new().await;
    let root = dag(&server.store, 40, BLOCK);
    let cids = links(&server.store.get(&root).await.unwrap().unwrap());
    let mut raw = Raw::new("/ipfs/bitswap/1.2.0").await;
    server.connect(raw.peer, &raw.addr).await;
    // Several messages on one stream, all of one priority.
    let mut stream = raw.open(server.peer).await;
    for part in cids.chunks(7) {
        let message = part.iter().fold(Message::default(), |message, cid| message.want(cid, 1, false));
        stream.write_all(&message.bytes()).await.unwrap();
    }
    let missing = cid_of(b"missing");
    stream.write_all(&Message::default().want(&missing, 1, true).want(&cids[0], 1, true).bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut came = Vec::new();
    let mut presences = Vec::new();
    let mut streams = 0;
    within(60, async {
        let mut open = stream::SelectAll::new();
        while came.len() < cids.len() || presences.is_empty() {
            tokio::select! {
                Some(stream) = raw.inbound.recv() => {
                    streams += 1;
                    open.push(Box::pin(stream::unfold(stream, |mut stream| async move {
                        hear(&mut stream).await.map(|heard| (heard, stream))
                    })));
                }
                Some(heard) = open.next() => {
                    assert!(heard.blocks.iter().map(bytes::Bytes::len).sum::<usize>() <= 512 * 1024);
                    came.extend(heard.blocks.iter().map(|data| cid_of(data)));
                    presences.extend(heard.presences);
                }
            }
        }
    })
    .await;
    assert_eq!(came, cids);
    assert!(presences.contains(&(missing, false)), "{presences:?}");
    assert!(streams <= 2, "one for blocks and one for presences, used again and again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_reset_is_replaced() {
    let mut reader = Node::new().await;
    let mut raw = Raw::new("/ipfs/bitswap/1.2.0").await;
    reader.connect(raw.peer, &raw.addr).await;
    for n in 0..3 {
        let data = block(n, 1000);
        let cid = cid_of(&data);
        let get = reader.handle.get(cid);
        let answer = async {
            let mut stream = raw.inbound.recv().await.unwrap();
            let heard = hear(&mut stream).await.unwrap();
            assert_eq!(heard.wants, [(cid, false, false)]);
            // Dropped without being closed, the stream is reset.
            drop(stream);
            tokio::time::sleep(Duration::from_millis(100)).await;
            say_alone(&raw.opener(), reader.peer, Message::default().block(&cid, &data)).await;
        };
        let (got, ()) = within(10, futures::future::join(get, answer)).await;
        assert_eq!(got.unwrap(), data);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_versions_are_served_as_they_understand_it() {
    for (protocol, bare) in [("/ipfs/bitswap/1.1.0", false), ("/ipfs/bitswap/1.0.0", true), ("/ipfs/bitswap", true)] {
        let mut server = Node::new().await;
        let data = block(1, 1000);
        let hash = *server.store.put(data.clone()).hash();
        let cid = Cid::new_v0(hash).unwrap();
        let mut raw = Raw::new(protocol).await;
        server.connect(raw.peer, &raw.addr).await;
        say_alone(&raw.opener(), server.peer, Message::default().want(&cid, 1, false)).await;
        let mut stream = within(10, raw.inbound.recv()).await.unwrap();
        let heard = within(10, hear(&mut stream)).await.unwrap();
        let (with, without) = if bare { (heard.bare_blocks, heard.blocks) } else { (heard.blocks, heard.bare_blocks) };
        assert_eq!((with, without.len()), (vec![data], 0), "{protocol}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_without_the_protocol_is_left_out() {
    let (source, mut reader) = (Node::new().await, Node::new().await);
    let cid = source.store.put(block(1, 1000));
    let deaf = Raw::new("/other/1").await;
    reader.connect(deaf.peer, &deaf.addr).await;
    let handle = reader.handle.clone();
    let mut get = Box::pin(handle.get(cid));
    assert!(futures::poll!(get.as_mut()).is_pending());
    let need = within(5, reader.event(|event| matches!(event, Event::NeedProviders { .. }))).await;
    let Event::NeedProviders { session, .. } = need else { unreachable!() };
    let provider = Provider { peer: source.peer, addresses: vec![source.addr.clone()] };
    handle.add_providers(session, vec![provider]);
    within(10, get).await.unwrap();
}
