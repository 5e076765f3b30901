//! Blobs over HTTP.

use super::*;

async fn add(app: &App, bytes: &'static [u8]) -> String {
    let answer = app.send(Method::POST, "/api/v1/blobs", &[], bytes).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let cid = answer.json()["cid"].as_str().unwrap().to_owned();
    assert_eq!(answer.header(header::LOCATION), format!("/ipfs/{cid}"));
    assert_eq!(answer.json()["size"], bytes.len());
    cid
}

#[tokio::test]
async fn a_file_is_added_and_read_whole_and_by_range() {
    let app = App::new().await;
    let cid = add(&app, b"0123456789").await;
    let path = format!("/ipfs/{cid}");
    let whole = app.get(&path).await;
    assert_eq!((whole.status, whole.text().as_str()), (200, "0123456789"));
    for (name, value) in [
        (header::ETAG, format!("\"{cid}\"")),
        (header::CACHE_CONTROL, "public, max-age=29030400, immutable".into()),
        (header::ACCEPT_RANGES, "bytes".into()),
        (header::CONTENT_LENGTH, "10".into()),
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".into()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".into()),
        (header::CONTENT_SECURITY_POLICY, "sandbox".into()),
        (HeaderName::from_static("x-ipfs-path"), path.clone()),
        (HeaderName::from_static("x-ipfs-roots"), cid.clone()),
    ] {
        assert_eq!(whole.header(&name), value, "{name}");
    }
    for (range, body, content) in
        [("bytes=2-4", "234", "bytes 2-4/10"), ("bytes=7-", "789", "bytes 7-9/10"), ("bytes=-2", "89", "bytes 8-9/10")]
    {
        let part = app.send(Method::GET, &path, &[(header::RANGE, range)], "").await;
        assert_eq!((part.status, part.text().as_str()), (206, body));
        assert_eq!(part.header(header::CONTENT_RANGE), content);
        assert_eq!(part.header(header::CONTENT_TYPE), "text/plain; charset=utf-8");
    }
    let outside = app.send(Method::GET, &path, &[(header::RANGE, "bytes=10-")], "").await;
    assert_eq!(outside.problem(), (416, "range_not_satisfiable".into()));
    assert_eq!(outside.header(header::CONTENT_RANGE), "bytes */10");
    let several = app.send(Method::GET, &path, &[(header::RANGE, "bytes=0-1,3-4")], "").await;
    assert!(several.status == 206 && several.header(header::CONTENT_TYPE).starts_with("multipart/byteranges"));
    let other = [(header::RANGE, "bytes=0-1"), (header::IF_RANGE, "\"other\"")];
    assert_eq!(app.send(Method::GET, &path, &other, "").await.status, 200);
}

#[tokio::test]
async fn head_and_not_modified_send_no_bytes() {
    let app = App::new().await;
    let cid = add(&app, b"<html>hello").await;
    let path = format!("/ipfs/{cid}");
    let head = app.send(Method::HEAD, &path, &[], "").await;
    assert_eq!((head.status, head.body.len(), head.header(header::CONTENT_LENGTH)), (200, 0, "11"));
    assert_eq!(head.header(header::CONTENT_TYPE), "text/html");
    let tag = format!("W/\"{cid}\"");
    let known = app.send(Method::GET, &path, &[(header::IF_NONE_MATCH, &tag)], "").await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert_eq!(known.header(header::ETAG), format!("\"{cid}\""));
}

#[tokio::test]
async fn an_empty_file() {
    let app = App::new().await;
    let cid = add(&app, b"").await;
    let answer = app.get(&format!("/ipfs/{cid}")).await;
    assert_eq!((answer.status, answer.body.len(), answer.header(header::CONTENT_LENGTH)), (200, 0, "0"));
}

#[tokio::test]
async fn names_and_downloads() {
    let app = App::new().await;
    let cid = add(&app, b"body {}").await;
    let named = app.get(&format!("/ipfs/{cid}?filename=a.css&download=true")).await;
    assert_eq!(named.header(header::CONTENT_TYPE), "text/css; charset=utf-8");
    assert_eq!(named.header(header::CONTENT_DISPOSITION), "attachment; filename=\"a.css\"; filename*=UTF-8''a.css");
}

#[tokio::test]
async fn what_is_no_file_is_named() {
    let app = App::new().await;
    assert_eq!(app.get("/ipfs/nonsense").await.status, 400);
    let absent = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
    assert_eq!(app.get(&format!("/ipfs/{absent}")).await.problem(), (404, "not_found".into()));
    assert_eq!(app.get(&format!("/ipfs/{absent}/a/b")).await.problem(), (404, "not_found".into()));
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let app = App::new().await;
    let pieces: Vec<Result<&str, std::io::Error>> =
        vec![Ok("half a "), Err(std::io::ErrorKind::ConnectionReset.into())];
    let body = Body::from_stream(futures::stream::iter(pieces));
    let answer = app.send(Method::POST, "/api/v1/blobs", &[], body).await;
    assert_eq!(answer.problem(), (400, "body_incomplete".into()));
    assert_eq!(app.node.blobs().totals().await, (0, 0));
}

#[tokio::test]
async fn forms_and_profiles() {
    let app = App::new().await;
    let form = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\nContent-Type: image/x-odd\r\n\r\n0123456789\r\n--b--\r\n";
    let headers = [(header::CONTENT_TYPE, "multipart/form-data; boundary=b")];
    let answer = app.send(Method::POST, "/api/v1/blobs?profile=legacy", &headers, form).await;
    assert_eq!((answer.status, answer.json()["mime"].as_str().unwrap()), (201, "image/x-odd"));
    assert_eq!(answer.json()["cid"], add(&app, b"0123456789").await);
    let bad = app.send(Method::POST, "/api/v1/blobs?profile=odd", &[], "x").await;
    assert_eq!(bad.problem(), (400, "malformed".into()));
    let none = app.send(Method::POST, "/api/v1/blobs", &headers, "--b--\r\n").await;
    assert_eq!(none.problem(), (400, "malformed".into()));
}
