//! What can go wrong in the engine: always something that a peer or a stored row brought in.

/// Why foreign bytes were not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a negentropy v1 message.
    #[error("reconciliation: {0}")]
    Reconcile(&'static str),
    /// Not a replica record of this network.
    #[error("replica record: {0}")]
    Record(String),
    /// As many replicas are known as can be, and none of them makes room.
    #[error("more replicas than can be known")]
    Full,
}
