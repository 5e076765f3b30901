//! Collections over blocks that were here and cannot be read any more: what is below them is not taken for garbage.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use rustdht_blobs::{Config, Store};
use rustdht_core::ports::{BlobError, BlobStore, BlockSource, CollectOptions};

use crate::{
    collecting::{NOW, Roots, collect},
    common::{LEGACY, body, bytes, cid_of, open, read},
};

/// Longer than a collection waits for a block to come back.
const LONG: Duration = Duration::from_secs(73 * 3600);

/// Somebody who has one block.
struct Peer(Cid, Bytes);

#[async_trait]
impl BlockSource for Peer {
    async fn fetch_block(&self, cid: &Cid) -> Option<Bytes> {
        (*cid == self.0).then(|| self.1.clone())
    }
}

fn packs(dir: &tempfile::TempDir) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.path().join("packs")).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "pack")).collect()
}

/// Flips a bit of a block on the disk.
fn damage(dir: &tempfile::TempDir, block: &[u8]) {
    let mut damaged = 0;
    for path in packs(dir) {
        let mut pack = fs::read(&path).unwrap();
        if let Some(at) = pack.windows(block.len()).position(|window| window == block) {
            pack[at] ^= 1;
            fs::write(&path, pack).unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1);
}

/// A file of three chunks that is kept, its root and the root's block; and one block that nothing keeps.
struct Case {
    dir: tempfile::TempDir,
    store: Store,
    roots: Arc<Roots>,
    file: Bytes,
    root: Cid,
    block: Bytes,
    garbage: Cid,
}

impl Case {
    async fn new() -> Self {
        let (dir, store) = open();
        let file = bytes(21, 600_000);
        let root = store.add(body(&file, 100_000), LEGACY).await.unwrap().cid;
        let garbage = store.add(body(&bytes(22, 1000), 1000), LEGACY).await.unwrap().cid;
        let roots = Arc::new(Roots::default());
        roots.keep(root);
        let block = store.block(&root).await.unwrap().unwrap();
        Self { dir, store, roots, file, root, block, garbage }
    }

    async fn leaves(&self) -> usize {
        let mut here = 0;
        for chunk in self.file.chunks(256 << 10) {
            here += usize::from(self.store.has(&cid_of(0x55, chunk)).await.unwrap());
        }
        here
    }

    /// A collection ends before it removes anything, and says which block it is.
    async fn is_refused(&self) {
        for options in [NOW, CollectOptions { spare_recent: true, ..NOW }, CollectOptions { dry_run: true, ..NOW }] {
            let ended = self.store.collect(Arc::clone(&self.roots) as _, options).await;
            let named = |why: &str| why.contains(&self.root.to_string());
            assert!(matches!(&ended, Err(BlobError::Roots(why)) if named(why)), "{ended:?}");
            assert_eq!((self.leaves().await, self.store.has(&self.garbage).await.unwrap()), (3, true));
        }
    }

    /// Likewise, where nothing can be read.
    async fn is_refused_without_its_leaves(&self) {
        let ended = self.store.collect(Arc::clone(&self.roots) as _, NOW).await;
        assert!(matches!(&ended, Err(BlobError::Roots(why)) if why.contains(&self.root.to_string())), "{ended:?}");
    }

    async fn reopened(self) -> Self {
        self.store.close().await;
        drop(self.store);
        Self { store: Store::open(Config::new(self.dir.path())).unwrap(), ..self }
    }

    /// With somebody who has the block the next collection is like any other.
    async fn heals(&self) {
        self.store.bind_source(Arc::new(Peer(self.root, self.block.clone())));
        assert_eq!(collect(&self.store, &self.roots).await.removed_blocks, 1);
        assert!(read(&self.store, &self.root, 0..600_000).await.unwrap() == self.file);
        assert_eq!(collect(&self.store, &self.roots).await.removed_blocks, 0);
    }
}

#[tokio::test]
async fn a_damaged_block_that_is_kept_ends_collections_until_somebody_has_it() {
    let case = Case::new().await;
    damage(&case.dir, &case.block);
    case.is_refused().await;
    let case = case.reopened().await;
    case.is_refused().await;
    case.heals().await;
}

#[tokio::test]
async fn also_when_a_reader_met_it_first() {
    let case = Case::new().await;
    damage(&case.dir, &case.block);
    assert!(matches!(case.store.block(&case.root).await, Err(BlobError::BadBlock(_))));
    assert!(!case.store.has(&case.root).await.unwrap());
    case.is_refused().await;
    case.heals().await;
}

#[tokio::test]
async fn a_step_is_taken_back_for_one_that_is_named_at_the_last_moment() {
    let case = Case::new().await;
    damage(&case.dir, &case.block);
    case.roots.release(&case.root);
    case.roots.keep_late(case.root);
    let ended = case.store.collect(Arc::clone(&case.roots) as _, NOW).await;
    assert!(matches!(&ended, Err(BlobError::Roots(why)) if why.contains(&case.root.to_string())), "{ended:?}");
    assert_eq!((case.leaves().await, case.store.has(&case.garbage).await.unwrap()), (3, true));
}

#[tokio::test]
async fn what_nothing_keeps_any_more_goes_however_damaged() {
    let case = Case::new().await;
    damage(&case.dir, &case.block);
    case.is_refused().await;
    case.roots.release(&case.root);
    collect(&case.store, &case.roots).await;
    assert_eq!(case.store.totals().await, (0, 0));
    // Nor does it stand in the way later, when it is kept and simply is not here.
    case.roots.keep(case.root);
    assert_eq!(collect(&case.store, &case.roots).await.missing, 1);
}

#[tokio::test]
async fn adding_it_again_brings_it_back() {
    let case = Case::new().await;
    damage(&case.dir, &case.block);
    case.is_refused().await;
    case.store.add(body(&case.file, 100_000), LEGACY).await.unwrap();
    assert_eq!(collect(&case.store, &case.roots).await.removed_blocks, 1);
    assert!(read(&case.store, &case.root, 0..600_000).await.unwrap() == case.file);
}

#[tokio::test]
async fn a_damaged_leaf_is_in_nobodys_way() {
    let case = Case::new().await;
    damage(&case.dir, &case.file[..256 << 10]);
    assert!(matches!(case.store.block(&cid_of(0x55, &case.file[..256 << 10])).await, Err(BlobError::BadBlock(_))));
    assert_eq!(collect(&case.store, &case.roots).await.removed_blocks, 1);
    assert_eq!(case.leaves().await, 2);
}

#[tokio::test]
async fn a_block_that_nobody_has_for_days_is_let_go_of() {
    let case = Case::new().await;
    damage(&case.dir, &case.block);
    case.is_refused().await;
    tokio::time::pause();
    tokio::time::advance(LONG).await;
    tokio::time::resume();
    collect(&case.store, &case.roots).await;
    assert_eq!(case.store.totals().await, (0, 0));
    assert_eq!(collect(&case.store, &case.roots).await.missing, 1, "and is one that is not here from then on");
}

/// What is read from there at a low offset is an input/output error, as from a bad sector.
#[cfg(target_os = "linux")]
const BAD_DISK: &str = "/proc/self/mem";

/// The sectors of the file that is kept cannot be read; what is written next goes to another pack.
#[cfg(target_os = "linux")]
async fn bad_disk() -> Case {
    let case = Case::new().await;
    case.store.close().await;
    drop(case.store);
    let store = Store::open(Config { pack_bytes: 1 << 16, ..Config::new(case.dir.path()) }).unwrap();
    let next = store.add(body(&bytes(23, 70_000), 70_000), LEGACY).await.unwrap();
    case.roots.keep(next.cid);
    let first = case.dir.path().join("packs/00000000.pack");
    fs::rename(&first, case.dir.path().join("aside")).unwrap();
    std::os::unix::fs::symlink(BAD_DISK, &first).unwrap();
    Case { store, ..case }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_sector_that_cannot_be_read_is_like_a_damaged_block_and_stays_known() {
    let case = bad_disk().await;
    case.is_refused().await;
    assert!(!case.store.has(&case.root).await.unwrap(), "for those who need it, it is not here");
    case.store.bind_source(Arc::new(Peer(case.root, case.block.clone())));
    assert_eq!(collect(&case.store, &case.roots).await.removed_blocks, 1);
    assert_eq!(case.store.block(&case.root).await.unwrap(), Some(case.block.clone()));
    // The chunks are wanted still, and the pack stays with them.
    assert_eq!(packs(&case.dir).len(), 3);
    // Once somebody met them they can be stored again, and the note about the file, which the collection met.
    for chunk in case.file.chunks(256 << 10) {
        assert!(matches!(case.store.block(&cid_of(0x55, chunk)).await, Err(BlobError::BadBlock(_))));
    }
    case.store.add(body(&case.file, 100_000), LEGACY).await.unwrap();
    assert!(read(&case.store, &case.root, 0..600_000).await.unwrap() == case.file);
    collect(&case.store, &case.roots).await;
    assert!(!packs(&case.dir).iter().any(|path| path.ends_with("00000000.pack")), "nothing in it is wanted any more");
}

/// The disk works again, or a service that said there is no such pack.
#[tokio::test]
async fn what_can_be_read_again_is_no_longer_damaged() {
    let case = Case::new().await;
    let pack = packs(&case.dir).remove(0);
    case.store.close().await;
    let store = Store::open(Config { pack_bytes: 1 << 16, ..Config::new(case.dir.path()) });
    let case = Case { store: store.unwrap(), ..case };
    fs::rename(&pack, case.dir.path().join("aside")).unwrap();
    case.is_refused_without_its_leaves().await;
    fs::rename(case.dir.path().join("aside"), &pack).unwrap();
    assert_eq!(collect(&case.store, &case.roots).await.removed_blocks, 1);
    assert_eq!(case.leaves().await, 3);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_sector_that_stays_bad_does_not_end_collections_for_ever() {
    let case = bad_disk().await;
    case.is_refused().await;
    tokio::time::pause();
    tokio::time::advance(LONG).await;
    tokio::time::resume();
    collect(&case.store, &case.roots).await;
    assert_eq!(collect(&case.store, &case.roots).await.missing, 1);
    assert_eq!(case.store.totals().await, (1, 70_000));
}
