//! The two DHTs: that of the network, among its members, and the public one of IPFS.
//!
//! ```text
//!   node ──ContentRouting, Announcer──> Dht ──commands──> Service ──queries──> kad::Behaviour ──> Records
//!                                                            '──Announcement──> Announcer
//! ```

mod dht;
mod log;
mod message;
mod records;

use libp2p::{PeerId, StreamProtocol, kad};
use rustdht_core::NetId;

use crate::{NetError, config::DhtMode};

pub use dht::Dht;
pub(crate) use dht::{Lookup, found, place, wire_addresses};
pub(crate) use log::Log;
pub(crate) use message::add_providers;
pub(crate) use records::{Kept, Records};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Which {
    /// Of the network: `/rustdht/<net>/kad/1`.
    Network,
    /// Of IPFS: `/ipfs/kad/1.0.0`.
    Public,
}

impl Which {
    pub(crate) const ALL: [Self; 2] = [Self::Network, Self::Public];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Public => "public",
        }
    }
}

pub(crate) type Kad = kad::Behaviour<Records>;

/// What both are.
fn settings(protocol: StreamProtocol) -> kad::Config {
    let mut config = kad::Config::new(protocol);
    config
        // Records end by what they say, and provider records after 48 hours; who has something announces it again.
        .set_record_ttl(None)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_record_ttl(None)
        .set_provider_publication_interval(None)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_caching(kad::Caching::Disabled)
        .disjoint_query_paths(true);
    config
}

/// The protocol of the network's own.
pub(crate) fn network_protocol(net: &NetId) -> Result<StreamProtocol, NetError> {
    StreamProtocol::try_from_owned(format!("/rustdht/{net}/kad/1")).map_err(|error| NetError::Swarm(error.to_string()))
}

/// Only members enter its table.
pub(crate) fn of_network(local: PeerId, net: &NetId) -> Result<Kad, NetError> {
    let mut config = settings(network_protocol(net)?);
    config.set_periodic_bootstrap_interval(None);
    let mut behaviour = Kad::with_config(local, Records::new(local), config);
    behaviour.set_mode(Some(kad::Mode::Server));
    Ok(behaviour)
}

/// Whoever speaks its protocol enters its table. It finds more peers by itself every five minutes, once it knows one.
pub(crate) fn public(local: PeerId, mode: DhtMode, protocol: &str) -> Result<Option<Kad>, NetError> {
    let mode = match mode {
        DhtMode::Off => return Ok(None),
        DhtMode::Client => kad::Mode::Client,
        DhtMode::Server => kad::Mode::Server,
    };
    let protocol = public_protocol(protocol)?;
    let mut behaviour = Kad::with_config(local, Records::new(local), settings(protocol));
    behaviour.set_mode(Some(mode));
    Ok(Some(behaviour))
}

pub(crate) fn public_protocol(protocol: &str) -> Result<StreamProtocol, NetError> {
    StreamProtocol::try_from_owned(protocol.to_owned())
        .map_err(|_| NetError::Protocol { protocol: protocol.to_owned() })
}
