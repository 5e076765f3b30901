//! Export: every node as a stream of lines.

use axum::{
    body::Body,
    extract::{Request, State as Shared},
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures::StreamExt;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{State, auth::Reader, problem::Problem, query, routes::measured, schema};

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
/// equal bytes. Private nodes show ciphertext, to their recipients too; mirror nodes are the owner's. A
/// failure on the way ends the connection before the last chunk. Needs scope `read`.
#[utoipa::path(
    get, path = "/api/v1/export", tag = "bulk",
    params(PrefixQuery),
    responses(
        (status = 200, description = "A node per line", body = String, content_type = "application/x-ndjson",
            headers(("Rustdht-Coverage" = String, description = "`complete`, or `local` on a replica that holds a part"))),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_export(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    request: Request,
) -> Result<Response, Problem> {
    let prefix = query::parse::<PrefixQuery>(request.uri())?.prefix;
    caller.may_read_under(&prefix)?;
    let owner = caller.is_owner();
    let lines = state.node().export(prefix).map(move |chunk| if owner { chunk } else { chunk.map(without_mirrors) });
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("rustdht-coverage", HeaderValue::from_static("complete"));
    Ok(response)
}

/// The lines that are no mirror nodes.
fn without_mirrors(lines: Bytes) -> Bytes {
    const MIRROR: &[u8] = b"{\"soul\":\"^";
    let is_shown = |line: &&[u8]| !line.starts_with(MIRROR);
    if lines.split_inclusive(|byte| *byte == b'\n').all(|line| is_shown(&line)) {
        return lines;
    }
    lines.split_inclusive(|byte| *byte == b'\n').filter(is_shown).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_left_out() {
        let lines = Bytes::from_static(b"{\"soul\":\"a\"}\n{\"soul\":\"^https://x/\"}\n{\"soul\":\"b^\"}\n");
        assert_eq!(without_mirrors(lines), "{\"soul\":\"a\"}\n{\"soul\":\"b^\"}\n");
        let plain = Bytes::from_static(b"{\"soul\":\"a\"}\n");
        assert_eq!(without_mirrors(plain.clone()), plain);
    }
}
