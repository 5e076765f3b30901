//! Endorsements, and what belongs to a commit.

use std::collections::HashSet;

use rustdht_core::ports::{EndorsedPartition, Endorsement, StoreError, Table};
use rustdht_core::{CertificateId, CommitId, Entry, RecordId, Stamp};
use sea_orm::Value;

use super::{ENTRY, Readers, entries};
use crate::codec::Decoder;
use crate::error::damaged;
use crate::sql::{FOUND_BY_RECORD, Row, all, all_in, id8, int_lists, int_rows};

/// An endorsement with the id of its commit.
const ENDORSEMENT: &str = "SELECT n.no, c.id, n.certificate, n.signature, n.record";

pub(crate) fn endorsement(row: &Row) -> Result<Endorsement, StoreError> {
    Ok(Endorsement {
        commit: CommitId(row.id(1)?),
        certificate: CertificateId(row.id(2)?),
        signature: row.blob(3)?.try_into().map_err(|_| damaged("a signature that is not 64 bytes"))?,
        record: RecordId(row.id(4)?),
    })
}

fn collect(readers: &Readers, rows: &[Row]) -> Result<Vec<Endorsement>, StoreError> {
    let mut endorsements = Vec::with_capacity(rows.len());
    for row in rows {
        endorsements.extend(readers.damaged.pass(Table::Endorsements, row.int(0)?, endorsement(row)));
    }
    Ok(endorsements)
}

pub(crate) async fn endorsements_by_record(
    readers: &Readers,
    records: &[RecordId],
) -> Result<Vec<Endorsement>, StoreError> {
    let keys: HashSet<i64> = records.iter().map(|record| id8(&record.0)).collect();
    let sql = "FROM found f CROSS JOIN endorsements n ON n.no = -f.no JOIN commits c ON c.no = n.commit_no";
    let rows = all_in(&readers.db, &format!("{FOUND_BY_RECORD} {ENDORSEMENT} {sql}"), int_rows(keys)).await?;
    collect(readers, &rows)
}

pub(crate) async fn endorsements(readers: &Readers, commits: &[CommitId]) -> Result<Vec<Endorsement>, StoreError> {
    let wanted: HashSet<CommitId> = commits.iter().copied().collect();
    let keys: HashSet<i64> = wanted.iter().map(|commit| id8(&commit.0)).collect();
    let sql = "FROM commits c CROSS JOIN endorsements n ON n.commit_no = c.no WHERE c.id8 IN ({})";
    let rows = all_in(&readers.db, &format!("{ENDORSEMENT} {sql}"), int_lists(keys)).await?;
    let mut endorsements = collect(readers, &rows)?;
    endorsements.retain(|endorsement| wanted.contains(&endorsement.commit));
    Ok(endorsements)
}

/// Whole endorsements: a page ends behind all partitions of its last one.
pub(crate) async fn endorsed(
    readers: &Readers,
    after: i64,
    limit: u32,
) -> Result<(Vec<EndorsedPartition>, i64), StoreError> {
    let sql = "SELECT n.no, n.record, e.partition, min(e.stamp) \
               FROM endorsements n CROSS JOIN entries e ON e.commit_no = n.commit_no \
               WHERE n.no > ? AND n.no <= coalesce((\
                 SELECT s.no FROM endorsements s CROSS JOIN entries f ON f.commit_no = s.commit_no WHERE s.no > ? \
                 ORDER BY s.no LIMIT 1 OFFSET ?), ?) \
               GROUP BY n.no, e.partition ORDER BY n.no, e.partition";
    // The bound counts entries, which are at least as many as their partitions.
    let offset = i64::from(limit.max(1)) - 1;
    let (mut page, mut last) = (Vec::new(), after);
    // An empty page would end the list: one of damaged rows only is passed over.
    while page.is_empty() {
        let values = vec![last.into(), last.into(), offset.into(), Value::from(i64::MAX)];
        let rows = all(&readers.db, sql, values).await?;
        let Some(row) = rows.last() else { break };
        last = row.int(0)?;
        for row in &rows {
            page.extend(readers.damaged.pass(Table::Endorsements, row.int(0)?, endorsed_partition(row)));
        }
    }
    Ok((page, last))
}

/// From number, record, partition and stamp.
pub(crate) fn endorsed_partition(row: &Row) -> Result<EndorsedPartition, StoreError> {
    Ok(EndorsedPartition {
        record: RecordId(row.id(1)?),
        partition: row.partition(2)?,
        stamp: Stamp(row.int(3)?.cast_unsigned()),
    })
}

pub(crate) async fn entries_of(readers: &Readers, commit: CommitId, limit: u32) -> Result<Vec<Entry>, StoreError> {
    let sql = "FROM commits c CROSS JOIN entries e ON e.commit_no = c.no WHERE c.id8 = ? AND c.id = ? LIMIT ?";
    let values = vec![id8(&commit.0).into(), commit.0.to_vec().into(), i64::from(limit).into()];
    let rows = all(&readers.db, &format!("{ENTRY} {sql}"), values).await?;
    entries(readers, Decoder::default(), &rows)
}
