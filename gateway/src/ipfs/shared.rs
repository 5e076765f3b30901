//! What requests for content share.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rustdht_core::ports::{DnsLinks, Names};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{denied::Denied, hosts::Hosts};
use crate::{Error, Ipfs, codes::HttpCode, limits, problem::Problem};

/// What requests for content share.
pub(crate) struct Content {
    hosts: Hosts,
    fetch_timeout: Duration,
    deserialized: bool,
    names: OnceLock<Arc<dyn Names>>,
    dnslinks: OnceLock<Arc<dyn DnsLinks>>,
    denied: OnceLock<Arc<dyn Denied>>,
    requests: Arc<Semaphore>,
    opened: Arc<Semaphore>,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Content {
    /// # Errors
    /// [`Error::Ipfs`].
    pub(crate) fn new(config: &Ipfs, public: Option<&str>, on_loopback: bool) -> Result<Self, Error> {
        Ok(Self {
            hosts: Hosts::new(config, public, on_loopback)?,
            fetch_timeout: config.fetch_timeout,
            deserialized: config.deserialized,
            names: OnceLock::new(),
            dnslinks: OnceLock::new(),
            denied: OnceLock::new(),
            requests: Arc::new(Semaphore::new(limits::MAX_CONTENT_REQUESTS)),
            opened: Arc::new(Semaphore::new(limits::MAX_PRIVATE_READS)),
        })
    }

    pub(crate) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    pub(super) const fn fetch_timeout(&self) -> Duration {
        self.fetch_timeout
    }

    pub(super) const fn deserialized(&self) -> bool {
        self.deserialized
    }

    pub(crate) fn names(&self) -> Option<&Arc<dyn Names>> {
        self.names.get()
    }

    pub(super) fn dnslinks(&self) -> Option<&Arc<dyn DnsLinks>> {
        self.dnslinks.get()
    }

    pub(super) fn denied(&self) -> Option<&Arc<dyn Denied>> {
        self.denied.get()
    }

    pub(crate) fn bind_names(&self, names: Arc<dyn Names>) {
        self.names.set(names).ok();
    }

    pub(crate) fn bind_dnslinks(&self, links: Arc<dyn DnsLinks>) {
        self.dnslinks.set(links).ok();
    }

    pub(crate) fn bind_denied(&self, denied: Arc<dyn Denied>) {
        self.denied.set(denied).ok();
    }

    /// A place among the requests under way.
    ///
    /// # Errors
    /// `rate_limited` when there is none.
    pub(super) fn slot(&self) -> Result<Arc<OwnedSemaphorePermit>, Problem> {
        place(&self.requests)
    }

    /// A place among those whose files are opened here.
    ///
    /// # Errors
    /// `rate_limited` when there is none.
    pub(super) fn opening(&self) -> Result<Arc<OwnedSemaphorePermit>, Problem> {
        place(&self.opened)
    }
}

fn place(places: &Arc<Semaphore>) -> Result<Arc<OwnedSemaphorePermit>, Problem> {
    Arc::clone(places).try_acquire_owned().map(Arc::new).map_err(|_| {
        Problem::new(HttpCode::RateLimited, "too many requests for content are being answered; try again")
            .with(axum::http::header::RETRY_AFTER, axum::http::HeaderValue::from_static("1"))
    })
}
