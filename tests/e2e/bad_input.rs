//! Bad input: each is answered with its code, and nothing changes.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::{Method, StatusCode, header};
use rustdht_core::{NetId, Soul, Stamp};
use rustdht_testkit::{Author, write};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::gateway::Gateway;

const COMMIT: &str = "application/vnd.rustdht.commit+cbor";

#[expect(clippy::disallowed_methods, reason = "what is signed here has to be near the gateway's own time")]
fn now() -> Stamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Stamp::from_ms(u64::try_from(since.as_millis()).unwrap())
}

async fn problem(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json", "{status}");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status);
    for member in ["type", "title", "detail"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {body}");
    }
    (status, body["code"].as_str().unwrap().to_owned())
}

async fn patch_raw(gateway: &Gateway, path: &str, body: impl Into<String>) -> (u16, String) {
    let request = gateway.client.patch(gateway.url(path)).header("content-type", "application/json");
    problem(request.body(body.into()).send().await.unwrap()).await
}

async fn commit(gateway: &Gateway, envelope: Vec<u8>) -> (u16, String) {
    let request = gateway.client.post(gateway.url("/api/v1/commits")).header("content-type", COMMIT);
    problem(request.body(envelope).send().await.unwrap()).await
}

#[tokio::test]
async fn nodes() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[]);
    gateway.patch("kept", json!({"x": 1})).await;
    let before = gateway.export().await;
    let expect = |code: &str, status: u16| (status, code.to_owned());
    let long = format!("/api/v1/nodes/{}", "x".repeat(513));
    assert_eq!(patch_raw(&gateway, &long, "{}").await, expect("bad_soul", 422));
    assert_eq!(patch_raw(&gateway, "/api/v1/node?soul=", "{}").await, expect("bad_soul", 422));
    assert_eq!(patch_raw(&gateway, "/api/v1/nodes/~nokey", "{\"x\":1}").await, expect("bad_soul", 422));
    assert_eq!(patch_raw(&gateway, "/api/v1/nodes/_%2Flocal", "{\"x\":1}").await, expect("local_space", 403));
    assert_eq!(
        patch_raw(&gateway, "/api/v1/nodes/%5Ehttps%3A%2F%2Fexample.com%2F", "{\"x\":1}").await,
        expect("not_authorised", 403)
    );
    for body in ["{\"x\":", "[1]", "{\"x\":NaN}", "{\"x\":1,\"x\":2}", "", "{\"x\":01}", "\"x\""] {
        assert_eq!(patch_raw(&gateway, "/api/v1/nodes/a", body).await, expect("malformed", 400), "{body}");
    }
    for body in [
        "{\"x\":[1]}",
        "{\"x\":{\"y\":1}}",
        "{\"x\":9223372036854775808}",
        "{\"x\":1e999}",
        "{\"x\":{\"/\":\"nocid\"}}",
    ] {
        assert_eq!(patch_raw(&gateway, "/api/v1/nodes/a", body).await, expect("bad_value", 422), "{body}");
    }
    assert_eq!(patch_raw(&gateway, "/api/v1/nodes/a", "{\"\":1}").await, expect("bad_field", 422));
    let large = json!({"x": "y".repeat(64 * 1024)}).to_string();
    assert_eq!(patch_raw(&gateway, "/api/v1/nodes/a", large).await, expect("too_large", 413));
    let huge = json!({"x": "y".repeat(3 << 20)}).to_string();
    assert_eq!(patch_raw(&gateway, "/api/v1/nodes/a", huge).await, expect("too_large", 413));
    let fields: serde_json::Map<_, _> = (0..1025).map(|at| (format!("f{at}"), json!(at))).collect();
    let many = Value::Object(fields).to_string();
    assert_eq!(patch_raw(&gateway, "/api/v1/nodes/a", many).await, expect("too_many_operations", 413));
    assert_eq!(problem(gateway.request(Method::GET, "/api/v1/nowhere", None).await).await, expect("not_found", 404));
    assert_eq!(
        problem(gateway.request(Method::GET, "/api/v1/nodes/nobody", None).await).await,
        expect("not_found", 404)
    );
    assert_eq!(
        problem(gateway.request(Method::PATCH, "/api/v1/export", Some(json!({}))).await).await.1,
        "method_not_allowed"
    );
    let stale = gateway.client.patch(gateway.url("/api/v1/nodes/kept")).header("if-match", "\"0\"").body("{\"x\":2}");
    assert_eq!(problem(stale.header("content-type", "application/json").send().await.unwrap()).await.0, 412);
    assert_eq!(gateway.export().await, before, "nothing changed");
}

#[tokio::test]
async fn signed_commits() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[]);
    let status: Value = gateway.request(Method::GET, "/api/v1/status", None).await.json().await.unwrap();
    let net: NetId = status["network"]["id"].as_str().unwrap().parse().unwrap();
    let before = gateway.export().await;
    let soul: Soul = "signed".parse().unwrap();
    let ops = || vec![write(&soul, "x", rustdht_core::Value::from("v")).unwrap()];
    let mut author = Author::new(5);
    let good = author.sign(net, now(), ops()).unwrap();
    let find = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).position(|window| window == part).unwrap();

    let mut forged = good.envelope.to_vec();
    let at = find(&forged, &good.commit.signature);
    forged[at + 9] ^= 1;
    assert_eq!(commit(&gateway, forged).await, (422, "bad_signature".into()));

    let mut restamped = good.envelope.to_vec();
    let at = find(&restamped, b"stamp") + 6 + 7;
    restamped[at] ^= 1;
    assert_eq!(commit(&gateway, restamped).await, (422, "bad_signature".into()));

    let mut small_order = good.envelope.to_vec();
    let at = find(&small_order, &author.public().0);
    small_order[at..at + 32].fill(0);
    small_order[at] = 1;
    assert_eq!(commit(&gateway, small_order).await, (422, "bad_key".into()));

    let mut tampered = good.envelope.to_vec();
    let at = find(&tampered, b"signed");
    tampered[at] = b'S';
    assert_eq!(commit(&gateway, tampered).await, (422, "bad_root".into()));

    // The head of the map with a length that is not in its shortest form.
    let mut loose = vec![0xb8, good.envelope[0] & 31];
    loose.extend(&good.envelope[1..]);
    assert_eq!(commit(&gateway, loose).await, (400, "malformed".into()));
    let mut behind = good.envelope.to_vec();
    behind.push(0);
    assert_eq!(commit(&gateway, behind).await, (400, "malformed".into()));
    assert_eq!(commit(&gateway, good.envelope[..40].to_vec()).await, (400, "malformed".into()));
    assert_eq!(commit(&gateway, vec![0; (1 << 20) + 4096]).await.1, "too_large");

    let foreign = Author::new(6).sign(NetId([9; 32]), now(), ops()).unwrap();
    assert_eq!(commit(&gateway, foreign.envelope.to_vec()).await, (422, "wrong_network".into()));
    let ahead = Stamp::from_ms(now().ms() + 48 * 3_600_000);
    let early = Author::new(7).sign(net, ahead, ops()).unwrap();
    assert_eq!(commit(&gateway, early.envelope.to_vec()).await, (422, "too_early".into()));
    assert_eq!(gateway.export().await, before, "nothing changed");

    for round in ["taken", "known"] {
        let request = gateway.client.post(gateway.url("/api/v1/commits")).header("content-type", COMMIT);
        let answer: Value = request.body(good.envelope.clone()).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["results"][0]["result"], round, "{answer}");
    }
    let hour = Stamp::from_ms(now().ms() + 3_600_000);
    let later =
        Author::new(8).sign(net, hour, vec![write(&soul, "x", rustdht_core::Value::from("later")).unwrap()]).unwrap();
    let request = gateway.client.post(gateway.url("/api/v1/commits")).header("content-type", COMMIT);
    let response = request.body(later.envelope).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["results"][0]["result"], "deferred");
    assert!(answer["results"][0]["until"].is_string(), "{answer}");
    let dir = gateway.dir.clone();
    assert!(gateway.stop().success());
    let gateway = Gateway::start(&dir, &[]);
    assert_eq!(gateway.data("signed").await, json!({"x": "v"}), "it does not win before its time");
    let status: Value = gateway.request(Method::GET, "/api/v1/status", None).await.json().await.unwrap();
    assert!(status.to_string().contains("\"deferred\":1"), "it waits across a restart: {status}");
}

#[tokio::test]
async fn blobs_and_ranges() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[]);
    let added: Value =
        gateway.client.post(gateway.url("/api/v1/blobs")).body("hello").send().await.unwrap().json().await.unwrap();
    let cid = added["cid"].as_str().unwrap();
    let ranged =
        |range: &'static str| gateway.client.get(gateway.url(&format!("/ipfs/{cid}"))).header("range", range).send();
    let outside = ranged("bytes=9-12").await.unwrap();
    assert_eq!(outside.headers()["content-range"], "bytes */5");
    assert_eq!(problem(outside).await, (416, "range_not_satisfiable".into()));
    let inside = ranged("bytes=1-2").await.unwrap();
    assert_eq!(inside.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(inside.text().await.unwrap(), "el");
    let no_cid = gateway.request(Method::GET, "/ipfs/nocid", None).await;
    assert_eq!(no_cid.status(), StatusCode::BAD_REQUEST);
    assert!(no_cid.text().await.unwrap().starts_with("invalid path \"/ipfs/nocid\""));

    // A body that is cut off half way.
    let blocks = |status: &Value| status["blobs"].clone();
    let before: Value = gateway.request(Method::GET, "/api/v1/status", None).await.json().await.unwrap();
    let address = gateway.api.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/v1/blobs HTTP/1.1\r\nhost: {address}\r\ncontent-length: 1000\r\nconnection: close\r\n\r\nhalf"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(!answer.contains(" 201 "), "{answer}");
    let after: Value = gateway.request(Method::GET, "/api/v1/status", None).await.json().await.unwrap();
    assert_eq!(blocks(&before), blocks(&after));

    // An import that is cut off half way: what was whole is there, the half line is not.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = "{\"soul\":\"whole\",\"data\":{\"x\":1}}\n{\"soul\":\"half\",\"da";
    let head = format!(
        "POST /api/v1/import HTTP/1.1\r\nhost: {address}\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let _ = stream.read_to_string(&mut answer).await;
    assert_eq!(gateway.data("half").await, Value::Null);
}

#[tokio::test]
async fn other_origins_and_names() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[]);
    let write = || {
        gateway
            .client
            .patch(gateway.url("/api/v1/nodes/a"))
            .header("content-type", "application/json")
            .body("{\"x\":1}")
    };
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        let answer = problem(write().header("origin", origin).send().await.unwrap()).await;
        assert_eq!(answer, (403, "forbidden_origin".into()), "{origin}");
    }
    let rebound = problem(write().header("host", "evil.example").send().await.unwrap()).await;
    assert_eq!(rebound.0, 401, "{rebound:?}");
    let forwarded = problem(write().header("x-forwarded-for", "10.0.0.1").send().await.unwrap()).await;
    assert_eq!(forwarded.0, 401, "{forwarded:?}");
    assert_eq!(gateway.data("a").await, Value::Null);
    let own = write().header("origin", gateway.api.clone()).send().await.unwrap();
    assert_eq!(own.status(), StatusCode::OK);
}
