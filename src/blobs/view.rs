//! What a block stands for, by its codec and its data.

use bytes::Bytes;
use cid::Cid;
use rustdht_core::ports::{BlobError, DagKind};

use crate::{
    dagpb::{DAG_PB, MAX_LINKS, PbNode},
    hamt::Shard,
    node::{Node, RAW},
    unixfs::{Kind, UnixFs},
    value::Codec,
};

/// What a block stands for.
#[derive(Debug)]
pub(crate) enum View {
    /// Bytes.
    File(Node),
    /// A directory in one block.
    Directory(PbNode),
    /// A directory in several blocks, or a part of it.
    Shard(Shard),
    /// The target of a symbolic link.
    Symlink(Bytes),
    /// A dag-pb block that is no UnixFS: named links.
    Links(PbNode),
    /// A value, or a block of a codec that is unknown here.
    Value,
}

/// A block, and what UnixFS 1.5 says of it.
#[derive(Debug)]
pub(crate) struct Viewed {
    pub(crate) view: View,
    /// Permission bits.
    pub(crate) mode: Option<u32>,
    /// Seconds since the epoch.
    pub(crate) modified_s: Option<i64>,
}

impl Viewed {
    /// Reads a block.
    ///
    /// # Errors
    /// `NotAFile` or `NotADirectory` for one that says what it is and then is not.
    pub(crate) fn of(cid: &Cid, block: &Bytes) -> Result<Self, BlobError> {
        let plain = |view| Self { view, mode: None, modified_s: None };
        match cid.codec() {
            RAW => Ok(plain(View::File(Node::parse(cid, block).map_err(BlobError::NotAFile)?))),
            DAG_PB => {
                let node = PbNode::parse(block, MAX_LINKS).map_err(|why| BlobError::NotAFile(why.into()))?;
                let Some(unixfs) = node.data.as_ref().and_then(|data| UnixFs::parse(data).ok()) else {
                    return Ok(plain(View::Links(node)));
                };
                let (mode, modified_s) = (unixfs.mode, unixfs.modified_s);
                let view = match unixfs.kind {
                    Kind::Directory => View::Directory(node),
                    Kind::Shard => {
                        let lies = |why: &str| BlobError::NotADirectory(format!("{cid} is {why}"));
                        View::Shard(Shard::of(node, &unixfs).map_err(lies)?)
                    }
                    Kind::Symlink => View::Symlink(unixfs.data),
                    Kind::Metadata => View::Links(node),
                    Kind::Raw | Kind::File => {
                        View::File(Node::of(node, unixfs).map_err(|why| BlobError::NotAFile(why.into()))?)
                    }
                };
                Ok(Self { view, mode, modified_s })
            }
            _ => Ok(plain(View::Value)),
        }
    }

    /// Its kind, and its size where it has one.
    pub(crate) fn kind(&self, cid: &Cid) -> (DagKind, Option<u64>) {
        match &self.view {
            View::File(node) => (DagKind::File, Some(node.size_bytes)),
            View::Directory(_) => (DagKind::Directory { sharded: false }, None),
            View::Shard(_) => (DagKind::Directory { sharded: true }, None),
            View::Symlink(target) => (DagKind::Symlink, Some(target.len() as u64)),
            View::Links(_) | View::Value => (DagKind::Data { codec: cid.codec() }, None),
        }
    }
}

/// The CIDs that a block links, in its order, as often as it does.
///
/// # Errors
/// When the block is not of its codec. One of an unknown codec links nothing that could be followed.
pub(crate) fn links(cid: &Cid, block: &Bytes) -> Result<Vec<Cid>, BlobError> {
    let bad = |why: String| BlobError::NotAFile(format!("block {cid} is not of its codec: {why}"));
    if cid.codec() == DAG_PB {
        let node = PbNode::parse(block, MAX_LINKS).map_err(|why| bad(why.into()))?;
        return Ok(node.links.into_iter().map(|link| link.cid).collect());
    }
    match Codec::of(cid.codec()) {
        Some(codec) => Ok(codec.read(block).map_err(bad)?.links()),
        None => Ok(Vec::new()),
    }
}
