//! What the swarm must be told.

use std::{fmt, net::IpAddr};

use rustdht_core::{NetId, Placement};
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
            .finish()
    }
}
