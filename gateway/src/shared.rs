//! What every handler shares.

use std::{net::SocketAddr, sync::Arc};

use axum::http::Uri;
use metrics_exporter_prometheus::PrometheusHandle;
use rustdht_node::Node;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{Config, Error, Readiness, auth::Access, limits};

/// What every handler shares. A clone is a reference.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    node: Node,
    access: Access,
    listen: SocketAddr,
    readiness: Readiness,
    prometheus: Option<PrometheusHandle>,
    stopping: CancellationToken,
    watchers: Arc<Semaphore>,
    imports: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
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
    /// [`Error::PublicUrl`] when `public_url` is no absolute http or https URL.
    pub fn new(
        node: Node,
        config: Config,
        readiness: Readiness,
        prometheus: Option<PrometheusHandle>,
        stopping: CancellationToken,
    ) -> Result<Self, Error> {
        let public_origin = config.public_url.as_deref().map(origin_of).transpose()?;
        let access = Access { token: config.owner_token, anonymous: config.anonymous, public_origin };
        Ok(Self(Arc::new(Inner {
            node,
            access,
            listen: config.listen,
            readiness,
            prometheus,
            stopping,
            watchers: Arc::new(Semaphore::new(limits::MAX_WATCHERS)),
            imports: Arc::new(Semaphore::new(limits::MAX_IMPORTS)),
            uploads: Arc::new(Semaphore::new(limits::MAX_UPLOADS)),
        })))
    }

    pub(crate) fn node(&self) -> &Node {
        &self.0.node
    }

    pub(crate) fn access(&self) -> &Access {
        &self.0.access
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

    pub(crate) fn watchers(&self) -> &Arc<Semaphore> {
        &self.0.watchers
    }

    pub(crate) fn imports(&self) -> &Arc<Semaphore> {
        &self.0.imports
    }

    pub(crate) fn uploads(&self) -> &Arc<Semaphore> {
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
