//! What an operator sets.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustdht_core::{Clock, Entropy};

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

/// Who may make an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// Whoever runs the gateway.
    #[default]
    Closed,
    /// Also who has an invite code: a token of scope `register`, good for one account.
    Invite,
    /// Anybody.
    Open,
}

/// The clock and the randomness of the process.
#[derive(Clone)]
pub struct System {
    /// For the expiry of tokens and for rate limits.
    pub clock: Arc<dyn Clock>,
    /// For token ids and keys.
    pub entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("System")
    }
}

/// Content by CID and by name, on hosts of its own.
#[derive(Clone, Debug)]
pub struct Ipfs {
    /// Domains whose subdomains show content: `{cid}.ipfs.<domain>`, `{name}.ipns.<domain>` (subdomain gateway
    /// specification). `localhost` is one of them without being named here, on loopback without [`Config::public_url`].
    pub gateway_hosts: Vec<String>,
    /// What DNSLink names stand for, `name=/ipfs/...` or `name=/ipns/...`; wins over DNS. The names are DNSLink hosts too.
    pub dnslink: Vec<String>,
    /// Domains that show the website that their DNSLink names (DNSLink gateway specification); `*.` in front means those
    /// below.
    pub dnslink_hosts: Vec<String>,
    /// How long one step may take, such as a block that others hold; then it is 504, or the answer breaks off.
    pub fetch_timeout: Duration,
    /// Whether files, directories and values are shown; else only what a client can verify (trustless gateway
    /// specification): blocks, archives and records.
    pub deserialized: bool,
}

impl Default for Ipfs {
    fn default() -> Self {
        Self {
            gateway_hosts: Vec::new(),
            dnslink: Vec::new(),
            dnslink_hosts: Vec::new(),
            fetch_timeout: Duration::from_secs(30),
            deserialized: true,
        }
    }
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
    /// Who may make an account.
    pub registration: Registration,
    /// The URL under which others reach this gateway. Setting it ends the owner's rights of loopback callers without
    /// a token, since a proxy in front makes everybody one.
    pub public_url: Option<String>,
    /// Content by CID and by name.
    pub ipfs: Ipfs,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8480)),
            owner_token: None,
            anonymous: Anonymous::Read,
            registration: Registration::Closed,
            public_url: None,
            ipfs: Ipfs::default(),
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
