//! The port's methods, handed to the queue or to the reading connections.

use async_trait::async_trait;
use rustdht_core::ports::{
    Applied, Batch, BlobPage, CheckCursor, CheckPage, EndorsedPartition, Endorsement, Fault, FeedPage, GraphStore,
    HistoryPage, IndexRow, Repaired, StoreError, StoreStats, StoredCommit,
};
use rustdht_core::{CommitId, Entry, EntryId, Field, RecordId, Soul};
use sea_orm::DatabaseConnection;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::open::{self, Pools};
use crate::read::{self, Readers};
use crate::write::{Command, Writer};
use crate::{Config, Error, check, metrics};

/// One process's handle on the database. Dropping it without [`GraphStore::close`] loses nothing that was
/// acknowledged.
#[derive(Debug)]
pub struct Store {
    config: Config,
    readers: Readers,
    writer: DatabaseConnection,
    queue: mpsc::Sender<Command>,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl Store {
    /// Opens or makes the database, brings its schema up to date and starts the writing task. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the file cannot be written, is damaged, or was written by a newer version.
    pub async fn open(config: Config) -> Result<Self, Error> {
        metrics::describe();
        let Pools { writer, readers } = open::open(&config).await?;
        let task = Writer::new(writer.clone(), config.clone())
            .await
            .map_err(|err| Error::Open { path: config.path.clone(), reason: err.to_string() })?;
        let (queue, commands) = mpsc::channel(config.queued_batches.max(1));
        let (closing, tasks) = (CancellationToken::new(), TaskTracker::new());
        // On a thread of its own: it answers the database's thread a dozen times in a transaction, and must not queue
        // behind the requests of a busy runtime each time (measured: 3.8 ms for a group of 25 writes there).
        let (runtime, served) = (tokio::runtime::Handle::current(), task.serve(commands, closing.clone()));
        tasks.spawn_blocking(move || runtime.block_on(served));
        tasks.close();
        Ok(Self { config, readers: Readers::new(readers), writer, queue, closing, tasks })
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(command(answer)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// The database file and its write-ahead log.
    async fn bytes_on_disk(&self) -> u64 {
        let mut log = self.config.path.clone().into_os_string();
        log.push("-wal");
        let mut bytes = 0;
        for path in [self.config.path.as_os_str(), &log] {
            bytes += tokio::fs::metadata(path).await.map_or(0, |file| file.len());
        }
        bytes
    }
}

#[async_trait]
impl GraphStore for Store {
    async fn load(&self, souls: &[Soul]) -> Result<Vec<Entry>, StoreError> {
        read::load(&self.readers, souls).await
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        self.ask(|answer| Command::Apply(batch, answer)).await
    }

    async fn by_record(&self, records: &[RecordId]) -> Result<Vec<Entry>, StoreError> {
        read::by_record(&self.readers, records).await
    }

    async fn commits(&self, ids: &[CommitId]) -> Result<Vec<StoredCommit>, StoreError> {
        read::commits(&self.readers, ids).await
    }

    async fn index(&self, after: i64, limit: u32) -> Result<(Vec<IndexRow>, i64), StoreError> {
        read::index(&self.readers, after, limit).await
    }

    async fn endorsed(&self, after: i64, limit: u32) -> Result<(Vec<EndorsedPartition>, i64), StoreError> {
        read::endorsed(&self.readers, after, limit).await
    }

    async fn endorsements_by_record(&self, records: &[RecordId]) -> Result<Vec<Endorsement>, StoreError> {
        read::endorsements_by_record(&self.readers, records).await
    }

    async fn endorsements(&self, commits: &[CommitId]) -> Result<Vec<Endorsement>, StoreError> {
        read::endorsements(&self.readers, commits).await
    }

    async fn entries_of(&self, commit: CommitId, limit: u32) -> Result<Vec<Entry>, StoreError> {
        read::entries_of(&self.readers, commit, limit).await
    }

    async fn souls(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Soul>, StoreError> {
        read::souls(&self.readers, prefix, after, limit).await
    }

    async fn history(
        &self,
        soul: &Soul,
        field: &Field,
        before: Option<i64>,
        limit: u32,
    ) -> Result<HistoryPage, StoreError> {
        read::history(&self.readers, soul, field, before, limit).await
    }

    async fn in_history(&self, ids: &[EntryId]) -> Result<Vec<EntryId>, StoreError> {
        read::in_history(&self.readers, ids).await
    }

    async fn feed(&self, after: u64, limit: u32) -> Result<FeedPage, StoreError> {
        read::feed(&self.readers, after, limit).await
    }

    async fn last_feed(&self) -> Result<u64, StoreError> {
        read::last_feed(&self.readers).await
    }

    async fn side_get(&self, ns: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        read::side_get(&self.readers, ns, key).await
    }

    async fn side_scan(
        &self,
        ns: &'static str,
        prefix: &[u8],
        limit: u32,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        read::side_page(&self.readers, ns, prefix, None, limit).await
    }

    async fn side_page(
        &self,
        ns: &'static str,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: u32,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        read::side_page(&self.readers, ns, prefix, after, limit).await
    }

    async fn side_count(&self, ns: &'static str, from: &[u8], to: &[u8]) -> Result<u64, StoreError> {
        read::side_count(&self.readers, ns, from, to).await
    }

    async fn blob_references(&self, after: i64, rows: u32) -> Result<BlobPage, StoreError> {
        read::blob_references(&self.readers, after, rows).await
    }

    async fn trim(&self, now_ms: u64) -> Result<(), StoreError> {
        // One bounded step at a time, so that batches get in between.
        while self.ask(|answer| Command::Trim(now_ms, answer)).await? {}
        Ok(())
    }

    async fn check(&self, after: CheckCursor, limit: u32) -> Result<CheckPage, StoreError> {
        check::page(&self.readers.db, after, limit).await
    }

    async fn repair(&self, faults: Vec<Fault>, now_ms: u64) -> Result<Repaired, StoreError> {
        self.ask(|answer| Command::Repair { faults, now_ms, answer }).await
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let (entries, commits) = read::counts(&self.readers).await?;
        Ok(StoreStats { entries, commits, bytes: self.bytes_on_disk().await })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        read::ping(&self.readers).await
    }

    async fn close(&self) {
        self.closing.cancel();
        self.tasks.wait().await;
        // The readers first: the last connection to go copies the log into the database file and removes it.
        for pool in [&self.readers.db, &self.writer] {
            if let Err(err) = pool.close_by_ref().await {
                tracing::warn!(%err, "closing the database");
            }
        }
    }
}
