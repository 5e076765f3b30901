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

mod accounts;
mod authority;
mod blob_notes;
mod cache;
mod check;
mod config;
mod custody;
mod denylist;
mod documents;
mod explain;
mod export;
mod history;
mod identity;
mod ingest;
mod keys;
mod membership;
mod merger;
mod metrics;
mod names;
mod node;
mod outgoing;
mod path;
mod pins;
mod principal;
mod private;
mod providers;
mod read;
mod routing;
mod schema;
mod serve;
mod side;
#[cfg(test)]
mod tests;
mod types;
mod unendorsed;
mod watch;
mod write;

pub use accounts::{Account, AccountFault, MAX_NAME_BYTES, NewAccount, TokenId, TokenRow};
pub use authority::{CertificateFilter, Issue};
pub use blob_notes::BlobNote;
pub use check::{CheckEvent, Fate};
pub use config::{Config, Founding, PinsConfig, Ports};
pub use denylist::{Denied, DenyRoot, DenyRules, DenyRulesError, Denylist};
pub use documents::{Close, DocumentHandle, MAX_DOCUMENT_FRAME_BYTES, Outbox, Outgoing, UserTag};
pub use history::{HistoryCursor, HistoryEntry, HistoryPage, MAX_HISTORY_PAGE};
pub use keys::SealKey;
pub use metrics::describe as describe_metrics;
pub use names::{Followed, MAX_NAMES_FOLLOWED, NameFault, NameKey, NewName, PublishedName, SELF_KEY};
pub use node::Node;
pub use pins::{
    Keep, MAX_CIDS, MAX_ORIGINS, MAX_PIN_NAME, MAX_PINS_PAGE, NameMatch, NewPin, Pin, PinFault, PinFilter, PinId,
    PinPage, PinStatus, Room, SharedHere, SharedPin, SharedPinStatus, Upload, Usage,
};
pub use principal::Principal;
pub use private::{MAX_RECIPIENTS, PrivateFault, PrivateFile, Recipient, SharedWith, encrypted, recipients_tag};
pub use providers::Provide;
pub use routing::{MAX_ROUTERS, RoutingPorts};
pub use rustdht_core::Mode;
pub use rustdht_graph::{Action, Content, Draft, Pen, Wanted, read_wanted};
pub use rustdht_wire::{
    Certificate, Rights, SignedCertificate,
    private_blob::{FileKey, PrivateBlobError, PrivateLink},
};
pub use schema::{MAX_SCHEMA_BYTES, MAX_SCHEMAS, SchemaInfo, SchemaViolation};
pub use serve::Tasks;
pub use types::{
    At, Committed, Error, GraphStatus, Identity, ImportNode, NodeWrite, NodeWritten, Op, OpResult, Outcome, PathAnswer,
    RenderOptions, Rendered, WatchEvent, WatchFilter, WriteMode,
};
