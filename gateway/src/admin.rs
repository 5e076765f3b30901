//! Looking after the graph and the block store.

use axum::{
    Json,
    body::Body,
    extract::State as Shared,
    http::{HeaderValue, Uri, header},
    response::Response,
};
use bytes::Bytes;
use futures::StreamExt;
use rustdht_core::ports::CollectOptions;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{State, auth::Admin, codes::HttpCode, problem::Problem, query, routes::measured, schema};

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(measured(routes!(post_check)))
        .routes(measured(routes!(get_block_store)))
        .routes(measured(routes!(post_collection)))
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

/// Read what the block store holds.
///
/// And what it takes, and what the last collection did. Needs scope `admin`.
#[utoipa::path(
    get, path = "/api/v1/admin/blobs", tag = "operation",
    responses(
        (status = 200, description = "The block store", body = schema::BlockStore),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_block_store(
    Shared(state): Shared<State>,
    _: Admin,
) -> Result<([(header::HeaderName, HeaderValue); 1], Json<schema::BlockStore>), Problem> {
    let usage = state.node().blobs().usage().await?;
    Ok((NO_STORE, Json(usage.into())))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CollectQuery {
    /// Removes nothing, and tells what would go.
    #[serde(default)]
    dry_run: bool,
}

/// Collect blocks that nothing keeps.
///
/// What neither a pin nor a lease nor a node of the graph leads to goes, and packs with little in them give their room
/// back; reads and uploads go on meanwhile. The answer comes at the end; the collection goes on when the connection is
/// closed. One runs at a time: while another does, 503. Needs scope `admin`.
#[utoipa::path(
    post, path = "/api/v1/admin/blobs/gc", tag = "operation",
    params(CollectQuery),
    responses(
        (status = 200, description = "What went, or would", body = schema::Collection),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_collection(
    Shared(state): Shared<State>,
    _: Admin,
    uri: Uri,
) -> Result<([(header::HeaderName, HeaderValue); 1], Json<schema::Collection>), Problem> {
    let CollectQuery { dry_run } = query::parse(&uri)?;
    let options = CollectOptions { dry_run, spare_recent: false };
    let done = state.node().blobs().collect(state.node().roots(), options).await?;
    Ok((NO_STORE, Json(done.into())))
}

const NO_STORE: [(header::HeaderName, HeaderValue); 1] =
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
