//! Puts right what a check found, in one transaction. Each fault is looked at anew first: it may be none any more.

use std::collections::{BTreeMap, BTreeSet};

use rustdht_core::ports::{Change, Damage, EndorsedPartition, Fault, LOST_AND_FOUND, Repaired, StoreError, Table};
use rustdht_core::{Field, Soul, cbor, partition_of};
use sea_orm::{ConnectionTrait, Value};

use super::Writer;
use super::lookup::Numbers;
use crate::codec::encode_changes;
use crate::error::failed;
use crate::read::{endorsed_partition, index_row};
use crate::sql::{all, all_in, id8, int_lists, run, signed};
use crate::{check, sql};

impl Writer {
    /// The row of the change feed that this makes counts as one of another process: whoever holds one of the souls in
    /// memory is told [`Conflict`](rustdht_core::ports::Applied::Conflict) and loads it anew.
    pub(super) async fn repair(&mut self, faults: &[Fault], now_ms: u64) -> Result<Repaired, StoreError> {
        let transaction = self.begin().await?;
        let last_feed = Numbers::read(&transaction, self.numbers).await?.feed;
        let repaired = match repair(&transaction, faults, now_ms, last_feed).await {
            Ok(repaired) => repaired,
            Err(error) => {
                // Dropping would roll back as well, only later.
                let _ = transaction.rollback().await;
                return Err(error);
            }
        };
        transaction.commit().await.map_err(|error| failed(&error))?;
        self.new_records = self.count_new().await?;
        Ok(repaired)
    }
}

/// A repair under way.
struct Repair<'d, C> {
    db: &'d C,
    now_ms: u64,
    done: Repaired,
    changes: BTreeMap<Soul, BTreeSet<Field>>,
}

async fn repair<C: ConnectionTrait>(
    db: &C,
    faults: &[Fault],
    now_ms: u64,
    last_feed: u64,
) -> Result<Repaired, StoreError> {
    let mut named: Vec<(Table, i64)> = faults.iter().map(|fault| (fault.table, fault.row)).collect();
    named.sort_unstable();
    named.dedup();
    let commits = commits_of(db, &named).await?;
    let before = endorsed(db, &commits).await?;
    let mut repair = Repair { db, now_ms, done: Repaired::default(), changes: BTreeMap::new() };
    for (table, row) in named {
        if let Some(fault) = check::fault(db, table, row).await? {
            repair.one(&fault).await?;
        }
    }
    for commit in &commits {
        repair.recount(*commit).await?;
    }
    let after = endorsed(db, &commits).await?;
    repair.done.ended = before.difference(&after).copied().collect();
    repair.done.feed = last_feed;
    if !repair.changes.is_empty() {
        repair.done.feed += 1;
        let changes = repair.changes.into_iter().map(|(soul, fields)| Change { soul, fields: Vec::from_iter(fields) });
        let changes = encode_changes(&changes.collect::<Vec<_>>());
        let values = vec![signed(repair.done.feed).into(), signed(now_ms).into(), Value::from(changes)];
        run(db, "INSERT INTO feed (number, ms, changes) VALUES (?, ?, ?)", values).await?;
    }
    Ok(repair.done)
}

/// Numbers of the commits whose rows, entries or endorsements are named.
async fn commits_of<C: ConnectionTrait>(db: &C, named: &[(Table, i64)]) -> Result<BTreeSet<i64>, StoreError> {
    let of = |table| int_lists(named.iter().filter(move |(own, _)| *own == table).map(|(_, row)| *row));
    let mut commits: BTreeSet<i64> =
        named.iter().filter(|(table, _)| *table == Table::Commits).map(|(_, row)| *row).collect();
    for (table, name) in [(Table::Entries, "entries"), (Table::Endorsements, "endorsements")] {
        let sql = format!("SELECT commit_no FROM {name} WHERE no IN ({{}})");
        for row in all_in(db, &sql, of(table)).await? {
            commits.extend(row.int(0));
        }
    }
    Ok(commits)
}

async fn endorsed<C: ConnectionTrait>(
    db: &C,
    commits: &BTreeSet<i64>,
) -> Result<BTreeSet<EndorsedPartition>, StoreError> {
    let sql = "SELECT n.no, n.record, e.partition, min(e.stamp) \
               FROM endorsements n CROSS JOIN entries e ON e.commit_no = n.commit_no \
               WHERE n.commit_no IN ({}) GROUP BY n.no, e.partition";
    let rows = all_in(db, sql, int_lists(commits.iter().copied())).await?;
    // What cannot be read was in no index.
    Ok(rows.iter().filter_map(|row| endorsed_partition(row).ok()).collect())
}

const fn key(table: Table) -> &'static str {
    if matches!(table, Table::Feed) { "number" } else { "no" }
}

impl<C: ConnectionTrait> Repair<'_, C> {
    async fn one(&mut self, fault: &Fault) -> Result<(), StoreError> {
        let (table, row) = (fault.table, fault.row);
        match (&fault.damage, table) {
            (Damage::Count { .. }, _) => self.done.mended += 1, // counted anew with all commits touched
            (Damage::Dangling, _) => self.unlink(row).await?,
            (Damage::Unfindable, _) => self.link(table, row).await?,
            (_, Table::Commits) => self.take_commit(row).await?,
            (_, Table::Entries) => self.take_entry(row, &fault.damage).await?,
            (_, Table::Endorsements) => self.take_endorsement(row, &fault.damage).await?,
            // The row keeps its number, which may be the last one given out.
            (_, Table::Feed) => {
                self.keep(table, row, &fault.damage).await?;
                let values = vec![Value::from(encode_changes(&[])), row.into()];
                run(self.db, "UPDATE feed SET changes = ? WHERE number = ?", values).await?;
            }
            (_, Table::History | Table::Records) => {
                self.keep(table, row, &fault.damage).await?;
                run(self.db, &format!("DELETE FROM {} WHERE no = ?", table.name()), vec![row.into()]).await?;
            }
        }
        Ok(())
    }

    /// Copies a row as it is into [`LOST_AND_FOUND`]: `[table, number, damage, milliseconds, [column, value, ...]]`.
    async fn keep(&mut self, table: Table, row: i64, damage: &Damage) -> Result<(), StoreError> {
        let sql = format!("SELECT * FROM {} WHERE {} = ?", table.name(), key(table));
        let Some(raw) = all(self.db, &sql, vec![row.into()]).await?.into_iter().next() else { return Ok(()) };
        let mut name = Vec::new();
        if matches!(table, Table::Entries | Table::History) {
            for column in [1, 2] {
                let text = raw.text(column).map(str::as_bytes).or_else(|_| raw.blob(column)).unwrap_or_default();
                name.extend_from_slice(text);
                name.push(0);
            }
            if let (Ok(Ok(soul)), Ok(Ok(field))) = (raw.text(1).map(str::parse), raw.text(2).map(str::parse))
                && table == Table::Entries
            {
                self.changes.entry(soul).or_default().insert(field);
            }
        } else {
            name.extend_from_slice(&[0, 0]);
        }
        name.extend_from_slice(table.name().as_bytes());
        name.push(0);
        name.extend_from_slice(&row.to_be_bytes());

        let mut value = Vec::new();
        cbor::array(&mut value, 5);
        cbor::text(&mut value, table.name());
        cbor::int(&mut value, row);
        cbor::text(&mut value, &damage.to_string());
        cbor::uint(&mut value, self.now_ms);
        raw.raw(&mut value)?;
        let sql = "INSERT INTO side (ns, key, value) VALUES (?, ?, ?) \
                   ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value";
        run(self.db, sql, vec![LOST_AND_FOUND.into(), name.into(), value.into()]).await?;
        self.done.quarantined += 1;
        Ok(())
    }

    async fn take_entry(&mut self, row: i64, damage: &Damage) -> Result<(), StoreError> {
        self.keep(Table::Entries, row, damage).await?;
        let sql = "SELECT e.no, e.id, e.partition, e.stamp, c.author, e.record8, e.soul \
                   FROM entries e LEFT JOIN commits c ON c.no = e.commit_no WHERE e.no = ?";
        if let Some(found) = all(self.db, sql, vec![row.into()]).await?.first() {
            self.done.gone.extend(index_row(found));
            if let Ok(record8) = found.int(5) {
                self.unlink_one(record8, row).await?;
            }
        }
        run(self.db, "DELETE FROM entries WHERE no = ?", vec![row.into()]).await.map(|_| ())
    }

    async fn take_endorsement(&mut self, row: i64, damage: &Damage) -> Result<(), StoreError> {
        self.keep(Table::Endorsements, row, damage).await?;
        self.drop_endorsement(row).await
    }

    async fn drop_endorsement(&self, row: i64) -> Result<(), StoreError> {
        let found = all(self.db, "SELECT record FROM endorsements WHERE no = ?", vec![row.into()]).await?;
        if let Some(Ok(record)) = found.first().map(|found| found.id(0)) {
            self.unlink_one(id8(&record), -row).await?;
        }
        run(self.db, "DELETE FROM endorsements WHERE no = ?", vec![row.into()]).await.map(|_| ())
    }

    /// A commit that cannot be shown to anybody, with all that it has.
    async fn take_commit(&mut self, row: i64) -> Result<(), StoreError> {
        let numbers = async |table: &str| {
            let sql = format!("SELECT no FROM {table} WHERE commit_no = ?");
            all(self.db, &sql, vec![row.into()]).await?.iter().map(|row| row.int(0)).collect::<Result<Vec<i64>, _>>()
        };
        let (entries, endorsements) = (numbers("entries").await?, numbers("endorsements").await?);
        for entry in entries {
            self.take_entry(entry, &Damage::CommitForged).await?;
        }
        for endorsement in endorsements {
            self.take_endorsement(endorsement, &Damage::CommitForged).await?;
        }
        self.keep(Table::Commits, row, &Damage::CommitForged).await?;
        run(self.db, "DELETE FROM commits WHERE no = ?", vec![row.into()]).await.map(|_| ())
    }

    /// Enters a row anew where it is looked for.
    async fn link(&mut self, table: Table, row: i64) -> Result<(), StoreError> {
        self.done.mended += 1;
        let columns = match table {
            Table::Commits | Table::History => "id",
            Table::Endorsements => "record",
            Table::Entries => "id, record8, soul",
            Table::Records | Table::Feed => return Ok(()),
        };
        let sql = format!("SELECT {columns} FROM {} WHERE no = ?", table.name());
        let Some(found) = all(self.db, &sql, vec![row.into()]).await?.into_iter().next() else { return Ok(()) };
        let id = id8(&found.id(0)?);
        let (record8, no) = match table {
            Table::Entries => {
                let soul: Soul = found.text(2)?.parse().map_err(|_| crate::error::damaged("a soul"))?;
                let values = vec![i32::from(partition_of(&soul)).into(), row.into()];
                run(self.db, "UPDATE entries SET partition = ? WHERE no = ?", values).await?;
                (found.int(1)?, row)
            }
            Table::Endorsements => (id, -row),
            _ => {
                let sql = format!("UPDATE {} SET id8 = ? WHERE no = ?", table.name());
                return run(self.db, &sql, vec![id.into(), row.into()]).await.map(|_| ());
            }
        };
        // In one of the two generations only, or moving the small one over would meet it twice.
        self.unlink_one(record8, no).await?;
        run(self.db, "INSERT INTO records_new (record8, no) VALUES (?, ?)", vec![record8.into(), no.into()])
            .await
            .map(|_| ())
    }

    /// Removes the records with these first bytes that lead nowhere.
    async fn unlink(&mut self, record8: i64) -> Result<(), StoreError> {
        self.done.mended += 1;
        for table in ["records", "records_new"] {
            let rows = all(self.db, &format!("SELECT no FROM {table} WHERE record8 = ?"), vec![record8.into()]).await?;
            for row in rows {
                let no = row.int(0)?;
                let held = if no < 0 {
                    let found =
                        all(self.db, "SELECT record FROM endorsements WHERE no = ?", vec![(-no).into()]).await?;
                    found.first().is_some_and(|found| found.id(0).is_ok_and(|record| id8(&record) == record8))
                } else {
                    let sql = "SELECT no FROM entries WHERE no = ? AND record8 = ?";
                    !all(self.db, sql, vec![no.into(), record8.into()]).await?.is_empty()
                };
                if !held {
                    self.unlink_one(record8, no).await?;
                }
            }
        }
        Ok(())
    }

    async fn unlink_one(&self, record8: i64, no: i64) -> Result<(), StoreError> {
        for table in ["records", "records_new"] {
            let sql = format!("DELETE FROM {table} WHERE record8 = ? AND no = ?");
            run(self.db, &sql, vec![record8.into(), no.into()]).await?;
        }
        Ok(())
    }

    /// Counts a commit's entries anew; without any it goes, and its endorsements with it.
    async fn recount(&self, commit: i64) -> Result<(), StoreError> {
        let sql =
            "UPDATE commits SET live = (SELECT count(*) FROM entries e WHERE e.commit_no = commits.no) WHERE no = ?";
        run(self.db, sql, vec![commit.into()]).await?;
        if run(self.db, "DELETE FROM commits WHERE no = ? AND live = 0", vec![commit.into()]).await? == 0 {
            return Ok(());
        }
        let sql = "SELECT no FROM endorsements WHERE commit_no = ?";
        for row in sql::all(self.db, sql, vec![commit.into()]).await? {
            self.drop_endorsement(row.int(0)?).await?;
        }
        Ok(())
    }
}
