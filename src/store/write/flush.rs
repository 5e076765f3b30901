//! The statements that write a plan.

use std::collections::BTreeSet;

use rustdht_core::ports::StoreError;
use sea_orm::{ConnectionTrait, Value};

use super::plan::Effects;
use crate::codec::{encode_changes, encode_entry, encode_loser};
use crate::sql::{self, by_namespace, id8, insert, int_lists, lists, run, run_in, signed};

/// Writes all of it. The order matters only within a table.
pub(crate) async fn flush<C: ConnectionTrait>(
    db: &C,
    effects: &Effects<'_>,
    history_per_field: u32,
) -> Result<(), StoreError> {
    removals(db, effects).await?;
    commits(db, effects).await?;
    entries(db, effects).await?;
    endorsements(db, effects).await?;
    counts(db, effects).await?;
    history(db, effects, history_per_field).await?;
    side(db, effects).await?;
    feed(db, effects).await
}

async fn removals<C: ConnectionTrait>(db: &C, effects: &Effects<'_>) -> Result<(), StoreError> {
    let entries = int_lists(effects.delete_entries.iter().map(|(_, no)| *no));
    run_in(db, "DELETE FROM entries WHERE no IN ({})", entries).await?;
    let endorsements = int_lists(effects.delete_endorsements.iter().map(|(_, no)| *no));
    run_in(db, "DELETE FROM endorsements WHERE no IN ({})", endorsements).await?;
    let of_endorsements = effects.delete_endorsements.iter().map(|(record8, no)| (*record8, -no));
    let gone: Vec<(i64, i64)> = effects.delete_entries.iter().copied().chain(of_endorsements).collect();
    for gone in gone.chunks(sql::MAX_LIST) {
        let records = int_lists(gone.iter().map(|(record8, _)| *record8));
        let numbers = int_lists(gone.iter().map(|(_, no)| *no));
        for (records, numbers) in records.into_iter().zip(numbers) {
            let values: Vec<Value> = records.values.into_iter().chain(numbers.values).collect();
            for table in ["records_new", "records"] {
                // A number belongs to one record, so two lists name pairs. The plus keeps SQLite from searching for
                // every combination; a row value with IN would scan the table.
                let sql =
                    format!("DELETE FROM {table} WHERE record8 IN ({}) AND +no IN ({})", records.marks, numbers.marks);
                run(db, &sql, values.clone()).await?;
            }
        }
    }
    Ok(())
}

async fn commits<C: ConnectionTrait>(db: &C, effects: &Effects<'_>) -> Result<(), StoreError> {
    let values = effects.commits.iter().flat_map(|write| {
        let commit = write.commit;
        [
            write.no.into(),
            id8(&commit.id.0).into(),
            commit.id.0.to_vec().into(),
            write.author.0.to_vec().into(),
            write.live.into(),
            commit.header.to_vec().into(),
            commit.signature.to_vec().into(),
            commit.leaves.to_vec().into(),
            Value::from(commit.proofs.to_vec()),
        ]
    });
    let head = "INSERT INTO commits (no, id8, id, author, live, header, signature, leaves, proofs)";
    let tail = "ON CONFLICT (no) DO UPDATE SET header = excluded.header, signature = excluded.signature, \
                leaves = excluded.leaves, proofs = excluded.proofs";
    insert(db, head, 9, tail, values, effects.commits.len()).await
}

async fn entries<C: ConnectionTrait>(db: &C, effects: &Effects<'_>) -> Result<(), StoreError> {
    let values = effects.entries.iter().zip(effects.first_entry..).flat_map(|((commit_no, put), no)| {
        let entry = &*put.entry;
        [
            no.into(),
            entry.soul.as_str().into(),
            entry.field.as_str().into(),
            id8(&put.record.0).into(),
            entry.id.0.to_vec().into(),
            (*commit_no).into(),
            i32::from(entry.index).into(),
            entry.stamp.0.cast_signed().into(),
            i32::from(rustdht_core::partition_of(&entry.soul)).into(),
            Value::from(encode_entry(entry)),
        ]
    });
    let head = "INSERT INTO entries (no, soul, field, record8, id, commit_no, idx, stamp, partition, data)";
    insert(db, head, 10, "", values, effects.entries.len()).await?;
    if !effects.entries.is_empty() {
        let sql =
            "INSERT INTO records_new (record8, no) SELECT record8, no FROM entries WHERE no >= ? ORDER BY record8";
        run(db, sql, vec![effects.first_entry.into()]).await?;
    }
    Ok(())
}

async fn endorsements<C: ConnectionTrait>(db: &C, effects: &Effects<'_>) -> Result<(), StoreError> {
    let brought = &effects.endorsements;
    let values = brought.iter().zip(effects.first_endorsement..).flat_map(|((commit_no, endorsement), no)| {
        [
            no.into(),
            (*commit_no).into(),
            endorsement.certificate.0.to_vec().into(),
            endorsement.signature.to_vec().into(),
            Value::from(endorsement.record.0.to_vec()),
        ]
    });
    let head = "INSERT INTO endorsements (no, commit_no, certificate, signature, record)";
    insert(db, head, 5, "", values, brought.len()).await?;
    let mut records: Vec<(i64, i64)> =
        brought.iter().zip(effects.first_endorsement..).map(|((_, e), no)| (id8(&e.record.0), -no)).collect();
    records.sort_unstable();
    let values = records.iter().flat_map(|(record8, no)| [Value::from(*record8), Value::from(*no)]);
    insert(db, "INSERT INTO records_new (record8, no)", 2, "", values, records.len()).await
}

async fn counts<C: ConnectionTrait>(db: &C, effects: &Effects<'_>) -> Result<(), StoreError> {
    for (by, numbers) in &effects.live {
        for list in int_lists(numbers.iter().copied()) {
            let mut values = vec![Value::from(*by)];
            values.extend(list.values);
            run(db, &format!("UPDATE commits SET live = live + ? WHERE no IN ({})", list.marks), values).await?;
        }
    }
    run_in(db, "DELETE FROM commits WHERE no IN ({})", int_lists(effects.delete_commits.iter().copied())).await
}

async fn history<C: ConnectionTrait>(db: &C, effects: &Effects<'_>, per_field: u32) -> Result<(), StoreError> {
    for ids in effects.forget.chunks(sql::MAX_LIST) {
        let short = int_lists(ids.iter().map(|id| id8(&id.0)));
        let long = lists(ids.iter().map(|id| [Value::from(id.0.to_vec())]).collect());
        for (short, long) in short.into_iter().zip(long) {
            // The short ids find the rows, the whole ids decide.
            let sql = format!("DELETE FROM history WHERE id8 IN ({}) AND id IN ({})", short.marks, long.marks);
            let values = short.values.into_iter().chain(long.values).collect();
            run(db, &sql, values).await?;
        }
    }
    if effects.losers.is_empty() {
        return Ok(());
    }
    let values = effects.losers.iter().zip(effects.first_loser..).flat_map(|(loser, no)| {
        let entry = &*loser.entry;
        [
            no.into(),
            entry.soul.as_str().into(),
            entry.field.as_str().into(),
            id8(&entry.id.0).into(),
            entry.id.0.to_vec().into(),
            signed(loser.lost_ms).into(),
            Value::from(encode_loser(entry)),
        ]
    });
    let head = "INSERT INTO history (no, soul, field, id8, id, lost_ms, data)";
    insert(db, head, 7, "", values, effects.losers.len()).await?;

    let fields: BTreeSet<(&str, &str)> =
        effects.losers.iter().map(|loser| (&*loser.entry.soul, &*loser.entry.field)).collect();
    for list in lists(fields.into_iter().map(|(soul, field)| [Value::from(soul), Value::from(field)]).collect()) {
        // For each field the number of the row that is one too old, and what is not newer than that row.
        let sql = format!(
            "WITH touched (soul, field) AS (VALUES {}) \
             DELETE FROM history WHERE no IN (\
               SELECT h.no FROM touched t CROSS JOIN history h WHERE h.soul = t.soul AND h.field = t.field AND h.no <= (\
                 SELECT n.no FROM history n WHERE n.soul = t.soul AND n.field = t.field \
                 ORDER BY n.no DESC LIMIT 1 OFFSET ?))",
            list.marks
        );
        let mut values = list.values;
        values.push(Value::from(i64::from(per_field)));
        run(db, &sql, values).await?;
    }
    Ok(())
}

async fn side<C: ConnectionTrait>(db: &C, effects: &Effects<'_>) -> Result<(), StoreError> {
    let gone = effects.side.iter().filter(|(_, value)| value.is_none());
    for (sql, values) in by_namespace("DELETE FROM side", gone.map(|((ns, key), _)| (*ns, *key))) {
        run(db, &sql, values).await?;
    }

    let kept: Vec<_> = effects.side.iter().filter_map(|(key, value)| Some((key, (*value)?))).collect();
    let values = kept
        .iter()
        .flat_map(|((ns, key), value)| [Value::from(*ns), Value::from(key.to_vec()), Value::from(value.to_vec())]);
    let tail = "ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value";
    insert(db, "INSERT INTO side (ns, key, value)", 3, tail, values, kept.len()).await
}

async fn feed<C: ConnectionTrait>(db: &C, effects: &Effects<'_>) -> Result<(), StoreError> {
    let values = effects.feed.iter().flat_map(|row| {
        [Value::from(signed(row.number)), Value::from(signed(row.ms)), Value::from(encode_changes(row.changes))]
    });
    insert(db, "INSERT INTO feed (number, ms, changes)", 3, "", values, effects.feed.len()).await
}
