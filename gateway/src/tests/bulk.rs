//! Import and export over HTTP.

use futures::StreamExt;
use serde_json::json;
use tokio::sync::mpsc;

use super::*;

const NDJSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/x-ndjson")];

#[tokio::test]
async fn what_is_imported_is_exported() {
    let app = App::new().await;
    let lines: Vec<String> = (0..1000)
        .map(|n| format!("{{\"soul\":\"n/{n:04}\",\"data\":{{\"even\":{},\"n\":{n}}}}}\n", n % 2 == 0))
        .collect();
    let text = lines.concat();
    let answer = app.send(Method::POST, "/api/v1/import", &NDJSON, text.clone()).await;
    assert_eq!(answer.status, 200);
    let told = answer.lines();
    assert_eq!(told.last().unwrap()["done"], json!({"lines": 1000, "nodes": 1000, "fields": 2000, "errors": 0}));
    let progress: Vec<u64> = told.iter().filter_map(|line| line["progress"]["line"].as_u64()).collect();
    assert_eq!(progress.last(), Some(&1000));
    assert!(progress.is_sorted());
    // Without the community's own node.
    let export = app.get("/api/v1/export?prefix=n/").await;
    assert_eq!(export.header("rustdht-coverage"), "complete");
    assert_eq!(export.header(header::CONTENT_TYPE), "application/x-ndjson");
    assert_eq!(export.text(), text);
    assert_eq!(app.get("/api/v1/export?prefix=n/000").await.text(), lines[..10].concat());
}

#[tokio::test]
async fn bad_lines_are_told_and_the_rest_is_taken() {
    let app = App::new().await;
    let long = format!("{{\"soul\":\"l\",\"data\":{{\"x\":\"{}\"}}}}", "x".repeat(crate::limits::MAX_LINE_BYTES));
    let text = [
        r#"{"soul":"a","data":{"x":1}}"#,
        "",
        "not json",
        r#"{"soul":"","data":{}}"#,
        &long,
        r#"{"soul":"_/local","data":{"x":1}}"#,
        r#"{"soul":"a","data":{"x":2}}"#,
    ]
    .join("\n");
    let answer = app.send(Method::POST, "/api/v1/import", &NDJSON, text).await;
    let told = answer.lines();
    let mut errors: Vec<(u64, &str)> =
        told.iter().filter_map(|line| Some((line["line"].as_u64()?, line["error"]["code"].as_str()?))).collect();
    errors.sort_unstable();
    assert_eq!(errors, [(3, "malformed"), (4, "bad_soul"), (5, "too_large"), (6, "local_space")]);
    assert_eq!(told.last().unwrap()["done"], json!({"lines": 7, "nodes": 2, "fields": 2, "errors": 4}));
    assert_eq!(app.get("/api/v1/nodes/a").await.json()["data"], json!({"x": 2}), "the later line wins");
}

#[tokio::test]
async fn the_last_line_of_a_soul_wins_across_batches() {
    let app = App::new().await;
    let text: String = (0..1500).map(|n| format!("{{\"soul\":\"s{}\",\"data\":{{\"n\":{n}}}}}\n", n % 3)).collect();
    app.send(Method::POST, "/api/v1/import", &NDJSON, text).await;
    for (soul, n) in [("s0", 1497), ("s1", 1498), ("s2", 1499)] {
        assert_eq!(app.get(&format!("/api/v1/nodes/{soul}")).await.json()["data"], json!({"n": n}));
    }
}

#[tokio::test]
async fn an_import_is_resumed_by_line() {
    let app = App::new().await;
    let text: String = (1..=5).map(|n| format!("{{\"soul\":\"s{n}\",\"data\":{{\"n\":{n}}}}}\n")).collect();
    let answer = app.send(Method::POST, "/api/v1/import?from=4", &NDJSON, text).await;
    assert_eq!(answer.lines().last().unwrap()["done"], json!({"lines": 5, "nodes": 2, "fields": 2, "errors": 0}));
    assert_eq!(app.get("/api/v1/nodes/s3").await.status, 404);
    assert_eq!(app.get("/api/v1/nodes/s4").await.status, 200);
}

#[tokio::test]
async fn a_cut_body_keeps_whole_lines_and_is_not_done() {
    let app = App::new().await;
    let pieces: Vec<Result<&str, std::io::Error>> = vec![
        Ok("{\"soul\":\"a\",\"data\":{\"x\":1}}\n{\"soul\":\"b\",\"da"),
        Err(std::io::ErrorKind::ConnectionReset.into()),
    ];
    let body = Body::from_stream(futures::stream::iter(pieces));
    let told = app.send(Method::POST, "/api/v1/import", &NDJSON, body).await.lines();
    assert!(told.iter().all(|line| line.get("done").is_none()), "{told:?}");
    let last = told.last().unwrap();
    assert_eq!((&last["line"], &last["error"]["code"]), (&json!(2), &json!("body_incomplete")));
    assert!(told.iter().any(|line| line["progress"]["line"] == 1), "{told:?}");
    assert_eq!(app.get("/api/v1/nodes/a").await.status, 200);
    assert_eq!(app.get("/api/v1/nodes/b").await.status, 404);
}

#[tokio::test]
async fn lines_come_as_slowly_as_they_are_made() {
    let app = App::new().await;
    let lines = futures::stream::iter(0..6).then(|at| async move {
        pass(std::time::Duration::from_secs(100)).await;
        Ok::<_, std::io::Error>(format!("{{\"soul\":\"a{at}\",\"data\":{{\"x\":1}}}}\n"))
    });
    tokio::time::pause();
    let told = app.send(Method::POST, "/api/v1/import", &NDJSON, Body::from_stream(lines)).await.lines();
    assert_eq!(told.last().unwrap()["done"]["nodes"], 6, "{told:?}");
}

#[tokio::test]
async fn progress_comes_while_the_client_still_sends() {
    let app = App::new().await;
    let (lines, body) = mpsc::channel::<Result<&'static str, std::io::Error>>(4);
    lines.send(Ok("{\"soul\":\"a\",\"data\":{\"x\":1}}\n")).await.unwrap();
    let body = Body::from_stream(futures::stream::unfold(body, |mut body| async {
        body.recv().await.map(|line| (line, body))
    }));
    let headers = [(header::HOST, "127.0.0.1:8480"), NDJSON[0].clone()];
    let response = app.open("127.0.0.1:5000", Method::POST, "/api/v1/import", &headers, body).await;
    let mut answer = response.into_body().into_data_stream();
    let first: Value = serde_json::from_slice(&answer.next().await.unwrap().unwrap()).unwrap();
    assert_eq!(first["progress"], json!({"line": 1, "nodes": 1, "fields": 1}));
    app.stopping.cancel();
    let rest: Vec<Bytes> = answer.map(Result::unwrap).collect().await;
    let last: Value = serde_json::from_slice(rest.last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "unavailable");
    drop(lines);
}

#[tokio::test]
async fn forms_are_not_imported() {
    let app = App::new().await;
    let form = [(header::CONTENT_TYPE, "text/plain")];
    let answer = app.send(Method::POST, "/api/v1/import", &form, "{}").await;
    assert_eq!(answer.problem(), (415, "unsupported_media_type".into()));
}

#[tokio::test]
async fn a_node_that_cannot_write_ends_the_import_without_progress_over_it() {
    let app = App::new().await;
    app.node.stop();
    let told = app.send(Method::POST, "/api/v1/import", &NDJSON, "{\"soul\":\"a\",\"data\":{\"x\":1}}\n").await.lines();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["line"], &told[0]["error"]["code"]), (&json!(1), &json!("unavailable")));
}
