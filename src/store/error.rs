//! What can go wrong when a database is opened, and how errors of the database become the port's.

use std::path::{Path, PathBuf};

use rustdht_core::ports::StoreError;
use sea_orm::{DbErr, RuntimeErr, sqlx};

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file or its folder cannot be written.
    #[error("cannot write the database {}: {reason}; its folder must exist and be writable", path.display())]
    NotWritable {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        reason: String,
    },
    /// The file is damaged, or no database.
    #[error("{} is damaged or not a database: {reason}; restore it from a backup", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        reason: String,
    },
    /// A newer version of this program wrote the file.
    #[error("the database {} was written by a newer version: {reason}; start that version", path.display())]
    Newer {
        /// The database file.
        path: PathBuf,
        /// What the migrations said.
        reason: String,
    },
    /// Anything else, a lock held for too long among it.
    #[error("cannot open the database {}: {reason}", path.display())]
    Open {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        reason: String,
    },
}

/// SQLite's primary result codes (<https://www.sqlite.org/rescode.html>): an extended code holds one in its low byte.
const BUSY: i32 = 5;
const READONLY: i32 = 8;
const CORRUPT: i32 = 11;
const CANTOPEN: i32 = 14;
const NOTADB: i32 = 26;

impl Error {
    /// Tells the cases apart by the result code.
    pub(crate) fn at(path: &Path, err: &DbErr) -> Self {
        let (path, reason) = (path.to_owned(), text(err));
        match result_code(err) {
            Some(READONLY | CANTOPEN) => Self::NotWritable { path, reason },
            Some(CORRUPT | NOTADB) => Self::Damaged { path, reason },
            // The only errors that the migrator itself makes are about applied steps that it does not know.
            _ if matches!(err, DbErr::Custom(_) | DbErr::Migration(_)) => Self::Newer { path, reason },
            _ => Self::Open { path, reason },
        }
    }
}

fn sqlx_error(err: &DbErr) -> Option<&sqlx::Error> {
    match err {
        DbErr::Conn(RuntimeErr::SqlxError(err))
        | DbErr::Exec(RuntimeErr::SqlxError(err))
        | DbErr::Query(RuntimeErr::SqlxError(err)) => Some(err),
        _ => None,
    }
}

fn result_code(err: &DbErr) -> Option<i32> {
    match sqlx_error(err)? {
        sqlx::Error::Database(err) => err.code()?.parse::<i32>().ok().map(|code| code & 0xff),
        _ => None,
    }
}

/// Somebody else holds the database.
pub(crate) fn is_busy(err: &DbErr) -> bool {
    result_code(err) == Some(BUSY)
}

/// The innermost text, without the layers' repetitions of one another.
fn text(err: &DbErr) -> String {
    match sqlx_error(err) {
        Some(sqlx::Error::Database(err)) => err.message().to_owned(),
        Some(err) => err.to_string(),
        None => err.to_string(),
    }
}

/// An error of a query as the port knows it.
pub(crate) fn failed(err: &DbErr) -> StoreError {
    match (err, sqlx_error(err)) {
        (DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::ConnectionClosed), _)
        | (_, Some(sqlx::Error::PoolClosed)) => StoreError::Closed,
        _ => StoreError::Failed(text(err)),
    }
}

/// A row that this version cannot read.
pub(crate) fn damaged(what: &'static str) -> StoreError {
    StoreError::Failed(format!("a stored row is damaged: {what}"))
}
