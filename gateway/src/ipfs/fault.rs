//! Errors of requests for content: their statuses, and their bodies for people and programs.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rustdht_core::ports::{BlobError, Fetch, PathError};

use super::{accept, html};
use crate::{State, codes::HttpCode, problem::Problem};

/// Seconds after which a client may ask again for what did not come in time (path gateway specification,
/// `Retry-After`).
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("10");

/// Bounds one step of a request.
///
/// # Errors
/// `timed_out`.
pub(super) async fn within<T>(state: &State, step: impl Future<Output = T>) -> Result<T, Problem> {
    let time = state.ipfs().fetch_timeout();
    tokio::time::timeout(time, step).await.map_err(|_| {
        let detail = format!("nobody gave what is missing here within {} s", time.as_secs());
        Problem::new(HttpCode::TimedOut, detail).with(header::RETRY_AFTER, RETRY_AFTER)
    })
}

/// Why a path leads nowhere.
pub(super) fn of_path(error: PathError, fetch: Fetch) -> Problem {
    match error {
        PathError::NoLink { .. } | PathError::BadPath(_) => Problem::not_found(error.to_string()),
        PathError::Blob(error) => of_blob(error, fetch),
    }
}

/// Why a block or file cannot be had.
pub(super) fn of_blob(error: BlobError, fetch: Fetch) -> Problem {
    match error {
        BlobError::Missing(_) if fetch == Fetch::LocalOnly => not_cached(&error.to_string()),
        // Nothing to try again with: a CID without a hash that can be checked, a DAG that contradicts itself.
        BlobError::NotAFile(_) | BlobError::NotADirectory(_) | BlobError::UnknownHash(_) | BlobError::Bounded(_) => {
            Problem::new(HttpCode::BadPath, error.to_string())
        }
        other => other.into(),
    }
}

pub(super) fn not_cached(detail: &str) -> Problem {
    Problem::new(HttpCode::PreconditionFailed, format!("{detail}, and only-if-cached was asked"))
}

/// The answer to a request for content that failed: a page for who takes HTML, else a problem.
pub(super) fn answer(problem: Problem, headers: &HeaderMap) -> Response {
    let (code, detail) = (problem.code(), problem.detail().to_owned());
    let mut response = problem.into_response();
    let (media, body) = if accept::ranges(headers).iter().any(|range| range.media == "text/html") {
        ("text/html; charset=utf-8", html::error(response.status(), code, &detail))
    } else if code == HttpCode::BadPath.as_str() {
        // The specifications' suite looks for the path between quotes, which JSON would escape.
        ("text/plain; charset=utf-8", format!("{detail}\n"))
    } else {
        return response;
    };
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::debug!(code, detail, "a request for content failed");
    }
    *response.body_mut() = body.into();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CONTENT_SECURITY_POLICY, html::POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
