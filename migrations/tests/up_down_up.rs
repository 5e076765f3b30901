//! Every step can be taken, taken back and taken again.
#![expect(clippy::unwrap_used, reason = "a test")]

use rustdht_migrations::Migrator;
use sea_orm_migration::MigratorTrait;
use sea_orm_migration::sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};

async fn names(db: &DatabaseConnection) -> Vec<String> {
    let sql = "SELECT type || ' ' || name AS n FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1";
    let rows = db.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.unwrap();
    rows.iter().map(|row| row.try_get("", "n").unwrap()).collect()
}

#[tokio::test]
async fn up_down_up() {
    let db = Database::connect("sqlite::memory:").await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    let first = names(&db).await;
    for wanted in ["table commits", "table entries", "table feed", "table history", "table records", "table side"] {
        assert!(first.iter().any(|name| name == wanted), "{wanted} is missing in {first:?}");
    }
    assert_eq!(first.iter().filter(|name| name.starts_with("index ")).count(), 4, "{first:?}");

    Migrator::down(&db, None).await.unwrap();
    assert_eq!(names(&db).await, ["table seaql_migrations"], "nothing is left behind");

    Migrator::up(&db, None).await.unwrap();
    assert_eq!(names(&db).await, first);
    Migrator::up(&db, None).await.unwrap();
}
