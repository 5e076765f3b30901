//! What the database holds of the rows that a group of batches names.

use std::collections::{HashMap, HashSet};

use rustdht_core::ports::{Batch, StoreError};
use rustdht_core::{CommitId, EntryId};
use sea_orm::ConnectionTrait;

use crate::error::damaged;
use crate::sql::{self, FOUND_BY_RECORD, id8, int_lists, int_rows};

/// The last numbers given out per table. They only rise, so that a page cursor never meets a number twice.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) entries: i64,
    pub(crate) commits: i64,
    pub(crate) history: i64,
    pub(crate) feed: u64,
}

impl Numbers {
    /// The greater of what this process gave out and what the database holds.
    pub(crate) async fn read<C: ConnectionTrait>(db: &C, own: Self) -> Result<Self, StoreError> {
        let row = sql::one(
            db,
            "SELECT coalesce((SELECT max(no) FROM entries), 0), coalesce((SELECT max(no) FROM commits), 0), \
             coalesce((SELECT max(no) FROM history), 0), coalesce((SELECT max(number) FROM feed), 0)",
            vec![],
        )
        .await?;
        Ok(Self {
            entries: own.entries.max(row.int(0)?),
            commits: own.commits.max(row.int(1)?),
            history: own.history.max(row.int(2)?),
            feed: own.feed.max(sql::unsigned(row.int(3)?)),
        })
    }
}

/// A stored entry, as far as replacing it needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) no: i64,
    pub(crate) record8: i64,
    pub(crate) commit_no: i64,
}

/// The held rows among those that the batches name.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) entries: HashMap<EntryId, Held>,
    /// Numbers of commits.
    pub(crate) commits: HashMap<CommitId, i64>,
    /// Live entries by the number of their commit, for the commits of `entries`.
    pub(crate) live: HashMap<i64, i64>,
    /// Keys of `insert_only` rows that exist.
    pub(crate) side: HashSet<(String, Vec<u8>)>,
}

/// Reads them, in one query per kind of row.
pub(crate) async fn known<C: ConnectionTrait>(db: &C, batches: &[Batch]) -> Result<Known, StoreError> {
    let mut known = Known::default();
    let commits: HashSet<i64> = batches
        .iter()
        .flat_map(|batch| {
            let named = batch.puts.iter().map(|put| put.entry.commit);
            named.chain(batch.commits.iter().map(|commit| commit.id)).map(|id| id8(&id.0))
        })
        .collect();
    for row in sql::all_in(db, "SELECT no, id FROM commits WHERE id8 IN ({})", int_lists(commits)).await? {
        known.commits.insert(CommitId(row.id(1)?), row.int(0)?);
    }

    // An entry whose commit is not stored is not stored either: an import of new commits searches for no record.
    let records: HashSet<i64> = batches
        .iter()
        .flat_map(|batch| {
            let again = batch.puts.iter().filter(|put| known.commits.contains_key(&put.entry.commit));
            let again = again.map(|put| put.record);
            again.chain(batch.drops.iter().map(|(_, record)| *record)).map(|record| id8(&record.0))
        })
        .collect();
    let held = format!(
        "{FOUND_BY_RECORD} SELECT e.no, e.record8, e.id, e.commit_no, c.live \
         FROM found f CROSS JOIN entries e ON e.no = f.no JOIN commits c ON c.no = e.commit_no"
    );
    for row in sql::all_in(db, &held, int_rows(records)).await? {
        let commit_no = row.int(3)?;
        let held = Held { no: row.int(0)?, record8: row.int(1)?, commit_no };
        known.entries.insert(EntryId(row.id(2)?), held);
        known.live.insert(commit_no, row.int(4)?);
    }

    let once = batches.iter().flat_map(|batch| &batch.side).filter(|row| row.insert_only);
    let keys = once.map(|row| (row.ns, row.key.as_slice()));
    for (sql, values) in sql::by_namespace("SELECT ns, key FROM side", keys) {
        for row in sql::all(db, &sql, values).await? {
            known.side.insert((row.text(0)?.to_owned(), row.blob(1)?.to_owned()));
        }
    }
    if known.live.values().any(|live| *live < 1) {
        return Err(damaged("a commit that counts fewer entries than it has"));
    }
    Ok(known)
}
