//! Reading a file: down to the blocks of a range, in order, some of them ahead of time.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, stream};
use rustdht_core::ports::{BlobError, BoxByteStream, MAX_BLOCK_BYTES};

use crate::{
    ahead::Ahead,
    blocks::Blocks,
    node::{MAX_LINKS, Node, RAW},
};

/// Blocks loaded ahead, counted from the one that is due.
const AHEAD_BLOCKS: usize = 8;
/// Bytes loaded ahead, by the sizes that their parents claim.
const AHEAD_BYTES: u64 = 4 << 20;
/// Blocks loaded or loading at once, whatever the shape of the DAG. At 2 MiB each this bounds the memory of a read.
const LOADED_BLOCKS: usize = 2 * AHEAD_BLOCKS;
/// Levels of a file. At a width of 174 five levels reach a petabyte; of the narrowest tree, whose nodes have two links, 32 hold
/// four thousand million blocks.
const MAX_DEPTH: u8 = 32;
/// Links waiting to be visited, of all levels together.
const MAX_WAITING: usize = 4 * MAX_LINKS;

/// A part of the file that lies at least partly in the range.
enum Part {
    /// Bytes that are here.
    Data(Bytes),
    /// A block further down.
    Block { cid: Cid, span_bytes: u64, depth: u8, load: Option<u64> },
}

/// A read under way.
pub(crate) struct Walk {
    blocks: Arc<Blocks>,
    /// Where the next part begins in the file.
    position: u64,
    range: Range<u64>,
    parts: VecDeque<Part>,
    ahead: Ahead<Node>,
}

impl Walk {
    /// The bytes in `range` of the file under `root`; the range lies within it and is not empty.
    pub(crate) fn new(blocks: Arc<Blocks>, root: Node, range: Range<u64>) -> Self {
        let mut walk = Self { blocks, position: 0, range, parts: VecDeque::new(), ahead: Ahead::new() };
        walk.descend(root, 0);
        walk
    }

    /// As a stream that ends after the first error.
    pub(crate) fn into_stream(self) -> BoxByteStream {
        stream::unfold(Some(self), |walk| async {
            let mut walk = walk?;
            match walk.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(walk))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        loop {
            self.load_ahead();
            match self.parts.pop_front() {
                None => return Ok(None),
                Some(Part::Data(bytes)) => {
                    let bytes = self.cut(&bytes);
                    if !bytes.is_empty() {
                        return Ok(Some(bytes));
                    }
                }
                Some(Part::Block { cid, span_bytes, depth, load }) => {
                    let node = self.ahead.take(load.unwrap_or_default()).await?;
                    if node.size_bytes != span_bytes {
                        let real = node.size_bytes;
                        let why = format!("block {cid} holds {real} bytes where its parent says {span_bytes}");
                        return Err(BlobError::NotAFile(why));
                    }
                    if depth >= MAX_DEPTH || node.links.len() + self.parts.len() > MAX_WAITING {
                        return Err(BlobError::NotAFile(format!("block {cid} is too deep or too wide")));
                    }
                    self.descend(node, depth + 1);
                }
            }
        }
    }

    /// Puts the parts of a node at the front, those outside of the range left out.
    fn descend(&mut self, node: Node, depth: u8) {
        let mut start = self.position;
        let mut inside = Vec::new();
        let mut skipped = 0;
        if self.meets(start, node.data.len() as u64) {
            inside.push(Part::Data(node.data.clone()));
        } else {
            skipped += node.data.len() as u64;
        }
        start += node.data.len() as u64;
        for link in node.links {
            if self.meets(start, link.span_bytes) {
                inside.push(Part::Block { cid: link.cid, span_bytes: link.span_bytes, depth, load: None });
            } else if start < self.range.start {
                skipped += link.span_bytes;
            }
            start += link.span_bytes;
        }
        // Only parts before the first one inside move the position; those behind the last are never reached.
        self.position += skipped;
        inside.into_iter().rev().for_each(|part| self.parts.push_front(part));
    }

    fn meets(&self, start: u64, len: u64) -> bool {
        len > 0 && start < self.range.end && start + len > self.range.start
    }

    /// The part of the bytes at the current position that the range wants; moves behind them.
    fn cut(&mut self, bytes: &Bytes) -> Bytes {
        let len = bytes.len() as u64;
        let from = self.range.start.saturating_sub(self.position).min(len);
        let to = self.range.end.saturating_sub(self.position).min(len);
        self.position += len;
        bytes.slice(from as usize..to.max(from) as usize)
    }

    /// Starts the loads that are due.
    fn load_ahead(&mut self) {
        let mut bytes = 0;
        for (nth, part) in self.parts.iter_mut().take(AHEAD_BLOCKS).enumerate() {
            let Part::Block { cid, span_bytes, load, .. } = part else { continue };
            let leaf = cid.codec() == RAW || *span_bytes <= MAX_BLOCK_BYTES as u64;
            bytes += (*span_bytes).min(MAX_BLOCK_BYTES as u64);
            let room = bytes <= AHEAD_BYTES && self.ahead.held() < LOADED_BLOCKS;
            if load.is_none() && (nth == 0 || room) {
                let (blocks, cid) = (Arc::clone(&self.blocks), *cid);
                *load = Some(self.ahead.start(async move { blocks.node(&cid).await }));
            }
            // What hangs under an inner block is due before the blocks behind it.
            if !leaf {
                break;
            }
        }
    }
}
