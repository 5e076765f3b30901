//! Blobs over HTTP, the command line and from another gateway.

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::gateway::{Gateway, run, until};

const SIZE: usize = 9 * 1024 * 1024 + 7;

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

#[tokio::test]
async fn a_file_comes_back_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let a = Gateway::start(&folder.path().join("a"), &[]);
    let bytes = noise(SIZE);
    let response = a.client.post(a.url("/api/v1/blobs")).body(bytes.clone()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let added: Value = response.json().await.unwrap();
    assert_eq!(added["size"], SIZE);
    let file = folder.path().join("file");
    fs::write(&file, &bytes).unwrap();
    let output = run(&["add", file.to_str().unwrap(), "--api", &a.api]);
    let root = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned();
    assert_eq!(added["cid"], root, "the same bytes have the same root");
    assert_eq!(location, format!("/ipfs/{root}"));
    assert_eq!(run(&["cat", &root, "--api", &a.api]).stdout, bytes);

    let range = |from: usize, to: usize| format!("bytes={from}-{to}");
    for (from, to) in [(0, 0), (1 << 20, (1 << 20) + 5), (5_000_000, 8_000_000), (SIZE - 3, SIZE - 1)] {
        let response = a.client.get(a.url(&location)).header("range", range(from, to)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        assert!(response.bytes().await.unwrap() == bytes[from..=to], "{from}-{to}");
    }
    let head = a.request(Method::HEAD, &location, None).await;
    assert_eq!(head.headers()["content-length"], SIZE.to_string());
    let etag = head.headers()["etag"].clone();
    let unchanged = a.client.get(a.url(&location)).header("if-none-match", etag).send().await.unwrap();
    assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);

    // Another gateway of the network fetches what it does not hold.
    let b = Gateway::start(&folder.path().join("b"), &["--join", &a.invite().await]);
    until("b serves the blob", || async {
        let response = b.request(Method::GET, &location, None).await;
        response.status() == StatusCode::OK && response.bytes().await.is_ok_and(|body| body == bytes)
    })
    .await;
    a.kill();
    assert_eq!(run(&["cat", &root, "--api", &b.api]).stdout, bytes, "and keeps it");
}
