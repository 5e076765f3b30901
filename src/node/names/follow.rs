//! Following names until there is content.

use cid::Cid;
use rustdht_core::ports::{Fetch, IpnsName, NameError};

use crate::{Error, Node};

/// Names followed one after the other (DNSLink gateway specification: "a hard recursion limit (e.g. 32)").
pub const MAX_NAMES_FOLLOWED: usize = 32;
/// Longest path that a name may stand for, in bytes; a record has 10 KiB for it twice.
const MAX_TARGET_BYTES: usize = 4096;

/// Where names led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// `/ipfs/...`; `/ipns/...` when only one name was to be followed.
    pub value: String,
    /// How long it may be cached, in seconds: the least of all names; `None`: nobody said.
    pub ttl_s: Option<u64>,
}

/// A path as a record's value: `/ipfs/{cid}...` or `/ipns/{name}...`; a CID alone is one of `/ipfs`.
pub(super) fn target(text: &str) -> Result<String, NameError> {
    let bad = |why: &str| NameError::Invalid(format!("'{text}' is no path: {why}"));
    if text.len() > MAX_TARGET_BYTES {
        return Err(NameError::Invalid(format!("a path of more than {MAX_TARGET_BYTES} bytes")));
    }
    if let Some(rest) = text.strip_prefix("/ipfs/") {
        let root = rest.split('/').next().unwrap_or_default();
        return Cid::try_from(root).map(|_| text.to_owned()).map_err(|_| bad("what follows /ipfs/ is no CID"));
    }
    if let Some(rest) = text.strip_prefix("/ipns/") {
        let root = rest.split('/').next().unwrap_or_default();
        let domain = root.contains('.') && !root.starts_with('.') && !root.ends_with('.');
        if root.parse::<IpnsName>().is_ok() || domain {
            return Ok(text.to_owned());
        }
        return Err(bad("what follows /ipns/ is neither a name nor a domain"));
    }
    match Cid::try_from(text) {
        Ok(cid) => Ok(format!("/ipfs/{cid}")),
        Err(_) => Err(bad("give /ipfs/{cid}, /ipns/{name} or a CID")),
    }
}

impl Node {
    /// What a name stands for: an IPNS name or a domain, with `/ipns/` or without, and perhaps a path behind it.
    ///
    /// # Errors
    /// [`crate::NameFault::Record`].
    pub async fn resolve_name(&self, name: &str, recursive: bool, fetch: Fetch) -> Result<Followed, Error> {
        let rest = name.strip_prefix("/ipns/").unwrap_or(name).trim_end_matches('/');
        let (mut root, mut path) = rest
            .split_once('/')
            .map_or((rest.to_owned(), String::new()), |(root, path)| (root.to_owned(), format!("/{path}")));
        let mut ttl_s: Option<u64> = None;
        for followed in 0..MAX_NAMES_FOLLOWED {
            let (value, for_s) = self.one_name(&root, fetch).await?;
            ttl_s = if followed == 0 { for_s } else { ttl_s.zip(for_s).map(|(a, b)| a.min(b)) };
            let value = format!("{}{path}", value.trim_end_matches('/'));
            match value.strip_prefix("/ipns/").filter(|_| recursive) {
                None => return Ok(Followed { value, ttl_s }),
                Some(rest) => {
                    let (next, behind) = rest.split_once('/').unwrap_or((rest, ""));
                    root = next.to_owned();
                    path = if behind.is_empty() { String::new() } else { format!("/{behind}") };
                }
            }
            if path.len() > MAX_TARGET_BYTES {
                return Err(NameError::Invalid("names that add up to a long path".into()).into());
            }
        }
        let why = format!("more than {MAX_NAMES_FOLLOWED} names stand for each other");
        Err(NameError::Invalid(why).into())
    }

    /// One step, and for how many seconds it is good.
    async fn one_name(&self, root: &str, fetch: Fetch) -> Result<(String, Option<u64>), NameError> {
        if let Ok(name) = root.parse::<IpnsName>() {
            let record = self.inner.names.resolve(&self.inner, &name, fetch).await?;
            let left_s = record.until_ms.saturating_sub(self.inner.shared.ports.clock.now_ms()) / 1000;
            return Ok((record.value, Some(record.ttl_s.min(left_s))));
        }
        if !root.contains('.') {
            return Err(NameError::Invalid(format!("'{root}' is neither an IPNS name nor a domain")));
        }
        let links = self.inner.routing.get().and_then(|ports| ports.links.clone());
        match links.filter(|_| fetch == Fetch::Allowed) {
            Some(links) => links.link(&root.to_ascii_lowercase()).await.map(|link| (link.target, link.ttl_s)),
            None => Err(NameError::NotFound(root.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_names() {
        let cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
        assert_eq!(target(cid).unwrap(), format!("/ipfs/{cid}"));
        for good in [format!("/ipfs/{cid}"), format!("/ipfs/{cid}/a/b c"), "/ipns/example.org/x".into()] {
            assert_eq!(target(&good).unwrap(), good);
        }
        for bad in ["", "/", "/ipfs/", "/ipfs/x", "/ipns/", "/ipns/x", "/ipns/.x", "ipfs/x", "example.org", "/x"] {
            assert!(matches!(target(bad), Err(NameError::Invalid(_))), "{bad}");
        }
        assert!(target(&format!("/ipfs/{cid}/{}", "x".repeat(MAX_TARGET_BYTES))).is_err());
    }
}
