//! The gate in front of everything: whose host a request names decides what may answer it.
//!
//! | host | `/ipfs`, `/ipns` | anything else |
//! |---|---|---|
//! | of the API | content by path, sandboxed | the API |
//! | a gateway | redirect to a subdomain | the API |
//! | `{root}.ipfs.{gateway}`, a DNSLink domain | below the root | below the root |
//!
//! So a page of strangers never has the origin of the API, nor that of another root. Requests that came through
//! `CONNECT`, or name another authority than ours as a proxy's do, get content or nothing.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    Router,
    extract::{ConnectInfo, FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use futures::future::Either;
use tower::{Layer, Service};

use super::{
    fault, headers,
    hosts::Place,
    path::{self, ContentPath, Namespace},
    query::Query,
    serve::{self, Ask, Origin},
    subdomain::{self, Labelled},
};
use crate::{State, auth::Reader, codes::HttpCode, problem::Problem, telemetry::Measure};

/// Marks requests that came through a tunnel (`CONNECT`), so that a tunnel leads to content only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tunnelled;

/// Puts the gate in front of every route.
#[derive(Clone)]
pub(crate) struct Gate {
    state: State,
    /// Content on hosts of its own, measured as one route.
    isolated: Router,
}

impl Gate {
    pub(crate) fn new(state: State) -> Self {
        let isolated = Router::new().fallback(isolated).layer(Measure::new("//{root}/")).with_state(state.clone());
        Self { state, isolated }
    }
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, gate: self.clone() }
    }
}

/// Routes behind the gate.
#[derive(Clone)]
pub(crate) struct Gated<S> {
    inner: S,
    gate: Gate,
}

type Answering<E> = Pin<Box<dyn Future<Output = Result<Response, E>> + Send>>;

impl<S> Service<Request> for Gated<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Answering<Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        match self.gate.way(&request) {
            Way::Through => Either::Left(self.inner.call(request)),
            Way::Content => {
                let answer = self.inner.call(request);
                Either::Right(Box::pin(async move { answer.await.map(of_shared_origin) }))
            }
            Way::Isolated(site) => {
                request.extensions_mut().insert(site);
                let mut router = self.gate.isolated.clone();
                Either::Right(Box::pin(async move { router.call(request).await.map(of_any_origin) }))
            }
            Way::Answer(response) => Either::Right(Box::pin(std::future::ready(Ok(*response)))),
        }
    }
}

/// Where a request goes.
enum Way {
    /// To the API.
    Through,
    /// To the routes of content by path.
    Content,
    /// To one root, which has this host for itself.
    Isolated(Site),
    /// Nowhere.
    Answer(Box<Response>),
}

/// The host that a proxy was asked for. From elsewhere than this machine or its network the header is a client's own: a
/// cache in between would keep what it got for everybody.
fn forwarded_host(request: &Request) -> Option<&str> {
    let value = request.headers().get("x-forwarded-host")?.to_str().ok()?;
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>()?.0.ip().to_canonical();
    let is_near = match peer {
        IpAddr::V4(peer) => peer.is_loopback() || peer.is_private() || peer.is_link_local(),
        IpAddr::V6(peer) => peer.is_loopback() || peer.is_unique_local() || peer.is_unicast_link_local(),
    };
    // Proxies in a row add theirs behind.
    let first = value.split(',').next().unwrap_or_default().trim();
    (is_near && !first.is_empty()).then_some(first)
}

/// A root that has a host for itself.
#[derive(Clone, Debug)]
struct Site {
    namespace: Namespace,
    root: String,
    origin: Origin,
}

impl Gate {
    fn way(&self, request: &Request) -> Way {
        let hosts = self.state.ipfs().hosts();
        let (uri, headers) = (request.uri(), request.headers());
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        if request.method() == Method::CONNECT {
            return Way::Answer(Box::new(self.connect(request)));
        }
        // Whom a proxy names counts (path gateway specification: `X-Forwarded-Host`; RFC 9112 section 3.2.2).
        let forwarded = forwarded_host(request);
        let named = uri.authority().map(axum::http::uri::Authority::as_str);
        let authority = forwarded.or(named).or(host).unwrap_or_default();
        let is_content = path::split_namespace(uri.path()).is_some();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        match hosts.place(authority) {
            Place::Subdomain { namespace, root, gateway } => Way::Isolated(Site {
                namespace,
                root: root.to_owned(),
                origin: Origin::Subdomain { gateway: gateway.to_owned() },
            }),
            Place::Gateway if is_content && reads => match subdomain::of_path(authority, uri, headers) {
                Ok(Some(url)) => Way::Answer(Box::new(of_any_origin(moved(&url)))),
                Ok(None) => Way::Content,
                Err(problem) => Way::Answer(Box::new(of_any_origin(fault::answer(problem, headers)))),
            },
            Place::DnsLink { domain } => Way::Isolated(Site {
                namespace: Namespace::Ipns,
                root: domain.to_ascii_lowercase(),
                origin: Origin::DnsLink { authority: authority.to_owned() },
            }),
            _ if request.extensions().get::<Tunnelled>().is_some()
                || named.is_some_and(|named| !hosts.is_ours(named)) =>
            {
                misdirected("this is a proxy for the hosts of its own content only")
            }
            // A header that a page can set must not lead from its host to the API.
            _ if host
                .is_some_and(|host| matches!(hosts.place(host), Place::Subdomain { .. } | Place::DnsLink { .. })) =>
            {
                misdirected("this host shows content and has no API")
            }
            _ if is_content && request.method() == Method::OPTIONS => {
                Way::Answer(Box::new(of_any_origin(StatusCode::OK.into_response())))
            }
            _ if is_content && !reads => Way::Answer(Box::new(of_any_origin(read_only()))),
            _ if is_content => Way::Content,
            _ => Way::Through,
        }
    }

    /// A tunnel to a host of ours, served in this process; the server goes on with it when this is 200.
    fn connect(&self, request: &Request) -> Response {
        let authority = request.uri().authority().map(axum::http::uri::Authority::as_str).unwrap_or_default();
        let listen = self.state.listen();
        let here = authority.parse::<SocketAddr>().is_ok_and(|asked| {
            asked.port() == listen.port() && (asked.ip() == listen.ip() || listen.ip().is_unspecified())
        });
        let content = self.state.ipfs().hosts().place(authority) != Place::Api;
        if (here || content) && request.extensions().get::<Tunnelled>().is_none() {
            return StatusCode::OK.into_response();
        }
        Problem::new(HttpCode::Misdirected, "this is a proxy for the hosts of its own content only").into_response()
    }
}

fn read_only() -> Response {
    let problem = Problem::new(HttpCode::MethodNotAllowed, "content is read only");
    problem.with(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS")).into_response()
}

fn misdirected(detail: &'static str) -> Way {
    Way::Answer(Box::new(Problem::new(HttpCode::Misdirected, detail).into_response()))
}

fn moved(url: &str) -> Response {
    let mut answer = HeaderMap::new();
    headers::put(&mut answer, header::LOCATION, url);
    (StatusCode::MOVED_PERMANENTLY, answer).into_response()
}

/// Content on a host of its own.
async fn isolated(axum::extract::State(state): axum::extract::State<State>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let Some(site) = parts.extensions.remove::<Site>() else {
        return Problem::not_found("no root was named").into_response();
    };
    match parts.method {
        Method::OPTIONS => return StatusCode::OK.into_response(),
        Method::GET | Method::HEAD => {}
        _ => return read_only(),
    }
    match site_answer(&state, &mut parts, site).await {
        Ok(response) => response,
        Err(problem) => fault::answer(problem, &parts.headers),
    }
}

async fn site_answer(state: &State, parts: &mut Parts, site: Site) -> Result<Response, Problem> {
    Reader::from_request_parts(parts, state).await?;
    let root = match &site.origin {
        Origin::Subdomain { gateway } => match subdomain::root_of(site.namespace, &site.root)? {
            Labelled::Root(root) => root,
            Labelled::Canonical(label) => {
                let query = Query::parse(parts.uri.query());
                let segments = path::segments(parts.uri.path())?;
                let slash = parts.uri.path().ends_with('/');
                let url = subdomain::url(&label, site.namespace, gateway, &segments, slash, &query, &parts.headers);
                return Ok(moved(&url));
            }
        },
        _ => site.root,
    };
    let path = ContentPath::below(site.namespace, root, parts.uri.path())?;
    let head = parts.method == Method::HEAD;
    let headers = std::mem::take(&mut parts.headers);
    let ask = match Ask::by_host(state, path, &parts.uri, site.origin, headers.clone(), head) {
        Ok(ask) => ask,
        Err(problem) => return Ok(fault::answer(problem, &headers)),
    };
    let answer = serve::answer(state, &ask).await;
    answer.or_else(|problem| Ok(fault::answer(problem, &headers)))
}

/// What every answer of content has, so that pages of any origin may read it: it is the same for everybody.
fn of_any_origin(mut response: Response) -> Response {
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type, Range, User-Agent, X-Requested-With"),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "Content-Length, Content-Range, X-Chunked-Output, X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output",
        ),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The same where the API has the origin too: the content gets one of its own, which can do nothing.
fn of_shared_origin(mut response: Response) -> Response {
    response.headers_mut().entry(header::CONTENT_SECURITY_POLICY).or_insert(headers::SANDBOX);
    of_any_origin(response)
}
