//! IPNS: names that stand for content, kept, looked up and published.
//!
//! ```text
//!   resolve ──> cache ──> rows ──> routers ──check──> rows            put ──check──> rows ──> queue ──> routers
//!                                                                     publish: key ──sign──┘      republished every 4 h
//! ```
//!
//! A record is kept when it was checked, and by the order of the specification: the greater sequence, then the longer validity.
//! Those of keys that are here stay; of others a bounded number does, the newest.

mod book;
mod follow;
mod give;
mod keys;
mod publish;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rustdht_core::ports::{Fetch, IpnsName, NameError, NameRecord, Names, StoreError};

pub use follow::{Followed, MAX_NAMES_FOLLOWED};
pub use keys::NameKey;
pub use publish::{NewName, PublishedName};

pub(crate) use book::Book;
pub(crate) use give::run;

use crate::{Error, Node, node::Inner};

/// The key that every gateway has: that of its peer id.
pub const SELF_KEY: &str = "self";

/// Why a key or a name cannot be used so.
#[derive(Debug, thiserror::Error)]
pub enum NameFault {
    /// No such key.
    #[error("there is no key '{0}': list them with `rustdht key ls`")]
    UnknownKey(String),
    /// There is one of that name.
    #[error("there is a key '{0}' already")]
    KeyTaken(String),
    /// Not a name for a key.
    #[error("a key's name is 1 to 64 of a-z, A-Z, 0-9, '_', '.' and '-'")]
    BadKeyName,
    /// The key of the peer id is always there.
    #[error("the key 'self' is the gateway's own; it is neither made, brought in nor removed")]
    OwnKey,
    /// Not a key that can be used.
    #[error("not a private key: {0}")]
    BadKey(&'static str),
    /// As many as there may be.
    #[error("this gateway has {limit} keys, as many as it may: remove some first")]
    TooManyKeys {
        /// How many.
        limit: usize,
    },
    /// A record cannot be had, kept or made.
    #[error(transparent)]
    Record(#[from] NameError),
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        NameFault::Record(error).into()
    }
}

/// The names, for doors.
struct Service {
    inner: Arc<Inner>,
}

impl Node {
    /// IPNS names.
    #[must_use]
    pub fn names(&self) -> Arc<dyn Names> {
        Arc::new(Service { inner: Arc::clone(&self.inner) })
    }
}

#[async_trait]
impl Names for Service {
    #[tracing::instrument(name = "node.names.resolve", level = "debug", skip_all, fields(%name))]
    async fn resolve(&self, name: &IpnsName, fetch: Fetch) -> Result<NameRecord, NameError> {
        self.inner.names.resolve(&self.inner, name, fetch).await
    }

    #[tracing::instrument(name = "node.names.put", level = "debug", skip_all, fields(%name))]
    async fn put(&self, name: &IpnsName, record: Bytes) -> Result<NameRecord, NameError> {
        let kept = self.inner.names.keep(&self.inner, name, record).await?;
        self.inner.names.give(*name);
        Ok(kept)
    }
}

fn unavailable(error: &StoreError) -> NameError {
    tracing::error!(%error, "records of names cannot be read or written");
    NameError::Unavailable("the store cannot serve now; the log of the node says why".to_owned())
}
