//! Files and directories as a tar (IPIP-288).

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rustdht_core::ports::DagStore;

use super::{
    conditional::Version,
    fault, flow, headers,
    serve::{Ask, Found},
    want::Format,
};
use crate::{State, problem::Problem};

/// # Errors
/// `not_found`, `timed_out`.
pub(super) async fn answer(state: &State, ask: &Ask, store: &dyn DagStore, found: &Found) -> Result<Response, Problem> {
    let cid = &found.resolved.cid;
    // Weak: the next version may write other headers. The time of a directory is not that of what is in it.
    let version = Version::new(format!("W/\"{cid}.x-tar\""), None);
    let mut headers = found.headers(ask, &version);
    if let Some(response) = found.unchanged(ask, &version, &headers)? {
        return Ok(response);
    }
    let name = ask.want.filename.clone().unwrap_or_else(|| format!("{cid}.tar"));
    headers.insert(header::CONTENT_DISPOSITION, headers::disposition("attachment", &name));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Format::Tar.media()));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let body = if ask.head {
        Body::empty()
    } else {
        let pieces = fault::within(state, store.tar(cid, cid.to_string())).await?;
        let pieces = pieces.map_err(|error| fault::of_blob(error, ask.fetch))?;
        flow::body(state, ask, flow::begun(state, pieces).await?.1)
    };
    Ok((StatusCode::OK, headers, body).into_response())
}
