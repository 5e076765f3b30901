//! Looking after the graph.

use axum::{
    body::Body,
    extract::State as Shared,
    http::{HeaderValue, Uri, header},
    response::Response,
};
use bytes::Bytes;
use futures::StreamExt;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{State, auth::Admin, codes::HttpCode, problem::Problem, query, routes::measured, schema};

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(measured(routes!(post_check)))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RepairQuery {
    /// Mends what can be mended; absent: only looks.
    #[serde(default)]
    repair: bool,
}

/// Check the graph.
///
/// Reads every row: cells that cannot be read, signatures and proofs that do not hold, links that lead nowhere. One
/// finding a line, the last line is `{"event":"done",...}`; an answer without it was cut short. Closing the connection
/// ends it. With `repair` what is damaged is put aside and asked for at other members, and links that lead nowhere there
/// either are removed. Needs scope `admin`.
#[utoipa::path(
    post, path = "/api/v1/admin/check", tag = "operation",
    params(RepairQuery),
    responses(
        (status = 200, description = "Findings as they come", body = String, content_type = "application/x-ndjson"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_check(Shared(state): Shared<State>, _: Admin, uri: Uri) -> Result<Response, Problem> {
    let RepairQuery { repair } = query::parse(&uri)?;
    let permit = state
        .checking()
        .clone()
        .try_acquire_owned()
        .map_err(|_| Problem::new(HttpCode::Overloaded, "a check is running already"))?;
    let lines = state
        .node()
        .check(repair)
        .map(move |event| {
            let _held = &permit;
            serde_json::to_vec(&event).map(|mut line| {
                line.push(b'\n');
                Bytes::from(line)
            })
        })
        .take_until(state.stopping().clone().cancelled_owned());
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}
