use std::ops::Range;

use futures::{StreamExt, TryStreamExt, stream};
use rand::{RngCore, SeedableRng};
use rustdht_core::ports::{
    AddProfile, BlobStore, CollectOptions, NewUpload, Root, RootMark, RootSource, StoreError, UploadStore,
};

use super::*;
use crate::{Config, Store};

const ID: UploadId = UploadId([7; 16]);
const MIB: usize = 1 << 20;

fn noise(len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    rand_chacha::ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut bytes);
    bytes.into()
}

fn body(bytes: &Bytes, range: Range<usize>) -> BoxByteStream {
    let pieces: Vec<_> = bytes.slice(range).chunks(70_001).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

fn cut(bytes: &Bytes, range: Range<usize>) -> BoxByteStream {
    body(bytes, range).chain(stream::iter([Err(BlobError::Body("cut".into()))])).boxed()
}

/// A body whose client goes away behind `range` without its connection noticing; the other end hears when it gets there.
fn hanging(bytes: &Bytes, range: Range<usize>) -> (BoxByteStream, tokio::sync::oneshot::Receiver<()>) {
    let (sender, reached) = tokio::sync::oneshot::channel();
    let hangs = stream::once(async move {
        sender.send(()).unwrap();
        std::future::pending().await
    });
    (body(bytes, range).chain(hangs).boxed(), reached)
}

fn new(length: Option<usize>) -> NewUpload {
    NewUpload {
        length: length.map(|length| length as u64),
        options: AddOptions::default(),
        expires_ms: 1000,
        holder: "owner".into(),
        note: "note".into(),
    }
}

/// As a kill leaves it: what is in the files.
async fn reopened(store: Store, dir: &Path) -> Store {
    store.close().await;
    drop(store);
    Store::open(Config::new(dir)).unwrap()
}

async fn whole(store: &Store, added: &Added) -> Vec<u8> {
    let pieces: Vec<Bytes> = store.read(&added.cid, 0..added.size).await.unwrap().try_collect().await.unwrap();
    pieces.concat()
}

#[tokio::test]
async fn parts_of_any_length_make_the_file_that_it_would_be_at_once() {
    let profiles = [AddProfile::UnixfsV1, AddProfile::Legacy];
    let hashes = [AddHash::Sha2, AddHash::Blake3];
    for (at, (profile, hash)) in profiles.into_iter().flat_map(|p| hashes.map(|h| (p, h))).enumerate() {
        let options = AddOptions { profile, hash };
        for len in [0, 5, 256 << 10, MIB, MIB + 1, 3 * MIB + 77] {
            let dir = tempfile::tempdir().unwrap();
            let bytes = noise(len);
            let other = tempfile::tempdir().unwrap();
            let other = Store::open(Config::new(other.path())).unwrap();
            let expected = other.add(body(&bytes, 0..len), options).await.unwrap();
            let mut store = Store::open(Config::new(dir.path())).unwrap();
            store.begin(ID, NewUpload { options, ..new(Some(len)) }).await.unwrap();
            let mut offset = 0;
            while offset < len {
                let end = (offset + 300_000 + at * 100_003).min(len);
                // Every second one breaks off, and after it the store is opened anew.
                let breaks = offset % 2 == 1;
                let part = if breaks { cut(&bytes, offset..end) } else { body(&bytes, offset..end) };
                let answer = store.append(ID, offset as u64, part, Arrived::Partly, 2000).await;
                assert_eq!(answer.is_err(), breaks);
                if breaks {
                    store = reopened(store, dir.path()).await;
                }
                let state = store.state(ID).await.unwrap();
                assert_eq!((state.offset, state.expires_ms, state.note.as_str()), (end as u64, 2000, "note"));
                offset = end;
            }
            let added = store.assemble(ID).await.unwrap();
            assert_eq!(added, expected, "{len} {options:?}");
            assert_eq!(whole(&store, &added).await, bytes);
            assert_eq!(store.by_digest(&added.sha256.unwrap()).await.unwrap(), Some(added.cid));
            store.complete(ID, &added).await.unwrap();
            let store = reopened(store, dir.path()).await;
            assert_eq!(store.state(ID).await.unwrap().added, Some(added.clone()));
            assert_eq!(store.assemble(ID).await.unwrap(), added);
            store.end(ID).await.unwrap();
            assert!(matches!(store.state(ID).await, Err(UploadError::Unknown)));
            assert_eq!(fs::read_dir(dir.path().join("uploads")).unwrap().count(), 0);
        }
    }
}

#[tokio::test]
async fn what_is_not_whole_is_not_kept_when_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    let bytes = noise(3 * MIB);
    store.begin(ID, new(Some(3 * MIB))).await.unwrap();
    store.append(ID, 0, body(&bytes, 0..MIB / 2), Arrived::WholeOnly, 1).await.unwrap();
    let at = (MIB / 2) as u64;
    assert!(store.append(ID, at, cut(&bytes, MIB / 2..2 * MIB), Arrived::WholeOnly, 1).await.is_err());
    assert_eq!(store.state(ID).await.unwrap().offset, at);
    let store = reopened(store, dir.path()).await;
    store.append(ID, at, body(&bytes, MIB / 2..3 * MIB), Arrived::WholeOnly, 1).await.unwrap();
    assert_eq!(whole(&store, &store.assemble(ID).await.unwrap()).await, bytes);
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.uploads = UploadBounds { max_bytes: 4 << 20, max_open: 8, max_open_bytes: 2 << 20 };
    let store = Store::open(config).unwrap();
    let bytes = noise(5 * MIB);
    let too_long = |error: &UploadError, of: u64| matches!(error, UploadError::TooLong { limit } if *limit == of);
    assert!(too_long(&store.begin(ID, new(Some(4 * MIB + 1))).await.unwrap_err(), 4 << 20));
    store.begin(ID, new(None)).await.unwrap();
    assert!(matches!(store.assemble(ID).await, Err(UploadError::Incomplete { at: 0 })));
    assert!(matches!(
        store.append(ID, 1, body(&bytes, 1..2), Arrived::Partly, 1).await,
        Err(UploadError::Offset { at: 0 })
    ));
    store.append(ID, 0, body(&bytes, 0..100), Arrived::Partly, 1).await.unwrap();
    assert!(matches!(store.set_length(ID, 99).await, Err(UploadError::LengthKnown(100))));
    store.set_length(ID, 200).await.unwrap();
    store.set_length(ID, 200).await.unwrap();
    assert!(matches!(store.set_length(ID, 201).await, Err(UploadError::LengthKnown(200))));
    assert!(too_long(&store.append(ID, 100, body(&bytes, 100..300), Arrived::Partly, 1).await.unwrap_err(), 200));
    // One holder has a part of the places, all of them together have all.
    store.begin(UploadId([8; 16]), new(Some(5))).await.unwrap();
    assert!(matches!(store.begin(UploadId([9; 16]), new(None)).await, Err(UploadError::TooMany { limit: 2 })));
    for at in 0..6 {
        let other = NewUpload { holder: format!("h{at}"), ..new(Some(4 * MIB)) };
        store.begin(UploadId([100 + at; 16]), other).await.unwrap();
    }
    let other = NewUpload { holder: "late".into(), ..new(Some(1)) };
    assert!(matches!(store.begin(UploadId([9; 16]), other).await, Err(UploadError::TooMany { limit: 8 })));
    // And so with bytes; who ends one makes room.
    let full = UploadId([100; 16]);
    store.append(full, 0, body(&bytes, 0..3 * MIB), Arrived::Partly, 1).await.unwrap();
    let next = UploadId([101; 16]);
    let refused = store.append(next, 0, body(&bytes, 0..10), Arrived::Partly, 1).await;
    assert!(matches!(refused, Err(UploadError::NoRoom { limit }) if limit == 2 << 20));
    store.end(full).await.unwrap();
    store.append(next, 0, body(&bytes, 0..10), Arrived::Partly, 5000).await.unwrap();
    let mut gone = store.expire(4999).await;
    gone.sort();
    assert_eq!(gone.len(), 6, "all but the one that was put off: {gone:?}");
    assert_eq!(store.uploads.ids(), [next]);
    assert_eq!(store.expire(5000).await, [next]);
}

#[tokio::test]
async fn who_comes_later_takes_over_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    let bytes = noise(2 * MIB);
    store.begin(ID, new(Some(2 * MIB))).await.unwrap();
    let (hangs, reached) = hanging(&bytes, 0..MIB + 9);
    let first = store.append(ID, 0, hangs, Arrived::Partly, 1);
    let second = async {
        reached.await.unwrap();
        store.interrupt(ID).await.unwrap()
    };
    let (first, second) = tokio::join!(first, second);
    assert!(matches!(first, Err(UploadError::Blob(BlobError::Body(_)))), "{first:?}");
    assert_eq!(second.offset, (MIB + 9) as u64);
    store.append(ID, second.offset, body(&bytes, MIB + 9..2 * MIB), Arrived::Partly, 1).await.unwrap();
    assert_eq!(whole(&store, &store.assemble(ID).await.unwrap()).await, bytes);

    // A request whose future is dropped goes on in the store.
    let id = UploadId([8; 16]);
    store.begin(id, new(Some(2 * MIB))).await.unwrap();
    let appending = store.append(id, 0, body(&bytes, 0..2 * MIB), Arrived::Partly, 1);
    assert!(tokio::time::timeout(Duration::from_millis(1), appending).await.is_err());
    while store.state(id).await.unwrap().offset < (2 * MIB) as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_stop_keeps_what_came_and_a_collector_is_told_of_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    let bytes = noise(3 * MIB + 5);
    store.begin(ID, new(Some(bytes.len()))).await.unwrap();
    let (hangs, reached) = hanging(&bytes, 0..2 * MIB + 9);
    let (appended, ()) = tokio::join!(store.append(ID, 0, hangs, Arrived::Partly, 1), async {
        reached.await.unwrap();
        assert!(!store.uploads.blocks_of(ID).unwrap().is_empty(), "before it is in the file");
        store.close().await;
    });
    assert!(appended.is_err());
    drop(store);
    let store = Store::open(Config::new(dir.path())).unwrap();
    let at = store.state(ID).await.unwrap().offset;
    assert_eq!(at, (2 * MIB + 9) as u64);
    assert_eq!(store.uploads.blocks_of(ID).unwrap().len(), 2);
    store.append(ID, at, body(&bytes, 2 * MIB + 9..bytes.len()), Arrived::Partly, 1).await.unwrap();
    assert_eq!(store.uploads.blocks_of(ID).unwrap().len(), 3);
    let added = store.assemble(ID).await.unwrap();
    // The last chunk and the root as well, until something else keeps them.
    let held = store.uploads.blocks_of(ID).unwrap();
    assert_eq!(held.len(), 5);
    for digest in &held {
        assert!(store.blocks.shelf.index.get(digest).is_some());
    }
    assert!(held.contains(&Digest::sha2(digest::sha256_of(&added.cid).unwrap())));
    store.complete(ID, &added).await.unwrap();
    assert!(store.uploads.blocks_of(ID).unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_client_sent_is_durable_after_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    let bytes = noise(2 * MIB);
    store.begin(ID, new(Some(2 * MIB))).await.unwrap();
    let (hangs, reached) = hanging(&bytes, 0..MIB + 9);
    let appending = store.append(ID, 0, hangs, Arrived::Partly, 1);
    let watching = async {
        reached.await.unwrap();
        assert_eq!(store.state(ID).await.unwrap().offset, 0);
        tokio::time::sleep(Duration::from_secs(6)).await;
        while store.state(ID).await.unwrap().offset != (MIB + 9) as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        ended = appending => panic!("{ended:?}"),
        () = watching => {}
    }
}

/// Somebody who keeps nothing.
struct Nothing;

#[async_trait::async_trait]
impl RootSource for Nothing {
    async fn mark(&self) -> Result<RootMark, StoreError> {
        Ok(RootMark::default())
    }

    fn roots(&self) -> stream::BoxStream<'static, Result<Root, StoreError>> {
        stream::empty().boxed()
    }

    fn since(&self, _: RootMark) -> stream::BoxStream<'static, Result<Root, StoreError>> {
        stream::empty().boxed()
    }
}

#[tokio::test]
async fn a_collection_leaves_unfinished_uploads_and_takes_ended_ones() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    let bytes = noise(3 * MIB + 5);
    let blocks = async || store.usage().await.unwrap().blocks;
    let collect = async || store.collect(Arc::new(Nothing), CollectOptions::default()).await.unwrap();
    store.begin(ID, new(Some(bytes.len()))).await.unwrap();
    store.append(ID, 0, body(&bytes, 0..2 * MIB + 9), Arrived::Partly, 1).await.unwrap();
    let loose = store.add(body(&bytes, 7..8), AddOptions::default()).await.unwrap();
    collect().await;
    assert!(!store.has(&loose.cid).await.unwrap());
    assert_eq!(blocks().await, 2);
    store.append(ID, (2 * MIB + 9) as u64, body(&bytes, 2 * MIB + 9..bytes.len()), Arrived::Partly, 1).await.unwrap();
    let added = store.assemble(ID).await.unwrap();
    collect().await;
    assert_eq!(whole(&store, &added).await, bytes, "until something else keeps it");
    store.complete(ID, &added).await.unwrap();
    // What was read since the collection began stays; one later it does not.
    collect().await;
    assert_eq!(blocks().await, 0);
}

fn open_bytes(store: &Store) -> u64 {
    store.uploads.open_bytes.load(Ordering::Relaxed)
}

#[tokio::test]
async fn what_is_complete_stays_as_long_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(Config::new(dir.path())).unwrap();
    let file = noise(MIB + 5);
    store.begin(ID, new(Some(file.len()))).await.unwrap();
    store.append(ID, 0, body(&file, 0..file.len()), Arrived::Partly, 2000).await.unwrap();
    let added = store.assemble(ID).await.unwrap();
    store.complete(ID, &added).await.unwrap();
    for _ in 0..2 {
        for at in [0, 7, file.len()] {
            let error = store.append(ID, at as u64, body(&file, 0..9), Arrived::Partly, 2000).await.unwrap_err();
            assert!(matches!(error, UploadError::Offset { at } if at == file.len() as u64), "{error}");
        }
        let state = store.state(ID).await.unwrap();
        assert_eq!((state.offset, state.added.is_some(), open_bytes(&store)), (file.len() as u64, true, 0));
        store = reopened(store, dir.path()).await;
    }
}

#[tokio::test]
async fn what_is_ended_while_it_comes_is_not_counted_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    let file = noise(3 * MIB);
    store.begin(ID, new(Some(9 * MIB))).await.unwrap();
    let (hangs, reached) = hanging(&file, 0..file.len());
    let (appended, ()) = tokio::join!(store.append(ID, 0, hangs, Arrived::Partly, 2000), async {
        reached.await.unwrap();
        store.end(ID).await.unwrap();
    });
    assert!(appended.is_err());
    assert_eq!((open_bytes(&store), store.uploads.ids().len()), (0, 0));
    assert!(matches!(store.state(ID).await, Err(UploadError::Unknown)));
    assert_eq!(fs::read_dir(&store.uploads.dir).unwrap().count(), 0);
}

#[tokio::test]
async fn of_those_that_are_complete_the_oldest_gives_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    let id = |at: usize| UploadId((at as u128).to_be_bytes());
    for at in 0..MAX_COMPLETE + 3 {
        store.begin(id(at), NewUpload { expires_ms: 1000 + at as u64, ..new(Some(0)) }).await.unwrap();
        let added = store.assemble(id(at)).await.unwrap();
        store.complete(id(at), &added).await.unwrap();
    }
    assert_eq!(store.uploads.ids().len(), MAX_COMPLETE);
    assert!(matches!(store.state(id(1)).await, Err(UploadError::Unknown)));
    assert!(store.state(id(3)).await.is_ok());
}
