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
    /// A protocol name that is none.
    #[error("{protocol} is no protocol of a DHT: it begins with a slash, such as /ipfs/kad/1.0.0")]
    Protocol {
        /// What was given.
        protocol: String,
    },
    /// Names cannot be looked up.
    #[error("the DNS resolver cannot be set up: {0}")]
    Resolver(String),
    /// The identity or the network cannot be used.
    #[error("{0}")]
    Identity(String),
    /// A part of the swarm could not be built.
    #[error("the swarm could not be built: {0}")]
    Swarm(String),
}
