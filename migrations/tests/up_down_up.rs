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
    for wanted in [
        "table commits",
        "table endorsements",
        "table entries",
        "table feed",
        "table history",
        "table records",
        "table side",
    ] {
        assert!(first.iter().any(|name| name == wanted), "{wanted} is missing in {first:?}");
    }
    assert_eq!(first.iter().filter(|name| name.starts_with("index ")).count(), 6, "{first:?}");

    Migrator::down(&db, None).await.unwrap();
    assert_eq!(names(&db).await, ["table seaql_migrations"], "nothing is left behind");

    Migrator::up(&db, None).await.unwrap();
    assert_eq!(names(&db).await, first);
    Migrator::up(&db, None).await.unwrap();
}

/// What the graph is made of survives the way back of the later steps.
#[tokio::test]
async fn the_graph_stays_when_endorsements_go() {
    let db = Database::connect("sqlite::memory:").await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    db.execute_unprepared(
        "INSERT INTO commits VALUES (1, 7, x'01', x'02', 1, x'03', x'04', x'', x''); \
         INSERT INTO entries VALUES (5, 'soul', 'field', 9, x'05', 1, 0, 0, 3, x'06'); \
         INSERT INTO records VALUES (9, 5), (10, -1); INSERT INTO records_new VALUES (11, -2); \
         INSERT INTO endorsements VALUES (1, 1, x'07', x'08', x'09'), (2, 1, x'0a', x'08', x'0b');",
    )
    .await
    .unwrap();
    let count = async |table: &str| -> i64 {
        let sql = format!("SELECT count(*) AS n FROM {table}");
        let row = db.query_one_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.unwrap().unwrap();
        row.try_get("", "n").unwrap()
    };
    Migrator::down(&db, Some(1)).await.unwrap();
    for (table, rows) in [("commits", 1), ("entries", 1), ("records", 1), ("records_new", 0)] {
        assert_eq!(count(table).await, rows, "{table}");
    }
    assert!(!names(&db).await.iter().any(|name| name.contains("endorsements") || name.contains("commit_no")));
    Migrator::up(&db, None).await.unwrap();
    assert_eq!((count("entries").await, count("endorsements").await), (1, 0));
}
