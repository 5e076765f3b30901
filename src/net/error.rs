//! Why the swarm could not be started.

/// What was wrong with the configuration or the machine.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A listener could not be opened.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The multiaddr.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// An address that is none.
    #[error("{address} is not a usable address: {reason}")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The identity or the network cannot be used.
    #[error("{0}")]
    Identity(String),
    /// A part of the swarm could not be built.
    #[error("the swarm could not be built: {0}")]
    Swarm(String),
}
