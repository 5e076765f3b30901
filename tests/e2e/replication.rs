//! Gateways that share one graph.

use std::time::Duration;

use futures::{StreamExt, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, until};

/// Nodes that each side writes while they are apart.
const APART: usize = 1000;

async fn joined(folder: &std::path::Path) -> (Gateway, Gateway) {
    let a = Gateway::start(&folder.join("a"), &[]);
    let b = Gateway::start(&folder.join("b"), &["--join", &a.invite().await]);
    let (left, right) = (&a, &b);
    until("both count two replicas", || async move {
        let mut counted = true;
        for gateway in [left, right] {
            let status: Value = gateway.request(Method::GET, "/api/v1/status", None).await.json().await.unwrap();
            counted &= status.to_string().contains("\"reachable\":2");
        }
        counted
    })
    .await;
    (a, b)
}

async fn write_many(gateway: &Gateway, prefix: &str) {
    stream::iter(0..APART)
        .for_each_concurrent(32, |at| async move {
            gateway.patch(&format!("{prefix}-{at}"), json!({"n": at, "by": prefix})).await;
        })
        .await;
}

#[tokio::test]
async fn a_write_on_one_shows_on_the_other_and_a_stranger_stays_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = joined(folder.path()).await;
    let stranger = Gateway::start(&folder.path().join("c"), &[]);
    let response = a.request(Method::PATCH, "/api/v1/nodes/ada?wait=10s", Some(json!({"name": "Ada"}))).await;
    assert_eq!(response.status(), StatusCode::OK, "durable at both: {}", response.text().await.unwrap());
    until("b shows the write", || async { b.data("ada").await == json!({"name": "Ada"}) }).await;
    b.patch("bob", json!({"name": "Bob"})).await;
    until("a shows the write", || async { a.data("bob").await == json!({"name": "Bob"}) }).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(stranger.data("ada").await, Value::Null);
    assert!(stranger.request(Method::GET, "/api/v1/nodes/ada", None).await.status() == StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_was_written_apart_merges_when_they_meet_again() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = joined(folder.path()).await;
    a.patch("shared", json!({"x": "base", "s": {"@set": [1, 2]}})).await;
    until("b shows the write", || async { b.data("shared").await["x"] == "base" }).await;
    let (dir, invite) = (b.dir.clone(), a.invite().await);
    assert!(b.stop().success());

    // Alone on its side of the cut a gateway keeps accepting, and says that it is not durable at W' yet.
    let response =
        a.request(Method::PATCH, "/api/v1/nodes/shared", Some(json!({"x": "from a", "s": {"@set": [2]}}))).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let answer: Value = response.json().await.unwrap();
    assert_eq!((&answer["durable"], &answer["wanted"]), (&json!(1), &json!(2)), "{answer}");
    write_many(&a, "a").await;
    let a_dir = a.dir.clone();
    assert!(a.stop().success());

    let b = Gateway::start(&dir, &[]);
    let commit = json!({"ops": [{"op": "add", "soul": "shared", "field": "s", "value": 1}]});
    let response = b.request(Method::POST, "/api/v1/commits", Some(commit)).await;
    assert!(response.status().is_success(), "{}", response.text().await.unwrap());
    b.patch("shared", json!({"x": "from b"})).await;
    write_many(&b, "b").await;

    let a = Gateway::start(&a_dir, &["--join", &b.invite().await]);
    drop(invite);
    until("both exports are equal", || async {
        let (left, right) = (a.export().await, b.export().await);
        // Beside the nodes written here stands `~C` with the members.
        let written = left.lines().filter(|line| !line.starts_with("{\"soul\":\"~"));
        left == right && written.count() == 2 * APART + 1
    })
    .await;
    let shared = a.data("shared").await;
    assert_eq!(shared["x"], "from b", "the later write wins");
    assert_eq!(shared["s"], json!({"@set": [1, 2]}), "a concurrent add survives a remove");
}

#[tokio::test]
async fn a_folder_of_one_network_refuses_an_invite_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let a = Gateway::start(&folder.path().join("a"), &[]);
    let other = Gateway::start(&folder.path().join("b"), &[]);
    let (dir, invite) = (other.dir.clone(), a.invite().await);
    assert!(other.stop().success());
    let refused = Gateway::try_start(&dir, &["--join", &invite]).err().unwrap();
    assert!(refused.contains("network"), "{refused}");
    let again = Gateway::start(&dir, &[]);
    assert!(again.stop().success());
}
