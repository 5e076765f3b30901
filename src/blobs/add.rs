//! Adding a file: the body is read, hashed and written at the same time, a mebibyte each.

mod whole;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use rustdht_core::ports::{AddOptions, Added, BlobError, BoxByteStream};
use tokio::task::spawn_blocking;

use self::whole::Whole;
use crate::{
    blocks::Blocks,
    dag::{Block, Dag},
    digest, hashing, metrics,
    node::RAW,
    writer::Ticket,
};

/// Bytes hashed at once on another thread: a multiple of the chunk size of every profile.
const HASHED_BYTES: usize = 1 << 20;
/// A file up to this length is hashed where it is: 40 us, about what it takes to hand it to another thread and back.
const SMALL_BYTES: usize = 64 << 10;
/// Length of `Added::head`.
const HEAD_BYTES: usize = 512;

/// The body, cut into pieces of [`HASHED_BYTES`] whatever the pieces in which it arrives.
struct Body {
    /// Fused: a stream may not be asked again after its end, and a short piece is followed by another try.
    stream: futures::stream::Fuse<BoxByteStream>,
    /// What arrived and did not fit into the last piece.
    over: Bytes,
}

impl Body {
    /// Fills `piece`; it stays shorter only at the end of the body.
    async fn fill(&mut self, piece: &mut Vec<u8>) -> Result<(), BlobError> {
        piece.clear();
        while piece.len() < HASHED_BYTES {
            if self.over.is_empty() {
                match self.stream.next().await {
                    Some(arrived) => self.over = arrived?,
                    None => break,
                }
            }
            let room = HASHED_BYTES - piece.len();
            piece.extend_from_slice(&self.over.split_to(room.min(self.over.len())));
        }
        Ok(())
    }
}

/// Hashing under way on another thread: gives back the DAG, and the blocks that became ready.
type Hashing = hashing::Hashing<(Dag, Vec<Block>)>;

fn hash(mut dag: Dag, piece: Arc<Vec<u8>>) -> Hashing {
    hashing::begin(move || {
        dag.push(&piece);
        let blocks = dag.take_blocks();
        (dag, blocks)
    })
}

/// A file whose blocks were given to the writer.
pub(crate) struct File {
    pub(crate) added: Added,
    /// Bytes of all of its blocks, as directories count them.
    pub(crate) tree_bytes: u64,
}

/// Adds a file; durable when it returns.
pub(crate) async fn add(blocks: &Blocks, body: BoxByteStream, options: AddOptions) -> Result<Added, BlobError> {
    let ticket = Ticket::default();
    let file = file(blocks, body, options, &ticket).await?;
    blocks.writer.flush(&ticket).await?;
    metrics::added(file.added.size);
    Ok(file.added)
}

/// Gives the blocks of a file to the writer.
pub(crate) async fn file(
    blocks: &Blocks,
    body: BoxByteStream,
    options: AddOptions,
    ticket: &Ticket,
) -> Result<File, BlobError> {
    let mut body = Body { stream: body.fuse(), over: Bytes::new() };
    let mut piece = Vec::new();
    body.fill(&mut piece).await?;
    let head = BytesMut::from(&piece[..piece.len().min(HEAD_BYTES)]).freeze();
    let mut size = piece.len() as u64;
    let small = piece.len() <= SMALL_BYTES;
    let mut dag = Dag::new(options);
    let whole = if small {
        dag.push(&piece);
        Whole::of(Arc::new(piece))
    } else {
        let mut now = Arc::new(piece);
        let mut whole = Whole::of(Arc::clone(&now));
        let mut hashing = hash(dag, Arc::clone(&now));
        let mut next = Vec::new();
        dag = loop {
            body.fill(&mut next).await?;
            let (dag, ready) = hashing.await.map_err(std::io::Error::other)?;
            write(blocks, ready, ticket).await?;
            if next.is_empty() {
                break dag;
            }
            size += next.len() as u64;
            let hashed = std::mem::replace(&mut now, Arc::new(next));
            hashing = hash(dag, Arc::clone(&now));
            // Behind the other, so that neither waits for the other when one of them is held up for a while.
            whole.push(&now).await?;
            // The buffer is used again unless it is still the first piece, which waits for its second hash.
            next = Arc::try_unwrap(hashed).unwrap_or_default();
        };
        whole
    };
    let (last, root) =
        if small { dag.finish() } else { spawn_blocking(move || dag.finish()).await.map_err(std::io::Error::other)? };
    let root = root.ok_or_else(|| std::io::Error::other("a file without a block"))?;
    let (cid, tree_bytes) = root;
    write(blocks, last, ticket).await?;
    let sha256 = match digest::sha256_of(&cid).filter(|_| cid.codec() == RAW) {
        Some(sha256) => sha256,
        None => {
            let sha256 = whole.finish().await?;
            blocks.note_file(sha256, &cid, ticket).await?;
            sha256
        }
    };
    Ok(File { added: Added { cid, size, head, sha256: Some(sha256) }, tree_bytes })
}

async fn write(blocks: &Blocks, ready: Vec<Block>, ticket: &Ticket) -> Result<(), BlobError> {
    ticket.check()?;
    for (cid, block) in ready {
        blocks.append(&cid, block, ticket).await?;
    }
    Ok(())
}
