//! Blobs as CIDs.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use cid::{Cid, multihash::Multihash};
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
