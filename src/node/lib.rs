//! Use cases over ports: read and write nodes, import and export, watch, blobs, the network's identity, health.
//!
//! Deliberately absent: HTTP, SQL, libp2p, files, environment. Storage, network, time and randomness come in as ports;
//! this crate alone joins and writes graph rows.
//!
//! ```text
//!   gateway, bridges ──> Node ──jobs──> Merger ──groups──> Committer ──> GraphStore::apply
//!                         ^             joins in           one transaction    │
//!   net ──> Ingest ───────'             memory             a group            ├──> answers, cache, watchers
//!                                                                             └──> Replicator::publish
//! ```
//!
//! Reads never wait for writes: they come from a cache of rendered nodes, else from the store, and show durable data
//! only.

#![forbid(unsafe_code)]

mod cache;
mod config;
mod export;
mod identity;
mod ingest;
mod merger;
mod metrics;
mod node;
mod path;
mod read;
mod serve;
#[cfg(test)]
mod tests;
mod types;
mod watch;
mod write;

pub use config::{Config, Founding, Ports};
pub use metrics::describe as describe_metrics;
pub use node::Node;
pub use rustdht_graph::{Wanted, read_wanted};
pub use serve::Tasks;
pub use types::{
    Action, At, Committed, Error, GraphStatus, Identity, ImportNode, NodeWrite, NodeWritten, Op, OpResult, Outcome,
    PathAnswer, RenderOptions, Rendered, WatchEvent, WatchFilter, WriteMode,
};
