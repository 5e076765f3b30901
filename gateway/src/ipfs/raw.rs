//! Blocks as they are (trustless gateway specification, "Block Responses").

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use rustdht_core::ports::DagStore;

use super::{
    bytes::{Answer, Source},
    fault, headers,
    serve::{Ask, Found},
    want::Format,
};
use crate::{State, problem::Problem};

/// # Errors
/// `not_found`, `precondition_failed`, `range_not_satisfiable`, `timed_out`.
pub(super) async fn answer(state: &State, ask: &Ask, store: &dyn DagStore, found: &Found) -> Result<Response, Problem> {
    let version = found.version(Some(Format::Raw.as_str()));
    let mut headers = found.headers(ask, &version);
    if let Some(response) = found.unchanged(ask, &version, &headers)? {
        return Ok(response);
    }
    let block = block(state, ask, store, &found.resolved.cid).await?;
    let name = ask.want.filename.clone().unwrap_or_else(|| format!("{}.bin", found.resolved.cid));
    headers.insert(header::CONTENT_DISPOSITION, headers::disposition("attachment", &name));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Format::Raw.media()));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Answer { source: Source::Held(block), status: StatusCode::OK, version, headers }.send(state, ask).await
}

/// A block that was just looked at, so that it is here.
///
/// # Errors
/// `not_found`, `precondition_failed`, `timed_out`.
pub(super) async fn block(state: &State, ask: &Ask, store: &dyn DagStore, cid: &cid::Cid) -> Result<Bytes, Problem> {
    let block = fault::within(state, store.block(cid)).await?;
    let missing = rustdht_core::ports::BlobError::Missing(*cid);
    block.and_then(|block| block.ok_or(missing)).map_err(|error| fault::of_blob(error, ask.fetch))
}
