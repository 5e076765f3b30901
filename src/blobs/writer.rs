//! The writing side: one thread appends records to the active pack in the order in which they were sent.

use std::{
    fs::File,
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError, atomic::Ordering},
    thread,
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::{
    bucket::Bucket,
    digest::Digest,
    error::Failure,
    folder::Folder,
    index::{Location, Placed},
    pack::{
        Entry,
        index_file::MAX_ENTRIES,
        record::{self, padded_len},
    },
    recovery::Active,
    shelf::Shelf,
    syncer::{Sealed, Syncer, Waiter},
};

/// Blocks on the way to the writer, of all adds together. Four let hashing and writing overlap.
const QUEUED_COMMANDS: usize = 4;

enum Command {
    Append { digest: Digest, data: Bytes, ticket: Ticket },
    Flush { ticket: Ticket, waiter: Waiter },
    Move { placed: Placed, data: Bytes, ticket: Ticket },
    Forget { stale: Vec<Placed>, cutoff: u32, done: oneshot::Sender<Vec<Placed>> },
    Restore { forgotten: Vec<Placed>, done: oneshot::Sender<()> },
    Complete { pack: Option<u32>, done: oneshot::Sender<Result<Completed, Failure>> },
    Close,
}

/// What there is to know when a pack was completed.
pub(crate) struct Completed {
    /// The first pack that is not.
    pub(crate) open: u32,
    /// What the pack holds that was completed.
    pub(crate) sealed: Option<Sealed>,
}

/// Where records go.
pub(crate) enum Target {
    /// To the end of a file.
    Folder {
        /// Where files are.
        folder: Arc<Folder>,
        /// The one that is written.
        active: Active,
        /// A pack is complete before it grows past this.
        pack_bytes: u64,
    },
    /// To the open pack of a bucket.
    Bucket(Arc<Bucket>),
}

/// Blocks that stand or fall together: the first failure to write one of them.
#[derive(Clone, Default)]
pub(crate) struct Ticket(Arc<OnceLock<Failure>>);

impl Ticket {
    /// The failure, if one of the blocks written so far could not be.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.0.get().map_or(Ok(()), |failure| Err(failure.clone()))
    }
}

/// The handle of the writing thread. Dropping it waits until what was sent is written and flushed.
pub(crate) struct Writer {
    commands: Option<mpsc::Sender<Command>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
    /// Uploads are carried by the runtime, perhaps on the thread that drops this.
    waits_when_dropped: bool,
}

impl Writer {
    /// Starts the thread. `lock` is held until it ends.
    pub(crate) fn start(shelf: Arc<Shelf>, target: Target, lock: File) -> io::Result<Self> {
        let (commands, mut received) = mpsc::channel(QUEUED_COMMANDS);
        let waits_when_dropped = matches!(target, Target::Folder { .. });
        let syncer = Arc::new(Syncer::new(&shelf.volume));
        let flushing = thread::Builder::new().name("blobs-flush".into()).spawn({
            let syncer = Arc::clone(&syncer);
            move || syncer.run()
        })?;
        let mut thread = Thread { shelf, target, syncer };
        let writing = thread::Builder::new().name("blobs-write".into()).spawn(move || {
            while let Some(command) = received.blocking_recv() {
                match command {
                    Command::Close => received.close(),
                    other => thread.run(other),
                }
            }
            thread.finish();
            if flushing.join().is_err() {
                tracing::error!("the flushing thread of the block store panicked");
            }
            // Said outright: a process forked meanwhile may hold a copy of the file until it executes its program.
            if let Err(error) = lock.unlock() {
                tracing::warn!(%error, "the lock of the block store was not given back");
            }
        })?;
        Ok(Self { commands: Some(commands), thread: Mutex::new(Some(writing)), waits_when_dropped })
    }

    async fn send(&self, command: Command) -> Result<(), Failure> {
        let commands = self.commands.as_ref().ok_or_else(Failure::closed)?;
        commands.send(command).await.map_err(|_| Failure::closed())
    }

    /// Appends a block, at most `MAX_BLOCK_BYTES`, unless it is here already. A failure goes to the ticket.
    pub(crate) async fn append(&self, digest: Digest, data: Bytes, ticket: &Ticket) -> Result<(), Failure> {
        self.send(Command::Append { digest, data, ticket: ticket.clone() }).await
    }

    /// Waits until every block appended before is durable, those of others included.
    pub(crate) async fn flush(&self, ticket: &Ticket) -> Result<(), Failure> {
        let (waiter, done) = oneshot::channel();
        self.send(Command::Flush { ticket: ticket.clone(), waiter }).await?;
        done.await.map_err(|_| Failure::closed())?
    }

    /// Writes a block that lies in a pack which is to go once more, unless it lies elsewhere by now. A failure goes to the
    /// ticket.
    pub(crate) async fn relocate(&self, placed: Placed, data: Bytes, ticket: &Ticket) -> Result<(), Failure> {
        self.send(Command::Move { placed, data, ticket: ticket.clone() }).await
    }

    /// Forgets blocks that were neither used nor reached since collection `cutoff` began, and says which: adds that find a
    /// block to be here come before or after, never in between.
    pub(crate) async fn forget(&self, stale: Vec<Placed>, cutoff: u32) -> Result<Vec<Placed>, Failure> {
        let (done, forgotten) = oneshot::channel();
        self.send(Command::Forget { stale, cutoff, done }).await?;
        forgotten.await.map_err(|_| Failure::closed())
    }

    /// Takes forgotten blocks back.
    pub(crate) async fn restore(&self, forgotten: Vec<Placed>) -> Result<(), Failure> {
        let (done, restored) = oneshot::channel();
        self.send(Command::Restore { forgotten, done }).await?;
        restored.await.map_err(|_| Failure::closed())
    }

    /// The first pack that is not complete, after completing `pack` if it is that one. Complete ones do not change any more.
    /// Of the one that was completed no index is written: who asks is about to empty it.
    pub(crate) async fn complete(&self, pack: Option<u32>) -> Result<Completed, Failure> {
        let (done, completed) = oneshot::channel();
        self.send(Command::Complete { pack, done }).await?;
        completed.await.map_err(|_| Failure::closed())?
    }

    /// Writes and flushes what was sent before, seals the active pack and ends the threads.
    pub(crate) async fn close(&self) {
        // An error means that it is closed already.
        let _ = self.send(Command::Close).await;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && !matches!(tokio::task::spawn_blocking(move || thread.join()).await, Ok(Ok(())))
        {
            tracing::error!("the writing thread of the block store panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.commands = None;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.waits_when_dropped && thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writing thread of the block store panicked");
        }
    }
}

struct Thread {
    shelf: Arc<Shelf>,
    target: Target,
    syncer: Arc<Syncer>,
}

impl Thread {
    fn run(&mut self, command: Command) {
        match command {
            Command::Append { digest, data, ticket } => {
                if self.shelf.index.get(&digest).is_none() || self.shelf.damage.has(&digest) {
                    let appended = self.append(&digest, &data).map(|(pack, entry)| {
                        self.shelf.index.insert(pack, &entry, false);
                        self.shelf.index.publish();
                        self.shelf.noted(&digest);
                    });
                    if let Err(failure) = &appended {
                        tracing::warn!(error = %io::Error::from(failure.clone()), "a block could not be written");
                        self.shelf.unwritten.fetch_add(1, Ordering::Release);
                    }
                    note(&ticket, appended);
                }
                self.shelf.arriving.end(&digest);
            }
            Command::Move { placed: (digest, from), data, ticket } => {
                if self.shelf.index.peek(&digest) == Some(from) {
                    let moved = self.append(&digest, &data).map(|(pack, entry)| {
                        let to = Location { pack, offset: entry.offset, data_len: entry.data_len };
                        self.shelf.index.moved(&digest, from, to);
                    });
                    note(&ticket, moved);
                }
            }
            Command::Flush { ticket, waiter } => match ticket.check() {
                Ok(()) => self.syncer.flush(waiter),
                // A waiter that went away does not need the answer.
                Err(failure) => drop(waiter.send(Err(failure))),
            },
            // A collection that was broken off does not need its answers either.
            Command::Forget { mut stale, cutoff, done } => {
                stale.retain(|placed| self.shelf.index.forget(placed, cutoff));
                let _ = done.send(stale);
            }
            Command::Restore { forgotten, done } => {
                forgotten.iter().for_each(|placed| self.shelf.index.restore(placed));
                let _ = done.send(());
            }
            Command::Complete { pack, done } => {
                let _ = done.send(self.complete(pack));
            }
            Command::Close => {}
        }
    }

    /// Writes a record; the pack that it is in.
    fn append(&mut self, digest: &Digest, data: &[u8]) -> Result<(u32, Entry), Failure> {
        let data_len = data.len() as u32;
        let bytes = padded_len(data_len);
        self.syncer.reserve(bytes)?;
        if let Target::Folder { active, pack_bytes, .. } = &self.target {
            let full = active.end + bytes > *pack_bytes || active.entries.len() >= MAX_ENTRIES;
            if (full && active.end > 0) || (active.torn && active.file.set_len(active.end).is_err()) {
                self.roll()?;
            }
        }
        match &mut self.target {
            Target::Bucket(bucket) => {
                let appended = bucket.append(digest, data);
                self.syncer.written(None, bytes);
                Ok(appended)
            }
            Target::Folder { active, .. } => {
                if let Err(error) = record::write(&active.file, active.end, digest, data) {
                    // The end stays where it was. What was written of the block goes: behind a shorter record it would be read
                    // back as records of its own. Where it cannot go, nothing is written over it.
                    active.torn = true;
                    match active.file.set_len(active.end) {
                        Ok(()) => active.torn = false,
                        Err(error) => tracing::warn!(%error, "what was written of a block could not be cut off"),
                    }
                    return Err(error.into());
                }
                active.torn = false;
                // Within 32 bits, since a pack is at most 2 GiB.
                let entry = Entry { digest: *digest, offset: active.end as u32, data_len };
                active.end += bytes;
                active.entries.push(entry);
                self.syncer.written(Some(&active.file), bytes);
                Ok((active.number, entry))
            }
        }
    }

    fn complete(&mut self, pack: Option<u32>) -> Result<Completed, Failure> {
        let sealed = match &self.target {
            Target::Folder { active, .. } if Some(active.number) == pack && active.end > 0 => self.next_pack()?,
            Target::Folder { .. } | Target::Bucket(_) => None,
        };
        let open = match &self.target {
            Target::Folder { active, .. } => active.number,
            Target::Bucket(bucket) => bucket.open_pack(),
        };
        Ok(Completed { open, sealed })
    }

    fn roll(&mut self) -> io::Result<()> {
        if let Some(sealed) = self.next_pack()? {
            self.syncer.seal(sealed);
        }
        Ok(())
    }

    /// Begins another pack; what the one before it holds.
    fn next_pack(&mut self) -> io::Result<Option<Sealed>> {
        let Target::Folder { folder, active, .. } = &mut self.target else { return Ok(None) };
        let next = Active::create(folder.dir(), active.number + 1)?;
        let full = std::mem::replace(active, next);
        Ok(Some(Sealed { number: full.number, end: full.end, entries: full.entries }))
    }

    fn finish(&mut self) {
        if let Target::Folder { active, .. } = &mut self.target {
            let entries = std::mem::take(&mut active.entries);
            if !entries.is_empty() {
                self.syncer.seal(Sealed { number: active.number, end: active.end, entries });
            }
        }
        self.syncer.stop();
    }
}

/// Only the first failure is told.
fn note(ticket: &Ticket, written: Result<(), Failure>) {
    if let Err(failure) = written {
        let _ = ticket.0.set(failure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{digest::sha2_256, recovery};

    #[tokio::test]
    async fn a_full_disk_fails_the_ticket_that_met_it_and_leaves_no_entry() {
        let dir = tempfile::tempdir().unwrap();
        let packs = dir.path().join("packs");
        let lock = recovery::take(dir.path(), &packs).unwrap();
        let folder = Arc::new(Folder::new(packs));
        let shelf = Arc::new(Shelf::new(crate::shelf::Volume::Folder(Arc::clone(&folder))));
        let full = Arc::new(File::options().write(true).open("/dev/full").unwrap());
        let active = Active { number: 0, file: full, end: 0, entries: Vec::new(), torn: false };
        let target = Target::Folder { folder, active, pack_bytes: 1 << 20 };
        let writer = Writer::start(Arc::clone(&shelf), target, lock).unwrap();
        let (met, other) = (Ticket::default(), Ticket::default());
        let digest = sha2_256(b"block");
        writer.append(digest, Bytes::from_static(b"block"), &met).await.unwrap();
        let failure = io::Error::from(writer.flush(&met).await.unwrap_err());
        assert_eq!(failure.kind(), io::ErrorKind::StorageFull);
        assert!(writer.flush(&other).await.is_ok(), "who wrote nothing lost nothing");
        assert!(shelf.index.get(&digest).is_none() && shelf.index.totals() == (0, 0));
        assert_eq!(shelf.unwritten.load(Ordering::Acquire), 1, "who has no ticket sees it here");
        writer.close().await;
        assert!(writer.flush(&other).await.is_err(), "closed");
    }

    #[tokio::test]
    async fn nothing_is_written_over_what_is_left_of_a_block_that_could_not_be_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let packs = dir.path().join("packs");
        let lock = recovery::take(dir.path(), &packs).unwrap();
        let folder = Arc::new(Folder::new(packs.clone()));
        let shelf = Arc::new(Shelf::new(crate::shelf::Volume::Folder(Arc::clone(&folder))));
        // A device takes nothing, and cannot be cut.
        let full = Arc::new(File::options().write(true).open("/dev/full").unwrap());
        let active = Active { number: 0, file: full, end: 0, entries: Vec::new(), torn: false };
        let target = Target::Folder { folder, active, pack_bytes: 1 << 20 };
        let writer = Writer::start(Arc::clone(&shelf), target, lock).unwrap();
        let (met, other) = (Ticket::default(), Ticket::default());
        let block = Bytes::from_static(b"block");
        writer.append(sha2_256(b"block"), block.clone(), &met).await.unwrap();
        assert!(writer.flush(&met).await.is_err());
        writer.append(sha2_256(b"block"), block.clone(), &other).await.unwrap();
        writer.flush(&other).await.unwrap();
        let at = shelf.index.get(&sha2_256(b"block")).unwrap();
        assert_eq!((at.pack, at.offset), (1, 0), "in a pack of its own");
        assert_eq!(shelf.volume.read(sha2_256(b"block"), at).await.unwrap(), Some(block));
        writer.close().await;
    }
}
