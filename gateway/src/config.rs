//! What an operator sets.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
};

/// The owner's token. Only its hash is kept, and two hashes compare in constant time.
#[derive(Clone)]
pub struct Secret(blake3::Hash);

impl Secret {
    /// Takes a token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(blake3::hash(token.as_bytes()))
    }

    /// Whether `token` is this one, in constant time.
    #[must_use]
    pub fn matches(&self, token: &str) -> bool {
        self.0 == blake3::hash(token.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a caller without a token may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// GET and HEAD of public nodes and of `/ipfs`.
    #[default]
    Read,
    /// Nothing but the health checks.
    None,
}

/// The HTTP side of a node.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where HTTP listens. Shown by `status`, so give the bound address when the port was 0.
    pub listen: SocketAddr,
    /// A static token that acts as the owner.
    pub owner_token: Option<Secret>,
    /// What a caller without a token may do.
    pub anonymous: Anonymous,
    /// The URL under which others reach this gateway. Setting it ends the owner's rights of loopback callers without
    /// a token, since a proxy in front makes everybody one.
    pub public_url: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8480)),
            owner_token: None,
            anonymous: Anonymous::Read,
            public_url: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_tells_its_token_and_never_shows_it() {
        let secret = Secret::new("correct horse battery");
        assert!(secret.matches("correct horse battery"));
        assert!(!secret.matches("correct horse batter"));
        assert!(!secret.matches(""));
        assert!(!format!("{secret:?}").contains("horse"));
    }
}
