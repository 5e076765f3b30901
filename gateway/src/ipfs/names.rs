//! What mutable names stand for: IPNS records and DNSLink, followed until there is a CID.

use cid::Cid;
use rustdht_core::ports::{Fetch, IpnsName, NameError};

use super::{
    denied, fault,
    hosts::is_domain,
    path::{ContentPath, Namespace},
};
use crate::{State, codes::HttpCode, problem::Problem};

/// Names followed one after the other (DNSLink gateway specification: "a hard recursion limit (e.g. 32)").
const MAX_NAMES: usize = 32;

/// How long what was found stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// It was asked by CID.
    Immutable,
    /// It was asked by name.
    Mutable {
        /// For so many seconds; `None`: nobody said.
        ttl_s: Option<u64>,
    },
}

/// An immutable path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) root: Cid,
    pub(super) segments: Vec<String>,
    /// Segments in front that the name, not the request, contributed.
    pub(super) prefix: usize,
    pub(super) freshness: Freshness,
}

/// Follows names until there is a CID.
///
/// # Errors
/// `bad_path`, `denied`, `denied_by_law`, `name_unresolved`, `not_implemented`, `timed_out`, `precondition_failed` when it
/// is not known here and must not be asked elsewhere.
pub(super) async fn resolve(state: &State, path: &ContentPath, fetch: Fetch) -> Result<Target, Problem> {
    let asked = path.segments.len();
    let mut path = path.clone();
    let mut ttl_s: Option<Option<u64>> = None;
    for _ in 0..=MAX_NAMES {
        denied::check(state, &path)?;
        if path.namespace == Namespace::Ipfs {
            let freshness = ttl_s.map_or(Freshness::Immutable, |ttl_s| Freshness::Mutable { ttl_s });
            let (root, prefix) = (path.cid()?, path.segments.len() - asked);
            return Ok(Target { root, segments: path.segments, prefix, freshness });
        }
        let (target, found_s) = fault::within(state, follow(state, &path.root, fetch)).await??;
        ttl_s = Some(match ttl_s {
            None => found_s,
            Some(known_s) => known_s.zip(found_s).map(|(a, b)| a.min(b)),
        });
        path = ContentPath::of_target(&target)
            .map_err(|problem| unresolved(format!("{} stands for what is none: {}", path.root, problem.detail())))?
            .join(path.segments)?;
    }
    Err(Problem::new(HttpCode::BadPath, format!("more than {MAX_NAMES} names stand for each other")))
}

/// What one name stands for, and for how many seconds.
async fn follow(state: &State, root: &str, fetch: Fetch) -> Result<(String, Option<u64>), Problem> {
    if let Ok(name) = root.parse::<IpnsName>() {
        let record = state.names().resolve(&name, fetch).await.map_err(|error| of_name(&error, fetch))?;
        let left_s = record.until_ms.saturating_sub(state.now_ms()) / 1000;
        return Ok((record.value, Some(record.ttl_s.min(left_s))));
    }
    if let Some(target) = state.ipfs().hosts().link(root) {
        return Ok((target.to_owned(), None));
    }
    if !is_domain(root) {
        return Err(Problem::new(
            HttpCode::BadPath,
            format!("invalid path \"/ipns/{root}\": neither an IPNS name nor a domain"),
        ));
    }
    if fetch == Fetch::LocalOnly {
        return Err(of_name(&NameError::NotFound(root.to_owned()), fetch));
    }
    let links = state.ipfs().dnslinks().ok_or_else(|| {
        Problem::new(HttpCode::NotImplemented, "this gateway looks up no DNSLinks; ask by CID or IPNS name")
    })?;
    let link = links.link(&root.to_ascii_lowercase()).await.map_err(|error| of_name(&error, fetch))?;
    Ok((link.target, link.ttl_s))
}

/// Why a name stands for nothing. The specification has 500 for "IPNS keys that cannot be resolved".
pub(super) fn of_name(error: &NameError, fetch: Fetch) -> Problem {
    match error {
        NameError::NotFound(_) if fetch == Fetch::LocalOnly => fault::not_cached(&error.to_string()),
        NameError::NotFound(_) | NameError::Invalid(_) | NameError::Stale { .. } => unresolved(error.to_string()),
        NameError::Unavailable(_) => Problem::unavailable(error.to_string()),
    }
}

fn unresolved(detail: String) -> Problem {
    Problem::new(HttpCode::NameUnresolved, detail)
}
