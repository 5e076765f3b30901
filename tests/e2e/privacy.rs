//! Private nodes: who reads them, and what is on the disks of gateways.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, run, until};

/// Written while the node was readable by everybody.
const BEFORE: &str = "written-before-it-was-private";
/// Written afterwards.
const AFTER: &str = "written-when-it-was-private";

/// Whether any file below `dir` contains `text`.
fn holds(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|file| {
        let path = file.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    })
}

fn command(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = run(&[arguments, &["--api", &gateway.api]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An account of the gateway: its key and a token of it.
fn user(gateway: &Gateway, name: &str) -> (String, String) {
    let account: Value = serde_json::from_str(&command(gateway, &["user", "create", name, "--json"])).unwrap();
    let token = command(gateway, &["token", "create", "--user", name, "--scope", "write"]);
    (account["key"].as_str().unwrap().to_owned(), token)
}

async fn send(gateway: &Gateway, token: &str, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let mut request = gateway.client.request(method, gateway.url(path)).bearer_auth(token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, response.json().await.unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_gateway_without_the_key_holds_only_ciphertext() {
    let folder = tempfile::tempdir().unwrap();
    let a = Gateway::start(&folder.path().join("a"), &[]);
    let b = Gateway::start(&folder.path().join("b"), &["--join", &a.invite().await]);
    let ((ada, ada_token), (bob, bob_token)) = (user(&a, "ada"), user(&a, "bob"));
    let node = format!("/api/v1/nodes/~{ada}%2Fdiary");
    let recipients = format!("/api/v1/recipients/~{ada}%2Fdiary");
    let write = async |body: Value| {
        let (status, answer) = send(&a, &ada_token, Method::PATCH, &node, Some(body)).await;
        assert!(status.is_success(), "{answer}");
    };
    let on_b = async || b.request(Method::GET, &node, None).await.json::<Value>().await.unwrap()["data"].take();

    write(json!({"title": BEFORE, "tags": {"@set": [BEFORE]}, "gone": format!("{BEFORE}-too")})).await;
    write(json!({"title": format!("{BEFORE} twice"), "gone": null})).await;
    until("b shows what is readable", || async { on_b().await.to_string().contains(BEFORE) }).await;

    let (status, shared) = send(&a, &ada_token, Method::PUT, &recipients, Some(json!({"recipients": [bob]}))).await;
    assert_eq!(status, StatusCode::OK, "{shared}");
    assert_eq!(shared["recipients"].as_array().unwrap().len(), 2, "{shared}");
    assert!(shared["left_plain"].as_array().is_none_or(Vec::is_empty), "{shared}");
    write(json!({"body": {"@text": AFTER}, "secret": AFTER})).await;
    until("b shows ciphertext", || async {
        let data = on_b().await;
        data["secret"]["enc"].is_object() && !data.to_string().contains(BEFORE)
    })
    .await;

    for token in [&ada_token, &bob_token] {
        let (_, seen) = send(&a, token, Method::GET, &node, None).await;
        assert_eq!(seen["data"]["secret"], AFTER, "{seen}");
        assert_eq!(seen["data"]["title"], format!("{BEFORE} twice"), "{seen}");
    }
    let anonymous = a.request(Method::GET, &node, None).await.text().await.unwrap();
    assert!(
        !anonymous.contains(AFTER) && !anonymous.contains(BEFORE),
        "the owner of the gateway reads it: {anonymous}"
    );

    let alone = Some(json!({"recipients": []}));
    let (status, shared) = send(&a, &ada_token, Method::PUT, &recipients, alone).await;
    assert_eq!((status, shared["recipients"].as_array().map(Vec::len)), (StatusCode::OK, Some(1)), "{shared}");
    write(json!({"later": AFTER})).await;
    let (_, seen) = send(&a, &bob_token, Method::GET, &node, None).await;
    assert!(seen["data"]["later"]["enc"].is_object(), "who was taken out reads on: {seen}");

    until("b shows the last write", || async { on_b().await["later"]["enc"].is_object() }).await;
    assert!(a.stop().success());
    assert!(b.stop().success());
    for gateway in ["a", "b"] {
        for text in [BEFORE, AFTER] {
            assert!(!holds(&folder.path().join(gateway), text), "{text} is on the disk of {gateway}");
        }
    }
    // What the search looks for is found where it is.
    assert!(holds(&folder.path().join("b"), "diary"));
}
