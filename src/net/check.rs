//! What can be said of a configured address before anything is started.

use libp2p::Multiaddr;

use crate::{NetError, addresses::with_peer};

/// Whether `address` may stand in [`crate::NetConfig::dial`].
///
/// # Errors
/// [`NetError::Address`] when it is no multiaddr or does not end in `/p2p/` and a PeerId.
pub fn check_dial(address: &str) -> Result<(), NetError> {
    with_peer(address).map(drop)
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
