//! Following what is kept.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, future::try_join_all, stream::BoxStream};
use multihash::Multihash;
use rustdht_core::ports::{BlobError, Root, RootMark, RootSource, StoreError};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    Pace,
    stack::{Item, Stack},
};
use crate::{
    blocks::Blocks,
    damage::is_bad_sector,
    digest::{Digest, Place},
    index::{Location, Placed, Walk},
    shelf::Found,
    view::links,
};

/// Blocks read at once. At 2 MiB each this bounds the memory of marking.
const READ_AT_ONCE: usize = 4;
/// Roots taken up before what is below them is followed.
const ROOTS_AT_ONCE: usize = 256;
/// How long others are asked for a block that cannot be read here.
const MEND_PATIENCE: Duration = Duration::from_secs(10);
/// With so many blocks that cannot be read, others are not asked for more: each takes its time.
const MAX_LOST: usize = 64;
/// How long collections wait for a block that cannot be read, from when it was first met: an operator who was away over a
/// weekend can bring it back still, or remove what keeps it.
const LOST_PATIENCE: Duration = Duration::from_secs(72 * 3600);

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

/// What became of a block that is to be followed.
enum Read {
    Whole(Bytes),
    /// It is not here, which ends a branch: not everything that is kept has come.
    Absent,
    /// It was here and cannot be read, and nobody has it.
    Lost,
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
    /// Blocks that cannot be read and could not be had from others; the first ones.
    lost: Vec<Item>,
    /// How many these are.
    lost_count: u64,
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
            lost: Vec::new(),
            lost_count: 0,
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
        self.check()
    }

    /// # Errors
    /// When a block cannot be read that something leads to: what is below it is kept too, and not known.
    fn check(&self) -> Result<(), BlobError> {
        let Some(first) = self.lost.first() else { return Ok(()) };
        let others = match self.lost_count - 1 {
            0 => String::new(),
            others => format!(" (and {others} others)"),
        };
        Err(BlobError::Roots(format!(
            "block {}{others} is damaged, and nobody who was asked has it. The next collection asks again; adding the \
             file once more brings it back, and removing what keeps it lets go of it. After {} h it is given up",
            name(first),
            LOST_PATIENCE.as_secs() / 3600
        )))
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
            let read = try_join_all(items.iter().map(|item| self.read(*item))).await?;
            let mut parse = Vec::with_capacity(items.len());
            for (item, read) in items.into_iter().zip(read) {
                match read {
                    Read::Whole(block) => parse.push((item.1, block)),
                    Read::Absent => {}
                    Read::Lost => self.lose(item),
                }
            }
            let found = spawn_blocking(move || parse.iter().flat_map(|(walk, block)| linked(*walk, block)).collect());
            let found: Vec<Cid> = found.await.map_err(std::io::Error::other)?;
            for cid in found {
                self.reach(cid, true)?;
            }
            self.pace.step().await?;
        }
    }

    /// Reads a block to follow it, from others where it cannot be read here.
    async fn read(&self, item: Item) -> Result<Read, BlobError> {
        let (shelf, digest) = (&self.blocks.shelf, item.0);
        let found = match self.condemned.get(&digest) {
            Some(location) if shelf.index.peek(&digest).is_none() => {
                let read = shelf.volume.read(digest, *location).await;
                read.map(|block| block.map_or(Found::Damaged, Found::Whole))
            }
            _ => shelf.read(digest).await,
        };
        match found {
            Ok(Found::Whole(block)) => return Ok(Read::Whole(block)),
            Ok(Found::Nothing) => return Ok(Read::Absent),
            Ok(Found::Damaged) => {}
            Err(error) if is_bad_sector(&error) => {}
            Err(error) => return Err(BlobError::Roots(format!("block {}: {error}", name(&item)))),
        }
        let Some(cid) = cid_of(&item).filter(|_| self.lost.len() < MAX_LOST) else { return Ok(Read::Lost) };
        match timeout(MEND_PATIENCE, self.blocks.mend(&cid)).await {
            Ok(Ok(Some(block))) => {
                tracing::info!(%cid, "a damaged block came from others");
                Ok(Read::Whole(block))
            }
            // A peer's lie, or a disk that takes nothing: both may be different the next time.
            Ok(Ok(None) | Err(_)) | Err(_) => Ok(Read::Lost),
        }
    }

    /// Notes a block that cannot be read; one that could not for long enough counts as not here from now on.
    fn lose(&mut self, item: Item) {
        let (shelf, digest) = (&self.blocks.shelf, item.0);
        if shelf.damage.note(&digest).elapsed() < LOST_PATIENCE {
            self.lost_count += 1;
            if self.lost.len() < MAX_LOST {
                self.lost.push(item);
            }
            return;
        }
        tracing::error!(block = name(&item), "a damaged block is given up, and with it what only it leads to");
        if let Some(location) = shelf.index.peek(&digest) {
            shelf.index.remove(&digest, location);
        }
        shelf.damage.mended(&digest);
        self.missing += 1;
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

/// The CID of a block; `None` where its key says less.
fn cid_of((digest, walk): &Item) -> Option<Cid> {
    Some(Cid::new_v1(walk.codec(), digest.multihash()?))
}

/// A block, for people.
fn name(item: &Item) -> String {
    cid_of(item).map_or_else(|| format!("with the key {}", hex::encode(item.0.to_key())), |cid| cid.to_string())
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
