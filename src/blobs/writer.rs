//! The writing side: one thread appends records to the active pack in the order in which they were sent.

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::{
    digest::Digest,
    error::Failure,
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
    Close,
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
}

impl Writer {
    /// Starts the thread. `lock` is held until it ends.
    pub(crate) fn start(
        shelf: Arc<Shelf>,
        packs: PathBuf,
        active: Active,
        pack_bytes: u64,
        lock: File,
    ) -> io::Result<Self> {
        let (commands, mut received) = mpsc::channel(QUEUED_COMMANDS);
        let syncer = Arc::new(Syncer::default());
        let flushing = thread::Builder::new().name("blobs-flush".into()).spawn({
            let (syncer, packs) = (Arc::clone(&syncer), packs.clone());
            move || syncer.run(&packs)
        })?;
        let mut thread = Thread { shelf, packs, active, pack_bytes, syncer };
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
        Ok(Self { commands: Some(commands), thread: Mutex::new(Some(writing)) })
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
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writing thread of the block store panicked");
        }
    }
}

struct Thread {
    shelf: Arc<Shelf>,
    packs: PathBuf,
    active: Active,
    pack_bytes: u64,
    syncer: Arc<Syncer>,
}

impl Thread {
    fn run(&mut self, command: Command) {
        match command {
            Command::Append { digest, data, ticket } => {
                if let Err(failure) = self.append(&digest, &data) {
                    // Only the first failure is told.
                    let _ = ticket.0.set(failure);
                }
            }
            Command::Flush { ticket, waiter } => match ticket.check() {
                Ok(()) => self.syncer.flush(waiter),
                // A waiter that went away does not need the answer.
                Err(failure) => drop(waiter.send(Err(failure))),
            },
            Command::Close => {}
        }
    }

    fn append(&mut self, digest: &Digest, data: &[u8]) -> Result<(), Failure> {
        if self.shelf.index.get(digest).is_some() {
            return Ok(());
        }
        let data_len = data.len() as u32;
        let bytes = padded_len(data_len);
        self.syncer.reserve(bytes)?;
        let full = self.active.end + bytes > self.pack_bytes || self.active.entries.len() >= MAX_ENTRIES;
        if full && self.active.end > 0 {
            self.roll()?;
        }
        // After a failure the end stays where it was: the next record overwrites what was written of this one.
        record::write(&self.active.file, self.active.end, digest, data)?;
        // Within 32 bits, since a pack is at most 2 GiB.
        let entry = Entry { digest: *digest, offset: self.active.end as u32, data_len };
        self.active.end += bytes;
        self.active.entries.push(entry);
        self.shelf.index.insert(self.active.number, &entry);
        self.shelf.index.publish();
        self.shelf.noted(digest);
        self.syncer.written(&self.active.file, bytes);
        Ok(())
    }

    fn roll(&mut self) -> io::Result<()> {
        let next = Active::create(&self.packs, self.active.number + 1)?;
        let full = std::mem::replace(&mut self.active, next);
        self.syncer.seal(Sealed { number: full.number, end: full.end, entries: full.entries });
        Ok(())
    }

    fn finish(&mut self) {
        let entries = std::mem::take(&mut self.active.entries);
        if !entries.is_empty() {
            self.syncer.seal(Sealed { number: self.active.number, end: self.active.end, entries });
        }
        self.syncer.stop();
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
        let shelf = Arc::new(Shelf::new(packs.clone()));
        let full = Arc::new(File::options().write(true).open("/dev/full").unwrap());
        let active = Active { number: 0, file: full, end: 0, entries: Vec::new() };
        let writer = Writer::start(Arc::clone(&shelf), packs, active, 1 << 20, lock).unwrap();
        let (met, other) = (Ticket::default(), Ticket::default());
        let digest = sha2_256(b"block");
        writer.append(digest, Bytes::from_static(b"block"), &met).await.unwrap();
        let failure = io::Error::from(writer.flush(&met).await.unwrap_err());
        assert_eq!(failure.kind(), io::ErrorKind::StorageFull);
        assert!(writer.flush(&other).await.is_ok(), "who wrote nothing lost nothing");
        assert!(shelf.index.get(&digest).is_none() && shelf.index.totals() == (0, 0));
        writer.close().await;
        assert!(writer.flush(&other).await.is_err(), "closed");
    }
}
