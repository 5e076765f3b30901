//! Opening the database: one writing connection, a few reading ones, and the schema brought up to date.

use std::time::Duration;

use rustdht_migrations::Migrator;
use sea_orm::sqlx::ConnectOptions as _;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr, sqlx};
use sea_orm_migration::MigratorTrait;

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
/// How often the migrations are tried while other processes run them too.
const MIGRATION_TRIES: usize = 3;

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

/// Two processes that start together may both find a step missing; the one that comes second tries again and finds it.
async fn migrate(db: &DatabaseConnection) -> Result<(), DbErr> {
    let mut result = Ok(());
    for _ in 0..MIGRATION_TRIES {
        result = Migrator::up(db, None).await;
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Opens the writer first: it makes the file and the schema that the readers need.
pub(crate) async fn open(config: &Config) -> Result<Pools, Error> {
    let at = |err: DbErr| Error::at(&config.path, &err);
    let writing = options(config, config.writer_cache_bytes)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL flushes the log at every commit: what was acknowledged survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        // What is erased, or sealed, is overwritten and not only unlinked.
        .pragma("secure_delete", "ON")
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
        .pragma("journal_size_limit", JOURNAL_LIMIT_BYTES.to_string());
    let writer = pool(writing, 1).await.map_err(at)?;
    migrate(&writer).await.map_err(at)?;
    let reading = options(config, config.reader_cache_bytes).read_only(true);
    let readers = pool(reading, config.readers.max(1)).await.map_err(at)?;
    Ok(Pools { writer, readers })
}
