//! Who asks: the owner, or anybody.
//!
//! A browser on this machine can be made to talk to loopback by any web page, and a proxy makes every caller look
//! local. So a caller without a token is the owner only when nothing hints at either (RFC 6454 for origins; the Host
//! check stops DNS rebinding).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, Method, Uri, request::Parts},
};

use crate::{Anonymous, Secret, State, codes::HttpCode, problem::Problem};

/// What the rules need to know of the configuration.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) token: Option<Secret>,
    pub(crate) anonymous: Anonymous,
    /// Scheme, host and port of `public_url`, in lower case.
    pub(crate) public_origin: Option<String>,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Owner,
    Anonymous,
}

/// The headers that the rules look at, found in one pass.
#[derive(Default)]
struct Seen<'a> {
    host: Option<&'a str>,
    origin: Option<&'a str>,
    fetch_site: Option<&'a str>,
    authorization: Option<&'a str>,
    forwarded: bool,
    /// A header that may stand once stands twice, or is no text.
    odd: bool,
}

impl<'a> Seen<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            let slot = match name.as_str() {
                "host" => &mut seen.host,
                "origin" => &mut seen.origin,
                "sec-fetch-site" => &mut seen.fetch_site,
                "authorization" => &mut seen.authorization,
                name => {
                    seen.forwarded |= is_forwarding(name);
                    continue;
                }
            };
            // An unreadable value must not count as an absent one.
            seen.odd |= slot.replace(value.to_str().unwrap_or("?")).is_some();
        }
        seen
    }
}

fn is_forwarding(name: &str) -> bool {
    name.starts_with("x-forwarded")
        || matches!(
            name,
            "forwarded"
                | "via"
                | "x-real-ip"
                | "x-client-ip"
                | "x-cluster-client-ip"
                | "x-original-host"
                | "x-original-forwarded-for"
                | "true-client-ip"
                | "cf-connecting-ip"
                | "fastly-client-ip"
        )
}

/// Host of an authority, without the port.
fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
    }
}

fn is_loopback_host(authority: &str) -> bool {
    let host = host_of(authority);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || (authority.starts_with('[') && host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()))
}

impl Access {
    fn is_ours(&self, origin: &str, host: Option<&str>) -> bool {
        let same = origin.split_once("://").zip(host).is_some_and(|((scheme, authority), host)| {
            scheme.eq_ignore_ascii_case("http") && authority.eq_ignore_ascii_case(host)
        });
        same || self.public_origin.as_deref().is_some_and(|ours| ours.eq_ignore_ascii_case(origin))
    }

    /// Peer and Host are loopback and nothing says that somebody else stands behind them.
    fn is_local(seen: &Seen<'_>, uri: &Uri, peer: Option<IpAddr>) -> bool {
        let absolute = uri.authority().is_some_and(|authority| Some(authority.as_str()) != seen.host);
        peer.is_some_and(|peer| peer.to_canonical().is_loopback())
            && seen.host.is_some_and(is_loopback_host)
            && !seen.forwarded
            && !seen.odd
            && !absolute
    }

    /// Decides who asks.
    ///
    /// # Errors
    /// 403 for a change that a page of another origin asks for, 401 for a wrong token.
    pub(crate) fn caller(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<Caller, Problem> {
        let seen = Seen::of(headers);
        let origin_is_ours = seen.origin.is_none_or(|origin| self.is_ours(origin, seen.host));
        if !method.is_safe() && (!origin_is_ours || seen.odd || seen.fetch_site == Some("cross-site")) {
            return Err(Problem::new(
                HttpCode::ForbiddenOrigin,
                "a web page of another origin may not change anything here",
            ));
        }
        if let Some(credentials) = seen.authorization {
            let given = credentials
                .split_once(' ')
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                .map(|(_, token)| token.trim());
            return match (given, &self.token) {
                (Some(given), Some(token)) if token.matches(given) => Ok(Caller::Owner),
                (_, None) => Err(Problem::new(
                    HttpCode::Unauthenticated,
                    "this gateway has no owner token: set gateway.owner_token_file, or leave out Authorization",
                )),
                _ => Err(Problem::new(HttpCode::Unauthenticated, "the token is not the owner's")),
            };
        }
        // "none" is typed by a person; "same-site" would let in every other port of localhost.
        let fetched_here = matches!(seen.fetch_site, None | Some("same-origin" | "none"));
        let owner = self.public_origin.is_none() && Self::is_local(&seen, uri, peer) && origin_is_ours && fetched_here;
        Ok(if owner { Caller::Owner } else { Caller::Anonymous })
    }
}

fn caller(parts: &Parts, state: &State) -> Result<Caller, Problem> {
    state.access().caller(&parts.method, &parts.uri, &parts.headers, peer(parts))
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
}

fn needs_token() -> Problem {
    Problem::new(
        HttpCode::Unauthenticated,
        "this needs the owner: a bearer token, or a direct request on loopback without Origin and proxies",
    )
}

/// The owner of this gateway; anybody else is answered 401.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner;

impl FromRequestParts<State> for Owner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        match caller(parts, state)? {
            Caller::Owner => Ok(Self),
            Caller::Anonymous => Err(needs_token()),
        }
    }
}

/// Whoever may read: the owner, and anybody unless `anonymous = none`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader(pub(crate) Caller);

impl Reader {
    /// Local and mirror souls are the owner's.
    pub(crate) fn may_read(self, soul: &str) -> Result<(), Problem> {
        let private = soul.starts_with("_/") || soul.starts_with('^');
        if private && self.0 == Caller::Anonymous { Err(needs_token()) } else { Ok(()) }
    }
}

impl FromRequestParts<State> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        match caller(parts, state)? {
            Caller::Anonymous if state.access().anonymous == Anonymous::None => Err(needs_token()),
            caller => Ok(Self(caller)),
        }
    }
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
