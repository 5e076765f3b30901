//! The flushing side of the writer: one thread that makes what was written durable.
//!
//! Everybody who waits while one flush runs shares the next one. A long add is also flushed while it runs, so that its
//! last flush is short and little dirty memory builds up.

use std::{
    fs::File,
    mem,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::oneshot, time::Instant};

use crate::{
    error::Failure,
    metrics,
    pack::{Entry, index_file},
};

/// A flush begins at the latest when this many bytes were written since the last.
const FLUSH_EVERY_BYTES: u64 = 32 << 20;
/// The writer waits while this many bytes are not flushed.
const MAX_UNFLUSHED_BYTES: u64 = 128 << 20;

/// A pack that is complete; its index file is written once it is durable.
pub(crate) struct Sealed {
    pub(crate) number: u32,
    pub(crate) end: u64,
    pub(crate) entries: Vec<Entry>,
}

/// Answers once everything written before the request is durable.
pub(crate) type Waiter = oneshot::Sender<Result<(), Failure>>;

#[derive(Default)]
struct Queue {
    files: Vec<Arc<File>>,
    bytes: u64,
    in_flight_bytes: u64,
    waiters: Vec<Waiter>,
    sealed: Vec<Sealed>,
    stop: bool,
    /// After a failed flush nobody knows what is on the disk: nothing is written any more.
    failed: Option<Failure>,
}

/// What the writer and the flushing thread share.
#[derive(Default)]
pub(crate) struct Syncer {
    queue: Mutex<Queue>,
    work: Condvar,
    room: Condvar,
}

impl Syncer {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `bytes` more may be written.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), Failure> {
        let mut queue = self.lock();
        loop {
            if let Some(failure) = &queue.failed {
                return Err(failure.clone());
            }
            if queue.bytes + queue.in_flight_bytes + bytes <= MAX_UNFLUSHED_BYTES {
                return Ok(());
            }
            queue = self.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes that `bytes` were written to `file`.
    pub(crate) fn written(&self, file: &Arc<File>, bytes: u64) {
        let mut queue = self.lock();
        if !queue.files.last().is_some_and(|last| Arc::ptr_eq(last, file)) {
            queue.files.push(Arc::clone(file));
        }
        queue.bytes += bytes;
        if queue.bytes >= FLUSH_EVERY_BYTES {
            self.work.notify_one();
        }
    }

    /// Answers `waiter` after everything noted so far is durable.
    pub(crate) fn flush(&self, waiter: Waiter) {
        self.lock().waiters.push(waiter);
        self.work.notify_one();
    }

    /// Writes the index file of a pack after everything noted so far is durable.
    pub(crate) fn seal(&self, sealed: Sealed) {
        self.lock().sealed.push(sealed);
        self.work.notify_one();
    }

    /// Ends the thread after it has flushed what is left.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.work.notify_one();
    }

    /// The body of the flushing thread.
    pub(crate) fn run(&self, packs: &Path) {
        while let Some(batch) = self.next() {
            let result = match batch.failed {
                Some(failure) => Err(failure),
                None => flush(&batch.files),
            };
            {
                let mut queue = self.lock();
                queue.in_flight_bytes = 0;
                if let Err(failure) = &result {
                    queue.failed = Some(failure.clone());
                }
                self.room.notify_all();
            }
            for waiter in batch.waiters {
                // A waiter that went away does not need the answer.
                let _ = waiter.send(result.clone());
            }
            if result.is_ok() {
                for sealed in batch.sealed {
                    if let Err(error) = index_file::write(packs, sealed.number, sealed.end, &sealed.entries) {
                        tracing::warn!(pack = sealed.number, %error, "no index file: the next start scans this pack");
                    }
                }
            }
        }
    }

    fn next(&self) -> Option<Queue> {
        let mut queue = self.lock();
        loop {
            let due = !queue.waiters.is_empty() || !queue.sealed.is_empty() || queue.bytes >= FLUSH_EVERY_BYTES;
            if due || queue.stop {
                let left = due || !queue.files.is_empty();
                let stop = queue.stop;
                let failed = queue.failed.clone();
                let batch = mem::take(&mut *queue);
                *queue = Queue { in_flight_bytes: batch.bytes, stop, failed, ..Queue::default() };
                return left.then_some(batch);
            }
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn flush(files: &[Arc<File>]) -> Result<(), Failure> {
    if files.is_empty() {
        return Ok(());
    }
    let began = Instant::now();
    files.iter().try_for_each(|file| file.sync_data()).map_err(|error| {
        tracing::error!(%error, "the disk did not take a flush: the block store stops writing");
        Failure::from(error)
    })?;
    metrics::flushed(began.elapsed());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failed_flush_nothing_is_acknowledged_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let good = Arc::new(tempfile::tempfile().unwrap());
        // The null device refuses a flush.
        let bad = Arc::new(File::options().write(true).open("/dev/null").unwrap());
        let syncer = Syncer::default();
        std::thread::scope(|scope| {
            scope.spawn(|| syncer.run(dir.path()));
            let flushed = || {
                let (waiter, done) = oneshot::channel();
                syncer.flush(waiter);
                done.blocking_recv().unwrap()
            };
            syncer.written(&good, 10);
            assert!(flushed().is_ok() && syncer.reserve(1).is_ok());
            syncer.written(&bad, 10);
            syncer.seal(Sealed { number: 0, end: 0, entries: Vec::new() });
            assert!(flushed().is_err() && syncer.reserve(1).is_err());
            assert!(flushed().is_err(), "later ones fail too");
            syncer.stop();
        });
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "no index file for what is not durable");
    }
}
