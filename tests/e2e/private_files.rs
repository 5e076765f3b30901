//! Private files: what is on the disk of the gateway, who reads what, and ranges of the plaintext.

use std::{fs, path::Path};

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, run};

/// Stands in every line of the files.
const SECRET: &str = "what-nobody-else-shall-read";

/// A file of so many segments, of text that is found wherever it lies.
fn lines(version: u8, segments: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < segments << 20 {
        bytes.extend_from_slice(format!("{SECRET}-{version} in line {}\n", bytes.len()).as_bytes());
    }
    bytes
}

fn holds(dir: &Path, text: &str) -> bool {
    fs::read_dir(dir).unwrap().any(|file| {
        let path = file.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = fs::read(&path).unwrap();
        let mut starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == text.as_bytes()[0]);
        starts.any(|(at, _)| bytes[at..].starts_with(text.as_bytes()))
    })
}

fn command(gateway: &Gateway, arguments: &[&str]) -> Vec<u8> {
    let output = run(&[arguments, &["--api", &gateway.api]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn text(output: Vec<u8>) -> String {
    String::from_utf8(output).unwrap().trim().to_owned()
}

/// An account of the gateway: its key and a token of it.
fn user(gateway: &Gateway, name: &str) -> (String, String) {
    let account: Value = serde_json::from_slice(&command(gateway, &["user", "create", name, "--json"])).unwrap();
    let token = text(command(gateway, &["token", "create", "--user", name, "--scope", "write"]));
    (account["key"].as_str().unwrap().to_owned(), token)
}

/// An album that ada shares.
struct Album<'a> {
    gateway: &'a Gateway,
    ada: String,
    path: String,
}

impl Album<'_> {
    async fn share(&self, with: &[&str]) {
        let recipients = self.gateway.url(&format!("/api/v1/recipients/{}", self.path));
        let request = self.gateway.client.put(recipients).bearer_auth(&self.ada);
        let response = request.json(&json!({ "recipients": with })).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }

    fn content(&self) -> String {
        self.gateway.url(&format!("/api/v1/nodes/{}/fields/film/content", self.path))
    }

    /// The CID of what ada puts.
    async fn put(&self, bytes: &[u8]) -> String {
        let request = self.gateway.client.put(self.content()).bearer_auth(&self.ada).body(bytes.to_vec());
        let response = request.send().await.unwrap();
        let status = response.status();
        let written: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{written}");
        written["data"]["blobs"]["@set"][0]["/"].as_str().unwrap().to_owned()
    }

    async fn get(&self, token: &str, range: Option<&str>) -> Response {
        let mut request = self.gateway.client.get(self.content()).bearer_auth(token);
        if let Some(range) = range {
            request = request.header("range", range);
        }
        request.send().await.unwrap()
    }
}

#[tokio::test]
async fn the_disk_of_a_gateway_tells_nothing_of_a_private_file() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("a");
    let a = Gateway::start(&dir, &[]);
    let ((key, ada), (bob_key, bob)) = (user(&a, "ada"), user(&a, "bob"));
    let album = Album { gateway: &a, ada: ada.clone(), path: format!("~{key}%2Falbum") };
    album.share(&[&bob_key]).await;

    let first = lines(1, 4);
    let first_cid = album.put(&first).await;
    for token in [&ada, &bob] {
        let whole = album.get(token, None).await;
        assert_eq!(whole.status(), StatusCode::OK);
        assert!(whole.bytes().await.unwrap() == first);
    }
    for (from, to) in [(0, 99), (1_048_400, 1_048_700), (1_500_000, 4_000_000), (first.len() - 5, first.len() - 1)] {
        let part = album.get(&bob, Some(&format!("bytes={from}-{to}"))).await;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.headers()["content-range"], format!("bytes {from}-{to}/{}", first.len()));
        assert!(part.bytes().await.unwrap() == first[from..=to], "{from}-{to}");
    }

    // Who is taken out reads the next version neither through the gateway nor with what he kept.
    let node = a.url(&format!("/api/v1/nodes/{}", album.path));
    let seen: Value = a.client.get(&node).bearer_auth(&bob).send().await.unwrap().json().await.unwrap();
    let kept = seen["data"]["film"].as_str().unwrap().to_owned();
    album.share(&[]).await;
    let second = lines(2, 2);
    let second_cid = album.put(&second).await;
    assert!(album.get(&ada, None).await.bytes().await.unwrap() == second);
    assert_eq!(album.get(&bob, None).await.status(), StatusCode::FORBIDDEN);
    let seen: Value = a.client.get(&node).bearer_auth(&bob).send().await.unwrap().json().await.unwrap();
    assert!(seen["data"]["film"]["enc"].is_object(), "{seen}");
    assert_eq!(command(&a, &["cat", &kept]), first, "what he could read he may have kept");
    let old_key = kept.split("key=").nth(1).unwrap().split('&').next().unwrap();
    let stolen = run(&["cat", &second_cid, "--key", old_key, "--api", &a.api]);
    assert!(!stolen.status.success() && stolen.stdout.is_empty());
    assert!(String::from_utf8_lossy(&stolen.stderr).contains("the key is not the one of this file"), "{stolen:?}");

    // Ciphertext is what everybody gets.
    let everybody = a.request(Method::GET, &format!("/ipfs/{first_cid}"), None).await.bytes().await.unwrap();
    assert_eq!(everybody.len(), first.len() + 64 + 5 * 16);
    assert!(a.stop().success());
    assert!(!holds(&dir, SECRET), "plaintext is on the disk");
    assert!(!holds(&dir, old_key), "a key is on the disk");
    // What the search looks for is found where it is.
    fs::write(dir.join("blobs/plain"), &second).unwrap();
    assert!(holds(&dir, SECRET) && holds(&dir, "album"));
}

#[tokio::test]
async fn a_client_encrypts_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("a");
    let a = Gateway::start(&dir, &[]);
    let bytes = lines(3, 3);
    let file = folder.path().join("my diary.txt");
    fs::write(&file, &bytes).unwrap();
    let file = file.to_str().unwrap();
    let printed = text(command(&a, &["add", "--private", file]));
    let (link, cid) = printed.split_once('\n').unwrap();
    assert!(link.starts_with(&format!("ipfs://{cid}#key=")) && link.ends_with("&name=my%20diary.txt"), "{printed}");
    assert!(command(&a, &["cat", link]) == bytes);
    let key = link.split("key=").nth(1).unwrap().split('&').next().unwrap();
    assert!(command(&a, &["cat", cid, "--key", key]) == bytes);
    let part = ["cat", link, "--offset", "1048490", "--length", "1500000"];
    assert!(command(&a, &part) == bytes[1_048_490..2_548_490]);
    assert!(command(&a, &["cat", cid]).starts_with(b"rdhtp"), "without the key it is ciphertext");
    let again = text(command(&a, &["add", "--private", file]));
    assert!(!again.contains(cid), "the same file under another key is another blob");
    let json: Value = serde_json::from_slice(&command(&a, &["add", "--private", file, "--json"])).unwrap();
    assert!(command(&a, &["cat", json["link"].as_str().unwrap()]) == bytes);
    // An owner puts what a client encrypted into a field; the gateway opens it for those who read the node.
    a.patch("public%2Ffiles", json!({ "diary": link })).await;
    let opened = a.request(Method::GET, "/api/v1/nodes/public%2Ffiles/fields/diary/content", None).await;
    assert_eq!(opened.headers()["content-type"], "text/plain; charset=utf-8");
    assert!(opened.bytes().await.unwrap() == bytes);
    // A cut file is not printed, not even its beginning.
    let stored = command(&a, &["cat", cid]);
    let cut = folder.path().join("cut");
    fs::write(&cut, &stored[..2 << 20]).unwrap();
    let cut = text(command(&a, &["add", cut.to_str().unwrap()]));
    let output = run(&["cat", &cut, "--key", key, "--length", "10", "--api", &a.api]);
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("segment 1 does not open"), "{output:?}");
    assert!(a.stop().success());
    assert!(!holds(&dir, SECRET), "plaintext is on the disk");
}
