//! Answers that carry a node.

use std::fmt::Write as _;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use rustdht_core::{Soul, Stamp, json, ports::Durability};
use rustdht_node::{NodeWritten, Rendered};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// 200 with a node as it was rendered: no copy, no formatting.
pub(super) fn node(rendered: Rendered) -> Response {
    let tag = tag(&rendered);
    let mut response = Response::new(Body::from(rendered.json));
    let headers = response.headers_mut();
    headers.reserve(4);
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CACHE_CONTROL, NO_CACHE);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if let Some(tag) = tag {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// 304 for a client that has this state.
pub(super) fn not_modified(rendered: &Rendered) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, NO_CACHE);
    if let Some(tag) = tag(rendered) {
        headers.insert(header::ETAG, tag);
    }
    response
}

fn tag(rendered: &Rendered) -> Option<HeaderValue> {
    HeaderValue::from_str(&rendered.etag).ok()
}

/// 200 or 202 with the merged node, the commits that made it and, for 202, how far they got.
pub(crate) fn written(soul: &Soul, written: &NodeWritten) -> Response {
    let mut body = String::with_capacity(written.node.as_ref().map_or(96, |node| node.json.len()) + 256);
    open(&mut body, soul, written);
    let _ = write!(body, ",\"stamp\":\"{}\",\"commit\":", written.stamp);
    match written.commits.last() {
        Some(commit) => {
            let _ = write!(body, "\"{commit}\"");
        }
        None => body.push_str("null"),
    }
    if written.commits.len() > 1 {
        let ids: Vec<String> = written.commits.iter().map(|commit| format!("\"{commit}\"")).collect();
        let _ = write!(body, ",\"commits\":[{}]", ids.join(","));
    }
    let acknowledged = written.durability.is_acknowledged();
    if !acknowledged {
        write_durability(&mut body, &written.durability);
    }
    body.push('}');
    let mut response = Response::new(Body::from(Bytes::from(body)));
    *response.status_mut() = if acknowledged { StatusCode::OK } else { StatusCode::ACCEPTED };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    if let Some(tag) = written.node.as_ref().and_then(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// The object up to where the stamp belongs. A rendered node ends in its own greatest stamp, which a write replaces by
/// the commit's.
fn open(body: &mut String, soul: &Soul, written: &NodeWritten) {
    let whole = written.node.as_ref().and_then(|node| std::str::from_utf8(&node.json).ok().zip(Some(node.stamp)));
    match whole.and_then(|(json, stamp)| without_stamp(json, stamp)) {
        Some(head) => body.push_str(head),
        None => {
            body.push_str("{\"soul\":");
            json::write_str(body, soul);
            body.push_str(",\"data\":{}");
        }
    }
}

fn without_stamp(json: &str, stamp: Stamp) -> Option<&str> {
    json.strip_suffix("\"}")?.strip_suffix(stamp.to_string().as_str())?.strip_suffix(",\"stamp\":\"")
}

/// Appends `,"durable":n,"wanted":n,"outstanding":[...]`.
pub(super) fn write_durability(body: &mut String, durability: &Durability) {
    let _ = write!(body, ",\"durable\":{},\"wanted\":{},\"outstanding\":[", durability.durable, durability.wanted);
    for (at, replica) in durability.outstanding.iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        json::write_str(body, &replica.0);
    }
    body.push(']');
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use rustdht_core::{CommitId, ports::ReplicaId};

    use super::*;

    fn sample(durable: u16, commits: usize, node: bool) -> NodeWritten {
        NodeWritten {
            node: node.then(|| Rendered {
                json: Bytes::from_static(b"{\"soul\":\"a\",\"data\":{\"x\":1},\"stamp\":\"7\"}"),
                etag: "\"t\"".into(),
                stamp: Stamp(7),
            }),
            commits: (0..commits).map(|n| CommitId([n as u8; 32])).collect(),
            stamp: Stamp(9),
            durability: Durability { durable, wanted: 2, outstanding: vec![ReplicaId("r\"1".into())] },
        }
    }

    async fn read(response: Response) -> (u16, serde_json::Value) {
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_write_answers_the_node_with_the_stamp_of_the_commit() {
        let soul: Soul = "a".parse().unwrap();
        let (status, body) = read(written(&soul, &sample(2, 1, true))).await;
        let commit = "00".repeat(32);
        assert_eq!(status, 200);
        assert_eq!(body, serde_json::json!({"soul": "a", "data": {"x": 1}, "stamp": "9", "commit": commit}));
        let (status, body) = read(written(&soul, &sample(1, 2, false))).await;
        assert_eq!(status, 202);
        let last = "01".repeat(32);
        assert_eq!(
            body,
            serde_json::json!({
                "soul": "a", "data": {}, "stamp": "9", "commit": last, "commits": [commit, last],
                "durable": 1, "wanted": 2, "outstanding": ["r\"1"],
            })
        );
        let (_, body) = read(written(&soul, &sample(2, 0, true))).await;
        assert_eq!(body["commit"], serde_json::Value::Null);
    }

    #[tokio::test]
    async fn a_rendered_node_is_answered_as_it_is() {
        let rendered = sample(2, 1, true).node.unwrap();
        let response = node(rendered.clone());
        assert_eq!(response.headers()[header::ETAG], "\"t\"");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), rendered.json);
        let response = not_modified(&rendered);
        assert_eq!(
            (response.status(), &response.headers()[header::ETAG]),
            (StatusCode::NOT_MODIFIED, &HeaderValue::from_static("\"t\""))
        );
    }
}
