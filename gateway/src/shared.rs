//! What every handler shares.

use std::{net::SocketAddr, sync::Arc};

use axum::http::Uri;
use metrics_exporter_prometheus::PrometheusHandle;
use rustdht_core::ports::{DnsLinks, Names, Previews, UploadStore};
use rustdht_node::{Node, Principal, TokenId};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, Error, Ipfs, Readiness, Registration, System,
    attempts::Attempts,
    auth::{Access, Caller},
    codes::HttpCode,
    ipfs::{Content, Denied},
    limits, previews,
    problem::Problem,
    tokens::{Grant, Holder, Scope, Tokens},
    uploads,
};

/// What every handler shares. A clone is a reference.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    node: Node,
    access: Access,
    tokens: Tokens,
    registration: Registration,
    system: System,
    ipfs: Content,
    logins: Attempts,
    registering: Mutex<()>,
    checking: Arc<Semaphore>,
    listen: SocketAddr,
    readiness: Readiness,
    prometheus: Option<PrometheusHandle>,
    stopping: CancellationToken,
    watchers: Arc<Semaphore>,
    editors: Arc<Semaphore>,
    imports: Arc<Semaphore>,
    uploads: uploads::Places,
    upload_desk: uploads::Desk,
    preview_desk: previews::Desk,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("listen", &self.0.listen).field("access", &self.0.access).finish_non_exhaustive()
    }
}

impl State {
    /// The state of one gateway. `stopping` ends live streams and imports; give `serve` the same one.
    ///
    /// # Errors
    /// [`Error::PublicUrl`] when `public_url` is no absolute http or https URL; [`Error::Ipfs`] for hosts that are none;
    /// [`Error::TokenRoot`] when the node's seed for tokens makes no key.
    pub fn new(
        node: Node,
        config: Config,
        system: System,
        readiness: Readiness,
        prometheus: Option<PrometheusHandle>,
        stopping: CancellationToken,
    ) -> Result<Self, Error> {
        let public_origin = config.public_url.as_deref().map(origin_of).transpose()?;
        let public = public_origin.as_deref().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        let ipfs = Content::new(&config.ipfs, public, config.listen.ip().is_loopback())?;
        let access = Access { token: config.owner_token, anonymous: config.anonymous, public_origin };
        Ok(Self(Arc::new(Inner {
            tokens: Tokens::new(&node.token_root())?,
            node,
            access,
            registration: config.registration,
            system,
            ipfs,
            logins: Attempts::default(),
            registering: Mutex::default(),
            checking: Arc::new(Semaphore::new(1)),
            listen: config.listen,
            readiness,
            prometheus,
            stopping,
            watchers: Arc::new(Semaphore::new(limits::MAX_WATCHERS)),
            editors: Arc::new(Semaphore::new(limits::MAX_EDITORS)),
            imports: Arc::new(Semaphore::new(limits::MAX_IMPORTS)),
            uploads: uploads::Places::default(),
            upload_desk: uploads::Desk::default(),
            preview_desk: previews::Desk::default(),
        })))
    }

    /// Where IPNS records come from, instead of the node. The first binding holds.
    pub fn bind_names(&self, names: Arc<dyn Names>) {
        self.0.ipfs.bind_names(names);
    }

    /// Where DNSLinks come from that the configuration does not name. Until it is bound, and where nobody binds it,
    /// requests for other domains are answered 501. The first binding holds.
    pub fn bind_dnslinks(&self, links: Arc<dyn DnsLinks>) {
        self.0.ipfs.bind_dnslinks(links);
    }

    /// What is not served. The first binding holds.
    pub fn bind_denied(&self, denied: Arc<dyn Denied>) {
        self.0.ipfs.bind_denied(denied);
    }

    /// Where uploads in parts are kept; without, there are none. The first binding holds.
    pub fn bind_uploads(&self, store: Arc<dyn UploadStore>) {
        self.0.upload_desk.bind(store);
    }

    /// What makes previews of images; without, there are none. The first binding holds.
    pub fn bind_previews(&self, previews: Arc<dyn Previews>) {
        self.0.preview_desk.bind(previews);
    }

    /// Gives up the uploads in parts that nothing came for in [`limits::UPLOAD_EXPIRY`]. To be called now and then.
    pub async fn expire_uploads(&self) {
        self.0.upload_desk.expire(self.now_ms()).await;
    }

    /// Uploads in parts.
    pub(crate) fn upload_desk(&self) -> &uploads::Desk {
        &self.0.upload_desk
    }

    /// Previews of images.
    pub(crate) fn preview_desk(&self) -> &previews::Desk {
        &self.0.preview_desk
    }

    /// Where IPNS records come from.
    pub(crate) fn names(&self) -> Arc<dyn Names> {
        self.0.ipfs.names().cloned().unwrap_or_else(|| self.0.node.names())
    }

    pub(crate) fn ipfs(&self) -> &Content {
        &self.0.ipfs
    }

    pub(crate) fn node(&self) -> &Node {
        &self.0.node
    }

    pub(crate) fn access(&self) -> &Access {
        &self.0.access
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    pub(crate) fn registration(&self) -> Registration {
        self.0.registration
    }

    /// Milliseconds since the epoch.
    pub(crate) fn now_ms(&self) -> u64 {
        self.0.system.clock.now_ms()
    }

    /// Fresh randomness.
    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.system.entropy.fill(&mut bytes);
        bytes
    }

    /// Where randomness comes from.
    pub(crate) fn entropy(&self) -> &dyn rustdht_core::Entropy {
        &*self.0.system.entropy
    }

    /// The id of a new token.
    pub(crate) fn token_id(&self) -> TokenId {
        TokenId(self.random())
    }

    /// Attempts to log in and to make accounts.
    pub(crate) fn logins(&self) -> &Attempts {
        &self.0.logins
    }

    /// Held while an invite code turns into an account, so that two of a kind cannot both.
    pub(crate) fn registering(&self) -> &Mutex<()> {
        &self.0.registering
    }

    /// One check of the graph runs at a time.
    pub(crate) fn checking(&self) -> &Arc<Semaphore> {
        &self.0.checking
    }

    /// What a token grants now: this gateway made it, its time is not over, it is not revoked, and its account is
    /// neither gone nor disabled.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub(crate) fn standing(&self, text: &str, now_ms: u64) -> Result<Arc<Grant>, Problem> {
        let grant = self.0.tokens.read(text)?;
        self.stands(&grant, now_ms)?;
        Ok(grant)
    }

    /// Whether a token that was read still grants what it says.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub(crate) fn stands(&self, grant: &Grant, now_ms: u64) -> Result<(), Problem> {
        let ended = |detail: &'static str| Err(Problem::new(HttpCode::Unauthenticated, detail));
        if grant.expires_ms <= now_ms {
            return ended("the token's time is over");
        }
        if self.0.node.is_token_revoked(&grant.id) {
            return ended("the token is revoked");
        }
        if let Holder::Account { key, .. } = &grant.holder
            && self.0.node.account_by_key(key).is_none_or(|account| account.disabled_ms.is_some())
        {
            return ended("the token's account is disabled");
        }
        Ok(())
    }

    /// Key and name of who asks, for what others see of him; `None`: nobody in particular.
    pub(crate) fn user_tag(&self, caller: &Caller) -> Option<(String, String)> {
        // An invite code is the owner's token, and shown by a stranger.
        if caller.grant().is_some_and(|grant| grant.has(Scope::Read).is_err()) {
            return None;
        }
        match caller.principal() {
            Principal::Owner | Principal::Internal => {
                Some((self.0.node.identity().gateway.to_string(), "owner".to_owned()))
            }
            Principal::Account(key) => {
                let name = self.0.node.account_by_key(&key).map(|account| account.name)?;
                Some((key.to_string(), name))
            }
            Principal::Anonymous => None,
        }
    }

    pub(crate) fn listen(&self) -> SocketAddr {
        self.0.listen
    }

    pub(crate) fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }

    pub(crate) fn prometheus(&self) -> Option<&PrometheusHandle> {
        self.0.prometheus.as_ref()
    }

    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    pub(crate) fn editors(&self) -> &Arc<Semaphore> {
        &self.0.editors
    }

    pub(crate) fn watchers(&self) -> &Arc<Semaphore> {
        &self.0.watchers
    }

    pub(crate) fn imports(&self) -> &Arc<Semaphore> {
        &self.0.imports
    }

    /// Uploads that run.
    pub(crate) fn uploads(&self) -> &uploads::Places {
        &self.0.uploads
    }
}

/// Whether `url` may stand in [`Config::public_url`].
///
/// # Errors
/// [`Error::PublicUrl`] when it is no absolute http or https URL.
pub fn check_public_url(url: &str) -> Result<(), Error> {
    origin_of(url).map(drop)
}

/// Whether the hosts and links of a configuration can be meant so.
///
/// # Errors
/// [`Error::Ipfs`] with the key to blame.
pub fn check_ipfs(config: &Ipfs) -> Result<(), Error> {
    Content::new(config, None, false).map(drop)
}

/// Scheme, host and port of a URL, as a browser sends them in `Origin`.
fn origin_of(url: &str) -> Result<String, Error> {
    let bad = || Error::PublicUrl(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| bad())?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https")).ok_or_else(bad)?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(bad)?;
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.as_str().to_ascii_lowercase();
    Ok(format!("{scheme}://{}", authority.strip_suffix(default_port).unwrap_or(&authority)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        assert_eq!(origin_of("https://Node.Example/").unwrap(), "https://node.example");
        assert_eq!(origin_of("https://node.example:443/x").unwrap(), "https://node.example");
        assert_eq!(origin_of("http://node.example:8080").unwrap(), "http://node.example:8080");
        for url in ["", "node.example", "/x", "ftp://a/", "https://a@b/"] {
            assert!(origin_of(url).is_err(), "{url}");
        }
    }
}
