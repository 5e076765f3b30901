//! Content routing: who has which blocks, where peers are, and what names stand for.

use async_trait::async_trait;
use bytes::Bytes;
use cid::multihash::Multihash;
use futures::stream::BoxStream;

use super::{IpnsName, NameRecord};

/// How many peers hold a record: Kademlia's k, as libp2p's DHT has it.
pub const ROUTING_REPLICAS: usize = 20;
/// Longest multiaddr that is taken from others, in bytes; one over a relay with two peer ids has some 200.
pub const MAX_MULTIADDR_BYTES: usize = 512;
/// Addresses of one peer that are kept and passed on.
pub const MAX_PEER_ADDRESSES: usize = 32;

/// The transfer protocol Bitswap, as routers name it (IPIP-417).
pub const TRANSPORT_BITSWAP: &str = "transport-bitswap";

/// A peer, and, where it was asked for, one that has blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its peer id, base58.
    pub peer: String,
    /// Multiaddrs, at most [`MAX_PEER_ADDRESSES`].
    pub addresses: Vec<String>,
    /// Transfer protocols that it is known to speak: `transport-bitswap`, `transport-ipfs-gateway-http`. Of a peer of a DHT
    /// none are known.
    pub protocols: Vec<String>,
}

/// Why routing could not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoutingError {
    /// The swarm is stopping or has too much to do.
    #[error("content routing is busy or stopped")]
    Unavailable,
    /// Nothing reachable answered.
    #[error("no peer of the routing network answered")]
    NobodyAnswered,
    /// This router does not know such a thing, or was asked for what is none.
    #[error("the router does not answer this")]
    Unsupported,
}

/// Where to ask: a DHT, or a router over HTTP.
#[async_trait]
pub trait ContentRouting: Send + Sync {
    /// Providers of a block, as they are found, each once, at most `limit`; ends by itself. Dropping it ends the search.
    async fn providers(&self, key: &Multihash<64>, limit: usize) -> Result<BoxStream<'static, Provider>, RoutingError>;

    /// Where a peer is known to be; `None`: nowhere.
    async fn peer(&self, peer: &str) -> Result<Option<Provider>, RoutingError>;

    /// Records of a name as they are found, unverified; ends by itself. Dropping it ends the search.
    async fn name_records(&self, name: &IpnsName) -> Result<BoxStream<'static, Bytes>, RoutingError>;

    /// Puts a record that was checked where others look for it.
    async fn put_name(&self, name: &IpnsName, record: &NameRecord) -> Result<(), RoutingError>;
}

/// A DHT that keeps provider records of this node.
#[async_trait]
pub trait Announcer: Send + Sync {
    /// The peers nearest to a key, nearest first: [`ROUTING_REPLICAS`], or as many as there are. This node is not among them.
    async fn nearest(&self, key: &[u8]) -> Result<Vec<Provider>, RoutingError>;

    /// Tells these peers that this node has the blocks of these keys; how many records were sent. Peers that cannot be reached
    /// are passed over.
    async fn announce(&self, records: Vec<(Provider, Vec<Multihash<64>>)>) -> Result<usize, RoutingError>;
}
