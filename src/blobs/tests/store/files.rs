//! Files in and out of a store on disk.

use crate::common::{LEGACY, body, bytes, cid_of, read};
use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, TryStreamExt, stream};
use proptest::prelude::*;
use rustdht_blobs::{Config, Error, Store};
use rustdht_core::ports::{AddOptions, BlobError, BlobStore};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_added_is_read_whole_and_in_ranges(
        size in prop_oneof![0..2000_usize, 250_000..270_000_usize, 1_040_000..1_060_000_usize, 0..6_000_000_usize],
        piece in prop_oneof![1000..5000_usize, 60_000..70_000_usize, 900_000..2_500_000_usize],
        legacy in any::<bool>(),
        cuts in proptest::collection::vec((0.0..=1.0_f64, 0.0..=1.0_f64), 4),
        seed in any::<u64>(),
    ) {
        runtime().block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(Config { pack_bytes: 3 << 20, ..Config::new(dir.path()) }).unwrap();
            let file = bytes(seed, size);
            let options = if legacy { LEGACY } else { AddOptions::default() };
            let added = store.add(body(&file, piece), options).await.unwrap();
            assert_eq!(added.size, size as u64);
            assert_eq!(added.head, file[..size.min(512)]);
            assert_eq!(store.stat(&added.cid).await.unwrap().size, size as u64);

            // Again, in other pieces: the same root, and nothing is stored twice.
            let before = store.totals().await;
            assert_eq!(store.add(body(&file, piece / 2 + 1), options).await.unwrap(), added);
            assert_eq!(store.totals().await, before);

            store.close().await;
            drop(store);
            let store = Store::open(Config::new(dir.path())).unwrap();
            assert_eq!(store.totals().await, before);
            assert!(read(&store, &added.cid, 0..size as u64).await.unwrap() == file);
            for (a, b) in cuts {
                let (a, b) = ((a * size as f64) as u64, (b * size as f64) as u64);
                let range = a.min(b)..a.max(b);
                let part = read(&store, &added.cid, range.clone()).await.unwrap();
                assert!(part == file[range.start as usize..range.end as usize], "{range:?} of {size}");
            }
            let outside = read(&store, &added.cid, 0..size as u64 + 1).await.unwrap_err();
            assert!(matches!(outside, BlobError::OutOfRange { size: told } if told == size as u64));
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_leaves_a_usable_store_and_no_root() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    let file = bytes(1, 2_500_000);
    let broken = stream::iter([Ok(file.clone()), Err(BlobError::Body("reset".into()))]).boxed();
    assert!(matches!(store.add(broken, AddOptions::default()).await, Err(BlobError::Body(_))));
    let added = store.add(body(&file, 10_000), AddOptions::default()).await.unwrap();
    assert!(read(&store, &added.cid, 0..added.size).await.unwrap() == file);
    store.close().await;
    let late = store.add(body(&file, 10_000), AddOptions::default()).await;
    assert!(matches!(late, Err(BlobError::Storage(_))), "a closed store takes nothing");
    assert!(read(&store, &added.cid, 0..9).await.unwrap() == file[..9], "a closed store still reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn adds_side_by_side_share_packs_and_are_all_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config { pack_bytes: 1 << 20, ..Config::new(dir.path()) }).unwrap();
    let files: Vec<Bytes> = (0..40).map(|seed| bytes(seed % 30, 1000 + 40_000 * (seed as usize % 30))).collect();
    let adds = files.iter().map(|file| store.add(body(file, 7000), LEGACY));
    let added: Vec<_> = futures::future::join_all(adds).await.into_iter().collect::<Result<_, _>>().unwrap();
    drop(store);
    let store = Store::open(Config::new(dir.path())).unwrap();
    for (file, added) in files.iter().zip(added) {
        assert!(read(&store, &added.cid, 0..added.size).await.unwrap() == *file);
    }
}

#[tokio::test]
async fn blocks_are_checked_and_kept_by_their_hash_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    let data = Bytes::from_static(b"a block");
    let (raw, cbor) = (cid_of(0x55, &data), cid_of(0x71, &data));
    assert!(!store.has(&raw).await.unwrap() && store.block(&raw).await.unwrap().is_none());
    let bad = store.put_block(&raw, Bytes::from_static(b"another")).await;
    assert!(matches!(bad, Err(BlobError::BadBlock(cid)) if cid == raw));
    store.put_block(&raw, data.clone()).await.unwrap();
    store.put_block(&cbor, data.clone()).await.unwrap();
    assert_eq!(store.totals().await, (1, 7));
    assert_eq!(store.block(&cbor).await.unwrap(), Some(data.clone()));

    let blake = Cid::new_v1(0x55, multihash::Multihash::wrap(0x1e, blake3::hash(&data).as_bytes()).unwrap());
    store.put_block(&blake, data.clone()).await.unwrap();
    assert_eq!(store.block(&blake).await.unwrap(), Some(data.clone()));

    let greatest = Bytes::from(vec![1; 2 << 20]);
    store.put_block(&cid_of(0x55, &greatest), greatest.clone()).await.unwrap();
    let over = Bytes::from(vec![1; (2 << 20) + 1]);
    assert!(matches!(store.put_block(&cid_of(0x55, &over), over.clone()).await, Err(BlobError::BadBlock(_))));

    let inline = Cid::new_v1(0x55, multihash::Multihash::wrap(0, b"inline").unwrap());
    assert!(store.has(&inline).await.unwrap());
    assert_eq!(read(&store, &inline, 2..6).await.unwrap(), "line");
    let unknown = Cid::new_v1(0x55, multihash::Multihash::wrap(0x11, &[0; 20]).unwrap());
    let error = store.put_block(&unknown, data.clone()).await.unwrap_err();
    assert!(error.to_string().contains("the hash function 0x11 of "), "{error}");
    assert!(matches!(store.stat(&unknown).await, Err(BlobError::UnknownHash(cid)) if cid == unknown));
    assert!(!store.has(&unknown).await.unwrap() && store.block(&unknown).await.unwrap().is_none());
    assert!(matches!(store.stat(&cbor).await, Err(BlobError::NotAFile(_))));
}

#[tokio::test]
async fn a_folder_that_is_taken_or_not_writable_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    assert!(matches!(Store::open(Config::new(dir.path())), Err(Error::InUse(_))));
    store.close().await;
    Store::open(Config::new(dir.path())).unwrap();

    let file = dir.path().join("a file");
    std::fs::write(&file, b"").unwrap();
    let error = Store::open(Config::new(&file)).unwrap_err();
    assert!(matches!(error, Error::NotWritable { .. }));
    assert!(error.to_string().starts_with("the blob folder ") && error.to_string().contains("is not writable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_dropped_half_way_stops() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    let file = bytes(9, 12 << 20);
    let added = store.add(body(&file, 100_000), AddOptions::default()).await.unwrap();
    let mut stream = store.read(&added.cid, 5..added.size).await.unwrap();
    let first = stream.try_next().await.unwrap().unwrap();
    assert!(first == file[5..5 + first.len()]);
    drop(stream);
    store.close().await;
}
