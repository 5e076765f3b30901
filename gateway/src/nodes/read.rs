//! GET and HEAD of a node.

use axum::{
    extract::{Request, State as Shared},
    http::{HeaderMap, Uri, header},
    response::Response,
};
use rustdht_core::Soul;
use rustdht_node::{At, RenderOptions, Rendered};

use super::{answer, target};
use crate::{
    State,
    auth::{Caller, Reader},
    etag,
    problem::Problem,
    query::{self, AtQuery, RenderQuery},
    schema,
};

/// Read a node.
///
/// Its data, one value per field, and its greatest stamp. A node unknown here is asked for at the other members unless
/// `at=local`.
#[utoipa::path(
    get, path = "/api/v1/nodes/{soul}", tag = "nodes",
    params(("soul" = String, Path, description = "The soul, percent-encoded in one segment", example = "people%2Fada"), RenderQuery, AtQuery),
    responses(
        (status = 200, description = "The node", body = schema::Node, headers(("ETag" = String, description = "Changes with every change of the node"))),
        (status = 304, description = "`If-None-Match` names the current state"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(super) async fn get_node(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    request: Request,
) -> Result<Response, Problem> {
    let soul = target::from_path(request.uri())?;
    let (uri, headers) = (request.uri(), request.headers());
    read(&state, &caller, &soul, uri.query().is_none(), (uri, headers)).await
}

/// Read a node named by a query parameter.
///
/// The same as `/api/v1/nodes/{soul}`, for souls that proxies mangle in a path.
#[utoipa::path(
    get, path = "/api/v1/node", tag = "nodes",
    params(target::SoulQuery, RenderQuery, AtQuery),
    responses(
        (status = 200, description = "The node", body = schema::Node, headers(("ETag" = String, description = "Changes with every change of the node"))),
        (status = 304, description = "`If-None-Match` names the current state"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(super) async fn get_node_by_query(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    request: Request,
) -> Result<Response, Problem> {
    let soul = target::from_query(request.uri())?;
    read(&state, &caller, &soul, false, (request.uri(), request.headers())).await
}

async fn read(
    state: &State,
    caller: &Caller,
    soul: &Soul,
    plain: bool,
    (uri, headers): (&Uri, &HeaderMap),
) -> Result<Response, Problem> {
    let reader = caller.may_read(soul)?;
    let (render, at) = if plain { (RenderOptions::default(), At::Auto) } else { options(uri)? };
    // What is cached shows the same to everybody.
    let cached = if at == At::Auto && render == RenderOptions::default() { state.node().cached(soul) } else { None };
    let rendered = match cached {
        Some(rendered) => rendered,
        // Boxed, since its state is large and would be moved with every request that the cache answers.
        None => {
            Box::pin(state.node().get(soul, at, RenderOptions { reader, ..render })).await?.ok_or_else(|| absent(at))?
        }
    };
    respond(rendered, headers)
}

fn options(uri: &Uri) -> Result<(RenderOptions, At), Problem> {
    let render: RenderQuery = query::parse(uri)?;
    let at: AtQuery = query::parse(uri)?;
    Ok((render.options(), at.at()))
}

fn absent(at: At) -> Problem {
    Problem::not_found(match at {
        At::Local => "no node of that soul is here",
        At::Auto | At::Network => "no node of that soul is here or at a member that answered",
    })
    .at("soul")
}

fn respond(rendered: Rendered, headers: &HeaderMap) -> Result<Response, Problem> {
    if headers.contains_key(header::IF_NONE_MATCH) && etag::is_known(headers, &rendered.etag)? {
        return Ok(answer::not_modified(&rendered));
    }
    Ok(answer::node(rendered))
}
