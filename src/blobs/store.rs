use std::{
    ops::Range,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use multihash::Multihash;
use object_store::ObjectStore;
use rustdht_core::ports::{
    AddOptions, Added, BlobError, BlobStat, BlobStore, BlobUsage, BlockSource, BoxByteStream, CollectOptions,
    Collected, Hold, RootSource,
};
use tokio::sync::Semaphore;

use crate::{
    Config, Error, add,
    blocks::Blocks,
    bucket::Bucket,
    digest::{Place, verify},
    fence,
    folder::Folder,
    gc::{self, Collector},
    index::Index,
    metrics, recovery,
    shelf::{Shelf, Volume},
    uploads::Uploads,
    walk::Walk,
    writer::{Target, Ticket, Writer},
};

/// A block store in a folder or a bucket, and the files in it. A cheap clone of one store.
///
/// The last clone to go waits until what was sent to the disk is written; [`BlobStore::close`] does so without blocking
/// the thread.
#[derive(Clone)]
pub struct Store {
    pub(crate) blocks: Arc<Blocks>,
    pub(crate) adds: Arc<Semaphore>,
    pub(crate) uploads: Arc<Uploads>,
    collector: Arc<Collector>,
    /// Where a collection may put what does not fit into memory.
    scratch: PathBuf,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (blocks, bytes) = self.blocks.shelf.index.totals();
        f.debug_struct("Store").field("blocks", &blocks).field("bytes", &bytes).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the folder and reads back what it holds. Blocks the thread: for as long as it takes to read the index
    /// files, and the packs that a killed process left without one.
    ///
    /// # Errors
    /// When the folder is not writable, another process has it, or a pack cannot be read.
    pub fn open(config: Config) -> Result<Self, Error> {
        metrics::describe();
        let packs = config.dir.join("packs");
        let lock = recovery::take(&config.dir, &packs)?;
        let folder = Arc::new(Folder::new(packs.clone()));
        let shelf = Shelf::new(Volume::Folder(Arc::clone(&folder)));
        let active = recovery::recover(&packs, &shelf.index)?;
        let target = Target::Folder { folder, active, pack_bytes: config.pack_bytes() };
        Self::start(config, shelf, target, lock)
    }

    /// Opens a bucket, or what a prefix of one holds: `objects`. No other store may write to it. The folder of the
    /// configuration holds a lock, uploads in parts, and the id by which the prefix is known to be this store's. Packs have
    /// 16 MiB at most, whatever the configuration says.
    ///
    /// A block is kept when the PUT of its pack is answered. The runtime that this runs in carries the uploads: close the
    /// store before it ends.
    ///
    /// # Errors
    /// When the folder is not writable or in use, the prefix is another gateway's, or the bucket cannot be read.
    pub async fn open_bucket(config: Config, objects: Arc<dyn ObjectStore>) -> Result<Self, Error> {
        metrics::describe();
        let lock = recovery::take(&config.dir, &config.dir)?;
        if let Some(fresh) = config.fresh_id {
            fence::take(&*objects, &config.dir, fresh).await?;
        }
        let index = Index::new();
        let bucket = Arc::new(Bucket::open(objects, &index).await.map_err(Error::Bucket)?);
        index.publish();
        let shelf = Shelf { index, ..Shelf::new(Volume::Bucket(Arc::clone(&bucket))) };
        Self::start(config, shelf, Target::Bucket(bucket), lock)
    }

    fn start(config: Config, shelf: Shelf, target: Target, lock: std::fs::File) -> Result<Self, Error> {
        let shelf = Arc::new(shelf);
        let writer = Writer::start(Arc::clone(&shelf), target, lock)
            .map_err(|source| Error::Pack { path: config.dir.clone(), source })?;
        let blocks = Arc::new(Blocks::new(shelf, writer));
        let dir = config.dir.join("uploads");
        let uploads = Uploads::open(dir.clone(), config.uploads, Arc::clone(&blocks))
            .map_err(|source| Error::Pack { path: dir, source })?;
        let mut scratch = config.dir;
        scratch.push("collecting");
        Ok(Self {
            blocks,
            uploads,
            adds: Arc::new(Semaphore::new(config.max_adds.max(1))),
            collector: Arc::new(Collector::new()),
            scratch,
        })
    }

    /// Says where missing blocks come from. Only the first call counts.
    pub fn bind_source(&self, source: Arc<dyn BlockSource>) {
        if self.blocks.shelf.source.set(source).is_err() {
            tracing::warn!("the block store has a source of missing blocks already");
        }
    }
}

#[async_trait]
impl BlobStore for Store {
    async fn add(&self, body: BoxByteStream, options: AddOptions) -> Result<Added, BlobError> {
        let _turn = self.adds.acquire().await.map_err(std::io::Error::other)?;
        let _hold = self.hold();
        add::add(&self.blocks, body, options).await
    }

    async fn stat(&self, cid: &Cid) -> Result<BlobStat, BlobError> {
        Ok(BlobStat { size: self.blocks.node(cid).await?.size_bytes })
    }

    async fn read(&self, cid: &Cid, range: Range<u64>) -> Result<BoxByteStream, BlobError> {
        let blocks = self.blocks.of_one_dag();
        let root = blocks.node(cid).await?;
        if range.start > range.end || range.end > root.size_bytes {
            return Err(BlobError::OutOfRange { size: root.size_bytes });
        }
        if range.is_empty() {
            return Ok(stream::empty().boxed());
        }
        Ok(Walk::new(blocks, root, range).into_stream())
    }

    async fn block(&self, cid: &Cid) -> Result<Option<Bytes>, BlobError> {
        match self.blocks.here(cid).await {
            // Peers may ask for anything; what cannot be checked is never here.
            Err(BlobError::UnknownHash(_)) => Ok(None),
            other => other,
        }
    }

    async fn put_block(&self, cid: &Cid, bytes: Bytes) -> Result<(), BlobError> {
        let digest = match Place::of(cid) {
            Place::Inline(inline) if inline == bytes => return Ok(()),
            Place::Inline(_) => return Err(BlobError::BadBlock(*cid)),
            Place::Unknown => return Err(BlobError::UnknownHash(*cid)),
            Place::Stored(digest) => digest,
        };
        verify(cid, &bytes).await?;
        let _hold = self.hold();
        let ticket = Ticket::default();
        self.blocks.writer.append(digest, bytes, &ticket).await?;
        Ok(self.blocks.writer.flush(&ticket).await?)
    }

    async fn by_digest(&self, sha256: &[u8; 32]) -> Result<Option<Cid>, BlobError> {
        self.blocks.by_digest(sha256).await
    }

    async fn has(&self, cid: &Cid) -> Result<bool, BlobError> {
        Ok(match Place::of(cid) {
            Place::Inline(_) => true,
            Place::Stored(digest) => self.blocks.shelf.has(&digest),
            Place::Unknown => false,
        })
    }

    async fn block_size(&self, cid: &Cid) -> Result<Option<u64>, BlobError> {
        Ok(match Place::of(cid) {
            Place::Inline(inline) => Some(inline.len() as u64),
            Place::Stored(digest) => self.blocks.shelf.index.peek(&digest).map(|found| u64::from(found.data_len)),
            Place::Unknown => None,
        })
    }

    fn multihashes(&self) -> BoxStream<'static, Result<Vec<Multihash<64>>, BlobError>> {
        let blocks = Arc::clone(&self.blocks);
        let part = move |at| blocks.shelf.index.part(at).iter().filter_map(crate::digest::Digest::multihash).collect();
        stream::iter(0..crate::index::Index::PARTS).map(move |at| Ok(part(at))).boxed()
    }

    async fn totals(&self) -> (u64, u64) {
        self.blocks.shelf.index.totals()
    }

    fn hold(&self) -> Hold {
        Hold::new(self.blocks.holds.take(&self.blocks.shelf.index))
    }

    async fn flush(&self) -> Result<(), BlobError> {
        Ok(self.blocks.writer.flush(&Ticket::default()).await?)
    }

    fn unwritten(&self) -> u64 {
        self.blocks.shelf.unwritten.load(Ordering::Acquire)
    }

    async fn collect(&self, roots: Arc<dyn RootSource>, options: CollectOptions) -> Result<Collected, BlobError> {
        let parts = gc::Parts {
            blocks: Arc::clone(&self.blocks),
            uploads: Arc::clone(&self.uploads),
            scratch: self.scratch.clone(),
        };
        self.collector.collect(parts, roots, options).await
    }

    async fn usage(&self) -> Result<BlobUsage, BlobError> {
        self.collector.usage(&self.blocks).await
    }

    async fn close(&self) {
        self.collector.stop().await;
        self.uploads.close().await;
        self.blocks.writer.close().await;
    }
}
