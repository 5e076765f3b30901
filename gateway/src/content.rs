//! Nodes that never change, named by the hash of what they hold.

use axum::{
    extract::{Request, State as Shared},
    http::{HeaderValue, header},
    response::Response,
};
use rustdht_core::{Code, Field, Refusal, Value};
use rustdht_node::{RenderOptions, Wanted};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    State,
    auth::Writer,
    body, fields, limits,
    nodes::answer,
    problem::Problem,
    query::{self, RenderQuery, WaitQuery},
    routes::measured,
    schema,
};

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(measured(routes!(post_content)))
}

/// Make a content node.
///
/// Its soul is `#` and the CID of its fields, so the same fields make the same node on every gateway, and nobody can
/// change it. `PUT /api/v1/nodes/{#CID}` does the same when the CID is known. Needs scope `write`.
#[utoipa::path(
    post, path = "/api/v1/content", tag = "nodes",
    params(WaitQuery, RenderQuery),
    request_body(content = schema::Fields, description = "The fields: plain values, no null, no wrapped ones"),
    responses(
        (status = 200, description = "Durable at enough replicas", body = schema::Written, headers(("Location" = String, description = "The node"))),
        (status = 202, description = "Durable here", body = schema::Written),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_content(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Problem> {
    // Which node it will be is known only once it is made, so no token for some nodes covers it.
    let by = caller.may_add()?;
    let (parts, body) = request.into_parts();
    let wait = query::parse::<WaitQuery>(&parts.uri)?.wait()?;
    let render = RenderOptions { reader: by, ..query::parse::<RenderQuery>(&parts.uri)?.options() };
    body::check_json(&parts.headers)?;
    let wanted = fields::read_object(&body::whole(body, limits::MAX_JSON_BODY_BYTES).await?)?;
    let fields = wanted.into_iter().map(plain).collect::<Result<Vec<_>, _>>()?;
    let (soul, written) = state.node().put_content(by, fields, wait, render).await?;
    let mut response = answer::written(&soul, &written);
    let path = format!("/api/v1/nodes/%23{}", soul.trim_start_matches('#'));
    if let Ok(location) = HeaderValue::try_from(path) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn plain((field, wanted): (Field, Wanted)) -> Result<(Field, Value), Problem> {
    match wanted {
        Wanted::Value(Value::Null) | Wanted::Wrapped { .. } => {
            let refusal = Refusal::new(Code::BadValue, "a content node holds plain values only");
            Err(refusal.within(&field).into())
        }
        Wanted::Value(value) => Ok((field, value)),
    }
}
