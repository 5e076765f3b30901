//! What the operator does not serve.

use axum::http::HeaderValue;
use rustdht_core::ports::Resolved;

use super::path::{ContentPath, Namespace};
use crate::{State, codes::HttpCode, problem::Problem};

/// Why something is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The law forbids it, as far as the list says: 451 instead of 410.
    pub by_law: bool,
    /// What the list says about it, for people.
    pub reason: String,
}

/// What a path begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root<'a> {
    /// `/ipfs/{cid}`
    Cid(&'a cid::Cid),
    /// `/ipns/{name}`: an IPNS name in base36, or a domain in lower case.
    Name(&'a str),
}

/// Denylists (compact denylist format). Asked for each request: the path as it was asked, each that it stands for, down to
/// the one that begins with a CID, and then the CIDs on its way.
pub trait Denied: Send + Sync {
    /// Whether a path below a root is denied; it is whenever a path in front of it is.
    fn denied(&self, root: Root<'_>, path: &[String]) -> Option<Denial>;
}

/// # Errors
/// `denied`, `denied_by_law`.
pub(super) fn check(state: &State, path: &ContentPath) -> Result<(), Problem> {
    let Some(denied) = state.ipfs().denied() else { return Ok(()) };
    match path.namespace {
        Namespace::Ipfs => path.cid().map_or(Ok(()), |cid| refuse(denied.denied(Root::Cid(&cid), &path.segments))),
        Namespace::Ipns => {
            let name = match path.root.parse::<rustdht_core::ports::IpnsName>() {
                Ok(name) => name.to_string(),
                Err(_) => path.root.to_ascii_lowercase(),
            };
            refuse(denied.denied(Root::Name(&name), &path.segments))
        }
    }
}

/// # Errors
/// `denied`, `denied_by_law`, when a path below a root is.
pub(super) fn below(state: &State, root: &cid::Cid, path: &[String]) -> Result<(), Problem> {
    state.ipfs().denied().map_or(Ok(()), |denied| refuse(denied.denied(Root::Cid(root), path)))
}

/// # Errors
/// `denied`, `denied_by_law`, when a CID on the way is.
pub(super) fn roots(state: &State, resolved: &Resolved) -> Result<(), Problem> {
    let Some(denied) = state.ipfs().denied() else { return Ok(()) };
    resolved.roots.iter().try_for_each(|cid| refuse(denied.denied(Root::Cid(cid), &[])))
}

fn refuse(denial: Option<Denial>) -> Result<(), Problem> {
    let Some(denial) = denial else { return Ok(()) };
    let code = if denial.by_law { HttpCode::DeniedByLaw } else { HttpCode::Denied };
    tracing::debug!(code = code.as_str(), reason = denial.reason, "a denied path was asked for");
    Err(Problem::new(code, format!("the operator of this gateway does not serve this: {}", denial.reason))
        .with(axum::http::header::VARY, HeaderValue::from_static("Accept")))
}
