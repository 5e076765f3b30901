use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, stream};
use rustdht_core::ports::{
    AddOptions, Added, BlobError, BlobStat, BlobStore, BlockSource, BoxByteStream, MAX_BLOCK_BYTES,
};
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::{
    Config, Error, add,
    digest::{Digest, Place},
    metrics,
    node::Node,
    recovery,
    shelf::{Found, Shelf},
    walk::Walk,
    writer::{Ticket, Writer},
};

/// A block store in a folder, and the files in it. A cheap clone of one store.
///
/// The last clone to go waits until what was sent to the disk is written; [`BlobStore::close`] does so without blocking
/// the thread.
#[derive(Clone)]
pub struct Store {
    blocks: Arc<Blocks>,
    adds: Arc<Semaphore>,
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
        let blocks = Blocks { shelf, writer, source: OnceLock::new() };
        Ok(Self { blocks: Arc::new(blocks), adds: Arc::new(Semaphore::new(config.max_adds.max(1))) })
    }

    /// Says where missing blocks come from. Only the first call counts.
    pub fn bind_source(&self, source: Arc<dyn BlockSource>) {
        if self.blocks.source.set(source).is_err() {
            tracing::warn!("the block store has a source of missing blocks already");
        }
    }
}

/// Blocks by CID, from the disk or from the source.
pub(crate) struct Blocks {
    shelf: Arc<Shelf>,
    writer: Writer,
    source: OnceLock<Arc<dyn BlockSource>>,
}

impl Blocks {
    async fn here(&self, cid: &Cid) -> Result<Option<Bytes>, BlobError> {
        match Place::of(cid) {
            Place::Inline(block) => Ok(Some(block)),
            Place::Unknown => Ok(None),
            Place::Stored(digest) => match self.shelf.read(digest).await? {
                Found::Whole(block) => Ok(Some(block)),
                Found::Damaged => Err(BlobError::BadBlock(*cid)),
                Found::Nothing => Ok(None),
            },
        }
    }

    /// A block, from the source when it is not here or its record is damaged. What comes from the source is kept.
    pub(crate) async fn load(&self, cid: &Cid) -> Result<Bytes, BlobError> {
        let failure = match self.here(cid).await {
            Ok(Some(block)) => return Ok(block),
            Ok(None) => BlobError::Missing(*cid),
            Err(damaged @ BlobError::BadBlock(_)) => damaged,
            Err(other) => return Err(other),
        };
        let (Place::Stored(digest), Some(source)) = (Place::of(cid), self.source.get()) else { return Err(failure) };
        let Some(block) = source.fetch_block(cid).await else { return Err(failure) };
        verify(cid, digest, &block).await?;
        metrics::fetched();
        // Not flushed: what came from a peer can be fetched again, and a read does not wait for the disk.
        self.writer.append(digest, block.clone(), &Ticket::default()).await?;
        Ok(block)
    }

    /// A block, read as a part of a file.
    pub(crate) async fn node(&self, cid: &Cid) -> Result<Node, BlobError> {
        let block = self.load(cid).await?;
        Node::parse(cid, &block).map_err(BlobError::NotAFile)
    }
}

async fn verify(cid: &Cid, digest: Digest, block: &Bytes) -> Result<(), BlobError> {
    let block = block.clone();
    let sound = block.len() <= MAX_BLOCK_BYTES && spawn_blocking(move || digest.matches(&block)).await.unwrap_or(false);
    if sound { Ok(()) } else { Err(BlobError::BadBlock(*cid)) }
}

#[async_trait]
impl BlobStore for Store {
    async fn add(&self, body: BoxByteStream, options: AddOptions) -> Result<Added, BlobError> {
        let _turn = self.adds.acquire().await.map_err(std::io::Error::other)?;
        add::add(&self.blocks.writer, body, options).await
    }

    async fn stat(&self, cid: &Cid) -> Result<BlobStat, BlobError> {
        Ok(BlobStat { size: self.blocks.node(cid).await?.size_bytes })
    }

    async fn read(&self, cid: &Cid, range: Range<u64>) -> Result<BoxByteStream, BlobError> {
        let root = self.blocks.node(cid).await?;
        if range.start > range.end || range.end > root.size_bytes {
            return Err(BlobError::OutOfRange { size: root.size_bytes });
        }
        if range.is_empty() {
            return Ok(stream::empty().boxed());
        }
        Ok(Walk::new(Arc::clone(&self.blocks), root, range).into_stream())
    }

    async fn block(&self, cid: &Cid) -> Result<Option<Bytes>, BlobError> {
        self.blocks.here(cid).await
    }

    async fn put_block(&self, cid: &Cid, bytes: Bytes) -> Result<(), BlobError> {
        let digest = match Place::of(cid) {
            Place::Inline(inline) if inline == bytes => return Ok(()),
            Place::Inline(_) | Place::Unknown => return Err(BlobError::BadBlock(*cid)),
            Place::Stored(digest) => digest,
        };
        verify(cid, digest, &bytes).await?;
        let ticket = Ticket::default();
        self.blocks.writer.append(digest, bytes, &ticket).await?;
        Ok(self.blocks.writer.flush(&ticket).await?)
    }

    async fn has(&self, cid: &Cid) -> Result<bool, BlobError> {
        Ok(match Place::of(cid) {
            Place::Inline(_) => true,
            Place::Stored(digest) => self.blocks.shelf.index.get(&digest).is_some(),
            Place::Unknown => false,
        })
    }

    async fn totals(&self) -> (u64, u64) {
        self.blocks.shelf.index.totals()
    }

    async fn close(&self) {
        self.blocks.writer.close().await;
    }
}
