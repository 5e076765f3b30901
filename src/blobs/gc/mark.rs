//! Following what is kept.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, future::try_join_all, stream::BoxStream};
use multihash::Multihash;
use rustdht_core::ports::{BlobError, Root, RootMark, RootSource, StoreError};
use tokio::task::spawn_blocking;

use super::{
    Pace, block,
    stack::{Item, Stack},
};
use crate::{
    blocks::Blocks,
    digest::{Digest, Place},
    index::{Location, Placed, Walk},
    view::links,
};

/// Blocks read at once. At 2 MiB each this bounds the memory of marking.
const READ_AT_ONCE: usize = 4;
/// Roots taken up before what is below them is followed.
const ROOTS_AT_ONCE: usize = 256;

impl Walk {
    /// How a link with this codec is followed; `Alone` where the codec links nothing.
    const fn of(codec: u64) -> Self {
        match codec {
            0x70 => Self::DagPb,
            0x71 => Self::DagCbor,
            0x0129 => Self::DagJson,
            _ => Self::Alone,
        }
    }

    const fn codec(self) -> u64 {
        match self {
            Self::Alone => 0x55,
            Self::DagPb => 0x70,
            Self::DagCbor => 0x71,
            Self::DagJson => 0x0129,
        }
    }
}

/// Marks what roots lead to.
pub(super) struct Marker<'a> {
    blocks: &'a Blocks,
    pub(super) pace: Pace<'a>,
    stack: Stack,
    /// The roots up to here were followed.
    seen: RootMark,
    pub(super) roots: u64,
    pub(super) missing: u64,
    /// What was forgotten just now and may still be taken back.
    condemned: HashMap<Digest, Location>,
    reprieved: HashMap<Digest, Location>,
    /// By what codecs these were followed.
    walked: HashSet<(Digest, u8)>,
}

impl<'a> Marker<'a> {
    pub(super) fn new(blocks: &'a Blocks, scratch: PathBuf, pace: Pace<'a>) -> Self {
        Self {
            blocks,
            pace,
            stack: Stack::new(scratch),
            seen: RootMark::default(),
            roots: 0,
            missing: 0,
            condemned: HashMap::new(),
            reprieved: HashMap::new(),
            walked: HashSet::new(),
        }
    }

    /// Marks everything that is kept.
    pub(super) async fn all(&mut self, roots: &dyn RootSource) -> Result<(), BlobError> {
        // The moment first: what comes to be while the roots are read is after it.
        self.seen = roots.mark().await.map_err(|error| unread(&error))?;
        self.follow_all(roots.roots()).await
    }

    /// Marks what came to be kept since the last time.
    pub(super) async fn since(&mut self, roots: &dyn RootSource) -> Result<(), BlobError> {
        let now = roots.mark().await.map_err(|error| unread(&error))?;
        if now != self.seen {
            let before = std::mem::replace(&mut self.seen, now);
            self.follow_all(roots.since(before)).await?;
        }
        Ok(())
    }

    async fn follow_all(&mut self, roots: BoxStream<'static, Result<Root, StoreError>>) -> Result<(), BlobError> {
        let mut roots = roots.ready_chunks(ROOTS_AT_ONCE);
        while let Some(some) = roots.next().await {
            for root in some {
                let root = root.map_err(|error| unread(&error))?;
                self.roots += 1;
                self.reach(root.cid, root.recursive)?;
            }
            self.follow().await?;
        }
        Ok(())
    }

    /// Marks a block, and lets what it links be followed later.
    fn reach(&mut self, cid: Cid, follow: bool) -> Result<(), BlobError> {
        let mut waiting = vec![cid];
        while let Some(cid) = waiting.pop() {
            let walk = if follow { Walk::of(cid.codec()) } else { Walk::Alone };
            let digest = match Place::of(&cid) {
                // Nothing is kept under a hash that is not known.
                Place::Unknown => continue,
                Place::Inline(block) => {
                    // A CID that holds its block may link others; each lies within the one that links it.
                    if walk != Walk::Alone {
                        waiting.extend(links(&cid, &block).unwrap_or_default());
                    }
                    continue;
                }
                Place::Stored(digest) => digest,
            };
            let is_new = match self.blocks.shelf.index.mark(&digest, walk) {
                Some(is_new) => is_new,
                None => match self.condemned.get(&digest) {
                    Some(location) => {
                        self.reprieved.insert(digest, *location);
                        self.walked.insert((digest, walk as u8))
                    }
                    None => {
                        self.missing += 1;
                        false
                    }
                },
            };
            if is_new && walk != Walk::Alone {
                self.stack.push((digest, walk))?;
            }
        }
        Ok(())
    }

    /// Follows the links that wait.
    async fn follow(&mut self) -> Result<(), BlobError> {
        loop {
            let mut items: Vec<Item> = Vec::with_capacity(READ_AT_ONCE);
            while items.len() < READ_AT_ONCE
                && let Some(item) = self.stack.pop()?
            {
                items.push(item);
            }
            if items.is_empty() {
                return Ok(());
            }
            let read = try_join_all(items.iter().map(|(digest, _)| self.read(*digest))).await?;
            let walks = items.into_iter().map(|(_, walk)| walk);
            let parse = walks.zip(read).filter_map(|(walk, block)| Some((walk, block?))).collect::<Vec<_>>();
            let found = spawn_blocking(move || parse.iter().flat_map(|(walk, block)| linked(*walk, block)).collect());
            let found: Vec<Cid> = found.await.map_err(std::io::Error::other)?;
            for cid in found {
                self.reach(cid, true)?;
            }
            self.pace.step().await?;
        }
    }

    async fn read(&self, digest: Digest) -> Result<Option<Bytes>, BlobError> {
        match self.condemned.get(&digest) {
            Some(location) if self.blocks.shelf.index.peek(&digest).is_none() => {
                Ok(self.blocks.shelf.volume.read(digest, *location).await?)
            }
            _ => block(self.blocks, digest).await,
        }
    }

    /// These were forgotten; roots that come to be may still need them.
    pub(super) fn condemn(&mut self, forgotten: &[Placed]) {
        self.condemned.extend(forgotten.iter().copied());
    }

    /// What of the condemned is needed after all; the others are gone.
    pub(super) fn reprieved(&mut self) -> HashMap<Digest, Location> {
        self.condemned.clear();
        self.walked.clear();
        std::mem::take(&mut self.reprieved)
    }
}

/// What a block links. One that is not of its codec, or has more in it than is read here, links nothing that anybody could
/// follow through this gateway.
fn linked(walk: Walk, block: &Bytes) -> Vec<Cid> {
    let cid = Cid::new_v1(walk.codec(), Multihash::default());
    links(&cid, block).unwrap_or_default()
}

fn unread(error: &StoreError) -> BlobError {
    BlobError::Roots(error.to_string())
}
