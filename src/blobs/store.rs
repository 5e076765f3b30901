use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use multihash::Multihash;
use rustdht_core::ports::{AddOptions, Added, BlobError, BlobStat, BlobStore, BlockSource, BoxByteStream};
use tokio::sync::Semaphore;

use crate::{
    Config, Error, add,
    blocks::Blocks,
    digest::{Place, verify},
    metrics, recovery,
    shelf::Shelf,
    walk::Walk,
    writer::{Ticket, Writer},
};

/// A block store in a folder, and the files in it. A cheap clone of one store.
///
/// The last clone to go waits until what was sent to the disk is written; [`BlobStore::close`] does so without blocking
/// the thread.
#[derive(Clone)]
pub struct Store {
    pub(crate) blocks: Arc<Blocks>,
    pub(crate) adds: Arc<Semaphore>,
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
        let shelf = Arc::new(Shelf::new(packs.clone()));
        let active = recovery::recover(&packs, &shelf.index)?;
        let writer = Writer::start(Arc::clone(&shelf), packs, active, config.pack_bytes(), lock)
            .map_err(|source| Error::Pack { path: config.dir, source })?;
        let blocks = Blocks::new(shelf, writer);
        Ok(Self { blocks: Arc::new(blocks), adds: Arc::new(Semaphore::new(config.max_adds.max(1))) })
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
            Place::Stored(digest) => self.blocks.shelf.index.get(&digest).is_some(),
            Place::Unknown => false,
        })
    }

    async fn block_size(&self, cid: &Cid) -> Result<Option<u64>, BlobError> {
        Ok(match Place::of(cid) {
            Place::Inline(inline) => Some(inline.len() as u64),
            Place::Stored(digest) => self.blocks.shelf.index.get(&digest).map(|found| u64::from(found.data_len)),
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

    async fn close(&self) {
        self.blocks.writer.close().await;
    }
}
