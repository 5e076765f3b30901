//! Following links from node to node.

use axum::{
    extract::{Request, State as Shared},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use rustdht_core::{Field, Soul, json};
use rustdht_node::{PathAnswer, RenderOptions};

use super::target;
use crate::{
    State,
    auth::Reader,
    problem::Problem,
    query::{self, RenderQuery},
    schema,
};

/// Follow links.
///
/// Each segment names a field; a link leads to its node, a set of links to all of theirs. `values` is what the last
/// segment holds, `nodes` the nodes that its links name.
#[utoipa::path(
    get, path = "/api/v1/nodes/{soul}/path/{*path}", tag = "nodes",
    params(
        ("soul" = String, Path, description = "The soul to begin at, percent-encoded in one segment"),
        ("path" = String, Path, description = "The fields to follow, each percent-encoded, with slashes between", example = "hypernym/hypernym"),
        RenderQuery,
    ),
    responses(
        (status = 200, description = "What the path leads to; empty when it leads nowhere", body = schema::Path),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(super) async fn follow_path(
    Shared(state): Shared<State>,
    Reader(caller): Reader,
    request: Request,
) -> Result<Response, Problem> {
    let soul = target::from_path(request.uri())?;
    let reader = caller.may_roam(&soul)?;
    let segments = target::segments(request.uri())?;
    let render = RenderOptions { reader, ..query::parse::<RenderQuery>(request.uri())?.options() };
    let answer = state.node().path(&soul, &segments, render).await?.ok_or_else(|| {
        Problem::not_found("no node of the first soul is here or at a member that answered").at("soul")
    })?;
    let mut response = print(&soul, &segments, &answer, render).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

fn print(soul: &Soul, segments: &[Field], answer: &PathAnswer, render: RenderOptions) -> String {
    let mut out = String::from("{\"soul\":");
    json::write_str(&mut out, soul);
    out.push_str(",\"path\":");
    list(&mut out, segments, |out, segment| json::write_str(out, segment));
    out.push_str(",\"values\":");
    list(&mut out, &answer.values, |out, value| json::write(out, value, render.ints));
    out.push_str(",\"nodes\":");
    list(&mut out, &answer.nodes, |out, node| out.push_str(&String::from_utf8_lossy(&node.json)));
    out.push_str(if answer.truncated { ",\"truncated\":true}" } else { ",\"truncated\":false}" });
    out
}

fn list<T>(out: &mut String, items: &[T], mut write: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use rustdht_core::{Stamp, Value};
    use rustdht_node::Rendered;

    use super::*;

    #[test]
    fn the_answer_is_json() {
        let answer = PathAnswer {
            values: vec![Value::Link("b".parse().unwrap()), Value::Int(5)],
            nodes: vec![Rendered {
                json: bytes::Bytes::from_static(b"{\"soul\":\"b\",\"data\":{},\"stamp\":\"1\"}"),
                etag: "\"t\"".into(),
                stamp: Stamp(1),
            }],
            truncated: true,
        };
        let text = print(&"a".parse().unwrap(), &["x".parse().unwrap()], &answer, RenderOptions::default());
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            serde_json::json!({
                "soul": "a", "path": ["x"], "values": [{"#": "b"}, 5],
                "nodes": [{"soul": "b", "data": {}, "stamp": "1"}], "truncated": true,
            })
        );
    }
}
