//! Fetching from one peer and several.

use std::time::Duration;

use cid::Cid;
use futures::{StreamExt, TryStreamExt, stream};
use rustdht_bitswap::limits::MAX_BLOCK_BYTES;
use rustdht_bitswap::{Error, Event, Provider, Session, SessionOptions};

use tokio::time::Instant;

use crate::common::{Node, Store, block, cid_of, dag, links, within};
use crate::raw::{Message, Raw, hear, say_alone};

const BLOCK: usize = 256 * 1024;

/// Fetches a DAG in order, checks it, and gives its bytes and the longest pause between two blocks.
async fn fetch(session: &Session, root: Cid) -> (usize, Duration) {
    let root = session.get(root).await.unwrap();
    let mut blocks = stream::iter(links(&root)).map(|cid| async move { (cid, session.get(cid).await) }).buffered(64);
    let (mut bytes, mut last, mut longest) = (0, Instant::now(), Duration::ZERO);
    while let Some((cid, data)) = blocks.next().await {
        let data = data.unwrap();
        assert_eq!(cid_of(&data), cid);
        bytes += data.len();
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    (bytes, longest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mib_come_from_one_peer() {
    let (source, mut reader) = (Node::new().await, Node::new().await);
    let root = dag(&source.store, 256, BLOCK);
    reader.meet(&source).await;
    let session = reader.handle.session(SessionOptions::default());
    let (bytes, longest) = within(120, fetch(&session, root)).await;
    assert_eq!(bytes, 64 * 1024 * 1024);
    assert!(longest < Duration::from_secs(1), "{longest:?}");

    let stats = reader.handle.stats();
    assert_eq!((stats.blocks_received, stats.unwanted), (257, 0));
    assert!(stats.duplicates <= 8, "{stats:?}");
    assert_eq!(reader.handle.ledger(&source.peer).unwrap().blocks_received, 257);
    let sent = source.handle.ledger(&reader.peer).unwrap();
    assert!(sent.blocks_sent >= 257 && sent.bytes_sent >= bytes as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mib_are_split_over_three_peers() {
    let mut reader = Node::new().await;
    let mut sources = Vec::new();
    let mut root = None;
    for _ in 0..3 {
        let source = Node::new().await;
        root = Some(dag(&source.store, 256, BLOCK));
        reader.meet(&source).await;
        sources.push(source);
    }
    let session = reader.handle.session(SessionOptions::default());
    let (bytes, longest) = within(120, fetch(&session, root.unwrap())).await;
    assert_eq!(bytes, 64 * 1024 * 1024);
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    let blocks: Vec<u64> =
        sources.iter().map(|source| reader.handle.ledger(&source.peer).unwrap().blocks_received).collect();
    assert!(blocks.iter().all(|count| *count >= 26), "each gives a tenth at least: {blocks:?}");
    let stats = reader.handle.stats();
    assert!(stats.duplicates <= 26, "a tenth at most comes twice: {stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_peer_does_not_end_the_transfer() {
    let mut reader = Node::new().await;
    let (mut first, second) = (Node::new().await, Node::new().await);
    let root = dag(&first.store, 128, BLOCK);
    assert_eq!(dag(&second.store, 128, BLOCK), root);
    reader.meet(&first).await;
    reader.meet(&second).await;
    let session = reader.handle.session(SessionOptions::default());
    let killer = async {
        while reader.handle.stats().blocks_received < 40 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        first.kill();
    };
    let ((bytes, longest), ()) = within(120, futures::future::join(fetch(&session, root), killer)).await;
    assert_eq!(bytes, 32 * 1024 * 1024);
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

/// Serves a store on a stream for each message, and stops for good in the middle of a block after so many.
async fn serve_and_stall(mut raw: Raw, to: libp2p::PeerId, store: Store, blocks: usize) {
    use futures::AsyncWriteExt;
    use rustdht_bitswap::Blockstore;
    let mut stream = raw.inbound.recv().await.unwrap();
    let mut served = 0;
    while let Some(heard) = hear(&mut stream).await {
        for (cid, cancel, have) in heard.wants {
            let data = store.get(&cid).await.unwrap();
            let message = match data {
                _ if cancel => continue,
                Some(_) if have => Message::default().presence(&cid, true),
                Some(data) => {
                    served += 1;
                    if served > blocks {
                        let mut last = raw.open(to).await;
                        let half = Message::default().block(&cid, &data).bytes();
                        last.write_all(&half[..half.len() / 2]).await.unwrap();
                        last.flush().await.unwrap();
                        return std::future::pending().await;
                    }
                    Message::default().block(&cid, &data)
                }
                None => Message::default().presence(&cid, false),
            };
            say_alone(&raw.opener(), to, message).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_stalls_half_way_costs_less_than_a_second() {
    let (source, mut reader) = (Node::new().await, Node::new().await);
    let root = dag(&source.store, 128, BLOCK);
    let same = Store::default();
    assert_eq!(dag(&same, 128, BLOCK), root);
    let raw = Raw::new("/ipfs/bitswap/1.2.0").await;
    reader.connect(raw.peer, &raw.addr).await;
    reader.meet(&source).await;
    let peer = reader.peer;
    let stalled = raw.peer;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(serve_and_stall(raw, peer, same, 10));

    let session = reader.handle.session(SessionOptions::default());
    let (bytes, longest) = within(120, fetch(&session, root)).await;
    assert_eq!(bytes, 32 * 1024 * 1024);
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    assert!(reader.handle.ledger(&stalled).unwrap().blocks_received > 0, "it was of use before");
    assert!(reader.handle.stats().stalls > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_of_two_mib_go_through_and_larger_ones_do_not() {
    let (source, mut reader) = (Node::new().await, Node::new().await);
    reader.meet(&source).await;
    let session = reader.handle.session(SessionOptions::default());
    for n in 0..3 {
        let data = block(n, MAX_BLOCK_BYTES);
        let cid = source.store.put(data.clone());
        assert_eq!(within(30, session.get(cid)).await.unwrap(), data);
    }
    let large = source.store.put(block(9, MAX_BLOCK_BYTES + 1));
    let session = reader
        .handle
        .session(SessionOptions { timeout: Some(Duration::from_millis(500)), ..SessionOptions::default() });
    assert_eq!(within(30, session.get(large)).await, Err(Error::TimedOut { cid: large }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_gets_at_once_are_answered() {
    let (source, mut reader) = (Node::new().await, Node::new().await);
    let cids: Vec<Cid> = (0..4000).map(|n| source.store.put(block(n, 1000))).collect();
    reader.meet(&source).await;
    let handle = &reader.handle;
    let gets = cids.iter().map(|cid| async move { handle.get(*cid).await.map(|data| assert_eq!(cid_of(&data), *cid)) });
    within(60, futures::future::try_join_all(gets)).await.unwrap();
    assert_eq!(reader.handle.stats().blocks_received, 4000);
}

#[tokio::test]
async fn the_bound_of_wants_is_told_by_name_and_places_are_given_back() {
    let config = rustdht_bitswap::Config { max_wants: 2, ..rustdht_bitswap::Config::default() };
    let node = Node::with(config, |behaviour| behaviour).await;
    let cids: Vec<Cid> = (0..3).map(|n| cid_of(&block(n, 10))).collect();
    let mut first = Box::pin(node.handle.get(cids[0]));
    let mut second = Box::pin(node.handle.get(cids[1]));
    assert!(futures::poll!(first.as_mut()).is_pending() && futures::poll!(second.as_mut()).is_pending());
    assert_eq!(node.handle.get(cids[2]).await, Err(Error::TooManyWants { limit: 2 }));
    drop(first);
    let mut third = Box::pin(node.handle.get(cids[2]));
    // The request of the one that was dropped may not have been taken out of the inbox yet.
    within(10, async {
        while !futures::poll!(third.as_mut()).is_pending() {
            tokio::task::yield_now().await;
            third = Box::pin(node.handle.get(cids[2]));
        }
    })
    .await;
}

#[tokio::test]
async fn identity_cids_need_nobody_and_unknown_hashes_are_refused() {
    let node = Node::new().await;
    let inline = Cid::new_v1(0x55, libp2p::multihash::Multihash::wrap(0, b"hello").unwrap());
    assert_eq!(node.handle.get(inline).await.unwrap(), "hello");
    let unknown = Cid::new_v1(0x55, libp2p::multihash::Multihash::wrap(0x11, &[1; 20]).unwrap());
    assert!(matches!(node.handle.get(unknown).await, Err(Error::UnknownHash { code: 0x11, .. })));
}

#[tokio::test]
async fn a_stopped_swarm_answers_its_callers() {
    let mut node = Node::new().await;
    let handle = node.handle.clone();
    let waiting = handle.get(cid_of(b"nobody has this"));
    let stop = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        node.kill();
    };
    let (answer, ()) = within(10, futures::future::join(waiting, stop)).await;
    assert_eq!(answer, Err(Error::Stopped));
    assert_eq!(handle.get(cid_of(b"nor this")).await, Err(Error::Stopped));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_are_dialled_given_at_the_start_or_when_asked_for() {
    let (source, mut reader) = (Node::new().await, Node::new().await);
    let [first, second] = [1, 2].map(|n| source.store.put(block(n, BLOCK)));
    let provider = Provider { peer: source.peer, addresses: vec![source.addr.clone()] };

    let mut other = Node::new().await;
    let session = other.handle.session(SessionOptions { providers: vec![provider.clone()], timeout: None });
    within(30, session.get(first)).await.unwrap();
    assert!(other.events.try_recv().is_err(), "who is given need not be asked for");

    let session = reader.handle.session(SessionOptions::default());
    let id = session.id();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { session.get(second).await });
    let event = within(10, reader.event(|event| matches!(event, Event::NeedProviders { .. }))).await;
    assert_eq!(event, Event::NeedProviders { session: id, cid: second });
    reader.handle.add_providers(id, vec![provider]);
    within(30, tasks.join_next()).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_want_whose_future_is_dropped_is_cancelled() {
    let mut reader = Node::new().await;
    let mut raw = Raw::new("/ipfs/bitswap/1.2.0").await;
    reader.connect(raw.peer, &raw.addr).await;
    let cid = cid_of(b"something");
    let mut get = Box::pin(reader.handle.get(cid));
    assert!(futures::poll!(get.as_mut()).is_pending());
    let mut stream = within(10, raw.inbound.recv()).await.unwrap();
    assert_eq!(within(10, hear(&mut stream)).await.unwrap().wants, [(cid, false, false)]);
    drop(get);
    assert_eq!(within(10, hear(&mut stream)).await.unwrap().wants, [(cid, true, false)], "on the same stream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_known_hash_is_checked() {
    let (source, mut reader) = (Node::new().await, Node::new().await);
    reader.meet(&source).await;
    let data = block(1, 5000);
    let sha2_512 = libp2p::multihash::Multihash::wrap(0x13, &<sha2::Sha512 as sha2::Digest>::digest(&data)).unwrap();
    let blake3 = libp2p::multihash::Multihash::wrap(0x1e, blake3::hash(&data).as_bytes()).unwrap();
    for hash in [sha2_512, blake3] {
        source.store.put_as(hash, data.clone());
        let cid = Cid::new_v1(0x55, hash);
        assert_eq!(within(10, reader.handle.get(cid)).await.unwrap(), data);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_that_are_fetched_and_kept_go_on_to_others() {
    let (source, mut middle, mut end) = (Node::new().await, Node::new().await, Node::new().await);
    let root = dag(&source.store, 16, 10_000);
    middle.meet(&source).await;
    end.meet(&middle).await;
    let want = end.handle.session(SessionOptions::default());
    let relay = async {
        let session = middle.handle.session(SessionOptions::default());
        let data = session.get(root).await.unwrap();
        let cids = links(&data);
        middle.store.put(data);
        middle.handle.notify([root]);
        let blocks: Vec<_> = stream::iter(&cids).then(|cid| session.get(*cid)).try_collect().await.unwrap();
        for data in blocks {
            let cid = middle.store.put(data);
            middle.handle.notify([cid]);
        }
    };
    let ((bytes, _), ()) = within(60, futures::future::join(fetch(&want, root), relay)).await;
    assert_eq!(bytes, 160_000);
}
