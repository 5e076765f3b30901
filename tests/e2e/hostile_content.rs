//! Content that lies, has no end or leads nowhere, over HTTP: refused with a code or bounded, and the gateway goes on.
//! What peers do on the wire is tested beside the code (`src/bitswap/tests`), images in `src/blobs/preview`.

use std::time::Duration;

use cid::{Cid, multihash::Multihash};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, run};

const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;
const CAR: &str = "application/vnd.ipld.car";

type Block = (Cid, Vec<u8>);

fn block(codec: u64, data: Vec<u8>) -> Block {
    let hash = Multihash::wrap(0x1e, blake3::hash(&data).as_bytes()).unwrap();
    (Cid::new_v1(codec, hash), data)
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

/// A field of bytes, in protobuf.
fn field(number: u8, data: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(data.len() as u64), data.to_vec()].concat()
}

/// A node of DAG-PB with these links by name, and UnixFS data.
fn node(links: &[(&str, Cid)], data: &[u8]) -> Block {
    let links = links
        .iter()
        .map(|(name, cid)| field(2, &[field(1, &cid.to_bytes()), field(2, name.as_bytes()), vec![0x18, 1]].concat()));
    block(DAG_PB, [links.collect::<Vec<_>>().concat(), field(1, data)].concat())
}

fn archive(root: &Cid, blocks: &[Block]) -> Vec<u8> {
    let root = root.to_bytes();
    let head = [&b"\xa2eroots\x81\xd8\x2a\x58"[..], &[root.len() as u8 + 1, 0], &root, b"gversion\x01"].concat();
    let mut out = [varint(head.len() as u64), head].concat();
    for (cid, data) in blocks {
        let cid = cid.to_bytes();
        out.extend(varint((cid.len() + data.len()) as u64));
        out.extend(cid);
        out.extend(data);
    }
    out
}

/// Uploads an archive: status, and of a problem code and detail.
async fn import(gateway: &Gateway, car: Vec<u8>) -> (u16, String, String) {
    let sent = gateway.client.post(gateway.url("/api/v1/blobs")).header("content-type", CAR).body(car).send().await;
    told(sent.unwrap()).await
}

async fn told(answer: reqwest::Response) -> (u16, String, String) {
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    // Paths are complained of as text, where the specifications' suite looks for it.
    let Ok(body) = serde_json::from_str::<Value>(&text) else { return (status, String::new(), text) };
    let member = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (status, member("code"), member("detail"))
}

#[tokio::test]
async fn archives_with_lies_are_refused_and_leave_nothing_to_be_found() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[]);
    let good = block(RAW, b"good".to_vec());
    let liar = (block(RAW, b"what it says".to_vec()).0, b"what it is".to_vec());
    let unknown = Cid::new_v1(RAW, Multihash::wrap(0x11, &[7; 20]).unwrap());
    let whole = archive(&good.0, std::slice::from_ref(&good));
    for (car, expected, why) in [
        (archive(&good.0, &[good.clone(), liar.clone()]), "malformed", "does not hash to its CID"),
        (archive(&unknown, &[(unknown, b"x".to_vec())]), "bad_value", "the hash function 0x11"),
        (whole[..whole.len() - 1].to_vec(), "malformed", "ends early"),
        (b"not an archive at all".to_vec(), "malformed", "not a CAR"),
        (archive(&good.0, &[block(RAW, vec![0; (2 << 20) + 1])]), "malformed", "holds a block of 2097153 bytes"),
    ] {
        let (status, code, detail) = import(&gateway, car).await;
        assert!((400..500).contains(&status) && code == expected, "{status} {code} {detail}");
        assert!(detail.contains(why), "{detail}, not {why}");
    }
    let lie = format!("/ipfs/{}?format=raw", liar.0);
    let asked = gateway.client.get(gateway.url(&lie)).header("cache-control", "only-if-cached");
    assert_eq!(asked.send().await.unwrap().status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(import(&gateway, whole).await.0, 201);
}

#[tokio::test]
async fn a_hash_that_nobody_can_check_is_named_at_every_door() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[]);
    let unknown = Cid::new_v1(RAW, Multihash::wrap(0x11, &[7; 20]).unwrap());
    let asked = gateway.request(Method::GET, &format!("/ipfs/{unknown}"), None).await;
    let (status, _, detail) = told(asked).await;
    assert!(status == 400 && detail.contains("0x11"), "{status} {detail}");
    let pinned = run(&["pin", "add", &unknown.to_string(), "--api", &gateway.api]);
    let said = String::from_utf8_lossy(&pinned.stderr).into_owned();
    assert!(!pinned.status.success() && said.contains("0x11"), "{said}");
}

#[tokio::test]
async fn bombs_are_answered_a_piece_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[]);
    // Forty folders, each holding the next one twice: 2^40 paths in 41 blocks.
    let mut blocks = vec![block(RAW, b"boom".to_vec())];
    for _ in 0..40 {
        let inner = blocks.last().unwrap().0;
        blocks.push(node(&[("a", inner), ("b", inner)], &[8, 1]));
    }
    let tree = blocks.last().unwrap().0;
    // A file of 16 GiB that is one block of 16 bytes; and one of 2^58 bytes.
    let mut size = 16_u64;
    let mut large = None;
    blocks.push(block(RAW, b"0123456789abcdef".to_vec()));
    for level in 0..54 {
        let inner = blocks.last().unwrap().0;
        let data = [vec![8, 2], vec![0x20], varint(size), vec![0x20], varint(size)].concat();
        blocks.push(node(&[("", inner), ("", inner)], &data));
        size *= 2;
        if level == 29 {
            large = blocks.last().map(|block| (block.0, size));
        }
    }
    let (large, size) = large.unwrap();
    let endless = blocks.last().unwrap().0;
    assert_eq!(import(&gateway, archive(&tree, &blocks)).await.0, 201);

    let begun = tokio::time::Instant::now();
    let path = |below: &str| gateway.url(&format!("/ipfs/{below}"));
    let leaf = format!("{tree}{}", "/a/b".repeat(20));
    assert_eq!(gateway.client.get(path(&leaf)).send().await.unwrap().text().await.unwrap(), "boom");
    let deep = told(gateway.client.get(path(&format!("{tree}{}", "/a".repeat(300)))).send().await.unwrap()).await;
    assert!(deep.0 == 400 && deep.2.contains("256"), "{deep:?}");
    // Without duplicates it is as large as it is; with them it begins, and nobody has to read on.
    let car = gateway.client.get(path(&format!("{tree}?format=car"))).send().await.unwrap();
    assert!(car.bytes().await.unwrap().len() < 100_000);
    for form in ["format=car&car-dups=y", "format=tar"] {
        let mut answer = gateway.client.get(path(&format!("{tree}?{form}"))).send().await.unwrap();
        for _ in 0..20 {
            assert!(!answer.chunk().await.unwrap().unwrap().is_empty());
        }
    }
    let range = format!("bytes={}-{}", size - 20, size - 1);
    let end = gateway.client.get(path(&large.to_string())).header("range", range).send().await.unwrap();
    let status = end.status();
    assert_eq!((status, end.text().await.unwrap().as_str()), (StatusCode::PARTIAL_CONTENT, "cdef0123456789abcdef"));
    let endless = told(gateway.client.get(path(&endless.to_string())).send().await.unwrap()).await;
    assert!(endless.0 == 400 && endless.2.contains("too deep"), "{endless:?}");
    // What is pinned is blocks, each counted once.
    let pinned = run(&["pin", "add", &tree.to_string(), "--api", &gateway.api]);
    assert!(pinned.status.success(), "{}", String::from_utf8_lossy(&pinned.stderr));
    assert!(begun.elapsed() < Duration::from_secs(60), "as long as what there is, not as long as it seems");
    assert!(gateway.request(Method::GET, "/healthz", None).await.status().is_success());
}

#[tokio::test]
async fn names_and_links_that_lead_in_a_circle_end() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let text = "[ipfs]\ndnslink = [\"a.test=/ipns/b.test\", \"b.test=/ipns/a.test/x\"]\n";
    std::fs::write(&config, text).unwrap();
    let gateway = Gateway::start(&folder.path().join("data"), &["--config", config.to_str().unwrap()]);
    let (status, _, detail) = told(gateway.request(Method::GET, "/ipns/a.test/", None).await).await;
    assert!(status == 400 && detail.contains("more than 32 names"), "{status} {detail}");
    // A symbolic link to itself is what it says, not what it leads to.
    let mut data = vec![8, 4];
    data.extend(field(2, b"loop"));
    let link = node(&[], &data);
    let root = node(&[("loop", link.0)], &[8, 1]);
    assert_eq!(import(&gateway, archive(&root.0, &[root.clone(), link])).await.0, 201);
    let shown = gateway.request(Method::GET, &format!("/ipfs/{}/loop", root.0), None).await;
    assert_eq!((shown.status().as_u16(), shown.text().await.unwrap().as_str()), (200, "loop"));
    let below = gateway.request(Method::GET, &format!("/ipfs/{}/loop/loop", root.0), None).await;
    assert_eq!(told(below).await.0, 404);
    // A node may hold it: the graph reads no content.
    gateway.patch("ada", json!({"file": {"/": root.0.to_string()}})).await;
}
