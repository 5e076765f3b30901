//! Use cases over ports: read and write nodes, import and export, watch, blobs, the network's identity, health.
//!
//! Deliberately absent: HTTP, SQL, libp2p, files, environment. Storage, network, time and randomness come in as ports;
//! this crate alone joins and writes graph rows.
//!
//! ```text
//!   gateway, bridges ──> Node ──> Merger (one task) ──> GraphStore::apply ──> Replicator::publish
//!                         ^  reads: cache, GraphStore::load
//!   net ──> Ingest ───────'
//! ```

mod types;

pub use types::{
    Action, At, Committed, Error, GraphStatus, Identity, ImportNode, NodeWrite, NodeWritten, Op, OpResult, Outcome,
    PathAnswer, RenderOptions, Rendered, Wanted, WatchEvent, WatchFilter, WriteMode,
};
