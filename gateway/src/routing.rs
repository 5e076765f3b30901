//! Delegated Routing (specs.ipfs.tech/routing/http-routing-v1): what this gateway knows, and what its routers do.

mod filter;
mod record;

use std::time::{Duration, UNIX_EPOCH};

use axum::{
    body::Body,
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use cid::{Cid, multihash::Multihash};
use futures::{StreamExt, stream};
use rustdht_core::{
    Code, Refusal,
    ports::{Fetch, IpnsName, MAX_IPNS_RECORD_BYTES, NameError, Provider, TRANSPORT_BITSWAP},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{
    filter::{Filter, FilterQuery},
    record::{peers_json, providers_json, record_line},
};
use crate::{
    State,
    auth::{Reader, Writer},
    body,
    codes::HttpCode,
    problem::Problem,
    query,
    routes::measured,
    schema,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const IPNS_RECORD: HeaderValue = HeaderValue::from_static("application/vnd.ipfs.ipns-record");
/// Records of one answer (specification: "SHOULD be limited to 100").
const MAX_RECORDS: usize = 100;
/// The last second that a date of HTTP can say: of the year 9999.
const LAST_DATE_MS: u64 = 253_402_300_799_000;
/// How long lists of providers stay fresh: some hours is how long providers stay; nothing found may change at once.
const FOUND: HeaderValue =
    HeaderValue::from_static("public, max-age=300, stale-while-revalidate=172800, stale-if-error=172800");
const NOTHING: HeaderValue =
    HeaderValue::from_static("public, max-age=15, stale-while-revalidate=172800, stale-if-error=172800");

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(measured(routes!(get_providers)))
        .routes(measured(routes!(get_peer)))
        .routes(measured(routes!(get_ipns, put_ipns)))
}

/// Headers of every answer: anybody's page may read it.
fn common(content_type: HeaderValue, cache: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, cache);
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    allow_pages(&mut headers);
    headers
}

fn allow_pages(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, OPTIONS"));
}

fn bad(detail: &'static str, field: &'static str) -> Problem {
    Problem::new(HttpCode::BadPath, detail).at(field)
}

/// In which form records are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// All in one document.
    Json,
    /// One a line, as they are found.
    Lines,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let types: Vec<&str> = accepts
            .flat_map(|value| value.split(','))
            .map(|range| range.split(';').next().unwrap_or_default().trim())
            .filter(|range| !range.is_empty())
            .collect();
        if types.is_empty() || types.iter().any(|range| range.eq_ignore_ascii_case("application/x-ndjson")) {
            return Ok(if types.is_empty() { Self::Json } else { Self::Lines });
        }
        let json = ["application/json", "application/*", "*/*"];
        if types.iter().any(|range| json.iter().any(|json| range.eq_ignore_ascii_case(json))) {
            return Ok(Self::Json);
        }
        Err(Problem::new(HttpCode::NotAcceptable, "records come as application/json or application/x-ndjson"))
    }
}

/// Who has a block.
///
/// This gateway, when it has it, and whom its routers find. `Accept: application/x-ndjson` shows each as it is found.
#[utoipa::path(
    get, path = "/routing/v1/providers/{cid}", tag = "routing",
    params(("cid" = String, Path, description = "The CID"), FilterQuery),
    responses(
        (status = 200, description = "Peers, perhaps none", body = schema::Providers),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_providers(
    Shared(state): Shared<State>,
    _: Reader,
    request: Request,
) -> Result<Response, Problem> {
    let text = query::segment(request.uri(), "/routing/v1/providers/", 0, "cid")?;
    let cid = Cid::try_from(text.as_str()).map_err(|_| bad("not a CID", "cid"))?;
    let filter = Filter::of(&query::parse::<FilterQuery>(request.uri())?)?;
    let form = Form::of(request.headers())?;
    let own = stream::iter(own_record(&state, &cid).await);
    let elsewhere = state.node().find_providers(*cid.hash(), MAX_RECORDS);
    let found = own.chain(elsewhere).filter_map(move |found| std::future::ready(filter.apply(found)));
    let mut found = found.take(MAX_RECORDS).boxed();
    if form == Form::Json {
        let records: Vec<Provider> = found.collect().await;
        let cache = if records.is_empty() { NOTHING } else { FOUND };
        return Ok((common(JSON, cache), providers_json(&records)).into_response());
    }
    // The head goes out with the first record: until then nobody knows how long the answer may be kept.
    let first = found.next().await;
    let cache = if first.is_some() { FOUND } else { NOTHING };
    let lines = stream::iter(first).chain(found).map(|found| Ok::<_, std::convert::Infallible>(record_line(&found)));
    Ok((common(NDJSON, cache), Body::from_stream(lines)).into_response())
}

/// This gateway as a provider, when it has the block and says so elsewhere too.
async fn own_record(state: &State, cid: &Cid) -> Option<Provider> {
    if !state.node().provides(cid).await {
        return None;
    }
    let mut own = own_place(state).await?;
    own.protocols = vec![TRANSPORT_BITSWAP.to_owned()];
    Some(own)
}

/// Where this gateway is.
async fn own_place(state: &State) -> Option<Provider> {
    let (_, network) = state.node().status().await.ok()?;
    let network = network?;
    let suffix = format!("/p2p/{}", network.id);
    let addresses = network.listen.iter().map(|address| address.trim_end_matches(&suffix).to_owned()).collect();
    Some(Provider { peer: network.id.0, addresses, protocols: Vec::new() })
}

/// Where a peer is.
#[utoipa::path(
    get, path = "/routing/v1/peers/{peer_id}", tag = "routing",
    params(("peer_id" = String, Path, description = "The peer id, as a CID or base58"), FilterQuery),
    responses(
        (status = 200, description = "The peer, or none", body = schema::PeersFound),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_peer(Shared(state): Shared<State>, _: Reader, request: Request) -> Result<Response, Problem> {
    let text = query::segment(request.uri(), "/routing/v1/peers/", 0, "peer_id")?;
    let id = peer_id(&text).ok_or_else(|| bad("not a peer id", "peer_id"))?;
    let filter = Filter::of(&query::parse::<FilterQuery>(request.uri())?)?;
    let form = Form::of(request.headers())?;
    let found = match own_place(&state).await.filter(|own| own.peer == id) {
        Some(own) => Some(own),
        None => state.node().find_peer(&id).await,
    };
    let found: Vec<Provider> = found.into_iter().filter_map(|found| filter.apply(found)).collect();
    let cache = if found.is_empty() { NOTHING } else { FOUND };
    Ok(match form {
        Form::Json => (common(JSON, cache), peers_json(&found)).into_response(),
        Form::Lines => {
            let lines: Vec<u8> = found.iter().flat_map(|found| record_line(found).to_vec()).collect();
            (common(NDJSON, cache), lines).into_response()
        }
    })
}

/// A peer id in base58, from that or from a CID of a key.
fn peer_id(text: &str) -> Option<String> {
    let name: IpnsName = text.parse().ok()?;
    Some(bs58_of(name.multihash()))
}

fn bs58_of(hash: &Multihash<64>) -> String {
    cid::multibase::Base::Base58Btc.encode(hash.to_bytes())
}

fn name_in(uri: &Uri) -> Result<IpnsName, Problem> {
    let text = query::segment(uri, "/routing/v1/ipns/", 0, "name")?;
    text.parse().map_err(|_| bad("not an IPNS name: the CID of a public key, such as k51...", "name"))
}

/// The record of an IPNS name.
///
/// Without one the answer is 200 too, as text (IPIP-513).
#[utoipa::path(
    get, path = "/routing/v1/ipns/{name}", tag = "routing",
    params(("name" = String, Path, description = "The IPNS name")),
    responses(
        (status = 200, description = "The record", body = Vec<u8>, content_type = "application/vnd.ipfs.ipns-record"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_ipns(Shared(state): Shared<State>, _: Reader, request: Request) -> Result<Response, Problem> {
    let name = name_in(request.uri())?;
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    if !["application/vnd.ipfs.ipns-record", "application/*", "*/*"].iter().any(|known| accept.contains(known)) {
        let detail = "records come as application/vnd.ipfs.ipns-record";
        return Err(Problem::new(HttpCode::NotAcceptable, detail));
    }
    let record = match state.node().names().resolve(&name, Fetch::Allowed).await {
        Ok(record) => record,
        Err(NameError::NotFound(_)) => {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            return Ok((common(text, NOTHING), format!("no record of {name} was found\n")).into_response());
        }
        Err(error) => return Err(rustdht_node::Error::from(error).into()),
    };
    let left_s = record.until_ms.saturating_sub(state.now_ms()) / 1000;
    let fresh_s = record.ttl_s.min(left_s);
    let stale_s = left_s - fresh_s;
    let cache = format!("public, max-age={fresh_s}, stale-while-revalidate={stale_s}, stale-if-error={stale_s}");
    let cache = HeaderValue::try_from(cache).unwrap_or(NOTHING);
    let mut headers = common(IPNS_RECORD, cache);
    let tag = format!("\"{}\"", &blake3::hash(&record.bytes).to_hex()[..32]);
    let file = format!("attachment; filename=\"{name}.ipns-record\"");
    let until = UNIX_EPOCH.checked_add(Duration::from_millis(record.until_ms.min(LAST_DATE_MS)));
    let expires = until.map(httpdate::fmt_http_date).unwrap_or_default();
    for (header, value) in [(header::ETAG, tag), (header::CONTENT_DISPOSITION, file), (header::EXPIRES, expires)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(header, value);
        }
    }
    Ok((headers, record.bytes).into_response())
}

/// Give this gateway the record of an IPNS name.
///
/// It is checked, kept, and passed on to the routers. Whoever holds the name's key made it, so it is taken from anybody who
/// may write here.
#[utoipa::path(
    put, path = "/routing/v1/ipns/{name}", tag = "routing",
    params(("name" = String, Path, description = "The IPNS name")),
    request_body(content = Vec<u8>, content_type = "application/vnd.ipfs.ipns-record"),
    responses(
        (status = 200, description = "It is kept"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn put_ipns(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Problem> {
    caller.may_add()?;
    let name = name_in(request.uri())?;
    let (parts, body) = request.into_parts();
    if body::media_type(&parts.headers) != "application/vnd.ipfs.ipns-record" {
        let detail = "a record comes as application/vnd.ipfs.ipns-record";
        return Err(Problem::new(HttpCode::UnsupportedMediaType, detail));
    }
    let record: Bytes = body::whole(body, MAX_IPNS_RECORD_BYTES).await?;
    match state.node().names().put(&name, record).await {
        Ok(_) => {}
        Err(NameError::Invalid(why)) => {
            return Err(Refusal::new(Code::BadValue, format!("not a valid record of {name}: {why}")).into());
        }
        Err(error) => return Err(rustdht_node::Error::from(error).into()),
    }
    let mut headers = HeaderMap::new();
    allow_pages(&mut headers);
    Ok((StatusCode::OK, headers).into_response())
}

#[cfg(test)]
mod tests;
