//! DAGs beyond files: directories, paths, archives (UnixFS, DAG-PB, IPLD, CAR specifications).

use std::fmt;

use async_trait::async_trait;
use cid::Cid;
use futures::stream::BoxStream;

use super::{AddOptions, BlobError, BoxByteStream};

/// Most segments of a path below a root.
pub const MAX_PATH_SEGMENTS: usize = 256;

/// What a block stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DagKind {
    /// Bytes: a UnixFS file or a raw block.
    File,
    /// A UnixFS directory.
    Directory {
        /// Its entries lie in a HAMT.
        sharded: bool,
    },
    /// A UnixFS symbolic link.
    Symlink,
    /// A value: dag-cbor, dag-json, cbor, json; by its codec.
    Data {
        /// The multicodec.
        codec: u64,
    },
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The block at its end.
    pub cid: Cid,
    /// What it is.
    pub kind: DagKind,
    /// Bytes of a file, or of the target of a symbolic link.
    pub size: Option<u64>,
    /// The CID of each segment: the root first, the end last (`X-Ipfs-Roots`).
    pub roots: Vec<Cid>,
    /// Segments that lie within a value and lead to no link: the path inside of the block.
    pub remainder: Vec<String>,
    /// UnixFS 1.5: when it was last changed, in seconds since the epoch.
    pub modified_s: Option<i64>,
}

/// Whether blocks that are not here may be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fetch {
    /// From connected peers and providers.
    #[default]
    Allowed,
    /// `Cache-Control: only-if-cached`.
    LocalOnly,
}

/// Why a path leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// There is no such entry, or the path goes on behind something that has none.
    #[error("no link named \"{segment}\" under {under}")]
    NoLink {
        /// The segment.
        segment: String,
        /// The block that lacks it.
        under: Cid,
    },
    /// A path is too long, or holds `.`, `..` or nothing between two slashes.
    #[error("{0}")]
    BadPath(String),
    /// A block could not be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DagEntry {
    /// Its name; not UTF-8 is replaced.
    pub name: String,
    /// Its root.
    pub cid: Cid,
    /// The cumulative size that the directory claims, in bytes.
    pub size: u64,
}

/// Which blocks of a DAG an archive holds (trustless gateway specification, `dag-scope`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DagScope {
    /// The block at the end of the path.
    Block,
    /// What is needed to show it: a file whole, a directory's listing without what is in it.
    Entity,
    /// Everything below it.
    #[default]
    All,
}

/// A range of bytes of an entity (`entity-bytes=from:to`): both ends inclusive, negative ones counted from the end, no
/// `to`: to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityBytes {
    /// The first byte.
    pub from: i64,
    /// The last byte.
    pub to: Option<i64>,
}

/// What an archive holds and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CarOptions {
    /// Which blocks.
    pub scope: DagScope,
    /// Of a file, only what these bytes need.
    pub bytes: Option<EntityBytes>,
    /// A block that is met again is written again (`dups=y`).
    pub duplicates: bool,
}

/// What an import of an archive brought. Durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarImported {
    /// The roots that its header names.
    pub roots: Vec<Cid>,
    /// Blocks in it.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// An item of a tree that is added: parents need not be named, items come in any order, and each name once.
pub struct TreeItem {
    /// Its path, segments without `/`; empty: the root itself.
    pub path: Vec<String>,
    /// What it is.
    pub content: TreeContent,
}

/// What an item of a tree is.
pub enum TreeContent {
    /// A file.
    File(BoxByteStream),
    /// A directory, perhaps empty.
    Directory,
    /// A symbolic link.
    Symlink(String),
}

impl fmt::Debug for TreeItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeItem").field("path", &self.path).field("content", &self.content).finish()
    }
}

impl fmt::Debug for TreeContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("File"),
            Self::Directory => f.write_str("Directory"),
            Self::Symlink(target) => f.debug_tuple("Symlink").field(target).finish(),
        }
    }
}

/// Reads and makes DAGs.
#[async_trait]
pub trait DagStore: super::BlobStore {
    /// Follows a path from a root through directories and links of values.
    async fn resolve(&self, root: &Cid, path: &[String], fetch: Fetch) -> Result<Resolved, PathError>;

    /// The target of a symbolic link.
    async fn symlink(&self, cid: &Cid) -> Result<String, BlobError>;

    /// The entries of a directory as they are stored: by name, or in the order of the HAMT. One whose shards contradict
    /// themselves ends in an error.
    async fn entries(&self, directory: &Cid) -> Result<BoxStream<'static, Result<DagEntry, BlobError>>, BlobError>;

    /// A CAR v1, depth first: the blocks of the path, then those of the scope. Its root is the end of the path. Blocks of
    /// identity CIDs are not written. Of a path that leads nowhere, the blocks that show it, under the empty identity CID
    /// as the root. A block that cannot be had breaks the stream with an error.
    async fn car(&self, root: &Cid, path: &[String], options: CarOptions) -> Result<BoxByteStream, PathError>;

    /// A tar of a file, directory or symbolic link, its entries under `name`. Entries whose names lead out of it are an
    /// error: before the stream begins where the root itself holds them.
    async fn tar(&self, cid: &Cid, name: String) -> Result<BoxByteStream, BlobError>;

    /// Reads a CAR, v1 or v2, each block checked against its CID. Durable when it returns; what came before an error
    /// stays, referenced by nothing.
    async fn import_car(&self, body: BoxByteStream) -> Result<CarImported, BlobError>;

    /// Adds a tree; durable when it returns. The answer's size is that of the files.
    async fn add_tree(
        &self,
        items: BoxStream<'static, Result<TreeItem, BlobError>>,
        options: AddOptions,
    ) -> Result<super::Added, BlobError>;
}
