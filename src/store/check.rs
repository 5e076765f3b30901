//! Looking for rows that cannot be used. The same look serves a check, page by page on a reading connection, and a
//! repair, row by row inside its transaction.

use std::collections::{HashMap, HashSet};

use rustdht_core::ports::{CheckCursor, CheckPage, Damage, Fault, StoreError, Table};
use rustdht_core::{CommitId, EntryId, UNSIGNED, partition_of};
use sea_orm::{ConnectionTrait, Value};

use crate::codec::Decoder;
use crate::error::damaged;
use crate::read::{ENTRY, endorsement, entry};
use crate::sql::{FOUND_BY_RECORD, Row, all, all_in, id8, int_rows};

/// Most rows of one page, whatever was asked for: a page is held in memory.
const MAX_ROWS: u32 = 8192;

/// The next page. Tables follow one another; a page never spans two.
pub(crate) async fn page<C: ConnectionTrait>(db: &C, after: CheckCursor, limit: u32) -> Result<CheckPage, StoreError> {
    let limit = limit.clamp(1, MAX_ROWS);
    let rows = rows(db, after, limit).await?;
    let next = match rows.last() {
        Some(last) if rows.len() == limit as usize => Some(CheckCursor { table: after.table, row: last.int(0)? }),
        // Numbers of records may be negative.
        _ => {
            Table::ALL.into_iter().find(|table| *table > after.table).map(|table| CheckCursor { table, row: i64::MIN })
        }
    };
    Ok(CheckPage { rows: rows.len() as u64, faults: faults(db, after.table, &rows).await?, next })
}

/// What is wrong with one row now, if it is there and anything is.
pub(crate) async fn fault<C: ConnectionTrait>(db: &C, table: Table, row: i64) -> Result<Option<Fault>, StoreError> {
    let found = rows(db, CheckCursor { table, row: row.saturating_sub(1) }, 1).await?;
    Ok(faults(db, table, &found).await?.into_iter().find(|fault| fault.row == row))
}

/// Rows of a table, each with its number in front; that of a record id is its first eight bytes.
async fn rows<C: ConnectionTrait>(db: &C, after: CheckCursor, limit: u32) -> Result<Vec<Row>, StoreError> {
    let (from, limit) = (Value::from(after.row), Value::from(i64::from(limit)));
    let sql = match after.table {
        Table::Commits => {
            "SELECT c.no, c.id8, c.id, c.author, c.live, c.header, c.signature, c.leaves, c.proofs, \
             (SELECT count(*) FROM entries e WHERE e.commit_no = c.no) FROM commits c \
             WHERE c.no > ? ORDER BY c.no LIMIT ?"
        }
        Table::Entries => &format!(
            "{ENTRY}, e.partition, \
             EXISTS (SELECT 1 FROM records r WHERE r.record8 = e.record8 AND r.no = e.no) \
             OR EXISTS (SELECT 1 FROM records_new r WHERE r.record8 = e.record8 AND r.no = e.no) \
             FROM entries e LEFT JOIN commits c ON c.no = e.commit_no WHERE e.no > ? ORDER BY e.no LIMIT ?"
        ),
        // Cut before it is joined, so that each page is two searches and not two scans.
        Table::Records => {
            let sql = "SELECT r.record8, e.no, n.record FROM (\
                         SELECT record8, no FROM records WHERE record8 > ? UNION ALL \
                         SELECT record8, no FROM records_new WHERE record8 > ? ORDER BY record8 LIMIT ?) r \
                       LEFT JOIN entries e ON e.no = r.no AND e.record8 = r.record8 \
                       LEFT JOIN endorsements n ON n.no = -r.no";
            return all(db, sql, vec![from.clone(), from, limit]).await;
        }
        Table::Endorsements => {
            "SELECT n.no, c.id, n.certificate, n.signature, n.record \
             FROM endorsements n LEFT JOIN commits c ON c.no = n.commit_no WHERE n.no > ? ORDER BY n.no LIMIT ?"
        }
        Table::History => {
            "SELECT no, soul, field, id, lost_ms, data, id8 FROM history WHERE no > ? ORDER BY no LIMIT ?"
        }
        Table::Feed => "SELECT number, changes FROM feed WHERE number > ? ORDER BY number LIMIT ?",
    };
    all(db, sql, vec![from, limit]).await
}

async fn faults<C: ConnectionTrait>(db: &C, table: Table, rows: &[Row]) -> Result<Vec<Fault>, StoreError> {
    let mut decoder = Decoder::default();
    let mut faults = Vec::new();
    for row in rows {
        let damage = match table {
            Table::Commits => commit(row),
            Table::Entries => entry_row(&mut decoder, row),
            Table::Records => record(row),
            Table::Endorsements => endorsement_row(row),
            Table::History => history(&mut decoder, row),
            Table::Feed => row.blob(1).and_then(|data| decoder.changes(data)).err().map(unreadable),
        };
        let soul = match table {
            Table::Entries | Table::History => row.text(1).ok().and_then(|soul| soul.parse().ok()),
            _ => None,
        };
        faults.extend(damage.map(|damage| (row, soul, damage)));
    }
    let mut faults: Vec<Fault> = faults
        .into_iter()
        .map(|(row, soul, damage)| Ok(Fault { table, row: row.int(0)?, soul, damage }))
        .collect::<Result<_, StoreError>>()?;
    if table == Table::Endorsements {
        faults.extend(unfindable_endorsements(db, rows).await?);
    }
    Ok(faults)
}

fn unreadable(error: StoreError) -> Damage {
    Damage::Unreadable(match error {
        StoreError::Failed(why) => why,
        closed @ StoreError::Closed => closed.to_string(),
    })
}

/// A commit's row with the number of its entries behind it.
fn commit(row: &Row) -> Option<Damage> {
    let read = || {
        let (id, author, header, signature) = (row.id(2)?, row.id(3)?, row.blob(5)?, row.blob(6)?);
        let (leaves, _proofs) = (row.blob(7)?, row.blob(8)?);
        let signed = signature.len() == if author == UNSIGNED.0 { 0 } else { 64 };
        let genuine = CommitId::of(header).0 == id && signed && leaves.len().is_multiple_of(32);
        Ok((genuine, row.int(1)? == id8(&id), row.int(4)?, row.int(9)?))
    };
    match read() {
        Err(error) => Some(unreadable(error)),
        Ok((false, ..)) => Some(Damage::CommitForged),
        Ok((_, false, ..)) => Some(Damage::Unfindable),
        Ok((.., counted, stored)) => (counted != stored).then_some(Damage::Count { counted, stored }),
    }
}

/// An entry, its partition, and whether it is found by its record.
fn entry_row(decoder: &mut Decoder, row: &Row) -> Option<Damage> {
    if row.is_null(7) {
        return Some(Damage::CommitMissing);
    }
    let mut read = || {
        let entry = entry(decoder, row)?;
        if EntryId::of(&entry.commit, entry.index) != entry.id {
            return Err(damaged("the id of another operation"));
        }
        Ok(row.partition(9)? == partition_of(&entry.soul) && row.int(10)? != 0)
    };
    match read() {
        Err(error) => Some(unreadable(error)),
        Ok(found) => (!found).then_some(Damage::Unfindable),
    }
}

/// The first bytes of a record, the number of its entry, and the record of its endorsement.
fn record(row: &Row) -> Option<Damage> {
    let of_endorsement = || row.id(2).is_ok_and(|record| row.int(0).is_ok_and(|record8| id8(&record) == record8));
    (row.is_null(1) && !of_endorsement()).then_some(Damage::Dangling)
}

fn endorsement_row(row: &Row) -> Option<Damage> {
    if row.is_null(1) {
        return Some(Damage::CommitMissing);
    }
    endorsement(row).err().map(unreadable)
}

fn history(decoder: &mut Decoder, row: &Row) -> Option<Damage> {
    let mut read = || {
        let entry = decoder.loser(row.id(3)?, row.text(1)?, row.text(2)?, row.blob(5)?)?;
        if EntryId::of(&entry.commit, entry.index) != entry.id {
            return Err(damaged("the id of another operation"));
        }
        row.int(4)?;
        Ok(row.int(6)? == id8(&entry.id.0))
    };
    match read() {
        Err(error) => Some(unreadable(error)),
        Ok(found) => (!found).then_some(Damage::Unfindable),
    }
}

/// The index holds eight bytes of what the row holds whole, so it is searched with what was read.
async fn unfindable_endorsements<C: ConnectionTrait>(db: &C, rows: &[Row]) -> Result<Vec<Fault>, StoreError> {
    let mut wanted: HashMap<i64, i64> = HashMap::new();
    for row in rows.iter().filter(|row| endorsement_row(row).is_none()) {
        wanted.insert(row.int(0)?, id8(&row.id(4)?));
    }
    let sql = format!("{FOUND_BY_RECORD} SELECT f.no FROM found f WHERE f.no < 0");
    for row in all_in(db, &sql, int_rows(wanted.values().copied().collect::<HashSet<i64>>())).await? {
        wanted.remove(&-row.int(0)?);
    }
    let fault = |row| Fault { table: Table::Endorsements, row, soul: None, damage: Damage::Unfindable };
    let mut faults: Vec<Fault> = wanted.into_keys().map(fault).collect();
    faults.sort_unstable_by_key(|fault| fault.row);
    Ok(faults)
}
