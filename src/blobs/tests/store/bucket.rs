//! Packs as objects: the same store over a bucket in memory and one in a folder.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use cid::Cid;
use futures::{StreamExt, future::join_all, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, local::LocalFileSystem,
    memory::InMemory, path::Path,
};
use rustdht_blobs::{Config, Store};
use rustdht_core::ports::{AddOptions, BlobError, BlobStore};

use crate::{
    collecting::{NOW, Roots, collect},
    common::{LEGACY, add, body, bytes, folder, read, read_back, text},
};

/// A bucket that counts, refuses and waits as it is told.
#[derive(Debug)]
struct Told {
    inner: Arc<dyn ObjectStore>,
    refuses: AtomicBool,
    puts: AtomicU64,
    /// What a PUT takes.
    takes: Duration,
    /// Bytes given out.
    got: AtomicU64,
    notes: Notes,
    /// As a service that knows no conditions.
    unconditional: AtomicBool,
}

/// Reads of notes that lead from a file's sha2-256 to its root.
#[derive(Debug, Default)]
struct Notes {
    refuses: AtomicBool,
    /// What one takes, in milliseconds.
    takes_ms: AtomicU64,
    at_once: AtomicU64,
    most_at_once: AtomicU64,
}

/// Length of the record of a note: what stands before it, and a CID.
const NOTE_BYTES: u64 = 51 + 36;

impl Notes {
    async fn read(&self) -> Result<()> {
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(self.takes_ms.load(Ordering::SeqCst))).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Error::Generic { store: "told", source: "it refuses".into() });
        }
        Ok(())
    }
}

impl Told {
    fn new(inner: Arc<dyn ObjectStore>, takes: Duration) -> Arc<Self> {
        Arc::new(Self {
            inner,
            refuses: AtomicBool::new(false),
            puts: AtomicU64::new(0),
            takes,
            got: AtomicU64::new(0),
            notes: Notes::default(),
            unconditional: AtomicBool::new(false),
        })
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("told")
    }
}

#[async_trait]
impl ObjectStore for Told {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        tokio::time::sleep(self.takes).await;
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Error::Generic { store: "told", source: "it refuses".into() });
        }
        if location.as_ref().ends_with(".pack") {
            self.puts.fetch_add(1, Ordering::SeqCst);
        }
        if self.unconditional.load(Ordering::SeqCst) && matches!(options.mode, PutMode::Create) {
            return Err(Error::NotImplemented { operation: "PutMode::Create".into(), implementer: "told".into() });
        }
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if matches!(&options.range, Some(GetRange::Bounded(range)) if range.end - range.start == NOTE_BYTES) {
            self.notes.read().await?;
        }
        let found = self.inner.get_opts(location, options).await?;
        self.got.fetch_add(found.range.end - found.range.start, Ordering::SeqCst);
        Ok(found)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

async fn open(dir: &tempfile::TempDir, objects: &Arc<Told>) -> Store {
    Store::open_bucket(Config::new(dir.path()), Arc::clone(objects) as _).await.unwrap()
}

async fn objects(bucket: &Told) -> Vec<String> {
    let mut names: Vec<String> =
        bucket.inner.list(None).map(|object| object.unwrap().location.to_string()).collect().await;
    names.sort();
    names
}

async fn put(store: &Store, seed: u64, len: usize) -> Cid {
    store.add(body(&bytes(seed, len), 100_000), LEGACY).await.unwrap().cid
}

/// Each kind of bucket, empty.
fn kinds() -> (tempfile::TempDir, Vec<Arc<dyn ObjectStore>>) {
    let dir = tempfile::tempdir().unwrap();
    let local = LocalFileSystem::new_with_prefix(dir.path()).unwrap();
    (dir, vec![Arc::new(InMemory::new()), Arc::new(local)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_in_the_bucket_and_is_found_again() {
    let (_kinds, buckets) = kinds();
    for bucket in buckets {
        let bucket = Told::new(bucket, Duration::ZERO);
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, &bucket).await;
        // More than two packs hold, and little files.
        let large = put(&store, 1, 40 << 20).await;
        let tree = folder([("a", text("one")), ("b", folder([("c", text("two"))]))]);
        let tree_root = add(&store, &tree, AddOptions::default()).await;
        let totals = store.totals().await;
        assert!(read(&store, &large, 5_000_000..5_000_100).await.unwrap() == bytes(1, 40 << 20)[5_000_000..5_000_100]);
        // As after a kill: it is not closed. The folder holds nothing that is needed.
        drop(store);
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, &bucket).await;
        assert_eq!(store.totals().await, totals);
        bucket.got.store(0, Ordering::SeqCst);
        let range = 30 << 20..(30 << 20) + 10_u64;
        assert_eq!(read(&store, &large, range).await.unwrap(), bytes(1, 40 << 20)[30 << 20..(30 << 20) + 10]);
        let got = bucket.got.load(Ordering::SeqCst);
        assert!(got < 1 << 20, "a range touches the blocks that it needs: {got} bytes");
        assert!(read(&store, &large, 0..40 << 20).await.unwrap() == bytes(1, 40 << 20));
        assert!(read_back(&store, &tree_root).await == tree);
        store.close().await;
        drop(store);
        // Without indices, the packs are read.
        for name in objects(&bucket).await.iter().filter(|name| name.ends_with(".idx")) {
            bucket.inner.delete(&Path::from(name.as_str())).await.unwrap();
        }
        let store = open(&dir, &bucket).await;
        assert_eq!(store.totals().await, totals);
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adds_that_end_together_share_a_pack() {
    let bucket = Told::new(Arc::new(InMemory::new()), Duration::from_millis(100));
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, &bucket).await;
    join_all((0..24).map(|seed| put(&store, seed, 5000))).await;
    let puts = bucket.puts.load(Ordering::SeqCst);
    assert!(puts <= 4, "24 adds in {puts} packs");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_that_the_bucket_refused_and_it_goes_on_when_it_takes_again() {
    let bucket = Told::new(Arc::new(InMemory::new()), Duration::ZERO);
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, &bucket).await;
    bucket.refuses.store(true, Ordering::SeqCst);
    let file = bytes(1, 300_000);
    let refused = store.add(body(&file, 100_000), LEGACY).await;
    assert!(matches!(refused, Err(BlobError::Storage(error)) if error.to_string().contains("it refuses")));
    assert!(objects(&bucket).await.is_empty());
    // More than is held in memory: it does not wait for ever, nor take all memory.
    let refused = store.add(body(&bytes(2, 100 << 20), 1 << 20), LEGACY);
    assert!(tokio::time::timeout(Duration::from_secs(60), refused).await.unwrap().is_err());
    bucket.refuses.store(false, Ordering::SeqCst);
    let cid = put(&store, 1, 300_000).await;
    drop(store);
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, &bucket).await;
    assert!(read(&store, &cid, 0..300_000).await.unwrap() == file);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collections_remove_objects_and_join_small_ones() {
    let (_kinds, buckets) = kinds();
    for bucket in buckets {
        let bucket = Told::new(bucket, Duration::ZERO);
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, &bucket).await;
        let roots = Arc::new(Roots::default());
        let mut cids = Vec::new();
        for seed in 0..30 {
            cids.push(put(&store, seed, 10_000).await);
        }
        assert_eq!(store.usage().await.unwrap().packs, 30);
        cids.iter().for_each(|cid| roots.keep(*cid));
        // All of it is kept, in packs that are too small.
        let done = collect(&store, &roots).await;
        assert_eq!((done.removed_blocks, done.moved_bytes), (0, 300_000), "{done:?}");
        assert_eq!(store.usage().await.unwrap().packs, 1);
        cids.iter().skip(5).for_each(|cid| roots.release(cid));
        let done = collect(&store, &roots).await;
        assert_eq!((done.removed_blocks, done.moved_bytes), (25, 50_000), "{done:?}");
        assert_eq!(objects(&bucket).await.len(), 2, "a pack and its index");
        store.close().await;
        drop(store);
        let store = open(&dir, &bucket).await;
        assert_eq!(store.totals().await, (5, 50_000));
        for (seed, cid) in cids.iter().enumerate().take(5) {
            assert!(read(&store, cid, 0..10_000).await.unwrap() == bytes(seed as u64, 10_000));
        }
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_about_files_are_read_some_at_once_and_none_goes_because_it_could_not_be_read() {
    let bucket = Told::new(Arc::new(InMemory::new()), Duration::ZERO);
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, &bucket).await;
    let roots = Arc::new(Roots::default());
    let file = |seed: u64| bytes(seed, 270_000);
    let sha = |seed: u64| -> [u8; 32] {
        use sha2::Digest as _;
        sha2::Sha256::digest(file(seed)).into()
    };
    let mut cids = Vec::new();
    for seed in 0..40 {
        cids.push(put(&store, seed, 270_000).await);
        roots.keep(cids[seed as usize]);
    }
    bucket.notes.refuses.store(true, Ordering::SeqCst);
    let refused = store.collect(Arc::clone(&roots) as _, NOW).await;
    assert!(
        matches!(&refused, Err(BlobError::Storage(error)) if error.to_string().contains("it refuses")),
        "{refused:?}"
    );
    bucket.notes.refuses.store(false, Ordering::SeqCst);
    for (seed, cid) in cids.iter().enumerate() {
        assert_eq!(store.by_digest(&sha(seed as u64)).await.unwrap(), Some(*cid));
    }
    bucket.notes.takes_ms.store(50, Ordering::SeqCst);
    // Those that were let go of when the first was refused were never ended.
    bucket.notes.at_once.store(0, Ordering::SeqCst);
    bucket.notes.most_at_once.store(0, Ordering::SeqCst);
    assert_eq!(collect(&store, &roots).await.removed_blocks, 0);
    assert_eq!(bucket.notes.most_at_once.load(Ordering::SeqCst), 16);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_is_one_gateways() {
    let (_kinds, buckets) = kinds();
    for bucket in buckets {
        for unconditional in [false, true] {
            let told = Told::new(Arc::clone(&bucket), Duration::ZERO);
            told.unconditional.store(unconditional, Ordering::SeqCst);
            let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
            let open = async |at: usize| {
                let config = Config { fresh_id: Some([at as u8; 16]), ..Config::new(dirs[at].path()) };
                Store::open_bucket(config, Arc::clone(&told) as _).await
            };
            let store = open(0).await.unwrap();
            let cid = put(&store, 1, 300_000).await;
            let refused = open(1).await.err().unwrap();
            assert!(
                matches!(&refused, rustdht_blobs::Error::Taken { owner, .. } if *owner == "00".repeat(16)),
                "{refused}"
            );
            store.close().await;
            drop(store);
            // Also while the other one is away; it comes back to what it had.
            assert!(open(1).await.is_err());
            let store = open(0).await.unwrap();
            assert!(read(&store, &cid, 0..300_000).await.unwrap() == bytes(1, 300_000));
            store.close().await;
            drop(store);
            told.inner.delete(&Path::from("owner")).await.unwrap();
            let store = open(1).await.unwrap();
            assert!(read(&store, &cid, 0..300_000).await.unwrap() == bytes(1, 300_000));
            store.close().await;
            told.inner.delete(&Path::from("owner")).await.unwrap();
        }
    }
}
