//! IPNS records as they are (trustless gateway specification, "IPNS Record Responses").

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rustdht_core::ports::IpnsName;

use super::{conditional::Version, fault, headers, names, path::Namespace, serve::Ask, want::Format};
use crate::{State, codes::HttpCode, problem::Problem};

/// # Errors
/// `bad_path` for anything but a name, `name_unresolved`, `not_implemented`, `timed_out`.
pub(super) async fn answer(state: &State, ask: &Ask) -> Result<Response, Problem> {
    let name = match (ask.path.namespace, ask.path.root.parse::<IpnsName>()) {
        (Namespace::Ipns, Ok(name)) if ask.path.segments.is_empty() => name,
        _ => {
            let detail = "only an IPNS name without a path, /ipns/{name}, has a record";
            return Err(Problem::new(HttpCode::BadPath, detail));
        }
    };
    let record = fault::within(state, state.names().resolve(&name, ask.fetch)).await?;
    let record = record.map_err(|error| names::of_name(&error, ask.fetch))?;
    let hash = blake3::hash(&record.bytes).to_hex();
    let version = Version::new(format!("\"{name}.ipns-record.{}\"", &hash[..16]), None);
    let mut headers = HeaderMap::new();
    headers::put(&mut headers, headers::X_IPFS_PATH, &ask.path.url());
    headers::put(&mut headers, header::ETAG, &version.tag);
    // No cache may hold it longer than its signature says.
    let left_s = record.until_ms.saturating_sub(state.now_ms()) / 1000;
    headers::put(&mut headers, header::CACHE_CONTROL, &format!("public, max-age={}", record.ttl_s.min(left_s)));
    match version.check(&ask.headers) {
        Some(StatusCode::NOT_MODIFIED) => return Ok((StatusCode::NOT_MODIFIED, headers).into_response()),
        Some(_) => {
            return Err(Problem::new(HttpCode::PreconditionFailed, "the record is not the one that If-Match names"));
        }
        None => {}
    }
    let file = ask.want.filename.clone().unwrap_or_else(|| format!("{name}.ipns-record"));
    headers.insert(header::CONTENT_DISPOSITION, headers::disposition("attachment", &file));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Format::IpnsRecord.media()));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(record.bytes.len()));
    Ok((headers, if ask.head { Body::empty() } else { Body::from(record.bytes) }).into_response())
}
