//! One request for content: name, path, and what is at its end in the form that was asked for.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use cid::Cid;
use rustdht_core::ports::{DagKind, DagStore, Fetch, IpnsName, PathError, Resolved};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    car, codec,
    conditional::Version,
    denied, directory, fault, file, headers,
    names::{self, Freshness, Target},
    path::{self, ContentPath, Namespace},
    query::Query,
    raw, record, redirects, tar,
    want::{Format, Want},
};
use crate::{State, codes::HttpCode, problem::Problem};

/// Multicodec of keys.
const LIBP2P_KEY: u64 = 0x72;

/// How a request came to content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// By path, on a host that other content and the API share.
    Path,
    /// On a subdomain of this gateway (with the port), which no other root shares.
    Subdomain {
        /// Host and port of the gateway.
        gateway: String,
    },
    /// On a domain that shows this website alone.
    DnsLink {
        /// Host and port as they were asked.
        authority: String,
    },
}

impl Origin {
    /// Whether no other content has this origin: only then a website may redirect (web redirects file specification,
    /// "Same-Origin Requirement").
    pub(super) fn is_isolated(&self) -> bool {
        *self != Self::Path
    }
}

/// A request for content.
#[derive(Debug)]
pub(super) struct Ask {
    /// What is asked for.
    pub(super) path: ContentPath,
    /// Under which path of the host; for links and redirects.
    pub(super) url: String,
    pub(super) query: Query,
    pub(super) origin: Origin,
    pub(super) want: Want,
    pub(super) fetch: Fetch,
    pub(super) head: bool,
    pub(super) headers: HeaderMap,
    /// Counts among the requests under way until the answer ends.
    pub(super) slot: Arc<OwnedSemaphorePermit>,
}

impl Ask {
    /// Reads a request by path.
    ///
    /// # Errors
    /// `bad_path`, `not_acceptable`, `rate_limited`.
    pub(super) fn by_path(state: &State, uri: &Uri, headers: HeaderMap, head: bool) -> Result<Self, Problem> {
        let path = ContentPath::of_url(uri.path())?;
        let url = path.url();
        Self::new(state, path, url, uri, Origin::Path, headers, head)
    }

    /// Reads a request on a host of its own.
    ///
    /// # Errors
    /// As [`Ask::by_path`].
    pub(super) fn by_host(
        state: &State,
        path: ContentPath,
        uri: &Uri,
        origin: Origin,
        headers: HeaderMap,
        head: bool,
    ) -> Result<Self, Problem> {
        // Anew from its segments: `//other.example/` as a redirect would lead away from this host.
        let url = match path::url_of(&path.segments, path.slash) {
            url if url.is_empty() => "/".to_owned(),
            url => url,
        };
        Self::new(state, path, url, uri, origin, headers, head)
    }

    fn new(
        state: &State,
        path: ContentPath,
        url: String,
        uri: &Uri,
        origin: Origin,
        headers: HeaderMap,
        head: bool,
    ) -> Result<Self, Problem> {
        let query = Query::parse(uri.query());
        let want = Want::of(&query, &headers)?;
        let fetch = if only_if_cached(&headers) { Fetch::LocalOnly } else { Fetch::Allowed };
        Ok(Self { path, url, query, origin, want, fetch, head, headers, slot: state.ipfs().slot()? })
    }

    /// A redirect to another path of this host, with the query.
    pub(super) fn redirect(&self, status: StatusCode, url: &str) -> Response {
        let query = self.query.text();
        let location = if query.is_empty() { url.to_owned() } else { format!("{url}?{query}") };
        let mut answer = HeaderMap::new();
        headers::put(&mut answer, header::LOCATION, &location);
        (status, answer).into_response()
    }
}

fn only_if_cached(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|directive| directive.trim().eq_ignore_ascii_case("only-if-cached"))
}

/// What a path leads to, and how its answer is headed.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) resolved: Resolved,
    pub(super) freshness: Freshness,
    /// 200, or what a website's rules say of this page.
    pub(super) status: StatusCode,
    /// A website's rule named it, so that the URL's name and slash say nothing about it.
    pub(super) rewritten: Option<Vec<String>>,
}

impl Found {
    /// The name of the file, for its type.
    pub(super) fn name<'a>(&'a self, ask: &'a Ask) -> Option<&'a str> {
        match &self.rewritten {
            Some(segments) => segments.last().map(String::as_str),
            None => ask.path.name(),
        }
    }

    /// Tag and time of the answer in a form: `"cid"`, `"cid.raw"`.
    pub(super) fn version(&self, form: Option<&str>) -> Version {
        let tag = match form {
            Some(form) => format!("\"{}.{form}\"", self.resolved.cid),
            None => format!("\"{}\"", self.resolved.cid),
        };
        Version::new(tag, self.resolved.modified_s)
    }

    /// The headers that all forms have.
    pub(super) fn headers(&self, ask: &Ask, version: &Version) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(16);
        headers::put(&mut headers, headers::X_IPFS_PATH, &ask.path.url());
        if self.status == StatusCode::OK {
            headers::put_roots(&mut headers, &self.resolved);
        }
        headers::put(&mut headers, header::ETAG, &version.tag);
        if let Some(modified) = &version.modified {
            headers::put(&mut headers, header::LAST_MODIFIED, &modified.text);
        }
        if let Some(value) = headers::cache_control(self.freshness) {
            headers.insert(header::CACHE_CONTROL, value);
        }
        headers
    }

    /// The answer that the request's conditions ask for instead of the content, if any.
    ///
    /// # Errors
    /// `precondition_failed`.
    pub(super) fn unchanged(
        &self,
        ask: &Ask,
        version: &Version,
        headers: &HeaderMap,
    ) -> Result<Option<Response>, Problem> {
        if self.status != StatusCode::OK {
            return Ok(None);
        }
        match version.check(&ask.headers) {
            Some(StatusCode::NOT_MODIFIED) => Ok(Some((StatusCode::NOT_MODIFIED, headers.clone()).into_response())),
            Some(_) => Err(Problem::new(HttpCode::PreconditionFailed, "the content is not what If-Match names")),
            None => Ok(None),
        }
    }
}

/// Answers a request for content.
///
/// # Errors
/// Every way in which content cannot be had; see docs/errors.
pub(super) async fn answer(state: &State, ask: &Ask) -> Result<Response, Problem> {
    let mut response = match moved(ask)? {
        Some(response) => return Ok(response),
        None => content(state, ask).await?,
    };
    let headers = response.headers_mut();
    if ask.want.negotiated && !headers.contains_key(header::LOCATION) && response_is_of(headers, ask.want.format) {
        headers::put(headers, header::CONTENT_LOCATION, &location(ask));
    }
    if ask.query.get("format").is_none() {
        headers.append(header::VARY, HeaderValue::from_static("Accept"));
    }
    Ok(response)
}

/// Requests that are answered before anything is looked up.
fn moved(ask: &Ask) -> Result<Option<Response>, Problem> {
    let path = &ask.path;
    if ask.origin.is_isolated() {
        return Ok(None);
    }
    let is_script = ask.headers.get("service-worker").is_some_and(|value| value == "script");
    if is_script && path.segments.is_empty() && !path.slash {
        // It would govern every root of this host (path gateway specification, `Service-Worker`).
        return Err(Problem::new(HttpCode::BadPath, "a service worker cannot be registered for this scope"));
    }
    if path.namespace == Namespace::Ipfs && matches!(path.root.as_str(), "ipfs" | "ipns") && !path.segments.is_empty() {
        // `/ipfs/ipfs/{cid}`: people paste paths behind prefixes.
        let url = path.url();
        return Ok(Some(ask.redirect(StatusCode::MOVED_PERMANENTLY, url.strip_prefix("/ipfs").unwrap_or(&url))));
    }
    if path.namespace == Namespace::Ipns
        && let Ok(name) = path.root.parse::<IpnsName>()
    {
        let root = name.to_string();
        // Peer ids, and names in another base. A name with the codec of a file is what older tools wrote; it stays.
        let is_key = Cid::try_from(path.root.as_str()).is_ok_and(|cid| cid.codec() == LIBP2P_KEY);
        let is_peer_id = path.root.starts_with("Qm") || path.root.starts_with('1');
        if root != path.root && (is_key || is_peer_id) {
            let url = ContentPath { root, ..path.clone() }.url();
            return Ok(Some(ask.redirect(StatusCode::FOUND, &url)));
        }
    }
    Ok(None)
}

async fn content(state: &State, ask: &Ask) -> Result<Response, Problem> {
    let format = ask.want.format;
    if !state.ipfs().deserialized() {
        verifiable_only(ask)?;
    }
    if format == Some(Format::IpnsRecord) {
        denied::check(state, &ask.path)?;
        return record::answer(state, ask).await;
    }
    let target = names::resolve(state, &ask.path, ask.fetch).await?;
    let store = Arc::clone(state.node().blobs());
    let found = match lookup(state, store.as_ref(), &target.root, &target.segments, ask.fetch).await? {
        Ok(resolved) => Found { resolved, freshness: target.freshness, status: StatusCode::OK, rewritten: None },
        Err(none) if format.is_none() && ask.origin.is_isolated() => {
            match redirects::apply(state, ask, store.as_ref(), &target).await? {
                redirects::Outcome::Nothing => return Err(fault::of_path(none, ask.fetch)),
                redirects::Outcome::Redirect(response) => return Ok(response),
                redirects::Outcome::Show(found) => *found,
            }
        }
        Err(PathError::NoLink { .. }) if format == Some(Format::Car) => {
            let way = way(state, ask, store.as_ref(), &target).await?;
            denied::roots(state, &way)?;
            return car::of_nothing(state, ask, store.as_ref(), &target, &way).await;
        }
        Err(none) => return Err(fault::of_path(none, ask.fetch)),
    };
    denied::roots(state, &found.resolved)?;
    show(state, ask, store, &target, found).await
}

/// Follows a path; the inner error is that there is nothing at its end.
///
/// # Errors
/// `timed_out`, and what a block that cannot be read is answered with.
pub(super) async fn lookup(
    state: &State,
    store: &dyn DagStore,
    root: &cid::Cid,
    segments: &[String],
    fetch: Fetch,
) -> Result<Result<Resolved, PathError>, Problem> {
    match fault::within(state, store.resolve(root, segments, fetch)).await? {
        Ok(resolved) => Ok(Ok(resolved)),
        Err(none @ (PathError::NoLink { .. } | PathError::BadPath(_))) => Ok(Err(none)),
        Err(error) => Err(fault::of_path(error, fetch)),
    }
}

/// As far as a path which leads nowhere can be followed.
///
/// # Errors
/// Those of [`lookup`].
async fn way(state: &State, ask: &Ask, store: &dyn DagStore, target: &Target) -> Result<Resolved, Problem> {
    let mut len = target.segments.len();
    loop {
        len = len.saturating_sub(1);
        match lookup(state, store, &target.root, &target.segments[..len], ask.fetch).await? {
            Ok(resolved) => return Ok(resolved),
            Err(none) if len == 0 => return Err(fault::of_path(none, ask.fetch)),
            Err(_) => {}
        }
    }
}

/// Picks the form.
async fn show(
    state: &State,
    ask: &Ask,
    store: Arc<dyn DagStore>,
    target: &Target,
    found: Found,
) -> Result<Response, Problem> {
    let format = ask.want.format;
    if format == Some(Format::Car) {
        return car::answer(state, ask, store.as_ref(), target, &found).await;
    }
    if !found.resolved.remainder.is_empty() {
        let detail = format!(
            "\"{}\" lies inside of the value {}, which can only be read whole",
            found.resolved.remainder.join("/"),
            found.resolved.cid
        );
        return Err(Problem::new(HttpCode::NotImplemented, detail));
    }
    match (format, found.resolved.kind) {
        (Some(Format::Raw), _) => raw::answer(state, ask, store.as_ref(), &found).await,
        (Some(Format::Tar), DagKind::Data { .. }) => {
            Err(not_acceptable("only files and directories can be had as a tar; ask with ?format=raw or ?format=car"))
        }
        (Some(Format::Tar), _) => tar::answer(state, ask, store.as_ref(), &found).await,
        (format, DagKind::Data { codec }) => codec::answer(state, ask, store.as_ref(), &found, format, codec).await,
        (Some(Format::Json), DagKind::File) if !ask.want.lenient => {
            file::answer_as_json(state, ask, store, &found).await
        }
        (Some(format), kind) if !ask.want.lenient => Err(not_a_value(format, kind)),
        (_, DagKind::File) => file::answer(state, ask, store, &found).await,
        (_, DagKind::Symlink) => file::answer_symlink(state, ask, store.as_ref(), &found).await,
        (_, DagKind::Directory { .. }) => directory::answer(state, ask, store, found).await,
    }
}

fn not_a_value(format: Format, kind: DagKind) -> Problem {
    let is = match kind {
        DagKind::Directory { .. } => "a directory",
        DagKind::Symlink => "a symbolic link",
        DagKind::File | DagKind::Data { .. } => "a file",
    };
    not_acceptable(&format!(
        "this is {is}, and {} was asked for; values are not translated: ask with ?format=raw and translate it yourself",
        format.as_str()
    ))
}

pub(super) fn not_acceptable(detail: &str) -> Problem {
    Problem::new(HttpCode::NotAcceptable, detail.to_owned())
}

/// A gateway that shows nothing answers blocks and archives by CID, and records (trustless gateway specification).
fn verifiable_only(ask: &Ask) -> Result<(), Problem> {
    let alone = ask.path.segments.is_empty();
    let detail = match (ask.want.format, ask.path.namespace) {
        (Some(Format::Car), Namespace::Ipfs) => return Ok(()),
        (Some(Format::Raw), Namespace::Ipfs) | (Some(Format::IpnsRecord), Namespace::Ipns) if alone => return Ok(()),
        (None, _) => {
            let detail = "this gateway serves only what can be verified: ask with ?format=raw, car or ipns-record";
            return Err(Problem::new(HttpCode::BadPath, detail));
        }
        _ => "this gateway serves only what can be verified: a block by its CID, an archive, or an IPNS record",
    };
    Err(not_acceptable(detail))
}

/// Whether the form that `Accept` chose is the one of the answer, rather than the content as it is.
fn response_is_of(headers: &HeaderMap, format: Option<Format>) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    format.is_some_and(|format| media.split(';').next() == Some(format.media()))
}

/// Where the form that `Accept` chose can be had without it (path gateway specification, `Content-Location`).
fn location(ask: &Ask) -> String {
    let mut query = ask.query.clone();
    if let Some(format) = ask.want.format {
        query.set("format", format.as_str());
    }
    for (name, value) in &ask.want.car_params {
        query.set(name, value);
    }
    format!("{}?{}", ask.url, query.sorted())
}
