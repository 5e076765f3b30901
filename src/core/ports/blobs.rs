//! Blobs as CIDs.

use std::{any::Any, fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use cid::{Cid, multihash::Multihash};
use futures::stream::BoxStream;

use super::RootSource;

/// A body as it arrives or leaves, in pieces of any size.
pub type BoxByteStream = BoxStream<'static, Result<Bytes, BlobError>>;

/// Greatest size of a block (Bitswap 1.2: 2 MiB).
pub const MAX_BLOCK_BYTES: usize = 2 * 1024 * 1024;

/// Why a blob could not be added or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// A block is neither here nor with a connected member.
    #[error("block {0} is not here and no connected peer has it")]
    Missing(Cid),
    /// The range does not lie within the blob.
    #[error("the range lies outside the blob of {size} bytes")]
    OutOfRange {
        /// The size of the blob in bytes.
        size: u64,
    },
    /// The CID's codec or the DAG's shape is not a file.
    #[error("not a file: {0}")]
    NotAFile(String),
    /// The CID's codec or the DAG's shape is not a directory, or the directory contradicts itself.
    #[error("not a directory: {0}")]
    NotADirectory(String),
    /// The bytes do not hash to the CID.
    #[error("block {0} does not hash to its CID")]
    BadBlock(Cid),
    /// Nothing under this CID can be checked, so nothing is kept or served.
    #[error(
        "the hash function 0x{code:x} of {0} with {len} bytes is unknown here: use sha2-256, sha2-512, blake2b-256, blake3 or identity",
        code = .0.hash().code(), len = .0.hash().size()
    )]
    UnknownHash(Cid),
    /// A DAG, a tree or an archive goes beyond a bound.
    #[error("beyond a bound of this gateway: {0}")]
    Bounded(String),
    /// A name in a tree is not one segment of a path, or stands there twice.
    #[error("a bad name in a tree: {0}")]
    BadName(String),
    /// The body is no archive that can be read.
    #[error("not a CAR: {0}")]
    BadCar(String),
    /// The sender's stream ended in an error; nothing was kept.
    #[error("the body ended early: {0}")]
    Body(String),
    /// One collection runs at a time.
    #[error("a collection is running already: try again when it is done")]
    Collecting,
    /// What is kept cannot be read, so nothing is removed.
    #[error("what is kept cannot be read, so nothing was removed: {0}")]
    Roots(String),
    /// The disk refused.
    #[error("the block store failed: {0}")]
    Storage(#[from] std::io::Error),
}

/// How files and directories become a DAG. CIDs are version 1, leaves of files are raw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddOptions {
    /// Chunks, width, and when a directory is sharded.
    pub profile: AddProfile,
    /// What blocks are hashed with.
    pub hash: AddHash,
}

/// Chunks, width, and when a directory is sharded: into a HAMT of fanout 256, above 262,144 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddProfile {
    /// 1 MiB chunks, width 1024; a directory counts as its serialised block (IPIP-499 `unixfs-v1-2025`).
    #[default]
    UnixfsV1,
    /// 256 KiB chunks, width 174; a directory counts as its names and the bytes of its CIDs (Kubo's older defaults).
    Legacy,
}

/// What blocks are hashed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddHash {
    /// sha2-256.
    #[default]
    Sha2,
    /// blake3 with 32 bytes.
    Blake3,
}

/// What an add made. Durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The root.
    pub cid: Cid,
    /// The size of the file in bytes; of a tree, that of its files.
    pub size: u64,
    /// The first bytes, at most 512, for sniffing the type; of a tree, none.
    pub head: Bytes,
    /// SHA-256 of the file; of a tree, none. [`BlobStore::by_digest`] leads back from it.
    pub sha256: Option<[u8; 32]>,
}

/// What is known of a file without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobStat {
    /// The size of the file in bytes.
    pub size: u64,
}

/// Keeps from being collected what is written, or found to be here already, from its making until it is dropped.
#[must_use = "what is written is kept as long as this lives"]
pub struct Hold(#[expect(dead_code, reason = "it is there to be dropped")] Box<dyn Any + Send + Sync>);

impl Hold {
    /// Of whatever ends it when it is dropped.
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self(Box::new(guard))
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hold")
    }
}

/// How blocks are collected that nothing keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectOptions {
    /// Only tells what would go.
    pub dry_run: bool,
    /// Leaves what was written or read since the collection before began: what came from peers for a reader is likely
    /// to be read again.
    pub spare_recent: bool,
}

/// What a collection did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Nothing was removed.
    pub dry_run: bool,
    /// Roots that were followed; one that is kept for several reasons counts as often.
    pub roots: u64,
    /// Links that lead to blocks that are not here.
    pub missing: u64,
    /// Blocks that stay, those spared among them.
    pub kept_blocks: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Blocks that went, or would.
    pub removed_blocks: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Bytes of packs that are gone.
    pub freed_bytes: u64,
    /// Bytes of blocks that were moved out of them.
    pub moved_bytes: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// What a block store holds, and what it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobUsage {
    /// Blocks held.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packs that they lie in.
    pub packs: u64,
    /// Bytes of the packs, with headers, padding, and blocks that were removed and are not overwritten yet.
    pub pack_bytes: u64,
    /// A collection is running.
    pub collecting: bool,
    /// The last collection since the store was opened; dry runs do not count.
    pub last: Option<Collected>,
}

/// Blocks and files.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Streams a body in. Durable when it returns; a body that fails leaves nothing referenced.
    async fn add(&self, body: BoxByteStream, options: AddOptions) -> Result<Added, BlobError>;

    /// The size of a file; its root block is fetched if it is not here.
    async fn stat(&self, cid: &Cid) -> Result<BlobStat, BlobError>;

    /// The bytes of a file in `range`, without touching the blocks before it; missing blocks are fetched on the way.
    async fn read(&self, cid: &Cid, range: Range<u64>) -> Result<BoxByteStream, BlobError>;

    /// A block that is here.
    async fn block(&self, cid: &Cid) -> Result<Option<Bytes>, BlobError>;

    /// Keeps a block after checking it against its CID. Durable when it returns.
    async fn put_block(&self, cid: &Cid, bytes: Bytes) -> Result<(), BlobError>;

    /// The root of a file that was added here, by the SHA-256 of its bytes.
    async fn by_digest(&self, sha256: &[u8; 32]) -> Result<Option<Cid>, BlobError>;

    /// Whether a block is here.
    async fn has(&self, cid: &Cid) -> Result<bool, BlobError>;

    /// Length in bytes of a block that is here, without reading it.
    async fn block_size(&self, cid: &Cid) -> Result<Option<u64>, BlobError>;

    /// The multihashes of all blocks that are here, some thousands at a time, in no order. What is added or removed
    /// meanwhile may be among them or not; so may be blocks under hash functions that are not kept whole.
    fn multihashes(&self) -> BoxStream<'static, Result<Vec<Multihash<64>>, BlobError>>;

    /// Blocks held, and their bytes.
    async fn totals(&self) -> (u64, u64);

    /// What is written from now on, or found to be here already, stays until the hold is dropped. Whoever adds something
    /// and refers to it afterwards holds it until a [`RootSource`] knows it.
    fn hold(&self) -> Hold;

    /// Waits until everything that was kept before, fetched blocks as well, is durable.
    async fn flush(&self) -> Result<(), BlobError>;

    /// How many blocks could not be written since the store was opened: who fetches compares it before and, flushed, after,
    /// as a read goes on with a block that the disk did not take.
    fn unwritten(&self) -> u64 {
        0
    }

    /// Removes every block that no root leads to. Reads and adds go on meanwhile. It goes on to its end, or until the store
    /// is closed, whether somebody waits for it or not; [`BlobError::Collecting`] while another one runs.
    async fn collect(&self, roots: Arc<dyn RootSource>, options: CollectOptions) -> Result<Collected, BlobError>;

    /// What is held, and what it takes.
    async fn usage(&self) -> Result<BlobUsage, BlobError>;

    /// Flushes and closes.
    async fn close(&self);
}

/// Where missing blocks come from; bound late, since the network needs the store and the store the network.
#[async_trait]
pub trait BlockSource: Send + Sync {
    /// The block, checked against its CID by the caller, or `None` when nobody has it who could be asked.
    async fn fetch_block(&self, cid: &Cid) -> Option<Bytes>;

    /// A source for the blocks of one DAG, which are likely to be at the same peers; `None`: one is as good as another.
    fn session(&self) -> Option<Arc<dyn BlockSource>> {
        None
    }

    /// A block is here from now on: peers that asked for it may be told. Does not wait.
    fn noted(&self, _hash: &Multihash<64>) {}
}
