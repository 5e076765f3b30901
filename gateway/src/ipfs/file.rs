//! Files and symbolic links.

use std::sync::Arc;

use axum::{
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use rustdht_core::ports::{DagStore, Resolved};

use super::{
    bytes::{Answer, Source},
    fault, headers,
    serve::{Ask, Found, Origin, not_acceptable},
};
use crate::{State, mime, problem::Problem};

const JSON: &str = "application/json";

/// # Errors
/// `not_found`, `precondition_failed`, `range_not_satisfiable`, `timed_out`.
pub(super) async fn answer(
    state: &State,
    ask: &Ask,
    store: Arc<dyn DagStore>,
    found: &Found,
) -> Result<Response, Problem> {
    let media = media(ask, found.name(ask));
    let source = source(state, ask, store, &found.resolved).await?;
    send(state, ask, found, source, media).await
}

/// The page of a directory, which has the tag and the roots of the directory, and the time of the page.
///
/// # Errors
/// As [`answer`].
pub(super) async fn answer_index(
    state: &State,
    ask: &Ask,
    store: Arc<dyn DagStore>,
    directory: &Found,
    index: &Resolved,
) -> Result<Response, Problem> {
    let media = media(ask, Some("index.html"));
    let source = source(state, ask, store, index).await?;
    let page = Found {
        resolved: Resolved { modified_s: index.modified_s, ..directory.resolved.clone() },
        ..directory.clone()
    };
    send(state, ask, &page, source, media).await
}

/// A file that was asked for as JSON, and is.
///
/// # Errors
/// `not_acceptable` when it is not; else as [`answer`].
pub(super) async fn answer_as_json(
    state: &State,
    ask: &Ask,
    store: Arc<dyn DagStore>,
    found: &Found,
) -> Result<Response, Problem> {
    let source = source(state, ask, store, &found.resolved).await?;
    let named = media(ask, found.name(ask)).is_some_and(|media| media == JSON);
    if !named {
        let head = fault::within(state, source.head()).await?.map_err(|error| fault::of_blob(error, ask.fetch))?;
        if mime::sniff(&head) != JSON {
            return Err(not_acceptable(
                "this is a file that is not JSON; without ?format= and Accept it is shown as it is",
            ));
        }
    }
    send(state, ask, found, source, Some(HeaderValue::from_static(JSON))).await
}

/// # Errors
/// `not_found`, `timed_out`.
pub(super) async fn answer_symlink(
    state: &State,
    ask: &Ask,
    store: &dyn DagStore,
    found: &Found,
) -> Result<Response, Problem> {
    let target = fault::within(state, store.symlink(&found.resolved.cid)).await?;
    let target = target.map_err(|error| fault::of_blob(error, ask.fetch))?;
    let source = Source::Held(Bytes::from(target));
    send(state, ask, found, source, Some(HeaderValue::from_static("inode/symlink"))).await
}

async fn source(state: &State, ask: &Ask, store: Arc<dyn DagStore>, file: &Resolved) -> Result<Source, Problem> {
    let size = match file.size {
        Some(size) => size,
        None => {
            let stat = fault::within(state, store.stat(&file.cid)).await?;
            stat.map_err(|error| fault::of_blob(error, ask.fetch))?.size
        }
    };
    Ok(Source::File(store, file.cid, size))
}

/// The type that a name tells: the one the client gives, else the one in the path.
fn media(ask: &Ask, name: Option<&str>) -> Option<HeaderValue> {
    let media = mime::of_name(ask.want.filename.as_deref().or(name)?)?;
    HeaderValue::try_from(&*media).ok()
}

async fn send(
    state: &State,
    ask: &Ask,
    found: &Found,
    source: Source,
    media: Option<HeaderValue>,
) -> Result<Response, Problem> {
    let version = found.version(None);
    let mut headers = found.headers(ask, &version);
    if ask.origin == Origin::Path {
        // On an origin of its own a script without an extension may run; here nothing may pass for what it is not.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if let Some(response) = found.unchanged(ask, &version, &headers)? {
        return Ok(response);
    }
    if let Some(media) = media {
        headers.insert(header::CONTENT_TYPE, media);
    }
    if let Some(value) = headers::disposition_of_file(&ask.want, found.name(ask)) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Answer { source, status: found.status, version, headers }.send(state, ask).await
}
