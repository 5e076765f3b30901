//! What can be said of a configured address before anything is started.

use libp2p::Multiaddr;

use crate::{NetError, addresses::with_peer, routing::public_protocol};

/// Whether `address` may stand in [`crate::NetConfig::dial`].
///
/// # Errors
/// [`NetError::Address`] when it is no multiaddr or does not end in `/p2p/` and a PeerId.
pub fn check_dial(address: &str) -> Result<(), NetError> {
    with_peer(address).map(drop)
}

/// Whether `protocol` may stand in [`crate::IpfsConfig::dht_protocol`].
///
/// # Errors
/// [`NetError::Protocol`].
pub fn check_dht_protocol(protocol: &str) -> Result<(), NetError> {
    public_protocol(protocol).map(drop)
}

/// Whether `address` may stand in [`crate::NetConfig::external`].
///
/// # Errors
/// [`NetError::Address`] when it is no multiaddr.
pub fn check_external(address: &str) -> Result<(), NetError> {
    address
        .parse::<Multiaddr>()
        .map(drop)
        .map_err(|error| NetError::Address { address: address.to_owned(), reason: error.to_string() })
}
