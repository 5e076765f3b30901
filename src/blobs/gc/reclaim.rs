//! Giving back the room of what was forgotten.

use std::collections::HashMap;

use rustdht_core::ports::{BlobError, Collected};
use tokio::time::{Instant, sleep};

use super::Pace;
use crate::{
    blocks::Blocks,
    damage::is_bad_sector,
    index::{Index, Location},
    metrics,
    pack::{Entry, record::padded_len},
    shelf::Volume,
    syncer::Sealed,
    writer::{Completed, Ticket},
};

/// A pack goes when less than this of it is wanted, in hundredths: at most 1/0.7 of the room is taken, and a byte that is
/// given back costs 2.3 that are written.
const WANTED_PERCENT: u64 = 70;
/// Bytes written before they are flushed, of files: an add whose flush comes behind them waits for that long.
const STEP_BYTES: u64 = 2 << 20;
/// Packs of a bucket smaller than this are joined.
const SMALL_PACK_BYTES: u64 = crate::bucket::PACK_BYTES / 4;
/// If there are as many of them.
const SMALL_PACKS: usize = 8;
/// Packs that are joined before those that they were are removed.
const JOINED_AT_ONCE: usize = 256;

/// A pack and how much of it is wanted.
struct Share {
    number: u32,
    len: u64,
    wanted: u64,
}

/// Removes packs of which little is wanted; of the others, the next start learns what is not.
pub(super) async fn reclaim(blocks: &Blocks, pace: &mut Pace<'_>, done: &mut Collected) -> Result<(), BlobError> {
    let mut completed = blocks.writer.complete(None).await?;
    let mut packs = shares(blocks, pace).await?;
    if packs.iter().any(|pack| pack.number == completed.open && is_sparse(pack)) {
        completed = blocks.writer.complete(Some(completed.open)).await?;
        // It may have grown until then.
        packs = shares(blocks, pace).await?;
    }
    let Completed { open, mut sealed } = completed;
    // The index file of a pack that grew full is written after the answers to a flush, and before the next flush.
    for _ in 0..2 {
        blocks.writer.flush(&Ticket::default()).await?;
    }
    packs.retain(|pack| pack.number < open);
    let is_bucket = matches!(blocks.shelf.volume, Volume::Bucket(_));
    let is_small = |pack: &Share| is_bucket && pack.len < SMALL_PACK_BYTES;
    let join = packs.iter().filter(|pack| is_small(pack)).count() >= SMALL_PACKS;
    // Those that cost least first: on a full disk they make room for the others.
    packs.sort_unstable_by_key(|pack| pack.wanted);
    let mut moving = Moving { blocks, ticket: Ticket::default(), step: 0, emptied: Vec::new() };
    for pack in packs {
        let known = sealed.take_if(|sealed| sealed.number == pack.number);
        // What was completed just now has no index: it goes, also if it has grown full meanwhile.
        if known.is_some() || is_sparse(&pack) || (join && is_small(&pack)) {
            moving.empty(pack, known, pace).await?;
            // Of a bucket, each flush makes a pack of its own: what is joined is flushed together.
            if !is_bucket || moving.emptied.len() >= JOINED_AT_ONCE {
                moving.remove(pace, done).await?;
            }
        } else {
            tell(blocks, &pack).await;
        }
        pace.step().await?;
    }
    moving.remove(pace, done).await
}

fn is_sparse(pack: &Share) -> bool {
    pack.wanted * 100 < pack.len * WANTED_PERCENT
}

async fn shares(blocks: &Blocks, pace: &mut Pace<'_>) -> Result<Vec<Share>, BlobError> {
    let mut wanted = HashMap::<u32, u64>::new();
    for part in 0..Index::PARTS {
        blocks.shelf.index.each(part, |_, location| {
            *wanted.entry(location.pack).or_default() += padded_len(location.data_len);
        });
        pace.step().await?;
    }
    let packs = blocks.shelf.volume.packs().await?;
    let share = |(number, len)| Share { number, len, wanted: wanted.get(&number).copied().unwrap_or(0) };
    Ok(packs.into_iter().map(share).collect())
}

const fn at(pack: u32, entry: &Entry) -> Location {
    Location { pack, offset: entry.offset, data_len: entry.data_len }
}

/// Packs that are being emptied.
struct Moving<'a> {
    blocks: &'a Blocks,
    ticket: Ticket,
    /// Bytes written since the last flush.
    step: u64,
    /// Those of which nothing is wanted any more, and the bytes of the blocks that were moved out of each.
    emptied: Vec<(Share, u64)>,
}

impl Moving<'_> {
    /// Moves out of a pack what is wanted. Where something cannot be read it stays for the next collection, which looks whether
    /// anything needs that.
    async fn empty(&mut self, pack: Share, known: Option<Sealed>, pace: &mut Pace<'_>) -> Result<(), BlobError> {
        let shelf = &self.blocks.shelf;
        let most = if matches!(shelf.volume, Volume::Bucket(_)) { crate::bucket::PACK_BYTES } else { STEP_BYTES };
        let (end, mut entries) = match known {
            _ if pack.wanted == 0 => (0, Vec::new()),
            Some(sealed) => (sealed.end, sealed.entries),
            None => shelf.volume.entries(pack.number, pack.len).await?,
        };
        let (mut moved, mut whole) = (0, true);
        for entry in &entries {
            let from = at(pack.number, entry);
            if shelf.index.peek(&entry.digest) != Some(from) {
                continue;
            }
            let data = match shelf.volume.read(entry.digest, from).await {
                Ok(Some(data)) => data,
                Ok(None) => {
                    tracing::warn!(
                        pack = pack.number,
                        offset = entry.offset,
                        "a block that was to be moved is damaged"
                    );
                    metrics::damaged();
                    shelf.damage.note(&entry.digest);
                    whole = false;
                    continue;
                }
                Err(error) if is_bad_sector(&error) => {
                    tracing::warn!(pack = pack.number, offset = entry.offset, %error, "a block cannot be moved");
                    whole = false;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            moved += u64::from(entry.data_len);
            self.step += padded_len(entry.data_len);
            self.blocks.writer.relocate((entry.digest, from), data, &self.ticket).await?;
            if self.step >= most {
                // As long for the others as it took: adds get half of what the disk can do.
                let began = Instant::now();
                self.flush().await?;
                sleep(began.elapsed()).await;
            }
            pace.step().await?;
        }
        if whole {
            self.emptied.push((pack, moved));
        } else {
            // It may be one without an index: the next start would read its records, and not find those that are damaged.
            entries.retain(|entry| shelf.index.peek(&entry.digest) == Some(at(pack.number, entry)));
            shelf.volume.write_index(pack.number, end, entries).await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), BlobError> {
        self.step = 0;
        Ok(self.blocks.writer.flush(&self.ticket).await?)
    }

    /// Removes the packs that were emptied, once what was in them is durable elsewhere.
    async fn remove(&mut self, pace: &mut Pace<'_>, done: &mut Collected) -> Result<(), BlobError> {
        if self.emptied.is_empty() {
            return Ok(());
        }
        self.flush().await?;
        let mut left: HashMap<u32, u64> = self.emptied.iter().map(|(pack, _)| (pack.number, 0)).collect();
        for part in 0..Index::PARTS {
            self.blocks.shelf.index.each(part, |_, location| {
                if let Some(left) = left.get_mut(&location.pack) {
                    *left += 1;
                }
            });
            pace.step().await?;
        }
        for (pack, moved) in self.emptied.drain(..) {
            let left = left.get(&pack.number).copied().unwrap_or(0);
            if left > 0 {
                // Its index file and its records contradict what was read at the start.
                tracing::error!(pack = pack.number, left, "a pack was not emptied, and stays");
                continue;
            }
            self.blocks.shelf.volume.remove(pack.number).await?;
            done.freed_bytes += pack.len;
            done.moved_bytes += moved;
            metrics::freed(pack.len, moved);
        }
        Ok(())
    }
}

/// Writes the index of a pack that stays without what was forgotten of it.
async fn tell(blocks: &Blocks, pack: &Share) {
    let shelf = &blocks.shelf;
    let written = async {
        // Only the paddings of what is wanted count: a pack with nothing else in it is as it was.
        if pack.wanted >= pack.len {
            return Ok(());
        }
        let (end, mut entries) = shelf.volume.entries(pack.number, pack.len).await?;
        let before = entries.len();
        entries.retain(|entry| shelf.index.peek(&entry.digest) == Some(at(pack.number, entry)));
        if entries.len() == before { Ok(()) } else { shelf.volume.write_index(pack.number, end, entries).await }
    };
    if let Err(error) = written.await {
        tracing::warn!(pack = pack.number, %error, "the next start brings back what was removed from a pack, until the next collection");
    }
}
