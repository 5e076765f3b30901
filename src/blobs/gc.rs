//! Removing what nothing keeps, while reads and adds go on.
//!
//! ```text
//!   begin ── mark: roots, and everything below them ── sweep: forget the rest, some at a time ── reclaim: packs
//!     │                                                   │     ^
//!   what is used from now on stays                        └─────┴── roots that came to be meanwhile
//! ```
//!
//! - Marking, spaced out, follows every link of what is kept. What it reached is noted in the index itself; links that wait
//!   to be followed go to a file when they are many. A block that is not here ends a branch and nothing else. One that was
//!   here and cannot be read is asked of others; where nobody has it nothing is removed, for some days.
//! - What is written, found to be here already, or read from the beginning on stays, and so does what is under a
//!   [`Hold`](rustdht_core::ports::Hold): uploads in progress.
//! - Sweeping forgets blocks in the thread that writes: an add that finds a block to be here comes before that, and spares
//!   it, or after it, and writes the block anew. Each time the roots that came to be are followed first, and once more
//!   afterwards: what they reach is taken back.
//! - Reclaiming removes packs with too little in them, after what is left was written once more and is durable. A reader
//!   whose pack is gone finds the block where it is now.
//!
//! On the disk nothing goes before its copy is durable, and an index file is replaced whole: whatever moment the process
//! is killed at, the packs that it leaves hold everything that is kept, and perhaps more, which the next collection removes.

mod mark;
mod reclaim;
mod stack;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use rustdht_core::ports::{BlobError, BlobUsage, CollectOptions, Collected, RootSource};
use tokio::{
    sync::{Semaphore, oneshot},
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep},
};

use self::mark::Marker;
use crate::{
    blocks::Blocks,
    damage::is_bad_sector,
    digest::Place,
    index::{Index, Placed, Walk},
    metrics,
    shelf::Shelf,
    uploads::Uploads,
};

/// Blocks forgotten in one step: some milliseconds of the thread that writes.
const FORGOTTEN_AT_ONCE: usize = 2048;
/// Notes about whole files read at once.
const NOTES_AT_ONCE: usize = 16;
/// How long a collection works before it rests.
const WORK: Duration = Duration::from_millis(20);
/// How long it rests, so that it takes two thirds of a core at most.
const REST: Duration = Duration::from_millis(10);

/// What a collection works on.
pub(crate) struct Parts {
    pub(crate) blocks: Arc<Blocks>,
    /// Those that are not complete: no root names their blocks.
    pub(crate) uploads: Arc<Uploads>,
    /// Where a file may be made for what does not fit into memory.
    pub(crate) scratch: PathBuf,
}

/// The collections of a store: one at a time, each to its end.
pub(crate) struct Collector {
    turn: Arc<Semaphore>,
    tasks: Mutex<JoinSet<()>>,
    last: Mutex<Option<Collected>>,
    stopping: AtomicBool,
}

impl Collector {
    pub(crate) fn new() -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            tasks: Mutex::default(),
            last: Mutex::default(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Collects. It goes on when nobody waits for it any more.
    pub(crate) async fn collect(
        self: &Arc<Self>,
        parts: Parts,
        roots: Arc<dyn RootSource>,
        options: CollectOptions,
    ) -> Result<Collected, BlobError> {
        let turn = Arc::clone(&self.turn).try_acquire_owned().map_err(|_| BlobError::Collecting)?;
        let (done, ended) = oneshot::channel();
        {
            let collector = Arc::clone(self);
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(async move {
                let result = collector.run(&parts, &*roots, options).await;
                drop(turn);
                // Who asked may have gone.
                let _ = done.send(result);
            });
        }
        ended.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn run(
        &self,
        parts: &Parts,
        roots: &dyn RootSource,
        options: CollectOptions,
    ) -> Result<Collected, BlobError> {
        let began = Instant::now();
        let pace = Pace { stopping: &self.stopping, worked_since: began };
        let marker = Marker::new(&parts.blocks, parts.scratch.clone(), pace);
        let run = Run { parts, blocks: &parts.blocks, marker, done: Collected::default(), base: 0 };
        let result = run.collect(roots, options).await.map(|mut done| {
            done.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            done
        });
        match &result {
            Ok(done) if done.dry_run => {}
            Ok(done) => {
                metrics::collected("done", began.elapsed());
                if let Ok(packs) = parts.blocks.shelf.volume.packs().await {
                    metrics::packs(packs.iter().map(|(_, len)| len).sum());
                }
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(*done);
                tracing::info!(
                    roots = done.roots,
                    kept = done.kept_blocks,
                    removed = done.removed_blocks,
                    removed_bytes = done.removed_bytes,
                    freed_bytes = done.freed_bytes,
                    took_ms = done.took_ms,
                    "collected blocks that nothing keeps"
                );
            }
            Err(_) => metrics::collected("failed", began.elapsed()),
        }
        result
    }

    /// What is held.
    pub(crate) async fn usage(&self, blocks: &Blocks) -> Result<BlobUsage, BlobError> {
        let (count, bytes) = blocks.shelf.index.totals();
        let packs = blocks.shelf.volume.packs().await?;
        let pack_bytes = packs.iter().map(|(_, len)| len).sum();
        metrics::packs(pack_bytes);
        Ok(BlobUsage {
            blocks: count,
            bytes,
            packs: packs.len() as u64,
            pack_bytes,
            collecting: self.turn.available_permits() == 0,
            last: *self.last.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }

    /// Ends the one that runs, between two of its steps.
    pub(crate) async fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}

fn stopped() -> BlobError {
    std::io::Error::new(std::io::ErrorKind::Interrupted, "the block store is being closed").into()
}

/// Work and rest.
struct Pace<'a> {
    stopping: &'a AtomicBool,
    worked_since: Instant,
}

impl Pace<'_> {
    /// Between two steps.
    ///
    /// # Errors
    /// When the store is being closed.
    async fn step(&mut self) -> Result<(), BlobError> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(stopped());
        }
        if self.worked_since.elapsed() >= WORK {
            sleep(REST).await;
            self.worked_since = Instant::now();
        }
        Ok(())
    }
}

/// A collection under way.
struct Run<'a> {
    parts: &'a Parts,
    blocks: &'a Arc<Blocks>,
    marker: Marker<'a>,
    done: Collected,
    /// What was used since this collection began stays.
    base: u32,
}

impl Run<'_> {
    async fn collect(mut self, roots: &dyn RootSource, options: CollectOptions) -> Result<Collected, BlobError> {
        let begun = self.blocks.shelf.index.begin();
        self.base = if options.spare_recent { begun - 1 } else { begun };
        self.marker.all(roots).await?;
        self.uploads().await?;
        self.done.dry_run = options.dry_run;
        if options.dry_run {
            self.count().await?;
        } else {
            self.sweep(roots).await?;
        }
        (self.done.roots, self.done.missing) = (self.marker.roots, self.marker.missing);
        if options.dry_run {
            let (blocks, bytes) = self.blocks.shelf.index.totals();
            self.done.kept_blocks = blocks.saturating_sub(self.done.removed_blocks);
            self.done.kept_bytes = bytes.saturating_sub(self.done.removed_bytes);
            return Ok(self.done);
        }
        (self.done.kept_blocks, self.done.kept_bytes) = self.blocks.shelf.index.totals();
        let Shelf { index, damage, .. } = &*self.blocks.shelf;
        damage.retain(|digest| index.peek(digest).is_some());
        reclaim::reclaim(self.blocks, &mut self.marker.pace, &mut self.done).await?;
        Ok(self.done)
    }

    /// Marks what unfinished uploads have brought. Those that begin later are spared, since this collection has begun.
    async fn uploads(&mut self) -> Result<(), BlobError> {
        for id in self.parts.uploads.ids() {
            let uploads = Arc::clone(&self.parts.uploads);
            let blocks = spawn_blocking(move || uploads.blocks_of(id)).await.map_err(std::io::Error::other)??;
            for digest in &blocks {
                self.blocks.shelf.index.mark(digest, Walk::Alone);
            }
            self.marker.pace.step().await?;
        }
        Ok(())
    }

    /// Counts what would go.
    async fn count(&mut self) -> Result<(), BlobError> {
        for part in 0..Index::PARTS {
            let cutoff = self.blocks.holds.cutoff(self.base);
            let stale = self.blocks.shelf.index.stale(part, cutoff);
            for (_, location) in stale.iter().filter(|(digest, _)| digest.is_block()) {
                self.done.removed_blocks += 1;
                self.done.removed_bytes += u64::from(location.data_len);
            }
            self.marker.pace.step().await?;
        }
        Ok(())
    }

    async fn sweep(&mut self, roots: &dyn RootSource) -> Result<(), BlobError> {
        let mut waiting: Vec<Placed> = Vec::new();
        for part in 0..Index::PARTS {
            waiting.extend(self.blocks.shelf.index.stale(part, self.base));
            while waiting.len() >= FORGOTTEN_AT_ONCE {
                let some = waiting.split_off(waiting.len() - FORGOTTEN_AT_ONCE);
                self.forget(some, roots).await?;
            }
            self.marker.pace.step().await?;
        }
        if !waiting.is_empty() {
            self.forget(waiting, roots).await?;
        }
        Ok(())
    }

    /// Forgets blocks that nothing keeps.
    async fn forget(&mut self, stale: Vec<Placed>, roots: &dyn RootSource) -> Result<(), BlobError> {
        // In this order: a hold that is over by now is over because its root is known.
        let cutoff = self.blocks.holds.cutoff(self.base);
        self.marker.since(roots).await?;
        let stale = self.without_needed_notes(stale, cutoff).await?;
        let forgotten = self.blocks.writer.forget(stale, cutoff).await?;
        if forgotten.is_empty() {
            return Ok(());
        }
        // Somebody may have named one in between, and was told that it was here.
        self.marker.condemn(&forgotten);
        if let Err(error) = self.marker.since(roots).await {
            // Nobody knows which of them: all of them.
            self.blocks.writer.restore(forgotten).await?;
            return Err(error);
        }
        let restored = self.marker.reprieved();
        let gone = forgotten.iter().filter(|(digest, _)| digest.is_block() && !restored.contains_key(digest));
        let (mut blocks, mut bytes) = (0, 0);
        for (_, location) in gone {
            blocks += 1;
            bytes += u64::from(location.data_len);
        }
        if !restored.is_empty() {
            // Notes about whole files as well: they may be of these.
            let notes = forgotten.iter().filter(|(digest, _)| !digest.is_block()).copied();
            self.blocks.writer.restore(restored.into_iter().chain(notes).collect()).await?;
        }
        self.done.removed_blocks += blocks;
        self.done.removed_bytes += bytes;
        metrics::removed(blocks, bytes);
        self.blocks.shelf.index.publish();
        self.marker.pace.step().await
    }

    /// Takes out the notes about whole files whose root stays.
    async fn without_needed_notes(&mut self, stale: Vec<Placed>, cutoff: u32) -> Result<Vec<Placed>, BlobError> {
        let shelf = &self.blocks.shelf;
        let (mut left, notes): (Vec<Placed>, Vec<Placed>) =
            stale.into_iter().partition(|(digest, _)| digest.is_block());
        let read = |(digest, location)| async move { ((digest, location), shelf.volume.read(digest, location).await) };
        let mut read = stream::iter(notes).map(read).buffer_unordered(NOTES_AT_ONCE);
        while let Some((note, root)) = read.next().await {
            match root {
                Ok(Some(root)) if Place::of_bytes(&root).is_some_and(|root| shelf.index.is_live(&root, cutoff)) => {
                    shelf.index.mark(&note.0, Walk::Alone);
                }
                // Of a file that goes, or damaged.
                Ok(_) => left.push(note),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => left.push(note),
                // Whose it is is not known: it stays, and can be written again.
                Err(error) if is_bad_sector(&error) => {
                    shelf.damage.note(&note.0);
                    tracing::warn!(pack = note.1.pack, offset = note.1.offset, %error, "a note about a file cannot be read");
                }
                Err(error) => return Err(error.into()),
            }
            self.marker.pace.step().await?;
        }
        Ok(left)
    }
}
