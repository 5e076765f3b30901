//! Directories and archives in.

use super::*;

const FORM: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "multipart/form-data; boundary=b")];

/// A form of (name, type, content).
fn form(parts: &[(&str, &str, &str)]) -> String {
    let mut text = String::new();
    for (name, kind, content) in parts {
        text.push_str(&format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n{content}\r\n"
        ));
    }
    text + "--b--\r\n"
}

const FILE: &str = "application/octet-stream";
const LINK: &str = "application/symlink";
const FOLDER: &str = "application/x-directory";

async fn root(app: &App, query: &str, parts: &[(&str, &str, &str)]) -> String {
    let answer = app.send(Method::POST, &format!("/api/v1/blobs{query}"), &FORM, form(parts)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let cid = answer.json()["cid"].as_str().unwrap().to_owned();
    assert_eq!(answer.header(header::LOCATION), format!("/ipfs/{cid}"));
    cid
}

async fn names(app: &App, cid: &str) -> Vec<String> {
    use futures::TryStreamExt;
    let entries = app.node.blobs().entries(&cid.parse().unwrap()).await.unwrap();
    entries.map_ok(|entry| entry.name).try_collect().await.unwrap()
}

#[tokio::test]
async fn a_form_of_paths_is_a_directory() {
    let app = App::new().await;
    let parts = [
        ("site", FOLDER, ""),
        ("site%2Fa%20b.txt", FILE, "one"),
        ("site/empty", FOLDER, ""),
        ("site/sub/ü", FILE, "two"),
        ("site/link", LINK, "sub/ü"),
    ];
    let cid = root(&app, "", &parts).await;
    assert_eq!(names(&app, &cid).await, ["a b.txt", "empty", "link", "sub"]);
    let answer = app.send(Method::POST, "/api/v1/blobs", &FORM, form(&parts)).await.json();
    assert_eq!((answer["mime"].as_str(), answer["size"].as_u64()), (Some("inode/directory"), Some(6)));
    assert!(answer.get("digestMultibase").is_none());
    // A field that is no file is not one of the entries, nor is an input without a file.
    let mut fields =
        form(&parts).replacen("--b", "--b\r\nContent-Disposition: form-data; name=note\r\n\r\nx\r\n--b", 1);
    fields =
        fields.replacen("--b--", "--b\r\nContent-Disposition: form-data; name=f; filename=\"\"\r\n\r\n\r\n--b--", 1);
    let answer = app.send(Method::POST, "/api/v1/blobs", &FORM, fields).await;
    assert_eq!(answer.json()["cid"], cid.as_str());
    // Around it, a directory that holds it; the same when the order is another.
    let mut turned = parts;
    turned.reverse();
    let around = root(&app, "?directory=true", &turned).await;
    assert_eq!(names(&app, &around).await, ["site"]);
    let (around, path) = (around.parse().unwrap(), ["site".to_owned()]);
    let inside = app.node.blobs().resolve(&around, &path, rustdht_core::ports::Fetch::LocalOnly);
    assert_eq!(inside.await.unwrap().cid.to_string(), cid);
}

#[tokio::test]
async fn files_without_paths_are_a_directory_when_one_is_asked_for() {
    let app = App::new().await;
    let two = [("a.txt", FILE, "one"), ("b.txt", FILE, "two")];
    assert_eq!(names(&app, &root(&app, "?directory=true", &two).await).await, ["a.txt", "b.txt"]);
    let first = app.send(Method::POST, "/api/v1/blobs", &[], "one").await.json();
    assert_eq!(first["digestMultibase"].as_str().unwrap().len(), 47);
    assert_eq!(root(&app, "", &two).await, first["cid"].as_str().unwrap());
    // One path that is a file: its root is the file.
    assert_eq!(
        root(&app, "", &[("only%2Fone", FILE, "one")]).await,
        root(&app, "", &[("only/one", FILE, "one")]).await
    );
    let blake = root(&app, "?hash=blake3&profile=legacy", &[("d/x", FILE, "one")]).await;
    assert_eq!(blake.parse::<cid::Cid>().unwrap().hash().code(), 0x1e);
}

#[tokio::test]
async fn a_file_is_found_by_its_digest() {
    let app = App::new().await;
    for (body, query) in [("one", ""), ("<html>two", "?hash=blake3")] {
        let added = app.send(Method::POST, &format!("/api/v1/blobs{query}"), &[], body).await.json();
        let found = app.get(&format!("/api/v1/blobs/{}", added["digestMultibase"].as_str().unwrap())).await;
        assert_eq!((found.status, &found.json()["cid"], &found.json()["size"]), (200, &added["cid"], &added["size"]));
        assert_eq!(found.json()["digestMultibase"], added["digestMultibase"]);
    }
    let absent = format!("/api/v1/blobs/{}", "0".repeat(64));
    assert_eq!(app.get(&absent).await.problem(), (404, "not_found".into()));
    assert_eq!(app.get("/api/v1/blobs/nonsense").await.problem(), (422, "bad_value".into()));
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let app = App::new().await;
    for (parts, why) in [
        (&[("../a/b", FILE, "x")][..], "does not begin with the name of an entry"),
        (&[("/etc/passwd", FILE, "x")], "does not begin with the name of an entry"),
        (&[("a/../../b", FILE, "x")], "is not the name of an entry"),
        (&[("a/%2e%2e/b", FILE, "x")], "is not the name of an entry"),
        (&[("a//b", FILE, "x")], "is not the name of an entry"),
        (&[("a/b%00c", FILE, "x")], "is not the name of an entry"),
        (&[("a/b", FILE, "x"), ("c/d", FILE, "x")], "is not below \"a\" as the first one is"),
        (&[("a/b", FILE, "x"), ("a/b", FILE, "x")], "is there twice"),
        (&[("a/b", FILE, "x"), ("a/b/c", FILE, "x")], "is there twice"),
    ] {
        let answer = app.send(Method::POST, "/api/v1/blobs", &FORM, form(parts)).await;
        assert_eq!(answer.problem(), (400, "malformed".into()));
        assert!(answer.text().contains(&why.replace('"', "\\\"")), "{}", answer.text());
    }
    let long = "x".repeat(5000);
    for part in [("a/l", LINK, long.as_str()), (&format!("a/{long}"), FILE, "x")] {
        let answer = app.send(Method::POST, "/api/v1/blobs", &FORM, form(&[part])).await;
        assert_eq!(answer.problem(), (413, "too_large".into()), "{}", answer.text());
    }
    let cut = form(&[("a/b", FILE, "x"), ("a/c", FILE, "y")]);
    let answer = app.send(Method::POST, "/api/v1/blobs", &FORM, cut[..cut.len() - 20].to_owned()).await;
    assert_eq!(answer.problem(), (400, "body_incomplete".into()));
}

#[tokio::test]
async fn an_archive_answers_its_roots() {
    let app = App::new().await;
    let cid = root(&app, "", &[("d/a", FILE, "one"), ("d/b", FILE, "two")]).await;
    let stream =
        app.node.blobs().car(&cid.parse().unwrap(), &[], rustdht_core::ports::CarOptions::default()).await.unwrap();
    let pieces: Vec<bytes::Bytes> = futures::TryStreamExt::try_collect(stream).await.unwrap();
    let car = pieces.concat();
    let other = App::new().await;
    let headers = [(header::CONTENT_TYPE, "application/vnd.ipld.car; version=1")];
    let answer = other.send(Method::POST, "/api/v1/blobs", &headers, car.clone()).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.json(), serde_json::json!({"roots": [cid], "blocks": 3, "bytes": answer.json()["bytes"]}));
    assert_eq!(answer.header(header::LOCATION), format!("/ipfs/{cid}"));
    assert_eq!(names(&other, &cid).await, ["a", "b"]);

    let mut lie = car.clone();
    let last = lie.len() - 1;
    lie[last] ^= 1;
    for bad in [lie, car[..last].to_vec(), b"no archive".to_vec()] {
        let answer = other.send(Method::POST, "/api/v1/blobs", &headers, bad).await;
        assert_eq!(answer.problem(), (400, "malformed".into()), "{}", answer.text());
    }
}
