//! Threads for hashing, as many as there are processors. It is long work of which nobody waits for a single piece, so it runs
//! at a lower priority: a request that needs a moment gets it at once.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        LazyLock, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use tokio::{sync::oneshot, task::spawn_blocking};

/// By how much the priority is lower (nice(2)): a tenth of the weight of a thread that answers.
const NICE: i32 = 10;

/// Jobs that wait: each holds a piece of a body that is arriving anyway.
const QUEUED: usize = 256;

type Job = Box<dyn FnOnce() + Send>;

/// `None` when no thread could be started.
static QUEUE: LazyLock<Option<SyncSender<Job>>> = LazyLock::new(|| {
    let (sender, receiver) = sync_channel::<Job>(QUEUED);
    let jobs: &'static Mutex<Receiver<Job>> = Box::leak(Box::new(Mutex::new(receiver)));
    let count = thread::available_parallelism().map_or(2, usize::from);
    let started = (0..count).filter(|_| thread::Builder::new().name("blobs-hash".into()).spawn(|| run(jobs)).is_ok());
    (started.count() > 0).then_some(sender)
});

fn run(jobs: &Mutex<Receiver<Job>>) {
    // Of this thread alone; elsewhere than on Linux a priority belongs to the process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "hashing has the priority of everything else");
    }
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // Whoever waits learns of a panic by an answer that does not come.
        drop(catch_unwind(AssertUnwindSafe(job)));
    }
}

/// What comes of a job: an error when it panicked.
pub(crate) type Hashing<T> = oneshot::Receiver<T>;

/// Begins a job. Where no thread can take it, one of the runtime does.
pub(crate) fn begin<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Hashing<T> {
    let (done, result) = oneshot::channel();
    let job: Job = Box::new(move || drop(done.send(job())));
    let left = match &*QUEUE {
        Some(queue) => queue.try_send(job).map_err(|(TrySendError::Full(job) | TrySendError::Disconnected(job))| job),
        None => Err(job),
    };
    if let Err(job) = left {
        drop(spawn_blocking(job));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_that_panics_is_an_error_and_the_thread_goes_on() {
        for _ in 0..2 * thread::available_parallelism().map_or(2, usize::from) {
            assert!(begin(|| assert!(thread::panicking(), "a job that panics")).await.is_err());
        }
        let seen = begin(|| (thread::current().name().map(str::to_owned), rustix::process::getpriority_process(None)));
        let (name, priority) = seen.await.unwrap();
        assert_eq!(name.as_deref(), Some("blobs-hash"));
        if cfg!(target_os = "linux") {
            let here = rustix::process::getpriority_process(None).unwrap();
            assert_eq!(priority.unwrap(), (here + NICE).min(19));
        }
    }

    #[tokio::test]
    async fn more_jobs_than_may_wait_are_all_done() {
        let jobs: Vec<_> = (0..4 * QUEUED).map(|number| begin(move || number * 2)).collect();
        for (number, job) in jobs.into_iter().enumerate() {
            assert_eq!(job.await.unwrap(), number * 2);
        }
    }
}
