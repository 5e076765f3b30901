//! Durable storage of the graph: `core`'s `GraphStore` over sea-orm, in one SQLite file.
//!
//! ```text
//! callers --apply--> queue --> one writing task --BEGIN..COMMIT--> database <--- a few reading connections <--load-- callers
//!                              many batches, one flush              (WAL: readers and the writer do not wait for each other)
//! ```
//!
//! Every batch is answered after the transaction that holds it is on disk. Batches of concurrent callers share a
//! transaction, so a flush is paid once for many of them. Several processes may open one file; whoever would write over
//! what another changed meanwhile is told so ([`Applied::Conflict`](rustdht_core::ports::Applied::Conflict)).
//!
//! Deliberately unaware of merging (what to put and what to drop is the caller's decision), of signatures (commits are
//! bytes), of clocks (time comes with the batch) and of who else holds the data folder.
//!
//! ```no_run
//! use rustdht_core::ports::{Batch, GraphStore};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = rustdht_store::Store::open(rustdht_store::Config::new("graph.sqlite")).await?;
//! store.apply(Batch::default()).await?;
//! store.close().await;
//! # Ok(())
//! # }
//! ```

mod adapter;
mod check;
mod codec;
mod config;
mod error;
mod metrics;
mod open;
mod read;
mod sql;
mod write;

pub use adapter::Store;
pub use config::Config;
pub use error::Error;
