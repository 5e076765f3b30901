//! Bearer tokens: biscuits (biscuitsec.org, format 3), made and checked here. They open HTTP doors only and never enter
//! the merge.
//!
//! ```text
//! authority block, signed by this gateway's root key        blocks of whoever held it since
//!   token_id(hex) user(name) key(z6Mk..) | owner(true)        check if operation("read");
//!   scope("read" | "write" | "admin" | "register")            check if soul($s), $s.starts_with("people/");
//!   prefix(soul)*  expires(date)                              check if time($t), $t < 2027-01-01T00:00:00Z;
//! ```
//!
//! The signature of a token is checked once and what it grants is kept; expiry, revocation and the account are looked at
//! with every request, the checks of further blocks with every soul of it.

mod biscuit;
mod doors;
mod grant;
mod narrow;

use std::sync::Arc;

use moka::sync::Cache;

use self::biscuit::{MAX_TOKEN_BYTES, Root};
pub use self::narrow::{Narrowing, narrow};
pub(crate) use self::{
    biscuit::Claims,
    doors::{issue, lifetime, router},
    grant::{Asked, Grant, Holder, Scope, Scopes, Target, not_ours},
};
use crate::{Error, problem::Problem};

/// Tokens whose signature is known to be good; the least used go first. One is a few KiB at most.
const CACHED_TOKENS: u64 = 4096;

/// The tokens of this gateway.
pub(crate) struct Tokens {
    root: Root,
    /// By hash, so that the table holds nothing that opens a door.
    verified: Cache<[u8; 32], Arc<Grant>>,
}

impl Tokens {
    /// The tokens that the key of this seed signs.
    ///
    /// # Errors
    /// [`Error::TokenRoot`] when it makes no key.
    pub(crate) fn new(seed: &[u8; 32]) -> Result<Self, Error> {
        let root = Root::from_seed(seed).ok_or(Error::TokenRoot)?;
        Ok(Self { root, verified: Cache::new(CACHED_TOKENS) })
    }

    /// The text of a new token. `next` is fresh randomness: the key that signs a further block.
    ///
    /// # Errors
    /// When the library refuses.
    pub(crate) fn mint(&self, claims: &Claims, next: &[u8; 32]) -> Result<String, Problem> {
        self.root.mint(claims, next)
    }

    /// What a token of this gateway grants. Whether it is revoked or past its time is not looked at.
    ///
    /// # Errors
    /// `unauthenticated` for anything but a token that this gateway signed.
    pub(crate) fn read(&self, text: &str) -> Result<Arc<Grant>, Problem> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(grant::not_ours());
        }
        let hash = *blake3::hash(text.as_bytes()).as_bytes();
        if let Some(grant) = self.verified.get(&hash) {
            return Ok(grant);
        }
        let grant = Arc::new(self.root.read(text)?);
        self.verified.insert(hash, Arc::clone(&grant));
        Ok(grant)
    }
}
