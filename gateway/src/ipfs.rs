//! Content by CID and by name: the IPFS gateway specifications (path, trustless, subdomain, DNSLink, `_redirects`).
//!
//! ```text
//!  request ── gate: whose host? ─┬─ the API's: /ipfs, /ipns ─┐
//!                                ├─ {cid}.ipfs.HOST, DNSLink ┴─ name ── path ── denied? ── in which form?
//!                                └─ a gateway's: redirect                                      │
//!      file, directory, value, block, archive, tar, record ── unchanged? ── range ── flow ─────┘
//! ```

mod accept;
mod bytes;
mod car;
mod codec;
mod conditional;
mod denied;
mod directory;
mod fault;
mod file;
mod flow;
mod gate;
mod headers;
mod hosts;
mod html;
mod label;
mod names;
mod opened;
mod path;
mod preview;
mod query;
mod range;
mod raw;
mod record;
mod redirects;
mod serve;
mod shared;
mod subdomain;
mod tar;
mod want;

use axum::{
    Router,
    extract::{Request, State as Shared},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::denied::{Denial, Denied, Root};
pub(crate) use self::{
    gate::{Gate, Tunnelled},
    opened::answer as answer_opened,
    shared::Content,
};
use self::{query::Query, serve::Ask};
use crate::{State, auth::Reader, problem::Problem, routes::measured, schema, telemetry::Measure};

/// The routes of content by path.
pub(crate) fn router() -> OpenApiRouter<State> {
    // The same resources, as the specification asks for them too.
    let more = Router::new()
        .route("/ipfs", get(uri_router))
        .route("/ipfs/", get(uri_router))
        .route("/ipns", get(uri_router))
        .route("/ipns/", get(uri_router))
        .layer(Measure::new("/ipfs/"))
        .route("/ipfs/{cid}/", get(by_path).layer(Measure::new("/ipfs/{cid}")))
        .route("/ipns/{name}/", get(by_path).layer(Measure::new("/ipns/{name}")));
    OpenApiRouter::new()
        .routes(measured(routes!(get_cid)))
        .routes(measured(routes!(get_below_cid)))
        .routes(measured(routes!(get_name)))
        .routes(measured(routes!(get_below_name)))
        .merge(more.into())
}

/// How content is wanted. The handlers read the query themselves, since websites have parameters of their own.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the OpenAPI document")]
struct ContentQuery {
    /// `raw`, `car`, `tar`, `dag-json`, `dag-cbor`, `json`, `cbor` or `ipns-record`; wins over `Accept`. Absent: a file
    /// as it is, a directory as its `index.html` or a list, a value as it is.
    format: Option<String>,
    /// The name under which a browser saves the file; its extension tells the type.
    filename: Option<String>,
    /// Saved rather than shown.
    download: Option<bool>,
    /// Of an archive: `block`, `entity` or `all`.
    #[serde(rename = "dag-scope")]
    dag_scope: Option<String>,
    /// Of an archive: `from:to` or `from:*`, the blocks that these bytes of a file need; negative ones count from the end.
    #[serde(rename = "entity-bytes")]
    entity_bytes: Option<String>,
    /// Of an archive: `1`.
    #[serde(rename = "car-version")]
    car_version: Option<String>,
    /// Of an archive: `dfs` or `unk`.
    #[serde(rename = "car-order")]
    car_order: Option<String>,
    /// Of an archive: `y` when a block that is met again is written again.
    #[serde(rename = "car-dups")]
    car_dups: Option<String>,
}

/// Read content.
///
/// A file, directory or value by its CID, as the path gateway specification has it; a block or archive that can be
/// verified with `?format=`. What is missing here is fetched from others while the answer streams; an answer that breaks
/// off was not whole. The content of strangers never shares the origin of the API: here it is sandboxed, and on
/// `{cid}.ipfs.localhost` and the hosts of `ipfs.gateway_hosts` it has an origin of its own. Under the name of such a
/// host this redirects there.
#[utoipa::path(
    get, path = "/ipfs/{cid}", tag = "content",
    params(
        ("cid" = String, Path, description = "The CID, version 0 or 1, in any base"),
        ContentQuery,
        ("Accept" = Option<String>, Header, description = "The form, as `?format=`"),
        ("Range" = Option<String>, Header, description = "Bytes of a file, block or value; several are answered as `multipart/byteranges`"),
        ("Cache-Control" = Option<String>, Header, description = "`only-if-cached`: nothing is fetched from others, and 412 tells that something is missing"),
    ),
    responses(
        (status = 200, description = "The content", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 301, description = "A directory has `/` at its end, and a root its own host"),
        (status = 304, description = "`If-None-Match` names it"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
async fn get_cid(state: Shared<State>, reader: Reader, request: Request) -> Response {
    by_path(state, reader, request).await
}

/// Read content below a root.
///
/// Through directories, sharded or not, and links of values.
#[utoipa::path(
    get, path = "/ipfs/{cid}/{*path}", tag = "content",
    params(
        ("cid" = String, Path, description = "The CID"),
        ("path" = String, Path, description = "Names, percent-encoded"),
        ContentQuery,
    ),
    responses(
        (status = 200, description = "The content", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
async fn get_below_cid(state: Shared<State>, reader: Reader, request: Request) -> Response {
    by_path(state, reader, request).await
}

/// Read what a name stands for.
///
/// An IPNS name, or a domain with a DNSLink. `?format=ipns-record` gives the record itself.
#[utoipa::path(
    get, path = "/ipns/{name}", tag = "content",
    params(("name" = String, Path, description = "An IPNS name (`k51...`) or a domain"), ContentQuery),
    responses(
        (status = 200, description = "The content", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 302, description = "The name has another text: base36"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
async fn get_name(state: Shared<State>, reader: Reader, request: Request) -> Response {
    by_path(state, reader, request).await
}

/// Read below what a name stands for.
///
/// As below a CID.
#[utoipa::path(
    get, path = "/ipns/{name}/{*path}", tag = "content",
    params(
        ("name" = String, Path, description = "An IPNS name or a domain"),
        ("path" = String, Path, description = "Names, percent-encoded"),
        ContentQuery,
    ),
    responses(
        (status = 200, description = "The content", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
async fn get_below_name(state: Shared<State>, reader: Reader, request: Request) -> Response {
    by_path(state, reader, request).await
}

async fn by_path(Shared(state): Shared<State>, _: Reader, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let head = parts.method == Method::HEAD;
    let answer = match Ask::by_path(&state, &parts.uri, parts.headers.clone(), head) {
        Ok(ask) => serve::answer(&state, &ask).await,
        Err(problem) => Err(problem),
    };
    answer.unwrap_or_else(|problem| fault::answer(problem, &parts.headers))
}

/// `/ipfs/?uri=ipfs://...`, which a browser opens for a link with the scheme.
async fn uri_router(_: Reader, request: Request) -> Response {
    let answer = match path::of_uri(&Query::parse(request.uri().query())) {
        Some(Ok(url)) => {
            let mut answer = axum::http::HeaderMap::new();
            headers::put(&mut answer, axum::http::header::LOCATION, &url);
            return (StatusCode::MOVED_PERMANENTLY, answer).into_response();
        }
        Some(Err(problem)) => problem,
        None => path::ContentPath::of_url(request.uri().path())
            .err()
            .unwrap_or_else(|| Problem::not_found("no root was named")),
    };
    fault::answer(answer, request.headers())
}
