//! Opening the database: one writing connection, a few reading ones, and the schema brought up to date.

use std::time::Duration;

use rustdht_migrations::Migrator;
use sea_orm::sqlx::ConnectOptions as _;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sea_orm::{
    DatabaseConnection, DbErr, RuntimeErr, SqliteTransactionMode, TransactionOptions, TransactionTrait, sqlx,
};
use sea_orm_migration::MigratorTrait;

use crate::error::is_busy;
use crate::{Config, Error};

/// Pages of the write-ahead log after which a commit copies them into the database file: 32 MiB of 4 KiB pages, so that
/// a page that many transactions touch (a leaf of an index over random ids) is copied once for many of them.
const CHECKPOINT_PAGES: u32 = 8192;
/// What the write-ahead log is cut down to after it grew beyond (a long read holds it back).
const JOURNAL_LIMIT_BYTES: u64 = 64 * 1024 * 1024;
/// Statements kept prepared per connection: each of about twenty in at most eleven shapes.
const PREPARED_STATEMENTS: usize = 256;
/// Rows that a connection's thread may be ahead of the task that reads them.
const ROWS_AHEAD: usize = 1024;
/// The wait before a database that others hold is opened again.
const OPENING_WAIT: Duration = Duration::from_millis(10);

/// The two sides of one database.
pub(crate) struct Pools {
    pub(crate) writer: DatabaseConnection,
    pub(crate) readers: DatabaseConnection,
}

fn options(config: &Config, cache_bytes: u64) -> SqliteConnectOptions {
    // A negative cache size is in KiB (https://www.sqlite.org/pragma.html#pragma_cache_size).
    let cache_kib = i64::try_from(cache_bytes / 1024).unwrap_or(i64::MAX).max(64);
    SqliteConnectOptions::new()
        .filename(&config.path)
        .busy_timeout(Duration::from_millis(config.busy_timeout_ms))
        .foreign_keys(false)
        .pragma("cache_size", format!("-{cache_kib}"))
        .pragma("temp_store", "MEMORY")
        .pragma("mmap_size", "0")
        .statement_cache_capacity(PREPARED_STATEMENTS)
        .row_buffer_size(ROWS_AHEAD)
        .disable_statement_logging()
}

async fn pool(options: SqliteConnectOptions, connections: u32) -> Result<DatabaseConnection, DbErr> {
    SqlitePoolOptions::new()
        .max_connections(connections)
        // A connection to a file does not go stale, and a fresh one has an empty cache.
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .map(DatabaseConnection::from)
        .map_err(sqlx_error)
}

fn sqlx_error(err: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(err.into()))
}

/// All steps in one transaction that has the lock for writing from its begin: of two processes that start together, the
/// second one waits for the first and finds its steps.
async fn migrate(db: &DatabaseConnection) -> Result<(), DbErr> {
    let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
    let steps = db.begin_with_options(TransactionOptions { sqlite_transaction_mode, ..Default::default() }).await?;
    Migrator::up(&steps, None).await?;
    steps.commit().await
}

/// Opens the writer first: it makes the file and the schema that the readers need.
async fn open_once(config: &Config) -> Result<Pools, DbErr> {
    let writing = options(config, config.writer_cache_bytes)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL flushes the log at every commit: what was acknowledged survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        // What is erased, or sealed, is overwritten and not only unlinked.
        .pragma("secure_delete", "ON")
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
        .pragma("journal_size_limit", JOURNAL_LIMIT_BYTES.to_string());
    let writer = pool(writing, 1).await?;
    migrate(&writer).await?;
    let reading = options(config, config.reader_cache_bytes).read_only(true);
    let readers = pool(reading, config.readers.max(1)).await?;
    Ok(Pools { writer, readers })
}

/// Opens both sides. SQLite does not wait everywhere for who holds the file (not where a new one becomes one with a
/// write-ahead log), so this does, for as long.
pub(crate) async fn open(config: &Config) -> Result<Pools, Error> {
    let patience = Duration::from_millis(config.busy_timeout_ms);
    let begun = tokio::time::Instant::now();
    loop {
        match open_once(config).await {
            Err(err) if is_busy(&err) && begun.elapsed() < patience => tokio::time::sleep(OPENING_WAIT).await,
            opened => return opened.map_err(|err| Error::at(&config.path, &err)),
        }
    }
}
