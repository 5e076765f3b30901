//! Adding a file: the body is read, hashed and written at the same time, a mebibyte each.

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use rustdht_core::ports::{AddOptions, Added, BlobError, BoxByteStream};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{
    dag::{Block, Dag},
    digest::Place,
    metrics,
    writer::{Ticket, Writer},
};

/// Bytes hashed at once on another thread: a multiple of the chunk size of every profile.
const HASHED_BYTES: usize = 1 << 20;
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

/// Hashing under way on another thread: gives back the DAG, the emptied buffer, and the blocks that became ready.
type Hashing = JoinHandle<(Dag, Vec<u8>, Vec<Block>)>;

fn hash(mut dag: Dag, piece: Vec<u8>) -> Hashing {
    spawn_blocking(move || {
        dag.push(&piece);
        let blocks = dag.take_blocks();
        (dag, piece, blocks)
    })
}

/// Adds a file; durable when it returns.
pub(crate) async fn add(writer: &Writer, body: BoxByteStream, options: AddOptions) -> Result<Added, BlobError> {
    let ticket = Ticket::default();
    let mut body = Body { stream: body.fuse(), over: Bytes::new() };
    let mut head = BytesMut::new();
    let mut size = 0_u64;
    let mut piece = Vec::new();
    let mut hashing = hash(Dag::new(options.into()), Vec::new());
    let dag = loop {
        body.fill(&mut piece).await?;
        let (dag, spare, blocks) = hashing.await.map_err(std::io::Error::other)?;
        write(writer, blocks, &ticket).await?;
        if piece.is_empty() {
            break dag;
        }
        if size == 0 {
            head.extend_from_slice(&piece[..piece.len().min(HEAD_BYTES)]);
        }
        size += piece.len() as u64;
        hashing = hash(dag, std::mem::replace(&mut piece, spare));
    };
    let (blocks, root) = spawn_blocking(move || dag.finish()).await.map_err(std::io::Error::other)?;
    write(writer, blocks, &ticket).await?;
    writer.flush(&ticket).await?;
    metrics::added(size);
    let cid = root.ok_or_else(|| std::io::Error::other("a file without a block"))?;
    Ok(Added { cid, size, head: head.freeze() })
}

async fn write(writer: &Writer, blocks: Vec<Block>, ticket: &Ticket) -> Result<(), BlobError> {
    ticket.check()?;
    for (cid, block) in blocks {
        if let Place::Stored(digest) = Place::of(&cid) {
            writer.append(digest, block, ticket).await?;
        }
    }
    Ok(())
}
