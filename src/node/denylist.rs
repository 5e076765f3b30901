//! What the operator does not serve: denylists in the compact denylist format (IPIP-383), matched in memory.
//!
//! Of several lists a later one wins over an earlier one, and in a list a later rule over an earlier one. A rule about a CID
//! is about its multihash, whatever the codec.

mod header;
mod rules;
#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError, RwLock};

use cid::Cid;
use rustdht_core::ports::BlockGate;

pub use rules::{DenyRules, DenyRulesError};

/// What a path begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyRoot<'a> {
    /// `/ipfs/{cid}`
    Cid(&'a Cid),
    /// `/ipns/{name}`: an IPNS name, or a domain in lower case.
    Name(&'a str),
}

/// Why something is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The list gives the law as the reason (hint `gateway_status` 451).
    pub by_law: bool,
    /// The name of the list.
    pub list: Arc<str>,
}

/// The lists in use. Replaced as a whole when a file changes.
#[derive(Debug, Default)]
pub struct Denylist {
    lists: RwLock<Arc<[DenyRules]>>,
}

impl Denylist {
    /// Uses these lists from now on; later ones win.
    pub fn replace(&self, lists: Vec<DenyRules>) {
        *self.lists.write().unwrap_or_else(PoisonError::into_inner) = lists.into();
    }

    fn lists(&self) -> Arc<[DenyRules]> {
        Arc::clone(&self.lists.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the lists say of exactly this path; `None`: nothing. `Some(None)`: a rule allows it.
    fn exact(lists: &[DenyRules], root: DenyRoot<'_>, path: &str) -> Option<Option<Denied>> {
        let asked = rules::Asked::of(root, path);
        let (list, verdict) = lists.iter().rev().find_map(|list| Some((list, list.verdict(&asked)?)))?;
        Some((!verdict.allow).then(|| Denied { by_law: verdict.by_law, list: Arc::clone(list.name()) }))
    }

    /// Whether a path is denied, or one in front of it is and no rule allows what follows.
    #[must_use]
    pub fn denied(&self, root: DenyRoot<'_>, path: &[String]) -> Option<Denied> {
        let lists = self.lists();
        if lists.is_empty() {
            return None;
        }
        (0..=path.len()).rev().find_map(|len| Self::exact(&lists, root, &path[..len].join("/"))).flatten()
    }

    /// Whether a block is denied.
    #[must_use]
    pub fn denied_cid(&self, cid: &Cid) -> Option<Denied> {
        self.denied(DenyRoot::Cid(cid), &[])
    }
}

impl BlockGate for Denylist {
    fn admits(&self, cid: &Cid) -> bool {
        self.denied_cid(cid).is_none()
    }
}
