//! Reading files of which some blocks are elsewhere, missing, damaged or lies.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::TryStreamExt;
use rustdht_blobs::{Config, Store};
use rustdht_core::ports::{BlobError, BlobStore, BlockSource};

use crate::common::{LEGACY, body, bytes, cid_of, read, varint};

const CHUNK: u64 = 256 << 10;

/// A peer that has some blocks, and remembers what it was asked for.
#[derive(Default)]
struct Peer {
    blocks: HashMap<Cid, Bytes>,
    asked: Mutex<Vec<Cid>>,
}

#[async_trait]
impl BlockSource for Peer {
    async fn fetch_block(&self, cid: &Cid) -> Option<Bytes> {
        self.asked.lock().unwrap().push(*cid);
        tokio::task::yield_now().await;
        self.blocks.get(cid).cloned()
    }
}

/// A file of `leaves` blocks, its CID and leaves, and a peer that has all of its blocks. More than 174 leaves make
/// three levels.
async fn elsewhere(leaves: u64) -> (Bytes, Cid, Vec<Cid>, Peer) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    let file = bytes(leaves, (leaves * CHUNK - 100) as usize);
    let root = store.add(body(&file, 300_000), LEGACY).await.unwrap().cid;
    let chunks = file.chunks(CHUNK as usize);
    let leaves: Vec<Cid> = chunks.map(|chunk| cid_of(0x55, chunk)).collect();
    let mut peer = Peer::default();
    let mut inner = vec![root];
    while let Some(cid) = inner.pop() {
        let block = store.block(&cid).await.unwrap().unwrap();
        // Links of these files: 36 bytes of CID behind the tags 12, length, 0a, 24.
        let cids = block.windows(4).enumerate().filter(|(_, four)| four[0] == 0x12 && four[2..] == [0x0a, 0x24]);
        for (at, _) in cids {
            let child = Cid::try_from(&block[at + 4..at + 40]).unwrap();
            if child.codec() == 0x70 {
                inner.push(child);
            } else {
                peer.blocks.insert(child, store.block(&child).await.unwrap().unwrap());
            }
        }
        peer.blocks.insert(cid, block);
    }
    assert!(leaves.iter().all(|leaf| peer.blocks.contains_key(leaf)));
    (file, root, leaves, peer)
}

fn bound(peer: Peer) -> (tempfile::TempDir, Store, Arc<Peer>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    let peer = Arc::new(peer);
    store.bind_source(Arc::<Peer>::clone(&peer));
    (dir, store, peer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_peer_is_read_and_then_held() {
    let (file, root, _, peer) = elsewhere(180).await;
    let (_dir, store, peer) = bound(peer);
    assert_eq!(store.stat(&root).await.unwrap().size, file.len() as u64);
    assert!(read(&store, &root, 0..file.len() as u64).await.unwrap() == file);
    let asked = peer.asked.lock().unwrap().len();
    assert!(asked >= peer.blocks.len());
    assert!(read(&store, &root, 0..file.len() as u64).await.unwrap() == file);
    assert_eq!(peer.asked.lock().unwrap().len(), asked, "the second read asks nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_touches_no_block_before_it_nor_behind_it() {
    let (file, root, leaves, mut peer) = elsewhere(180).await;
    let (from, to) = (176 * CHUNK, 178 * CHUNK);
    peer.blocks.retain(|cid, _| cid.codec() == 0x70 || leaves[176..178].contains(cid));
    let (_dir, store, peer) = bound(peer);
    // The edges of the range are the edges of blocks: their neighbours must not be needed.
    let part = read(&store, &root, from..to).await.unwrap();
    assert!(part == file[from as usize..to as usize]);
    let asked = peer.asked.lock().unwrap().clone();
    assert!(asked.iter().all(|cid| peer.blocks.contains_key(cid)));
    assert!(asked.len() <= 5, "the root, the second of its children, two leaves");
    assert_eq!(read(&store, &root, from..from).await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_here_streams_until_the_block_that_is_missing() {
    let (file, root, leaves, mut peer) = elsewhere(6).await;
    peer.blocks.remove(&leaves[3]);
    let (_dir, store, _) = bound(peer);
    let mut stream = store.read(&root, 0..file.len() as u64).await.unwrap();
    let mut came = Vec::new();
    let end = loop {
        match stream.try_next().await {
            Ok(Some(piece)) => came.extend_from_slice(&piece),
            Ok(None) => panic!("ended as if it were whole"),
            Err(error) => break error,
        }
    };
    assert!(matches!(end, BlobError::Missing(cid) if cid == leaves[3]));
    assert!(came == file[..3 * CHUNK as usize]);
    assert!(stream.try_next().await.unwrap().is_none(), "nothing follows an error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_does_not_hash_to_its_cid_is_refused() {
    let (file, root, leaves, mut peer) = elsewhere(3).await;
    peer.blocks.insert(leaves[1], Bytes::from_static(b"a lie"));
    let (_dir, store, _) = bound(peer);
    let error = read(&store, &root, 0..file.len() as u64).await.unwrap_err();
    assert!(matches!(error, BlobError::BadBlock(cid) if cid == leaves[1]));
    assert!(!store.has(&leaves[1]).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_damaged_on_the_disk_is_told_and_can_be_fetched_again() {
    let (file, root, leaves, peer) = elsewhere(3).await;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    store.add(body(&file, 1 << 20), LEGACY).await.unwrap();
    store.close().await;
    let pack = dir.path().join("packs/00000000.pack");
    let mut damaged = std::fs::read(&pack).unwrap();
    damaged[400_000] ^= 1;
    std::fs::write(&pack, damaged).unwrap();

    let store = Store::open(Config::new(dir.path())).unwrap();
    let before = store.totals().await;
    let error = read(&store, &root, 0..file.len() as u64).await.unwrap_err();
    assert!(matches!(error, BlobError::BadBlock(cid) if cid == leaves[1]));
    assert!(!store.has(&leaves[1]).await.unwrap() && store.has(&leaves[0]).await.unwrap());
    store.bind_source(Arc::new(peer));
    assert!(read(&store, &root, 0..file.len() as u64).await.unwrap() == file);
    // Waits for the writer, which was not waited for by the read.
    store.put_block(&leaves[1], file.slice(CHUNK as usize..2 * CHUNK as usize)).await.unwrap();
    assert_eq!(store.totals().await, before);
    store.close().await;
    drop(store);
    let store = Store::open(Config::new(dir.path())).unwrap();
    assert!(read(&store, &root, 0..file.len() as u64).await.unwrap() == file, "the later record counts");
}

/// A dag-pb file: bytes inside, then links with the spans that are claimed for them.
fn node(inside: &[u8], links: &[(Cid, u64)]) -> (Cid, Bytes) {
    let (mut block, mut data) = (Vec::new(), vec![8, 2]);
    data.push(0x12);
    varint(&mut data, inside.len() as u64);
    data.extend(inside);
    for (cid, span) in links {
        let cid = cid.to_bytes();
        block.push(0x12);
        varint(&mut block, cid.len() as u64 + 2);
        block.push(0x0a);
        varint(&mut block, cid.len() as u64);
        block.extend(cid);
        data.push(0x20);
        varint(&mut data, *span);
    }
    block.push(0x0a);
    varint(&mut block, data.len() as u64);
    block.extend(data);
    (cid_of(0x70, &block), block.into())
}

async fn holding(blocks: &[(Cid, Bytes)]) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    for (cid, block) in blocks {
        store.put_block(cid, block.clone()).await.unwrap();
    }
    (dir, store)
}

#[tokio::test]
async fn bytes_inside_blocks_come_before_what_they_link() {
    let leaf = (cid_of(0x55, b"leaf"), Bytes::from_static(b"leaf"));
    let middle = node(b"middle", &[(leaf.0, 4), (leaf.0, 4)]);
    let root = node(b"root", &[(leaf.0, 4), (middle.0, 14), (leaf.0, 4)]);
    let (_dir, store) = holding(&[leaf, middle, root.clone()]).await;
    let whole = b"rootleafmiddleleafleafleaf";
    for from in 0..=whole.len() {
        for to in from..=whole.len() {
            let part = read(&store, &root.0, from as u64..to as u64).await.unwrap();
            assert_eq!(part, whole[from..to], "{from}..{to}");
        }
    }
}

#[tokio::test]
async fn sizes_that_lie_and_endless_depth_end_in_an_error() {
    let leaf = (cid_of(0x55, b"leaf"), Bytes::from_static(b"leaf"));
    for claimed in [3, 5, u64::MAX - 9] {
        let root = node(b"", &[(leaf.0, claimed), (leaf.0, 4)]);
        let (_dir, store) = holding(&[leaf.clone(), root.clone()]).await;
        let size = store.stat(&root.0).await.unwrap().size;
        assert_eq!(size, claimed + 4);
        let error = read(&store, &root.0, 0..size).await.unwrap_err();
        assert!(matches!(error, BlobError::NotAFile(_)), "{error}");
        let beyond = read(&store, &root.0, size - 4..size).await.unwrap();
        assert_eq!(beyond, "leaf", "what is not touched cannot be checked");
    }
    let mut blocks = vec![leaf.clone()];
    for _ in 0..40 {
        let child = blocks.last().unwrap().0;
        blocks.push(node(b"", &[(child, 4)]));
    }
    let (_dir, store) = holding(&blocks).await;
    assert_eq!(read(&store, &blocks[32].0, 0..4).await.unwrap(), "leaf");
    let error = read(&store, &blocks[36].0, 0..4).await.unwrap_err();
    assert!(matches!(error, BlobError::NotAFile(_)), "{error}");
    let directory = Bytes::from_static(&[0x0a, 2, 8, 1]);
    let cid = cid_of(0x70, &directory);
    store.put_block(&cid, directory).await.unwrap();
    assert!(matches!(store.stat(&cid).await, Err(BlobError::NotAFile(_))));
}

#[tokio::test]
async fn what_was_just_fetched_is_not_asked_for_again() {
    let mut peer = Peer::default();
    let blocks: Vec<Bytes> = (0..300).map(|at| bytes(at, 200_000)).collect();
    let cids: Vec<Cid> = blocks.iter().map(|block| cid_of(0x55, block)).collect();
    peer.blocks = cids.iter().copied().zip(blocks).collect();
    let peer = Arc::new(peer);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    store.bind_source(Arc::clone(&peer) as _);
    for cid in &cids {
        // The writer's thread may not have come to the block yet.
        read(&store, cid, 0..5).await.unwrap();
        store.stat(cid).await.unwrap();
        read(&store, cid, 5..9).await.unwrap();
    }
    assert_eq!(*peer.asked.lock().unwrap(), cids);
}
