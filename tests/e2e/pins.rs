//! Keeping: pins of accounts, of the community, quotas and denylists, on gateways as processes.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::gateway::{Gateway, client, run, until};

/// Of the bytes "hello world".
const HELLO: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

fn noise(seed: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(seed).finalize_xof().fill(&mut bytes);
    bytes
}

async fn json_of(gateway: &Gateway, path: &str) -> Value {
    gateway.request(Method::GET, path, None).await.json().await.unwrap()
}

/// Runs a command that succeeds; what it prints.
#[track_caller]
fn told(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = run(&[arguments, &["--api", &gateway.api]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_community_s_pin_is_held_by_as_many_gateways_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let a = Gateway::start(&folder.path().join("a"), &[]);
    let invite = a.invite().await;
    let b = Gateway::start(&folder.path().join("b"), &["--join", &invite]);
    let c = Gateway::start(&folder.path().join("c"), &["--join", &invite]);
    let bytes = noise(b"shared", 5 << 20);
    let path = file(folder.path(), "file", &bytes);
    let cid = told(&c, &["add", &path]).lines().last().unwrap().to_owned();
    // Before it is a member, a gateway may not write the community's pins.
    until("c is a member", async || {
        run(&["pin", "add", &cid, "--shared", "--name", "film", "--api", &c.api]).status.success()
    })
    .await;
    let holders = async || -> Vec<String> {
        let pins = json_of(&a, "/api/v1/pinset").await;
        let pin = pins["pins"].as_array().unwrap().iter().find(|pin| pin["cid"] == cid.as_str()).cloned();
        let holders = pin.unwrap_or_default()["holders"].as_array().cloned().unwrap_or_default();
        holders.iter().map(|holder| holder.as_str().unwrap().to_owned()).collect()
    };
    until("two gateways hold it", async || holders().await.len() == 2).await;
    let holders = holders().await;
    // It came to at least one of them by Bitswap, which the page of metrics counts.
    until("five blocks and their root are counted", async || {
        let mut blocks = 0;
        for gateway in [&a, &b, &c] {
            blocks += counted(gateway, "rustdht_bitswap_blocks_received_total").await;
        }
        blocks >= 6
    })
    .await;
    let mut left = Vec::new();
    for gateway in [a, b, c] {
        let id = json_of(&gateway, "/api/v1/status").await["swarm"]["id"].as_str().unwrap().to_owned();
        if holders.contains(&id) { left.push(gateway) } else { gateway.kill() }
    }
    // Either of the two has all of it, without the other.
    let (first, second) = (left.remove(0), left.remove(0));
    let shown = told(&first, &["pin", "ls", "--shared"]);
    assert!(shown.contains("of 2..2 copies") && shown.contains("held here") && shown.ends_with("film"), "{shown}");
    let second_dir = second.dir.clone();
    second.kill();
    assert!(run(&["cat", &cid, "--api", &first.api]).stdout == bytes);
    first.kill();
    let second = Gateway::start(&second_dir, &[]);
    assert!(run(&["cat", &cid, "--api", &second.api]).stdout == bytes);
}

/// A number without labels of the page of metrics; zero before it is known.
async fn counted(gateway: &Gateway, name: &str) -> u64 {
    let page = gateway.request(Method::GET, "/metrics", None).await.text().await.unwrap();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

/// The first line of the answer to who asks whether to send so many bytes (RFC 9110 section 10.1.1), and the connection.
async fn asked_first(gateway: &Gateway, token: &str, bytes: usize) -> (String, BufReader<TcpStream>) {
    let address = gateway.api.strip_prefix("http://").unwrap();
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    let head = format!(
        "POST /api/v1/blobs HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-length: {bytes}\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    (line, stream)
}

#[tokio::test]
async fn pins_and_what_is_counted_are_the_same_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let config = file(folder.path(), "config.toml", b"[quota]\nbytes_per_account = 4000000\n");
    let data = folder.path().join("data");
    let gateway = Gateway::start(&data, &["--config", &config]);
    told(&gateway, &["user", "create", "ada"]);
    let token = told(&gateway, &["token", "create", "--user", "ada", "--scope", "write"]);
    let token_file = file(folder.path(), "ada.token", token.as_bytes());
    let by = ["--token-file", &token_file];
    let kept = file(folder.path(), "kept", &noise(b"kept", 3_000_000));
    let cid = told(&gateway, &[&["add", &kept], &by[..]].concat()).lines().last().unwrap().to_owned();
    let waiting = told(&gateway, &[&["pin", "add", HELLO, "--background"], &by[..]].concat());
    // An upload that is under way when the process ends.
    let (line, mut upload) = asked_first(&gateway, &token, 900_000).await;
    assert!(line.contains("100"), "{line}");
    upload.write_all(&noise(b"half", 400_000)).await.unwrap();
    let quota = async |gateway: &Gateway| -> Value {
        // On a connection of its own: one on which an upload was refused half way is closed.
        let asked = client().get(gateway.url("/api/v1/quota")).header("authorization", format!("Bearer {token}"));
        asked.send().await.unwrap().json().await.unwrap()
    };
    let over = async |gateway: &Gateway, bytes: usize| {
        let body = noise(b"over", bytes);
        let sent =
            client().post(gateway.url("/api/v1/blobs?pin=false")).header("authorization", format!("Bearer {token}"));
        sent.body(body).send().await.unwrap().status()
    };
    // What is under way counts while it is, and whoever asks first need not send anything.
    let (line, _) = asked_first(&gateway, &token, 500_000).await;
    assert!(line.contains("507"), "{line}");
    assert_eq!(quota(&gateway).await["bytes"], 3_000_000);
    gateway.kill();
    drop(upload);

    let gateway = Gateway::start(&data, &["--config", &config]);
    let expected = json!({ "bytes": 3_000_000, "pins": 2, "bytes_limit": 4_000_000, "pins_limit": 100_000 });
    assert_eq!(quota(&gateway).await, expected);
    let pins = told(&gateway, &[&["pin", "ls"], &by[..]].concat());
    assert!(pins.contains(&cid) && pins.contains(&waiting), "{pins}");
    assert_eq!(over(&gateway, 1_000_001).await, StatusCode::INSUFFICIENT_STORAGE);
    // The pin that waited is taken up again.
    let hello = file(folder.path(), "hello", b"hello world");
    assert_eq!(told(&gateway, &["add", &hello]).lines().last().unwrap(), HELLO);
    until("it is pinned", async || {
        let path = format!("/api/v1/pins/{waiting}");
        let asked = client().get(gateway.url(&path)).header("authorization", format!("Bearer {token}"));
        asked.send().await.unwrap().json::<Value>().await.unwrap()["status"] == "pinned"
    })
    .await;
    assert_eq!(quota(&gateway).await["bytes"], 3_000_011);
    told(&gateway, &[&["pin", "rm", &cid], &by[..]].concat());
    assert_eq!(quota(&gateway).await["bytes"], 11);
}

#[tokio::test]
async fn a_denylist_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let list = file(folder.path(), "bad.deny", b"version: 1\nname: bad things\n---\n");
    let config = format!("[ipfs]\ndenylist = [{list:?}]\n");
    let config = file(folder.path(), "config.toml", config.as_bytes());
    let gateway = Gateway::start(&folder.path().join("data"), &["--config", &config]);
    let hello = file(folder.path(), "hello", b"hello world");
    told(&gateway, &["add", &hello]);
    let path = format!("/ipfs/{HELLO}");
    assert_eq!(gateway.request(Method::GET, &path, None).await.status(), StatusCode::OK);
    fs::write(&list, format!("version: 1\nname: bad things\n---\n/ipfs/{HELLO}\n")).unwrap();
    until("it is gone", async || gateway.request(Method::GET, &path, None).await.status() == StatusCode::GONE).await;
    let refused = run(&["pin", "add", HELLO, "--api", &gateway.api]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("bad things"), "{refused:?}");
    let broken = Gateway::try_start(
        &folder.path().join("other"),
        &["--config", &file(folder.path(), "b.toml", b"[ipfs]\ndenylist = [\"/nowhere/x.deny\"]\n")],
    );
    assert!(broken.err().unwrap().contains("/nowhere/x.deny"));
}
