//! Who may do what, health, and what is no resource.

use super::*;

#[tokio::test]
async fn strangers_read_public_nodes_and_files_only() {
    let app = App::new().await;
    app.patch("a", r#"{"x":1}"#).await;
    let cid = app.send(Method::POST, "/api/v1/blobs", &[], "x").await.json()["cid"].as_str().unwrap().to_owned();
    for path in [
        "/api/v1/nodes/a",
        "/api/v1/node?soul=a",
        "/api/v1/nodes/a/path/x",
        &format!("/ipfs/{cid}"),
        "/healthz",
        "/openapi.json",
        "/docs",
    ] {
        assert_eq!(app.send_far(Method::GET, path, &[]).await.status, 200, "{path}");
    }
    let status = app.send_far(Method::GET, "/api/v1/status", &[]).await.json();
    let names: Vec<&String> = status.as_object().unwrap().keys().collect();
    assert_eq!(names, ["network", "version"]);
    for path in [
        "/api/v1/nodes/_%2Fsecret",
        "/api/v1/nodes/%5Ehttps:%2F%2Fa.example%2F",
        "/api/v1/nodes/_%2Fsecret/path/x",
        "/api/v1/export",
        "/api/v1/watch",
        "/api/v1/peers",
        "/api/v1/invite",
        "/metrics",
    ] {
        let answer = app.send_far(Method::GET, path, &[]).await;
        assert_eq!(answer.problem(), (401, "unauthenticated".into()), "{path}");
        assert_eq!(answer.header(header::WWW_AUTHENTICATE), "Bearer");
    }
    for (method, path) in [
        (Method::PATCH, "/api/v1/nodes/a"),
        (Method::PUT, "/api/v1/nodes/a"),
        (Method::DELETE, "/api/v1/nodes/a"),
        (Method::POST, "/api/v1/commits"),
        (Method::POST, "/api/v1/import"),
        (Method::POST, "/api/v1/blobs"),
        (Method::POST, "/api/v1/peers"),
    ] {
        let answer = app.send_far(method.clone(), path, &[]).await;
        assert_eq!(answer.problem(), (401, "unauthenticated".into()), "{method} {path}");
        let token = format!("Bearer {TOKEN}");
        let with = app.send_far(method, path, &[(header::AUTHORIZATION, &token)]).await;
        assert_ne!(with.status, 401);
    }
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing() {
    let app = App::new().await;
    for origin in ["http://evil.example", "null", "http://127.0.0.1:3000"] {
        let headers = [(header::CONTENT_TYPE, "application/json"), (header::ORIGIN, origin)];
        let answer = app.send(Method::PATCH, "/api/v1/nodes/a", &headers, r#"{"x":1}"#).await;
        assert_eq!(answer.problem(), (403, "forbidden_origin".into()), "{origin}");
        let answer = app.send(Method::POST, "/api/v1/blobs", &headers, "x").await;
        assert_eq!(answer.problem(), (403, "forbidden_origin".into()), "{origin}");
        assert!(answer.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_none());
    }
    assert_eq!(app.get("/api/v1/nodes/a").await.status, 404);
    assert_eq!(app.node.blobs().totals().await, (0, 0));
    let rebound = [(header::HOST, "evil.example:8480")];
    let answer = app.send_from("127.0.0.1:5000", Method::PATCH, "/api/v1/nodes/a", &rebound, "{}").await;
    assert_eq!(answer.problem(), (401, "unauthenticated".into()));
}

#[tokio::test]
async fn behind_a_proxy_loopback_reads_no_metrics() {
    let public_url = Some("https://node.example".into());
    let app = App::with(Config { owner_token: Some(Secret::new(TOKEN)), public_url, ..Config::default() }).await;
    assert_eq!(app.get("/metrics").await.problem(), (401, "unauthenticated".into()));
    let token = format!("Bearer {TOKEN}");
    let with = app.send(Method::GET, "/metrics", &[(header::AUTHORIZATION, &token)], Body::empty()).await;
    assert_eq!(with.problem(), (404, "not_found".into()), "this test records none");
}

#[tokio::test]
async fn nothing_but_health_without_anonymous_readers() {
    let app = App::with(Config { anonymous: Anonymous::None, ..Config::default() }).await;
    for path in ["/api/v1/nodes/a", "/ipfs/x", "/api/v1/status", "/openapi.json", "/errors/malformed"] {
        assert_eq!(app.send_far(Method::GET, path, &[]).await.problem(), (401, "unauthenticated".into()), "{path}");
    }
    assert_eq!(app.send_far(Method::GET, "/healthz", &[]).await.status, 200);
    assert_eq!(app.get("/api/v1/nodes/a").await.status, 404);
}

#[tokio::test]
async fn readiness_follows_the_latch_and_the_node() {
    let app = App::new().await;
    assert_eq!(app.get("/readyz").await.problem(), (503, "unavailable".into()));
    app.readiness.set_ready();
    assert_eq!(app.get("/readyz").await.status, 200);
    app.node.stop();
    assert_eq!(app.get("/readyz").await.problem(), (503, "unavailable".into()));
    assert_eq!(app.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn the_owner_sees_detail() {
    let app = App::new().await;
    let status = app.get("/api/v1/status").await.json();
    assert_eq!(status["listen"], "127.0.0.1:8480");
    assert_eq!(status["network"]["mode"], "members");
    assert_eq!(status["network"]["id"].as_str().unwrap().len(), 64);
    assert_eq!(status["swarm"]["write_quorum"], 1);
    assert!(status["graph"]["clock"].is_string() && status["blobs"]["blocks"].is_u64());
    assert_eq!(app.get("/api/v1/peers").await.json(), serde_json::json!({"peers": []}));
    let invite = app.get("/api/v1/invite").await;
    assert_eq!(invite.header(header::CACHE_CONTROL), "no-store");
    assert!(!invite.json()["invite"].as_str().unwrap().is_empty());
    let dial = app.send(Method::POST, "/api/v1/peers", &JSON, r#"{"address":"/ip4/127.0.0.1/tcp/1/p2p/x"}"#).await;
    assert_eq!(dial.status, 202);
    assert_eq!(app.send(Method::POST, "/api/v1/peers", &JSON, "{}").await.problem(), (400, "malformed".into()));
    assert_eq!(app.get("/metrics").await.problem(), (404, "not_found".into()));
}

#[tokio::test]
async fn what_is_no_resource_is_a_problem() {
    let app = App::new().await;
    assert_eq!(app.get("/").await.problem(), (404, "not_found".into()));
    assert_eq!(app.get("/api/v1/nothing").await.problem(), (404, "not_found".into()));
    assert_eq!(app.get("/api/v1/nodes/").await.problem(), (422, "bad_soul".into()));
    let answer = app.send(Method::POST, "/api/v1/nodes/a", &[], "").await;
    assert_eq!(answer.problem(), (405, "method_not_allowed".into()));
    let allow: Vec<&str> = answer.header(header::ALLOW).split(',').collect();
    for method in ["GET", "HEAD", "PATCH", "PUT", "DELETE"] {
        assert!(allow.contains(&method), "{allow:?}");
    }
    let preflight = [(header::ORIGIN, "http://evil.example"), (header::ACCESS_CONTROL_REQUEST_METHOD, "PATCH")];
    let answer = app.send(Method::OPTIONS, "/api/v1/nodes/a", &preflight, "").await;
    assert_eq!(answer.status, 405);
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
}

#[tokio::test]
async fn pages_are_embedded_and_strict() {
    let app = App::new().await;
    let page = app.get("/errors/bad_value").await;
    assert!(page.text().starts_with("# bad_value"));
    assert_eq!(page.header(header::CONTENT_TYPE), "text/markdown; charset=utf-8");
    assert_eq!(app.get("/errors/none").await.problem(), (404, "not_found".into()));
    for path in ["/docs", "/docs/docs.js", "/docs/docs.css", "/openapi.json"] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, StatusCode::OK.as_u16());
        assert!(answer.header(header::CONTENT_SECURITY_POLICY).contains("default-src 'none'"), "{path}");
    }
    assert_eq!(app.get("/openapi.json").await.json()["openapi"].as_str().map(|v| v.starts_with("3.")), Some(true));
}
