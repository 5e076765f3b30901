//! PATCH, PUT and DELETE of a node.

use axum::{
    extract::{Request, State as Shared},
    http::{HeaderMap, header},
    response::Response,
};
use rustdht_core::Soul;
use rustdht_node::{NodeWrite, RenderOptions, WriteMode};

use super::{answer, target};
use crate::{
    State,
    auth::{Caller, Writer},
    body, etag, fields, limits,
    problem::Problem,
    query::{self, RenderQuery, WaitQuery},
    schema,
};

/// Change fields of a node.
///
/// Each key sets a field, null deletes it; fields that are not named stay. With `If-Match` nothing changes unless the
/// node is still as it was read. Needs scope `write`, as all changes of nodes.
#[utoipa::path(
    patch, path = "/api/v1/nodes/{soul}", tag = "nodes",
    params(("soul" = String, Path, description = "The soul, percent-encoded in one segment", example = "people%2Fada"), WaitQuery, RenderQuery),
    request_body(content = schema::Fields, description = "The fields"),
    responses(
        (status = 200, description = "Durable at enough replicas", body = schema::Written),
        (status = 202, description = "Durable here; `outstanding` names who has not confirmed", body = schema::Written),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(super) async fn patch_node(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Problem> {
    let soul = target::from_path(request.uri())?;
    write(&state, &caller, soul, WriteMode::Patch, request).await
}

/// Change fields of a node that a query parameter names.
#[utoipa::path(
    patch, path = "/api/v1/node", tag = "nodes",
    params(target::SoulQuery, WaitQuery, RenderQuery),
    request_body(content = schema::Fields, description = "The fields"),
    responses(
        (status = 200, description = "Durable at enough replicas", body = schema::Written),
        (status = 202, description = "Durable here; `outstanding` names who has not confirmed", body = schema::Written),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(super) async fn patch_node_by_query(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Problem> {
    let soul = target::from_query(request.uri())?;
    write(&state, &caller, soul, WriteMode::Patch, request).await
}

/// Replace a node.
///
/// As PATCH, and fields that are not named are deleted.
#[utoipa::path(
    put, path = "/api/v1/nodes/{soul}", tag = "nodes",
    params(("soul" = String, Path, description = "The soul, percent-encoded in one segment", example = "people%2Fada"), WaitQuery, RenderQuery),
    request_body(content = schema::Fields, description = "The fields"),
    responses(
        (status = 200, description = "Durable at enough replicas", body = schema::Written),
        (status = 202, description = "Durable here; `outstanding` names who has not confirmed", body = schema::Written),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(super) async fn put_node(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Problem> {
    let soul = target::from_path(request.uri())?;
    write(&state, &caller, soul, WriteMode::Put, request).await
}

/// Replace a node that a query parameter names.
#[utoipa::path(
    put, path = "/api/v1/node", tag = "nodes",
    params(target::SoulQuery, WaitQuery, RenderQuery),
    request_body(content = schema::Fields, description = "The fields"),
    responses(
        (status = 200, description = "Durable at enough replicas", body = schema::Written),
        (status = 202, description = "Durable here; `outstanding` names who has not confirmed", body = schema::Written),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(super) async fn put_node_by_query(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Problem> {
    let soul = target::from_query(request.uri())?;
    write(&state, &caller, soul, WriteMode::Put, request).await
}

/// Delete a node.
///
/// Every field is deleted.
#[utoipa::path(
    delete, path = "/api/v1/nodes/{soul}", tag = "nodes",
    params(("soul" = String, Path, description = "The soul, percent-encoded in one segment", example = "people%2Fada"), WaitQuery, RenderQuery),
    responses(
        (status = 200, description = "Durable at enough replicas", body = schema::Written),
        (status = 202, description = "Durable here; `outstanding` names who has not confirmed", body = schema::Written),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(super) async fn delete_node(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Problem> {
    let soul = target::from_path(request.uri())?;
    write(&state, &caller, soul, WriteMode::Delete, request).await
}

/// Delete a node that a query parameter names.
#[utoipa::path(
    delete, path = "/api/v1/node", tag = "nodes",
    params(target::SoulQuery, WaitQuery, RenderQuery),
    responses(
        (status = 200, description = "Durable at enough replicas", body = schema::Written),
        (status = 202, description = "Durable here; `outstanding` names who has not confirmed", body = schema::Written),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(super) async fn delete_node_by_query(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Problem> {
    let soul = target::from_query(request.uri())?;
    write(&state, &caller, soul, WriteMode::Delete, request).await
}

async fn write(
    state: &State,
    caller: &Caller,
    soul: Soul,
    mode: WriteMode,
    request: Request,
) -> Result<Response, Problem> {
    let by = caller.may_write(&soul)?;
    let (parts, body) = request.into_parts();
    let (wait, render) = if parts.uri.query().is_none() {
        (limits::DEFAULT_WAIT, RenderOptions::default())
    } else {
        (query::parse::<WaitQuery>(&parts.uri)?.wait()?, query::parse::<RenderQuery>(&parts.uri)?.options())
    };
    let if_match = etag::list(&parts.headers, &header::IF_MATCH)?;
    let if_none_match = etag::list(&parts.headers, &header::IF_NONE_MATCH)?;
    let fields = if mode == WriteMode::Delete {
        Vec::new()
    } else {
        check_type(&parts.headers)?;
        fields::read_object(&body::whole(body, limits::MAX_JSON_BODY_BYTES).await?)?
    };
    let render = RenderOptions { reader: by, ..render };
    let write = NodeWrite { by, soul: soul.clone(), mode, fields, if_match, if_none_match, wait, render };
    let written = state.node().write(write).await?;
    Ok(answer::written(&soul, &written))
}

/// JSON, or nothing said.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    if !headers.contains_key(header::CONTENT_TYPE) {
        return Ok(());
    }
    match body::media_type(headers).as_str() {
        "application/json" | "application/merge-patch+json" | body::CURL_DEFAULT => Ok(()),
        other => Err(body::unsupported(other, "application/json")),
    }
}
