//! What the database holds of the rows that a group of batches names.

use std::collections::{HashMap, HashSet};

use rustdht_core::ports::{Batch, StoreError};
use rustdht_core::{CertificateId, CommitId, EntryId, RecordId, Stamp, partition_of};
use sea_orm::ConnectionTrait;

use super::endorsed::HeldEndorsed;
use crate::sql::{self, FOUND_BY_RECORD, id8, int_lists, int_rows, lists};

/// The last numbers given out per table. They only rise, so that a page cursor never meets a number twice.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) entries: i64,
    pub(crate) commits: i64,
    pub(crate) history: i64,
    pub(crate) endorsements: i64,
    pub(crate) feed: u64,
}

impl Numbers {
    /// The greater of what this process gave out and what the database holds.
    pub(crate) async fn read<C: ConnectionTrait>(db: &C, own: Self) -> Result<Self, StoreError> {
        let row = sql::one(
            db,
            "SELECT coalesce((SELECT max(no) FROM entries), 0), coalesce((SELECT max(no) FROM commits), 0), \
             coalesce((SELECT max(no) FROM history), 0), coalesce((SELECT max(no) FROM endorsements), 0), \
             coalesce((SELECT max(number) FROM feed), 0)",
            vec![],
        )
        .await?;
        Ok(Self {
            entries: own.entries.max(row.int(0)?),
            commits: own.commits.max(row.int(1)?),
            history: own.history.max(row.int(2)?),
            endorsements: own.endorsements.max(row.int(3)?),
            feed: own.feed.max(sql::unsigned(row.int(4)?)),
        })
    }
}

/// A stored entry, as far as replacing it needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) no: i64,
    pub(crate) record8: i64,
    pub(crate) commit_no: i64,
    pub(crate) commit: CommitId,
    pub(crate) partition: u16,
    pub(crate) stamp: Stamp,
}

/// The held rows among those that the batches name.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) entries: HashMap<EntryId, Held>,
    /// Numbers of commits.
    pub(crate) commits: HashMap<CommitId, i64>,
    /// Live entries by the number of their commit, for the commits of `entries`.
    pub(crate) live: HashMap<i64, i64>,
    /// Held commits that have an endorsement or are given one.
    pub(crate) endorsed: HashMap<CommitId, HeldEndorsed>,
    /// Keys of `insert_only` rows that exist.
    pub(crate) side: HashSet<(String, Vec<u8>)>,
}

/// Reads them, in one query per kind of row; `any_endorsed`: whether the database holds endorsements at all. A held row
/// that cannot be read counts as not held: it must not keep everybody from writing, and a check finds it.
pub(crate) async fn known<C: ConnectionTrait>(
    db: &C,
    batches: &[Batch],
    any_endorsed: bool,
) -> Result<Known, StoreError> {
    let mut known = Known::default();
    let commits: HashSet<i64> = batches
        .iter()
        .flat_map(|batch| {
            let named = batch.puts.iter().map(|put| put.entry.commit);
            let brought = batch.commits.iter().map(|commit| commit.id);
            let endorsed = batch.endorsements.iter().map(|endorsement| endorsement.commit);
            named.chain(brought).chain(endorsed).map(|id| id8(&id.0))
        })
        .collect();
    for row in sql::all_in(db, "SELECT no, id FROM commits WHERE id8 IN ({})", int_lists(commits)).await? {
        if let Ok(id) = row.id(1) {
            known.commits.insert(CommitId(id), row.int(0)?);
        }
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
        "{FOUND_BY_RECORD} SELECT e.no, e.record8, e.commit_no, c.live, e.id, c.id, e.partition, e.stamp \
         FROM found f CROSS JOIN entries e ON e.no = f.no JOIN commits c ON c.no = e.commit_no"
    );
    for row in sql::all_in(db, &held, int_rows(records)).await? {
        let (Ok(id), Ok(commit), Ok(partition)) = (row.id(4), row.id(5), row.partition(6)) else { continue };
        let commit_no = row.int(2)?;
        let held = Held {
            no: row.int(0)?,
            record8: row.int(1)?,
            commit_no,
            commit: CommitId(commit),
            partition,
            stamp: Stamp(row.int(7)?.cast_unsigned()),
        };
        known.entries.insert(EntryId(id), held);
        known.live.insert(commit_no, row.int(3)?);
    }
    endorsed(db, batches, any_endorsed, &mut known).await?;

    let once = batches.iter().flat_map(|batch| &batch.side).filter(|row| row.insert_only);
    let keys = once.map(|row| (row.ns, row.key.as_slice()));
    for (sql, values) in sql::by_namespace("SELECT ns, key FROM side", keys) {
        for row in sql::all(db, &sql, values).await? {
            known.side.insert((row.text(0)?.to_owned(), row.blob(1)?.to_owned()));
        }
    }
    // A commit that counts fewer entries than it has is not removed before a check has counted anew.
    known.live.retain(|_, live| *live > 0);
    Ok(known)
}

/// Endorsements of the held commits that the batches touch, and where these have entries. Of a commit that is given an
/// endorsement every partition is counted, of the others only those that an entry comes to or goes from: a commit of a
/// thousand operations loses them one by one.
async fn endorsed<C: ConnectionTrait>(
    db: &C,
    batches: &[Batch],
    any: bool,
    known: &mut Known,
) -> Result<(), StoreError> {
    let given: HashMap<i64, CommitId> = batches
        .iter()
        .flat_map(|batch| &batch.endorsements)
        .filter_map(|endorsement| Some((*known.commits.get(&endorsement.commit)?, endorsement.commit)))
        .collect();
    if !any && given.is_empty() {
        return Ok(());
    }
    let mut numbers: HashMap<i64, CommitId> = known.commits.iter().map(|(id, no)| (*no, *id)).collect();
    numbers.extend(known.entries.values().map(|held| (held.commit_no, held.commit)));
    let mut found: HashMap<i64, HeldEndorsed> = given.keys().map(|no| (*no, HeldEndorsed::default())).collect();
    if any {
        let sql = "SELECT commit_no, no, certificate, record FROM endorsements WHERE commit_no IN ({})";
        for row in sql::all_in(db, sql, int_lists(numbers.keys().copied())).await? {
            if let (Ok(certificate), Ok(record)) = (row.id(2), row.id(3)) {
                let certificate = (row.int(1)?, CertificateId(certificate), RecordId(record));
                found.entry(row.int(0)?).or_default().certificates.push(certificate);
            }
        }
    }
    let live = "SELECT c.no, c.live, coalesce((SELECT e.stamp FROM entries e WHERE e.commit_no = c.no LIMIT 1), 0) \
                FROM commits c WHERE c.no IN ({})";
    for row in sql::all_in(db, live, int_lists(found.keys().copied())).await? {
        if let Some(held) = found.get_mut(&row.int(0)?) {
            (held.live, held.stamp) = (row.int(1)?, Stamp(row.int(2)?.cast_unsigned()));
        }
    }

    let gone = known.entries.values().map(|held| (held.commit_no, held.partition));
    let come = batches.iter().flat_map(|batch| &batch.puts).filter_map(|put| {
        let no = *known.commits.get(&put.entry.commit)?;
        found.contains_key(&no).then(|| (no, partition_of(&put.entry.soul)))
    });
    let some: HashSet<(i64, u16)> =
        gone.chain(come).filter(|(no, _)| found.contains_key(no) && !given.contains_key(no)).collect();
    let some = lists(some.into_iter().map(|(no, partition)| [no.into(), i32::from(partition).into()]).collect());
    // Counted for each row of the list by itself, so that a repeated one does not count twice.
    let counted = "WITH wanted (no, partition) AS (VALUES {}) SELECT w.no, w.partition, \
                   (SELECT count(*) FROM entries e WHERE e.commit_no = w.no AND e.partition = w.partition) FROM wanted w";
    let every =
        "SELECT commit_no, partition, count(*) FROM entries WHERE commit_no IN ({}) GROUP BY commit_no, partition";
    let mut rows = sql::all_in(db, counted, some).await?;
    rows.extend(sql::all_in(db, every, int_lists(given.into_keys())).await?);
    for row in rows {
        if let (Some(held), Ok(partition)) = (found.get_mut(&row.int(0)?), row.partition(1)) {
            held.partitions.insert(partition, row.int(2)?);
        }
    }
    known.endorsed = found.into_iter().filter_map(|(no, held)| Some((*numbers.get(&no)?, held))).collect();
    Ok(())
}
