//! What the operator and the composition root may set.

use std::path::PathBuf;

const MIB: u64 = 1024 * 1024;

/// Settings of a [`crate::Store`]. Every bound has a default; only the path is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The database file. Its folder must exist and be writable; `-wal` and `-shm` files appear beside it.
    pub path: PathBuf,
    /// Page cache of the writing connection in bytes.
    pub writer_cache_bytes: u64,
    /// Page cache of each reading connection in bytes.
    pub reader_cache_bytes: u64,
    /// Reading connections. They see the last durable state and never wait for the writer.
    pub readers: u32,
    /// Batches that may wait for the writer; further callers wait for room.
    pub queued_batches: usize,
    /// Most batches in one transaction.
    pub group_batches: usize,
    /// Most rows in one transaction; a single batch that is larger is still one transaction.
    pub group_rows: usize,
    /// Least number of new records that are moved into the large index at once. It is a bound from below: more gather
    /// as the database grows.
    pub merge_records: u64,
    /// How long to wait for another process that holds the write lock, in milliseconds.
    pub busy_timeout_ms: u64,
    /// Displaced entries kept per field; the newest stay.
    pub history_per_field: u32,
    /// Days after which a displaced entry is forgotten.
    pub history_days: u32,
    /// Rows of the change feed kept; the newest stay.
    pub feed_rows: u32,
    /// Days after which a row of the change feed is removed. The newest row always stays: it carries the numbering.
    pub feed_days: u32,
}

impl Config {
    /// The defaults for the database at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            writer_cache_bytes: 16 * MIB,
            reader_cache_bytes: MIB,
            readers: 3,
            queued_batches: 1024,
            group_batches: 256,
            group_rows: 8192,
            merge_records: 32 * 1024,
            busy_timeout_ms: 5_000,
            history_per_field: 16,
            history_days: 30,
            feed_rows: 100_000,
            feed_days: 7,
        }
    }
}
