//! Adding a tree: files as they come, in any order; directories from the leaves up, once everything is there.

mod folder;
mod names;

use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, stream::BoxStream};
use rustdht_core::ports::{AddOptions, Added, BlobError, TreeContent, TreeItem};
use tokio::{sync::mpsc, task::spawn_blocking};

use self::{folder::Encoder, names::Names};
use crate::{
    add,
    blocks::Blocks,
    dag::Block,
    dagpb::{DAG_PB, PbNode},
    digest::make_cid,
    metrics,
    unixfs::{Kind, UnixFs},
    writer::Ticket,
};

/// Blocks of directories on the way to the writer.
const QUEUED_BLOCKS: usize = 8;

/// A file, symbolic link or directory whose blocks were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) cid: Cid,
    /// Bytes of its blocks, each as often as it is linked (`Tsize`).
    pub(crate) tree_bytes: u64,
}

/// Adds a tree; durable when it returns.
pub(crate) async fn add(
    blocks: &Blocks,
    mut items: BoxStream<'static, Result<TreeItem, BlobError>>,
    options: AddOptions,
) -> Result<Added, BlobError> {
    let ticket = Ticket::default();
    let mut names = Names::new();
    let mut size = 0;
    let mut alone = None;
    while let Some(item) = items.next().await {
        let TreeItem { path, content } = item?;
        let place = names.place(&path)?;
        match content {
            TreeContent::Directory => names.directory(&place)?,
            TreeContent::Symlink(target) => {
                let leaf = symlink(blocks, target, options, &ticket).await?;
                names.leaf(&place, leaf)?;
            }
            TreeContent::File(body) => {
                names.check_free(&place)?;
                let file = add::file(blocks, body, options, &ticket).await?;
                size += file.added.size;
                names.leaf(&place, Leaf { cid: file.added.cid, tree_bytes: file.tree_bytes })?;
                alone = path.is_empty().then_some(file.added);
            }
        }
    }
    let root = match names.finish() {
        names::Root::Leaf(leaf) => leaf,
        names::Root::Folder(folder) => {
            let (made, mut ready) = mpsc::channel::<Block>(QUEUED_BLOCKS);
            let building = spawn_blocking(move || {
                let keep = |block| made.blocking_send(block).map_err(|_| std::io::Error::other("nobody writes").into());
                Encoder::new(options, keep).folder(folder)
            });
            while let Some((cid, block)) = ready.recv().await {
                ticket.check()?;
                blocks.append(&cid, block, &ticket).await?;
            }
            building.await.map_err(std::io::Error::other)??
        }
    };
    blocks.writer.flush(&ticket).await?;
    metrics::added(size);
    Ok(alone.unwrap_or(Added { cid: root.cid, size, head: Bytes::new(), sha256: None }))
}

/// Longest target of a symbolic link in bytes. Linux takes 4,095.
const MAX_TARGET_BYTES: usize = 4096;

async fn symlink(blocks: &Blocks, target: String, options: AddOptions, ticket: &Ticket) -> Result<Leaf, BlobError> {
    if target.len() > MAX_TARGET_BYTES {
        return Err(BlobError::Bounded(format!("a symbolic link of more than {MAX_TARGET_BYTES} bytes")));
    }
    let data = UnixFs::new(Kind::Symlink, target.into()).encode();
    let block = PbNode { links: Vec::new(), data: Some(data.into()) }.encode();
    let leaf = Leaf { cid: make_cid(DAG_PB, options.hash, &block), tree_bytes: block.len() as u64 };
    blocks.append(&leaf.cid, block.into(), ticket).await?;
    Ok(leaf)
}
