//! Peers that lie, flood and stop half-way.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt, stream};
use rustdht_bitswap::limits::{MAX_ITEMS_PER_MESSAGE, MAX_MESSAGE_BYTES};
use rustdht_bitswap::{Blockstore, Config, DecodeError, Event, Fault, SessionOptions};

use crate::common::{Node, block, cid_of, dag, links, within};
use crate::raw::{Message, Raw, hear, say_alone};

/// Waits until the other side has dropped a stream: it ends, and takes nothing more.
async fn assert_reset(mut stream: libp2p::Stream) {
    let mut rest = Vec::new();
    let _ = within(10, stream.read_to_end(&mut rest)).await;
    assert!(stream.write_all(&[0]).await.is_err() || stream.flush().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_sends_wrong_bytes_is_found_out_and_left_out() {
    let (source, mut reader) = (Node::new().await, Node::new().await);
    let root = dag(&source.store, 200, 64 * 1024);
    let cids = links(&source.store.get(&root).await.unwrap().unwrap());
    let mut liar = Raw::new("/ipfs/bitswap/1.2.0").await;
    reader.connect(liar.peer, &liar.addr).await;
    reader.meet(&source).await;
    let to = reader.peer;
    let name = liar.peer;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let mut stream = liar.inbound.recv().await.unwrap();
        let mut n = 1_000_000;
        while let Some(heard) = hear(&mut stream).await {
            let mut message = Message::default();
            for (cid, cancel, have) in heard.wants {
                n += 1;
                message = match (cancel, have) {
                    (true, _) => message,
                    (false, true) => message.presence(&cid, true),
                    (false, false) => message.block(&cid, &block(n, 64 * 1024)),
                };
            }
            say_alone(&liar.opener(), to, message).await;
        }
    });
    let session = &reader.handle.session(SessionOptions::default());
    let gets = stream::iter(cids).map(|cid| async move { (cid, session.get(cid).await) }).buffered(32);
    let got: Vec<_> = within(60, gets.collect()).await;
    assert!(got.into_iter().all(|(cid, data)| cid_of(&data.unwrap()) == cid));
    let ledger = reader.handle.ledger(&name).unwrap();
    assert!(ledger.unwanted > 0 && ledger.blocks_received == 0, "{ledger:?}");
    let told = |event: &Event| matches!(event, Event::Misbehaved { fault: Fault::UnwantedBlocks { .. }, .. });
    assert!(matches!(within(5, reader.event(told)).await, Event::Misbehaved { peer, .. } if peer == name));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_blocks_that_nobody_wants_is_stopped() {
    let mut node = Node::new().await;
    let raw = Raw::new("/ipfs/bitswap/1.2.0").await;
    node.connect(raw.peer, &raw.addr).await;
    let mut stream = raw.open(node.peer).await;
    for n in 0..10_000 {
        let data = block(n, 10_000);
        if stream.write_all(&Message::default().block(&cid_of(&data), &data).bytes()).await.is_err() {
            break;
        }
        assert!(n < 9_999, "the stream is reset");
    }
    assert_eq!(
        within(10, node.event(|event| matches!(event, Event::Ignored { .. }))).await,
        Event::Ignored { peer: raw.peer }
    );
    let stats = node.handle.stats();
    assert_eq!((stats.peers_ignored, stats.blocks_received), (1, 0));
    assert!(stats.unwanted < 1000, "{stats:?}");
    // Nor is a new stream heard.
    let before = node.handle.stats().messages_received;
    let mut stream = raw.open(node.peer).await;
    let _ = stream.write_all(&Message::default().want(&cid_of(b"x"), 1, false).bytes()).await;
    assert_reset(stream).await;
    assert_eq!(node.handle.stats().messages_received, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wantlist_of_a_million_is_bounded_and_named_and_others_are_served_meanwhile() {
    let (mut server, mut reader) = (Node::new().await, Node::new().await);
    let root = dag(&server.store, 32, 64 * 1024);
    let cids = links(&server.store.get(&root).await.unwrap().unwrap());
    let greedy = Raw::new("/ipfs/bitswap/1.2.0").await;
    server.connect(greedy.peer, &greedy.addr).await;
    reader.meet(&server).await;
    let mut stream = greedy.open(server.peer).await;
    let flood = async move {
        let mut sent = 0_u64;
        while sent < 1_000_000 {
            let mut message = Message::default();
            // About 3.5 MiB.
            for _ in 0..80_000 {
                sent += 1;
                let cid = cid_of(&sent.to_be_bytes());
                message = message.want(&cid, 1, false);
            }
            stream.write_all(&message.bytes()).await.unwrap();
        }
        stream.flush().await.unwrap();
        (stream, sent)
    };
    let session = &reader.handle.session(SessionOptions::default());
    let gets = stream::iter(cids).map(|cid| session.get(cid)).buffered(8).collect::<Vec<_>>();
    let ((stream, sent), got) = within(120, futures::future::join(flood, gets)).await;
    assert!(got.iter().all(Result::is_ok));
    let dropped = |event: &Event| matches!(event, Event::Misbehaved { fault: Fault::WantlistTooLong { .. }, .. });
    let Event::Misbehaved { peer, .. } = within(10, server.event(dropped)).await else { unreachable!() };
    assert_eq!(peer, greedy.peer);
    // The first message alone is beyond the bound; how many of the others are read meanwhile is the machine's affair.
    let first = 80_000 - MAX_ITEMS_PER_MESSAGE as u64;
    let counted = server.handle.ledger(&greedy.peer).unwrap().wants_dropped;
    assert!((first..=sent).contains(&counted), "{counted} of {sent}");
    drop(stream);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_none_reset_their_stream_and_nothing_else() {
    let mut node = Node::new().await;
    let data = block(1, 1000);
    let cid = node.store.put(data.clone());
    let mut raw = Raw::new("/ipfs/bitswap/1.2.0").await;
    node.connect(raw.peer, &raw.addr).await;
    let mut good = raw.open(node.peer).await;
    let too_long = [0x81, 0x80, 0x80, 2];
    let mut told = 0;
    for (bytes, error) in [
        (&too_long[..], DecodeError::TooLong(MAX_MESSAGE_BYTES as u64 + 1)),
        (&[0xff; 12][..], DecodeError::Varint),
        (&[2, 0x08, 1][..], DecodeError::Type("wantlist")),
        (&[3, 0x0a, 9, 0][..], DecodeError::Truncated),
    ] {
        let mut bad = raw.open(node.peer).await;
        bad.write_all(bytes).await.unwrap();
        bad.flush().await.unwrap();
        assert_reset(bad).await;
        // The first, the second and the fourth are told.
        told += 1;
        if told != 3 {
            let event = within(5, node.event(|_| true)).await;
            assert_eq!(event, Event::Misbehaved { peer: raw.peer, fault: error.into() });
        }
    }
    assert_eq!(node.handle.stats().messages_malformed, 4);
    // The other stream of the same connection goes on.
    good.write_all(&Message::default().want(&cid, 1, false).bytes()).await.unwrap();
    good.flush().await.unwrap();
    let mut answers = within(10, raw.inbound.recv()).await.unwrap();
    assert_eq!(within(10, hear(&mut answers)).await.unwrap().blocks, [data]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_stops_half_way_is_dropped_and_streams_are_bounded() {
    let config = Config { read_timeout: Duration::from_secs(2), max_inbound_streams: 8, ..Config::default() };
    let mut node = Node::with(config, |behaviour| behaviour).await;
    let raw = Raw::new("/ipfs/bitswap/1.2.0").await;
    node.connect(raw.peer, &raw.addr).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = raw.open(node.peer).await;
        stream.write_all(&[200, 1, 7]).await.unwrap();
        stream.flush().await.unwrap();
        streams.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    // All eight are half-way, so it is the ninth that goes.
    assert_reset(raw.open(node.peer).await).await;
    within(5, node.event(|event| matches!(event, Event::Misbehaved { fault: Fault::TooManyStreams, .. }))).await;
    within(10, node.event(|event| matches!(event, Event::Misbehaved { fault: Fault::ReadTimedOut, .. }))).await;
    for stream in streams {
        assert_reset(stream).await;
    }
    assert_eq!(node.handle.stats().streams_dropped, 9);

    // Idle ones make room for new ones.
    let mut idle = Vec::new();
    for _ in 0..12 {
        idle.push(raw.open(node.peer).await);
    }
    let data = block(1, 100);
    let cid = cid_of(&data);
    let get = node.handle.get(cid);
    let say = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        say_alone(&raw.opener(), node.peer, Message::default().block(&cid, &data)).await;
    };
    let (got, ()) = within(10, futures::future::join(get, say)).await;
    assert_eq!(got.unwrap(), data);
}
