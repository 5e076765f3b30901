//! Files that cannot be opened, and what is said of them.

use rustdht_core::ports::GraphStore;
use rustdht_store::{Config, Error, Store};
use sea_orm::{ConnectionTrait, Database};

use crate::sample::open;

#[tokio::test]
async fn a_folder_that_is_not_there_or_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("missing/graph.sqlite"), folder.path().to_owned(), "/proc/graph.sqlite".into()] {
        let err = Store::open(Config::new(&path)).await.unwrap_err();
        assert!(matches!(&err, Error::NotWritable { .. }), "{err:?}");
        assert!(err.to_string().contains(&path.display().to_string()), "{err}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.sqlite");
    std::fs::write(&path, b"this is a letter to a friend, not a database, and it is long enough to have a header")
        .unwrap();
    let err = Store::open(Config::new(&path)).await.unwrap_err();
    assert!(matches!(err, Error::Damaged { .. }), "{err:?}");
}

#[tokio::test]
async fn a_schema_of_the_future() {
    let (folder, store) = open().await;
    store.close().await;
    let path = folder.path().join("graph.sqlite");
    let db = Database::connect(format!("sqlite://{}", path.display())).await.unwrap();
    db.execute_unprepared("INSERT INTO seaql_migrations VALUES ('m29990101_000001_later', 0)").await.unwrap();
    db.close().await.unwrap();
    let err = Store::open(Config::new(&path)).await.unwrap_err();
    assert!(matches!(err, Error::Newer { .. }), "{err:?}");
}
