//! Statements of a few fixed shapes, so that each connection prepares them once.
//!
//! Placeholders are anonymous: SQLite finds the name of a numbered one by a linear search, which makes binding a
//! thousand of them a million steps.

use std::collections::BTreeMap;

use rustdht_core::cbor;
use rustdht_core::ports::StoreError;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value, sqlx};

use crate::error::{damaged, failed};

/// Most rows in one INSERT.
const MAX_INSERT_ROWS: usize = 128;
/// Most elements in one IN list.
pub(crate) const MAX_LIST: usize = 1024;

/// The first eight bytes of an id as a big-endian i64: what the indices hold.
pub(crate) fn id8(id: &[u8; 32]) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = *id;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// A u64 as the i64 that SQL has. Milliseconds and feed numbers never reach 2^63.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The way back of [`signed`].
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn statement(sql: String, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

/// Runs one statement.
pub(crate) async fn run<C: ConnectionTrait>(db: &C, sql: &str, values: Vec<Value>) -> Result<u64, StoreError> {
    let done = db.execute_raw(statement(sql.to_owned(), values)).await.map_err(|err| failed(&err))?;
    Ok(done.rows_affected())
}

/// All rows of one query.
pub(crate) async fn all<C: ConnectionTrait>(db: &C, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
    let rows = db.query_all_raw(statement(sql.to_owned(), values)).await.map_err(|err| failed(&err))?;
    Ok(rows.into_iter().map(Row).collect())
}

/// The first row of a query that always has one.
pub(crate) async fn one<C: ConnectionTrait>(db: &C, sql: &str, values: Vec<Value>) -> Result<Row, StoreError> {
    let row = db.query_one_raw(statement(sql.to_owned(), values)).await.map_err(|err| failed(&err))?;
    row.map(Row).ok_or_else(|| damaged("a count without a row"))
}

/// `head` VALUES (?, ...), ... `tail`, in statements whose numbers of rows are powers of two.
pub(crate) async fn insert<C: ConnectionTrait>(
    db: &C,
    head: &str,
    columns: usize,
    tail: &str,
    mut values: impl Iterator<Item = Value>,
    rows: usize,
) -> Result<(), StoreError> {
    let row = format!("({}?)", "?,".repeat(columns - 1));
    let mut left = rows;
    while left > 0 {
        let rows = (1 << left.ilog2()).min(MAX_INSERT_ROWS);
        let sql = format!("{head} VALUES {}{row} {tail}", format!("{row},").repeat(rows - 1));
        let bound: Vec<Value> = values.by_ref().take(rows * columns).collect();
        db.execute_raw(statement(sql, bound)).await.map_err(|err| failed(&err))?;
        left -= rows;
    }
    Ok(())
}

/// A list of `N` placeholders per key, padded to a power of two by repeating the last key, with its values behind the
/// statement's other values. For sets only: a repeated key must not matter.
pub(crate) struct List {
    /// `?,?,...` or `(?,?),(?,?),...`.
    pub(crate) marks: String,
    /// The values of the marks.
    pub(crate) values: Vec<Value>,
}

/// Cuts `keys` into lists of at most [`MAX_LIST`].
pub(crate) fn lists<const N: usize>(keys: Vec<[Value; N]>) -> Vec<List> {
    let mark = if N == 1 { "?".to_owned() } else { format!("({}?)", "?,".repeat(N - 1)) };
    let mut keys = keys.into_iter().peekable();
    let mut lists = Vec::new();
    while keys.peek().is_some() {
        let mut chunk: Vec<[Value; N]> = keys.by_ref().take(MAX_LIST).collect();
        let padded = chunk.len().next_power_of_two();
        if let Some(last) = chunk.last().cloned() {
            chunk.resize(padded, last);
        }
        let marks = format!("{}{mark}", format!("{mark},").repeat(padded - 1));
        lists.push(List { marks, values: chunk.into_iter().flatten().collect() });
    }
    lists
}

/// Lists of integers as rows, `(?),(?),...`.
pub(crate) fn int_rows(keys: impl IntoIterator<Item = i64>) -> Vec<List> {
    let lists = int_lists(keys).into_iter();
    lists.map(|list| List { marks: list.marks.replace('?', "(?)"), ..list }).collect()
}

/// Numbers of the entries whose record begins with one of the listed eight bytes, out of both generations of the index,
/// to be put before a SELECT. Padding is harmless: UNION removes repeats.
pub(crate) const FOUND_BY_RECORD: &str = "WITH wanted (record8) AS (VALUES {}), found (no) AS (\
     SELECT r.no FROM wanted w CROSS JOIN records_new r WHERE r.record8 = w.record8 UNION \
     SELECT r.no FROM wanted w CROSS JOIN records r WHERE r.record8 = w.record8)";

/// `head` WHERE ns = ... AND key IN (...), once for each namespace and list.
pub(crate) fn by_namespace<'a>(
    head: &str,
    keys: impl Iterator<Item = (&'static str, &'a [u8])>,
) -> Vec<(String, Vec<Value>)> {
    let mut namespaces: BTreeMap<&'static str, Vec<[Value; 1]>> = BTreeMap::new();
    for (ns, key) in keys {
        namespaces.entry(ns).or_default().push([Value::from(key.to_vec())]);
    }
    let statements = namespaces.into_iter().flat_map(|(ns, keys)| {
        lists(keys).into_iter().map(move |list| {
            let values = std::iter::once(Value::from(ns)).chain(list.values).collect();
            (format!("{head} WHERE ns = ? AND key IN ({})", list.marks), values)
        })
    });
    statements.collect()
}

/// Lists of integers.
pub(crate) fn int_lists(keys: impl IntoIterator<Item = i64>) -> Vec<List> {
    lists(keys.into_iter().map(|key| [Value::from(key)]).collect())
}

/// Rows of `sql`, a `{}` in which stands for a list, over all of `lists`.
pub(crate) async fn all_in<C: ConnectionTrait>(
    db: &C,
    sql: &str,
    lists: impl IntoIterator<Item = List>,
) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    for list in lists {
        let found = all(db, &sql.replace("{}", &list.marks), list.values).await?;
        if rows.is_empty() { rows = found } else { rows.extend(found) }
    }
    Ok(rows)
}

/// Runs `sql`, a `{}` in which stands for a list, for each of `lists`.
pub(crate) async fn run_in<C: ConnectionTrait>(
    db: &C,
    sql: &str,
    lists: impl IntoIterator<Item = List>,
) -> Result<(), StoreError> {
    for list in lists {
        run(db, &sql.replace("{}", &list.marks), list.values).await?;
    }
    Ok(())
}

/// A row whose columns are read by position and borrowed.
pub(crate) struct Row(QueryResult);

impl Row {
    fn get<'r, T>(&'r self, column: usize) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        use sqlx::Row as _;
        let row = self.0.try_as_sqlite_row().ok_or_else(|| damaged("a row of another database"))?;
        row.try_get(column).map_err(|_| damaged("a column of another type"))
    }

    pub(crate) fn is_null(&self, column: usize) -> bool {
        use sqlx::{Row as _, ValueRef as _};
        let row = self.0.try_as_sqlite_row();
        row.and_then(|row| row.try_get_raw(column).ok()).is_none_or(|value| value.is_null())
    }

    /// Every column as it is stored: `[name, value, name, value, ...]` in DAG-CBOR.
    pub(crate) fn raw(&self, out: &mut Vec<u8>) -> Result<(), StoreError> {
        use sqlx::{Column as _, Row as _};
        let row = self.0.try_as_sqlite_row().ok_or_else(|| damaged("a row of another database"))?;
        cbor::array(out, 2 * row.columns().len());
        for (at, column) in row.columns().iter().enumerate() {
            cbor::text(out, column.name());
            // A column may hold another type than it should, that is why the row is here.
            if let Ok(number) = self.int(at) {
                cbor::int(out, number);
            } else if let Ok(text) = self.text(at) {
                cbor::text(out, text);
            } else if let Ok(bytes) = self.blob(at) {
                cbor::bytes(out, bytes);
            } else {
                cbor::null(out);
            }
        }
        Ok(())
    }

    pub(crate) fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.get(column)
    }

    pub(crate) fn text(&self, column: usize) -> Result<&str, StoreError> {
        self.get(column)
    }

    pub(crate) fn blob(&self, column: usize) -> Result<&[u8], StoreError> {
        self.get(column)
    }

    pub(crate) fn partition(&self, column: usize) -> Result<u16, StoreError> {
        u16::try_from(self.int(column)?).map_err(|_| damaged("a partition"))
    }

    pub(crate) fn id(&self, column: usize) -> Result<[u8; 32], StoreError> {
        self.blob(column)?.try_into().map_err(|_| damaged("an id that is not 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_padded_to_powers_of_two_with_a_known_key() {
        let lists = int_lists(0..1027);
        assert_eq!(lists.iter().map(|list| list.values.len()).collect::<Vec<_>>(), [1024, 4]);
        assert_eq!(lists[1].marks, "?,?,?,?");
        assert_eq!(lists[1].values[2..], [Value::from(1026_i64), Value::from(1026_i64)]);
        let pairs = super::lists(vec![[Value::from(1_i64), Value::from(2_i64)]; 2]);
        assert_eq!(pairs[0].marks, "(?,?),(?,?)");
        assert!(int_lists([]).is_empty());
    }

    #[test]
    fn keys_are_listed_by_namespace() {
        let keys = [("b", &[1_u8][..]), ("a", &[2]), ("b", &[3])];
        let statements = by_namespace("SELECT 1 FROM side", keys.into_iter());
        assert_eq!(statements.len(), 2);
        assert_eq!(statements[1].0, "SELECT 1 FROM side WHERE ns = ? AND key IN (?,?)");
        assert_eq!(statements[1].1, [Value::from("b"), Value::from(vec![1_u8]), Value::from(vec![3_u8])]);
    }

    #[test]
    fn ids_are_cut_big_endian() {
        let mut id = [0xff; 32];
        id[..8].copy_from_slice(&[0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(id8(&id), 258);
    }
}
