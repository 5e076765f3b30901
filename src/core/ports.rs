//! The ports through which use cases reach the outside: storage, blobs, the other members. Adapters implement them,
//! `node` depends on nothing else, `cli` binds the two.

mod blobs;
mod check;
mod graph_store;
mod replication;

pub use blobs::{AddOptions, Added, BlobError, BlobStat, BlobStore, BlockSource, BoxByteStream, MAX_BLOCK_BYTES};
pub use check::{CheckCursor, CheckPage, Damage, Fault, LOST_AND_FOUND, Repaired, Table};
pub use graph_store::{
    Applied, Batch, Change, EndorsedPartition, Endorsement, FeedPage, FeedRow, GraphStore, HistoryPage, IndexRow,
    Loser, Put, SideRow, StoreError, StoreStats, StoredCommit,
};
pub use replication::{
    Durability, IndexItem, Ingest, IngestOutcome, MAX_LIVE_BYTES, NetworkStatus, PeerStatus, Published, ReplicaId,
    ReplicationError, Replicator,
};
