//! Import: nodes as a stream of lines, any length, in constant memory.

mod driver;
mod lines;
mod node;
mod prefix;

use axum::{
    body::Body,
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, stream};
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{State, auth::Writer, body, codes::HttpCode, problem::Problem, query, routes::measured, schema};

/// Answer lines that wait for the client to read them; then the import waits.
const ANSWER_LINES: usize = 64;

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(measured(routes!(post_import)))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct FromQuery {
    /// The first line to take, counted from 1: those before it are skipped. To resume, send the same stream with the
    /// line of the last progress; taking a line twice changes nothing.
    from: Option<u64>,
}

/// Import nodes.
///
/// One `{"soul":...,"data":{...}}` per line. Sets are added to, other fields are set. The answer is a stream of lines
/// too: progress (every line up to that one is durable), errors of single lines, and `done` at the end of a whole
/// import; an answer without `done` was cut short and is resumed with `?from=`. Needs scope `write`.
#[utoipa::path(
    post, path = "/api/v1/import", tag = "bulk",
    params(FromQuery),
    request_body(content = inline(String), content_type = "application/x-ndjson", description = "A node per line"),
    responses(
        (status = 200, description = "Lines as they come", body = schema::ImportLine, content_type = "application/x-ndjson"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_import(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Problem> {
    check_type(request.headers())?;
    let from = query::parse::<FromQuery>(request.uri())?.from.unwrap_or(1);
    let permit = state
        .imports()
        .clone()
        .try_acquire_owned()
        .map_err(|_| Problem::new(HttpCode::Overloaded, "too many imports are running"))?;
    // Lines come as fast as their program makes them.
    let mut pieces = Box::pin(body::pieces_at_any_rate(request.into_body()).fuse());
    // The head of the answer ends a client's wait for "100 Continue", so the first piece is asked for before it.
    let first = pieces.next().await;
    let body = stream::iter(first).chain(pieces);
    let (answers, lines) = mpsc::channel(ANSWER_LINES);
    let driver = driver::run(state, caller, body, from, answers).map(|()| drop(permit));
    let mut response = Response::new(Body::from_stream(with_driver(lines, driver)));
    response.headers_mut().insert(header::CONTENT_TYPE, NDJSON);
    // nginx would collect the whole answer.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// The lines of the answer; polling them drives the import, so it ends when the client goes.
fn with_driver(
    mut lines: mpsc::Receiver<Bytes>,
    driver: impl Future<Output = ()> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send + 'static {
    let lines = stream::poll_fn(move |context| lines.poll_recv(context)).map(Ok);
    let driver = driver.into_stream().filter_map(|()| std::future::ready(None));
    stream::select(lines, driver)
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    match body::media_type(headers).as_str() {
        ""
        | "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/x-jsonlines"
        | "application/json"
        | "application/octet-stream"
        | body::CURL_DEFAULT => Ok(()),
        other => Err(body::unsupported(other, "application/x-ndjson")),
    }
}
