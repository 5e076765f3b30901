//! The pins of the community, and how much a caller keeps.

use axum::{
    Json,
    extract::{Request, State as Shared},
    http::{HeaderName, HeaderValue, StatusCode, Uri},
};
use rustdht_node::{SharedHere, SharedPin, SharedPinStatus};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{NO_STORE, may_look, schema};
use crate::{
    State,
    auth::{Reader, Writer},
    body,
    problem::Problem,
    query::{self, PageQuery, WaitQuery},
    routes::measured,
};

type Answer<T> = Result<([(HeaderName, HeaderValue); 1], Json<T>), Problem>;

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(measured(routes!(get_pinset, post_pinset)))
        .routes(measured(routes!(delete_pinset)))
        .routes(measured(routes!(get_quota)))
}

/// List the community's pins.
///
/// With who holds each, as far as this gateway knows. Needs scope `read`.
#[utoipa::path(
    get, path = "/api/v1/pinset", tag = "pins",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of pins", body = schema::SharedPins),
        (status = "default", response = crate::schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_pinset(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    uri: Uri,
) -> Answer<schema::SharedPins> {
    may_look(&caller)?;
    let page: PageQuery = query::parse(&uri)?;
    let limit = page.limit()?;
    let after = page.cursor.as_deref().map(schema::cid).transpose().map_err(|problem| problem.at("cursor"))?;
    let mut pins = state.node().shared_pins(after.as_ref(), limit + 1).await?;
    let more = pins.len() > limit;
    pins.truncate(limit);
    let next = pins.last().filter(|_| more).map(|last| last.pin.cid.to_string());
    Ok((NO_STORE, Json(schema::SharedPins { pins: pins.into_iter().map(shown).collect(), next })))
}

/// Pin something for the community.
///
/// The nearest replicas fetch it and hold it. Pinning it again changes its name and numbers. Needs scope `write` and the
/// right to write the community's pins: that of the owner of a member gateway.
#[utoipa::path(
    post, path = "/api/v1/pinset", tag = "pins",
    params(WaitQuery),
    request_body = schema::SharedPinBody,
    responses(
        (status = 202, description = "It is in the set; replicas fetch it", body = schema::SharedPinBody),
        (status = "default", response = crate::schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_pinset(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<(StatusCode, Json<schema::SharedPinBody>), Problem> {
    let by = caller.may_write(&state.node().shared_pins_soul()?)?;
    let (parts, body) = request.into_parts();
    let wait = query::parse::<WaitQuery>(&parts.uri)?.wait()?;
    let wanted: schema::SharedPinBody = body::json(&parts.headers, body).await?;
    let usual = SharedPin::new(schema::cid(&wanted.cid).map_err(|problem| problem.at("cid"))?);
    let min = wanted.min.unwrap_or(usual.min);
    let pin = SharedPin { name: wanted.name, min, max: wanted.max.unwrap_or(min), ..usual };
    state.node().share_pin(by, pin.clone(), wait).await?;
    Ok((StatusCode::ACCEPTED, Json(about(pin))))
}

/// Take something out of the community's pins.
///
/// Needs what pinning it needs.
#[utoipa::path(
    delete, path = "/api/v1/pinset/{cid}", tag = "pins",
    params(("cid" = String, Path, description = "The root"), WaitQuery),
    responses(
        (status = 202, description = "It is out of the set; replicas let go of it"),
        (status = "default", response = crate::schema::ProblemAnswer),
    ),
)]
pub(crate) async fn delete_pinset(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let by = caller.may_write(&state.node().shared_pins_soul()?)?;
    let text = query::segment(&uri, "/api/v1/pinset/", 0, "cid")?;
    let cid = schema::cid(&text).map_err(|problem| problem.at("cid"))?;
    let wait = query::parse::<WaitQuery>(&uri)?.wait()?;
    match state.node().unshare_pin(by, &cid, wait).await? {
        Some(_) => Ok(StatusCode::ACCEPTED),
        None => Err(Problem::not_found("the community has not pinned this").at("cid")),
    }
}

/// Read how much a caller keeps here.
///
/// Needs scope `read`.
#[utoipa::path(
    get, path = "/api/v1/quota", tag = "pins",
    responses(
        (status = 200, description = "What is kept, and how much may be", body = schema::Quota),
        (status = "default", response = crate::schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_quota(Shared(state): Shared<State>, Reader(caller): Reader) -> Answer<schema::Quota> {
    may_look(&caller)?;
    let usage = state.node().usage(caller.principal()).await?;
    let quota = schema::Quota {
        bytes: usage.bytes,
        pins: usage.pins,
        bytes_limit: usage.bytes_limit,
        pins_limit: usage.pins_limit,
    };
    Ok((NO_STORE, Json(quota)))
}

fn about(pin: SharedPin) -> schema::SharedPinBody {
    schema::SharedPinBody { cid: pin.cid.to_string(), name: pin.name, min: Some(pin.min), max: Some(pin.max) }
}

fn shown(status: SharedPinStatus) -> schema::SharedPinStatusBody {
    let (here, blocks, bytes, detail) = match status.here {
        SharedHere::Elsewhere => (schema::Here::Elsewhere, 0, 0, String::new()),
        SharedHere::Fetching { blocks, bytes, detail } => (schema::Here::Fetching, blocks, bytes, detail),
        SharedHere::Held { bytes } => (schema::Here::Held, 0, bytes, String::new()),
    };
    schema::SharedPinStatusBody {
        pin: about(status.pin),
        holders: status.holders.into_iter().map(|replica| replica.0).collect(),
        here,
        blocks,
        bytes,
        detail,
    }
}
