//! The swarm: connections to the other members over libp2p, and the adapter that drives the replication engine.
//!
//! ```text
//!   node --Replicator--> Handle --commands--> Service { swarm, engine } --Ingest--> node
//! ```
//!
//! [`Service`] owns the swarm and the engine and is the only task that touches them; [`Handle`] is a cheap clone that
//! speaks to it through a bounded channel. What an envelope means, whether it is valid and where it is kept, this
//! crate deliberately does not know: that is behind [`rustdht_core::ports::Ingest`].
//!
//! A peer is a stranger until both sides have proved the network key in `hello`; a stranger is answered nothing of the
//! graph. One that shows that it speaks IPFS is a guest: blocks are exchanged with it, and records of the public DHT. Any
//! other is disconnected after ten seconds.

mod addresses;
mod behaviour;
mod check;
mod codec;
mod config;
mod dns;
mod error;
mod fetching;
mod handle;
mod hello;
pub mod limits;
mod metrics;
mod pace;
mod routing;
mod service;
mod transport;

pub use check::{check_dht_protocol, check_dial, check_external};
pub use config::{ConnectionLimits, DhtMode, IpfsConfig, NetConfig, Serve};
pub use dns::Dns;
pub use error::NetError;
pub use handle::Handle;
pub use metrics::describe_metrics;
pub use routing::Dht;
pub use rustdht_wire::Role;
pub use service::Service;
