//! Private nodes: for whom a node is locked.

use axum::{
    Json,
    extract::{Request, State as Shared},
    http::{HeaderName, HeaderValue, Uri, header},
};
use rustdht_core::{Refusal, Soul};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    State,
    auth::{Reader, Writer},
    body, etag,
    problem::Problem,
    query,
    routes::measured,
    schema,
};

/// Nobody keeps it; with the tag of the recipients, for `If-Match`.
type Answer<T> = Result<([(HeaderName, HeaderValue); 2], Json<T>), Problem>;

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(measured(routes!(get_recipients, put_recipients)))
}

/// Who reads a private node.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RecipientsRequest)]
pub(crate) struct RecipientsBody {
    /// Keys, or names of accounts of this gateway; the caller is always one of them.
    recipients: Vec<String>,
}

fn soul_of(uri: &Uri) -> Result<Soul, Problem> {
    let text = query::segment(uri, "/api/v1/recipients/", 0, "soul")?;
    text.parse().map_err(|refusal: Refusal| Problem::from(refusal).at("soul"))
}

/// List who reads a private node.
///
/// Empty when it is not private. The list is public, as the souls and field names of private nodes are. `ETag` is its tag.
#[utoipa::path(
    get, path = "/api/v1/recipients/{soul}", tag = "authority",
    params(("soul" = String, Path, description = "The soul, percent-encoded in one segment")),
    responses(
        (status = 200, description = "The recipients", body = schema::Recipients),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_recipients(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    uri: Uri,
) -> Answer<schema::Recipients> {
    let soul = soul_of(&uri)?;
    caller.may_read(&soul)?;
    let recipients = state.node().recipients(&soul).await?;
    answer(&state, &soul, recipients, Vec::new())
}

fn answer(
    state: &State,
    soul: &Soul,
    recipients: Vec<rustdht_node::Recipient>,
    left_plain: Vec<String>,
) -> Answer<schema::Recipients> {
    let tag = HeaderValue::try_from(rustdht_node::recipients_tag(&recipients))
        .map_err(|_| Problem::unavailable("the tag of the recipients is no header"))?;
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store")), (header::ETAG, tag)];
    let recipients = print(state, recipients);
    Ok((headers, Json(schema::Recipients { soul: soul.to_string(), recipients, left_plain })))
}

fn print(state: &State, recipients: Vec<rustdht_node::Recipient>) -> Vec<schema::Recipient> {
    let print = |recipient: rustdht_node::Recipient| schema::Recipient {
        user: state.node().account_by_key(&recipient.key).map(|account| account.name),
        key: recipient.key.to_string(),
        recipient: data_encoding::HEXLOWER.encode(&recipient.to),
        current: recipient.current,
    };
    recipients.into_iter().map(print).collect()
}

/// Share a node with some, and with nobody else.
///
/// Makes the node private: its values become ciphertext under a key that is locked for each recipient. Who is taken out
/// reads what was there until now and nothing later. Soul, field names, authors and sizes stay visible. With `If-Match`
/// nothing changes unless the recipients are still those that were read. Needs scope `write`.
#[utoipa::path(
    put, path = "/api/v1/recipients/{soul}", tag = "authority",
    params(("soul" = String, Path, description = "The soul, percent-encoded in one segment")),
    request_body = RecipientsBody,
    responses(
        (status = 200, description = "The recipients now", body = schema::Recipients),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn put_recipients(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Answer<schema::Recipients> {
    let (parts, body) = request.into_parts();
    let soul = soul_of(&parts.uri)?;
    let by = caller.may_write(&soul)?;
    let if_match = etag::list(&parts.headers, &header::IF_MATCH)?;
    let body: RecipientsBody = body::json(&parts.headers, body).await?;
    let mut keys = Vec::with_capacity(body.recipients.len());
    for (at, text) in body.recipients.iter().enumerate() {
        keys.push(home_of(&state, text, &format!("recipients.{at}"))?);
    }
    let shared = state.node().set_recipients_if(by, &soul, keys, if_match).await?;
    let left_plain = shared.left_plain.iter().map(ToString::to_string).collect();
    answer(&state, &soul, shared.recipients, left_plain)
}

/// A key, or the first key of an account of that name: `~KEY` of it tells for which X25519 key to lock.
fn home_of(state: &State, text: &str, field: &str) -> Result<rustdht_core::PublicKey, Problem> {
    match state.node().account(text) {
        Some(account) => Ok(account.key),
        None => crate::certificates::key_of(state, text, field),
    }
}
