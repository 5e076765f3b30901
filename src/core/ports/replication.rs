//! The gap between the node and the other members, crossed in both directions.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use cid::{Cid, multihash::Multihash};
use futures::{StreamExt, stream::BoxStream};

use super::{IpnsName, NameRecord, Provider, StoreError};
use crate::{CommitId, PublicKey, RecordId, Refusal, Soul};

/// A replica: the public key behind its PeerId belongs to one database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub String);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why the network could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    /// The swarm stopped.
    #[error("the network is down")]
    Closed,
    /// No connected member answered in time.
    #[error("no member answered in time")]
    TimedOut,
    /// An address or invite that cannot be used.
    #[error("{0}")]
    Invalid(String),
}

/// An id in the reconciliation index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexItem {
    /// Whole seconds since 2020-01-01.
    pub seconds: u32,
    /// The keyed id.
    pub record: RecordId,
    /// Its partition.
    pub partition: u16,
}

/// Something durable here that the others should hear of.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Ids that joined the state.
    pub adds: Vec<IndexItem>,
    /// Ids that left it.
    pub drops: Vec<IndexItem>,
    /// Commits made or admitted at this gateway's doors, as envelopes. What came from a peer is not pushed again.
    pub push: Vec<(CommitId, Bytes)>,
}

/// How far a commit got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durability {
    /// Owners on whose disk it is, this one included.
    pub durable: u16,
    /// W': how many make it a 200.
    pub wanted: u16,
    /// Owners that have not confirmed.
    pub outstanding: Vec<ReplicaId>,
}

impl Durability {
    /// Whether it counts as acknowledged (200 rather than 202).
    #[must_use]
    pub const fn is_acknowledged(&self) -> bool {
        self.durable >= self.wanted
    }
}

/// One peer, for `status` and `peers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The replica.
    pub id: ReplicaId,
    /// Whether a connection is open and `hello` passed, or it is a guest.
    pub connected: bool,
    /// Its known addresses, as multiaddrs.
    pub addresses: Vec<String>,
    /// Round trip in microseconds, once measured.
    pub rtt_us: Option<u64>,
    /// Whether reconciliation with it last ended equal.
    pub in_sync: bool,
    /// When it was last seen, in milliseconds since the epoch.
    pub seen_ms: u64,
    /// Whether it is a counted replica of this network.
    pub replica: bool,
    /// Whether it is none of the network and speaks IPFS: blocks are exchanged with it.
    pub guest: bool,
}

/// The swarm, for `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkStatus {
    /// This replica.
    pub id: ReplicaId,
    /// The multiaddrs that it listens on, with `/p2p/`.
    pub listen: Vec<String>,
    /// Replicas counted, this one included.
    pub replicas: u16,
    /// W' now.
    pub write_quorum: u16,
    /// Replicas connected, this one included.
    pub reachable: u16,
    /// Ids in the reconciliation index.
    pub indexed: u64,
}

/// Greatest size of a message that nobody stores, in bytes: a preview of 32 KiB of keystrokes and what is around it.
pub const MAX_LIVE_BYTES: usize = 40 * 1024;

/// node -> net.
#[async_trait]
pub trait Replicator: Send + Sync {
    /// Takes note of a durable batch and starts its pushes. Waits only for room in a bounded queue.
    async fn publish(&self, published: Published) -> Result<(), ReplicationError>;

    /// Waits until the commit is durable at W' owners, at most `wait`; returns at once when fewer than W' owners are
    /// connected.
    async fn durability(&self, commit: CommitId, wait: Duration) -> Result<Durability, ReplicationError>;

    /// What is known of a commit pushed from here and not yet everywhere; `None`: nothing outstanding is known.
    async fn outstanding(&self, commit: CommitId) -> Result<Option<Durability>, ReplicationError>;

    /// Asks connected members for a soul; envelopes as they came, unverified.
    async fn ask(&self, soul: &Soul) -> Result<Vec<Bytes>, ReplicationError>;

    /// Asks connected members for a member certificate for `gateway`: the chain from the leaf up, each as the certificate's
    /// bytes and signature; unverified. Empty: no member issues any.
    async fn certify(&self, gateway: PublicKey) -> Result<Vec<(Bytes, Bytes)>, ReplicationError>;

    /// Gives members that are connected now a message that nobody stores: awareness and keystrokes of open documents.
    /// At most [`MAX_LIVE_BYTES`]; lost where it does not get through.
    async fn broadcast(&self, message: Bytes) -> Result<(), ReplicationError>;

    /// Peers known.
    async fn peers(&self) -> Result<Vec<PeerStatus>, ReplicationError>;

    /// The swarm.
    async fn status(&self) -> Result<NetworkStatus, ReplicationError>;

    /// Dials an address (a multiaddr that ends in `/p2p/...`) and remembers it.
    async fn dial(&self, address: &str) -> Result<(), ReplicationError>;
}

/// What became of an envelope that a peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngestOutcome {
    /// Every operation in it is durable here: taken, known or historical.
    Durable,
    /// Stamped ahead of the clock: kept durably until these milliseconds since the epoch.
    Early {
        /// When it is due.
        until_ms: u64,
    },
    /// Something it needs is not here (a covering kill, a certificate): kept for a while, not counted as durable.
    Pending,
    /// Refused.
    Refused(Refusal),
    /// This gateway could not store it now.
    Unavailable,
}

/// net -> node.
#[async_trait]
pub trait Ingest: Send + Sync {
    /// Verifies, merges and makes durable envelopes from a peer; one outcome each, in order.
    async fn ingest(&self, from: &ReplicaId, envelopes: Vec<Bytes>) -> Vec<IngestOutcome>;

    /// Envelopes that carry these records (several of one commit in one envelope, at most `max_bytes` in all), with
    /// the kills that cover value-less ones. The second part: records that are not here.
    async fn envelopes(&self, records: &[RecordId], max_bytes: usize) -> (Vec<Bytes>, Vec<RecordId>);

    /// Envelopes that carry every entry of a soul.
    async fn soul_envelopes(&self, soul: &Soul, max_bytes: usize) -> Vec<Bytes>;

    /// A member certificate for `gateway`, if this gateway may issue one: the chain from the leaf up, as bytes and
    /// signature.
    async fn certify(&self, gateway: PublicKey) -> Vec<(Bytes, Bytes)>;

    /// A message that nobody stores. `false`: it breaks a rule and is not to be passed on.
    async fn heard(&self, from: &ReplicaId, message: Bytes) -> bool;

    /// A block that is here.
    async fn block(&self, cid: &Cid) -> Option<Bytes>;

    /// A record of a name that a DHT brought: checked and kept. `None`: it is no good one, or not newer than the one held.
    /// A side that keeps no names takes none.
    async fn name_record(&self, _name: &IpnsName, _record: Bytes) -> Option<NameRecord> {
        None
    }

    /// The records of names that are kept here and are good now.
    async fn name_records(&self) -> Vec<(IpnsName, NameRecord)> {
        Vec::new()
    }

    /// Length in bytes of a block that is here.
    async fn block_size(&self, cid: &Cid) -> Option<u64> {
        self.block(cid).await.map(|block| block.len() as u64)
    }

    /// Who has a block that nobody connected has, as they are found, at most `limit`; ends by itself.
    async fn providers(&self, _hash: &Multihash<64>, _limit: usize) -> BoxStream<'static, Provider> {
        futures::stream::empty().boxed()
    }

    /// A page of the reconciliation index, as `GraphStore::index`; an empty page ends it.
    async fn index(&self, after: i64, limit: u32) -> Result<(Vec<IndexItem>, i64), StoreError>;

    /// A durable row of the engine (replica records, addresses).
    async fn save(&self, key: Vec<u8>, value: Option<Vec<u8>>);

    /// The engine's durable rows.
    async fn saved(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError>;
}
