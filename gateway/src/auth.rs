//! Who asks: the owner, the holder of a token, or anybody.
//!
//! A browser on this machine can be made to talk to loopback by any web page, and a proxy makes every caller look
//! local. So a caller without a token is the owner only when nothing hints at either (RFC 6454 for origins; the Host
//! check stops DNS rebinding).
//!
//! | extractor | asks for | then, per soul |
//! |---|---|---|
//! | [`Reader`] | nothing, unless `anonymous = none` | [`Caller::may_read`], [`Caller::may_read_under`] |
//! | [`Writer`] | scope `write` | [`Caller::may_write`] |
//! | [`Admin`] | scope `admin` | |
//! | [`Socket`] | as `Reader`; takes `?token=` too | both |

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, Method, Uri, request::Parts},
};

use rustdht_core::PublicKey;
use rustdht_node::Principal;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    Anonymous, Secret, State,
    codes::HttpCode,
    problem::Problem,
    query,
    tokens::{Asked, Grant, Scope, Target, not_ours},
};

/// What the rules need to know of the configuration.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) token: Option<Secret>,
    pub(crate) anonymous: Anonymous,
    /// Scheme, host and port of `public_url`, in lower case.
    pub(crate) public_origin: Option<String>,
}

/// Whom the head of a request claims to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim<'a> {
    Owner,
    /// A token that is not the owner's static one.
    Token(&'a str),
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
    // Names below localhost are loopback too (RFC 6761 section 6.3); the gate shows content there, and no API.
    let below = |zone: &str| {
        let at = host.len().checked_sub(zone.len());
        at.and_then(|at| host.get(at..)).is_some_and(|tail| tail.eq_ignore_ascii_case(zone))
    };
    host.eq_ignore_ascii_case("localhost")
        || below(".ipfs.localhost")
        || below(".ipns.localhost")
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

    /// Decides who a request claims to come from.
    ///
    /// # Errors
    /// 403 for a change that a page of another origin asks for, 401 for credentials that are no bearer token.
    pub(crate) fn claim<'a>(&self, asks: &Asks<'a>) -> Result<Claim<'a>, Problem> {
        let seen = Seen::of(asks.headers);
        let origin_is_ours = seen.origin.is_none_or(|origin| self.is_ours(origin, seen.host));
        if asks.changes && (!origin_is_ours || seen.odd || seen.fetch_site == Some("cross-site")) {
            return Err(Problem::new(
                HttpCode::ForbiddenOrigin,
                "a web page of another origin may not change anything here",
            ));
        }
        let bearer = match seen.authorization {
            Some(credentials) => Some(bearer(credentials).ok_or_else(not_ours)?),
            None => asks.query_token,
        };
        if let Some(given) = bearer {
            return match &self.token {
                Some(token) if token.matches(given) => Ok(Claim::Owner),
                _ => Ok(Claim::Token(given)),
            };
        }
        // "none" is typed by a person; "same-site" would let in every other port of localhost.
        let fetched_here = matches!(seen.fetch_site, None | Some("same-origin" | "none"));
        let local = Self::is_local(&seen, asks.uri, asks.peer);
        let owner = self.public_origin.is_none() && local && origin_is_ours && fetched_here;
        Ok(if owner { Claim::Owner } else { Claim::Anonymous })
    }
}

fn bearer(credentials: &str) -> Option<&str> {
    let (scheme, token) = credentials.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The head of a request, as far as the rules look at it.
#[derive(Clone, Copy)]
pub(crate) struct Asks<'a> {
    uri: &'a Uri,
    headers: &'a HeaderMap,
    peer: Option<IpAddr>,
    /// Whether it may change something.
    changes: bool,
    /// The token of a WebSocket door's query, which a browser cannot send as a header.
    query_token: Option<&'a str>,
}

impl<'a> Asks<'a> {
    fn of(parts: &'a Parts) -> Self {
        let changes = !parts.method.is_safe();
        Self { uri: &parts.uri, headers: &parts.headers, peer: peer(parts), changes, query_token: None }
    }
}

/// The address that a request came from.
pub(crate) fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
}

fn needs_token() -> Problem {
    Problem::new(
        HttpCode::Unauthenticated,
        "this needs the owner or a token: send Authorization: Bearer, or ask directly on loopback without Origin and \
         proxies",
    )
}

/// Who asks, once that is proven.
#[derive(Clone, Debug)]
enum Who {
    Owner,
    Token(Arc<Grant>),
    Anonymous,
}

/// Who asks, and how: everything that decides what he may.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    who: Who,
    method: Method,
    /// Milliseconds since the epoch, for the checks of tokens.
    now_ms: u64,
    anonymous: Anonymous,
}

impl Caller {
    fn of(parts: &Parts, state: &State, asks: &Asks<'_>) -> Result<Self, Problem> {
        let access = state.access();
        let (who, now_ms) = match access.claim(asks)? {
            Claim::Owner => (Who::Owner, 0),
            Claim::Anonymous => (Who::Anonymous, 0),
            Claim::Token(text) => {
                let now_ms = state.now_ms();
                (Who::Token(state.standing(text, now_ms)?), now_ms)
            }
        };
        Ok(Self { who, method: parts.method.clone(), now_ms, anonymous: access.anonymous })
    }

    /// Whether this is the owner of the gateway, by whichever proof.
    pub(crate) fn is_owner(&self) -> bool {
        self.principal() == Principal::Owner
    }

    /// Who asks, as the node knows him; what he may is not looked at.
    pub(crate) fn principal(&self) -> Principal {
        match &self.who {
            Who::Owner => Principal::Owner,
            Who::Token(grant) => grant.principal(),
            Who::Anonymous => Principal::Anonymous,
        }
    }

    /// Whether the token with which a long request began still stands.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub(crate) fn still_stands(&self, state: &State) -> Result<(), Problem> {
        self.grant().map_or(Ok(()), |grant| state.stands(grant, state.now_ms()))
    }

    /// Whether this is the account of that key itself, with a token that is not narrowed to some nodes.
    pub(crate) fn is_account(&self, key: &PublicKey) -> bool {
        self.principal() == Principal::Account(*key) && self.grant().is_none_or(Grant::is_whole)
    }

    /// The token, when it is one that this gateway made.
    pub(crate) fn grant(&self) -> Option<&Grant> {
        match &self.who {
            Who::Token(grant) => Some(grant),
            Who::Owner | Who::Anonymous => None,
        }
    }

    fn allows(&self, scope: Scope, target: Target<'_>) -> Result<Principal, Problem> {
        match &self.who {
            Who::Owner => Ok(Principal::Owner),
            Who::Anonymous => Err(needs_token()),
            Who::Token(grant) => {
                let asked = Asked { scope, target, method: self.method.as_str(), now_ms: self.now_ms };
                grant.allows(asked).map(|()| grant.principal())
            }
        }
    }

    /// Who reads this node. Local and mirror souls are the owner's; the rest anybody may read, unless
    /// `anonymous = none`, though a private node shows ciphertext to those who are not its recipients.
    ///
    /// # Errors
    /// `unauthenticated` without a token, `insufficient_scope` with one that is not for this.
    pub(crate) fn may_read(&self, soul: &str) -> Result<Principal, Problem> {
        let public = !is_the_owners(soul);
        match self.allows(Scope::Read, Target::Soul(soul)) {
            Ok(reader) if public || reader == Principal::Owner => Ok(reader),
            Ok(_) => Err(Problem::new(HttpCode::InsufficientScope, "local and mirror nodes are the owner's")),
            // Who could leave out the token is not worse off with it.
            Err(_) if public && self.anonymous == Anonymous::Read => Ok(Principal::Anonymous),
            Err(problem) => Err(problem),
        }
    }

    /// Who reads every node whose soul begins so, such as a watch or an export; nobody does without a token. Nodes of
    /// the owner alone have to be left out for others: [`Caller::sees`].
    ///
    /// # Errors
    /// As [`Caller::may_read`].
    pub(crate) fn may_read_under(&self, prefix: &str) -> Result<Principal, Problem> {
        self.allows(Scope::Read, Target::Under(prefix))
    }

    /// Who reads whichever nodes a path from this one leads to: with a token that is for some nodes only, what anybody
    /// may, which nothing of the owner's is.
    ///
    /// # Errors
    /// As [`Caller::may_read`].
    pub(crate) fn may_roam(&self, from: &str) -> Result<Principal, Problem> {
        self.may_read(from)?;
        match self.allows(Scope::Read, Target::Under("")) {
            Err(_) if self.anonymous == Anonymous::Read && !is_the_owners(from) => Ok(Principal::Anonymous),
            allowed => allowed,
        }
    }

    /// Whether a node that was found by [`Caller::may_read_under`] may be shown.
    pub(crate) fn sees(&self, soul: &str) -> bool {
        self.is_owner() || !is_the_owners(soul)
    }

    /// Who writes this node.
    ///
    /// # Errors
    /// As [`Caller::may_read`].
    pub(crate) fn may_write(&self, soul: &str) -> Result<Principal, Problem> {
        self.allows(Scope::Write, Target::Soul(soul))
    }

    /// Who writes something that is no node, such as a file.
    ///
    /// # Errors
    /// As [`Caller::may_read`].
    pub(crate) fn may_add(&self) -> Result<Principal, Problem> {
        self.allows(Scope::Write, Target::Gateway)
    }

    /// Who reads something that is no node and no file.
    ///
    /// # Errors
    /// As [`Caller::may_read`].
    pub(crate) fn may_see(&self) -> Result<Principal, Problem> {
        self.allows(Scope::Read, Target::Gateway)
    }

    /// Whether he runs this gateway.
    ///
    /// # Errors
    /// As [`Caller::may_read`].
    pub(crate) fn may_administer(&self) -> Result<Principal, Problem> {
        self.allows(Scope::Admin, Target::Gateway)
    }
}

/// Local and mirror space.
fn is_the_owners(soul: &str) -> bool {
    soul.starts_with("_/") || soul.starts_with('^')
}

fn caller(parts: &Parts, state: &State) -> Result<Caller, Problem> {
    Caller::of(parts, state, &Asks::of(parts))
}

/// Who runs this gateway: the owner, or a token of scope `admin`; anybody else is answered 401 or 403.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admin;

impl FromRequestParts<State> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let caller = caller(parts, state)?;
        caller.may_administer().map(|_| Self)
    }
}

/// Whoever may write something; [`Caller::may_write`] says what.
#[derive(Clone, Debug)]
pub(crate) struct Writer(pub(crate) Caller);

impl FromRequestParts<State> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let caller = caller(parts, state)?;
        match &caller.who {
            Who::Anonymous => Err(needs_token()),
            Who::Token(grant) => grant.has(Scope::Write).map(|()| Self(caller)),
            Who::Owner => Ok(Self(caller)),
        }
    }
}

/// Whoever may read something: anybody, unless `anonymous = none`; [`Caller::may_read`] says what.
#[derive(Clone, Debug)]
pub(crate) struct Reader(pub(crate) Caller);

fn reader(caller: Caller) -> Result<Caller, Problem> {
    match &caller.who {
        Who::Anonymous if caller.anonymous == Anonymous::None => Err(needs_token()),
        Who::Token(grant) if caller.anonymous == Anonymous::None => grant.has(Scope::Read).map(|()| caller),
        _ => Ok(caller),
    }
}

impl FromRequestParts<State> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        caller(parts, state).and_then(reader).map(Self)
    }
}

/// Anybody, known or not: for doors that judge by what is in the request, such as a login.
#[derive(Clone, Debug)]
pub(crate) struct Anyone(pub(crate) Caller, pub(crate) Option<IpAddr>);

impl FromRequestParts<State> for Anyone {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        Ok(Self(caller(parts, state)?, peer(parts)))
    }
}

/// Whoever opens a WebSocket: as [`Reader`], but a page of another origin is refused, since what comes over it may
/// change something, and the token may stand in the query, since a browser cannot send the header with it.
#[derive(Clone, Debug)]
pub(crate) struct Socket(pub(crate) Caller);

impl FromRequestParts<State> for Socket {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let query: TokenQuery = query::parse(&parts.uri)?;
        let asks = Asks { changes: true, query_token: query.token.as_deref(), ..Asks::of(parts) };
        Caller::of(parts, state, &asks).and_then(reader).map(Self)
    }
}

/// The token of a WebSocket door.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TokenQuery {
    /// The token, for browsers, which cannot send `Authorization` with a WebSocket.
    token: Option<String>,
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
