//! Collections: what goes, what stays, and that nobody waits for it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, stream, stream::BoxStream};
use proptest::prelude::*;
use rustdht_blobs::{Config, Store};
use rustdht_core::ports::{
    AddOptions, Arrived, BlobError, BlobStore, CollectOptions, Collected, DagStore, NewUpload, Root, RootMark,
    RootSource, StoreError, UploadId, UploadStore,
};
use tokio::time::Instant;

use crate::common::{LEGACY, add, body, bytes, cid_of, folder, open, read, read_back, text};

#[derive(Default)]
struct Kept {
    /// Whether with what it links, and how often.
    roots: BTreeMap<Cid, (bool, usize)>,
    /// In the order in which they came to be.
    log: Vec<Root>,
}

/// Roots that the test says, as a node would: what is added is told to those who ask again.
#[derive(Default)]
pub(crate) struct Roots {
    kept: Mutex<Kept>,
    fail: AtomicBool,
    /// Asked for everything, and waits until it may answer.
    gate: tokio::sync::Notify,
    gated: AtomicBool,
    /// Told only to who asks for the second time since the beginning: somebody named it at the last moment.
    late: Mutex<Vec<Root>>,
    asked: AtomicU64,
}

impl Roots {
    pub(crate) fn keep(&self, cid: Cid) {
        self.keep_as(cid, true);
    }

    fn keep_as(&self, cid: Cid, recursive: bool) {
        let mut kept = self.kept.lock().unwrap();
        let entry = kept.roots.entry(cid).or_insert((recursive, 0));
        entry.1 += 1;
        kept.log.push(Root { cid, recursive });
    }

    /// Keeps it when a collection asks after it has forgotten something.
    pub(crate) fn keep_late(&self, cid: Cid) {
        self.asked.store(0, Ordering::SeqCst);
        self.late.lock().unwrap().push(Root { cid, recursive: true });
    }

    pub(crate) fn release(&self, cid: &Cid) {
        let mut kept = self.kept.lock().unwrap();
        if let Some(entry) = kept.roots.get_mut(cid) {
            entry.1 -= 1;
            if entry.1 == 0 {
                kept.roots.remove(cid);
            }
        }
    }
}

#[async_trait]
impl RootSource for Roots {
    async fn mark(&self) -> Result<RootMark, StoreError> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        // The first is at the beginning, the second before something is forgotten.
        if asked >= 2 {
            for root in self.late.lock().unwrap().drain(..) {
                self.keep_as(root.cid, root.recursive);
            }
        }
        Ok(RootMark { feed: 0, pins: self.kept.lock().unwrap().log.len() as u64 })
    }

    fn roots(&self) -> BoxStream<'static, Result<Root, StoreError>> {
        if self.fail.load(Ordering::SeqCst) {
            return stream::iter([Err(StoreError::Failed("the disk is gone".into()))]).boxed();
        }
        let kept = self.kept.lock().unwrap();
        let roots: Vec<_> =
            kept.roots.iter().map(|(cid, (recursive, _))| Ok(Root { cid: *cid, recursive: *recursive })).collect();
        stream::iter(roots).boxed()
    }

    fn since(&self, mark: RootMark) -> BoxStream<'static, Result<Root, StoreError>> {
        let roots: Vec<_> = self.kept.lock().unwrap().log[mark.pins as usize..].iter().copied().map(Ok).collect();
        stream::iter(roots).boxed()
    }
}

pub(crate) const NOW: CollectOptions = CollectOptions { dry_run: false, spare_recent: false };

pub(crate) async fn collect(store: &Store, roots: &Arc<Roots>) -> Collected {
    store.collect(Arc::clone(roots) as _, NOW).await.unwrap()
}

fn small_packs(dir: &tempfile::TempDir, pack_bytes: u64) -> Store {
    Store::open(Config { pack_bytes, ..Config::new(dir.path()) }).unwrap()
}

async fn put(store: &Store, file: &Bytes) -> Cid {
    store.add(body(file, 100_000), LEGACY).await.unwrap().cid
}

#[tokio::test]
async fn what_no_root_leads_to_goes_and_the_rest_stays() {
    let (_dir, store) = open();
    let roots = Arc::new(Roots::default());
    let (kept, gone) = (bytes(1, 900_000), bytes(2, 700_000));
    let (kept_cid, gone_cid) = (put(&store, &kept).await, put(&store, &gone).await);
    let tree = folder([("a", text("shared")), ("b", folder([("c", text("deep")), ("d", text("deeper"))]))]);
    let tree_root = add(&store, &tree, AddOptions::default()).await;
    let shared = put(&store, &Bytes::from_static(b"shared")).await;
    let (kept_sha, gone_sha) = (sha(&kept), sha(&gone));
    assert_eq!(store.by_digest(&gone_sha).await.unwrap(), Some(gone_cid));
    roots.keep(kept_cid);
    roots.keep(tree_root);
    let before = store.totals().await;
    // A look first: it changes nothing and tells what follows.
    let dry = store.collect(Arc::clone(&roots) as _, CollectOptions { dry_run: true, ..NOW }).await.unwrap();
    assert_eq!(store.totals().await, before);
    let done = collect(&store, &roots).await;
    assert_eq!((dry.removed_blocks, dry.removed_bytes), (done.removed_blocks, done.removed_bytes));
    assert_eq!((dry.kept_blocks, dry.kept_bytes, dry.roots), (done.kept_blocks, done.kept_bytes, 2));
    // Three chunks of the one file and the block above them.
    assert_eq!((done.removed_blocks, done.missing), (4, 0));
    assert_eq!(store.totals().await, (before.0 - 4, before.1 - done.removed_bytes));
    assert!(read(&store, &kept_cid, 0..900_000).await.unwrap() == kept);
    assert!(read_back(&store, &tree_root).await == tree);
    assert!(store.has(&shared).await.unwrap(), "two things link it, one of them is kept");
    assert!(!store.has(&gone_cid).await.unwrap());
    assert_eq!(store.by_digest(&kept_sha).await.unwrap(), Some(kept_cid));
    assert_eq!(store.by_digest(&gone_sha).await.unwrap(), None, "the note about the file went with it");
    assert_eq!(put(&store, &gone).await, gone_cid);
    assert!(read(&store, &gone_cid, 0..700_000).await.unwrap() == gone, "and it comes back whole");
}

fn sha(data: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(data).into()
}

#[tokio::test]
async fn one_block_alone_what_is_missing_and_what_is_reached_under_two_codecs() {
    let (_dir, store) = open();
    let roots = Arc::new(Roots::default());
    let file = bytes(3, 600_000);
    let root = put(&store, &file).await;
    let raw = Cid::new_v1(0x55, *root.hash());
    // First as bytes, then as what it is: the bytes have no links, the file has.
    roots.keep(raw);
    roots.keep(root);
    collect(&store, &roots).await;
    assert!(read(&store, &root, 0..600_000).await.unwrap() == file);
    // The block alone.
    roots.release(&root);
    roots.release(&raw);
    roots.keep_as(root, false);
    assert_eq!(collect(&store, &roots).await.removed_blocks, 3);
    assert!(store.has(&root).await.unwrap());
    roots.release(&root);
    // What is here of a DAG that is not all here stays, and what is not here is no fault.
    roots.keep(root);
    assert_eq!(collect(&store, &roots).await.missing, 3);
    assert!(store.has(&root).await.unwrap());
}

#[tokio::test]
async fn links_of_every_codec_are_followed_also_out_of_a_cid_that_holds_its_block() {
    let (_dir, store) = open();
    let roots = Arc::new(Roots::default());
    let leaf = |name: &'static str| (cid_of(0x55, name.as_bytes()), Bytes::from(name));
    let put = async |cid: Cid, block: Bytes| store.put_block(&cid, block).await.unwrap();
    let (by_cbor, by_json, by_inline) = (leaf("by cbor"), leaf("by json"), leaf("by an inline block"));
    for (cid, block) in [&by_cbor, &by_json, &by_inline] {
        put(*cid, block.clone()).await;
    }
    // Tag 42 and a byte string that begins with zero (DAG-CBOR specification), in a list.
    let cbor = |cid: &Cid| {
        let cid = cid.to_bytes();
        [&[0x81, 0xd8, 0x2a, 0x58, cid.len() as u8 + 1, 0][..], &cid].concat()
    };
    let json = format!("{{\"/\":\"{}\"}}", by_json.0).into_bytes();
    let inline = Cid::new_v1(0x71, multihash::Multihash::wrap(0, &cbor(&by_inline.0)).unwrap());
    let above = [cbor(&by_cbor.0), json].map(Bytes::from);
    let (cbor_cid, json_cid) = (cid_of(0x71, &above[0]), cid_of(0x0129, &above[1]));
    put(cbor_cid, above[0].clone()).await;
    put(json_cid, above[1].clone()).await;
    for root in [cbor_cid, json_cid, inline] {
        roots.keep(root);
    }
    assert_eq!(collect(&store, &roots).await.removed_blocks, 0);
    for (root, (leaf, _)) in [(cbor_cid, &by_cbor), (json_cid, &by_json), (inline, &by_inline)] {
        roots.release(&root);
        collect(&store, &roots).await;
        assert!(!store.has(leaf).await.unwrap());
    }
    assert_eq!(store.totals().await, (0, 0));
}

#[tokio::test]
async fn what_cannot_be_known_removes_nothing() {
    let (_dir, store) = open();
    let roots = Arc::new(Roots::default());
    let cid = put(&store, &bytes(4, 1000)).await;
    roots.fail.store(true, Ordering::SeqCst);
    let failed = store.collect(Arc::clone(&roots) as _, NOW).await;
    assert!(matches!(failed, Err(BlobError::Roots(why)) if why.contains("the disk is gone")));
    assert!(store.has(&cid).await.unwrap() && store.usage().await.unwrap().last.is_none());
}

#[tokio::test]
async fn uploads_in_progress_and_what_is_named_at_the_last_moment_stay() {
    let (_dir, store) = open();
    let roots = Arc::new(Roots::default());
    // Held since before the collection began; the root is noted before the hold ends.
    let hold = store.hold();
    let held = put(&store, &bytes(5, 600_000)).await;
    assert_eq!(collect(&store, &roots).await.removed_blocks, 0);
    assert!(store.has(&held).await.unwrap());
    roots.keep(held);
    drop(hold);
    assert_eq!(collect(&store, &roots).await.removed_blocks, 0);
    // Found to be here already counts like written.
    roots.release(&held);
    let hold = store.hold();
    assert_eq!(put(&store, &bytes(5, 600_000)).await, held);
    assert_eq!(collect(&store, &roots).await.removed_blocks, 0);
    drop(hold);
    // Somebody names it after the collection looked for the last time before it forgets it.
    roots.keep_late(held);
    let done = collect(&store, &roots).await;
    assert_eq!(done.removed_blocks, 0, "it was taken back, and all below it");
    assert!(read(&store, &held, 0..600_000).await.unwrap() == bytes(5, 600_000));
    assert_eq!(store.by_digest(&sha(&bytes(5, 600_000))).await.unwrap(), Some(held));
    roots.release(&held);
    assert_eq!(collect(&store, &roots).await.removed_blocks, 4);
}

#[tokio::test]
async fn an_upload_in_parts_keeps_what_it_brought_over_collections_and_restarts() {
    let (dir, store) = open();
    let roots = Arc::new(Roots::default());
    let (id, file) = (UploadId([7; 16]), bytes(9, 900_000));
    let new = NewUpload {
        length: Some(file.len() as u64),
        options: LEGACY,
        expires_ms: u64::MAX,
        holder: "ada".into(),
        note: String::new(),
    };
    store.begin(id, new).await.unwrap();
    let part = |range: std::ops::Range<usize>| body(&file.slice(range), 50_000);
    store.append(id, 0, part(0..700_000), Arrived::Partly, u64::MAX).await.unwrap();
    assert_eq!(collect(&store, &roots).await.removed_blocks, 0);
    store.close().await;
    drop(store);
    let store = Store::open(Config::new(dir.path())).unwrap();
    assert_eq!(collect(&store, &roots).await.removed_blocks, 0);
    assert_eq!(UploadStore::state(&store, id).await.unwrap().offset, 700_000);
    store.append(id, 700_000, part(700_000..900_000), Arrived::Partly, u64::MAX).await.unwrap();
    let added = store.assemble(id).await.unwrap();
    roots.keep(added.cid);
    store.complete(id, &added).await.unwrap();
    assert_eq!(collect(&store, &roots).await.removed_blocks, 0);
    assert!(read(&store, &added.cid, 0..900_000).await.unwrap() == file);
    // One that is given up leaves nothing.
    roots.release(&added.cid);
    store.end(id).await.unwrap();
    collect(&store, &roots).await;
    assert_eq!(store.totals().await, (0, 0));
}

#[tokio::test]
async fn what_was_used_lately_is_spared_once_where_that_is_asked_for() {
    let (_dir, store) = open();
    let roots = Arc::new(Roots::default());
    let cid = put(&store, &bytes(6, 1000)).await;
    let sparing = CollectOptions { spare_recent: true, ..NOW };
    let spared = async || store.collect(Arc::clone(&roots) as _, sparing).await.unwrap().removed_blocks == 0;
    assert!(spared().await);
    // Read since then.
    assert!(store.block(&cid).await.unwrap().is_some());
    assert!(spared().await);
    assert!(!spared().await, "nobody has used it for a whole interval");
}

#[tokio::test]
async fn packs_give_their_room_back_and_the_next_start_brings_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_packs(&dir, 1 << 20);
    let roots = Arc::new(Roots::default());
    let mut files = Vec::new();
    for seed in 0..60 {
        let file = bytes(seed, 100_000);
        files.push((put(&store, &file).await, file));
    }
    let before = store.usage().await.unwrap();
    assert!(before.packs >= 6, "{before:?}");
    // Every third stays: all packs become sparse. Then two of twenty go: none does.
    files.iter().step_by(3).for_each(|(cid, _)| roots.keep(*cid));
    let done = collect(&store, &roots).await;
    assert_eq!((done.kept_blocks, done.removed_blocks), (20, 40));
    assert!(done.freed_bytes >= before.pack_bytes - 100_000 && done.moved_bytes == 2_000_000, "{done:?}");
    let after = store.usage().await.unwrap();
    assert!(after.pack_bytes < before.pack_bytes * 2 / 5 && after.last == Some(done), "{after:?}");
    for (cid, file) in files.iter().step_by(3) {
        assert!(read(&store, cid, 0..100_000).await.unwrap() == *file);
    }
    // These were moved first, into a pack that is full by now.
    for (cid, _) in [&files[12], &files[21]] {
        roots.release(cid);
    }
    let done = collect(&store, &roots).await;
    assert_eq!((done.removed_blocks, done.freed_bytes), (2, 0), "{done:?}");
    store.close().await;
    drop(store);
    // What is gone stands in the packs still; where their indices are lost, it comes back until the next collection.
    let without = tempfile::tempdir().unwrap();
    std::fs::create_dir(without.path().join("packs")).unwrap();
    for file in std::fs::read_dir(dir.path().join("packs")).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "pack") {
            std::fs::copy(&file, without.path().join("packs").join(file.file_name().unwrap())).unwrap();
        }
    }
    assert_eq!(small_packs(&without, 1 << 20).totals().await.0, 20);
    let store = small_packs(&dir, 1 << 20);
    assert_eq!(store.totals().await.0, 18, "of complete packs nothing comes back");
    collect(&store, &roots).await;
    assert_eq!(store.totals().await.0, 18);
    roots.kept.lock().unwrap().roots.clear();
    collect(&store, &roots).await;
    assert_eq!((store.totals().await, store.usage().await.unwrap().pack_bytes), ((0, 0), 0));
}

#[tokio::test]
async fn a_read_that_is_under_way_ends_whole_while_its_pack_goes() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_packs(&dir, 4 << 20);
    let roots = Arc::new(Roots::default());
    let file = bytes(7, 8 << 20);
    let cid = put(&store, &file).await;
    for seed in 100..130 {
        put(&store, &bytes(seed, 1 << 20)).await;
    }
    roots.keep(cid);
    let mut reading = store.read(&cid, 0..file.len() as u64).await.unwrap();
    let mut got = reading.next().await.unwrap().unwrap().to_vec();
    // Interleaved with it so that the packs of both kinds become sparse.
    let packs = store.usage().await.unwrap().packs;
    collect(&store, &roots).await;
    assert!(store.usage().await.unwrap().packs < packs);
    while let Some(piece) = reading.next().await {
        got.extend_from_slice(&piece.unwrap());
    }
    assert!(got == file);
}

#[tokio::test]
async fn one_collection_at_a_time_and_it_goes_on_without_who_asked() {
    let (_dir, store) = open();
    let gone = put(&store, &bytes(8, 300_000)).await;
    struct Slow(Arc<Roots>);
    #[async_trait]
    impl RootSource for Slow {
        async fn mark(&self) -> Result<RootMark, StoreError> {
            self.0.mark().await
        }
        fn roots(&self) -> BoxStream<'static, Result<Root, StoreError>> {
            let roots = Arc::clone(&self.0);
            roots.gated.store(true, Ordering::SeqCst);
            stream::once(async move { roots.gate.notified().await }).filter_map(|()| async { None }).boxed()
        }
        fn since(&self, mark: RootMark) -> BoxStream<'static, Result<Root, StoreError>> {
            self.0.since(mark)
        }
    }
    let roots = Arc::new(Roots::default());
    let asked = tokio::time::timeout(Duration::from_millis(50), store.collect(Arc::new(Slow(Arc::clone(&roots))), NOW));
    assert!(asked.await.is_err() && roots.gated.load(Ordering::SeqCst));
    let second = store.collect(Arc::clone(&roots) as _, NOW).await;
    assert!(matches!(second, Err(BlobError::Collecting)) && store.usage().await.unwrap().collecting);
    roots.gate.notify_one();
    let begun = Instant::now();
    while store.usage().await.unwrap().collecting {
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!store.has(&gone).await.unwrap());
}

/// What eight clients do to a store.
#[derive(Clone, Debug)]
enum Step {
    /// Adds file `0`; `1`: keeps it.
    Add(u8, bool),
    /// Lets go of file `0`.
    Drop(u8),
    /// Reads file `0`, if it is kept.
    Read(u8),
    /// Keeps file `0`, if it is here.
    Keep(u8),
    Collect {
        spare_recent: bool,
    },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let file = 0..12_u8;
    let step = prop_oneof![
        4 => (file.clone(), any::<bool>()).prop_map(|(file, keep)| Step::Add(file, keep)),
        3 => file.clone().prop_map(Step::Drop),
        3 => file.clone().prop_map(Step::Read),
        2 => file.prop_map(Step::Keep),
        2 => any::<bool>().prop_map(|spare_recent| Step::Collect { spare_recent }),
        1 => Just(Step::Reopen),
    ];
    // Steps of one group run at once.
    prop::collection::vec(prop::collection::vec(step, 1..6), 1..14)
}

/// Files that share chunks with others of the same kind.
fn shared_file(number: u8) -> Bytes {
    let chunk = |seed: u8| bytes(u64::from(seed), 262_144);
    let parts = match number % 3 {
        0 => vec![chunk(number)],
        1 => vec![chunk(number), chunk(200), chunk(number + 1)],
        _ => vec![chunk(200), chunk(number), bytes(u64::from(number), 1000)],
    };
    parts.concat().into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// In any order and side by side: what is kept is whole at every moment, what is not kept is gone after the last.
    #[test]
    fn any_steps_at_once_lose_nothing_that_is_kept(groups in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
            let roots = Arc::new(Roots::default());
            let mut store = small_packs(&dir, 1 << 20);
            let files: Vec<Bytes> = (0..12).map(shared_file).collect();
            let mut cids: HashMap<u8, Cid> = HashMap::new();
            let mut kept: BTreeMap<u8, usize> = BTreeMap::new();
            for group in groups {
                if group.iter().any(|step| matches!(step, Step::Reopen)) {
                    store.close().await;
                    drop(store);
                    store = small_packs(&dir, 1 << 20);
                }
                let before = kept.clone();
                let ends = futures::future::join_all(group.iter().map(|step| {
                    let (store, roots, files, cids, before) = (&store, &roots, &files, &cids, &before);
                    async move {
                        match step {
                            Step::Add(file, keep) => {
                                let _hold = store.hold();
                                let cid = put(store, &files[usize::from(*file)]).await;
                                if *keep {
                                    roots.keep(cid);
                                }
                                Some((*file, cid, *keep))
                            }
                            Step::Read(file) => {
                                // Who lets go does so behind the group.
                                let sure = before.get(file).is_some_and(|count| *count > 0);
                                if let Some(cid) = cids.get(file).filter(|_| sure) {
                                    let file = &files[usize::from(*file)];
                                    assert!(read(store, cid, 0..file.len() as u64).await.unwrap() == *file);
                                }
                                None
                            }
                            Step::Collect { spare_recent } => {
                                let options = CollectOptions { dry_run: false, spare_recent: *spare_recent };
                                match store.collect(Arc::clone(roots) as _, options).await {
                                    Ok(_) | Err(BlobError::Collecting) => None,
                                    Err(error) => panic!("{error}"),
                                }
                            }
                            Step::Drop(_) | Step::Keep(_) | Step::Reopen => None,
                        }
                    }
                })).await;
                for (file, cid, keep) in ends.into_iter().flatten() {
                    cids.insert(file, cid);
                    if keep {
                        *kept.entry(file).or_default() += 1;
                    }
                }
                for step in &group {
                    match step {
                        Step::Drop(file) if kept.get(file).is_some_and(|count| *count > 0) => {
                            *kept.get_mut(file).unwrap() -= 1;
                            roots.release(&cids[file]);
                        }
                        Step::Keep(file) if kept.get(file).is_some_and(|count| *count > 0) => {
                            *kept.get_mut(file).unwrap() += 1;
                            roots.keep(cids[file]);
                        }
                        _ => {}
                    }
                }
                for file in kept.iter().filter(|(_, count)| **count > 0).map(|(file, _)| file) {
                    let whole = &files[usize::from(*file)];
                    assert!(read(&store, &cids[file], 0..whole.len() as u64).await.unwrap() == *whole, "file {file}");
                }
            }
            collect(&store, &roots).await;
            let mut blocks = BTreeSet::new();
            for file in kept.iter().filter(|(_, count)| **count > 0).map(|(file, _)| file) {
                let whole = &files[usize::from(*file)];
                assert!(read(&store, &cids[file], 0..whole.len() as u64).await.unwrap() == *whole);
                let car = store.car(&cids[file], &[], Default::default()).await.unwrap();
                blocks.extend(car_cids(&crate::common::whole(car).await));
            }
            assert_eq!(store.totals().await.0, blocks.len() as u64, "nothing else is left");
            store.close().await;
        });
    }
}

/// The multihashes of the sections of an archive.
fn car_cids(car: &Bytes) -> Vec<Vec<u8>> {
    let take = |at: &mut usize| {
        let (mut number, mut shift) = (0_usize, 0);
        loop {
            let byte = car[*at];
            *at += 1;
            number |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    };
    let mut at = 0;
    at += take(&mut at);
    let mut found = Vec::new();
    while at < car.len() {
        let len = take(&mut at);
        let cid = Cid::read_bytes(&car[at..at + len]).unwrap();
        found.push(cid.hash().to_bytes());
        at += len;
    }
    found
}

/// Eight clients add, read, keep and let go for some seconds, once without and once with collections all the time:
/// nothing that is kept is lost, and the longest wait with them is no longer than 100 ms more than without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_clients_do_not_wait_for_collections() {
    const CLIENTS: u64 = 8;
    const LASTS: Duration = Duration::from_secs(4);
    let mut longest = [Duration::ZERO; 2];
    for collecting in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let store = small_packs(&dir, 8 << 20);
        let roots = Arc::new(Roots::default());
        // Something to walk: a thousand files in folders that stay.
        let mut tree = Vec::new();
        for number in 0..1000_u32 {
            tree.push(rustdht_core::ports::TreeItem {
                path: vec![format!("{}", number / 10), format!("{number}")],
                content: rustdht_core::ports::TreeContent::File(body(&bytes(u64::from(number), 3000), 3000)),
            });
        }
        roots.keep(crate::common::add_items(&store, tree, AddOptions::default()).await.unwrap().cid);
        let stop = Arc::new(AtomicBool::new(false));
        let collector = {
            let (store, roots, stop) = (store.clone(), Arc::clone(&roots), Arc::clone(&stop));
            async move {
                let (mut runs, mut removed) = (0_u64, 0);
                while collecting && !stop.load(Ordering::SeqCst) {
                    removed += collect(&store, &roots).await.removed_blocks;
                    runs += 1;
                }
                (runs, removed)
            }
        };
        let clients = futures::future::join_all((0..CLIENTS).map(|client| {
            let (store, roots) = (store.clone(), Arc::clone(&roots));
            async move {
                let begun = Instant::now();
                let mut held: Vec<(Cid, Bytes)> = Vec::new();
                let (mut waits, mut done) = (Vec::new(), 0_u64);
                while begun.elapsed() < LASTS {
                    let seed = client * 1_000_000 + done;
                    let file = bytes(seed, 1000 + (seed as usize * 7919) % 400_000);
                    let at = Instant::now();
                    let hold = store.hold();
                    let cid = put(&store, &file).await;
                    waits.push(at.elapsed());
                    if done % 2 == 0 {
                        roots.keep(cid);
                        held.push((cid, file));
                    }
                    drop(hold);
                    if let Some((cid, file)) = held.get(done as usize * 31 % held.len().max(1)) {
                        let at = Instant::now();
                        assert!(
                            read(&store, cid, 0..file.len() as u64).await.unwrap() == *file,
                            "a read of what is kept"
                        );
                        waits.push(at.elapsed());
                    }
                    if held.len() > 20 {
                        roots.release(&held.remove(0).0);
                    }
                    done += 1;
                }
                (held, waits)
            }
        }));
        let finish = async {
            let ended = clients.await;
            stop.store(true, Ordering::SeqCst);
            ended
        };
        let (ended, (runs, removed)) = tokio::join!(finish, collector);
        let mut waits: Vec<Duration> = ended.iter().flat_map(|(_, waits)| waits.iter().copied()).collect();
        waits.sort_unstable();
        let (count, most) = (waits.len(), waits[waits.len() - 1]);
        let (median, p99) = (waits[count / 2], waits[count * 99 / 100]);
        eprintln!(
            "collecting {collecting}: {count} requests, median {median:?}, p99 {p99:?}, longest {most:?}; {runs} collections \
             removed {removed} blocks"
        );
        longest[usize::from(collecting)] = most;
        for (cid, file) in ended.into_iter().flat_map(|(held, _)| held) {
            assert!(read(&store, &cid, 0..file.len() as u64).await.unwrap() == file);
        }
        if collecting {
            assert!(runs >= 2 && removed > 10, "{runs} {removed}");
        }
        store.close().await;
    }
    // The bound of 100 ms is one of the release build on a quiet machine; here the whole suite may be running beside it.
    let bound = longest[0] * 2 + Duration::from_millis(500);
    assert!(longest[1] <= bound, "{longest:?}");
}
