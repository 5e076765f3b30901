//! What the swarm must be told.

use std::{fmt, net::IpAddr, sync::Arc};

use rustdht_core::{NetId, Placement, ports::BlockGate};
use rustdht_wire::Role;

/// Bounds on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Open connections in all.
    pub total: u32,
    /// Open connections with one peer.
    pub per_peer: u32,
    /// Open inbound connections from one /24 (IPv4) or /48 (IPv6). Loopback is not counted.
    pub per_subnet: u32,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { total: 512, per_peer: 4, per_subnet: 64 }
    }
}

/// Whom Bitswap serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serve {
    /// Everybody who connects.
    #[default]
    All,
    /// Members of the network.
    Members,
    /// Nobody.
    Nobody,
}

/// How this node takes part in the public DHT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DhtMode {
    /// Not at all.
    #[default]
    Off,
    /// It asks.
    Client,
    /// It asks, answers, and keeps records for others; it has to be reachable for them.
    Server,
}

/// What has to do with IPFS.
#[derive(Clone)]
pub struct IpfsConfig {
    /// Whom Bitswap serves.
    pub serve: Serve,
    /// What is neither served nor taken.
    pub gate: Option<Arc<dyn BlockGate>>,
    /// The public DHT.
    pub dht: DhtMode,
    /// Its protocol, `/ipfs/kad/1.0.0`; a private network of IPFS has another.
    pub dht_protocol: String,
    /// Multiaddrs with `/p2p/` of peers from which the public DHT is entered.
    pub bootstrap: Vec<String>,
    /// Multiaddrs with `/p2p/` of peers that are kept connected, members of the network or not.
    pub peers: Vec<String>,
}

impl Default for IpfsConfig {
    fn default() -> Self {
        Self {
            serve: Serve::default(),
            gate: None,
            dht: DhtMode::default(),
            dht_protocol: "/ipfs/kad/1.0.0".to_owned(),
            bootstrap: Vec::new(),
            peers: Vec::new(),
        }
    }
}

impl fmt::Debug for IpfsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IpfsConfig")
            .field("serve", &self.serve)
            .field("dht", &self.dht)
            .field("dht_protocol", &self.dht_protocol)
            .field("bootstrap", &self.bootstrap)
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}

/// Everything that [`crate::Service::new`] needs.
#[derive(Clone)]
pub struct NetConfig {
    /// The seed of the Ed25519 key behind the PeerId; it belongs to the database.
    pub identity: [u8; 32],
    /// The network.
    pub net: NetId,
    /// Its secret, from the invite.
    pub network_key: [u8; 32],
    /// The numbers of its charter.
    pub placement: Placement,
    /// What this replica does.
    pub role: Role,
    /// Where to listen.
    pub hosts: Vec<IpAddr>,
    /// The port of TCP and QUIC; 0: the system chooses.
    pub port: u16,
    /// The port of WebSocket; 0: the system chooses; `None`: no WebSocket.
    pub ws_port: Option<u16>,
    /// Multiaddrs under which others reach this replica, besides those it listens on.
    pub external: Vec<String>,
    /// Multiaddrs of members to dial, each with `/p2p/`.
    pub dial: Vec<String>,
    /// Whether to look for members on the local network.
    pub mdns: bool,
    /// Bounds on connections.
    pub limits: ConnectionLimits,
    /// Blocks, providers and names.
    pub ipfs: IpfsConfig,
}

impl fmt::Debug for NetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetConfig")
            .field("identity", &"redacted")
            .field("net", &self.net)
            .field("network_key", &"redacted")
            .field("placement", &self.placement)
            .field("role", &self.role)
            .field("hosts", &self.hosts)
            .field("port", &self.port)
            .field("ws_port", &self.ws_port)
            .field("external", &self.external)
            .field("dial", &self.dial)
            .field("mdns", &self.mdns)
            .field("limits", &self.limits)
            .field("ipfs", &self.ipfs)
            .finish()
    }
}
