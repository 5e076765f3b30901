//! Export: every node as a stream of lines.

use axum::{
    body::Body,
    extract::{Request, State as Shared},
    http::{HeaderValue, header},
    response::Response,
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{State, auth::Owner, problem::Problem, query, routes::measured, schema};

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(measured(routes!(get_export)))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PrefixQuery {
    /// Only souls that begin so.
    #[serde(default)]
    prefix: String,
}

/// Export nodes.
///
/// One `{"soul":...,"data":{...}}` per line, sorted by the bytes of the souls, without local space: equal states give
/// equal bytes. A failure on the way ends the connection before the last chunk.
#[utoipa::path(
    get, path = "/api/v1/export", tag = "bulk",
    params(PrefixQuery),
    responses(
        (status = 200, description = "A node per line", body = String, content_type = "application/x-ndjson",
            headers(("Rustdht-Coverage" = String, description = "`complete`, or `local` on a replica that holds a part"))),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_export(Shared(state): Shared<State>, _: Owner, request: Request) -> Result<Response, Problem> {
    let prefix = query::parse::<PrefixQuery>(request.uri())?.prefix;
    let lines = state.node().export(prefix);
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("rustdht-coverage", HeaderValue::from_static("complete"));
    Ok(response)
}
