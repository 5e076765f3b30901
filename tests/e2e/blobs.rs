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

/// What a command prints, its last line.
fn last(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().lines().last().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_folder_goes_in_and_comes_back_as_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    let a = Gateway::start(&folder.path().join("a"), &[]);
    let site = folder.path().join("site");
    fs::create_dir_all(site.join("sub")).unwrap();
    fs::create_dir_all(site.join("empty")).unwrap();
    fs::write(site.join("a b+%20.txt"), "one").unwrap();
    fs::write(site.join("sub/big"), noise(3_000_000)).unwrap();
    fs::write(site.join(".hidden"), "secret").unwrap();
    std::os::unix::fs::symlink("../a b+%20.txt", site.join("sub/link")).unwrap();
    let site = site.to_str().unwrap();
    let root = last(&run(&["add", "-r", site, "--api", &a.api]));
    let with_hidden = last(&run(&["add", "-r", "--hidden", site, "--api", &a.api]));
    assert_ne!(root, with_hidden);
    assert_eq!(run(&["cat", &format!("{root}/a b+%20.txt"), "--api", &a.api]).stdout, b"one");
    assert_eq!(run(&["cat", &format!("{root}/sub/big"), "--api", &a.api]).stdout, noise(3_000_000));
    assert!(!run(&["cat", &format!("{root}/.hidden"), "--api", &a.api]).status.success());
    assert_eq!(run(&["cat", &format!("{with_hidden}/.hidden"), "--api", &a.api]).stdout, b"secret");
    let refused = run(&["add", site, "--api", &a.api]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("`rustdht add -r` adds folders"));

    // Out as an archive, and into another gateway.
    let car = a.client.get(a.url(&format!("/ipfs/{root}?format=car"))).send().await.unwrap().bytes().await.unwrap();
    let file = folder.path().join("site.car");
    fs::write(&file, &car).unwrap();
    let b = Gateway::start(&folder.path().join("b"), &[]);
    assert_eq!(last(&run(&["import", file.to_str().unwrap(), "--api", &b.api])), root);
    assert_eq!(run(&["cat", &format!("{root}/sub/big"), "--api", &b.api]).stdout, noise(3_000_000));
    fs::write(&file, &car[..car.len() - 1]).unwrap();
    let cut = run(&["import", file.to_str().unwrap(), "--api", &b.api]);
    assert!(!cut.status.success() && String::from_utf8_lossy(&cut.stderr).contains("it ends early"));
}
