//! Which blobs stored entries name.

use rustdht_core::ports::{BlobPage, BlobReference, StoreError, Table};
use rustdht_core::{Soul, Value};

use super::Readers;
use crate::codec::decode_value;
use crate::error::damaged;
use crate::sql::{Row, all, one};

/// Most entries of one page, whatever was asked for: their blobs are held in memory.
const MAX_ROWS: u32 = 65_536;

/// A page of numbers, not of hits. No index: SQLite looks for the two beginnings in the bytes of every row, tag 42 of
/// DAG-CBOR for a blob and `{"enc":` for ciphertext; what only looks like one is decoded and passed over. A million
/// entries take half a second on two cores (`store_bench`).
pub(crate) async fn blob_references(readers: &Readers, after: i64, rows: u32) -> Result<BlobPage, StoreError> {
    // Numbers have gaps, where entries were dropped.
    let least = one(&readers.db, "SELECT min(no) FROM entries WHERE no > ?", vec![after.into()]).await?;
    if least.is_null(0) {
        return Ok(BlobPage::default());
    }
    let last = least.int(0)?.saturating_add(i64::from(rows.clamp(1, MAX_ROWS)) - 1);
    let sql = "SELECT no, soul, data FROM entries WHERE no > ? AND no <= ? \
               AND (instr(data, x'D82A') OR instr(data, x'A163656E63')) ORDER BY no";
    let found = all(&readers.db, sql, vec![after.into(), last.into()]).await?;
    let mut references = Vec::with_capacity(found.len());
    for row in &found {
        references.extend(readers.damaged.pass(Table::Entries, row.int(0)?, reference(row)).flatten());
    }
    Ok(BlobPage { references, next: Some(last) })
}

fn reference(row: &Row) -> Result<Option<BlobReference>, StoreError> {
    Ok(match decode_value(row.blob(2)?)? {
        Some(Value::Blob(cid)) => Some(BlobReference::Blob(cid)),
        Some(Value::Enc(_)) => {
            let soul: Soul = row.text(1)?.parse().map_err(|_| damaged("a soul"))?;
            Some(BlobReference::Sealed(soul))
        }
        _ => None,
    })
}
