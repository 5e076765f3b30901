//! The ports through which use cases reach the outside: storage, blobs, the other members. Adapters implement them,
//! `node` depends on nothing else, `cli` binds the two.

mod blobs;
mod graph_store;
mod replication;

pub use blobs::{AddOptions, Added, BlobError, BlobStat, BlobStore, BlockSource, BoxByteStream, MAX_BLOCK_BYTES};
pub use graph_store::{
    Applied, Batch, Change, FeedPage, FeedRow, GraphStore, IndexRow, Loser, Put, SideRow, StoreError, StoreStats,
    StoredCommit,
};
pub use replication::{
    Durability, IndexItem, Ingest, IngestOutcome, NetworkStatus, PeerStatus, Published, ReplicaId, ReplicationError,
    Replicator,
};
