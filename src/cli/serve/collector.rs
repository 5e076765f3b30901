//! Collections that nobody asks for: every hour, and when the disk is nearly full.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rustdht_core::ports::{BlobError, CollectOptions, DagStore, RootSource};
use rustix::fs::{StatVfs, statvfs};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often the disk is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// On a full disk that collections do not help, they run no more often than this.
const PRESSED_EVERY: Duration = Duration::from_secs(600);

/// When collections run.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// Between two; zero: never for that reason.
    pub every: Duration,
    /// Hundredths of the disk in use from which one runs; zero: never for that reason.
    pub disk_percent: u8,
    /// A folder on that disk; none where blocks lie elsewhere.
    pub disk: Option<PathBuf>,
}

/// Runs until it is cancelled.
pub(super) async fn run(
    schedule: Schedule,
    blobs: Arc<dyn DagStore>,
    roots: Arc<dyn RootSource>,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let mut look = interval(LOOK_EVERY.min(schedule.every.max(Duration::from_secs(1))));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut pressed) = (Instant::now(), None::<Instant>);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            _ = look.tick() => {}
        }
        let full = is_full(&schedule).await && pressed.is_none_or(|at| at.elapsed() >= PRESSED_EVERY);
        let due = !schedule.every.is_zero() && last.elapsed() >= schedule.every;
        if !full && !due {
            continue;
        }
        last = Instant::now();
        if full {
            pressed = Some(last);
        }
        let options = CollectOptions { dry_run: false, spare_recent: !full };
        let ended = tokio::select! {
            // The store ends it when it is closed.
            () = cancel.cancelled() => return Ok(()),
            ended = blobs.collect(Arc::clone(&roots), options) => ended,
        };
        if let Err(error) = ended
            && !matches!(error, BlobError::Collecting)
        {
            tracing::error!(%error, "blocks that nothing keeps were not collected; `rustdht blob gc` tries it at once");
        }
    }
}

async fn is_full(schedule: &Schedule) -> bool {
    let Some(disk) = schedule.disk.clone().filter(|_| schedule.disk_percent > 0) else { return false };
    // A disk that hangs hangs here too.
    match tokio::task::spawn_blocking(move || statvfs(&disk)).await {
        Ok(Ok(found)) => used_percent(&found) >= u64::from(schedule.disk_percent),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the disk cannot be asked how full it is");
            false
        }
        Err(_) => false,
    }
}

/// As `df` counts: of what is open to everybody, not what is left to root.
fn used_percent(disk: &StatVfs) -> u64 {
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    used.saturating_mul(100).checked_div(used + disk.f_bavail).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::{StreamExt as _, stream};
    use rustdht_core::ports::{AddOptions, BlobStore as _, Root, RootMark, StoreError};

    use super::*;

    struct Nothing;

    #[async_trait::async_trait]
    impl RootSource for Nothing {
        async fn mark(&self) -> Result<RootMark, StoreError> {
            Ok(RootMark::default())
        }
        fn roots(&self) -> stream::BoxStream<'static, Result<Root, StoreError>> {
            stream::empty().boxed()
        }
        fn since(&self, _: RootMark) -> stream::BoxStream<'static, Result<Root, StoreError>> {
            stream::empty().boxed()
        }
    }

    /// Whether a block that nothing keeps goes within some seconds.
    async fn goes(schedule: Schedule) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let store = rustdht_blobs::Store::open(rustdht_blobs::Config::new(dir.path().join("blobs"))).unwrap();
        let body = stream::iter([Ok(Bytes::from_static(b"x"))]).boxed();
        let cid = store.add(body, AddOptions::default()).await.unwrap().cid;
        let schedule = Schedule { disk: schedule.disk.map(|_| dir.path().to_owned()), ..schedule };
        let cancel = CancellationToken::new();
        let running = run(schedule, Arc::new(store.clone()), Arc::new(Nothing), cancel.clone());
        let watching = async {
            let mut gone = false;
            for _ in 0..60 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                gone = !store.has(&cid).await.unwrap();
                if gone {
                    break;
                }
            }
            cancel.cancel();
            gone
        };
        let (ended, gone) = tokio::join!(running, watching);
        ended.unwrap();
        gone
    }

    #[tokio::test]
    async fn a_schedule_or_a_full_disk_collects() {
        let never = Schedule { every: Duration::ZERO, disk_percent: 0, disk: Some(PathBuf::new()) };
        let second = Schedule { every: Duration::from_secs(1), ..never.clone() };
        // Any disk that a test runs on has more than one hundredth in use.
        let full = Schedule { disk_percent: 1, ..never.clone() };
        let elsewhere = Schedule { disk: None, ..full.clone() };
        let (never, second, full, elsewhere) = tokio::join!(goes(never), goes(second), goes(full), goes(elsewhere));
        assert_eq!((never, second, full, elsewhere), (false, true, true, false));
    }
}
