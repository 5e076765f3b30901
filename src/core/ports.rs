//! The ports through which use cases reach the outside: storage, blobs, the other members. Adapters implement them,
//! `node` depends on nothing else, `cli` binds the two.

mod blobs;
mod check;
mod dags;
mod graph_store;
mod names;
mod pins;
mod previews;
mod replication;
mod routing;
mod uploads;

pub use blobs::{
    AddHash, AddOptions, AddProfile, Added, BlobError, BlobStat, BlobStore, BlobUsage, BlockSource, BoxByteStream,
    CollectOptions, Collected, Hold, MAX_BLOCK_BYTES,
};
pub use check::{CheckCursor, CheckPage, Damage, Fault, LOST_AND_FOUND, Repaired, Table};
pub use dags::{
    CarImported, CarOptions, DagEntry, DagKind, DagScope, DagStore, EntityBytes, Fetch, MAX_PATH_SEGMENTS, PathError,
    Resolved, TreeContent, TreeItem,
};
pub use graph_store::{
    Applied, Batch, BlobPage, BlobReference, Change, EndorsedPartition, Endorsement, FeedPage, FeedRow, GraphStore,
    HistoryPage, IndexRow, Loser, Put, SideRow, StoreError, StoreStats, StoredCommit,
};
pub use names::{
    DnsLink, DnsLinks, IpnsName, MAX_IPNS_RECORD_BYTES, NameDraft, NameError, NameRecord, NameRecords, Names, NotAName,
};
pub use pins::{BlockGate, Root, RootMark, RootSource};
pub use previews::{Preview, PreviewError, Previews, Thumbnail};
pub use replication::{
    Durability, IndexItem, Ingest, IngestOutcome, MAX_LIVE_BYTES, NetworkStatus, PeerStatus, Published, ReplicaId,
    ReplicationError, Replicator,
};
pub use routing::{
    Announcer, ContentRouting, MAX_MULTIADDR_BYTES, MAX_PEER_ADDRESSES, Provider, ROUTING_REPLICAS, RoutingError,
    TRANSPORT_BITSWAP,
};
pub use uploads::{
    Arrived, MAX_UPLOAD_NOTE_BYTES, NewUpload, NotAnUploadId, UploadError, UploadId, UploadState, UploadStore,
};
