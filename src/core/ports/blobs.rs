//! Blobs as CIDs.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::stream::BoxStream;

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
    /// The bytes do not hash to the CID, or the hash is unknown here.
    #[error("block {0} does not hash to its CID")]
    BadBlock(Cid),
    /// The sender's stream ended in an error; nothing was kept.
    #[error("the body ended early: {0}")]
    Body(String),
    /// The disk refused.
    #[error("the block store failed: {0}")]
    Storage(#[from] std::io::Error),
}

/// How a file becomes a DAG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddOptions {
    /// 1 MiB chunks, width 1024, raw leaves, CIDv1 (IPIP-499 `unixfs-v1-2025`).
    #[default]
    UnixfsV1,
    /// 256 KiB chunks, width 174, raw leaves, CIDv1 (Kubo's older default).
    Legacy,
}

/// What an add made. Durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The root.
    pub cid: Cid,
    /// The size of the file in bytes.
    pub size: u64,
    /// The first bytes, at most 512, for sniffing the type.
    pub head: Bytes,
}

/// What is known of a file without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobStat {
    /// The size of the file in bytes.
    pub size: u64,
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

    /// Whether a block is here.
    async fn has(&self, cid: &Cid) -> Result<bool, BlobError>;

    /// Blocks held, and their bytes.
    async fn totals(&self) -> (u64, u64);

    /// Flushes and closes.
    async fn close(&self);
}

/// Where missing blocks come from; bound late, since the network needs the store and the store the network.
#[async_trait]
pub trait BlockSource: Send + Sync {
    /// The block, checked against its CID by the caller, or `None` when no connected peer has it.
    async fn fetch_block(&self, cid: &Cid) -> Option<Bytes>;
}
