//! Queries of the reading connections. Each sees what was durable when it began.

use std::collections::HashSet;

use rustdht_core::ports::Table;
use rustdht_core::ports::{FeedPage, FeedRow, HistoryPage, IndexRow, Loser, StoreError, StoredCommit};
use rustdht_core::{CommitId, Entry, EntryId, Field, RecordId, Soul, Stamp, UNSIGNED};
use sea_orm::{DatabaseConnection, Value};

use crate::codec::{Columns, Decoder};
use crate::error::damaged;
use crate::sql::{self, FOUND_BY_RECORD, Row, all, all_in, id8, int_lists, int_rows, lists, one, signed, unsigned};

mod blobs;
mod damaged;
mod endorsements;
mod prefix;

pub(crate) use blobs::blob_references;
use damaged::Damaged;
pub(crate) use endorsements::{
    endorsed, endorsed_partition, endorsement, endorsements, endorsements_by_record, entries_of,
};
use prefix::{after_prefix, after_prefix_bytes};

/// The reading connections, and what was noticed on the way.
#[derive(Debug)]
pub(crate) struct Readers {
    pub(crate) db: DatabaseConnection,
    damaged: Damaged,
}

impl Readers {
    pub(crate) fn new(db: DatabaseConnection) -> Self {
        Self { db, damaged: Damaged::default() }
    }
}

/// An entry with what its commit says.
pub(crate) const ENTRY: &str = "SELECT e.no, e.soul, e.field, e.id, e.idx, e.stamp, e.data, c.id, c.author";

/// The entry in a row that begins with the columns of [`ENTRY`].
pub(crate) fn entry(decoder: &mut Decoder, row: &Row) -> Result<Entry, StoreError> {
    let columns = Columns {
        soul: row.text(1)?,
        field: row.text(2)?,
        id: row.id(3)?,
        index: u16::try_from(row.int(4)?).map_err(|_| damaged("an operation's index"))?,
        stamp: row.int(5)?.cast_unsigned(),
        commit: row.id(7)?,
        author: row.id(8)?,
    };
    decoder.entry(&columns, row.blob(6)?)
}

fn entries(readers: &Readers, mut decoder: Decoder, rows: &[Row]) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        entries.extend(readers.damaged.pass(Table::Entries, row.int(0)?, entry(&mut decoder, row)));
    }
    Ok(entries)
}

pub(crate) async fn load(readers: &Readers, souls: &[Soul]) -> Result<Vec<Entry>, StoreError> {
    // A soul asked for twice, in two lists, would be answered twice.
    let distinct: HashSet<&Soul> = souls.iter().collect();
    let sql = "FROM entries e JOIN commits c ON c.no = e.commit_no WHERE e.soul IN ({})";
    let keys = distinct.into_iter().map(|soul| [Value::from(soul.as_str())]).collect();
    let rows = all_in(&readers.db, &format!("{ENTRY} {sql}"), lists(keys)).await?;
    entries(readers, Decoder::knowing(souls), &rows)
}

pub(crate) async fn by_record(readers: &Readers, records: &[RecordId]) -> Result<Vec<Entry>, StoreError> {
    let keys: HashSet<i64> = records.iter().map(|record| id8(&record.0)).collect();
    let sql = "FROM found f CROSS JOIN entries e ON e.no = f.no JOIN commits c ON c.no = e.commit_no";
    let rows = all_in(&readers.db, &format!("{FOUND_BY_RECORD} {ENTRY} {sql}"), int_rows(keys)).await?;
    entries(readers, Decoder::default(), &rows)
}

pub(crate) async fn commits(readers: &Readers, ids: &[CommitId]) -> Result<Vec<StoredCommit>, StoreError> {
    let wanted: HashSet<[u8; 32]> = ids.iter().map(|id| id.0).collect();
    let keys: HashSet<i64> = wanted.iter().map(id8).collect();
    let sql = "SELECT no, id, header, signature, leaves, proofs FROM commits WHERE id8 IN ({})";
    let mut commits = Vec::with_capacity(ids.len());
    for row in all_in(&readers.db, sql, int_lists(keys)).await? {
        let found = readers.damaged.pass(Table::Commits, row.int(0)?, commit(&row));
        commits.extend(found.filter(|commit| wanted.contains(&commit.id.0)));
    }
    Ok(commits)
}

fn commit(row: &Row) -> Result<StoredCommit, StoreError> {
    let bytes = |column| Ok(row.blob(column)?.to_vec().into());
    Ok(StoredCommit {
        id: CommitId(row.id(1)?),
        header: bytes(2)?,
        signature: bytes(3)?,
        leaves: bytes(4)?,
        proofs: bytes(5)?,
    })
}

pub(crate) async fn index(readers: &Readers, after: i64, limit: u32) -> Result<(Vec<IndexRow>, i64), StoreError> {
    // Local souls, `_/` and what follows, are compared with nobody. Content has stamp 0 and stands last. A signed commit
    // may have stamp 0 too, so there its author decides.
    let sql = "SELECT no, id, partition, stamp, \
               CASE WHEN stamp = 0 THEN (SELECT c.author FROM commits c WHERE c.no = commit_no) END \
               FROM entries WHERE no > ? AND NOT (soul >= '_/' AND soul < '_0') ORDER BY no LIMIT ?";
    let (mut page, mut last) = (Vec::new(), after);
    // An empty page would end the index: one of damaged rows only is passed over.
    while page.is_empty() {
        let rows = all(&readers.db, sql, vec![last.into(), i64::from(limit).into()]).await?;
        let Some(row) = rows.last() else { break };
        last = row.int(0)?;
        for row in &rows {
            page.extend(readers.damaged.pass(Table::Entries, row.int(0)?, index_row(row)));
        }
    }
    Ok((page, last))
}

/// From number, id, partition, stamp and, where the stamp is 0, the commit's author.
pub(crate) fn index_row(row: &Row) -> Result<IndexRow, StoreError> {
    let stamp = Stamp(row.int(3)?.cast_unsigned());
    let content = stamp.0 == 0 && row.blob(4)? == UNSIGNED.0;
    Ok(IndexRow {
        id: EntryId(row.id(1)?),
        partition: row.partition(2)?,
        seconds: if content { u32::MAX } else { stamp.index_seconds() },
    })
}

pub(crate) async fn souls(
    readers: &Readers,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<Soul>, StoreError> {
    let (mut souls, mut after) = (Vec::new(), after.map(str::to_owned));
    // An empty page would end the list: one of damaged rows only is passed over.
    while souls.is_empty() {
        let rows = soul_rows(readers, prefix, after.as_deref(), limit).await?;
        let Some(Ok(last)) = rows.last().map(|row| row.text(0)) else { break };
        after = Some(last.to_owned());
        for row in &rows {
            let soul = row.text(0).and_then(|soul| soul.parse().map_err(|_| damaged("a soul")));
            souls.extend(readers.damaged.pass(Table::Entries, 0, soul));
        }
    }
    Ok(souls)
}

async fn soul_rows(readers: &Readers, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Row>, StoreError> {
    // A soul is never empty, so it is greater than "". The first step may be at `prefix` itself, later ones are behind
    // the last soul; each is one search in the index, however many entries a soul has.
    let (from, inclusive) = match after {
        Some(after) if after >= prefix => (after, ">"),
        _ => (prefix, ">="),
    };
    let end = after_prefix(prefix);
    let bound = if end.is_some() { "AND soul < ?" } else { "" };
    let sql = format!(
        "WITH RECURSIVE step (soul) AS (\
           SELECT (SELECT min(soul) FROM entries WHERE soul {inclusive} ? {bound}) \
           UNION ALL \
           SELECT (SELECT min(entries.soul) FROM entries WHERE entries.soul > step.soul {bound_in_step}) \
           FROM step WHERE step.soul IS NOT NULL) \
         SELECT soul FROM step WHERE soul IS NOT NULL LIMIT ?",
        bound_in_step = bound.replace("soul", "entries.soul"),
    );
    let end = end.map(Value::from);
    let values = [Some(Value::from(from)), end.clone(), end, Some(Value::from(i64::from(limit)))];
    all(&readers.db, &sql, values.into_iter().flatten().collect()).await
}

pub(crate) async fn history(
    readers: &Readers,
    soul: &Soul,
    field: &Field,
    before: Option<i64>,
    limit: u32,
) -> Result<HistoryPage, StoreError> {
    let sql =
        "SELECT id, lost_ms, data, no FROM history WHERE soul = ? AND field = ? AND no < ? ORDER BY no DESC LIMIT ?";
    let before = before.unwrap_or(i64::MAX);
    // One more than asked for tells whether there is a next page.
    let values = vec![soul.as_str().into(), field.as_str().into(), before.into(), (i64::from(limit) + 1).into()];
    let mut decoder = Decoder::default();
    let mut rows = all(&readers.db, sql, values).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = if more { rows.last().map(|row| row.int(3)).transpose()? } else { None };
    let mut losers = Vec::with_capacity(rows.len());
    for row in &rows {
        let loser = (|| {
            let entry = decoder.loser(row.id(0)?, soul, field, row.blob(2)?)?;
            Ok(Loser { entry: entry.into(), lost_ms: unsigned(row.int(1)?) })
        })();
        losers.extend(readers.damaged.pass(Table::History, row.int(3)?, loser));
    }
    Ok(HistoryPage { losers, next })
}

pub(crate) async fn in_history(readers: &Readers, ids: &[EntryId]) -> Result<Vec<EntryId>, StoreError> {
    let mut wanted: HashSet<[u8; 32]> = ids.iter().map(|id| id.0).collect();
    let keys: HashSet<i64> = wanted.iter().map(id8).collect();
    let mut found = Vec::new();
    for row in all_in(&readers.db, "SELECT no, id FROM history WHERE id8 IN ({})", int_lists(keys)).await? {
        let id = readers.damaged.pass(Table::History, row.int(0)?, row.id(1));
        found.extend(id.and_then(|id| wanted.take(&id)).map(EntryId));
    }
    Ok(found)
}

pub(crate) async fn feed(readers: &Readers, after: u64, limit: u32) -> Result<FeedPage, StoreError> {
    let sql = "SELECT number, ms, changes FROM feed WHERE number > ? ORDER BY number LIMIT ?";
    let rows = all(&readers.db, sql, vec![signed(after).into(), i64::from(limit).into()]).await?;
    let mut decoder = Decoder::default();
    let mut page: Vec<FeedRow> = Vec::with_capacity(rows.len());
    for row in &rows {
        let number = unsigned(row.int(0)?);
        let changes = row.blob(2).and_then(|data| decoder.changes(data));
        let Some(changes) = readers.damaged.pass(Table::Feed, signed(number), changes) else { continue };
        page.push(FeedRow { number, ms: unsigned(row.int(1)?), changes });
    }
    // The newest row is never removed, so an empty feed is one that never had a row. Rows removed between the two
    // queries were read by the first one: nothing is lost.
    let oldest = unsigned(one(&readers.db, "SELECT coalesce(min(number), 1) FROM feed", vec![]).await?.int(0)?);
    let oldest = page.first().map_or(oldest, |row| oldest.min(row.number));
    Ok(FeedPage { rows: page, oldest })
}

pub(crate) async fn last_feed(readers: &Readers) -> Result<u64, StoreError> {
    Ok(unsigned(one(&readers.db, "SELECT coalesce(max(number), 0) FROM feed", vec![]).await?.int(0)?))
}

pub(crate) async fn side_get(readers: &Readers, ns: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let rows =
        all(&readers.db, "SELECT value FROM side WHERE ns = ? AND key = ?", vec![ns.into(), key.to_vec().into()])
            .await?;
    rows.first().map(|row| Ok(row.blob(0)?.to_vec())).transpose()
}

pub(crate) async fn side_page(
    readers: &Readers,
    ns: &'static str,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: u32,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
    let (from, inclusive) = match after {
        Some(after) if after >= prefix => (after, ">"),
        _ => (prefix, ">="),
    };
    let mut values = vec![Value::from(ns), from.to_vec().into()];
    let end = after_prefix_bytes(prefix);
    let bound = if end.is_some() { "AND key < ?" } else { "" };
    values.extend(end.map(Value::from));
    values.push(i64::from(limit).into());
    let sql = format!("SELECT key, value FROM side WHERE ns = ? AND key {inclusive} ? {bound} ORDER BY key LIMIT ?");
    let rows = all(&readers.db, &sql, values).await?;
    rows.iter().map(|row| Ok((row.blob(0)?.to_vec(), row.blob(1)?.to_vec()))).collect()
}

/// From the index of keys alone.
pub(crate) async fn side_count(readers: &Readers, ns: &'static str, from: &[u8], to: &[u8]) -> Result<u64, StoreError> {
    let values = vec![Value::from(ns), from.to_vec().into(), to.to_vec().into()];
    let row = one(&readers.db, "SELECT count(*) FROM side WHERE ns = ? AND key >= ? AND key < ?", values).await?;
    Ok(unsigned(row.int(0)?))
}

/// Rows of entries and of commits.
pub(crate) async fn counts(readers: &Readers) -> Result<(u64, u64), StoreError> {
    // Every entry and every endorsement has one row in one of the two tables of records, which are small to count.
    let sql = "SELECT (SELECT count(*) FROM records) + (SELECT count(*) FROM records_new) \
               - (SELECT count(*) FROM endorsements), (SELECT count(*) FROM commits)";
    let row = one(&readers.db, sql, vec![]).await?;
    Ok((unsigned(row.int(0)?), unsigned(row.int(1)?)))
}

pub(crate) async fn ping(readers: &Readers) -> Result<(), StoreError> {
    sql::one(&readers.db, "SELECT number FROM (SELECT 1 AS number)", vec![]).await.map(|_| ())
}
