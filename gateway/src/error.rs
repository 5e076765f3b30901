//! What can go wrong before the first request.

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `public_url` is no absolute http or https URL.
    #[error("public_url '{0}' is not an absolute http or https URL, such as https://node.example")]
    PublicUrl(String),
    /// A host, or what a DNSLink name stands for, cannot be meant so.
    #[error("{0}")]
    Ipfs(String),
    /// The seed of the tokens' root key makes no key.
    #[error("the root key of the tokens cannot be used")]
    TokenRoot,
}
