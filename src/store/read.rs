//! Queries of the reading connections. Each sees what was durable when it began.

use std::collections::HashSet;

use rustdht_core::ports::{FeedPage, FeedRow, IndexRow, Loser, StoreError, StoredCommit};
use rustdht_core::{CommitId, Entry, EntryId, Field, RecordId, Soul, Stamp};
use sea_orm::{DatabaseConnection, Value};

use crate::codec::{Columns, Decoder};
use crate::error::damaged;
use crate::sql::{self, FOUND_BY_RECORD, Row, all, all_in, id8, int_lists, int_rows, lists, one, signed, unsigned};

mod prefix;

use prefix::{after_prefix, after_prefix_bytes};

/// An entry with what its commit says.
const ENTRY: &str = "SELECT e.soul, e.field, e.id, e.idx, e.stamp, e.data, c.id, c.author";

fn entry(decoder: &mut Decoder, row: &Row) -> Result<Entry, StoreError> {
    let columns = Columns {
        soul: row.text(0)?,
        field: row.text(1)?,
        id: row.id(2)?,
        index: u16::try_from(row.int(3)?).map_err(|_| damaged("an operation's index"))?,
        stamp: row.int(4)?.cast_unsigned(),
        commit: row.id(6)?,
        author: row.id(7)?,
    };
    decoder.entry(&columns, row.blob(5)?)
}

pub(crate) async fn load(db: &DatabaseConnection, souls: &[Soul]) -> Result<Vec<Entry>, StoreError> {
    // A soul asked for twice, in two lists, would be answered twice.
    let distinct: HashSet<&Soul> = souls.iter().collect();
    let sql = "FROM entries e JOIN commits c ON c.no = e.commit_no WHERE e.soul IN ({})";
    let keys = distinct.into_iter().map(|soul| [Value::from(soul.as_str())]).collect();
    let rows = all_in(db, &format!("{ENTRY} {sql}"), lists(keys)).await?;
    let mut decoder = Decoder::knowing(souls);
    rows.iter().map(|row| entry(&mut decoder, row)).collect()
}

pub(crate) async fn by_record(db: &DatabaseConnection, records: &[RecordId]) -> Result<Vec<Entry>, StoreError> {
    let keys: HashSet<i64> = records.iter().map(|record| id8(&record.0)).collect();
    let sql = "FROM found f CROSS JOIN entries e ON e.no = f.no JOIN commits c ON c.no = e.commit_no";
    let rows = all_in(db, &format!("{FOUND_BY_RECORD} {ENTRY} {sql}"), int_rows(keys)).await?;
    let mut decoder = Decoder::default();
    rows.iter().map(|row| entry(&mut decoder, row)).collect()
}

pub(crate) async fn commits(db: &DatabaseConnection, ids: &[CommitId]) -> Result<Vec<StoredCommit>, StoreError> {
    let wanted: HashSet<[u8; 32]> = ids.iter().map(|id| id.0).collect();
    let keys: HashSet<i64> = wanted.iter().map(id8).collect();
    let sql = "SELECT id, header, signature, leaves, proofs FROM commits WHERE id8 IN ({})";
    let mut commits = Vec::with_capacity(ids.len());
    for row in all_in(db, sql, int_lists(keys)).await? {
        let id = row.id(0)?;
        if wanted.contains(&id) {
            commits.push(StoredCommit {
                id: CommitId(id),
                header: row.blob(1)?.to_vec().into(),
                signature: row.blob(2)?.to_vec().into(),
                leaves: row.blob(3)?.to_vec().into(),
                proofs: row.blob(4)?.to_vec().into(),
            });
        }
    }
    Ok(commits)
}

pub(crate) async fn index(db: &DatabaseConnection, after: i64, limit: u32) -> Result<(Vec<IndexRow>, i64), StoreError> {
    let sql = "SELECT no, id, partition, stamp FROM entries WHERE no > ? ORDER BY no LIMIT ?";
    let rows = all(db, sql, vec![after.into(), i64::from(limit).into()]).await?;
    let last = rows.last().map_or(Ok(after), |row| row.int(0))?;
    let page = rows.iter().map(|row| {
        Ok(IndexRow {
            id: EntryId(row.id(1)?),
            partition: u16::try_from(row.int(2)?).map_err(|_| damaged("a partition"))?,
            stamp: Stamp(row.int(3)?.cast_unsigned()),
        })
    });
    Ok((page.collect::<Result<_, _>>()?, last))
}

pub(crate) async fn souls(
    db: &DatabaseConnection,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<Soul>, StoreError> {
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
    let rows = all(db, &sql, values.into_iter().flatten().collect()).await?;
    rows.iter().map(|row| row.text(0)?.parse().map_err(|_| damaged("a soul"))).collect()
}

pub(crate) async fn history(
    db: &DatabaseConnection,
    soul: &Soul,
    field: &Field,
    limit: u32,
) -> Result<Vec<Loser>, StoreError> {
    let sql = "SELECT id, lost_ms, data FROM history WHERE soul = ? AND field = ? ORDER BY no DESC LIMIT ?";
    let values = vec![soul.as_str().into(), field.as_str().into(), i64::from(limit).into()];
    let mut decoder = Decoder::default();
    let rows = all(db, sql, values).await?;
    let losers = rows.iter().map(|row| {
        let entry = decoder.loser(row.id(0)?, soul, field, row.blob(2)?)?;
        Ok(Loser { entry: entry.into(), lost_ms: unsigned(row.int(1)?) })
    });
    losers.collect()
}

pub(crate) async fn in_history(db: &DatabaseConnection, ids: &[EntryId]) -> Result<Vec<EntryId>, StoreError> {
    let mut wanted: HashSet<[u8; 32]> = ids.iter().map(|id| id.0).collect();
    let keys: HashSet<i64> = wanted.iter().map(id8).collect();
    let mut found = Vec::new();
    for row in all_in(db, "SELECT id FROM history WHERE id8 IN ({})", int_lists(keys)).await? {
        found.extend(wanted.take(&row.id(0)?).map(EntryId));
    }
    Ok(found)
}

pub(crate) async fn feed(db: &DatabaseConnection, after: u64, limit: u32) -> Result<FeedPage, StoreError> {
    let sql = "SELECT number, ms, changes FROM feed WHERE number > ? ORDER BY number LIMIT ?";
    let rows = all(db, sql, vec![signed(after).into(), i64::from(limit).into()]).await?;
    let mut decoder = Decoder::default();
    let rows = rows.iter().map(|row| {
        let changes = decoder.changes(row.blob(2)?)?;
        Ok(FeedRow { number: unsigned(row.int(0)?), ms: unsigned(row.int(1)?), changes })
    });
    let rows: Vec<FeedRow> = rows.collect::<Result<_, StoreError>>()?;
    // The newest row is never removed, so an empty feed is one that never had a row. Rows removed between the two
    // queries were read by the first one: nothing is lost.
    let oldest = unsigned(one(db, "SELECT coalesce(min(number), 1) FROM feed", vec![]).await?.int(0)?);
    let oldest = rows.first().map_or(oldest, |row| oldest.min(row.number));
    Ok(FeedPage { rows, oldest })
}

pub(crate) async fn last_feed(db: &DatabaseConnection) -> Result<u64, StoreError> {
    Ok(unsigned(one(db, "SELECT coalesce(max(number), 0) FROM feed", vec![]).await?.int(0)?))
}

pub(crate) async fn side_get(
    db: &DatabaseConnection,
    ns: &'static str,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    let rows = all(db, "SELECT value FROM side WHERE ns = ? AND key = ?", vec![ns.into(), key.to_vec().into()]).await?;
    rows.first().map(|row| Ok(row.blob(0)?.to_vec())).transpose()
}

pub(crate) async fn side_scan(
    db: &DatabaseConnection,
    ns: &'static str,
    prefix: &[u8],
    limit: u32,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
    let mut values = vec![Value::from(ns), prefix.to_vec().into()];
    let end = after_prefix_bytes(prefix);
    let bound = if end.is_some() { "AND key < ?" } else { "" };
    values.extend(end.map(Value::from));
    values.push(i64::from(limit).into());
    let sql = format!("SELECT key, value FROM side WHERE ns = ? AND key >= ? {bound} ORDER BY key LIMIT ?");
    let rows = all(db, &sql, values).await?;
    rows.iter().map(|row| Ok((row.blob(0)?.to_vec(), row.blob(1)?.to_vec()))).collect()
}

/// Rows of entries and of commits.
pub(crate) async fn counts(db: &DatabaseConnection) -> Result<(u64, u64), StoreError> {
    // Every entry has one row in one of the two tables of records, which are the smallest to count.
    let sql = "SELECT (SELECT count(*) FROM records) + (SELECT count(*) FROM records_new), \
               (SELECT count(*) FROM commits)";
    let row = one(db, sql, vec![]).await?;
    Ok((unsigned(row.int(0)?), unsigned(row.int(1)?)))
}

pub(crate) async fn ping(db: &DatabaseConnection) -> Result<(), StoreError> {
    sql::one(db, "SELECT number FROM (SELECT 1 AS number)", vec![]).await.map(|_| ())
}
