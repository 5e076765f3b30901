//! Schemas: what nodes of a type have to look like, for writes at this gateway.

use axum::{
    Json,
    extract::{Request, State as Shared},
    http::{HeaderName, HeaderValue, StatusCode, Uri},
};
use rustdht_node::SchemaInfo;
use serde_json::value::RawValue;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    State,
    accounts::NO_STORE,
    auth::{Admin, Reader},
    body, fields, limits,
    problem::Problem,
    query, rfc3339,
    routes::measured,
    schema,
};

type Answer<T> = Result<([(HeaderName, HeaderValue); 1], Json<T>), Problem>;

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(measured(routes!(get_schemas))).routes(measured(routes!(
        get_schema,
        put_schema,
        delete_schema
    )))
}

fn type_of(uri: &Uri) -> Result<String, Problem> {
    query::segment(uri, "/api/v1/schemas/", 0, "type")
}

fn print(info: SchemaInfo) -> Result<schema::TypeSchema, Problem> {
    let document = serde_json::from_str::<Box<RawValue>>(&info.json).map_err(|error| fields::not_json(&error))?;
    let document = serde_json::to_value(document).map_err(|error| fields::not_json(&error))?;
    Ok(schema::TypeSchema { r#type: info.kind, updated: rfc3339::from_ms(info.updated_ms), schema: document })
}

fn unknown() -> Problem {
    Problem::not_found("no schema is set for this type").at("type")
}

/// List the schemas.
///
/// Each holds for nodes whose field `type` is that text, and for writes at this gateway only. Needs scope `read`.
#[utoipa::path(
    get, path = "/api/v1/schemas", tag = "authority",
    responses(
        (status = 200, description = "The schemas", body = schema::TypeSchemas),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_schemas(Shared(state): Shared<State>, Reader(caller): Reader) -> Answer<schema::TypeSchemas> {
    caller.may_see()?;
    let schemas = state.node().schemas().into_iter().map(print).collect::<Result<_, _>>()?;
    Ok((NO_STORE, Json(schema::TypeSchemas { schemas })))
}

/// Read a schema.
///
/// Needs scope `read`.
#[utoipa::path(
    get, path = "/api/v1/schemas/{type}", tag = "authority",
    params(("type" = String, Path, description = "The type, percent-encoded in one segment")),
    responses(
        (status = 200, description = "The schema", body = schema::TypeSchema),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_schema(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    uri: Uri,
) -> Answer<schema::TypeSchema> {
    caller.may_see()?;
    let info = state.node().schema(&type_of(&uri)?).ok_or_else(unknown)?;
    Ok((NO_STORE, Json(print(info)?)))
}

/// Set a schema.
///
/// A JSON Schema over the fields as GET shows them. A write at this gateway that would leave a node of the type in
/// another shape is refused; what is there, and what comes from other gateways, stays. Needs scope `admin`.
#[utoipa::path(
    put, path = "/api/v1/schemas/{type}", tag = "authority",
    params(("type" = String, Path, description = "The type, percent-encoded in one segment")),
    request_body(content = Object, description = "A JSON Schema of at most 64 KiB"),
    responses(
        (status = 200, description = "The schema", body = schema::TypeSchema),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn put_schema(Shared(state): Shared<State>, _: Admin, request: Request) -> Answer<schema::TypeSchema> {
    let (parts, body) = request.into_parts();
    body::check_json(&parts.headers)?;
    let name = type_of(&parts.uri)?;
    let bytes = body::whole(body, limits::MAX_SMALL_BODY_BYTES).await?;
    let document: &RawValue = serde_json::from_slice(&bytes).map_err(|error| fields::not_json(&error))?;
    let info = state.node().put_schema(&name, document.get()).await?;
    Ok((NO_STORE, Json(print(info)?)))
}

/// Take a schema away.
///
/// Needs scope `admin`.
#[utoipa::path(
    delete, path = "/api/v1/schemas/{type}", tag = "authority",
    params(("type" = String, Path, description = "The type, percent-encoded in one segment")),
    responses(
        (status = 204, description = "It is gone"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn delete_schema(Shared(state): Shared<State>, _: Admin, uri: Uri) -> Result<StatusCode, Problem> {
    if state.node().delete_schema(&type_of(&uri)?).await? { Ok(StatusCode::NO_CONTENT) } else { Err(unknown()) }
}
