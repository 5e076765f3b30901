//! What callers keep here: the IPFS Pinning Service API, version 1.0.0, and the pins of the community.
//!
//! Each caller sees the pins of its own account, or the owner's. Errors of `/pins` have the form of that API.

mod failure;
mod filter;
mod room;
mod schema;
mod set;
mod time;

use std::time::Duration;

use axum::{
    Json,
    extract::{Request, State as Shared},
    http::{HeaderName, HeaderValue, StatusCode, Uri, header},
};
use rustdht_node::{NewPin, Pin, PinFault, PinId, PinStatus};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{State, auth::Caller, body, problem::Problem, query, rfc3339, routes::measured};

use failure::{Failure, Keeper, Looker};
pub(crate) use room::{Allowance, discard, discard_body};

/// How long the answer to a new pin waits for it: what is here already is pinned at once, and should be shown so.
const SETTLE: Duration = Duration::from_millis(250);

const NO_STORE: [(HeaderName, HeaderValue); 1] = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

type Answer<T> = Result<(StatusCode, [(HeaderName, HeaderValue); 1], Json<T>), Failure>;

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(measured(routes!(get_pins, post_pin)))
        .routes(measured(routes!(get_pin, replace_pin, delete_pin)))
        .merge(set::router())
}

/// List pins.
///
/// The newest first; without `status` only those that are pinned. Needs scope `read`.
#[utoipa::path(
    get, path = "/api/v1/pins", tag = "pins",
    params(filter::FilterQuery),
    responses(
        (status = 200, description = "Pins, and how many there are", body = schema::PinResults),
        (status = "default", description = "What went wrong", body = schema::FailureAnswer),
    ),
)]
pub(crate) async fn get_pins(
    Shared(state): Shared<State>,
    Looker(caller): Looker,
    uri: Uri,
) -> Answer<schema::PinResults> {
    let filter = filter::read(&uri)?;
    let page = state.node().pins(caller.principal(), &filter).await?;
    let delegates = delegates(&state).await;
    let results = page.pins.into_iter().map(|pin| shown(pin, delegates.clone())).collect();
    Ok((StatusCode::OK, NO_STORE, Json(schema::PinResults { count: page.count, results })))
}

/// Pin something.
///
/// It is fetched in the background, from its origins, from members and from whoever provides it. Needs scope `write`.
#[utoipa::path(
    post, path = "/api/v1/pins", tag = "pins",
    request_body = schema::PinBody,
    responses(
        (status = 202, description = "The pin", body = schema::PinStatusBody),
        (status = "default", description = "What went wrong", body = schema::FailureAnswer),
    ),
)]
pub(crate) async fn post_pin(
    Shared(state): Shared<State>,
    Keeper(caller): Keeper,
    request: Request,
) -> Answer<schema::PinStatusBody> {
    let new = read(request).await?;
    let pin = state.node().add_pin(caller.principal(), new, SETTLE).await?;
    accepted(&state, pin).await
}

/// Read a pin.
///
/// Needs scope `read`.
#[utoipa::path(
    get, path = "/api/v1/pins/{requestid}", tag = "pins",
    params(("requestid" = String, Path, description = "The pin, 32 hex digits")),
    responses(
        (status = 200, description = "The pin", body = schema::PinStatusBody),
        (status = "default", description = "What went wrong", body = schema::FailureAnswer),
    ),
)]
pub(crate) async fn get_pin(
    Shared(state): Shared<State>,
    Looker(caller): Looker,
    uri: Uri,
) -> Answer<schema::PinStatusBody> {
    let pin = state.node().pin(caller.principal(), request_id(&uri)?).await?;
    let delegates = delegates(&state).await;
    Ok((StatusCode::OK, NO_STORE, Json(shown(pin, delegates))))
}

/// Replace a pin.
///
/// In one step: what the old and the new one have in common is kept all the time. Needs scope `write`.
#[utoipa::path(
    post, path = "/api/v1/pins/{requestid}", tag = "pins",
    params(("requestid" = String, Path, description = "The pin that goes")),
    request_body = schema::PinBody,
    responses(
        (status = 202, description = "The new pin, with an id of its own", body = schema::PinStatusBody),
        (status = "default", description = "What went wrong", body = schema::FailureAnswer),
    ),
)]
pub(crate) async fn replace_pin(
    Shared(state): Shared<State>,
    Keeper(caller): Keeper,
    request: Request,
) -> Answer<schema::PinStatusBody> {
    let old = request_id(request.uri())?;
    let new = read(request).await?;
    let pin = state.node().replace_pin(caller.principal(), old, new, SETTLE).await?;
    accepted(&state, pin).await
}

/// Remove a pin.
///
/// Its blocks go when blocks are collected, unless something else keeps them. Needs scope `write`.
#[utoipa::path(
    delete, path = "/api/v1/pins/{requestid}", tag = "pins",
    params(("requestid" = String, Path, description = "The pin")),
    responses(
        (status = 202, description = "It is removed"),
        (status = "default", description = "What went wrong", body = schema::FailureAnswer),
    ),
)]
pub(crate) async fn delete_pin(
    Shared(state): Shared<State>,
    Keeper(caller): Keeper,
    uri: Uri,
) -> Result<StatusCode, Failure> {
    state.node().remove_pin(caller.principal(), request_id(&uri)?).await?;
    Ok(StatusCode::ACCEPTED)
}

fn request_id(uri: &Uri) -> Result<PinId, Problem> {
    let text = query::segment(uri, "/api/v1/pins/", 0, "requestid")?;
    // Whatever it is, it names no pin.
    text.parse().map_err(|_| PinFault::Unknown.into())
}

async fn read(request: Request) -> Result<NewPin, Problem> {
    let (parts, body) = request.into_parts();
    let wanted: schema::PinBody = body::json(&parts.headers, body).await?;
    Ok(NewPin {
        cid: schema::cid(&wanted.cid).map_err(|problem| problem.at("cid"))?,
        recursive: wanted.recursive.unwrap_or(true),
        name: wanted.name.unwrap_or_default(),
        meta: wanted.meta.unwrap_or_default(),
        origins: wanted.origins.unwrap_or_default(),
    })
}

async fn accepted(state: &State, pin: Pin) -> Answer<schema::PinStatusBody> {
    let delegates = delegates(state).await;
    Ok((StatusCode::ACCEPTED, NO_STORE, Json(shown(pin, delegates))))
}

/// Where who has something may bring it. A network that does not answer changes nothing about the pin.
async fn delegates(state: &State) -> Vec<String> {
    state.node().delegates().await.unwrap_or_else(|error| {
        tracing::debug!(%error, "the addresses of this gateway are not known");
        vec!["/p2p/unknown".to_owned()]
    })
}

fn shown(pin: Pin, delegates: Vec<String>) -> schema::PinStatusBody {
    let mut info = std::collections::BTreeMap::new();
    if !pin.detail.is_empty() {
        info.insert("status_details".to_owned(), pin.detail);
    }
    match pin.status {
        PinStatus::Pinned => drop(info.insert("dag_size".to_owned(), pin.bytes.to_string())),
        PinStatus::Pinning => {
            info.insert("blocks".to_owned(), pin.blocks.to_string());
            info.insert("bytes".to_owned(), pin.bytes.to_string());
        }
        PinStatus::Queued | PinStatus::Failed => {}
    }
    let given = |name: String| Some(name).filter(|name| !name.is_empty());
    schema::PinStatusBody {
        requestid: pin.id.to_string(),
        status: pin.status.into(),
        created: rfc3339::from_ms(pin.created_ms),
        pin: schema::PinBody {
            cid: pin.cid.to_string(),
            name: given(pin.name),
            origins: Some(pin.origins).filter(|origins| !origins.is_empty()),
            meta: Some(pin.meta).filter(|meta| !meta.is_empty()),
            recursive: (!pin.recursive).then_some(false),
        },
        delegates,
        info: Some(info).filter(|info| !info.is_empty()),
    }
}

/// Whether a caller's pins may be looked at: needs scope `read`.
fn may_look(caller: &Caller) -> Result<(), Problem> {
    caller.may_see().map(drop)
}

/// Whether a caller may pin: needs scope `write`.
fn may_keep(caller: &Caller) -> Result<(), Problem> {
    caller.may_add().map(drop)
}
