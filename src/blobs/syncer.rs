//! The flushing side of the writer: one thread that makes what was written durable.
//!
//! Everybody who waits while one flush runs shares the next one. A long add is also flushed while it runs, so that its
//! last flush is short and little dirty memory builds up.

use std::{
    fs::File,
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use crate::{
    bucket::{self, Bucket},
    error::Failure,
    folder::Folder,
    metrics,
    pack::{Entry, index_file},
    shelf::Volume,
};

/// A flush of files begins at the latest when this many bytes were written since the last.
const FLUSH_EVERY_BYTES: u64 = 32 << 20;
/// The writer waits while this many bytes are not flushed.
const MAX_UNFLUSHED_BYTES: u64 = 128 << 20;
/// The same of a bucket, where they are held in memory: what four uploads at once take.
const MAX_NOT_UPLOADED_BYTES: u64 = 4 * bucket::PACK_BYTES;
/// Until a failed upload is tried again. The client of the bucket has tried several times by then.
const UPLOAD_PAUSE: Duration = Duration::from_secs(1);

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
    /// Of files, after a failed flush nobody knows what is on the disk: nothing is written any more. Of a bucket, the last
    /// upload failed and is tried again.
    failed: Option<Failure>,
}

/// What the writer and the flushing thread share.
pub(crate) struct Syncer {
    target: Target,
    queue: Mutex<Queue>,
    work: Condvar,
    room: Condvar,
}

enum Target {
    Folder(Arc<Folder>),
    Bucket(Arc<Bucket>),
}

impl Syncer {
    pub(crate) fn new(volume: &Volume) -> Self {
        let target = match volume {
            Volume::Folder(folder) => Target::Folder(Arc::clone(folder)),
            Volume::Bucket(bucket) => Target::Bucket(Arc::clone(bucket)),
        };
        Self { target, queue: Mutex::default(), work: Condvar::new(), room: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn is_bucket(&self) -> bool {
        matches!(self.target, Target::Bucket(_))
    }

    const fn flush_every_bytes(&self) -> u64 {
        if self.is_bucket() { bucket::PACK_BYTES } else { FLUSH_EVERY_BYTES }
    }

    /// Waits until `bytes` more may be written.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), Failure> {
        let most = if self.is_bucket() { MAX_NOT_UPLOADED_BYTES } else { MAX_UNFLUSHED_BYTES };
        let mut queue = self.lock();
        loop {
            let is_full = queue.bytes + queue.in_flight_bytes + bytes > most;
            if let Some(failure) = queue.failed.as_ref().filter(|_| is_full || !self.is_bucket()) {
                return Err(failure.clone());
            }
            if !is_full {
                return Ok(());
            }
            queue = self.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes that `bytes` were written: to `file`, or to the open pack of a bucket.
    pub(crate) fn written(&self, file: Option<&Arc<File>>, bytes: u64) {
        let mut queue = self.lock();
        if let Some(file) = file
            && !queue.files.last().is_some_and(|last| Arc::ptr_eq(last, file))
        {
            queue.files.push(Arc::clone(file));
        }
        queue.bytes += bytes;
        if queue.bytes >= self.flush_every_bytes() {
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
    pub(crate) fn run(&self) {
        while let Some(batch) = self.next() {
            let result = match &self.target {
                Target::Folder(_) => batch.failed.map_or_else(|| flush(&batch.files), Err),
                Target::Bucket(bucket) => upload(bucket),
            };
            let mut stop = false;
            {
                let mut queue = self.lock();
                let was_in_flight = mem::take(&mut queue.in_flight_bytes);
                if result.is_err() && self.is_bucket() {
                    // It is in memory still.
                    queue.bytes += was_in_flight;
                    stop = queue.stop;
                }
                if result.is_err() || self.is_bucket() {
                    queue.failed = result.as_ref().err().cloned();
                }
                self.room.notify_all();
            }
            for waiter in batch.waiters {
                // A waiter that went away does not need the answer.
                let _ = waiter.send(result.clone());
            }
            if let (Ok(()), Target::Folder(folder)) = (&result, &self.target) {
                for sealed in batch.sealed {
                    if let Err(error) = index_file::write(folder.dir(), sealed.number, sealed.end, &sealed.entries) {
                        tracing::warn!(pack = sealed.number, %error, "no index file: the next start scans this pack");
                    }
                }
            }
            if stop {
                tracing::error!(
                    "the store is closed with blocks that could not be uploaded; nobody was told that they are kept"
                );
                return;
            }
        }
    }

    fn next(&self) -> Option<Queue> {
        let mut queue = self.lock();
        loop {
            let due = !queue.waiters.is_empty() || !queue.sealed.is_empty() || queue.bytes >= self.flush_every_bytes();
            if due && self.is_bucket() && queue.failed.is_some() && queue.waiters.is_empty() && !queue.stop {
                // Nobody waits for it: not at once again.
                let (woken, waited) =
                    self.work.wait_timeout(queue, UPLOAD_PAUSE).unwrap_or_else(PoisonError::into_inner);
                queue = woken;
                if !waited.timed_out() {
                    continue;
                }
            }
            if due || queue.stop {
                let left = due || queue.bytes > 0 || !queue.files.is_empty();
                let stop = queue.stop;
                let failed = queue.failed.clone();
                let batch = mem::take(&mut *queue);
                *queue = Queue { in_flight_bytes: batch.bytes, stop, failed: failed.clone(), ..Queue::default() };
                return left.then_some(Queue { failed, ..batch });
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

fn upload(bucket: &Bucket) -> Result<(), Failure> {
    let began = Instant::now();
    bucket.upload().map_err(|error| {
        tracing::error!(%error, "the bucket did not take an upload; it is tried again");
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
        let syncer = Syncer::new(&Volume::Folder(Arc::new(Folder::new(dir.path().to_owned()))));
        std::thread::scope(|scope| {
            scope.spawn(|| syncer.run());
            let flushed = || {
                let (waiter, done) = oneshot::channel();
                syncer.flush(waiter);
                done.blocking_recv().unwrap()
            };
            syncer.written(Some(&good), 10);
            assert!(flushed().is_ok() && syncer.reserve(1).is_ok());
            syncer.written(Some(&bad), 10);
            syncer.seal(Sealed { number: 0, end: 0, entries: Vec::new() });
            assert!(flushed().is_err() && syncer.reserve(1).is_err());
            assert!(flushed().is_err(), "later ones fail too");
            syncer.stop();
        });
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "no index file for what is not durable");
    }
}
