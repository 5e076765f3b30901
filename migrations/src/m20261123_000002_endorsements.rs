//! Endorsements of commits, and the way from a commit to its entries.

use sea_orm_migration::prelude::*;

use crate::columns::{big, blob, index, number, table};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// - An endorsement is found by its record through `records` and `records_new`, like an entry: there it stands under
    ///   its `no` negated, so that one index over random keys, kept in two generations, serves both.
    /// - `entries (commit_no, partition)`: which entries a commit has, and from the index alone in which partitions. New
    ///   commits have the greatest numbers, so an import only writes at its end.
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        let endorsements = table(
            "endorsements",
            [number("no", backend), big("commit_no"), blob("certificate"), blob("signature"), blob("record")],
        );
        manager.create_table(endorsements).await?;
        let mut once = index("endorsements", &["commit_no", "certificate"]);
        manager.create_index(once.unique().to_owned()).await?;
        manager.create_index(index("entries", &["commit_no", "partition"])).await
    }

    /// Entries, commits and history stay; only endorsements go.
    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let entries_index = Index::drop().name("entries_commit_no_partition").table(Alias::new("entries")).to_owned();
        manager.drop_index(entries_index).await?;
        for name in ["records", "records_new"] {
            let of_endorsements =
                Query::delete().from_table(Alias::new(name)).and_where(Expr::col(Alias::new("no")).lt(0)).to_owned();
            manager.exec_stmt(of_endorsements).await?;
        }
        manager.drop_table(Table::drop().table(Alias::new("endorsements")).to_owned()).await
    }

    /// All or nothing on SQLite too: a process killed half way leaves no half schema.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
