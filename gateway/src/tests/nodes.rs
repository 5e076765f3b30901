//! Nodes over HTTP.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_node_is_written_read_changed_and_deleted() {
    let app = App::new().await;
    assert_eq!(app.get("/api/v1/nodes/people%2Fada").await.problem(), (404, "not_found".into()));
    let written = app.patch("people/ada", r#"{"name":"Ada","born":1815,"height":1.0}"#).await;
    assert_eq!(written.status, 200);
    let json = written.json();
    assert_eq!(json["data"], json!({"born": 1815, "height": 1.0, "name": "Ada"}));
    assert_eq!(json["commit"].as_str().unwrap().len(), 64);
    assert!(json.get("durable").is_none());
    let read = app.get("/api/v1/nodes/people%2Fada").await;
    assert_eq!(read.status, 200);
    assert_eq!(read.header(header::ETAG), written.header(header::ETAG));
    assert_eq!(read.json()["stamp"], json["stamp"]);
    assert!(read.text().contains("\"height\":1.0"), "a float stays one: {}", read.text());
    assert_eq!(app.get("/api/v1/node?soul=people/ada").await.body, read.body);

    let put = app.send(Method::PUT, "/api/v1/nodes/people%2Fada", &JSON, r#"{"name":"Ada"}"#).await;
    assert_eq!(put.json()["data"], json!({"name": "Ada"}));
    let deleted = app.send(Method::DELETE, "/api/v1/node?soul=people/ada", &[], "").await;
    assert_eq!((deleted.status, &deleted.json()["data"]), (200, &json!({})));
    assert_eq!(app.get("/api/v1/nodes/people%2Fada").await.problem(), (404, "not_found".into()));
}

#[tokio::test]
async fn a_write_that_changes_nothing_makes_no_commit() {
    let app = App::new().await;
    app.patch("a", r#"{"s":{"@set":[1]}}"#).await;
    let again = app.patch("a", r#"{"s":{"@set":[1]}}"#).await;
    assert_eq!((again.status, &again.json()["commit"]), (200, &Value::Null));
}

#[tokio::test]
async fn conditions() {
    let app = App::new().await;
    let path = "/api/v1/nodes/a";
    let create = [(header::CONTENT_TYPE, "application/json"), (header::IF_NONE_MATCH, "*")];
    let first = app.send(Method::PATCH, path, &create, r#"{"x":1}"#).await;
    assert_eq!(first.status, 200);
    let tag = first.header(header::ETAG).to_owned();
    let again = app.send(Method::PATCH, path, &create, r#"{"x":2}"#).await;
    assert_eq!(again.problem(), (412, "precondition_failed".into()));
    let with = |tag: &str| {
        vec![
            (header::CONTENT_TYPE, "application/json"),
            (header::IF_MATCH, Box::leak(tag.to_owned().into_boxed_str()) as &str),
        ]
    };
    assert_eq!(app.send(Method::PATCH, path, &with(&tag), r#"{"x":3}"#).await.status, 200);
    let stale = app.send(Method::PATCH, path, &with(&tag), r#"{"x":4}"#).await;
    assert_eq!(stale.problem(), (412, "precondition_failed".into()));
    let now = app.get(path).await;
    assert_eq!(now.json()["data"], json!({"x": 3}));
    assert_eq!(stale.header(header::ETAG), now.header(header::ETAG));
    assert_eq!(app.send(Method::PATCH, path, &with("x"), r#"{"x":5}"#).await.problem(), (400, "malformed".into()));

    let known = app.send(Method::GET, path, &[(header::IF_NONE_MATCH, now.header(header::ETAG))], "").await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    let other = app.send(Method::GET, path, &[(header::IF_NONE_MATCH, &tag)], "").await;
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn head_answers_as_get_without_the_body() {
    let app = App::new().await;
    app.patch("a", r#"{"x":1}"#).await;
    let get = app.get("/api/v1/nodes/a").await;
    let head = app.send(Method::HEAD, "/api/v1/nodes/a", &[], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header(header::ETAG), get.header(header::ETAG));
    assert_eq!(head.header(header::CONTENT_LENGTH), get.body.len().to_string());
}

#[tokio::test]
async fn printing() {
    let app = App::new().await;
    app.patch("a", r#"{"n":9223372036854775807}"#).await;
    assert_eq!(app.get("/api/v1/nodes/a?ints=string").await.json()["data"]["n"], "9223372036854775807");
    let meta = app.get("/api/v1/nodes/a?meta=true").await.json();
    assert_eq!(meta["meta"]["n"]["kind"], "register");
    assert_eq!(app.get("/api/v1/nodes/a?at=local").await.status, 200);
    assert_eq!(app.get("/api/v1/nodes/b?at=local").await.status, 404);
    assert_eq!(app.get("/api/v1/nodes/a?ints=roman").await.problem(), (400, "malformed".into()));
}

#[tokio::test]
async fn paths_follow_links_and_sets() {
    let app = App::new().await;
    app.patch("a", r##"{"knows":{"@set":[{"#":"b"},{"#":"c"}]}}"##).await;
    app.patch("b", r##"{"of/in":{"#":"d"},"name":"B"}"##).await;
    app.patch("c", r##"{"of/in":{"#":"d"},"name":"C"}"##).await;
    app.patch("d", r#"{"name":"D"}"#).await;
    let names = app.get("/api/v1/nodes/a/path/knows/name").await.json();
    assert_eq!(names["values"], json!(["B", "C"]));
    let end = app.get("/api/v1/nodes/a/path/knows/of%2Fin").await.json();
    assert_eq!(end["path"], json!(["knows", "of/in"]));
    assert_eq!((&end["values"], &end["nodes"][0]["data"]), (&json!([{"#": "d"}]), &json!({"name": "D"})));
    assert_eq!(end["truncated"], false);
    assert_eq!(app.get("/api/v1/nodes/none/path/x").await.problem(), (404, "not_found".into()));
    assert_eq!(app.get("/api/v1/nodes/a/path/x//y").await.problem(), (422, "bad_field".into()));
}

#[tokio::test]
async fn bad_input_is_named_and_changes_nothing() {
    let app = App::new().await;
    app.patch("a", r#"{"x":1}"#).await;
    let before = app.get("/api/v1/export").await.body;
    let large = format!(r#"{{"x":"{}"}}"#, "y".repeat(65_600));
    for (body, status, code) in [
        ("{", 400, "malformed"),
        ("[1]", 400, "malformed"),
        (r#"{"x":NaN}"#, 400, "malformed"),
        (r#"{"x":1,"x":2}"#, 400, "malformed"),
        (r#"{"x":[1]}"#, 422, "bad_value"),
        (r#"{"x":{"y":1}}"#, 422, "bad_value"),
        (r#"{"x":99999999999999999999}"#, 422, "bad_value"),
        (r#"{"x":{"/":"nope"}}"#, 422, "bad_value"),
        (r#"{"":1}"#, 422, "bad_field"),
        (large.as_str(), 413, "too_large"),
    ] {
        let answer = app.patch("a", body).await;
        assert_eq!(answer.problem(), (status, code.into()), "{}", &body[..body.len().min(40)]);
    }
    let long = "x".repeat(513);
    for soul in [long.as_str(), "~x", "%5Eftp:x", "%23x", "_%2F"] {
        let answer = app.patch(soul, r#"{"x":1}"#).await;
        assert_eq!(answer.problem(), (422, "bad_soul".into()), "{soul}");
    }
    assert_eq!(app.patch("", r#"{"x":1}"#).await.problem(), (422, "bad_soul".into()));
    assert_eq!(app.patch("_%2Fx", r#"{"x":1}"#).await.problem(), (403, "local_space".into()));
    let body = "x".repeat(1024 * 1024 + 1);
    assert_eq!(app.patch("a", &body).await.problem(), (413, "too_large".into()));
    let wait = app.send(Method::PATCH, "/api/v1/nodes/a?wait=31s", &JSON, r#"{"x":2}"#).await;
    assert_eq!(wait.problem(), (422, "out_of_range".into()));
    let form = [(header::CONTENT_TYPE, "text/plain")];
    let form = app.send(Method::PATCH, "/api/v1/nodes/a", &form, r#"{"x":2}"#).await;
    assert_eq!(form.problem(), (415, "unsupported_media_type".into()));
    assert_eq!(app.get("/api/v1/export").await.body, before);
    let curl = [(header::CONTENT_TYPE, "application/x-www-form-urlencoded")];
    let curl = app.send(Method::PATCH, "/api/v1/nodes/curl", &curl, r#"{"x":2}"#).await;
    assert_eq!(curl.status, 200, "what `curl -d` sends is taken");
}
