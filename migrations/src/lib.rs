//! The schema of the store and how it came about: one file per step, applied on start, each with a way back.
//!
//! Deliberately unaware of what the rows mean: `store` encodes and reads them. Types are those that SQLite and
//! PostgreSQL both have; a step that needs more asks for the backend.
//!
//! ```text
//! commits 1 --- n entries        history        feed        side
//! (signed part)   (the state)    (losers)       (changes)   (private rows of bridges and the node)
//!    1
//!    '--- n endorsements
//! ```

use sea_orm_migration::{MigrationTrait, MigratorTrait, async_trait};

mod columns;
mod m20261122_000001_initial;
mod m20261123_000002_endorsements;

/// Every step, oldest first. Steps are only ever added.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m20261122_000001_initial::Migration), Box::new(m20261123_000002_endorsements::Migration)]
    }
}
