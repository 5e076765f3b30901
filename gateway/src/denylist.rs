//! The node's denylists behind the door for content.

use rustdht_node::{DenyRoot, Denylist};

use crate::{Denial, Denied, Root};

impl Denied for Denylist {
    fn denied(&self, root: Root<'_>, path: &[String]) -> Option<Denial> {
        let root = match root {
            Root::Cid(cid) => DenyRoot::Cid(cid),
            Root::Name(name) => DenyRoot::Name(name),
        };
        let denied = Self::denied(self, root, path)?;
        Some(Denial { by_law: denied.by_law, reason: format!("list '{}'", denied.list) })
    }
}
