//! Commits of several operations, and where a commit is durable.

mod ops;

use axum::{
    Json,
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use rustdht_core::{CommitId, Refusal, Soul, ports};
use rustdht_node::{Committed, Op, OpResult, Outcome, Principal};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    State,
    auth::{Caller, Reader, Writer},
    body, limits,
    problem::Problem,
    query::{self, WaitQuery},
    rfc3339,
    routes::measured,
    schema,
};

/// The media type of a signed commit.
const SIGNED: &str = "application/vnd.rustdht.commit+cbor";

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(measured(routes!(post_commit))).routes(measured(routes!(get_commit)))
}

/// Commit operations together.
///
/// JSON operations, signed by this gateway for the caller, or one commit signed by the client (DAG-CBOR). All are taken
/// or none. Needs scope `write`.
#[utoipa::path(
    post, path = "/api/v1/commits", tag = "commits",
    params(WaitQuery),
    request_body(content(
        (schema::Commit = "application/json"),
        (Vec<u8> = "application/vnd.rustdht.commit+cbor"),
    ), description = "The operations"),
    responses(
        (status = 200, description = "Durable at enough replicas; a replay is 200, all known", body = schema::Committed),
        (status = 202, description = "Durable here, or an operation waits for its time", body = schema::Committed),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn post_commit(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Problem> {
    let wait = query::parse::<WaitQuery>(request.uri())?.wait()?;
    let signed = is_signed(request.headers())?;
    let body = body::whole(request.into_body(), limits::MAX_JSON_BODY_BYTES).await?;
    let committed = if signed {
        // Its author is who signed it; the token only opens the door, so it must be good for whatever is in there.
        let by = caller.may_add()?;
        state.node().commit_signed(body, wait, by).await?
    } else {
        let ops = ops::read(&body)?;
        let by = authorised(&caller, &ops)?;
        state.node().commit(by, ops, wait).await?
    };
    Ok(answer(committed).into_response())
}

/// 200 or 202 with what became of a commit.
pub(crate) fn answer(committed: Committed) -> (StatusCode, Json<schema::Committed>) {
    let acknowledged = committed.durability.is_acknowledged();
    let status = if acknowledged && !committed.is_deferred() { StatusCode::OK } else { StatusCode::ACCEPTED };
    (status, Json(print(committed)))
}

/// The writer of all operations.
///
/// # Errors
/// The problem of the first soul that the caller may not write.
fn authorised(caller: &Caller, ops: &[Op]) -> Result<Principal, Problem> {
    let mut by = Principal::Anonymous;
    let mut checked: Option<&Soul> = None;
    for (at, op) in ops.iter().enumerate() {
        // Operations on one node mostly stand together.
        if checked != Some(&op.soul) {
            by = caller.may_write(&op.soul).map_err(|problem| problem.at(format!("ops.{at}.soul")))?;
            checked = Some(&op.soul);
        }
    }
    Ok(by)
}

fn is_signed(headers: &HeaderMap) -> Result<bool, Problem> {
    match body::media_type(headers).as_str() {
        SIGNED => Ok(true),
        "application/json" | body::CURL_DEFAULT => Ok(false),
        "" if !headers.contains_key(header::CONTENT_TYPE) => Ok(false),
        other => Err(body::unsupported(other, "application/json or application/vnd.rustdht.commit+cbor")),
    }
}

fn print(committed: Committed) -> schema::Committed {
    let acknowledged = committed.durability.is_acknowledged();
    schema::Committed {
        commit: committed.commit.map(|commit| commit.to_string()),
        stamp: committed.stamp.to_string(),
        results: committed.results.iter().map(print_result).collect(),
        durability: (!acknowledged).then(|| committed.durability.into()),
    }
}

fn print_result(result: &OpResult) -> schema::OperationResult {
    let until = match result.outcome {
        Outcome::Deferred { until_ms } => Some(rfc3339::from_ms(until_ms)),
        Outcome::Taken | Outcome::Known | Outcome::Historical => None,
    };
    schema::OperationResult {
        i: result.index,
        result: result.outcome.as_str().to_owned(),
        id: result.id.map(|id| id.to_string()),
        until,
    }
}

impl From<ports::Durability> for schema::Durability {
    fn from(durability: ports::Durability) -> Self {
        Self {
            durable: durability.durable,
            wanted: durability.wanted,
            outstanding: durability.outstanding.into_iter().map(|replica| replica.0).collect(),
        }
    }
}

/// Ask where a commit is durable.
///
/// Needs scope `read`.
#[utoipa::path(
    get, path = "/api/v1/commits/{id}", tag = "commits",
    params(("id" = String, Path, description = "The commit, 64 hex digits in lower case")),
    responses(
        (status = 200, description = "How far it got", body = schema::CommitState),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_commit(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    uri: Uri,
) -> Result<([(HeaderName, HeaderValue); 1], Json<schema::CommitState>), Problem> {
    caller.may_see()?;
    let id = uri.path().rsplit('/').next().unwrap_or_default();
    let commit: CommitId = id.parse().map_err(|refusal: Refusal| Problem::from(refusal).at("id"))?;
    let durability = state
        .node()
        .durability(commit)
        .await?
        .ok_or_else(|| Problem::not_found("no commit of that id is here").at("id"))?;
    let acknowledged = durability.is_acknowledged();
    let state = schema::CommitState { commit: commit.to_string(), acknowledged, durability: durability.into() };
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(state)))
}

#[cfg(test)]
mod tests {
    use rustdht_core::{EntryId, Stamp, ports::Durability};

    use super::*;

    #[test]
    fn a_deferred_operation_says_until_when() {
        let committed = Committed {
            commit: Some(CommitId([1; 32])),
            stamp: Stamp(7),
            results: vec![
                OpResult { index: 0, outcome: Outcome::Deferred { until_ms: 1_000 }, id: Some(EntryId([2; 32])) },
                OpResult { index: 1, outcome: Outcome::Known, id: None },
            ],
            durability: Durability { durable: 1, wanted: 1, outstanding: vec![] },
        };
        assert_eq!(
            serde_json::to_value(print(committed)).unwrap(),
            serde_json::json!({
                "commit": "01".repeat(32), "stamp": "7",
                "results": [
                    {"i": 0, "result": "deferred", "id": "02".repeat(32), "until": "1970-01-01T00:00:01.000Z"},
                    {"i": 1, "result": "known", "id": null},
                ],
            })
        );
    }
}
