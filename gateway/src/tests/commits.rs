//! Commits over HTTP.

use rustdht_core::{Soul, Stamp, Value as CoreValue};
use rustdht_testkit::{Author, write};
use serde_json::json;

use super::*;

const CBOR: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/vnd.rustdht.commit+cbor")];

#[tokio::test]
async fn operations_are_taken_together() {
    let app = App::new().await;
    let body = r##"{"ops":[
        {"op":"set","soul":"a","field":"x","value":1},
        {"op":"add","soul":"b","field":"s","value":{"#":"a"}},
        {"op":"delete","soul":"a","field":"nothing"}
    ]}"##;
    let answer = app.send(Method::POST, "/api/v1/commits", &JSON, body).await;
    let json = answer.json();
    assert_eq!(answer.status, 200, "{json}");
    assert_eq!(json["results"].as_array().unwrap().len(), 3);
    assert_eq!((&json["results"][0]["result"], &json["results"][1]["i"]), (&json!("taken"), &json!(1)));
    assert_eq!(app.get("/api/v1/nodes/b").await.json()["data"], json!({"s": {"@set": [{"#": "a"}]}}));
    let id = json["commit"].as_str().unwrap();
    let state = app.get(&format!("/api/v1/commits/{id}")).await.json();
    assert_eq!(state, json!({"commit": id, "acknowledged": true, "durable": 1, "wanted": 1, "outstanding": []}));
}

#[tokio::test]
async fn one_bad_operation_refuses_all() {
    let app = App::new().await;
    let body =
        r#"{"ops":[{"op":"set","soul":"a","field":"x","value":1},{"op":"set","soul":"~x","field":"x","value":1}]}"#;
    let answer = app.send(Method::POST, "/api/v1/commits", &JSON, body).await;
    assert_eq!(answer.problem(), (422, "bad_soul".into()));
    assert_eq!(answer.json()["field"], "ops.1.soul");
    assert_eq!(app.get("/api/v1/nodes/a").await.status, 404);
    let text = app.send(Method::POST, "/api/v1/commits", &[(header::CONTENT_TYPE, "text/plain")], body).await;
    assert_eq!(text.problem(), (415, "unsupported_media_type".into()));
}

#[tokio::test]
async fn commits_that_are_not_here() {
    let app = App::new().await;
    assert_eq!(app.get(&format!("/api/v1/commits/{}", "0".repeat(64))).await.problem(), (404, "not_found".into()));
    for bad in ["x", &"0".repeat(63), &"A".repeat(64)] {
        assert_eq!(app.get(&format!("/api/v1/commits/{bad}")).await.problem(), (400, "malformed".into()));
    }
}

#[tokio::test]
async fn a_signed_commit_is_taken_once_and_known_after() {
    let app = App::new().await;
    let net = app.node.identity().net;
    let soul: Soul = "signed".parse().unwrap();
    let mut author = Author::new(7);
    let operation = write(&soul, "x", CoreValue::from("y")).unwrap();
    let built = author.sign(net, Stamp::from_ms(NOW_MS), vec![operation]).unwrap();
    let first = app.send(Method::POST, "/api/v1/commits", &CBOR, built.envelope.clone()).await;
    assert_eq!((first.status, &first.json()["results"][0]["result"]), (200, &json!("taken")));
    let again = app.send(Method::POST, "/api/v1/commits", &CBOR, built.envelope.clone()).await;
    assert_eq!((again.status, &again.json()["results"][0]["result"]), (200, &json!("known")));

    let early = write(&soul, "x", CoreValue::from("later")).unwrap();
    let early = author.sign(net, Stamp::from_ms(NOW_MS + 3_600_000), vec![early]).unwrap();
    let deferred = app.send(Method::POST, "/api/v1/commits", &CBOR, early.envelope).await;
    assert_eq!(deferred.status, 202);
    let result = &deferred.json()["results"][0];
    assert_eq!((&result["result"], &result["until"]), (&json!("deferred"), &json!("2026-11-18T12:06:40.000Z")));

    let far = write(&soul, "x", CoreValue::from("too far")).unwrap();
    let far = author.sign(net, Stamp::from_ms(NOW_MS + 2 * 86_400_000), vec![far]).unwrap();
    let refused = app.send(Method::POST, "/api/v1/commits", &CBOR, far.envelope).await;
    assert_eq!(refused.problem(), (422, "too_early".into()));
    let mut broken = built.envelope.to_vec();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let broken = app.send(Method::POST, "/api/v1/commits", &CBOR, broken).await;
    assert!(broken.status == 400 || broken.status == 422, "{}", broken.text());
    broken.problem();
    let none = app.send(Method::POST, "/api/v1/commits", &CBOR, "").await;
    assert_eq!(none.problem(), (400, "malformed".into()));
    assert_eq!(app.get("/api/v1/nodes/signed").await.json()["data"], json!({"x": "y"}));
}
