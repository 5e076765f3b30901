//! What a field was before.

use axum::{
    extract::{Request, State as Shared},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use rustdht_core::{Field, Refusal, Soul};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    State,
    auth::Reader,
    problem::Problem,
    query::{self, PageQuery, RenderQuery},
    routes::measured,
    schema,
};

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(measured(routes!(get_history)))
}

/// Read the history of a field.
///
/// What lost, the latest first: its value, who wrote it, when, and why it lost; as long as `store.history_days` keeps it
/// here. What was erased is not in it.
#[utoipa::path(
    get, path = "/api/v1/history/{soul}/{field}", tag = "nodes",
    params(
        ("soul" = String, Path, description = "The soul, percent-encoded in one segment"),
        ("field" = String, Path, description = "The field, percent-encoded in one segment"),
        PageQuery, RenderQuery,
    ),
    responses(
        (status = 200, description = "A page of entries", body = schema::History),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_history(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    request: Request,
) -> Result<Response, Problem> {
    let uri = request.uri();
    let part = |at, name| query::segment(uri, "/api/v1/history/", at, name);
    let soul: Soul = part(0, "soul")?.parse().map_err(|refusal: Refusal| Problem::from(refusal).at("soul"))?;
    let field: Field = part(1, "field")?.parse().map_err(|refusal: Refusal| Problem::from(refusal).at("field"))?;
    let reader = caller.may_read(&soul)?;
    let page: PageQuery = query::parse(uri)?;
    let limit = u32::try_from(page.limit()?).unwrap_or(u32::MAX);
    let bad = |_| Problem::malformed("the cursor is 'next' of the page before").at("cursor");
    let before = page.cursor.as_deref().map(str::parse).transpose().map_err(bad)?;
    let ints = query::parse::<RenderQuery>(uri)?.options().ints;
    let history = state.node().history(&soul, &field, reader, before, limit).await?;
    let mut response = history.to_json(ints).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
