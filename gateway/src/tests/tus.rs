//! Uploads in parts.

use data_encoding::BASE64;

use super::*;

const TUS: (HeaderName, &str) = (HeaderName::from_static("tus-resumable"), "1.0.0");
const PIECE: (HeaderName, &str) = (header::CONTENT_TYPE, "application/offset+octet-stream");
const ALL: &str = "/api/v1/uploads";

fn name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

async fn tus(app: &App, method: Method, path: &str, headers: &[(&'static str, &str)], body: &[u8]) -> Answer {
    let mut all = vec![TUS];
    all.extend(headers.iter().map(|(key, value)| (name(key), *value)));
    if !body.is_empty() {
        all.push(PIECE);
    }
    let answer = app.send(method, path, &all, body.to_vec()).await;
    assert_eq!(answer.header("tus-resumable"), "1.0.0");
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    answer
}

/// Begins an upload; its path.
async fn begun(app: &App, headers: &[(&'static str, &str)]) -> String {
    let answer = tus(app, Method::POST, ALL, headers, b"").await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.header(header::LOCATION).to_owned()
}

async fn patch(app: &App, path: &str, offset: &str, body: &[u8]) -> Answer {
    // An empty body has its type all the same.
    let headers = [TUS, PIECE, (name("upload-offset"), offset)];
    app.send(Method::PATCH, path, &headers, body.to_vec()).await
}

async fn pins(app: &App, cid: &str) -> Value {
    app.get(&format!("/api/v1/pins?cid={cid}")).await.json()
}

#[tokio::test]
async fn what_it_can_do() {
    let app = App::new().await;
    for path in [ALL, "/api/v1/uploads/00000000000000000000000000000000"] {
        let answer = app.send_far(Method::OPTIONS, path, &[]).await;
        assert_eq!((answer.status, answer.header("tus-version")), (204, "1.0.0"));
        assert!(answer.header("tus-extension").contains("creation-with-upload"));
        assert_eq!(answer.header("tus-checksum-algorithm"), "sha1,sha256");
        assert_eq!(answer.header("tus-max-size"), (64_u64 << 30).to_string());
    }
    for version in [None, Some("0.2.2")] {
        let headers: Vec<_> = version.map(|version| (TUS.0, version)).into_iter().collect();
        let answer = app.send(Method::POST, ALL, &headers, "").await;
        assert_eq!(answer.problem(), (412, "precondition_failed".into()));
        assert_eq!(answer.header("tus-version"), "1.0.0");
    }
    let answer = app.send_far(Method::POST, ALL, &[TUS]).await;
    assert_eq!((answer.problem().0, answer.header("tus-resumable")), (401, "1.0.0"));
}

#[tokio::test]
async fn a_file_in_parts_becomes_what_it_would_be_at_once() {
    let app = App::new().await;
    let bytes: Vec<u8> = (0..2_500_000_u32).map(|at| (at % 249) as u8).collect();
    let whole = App::new().await.send(Method::POST, "/api/v1/blobs", &[], bytes.clone()).await.json();
    let metadata = format!("filename {},filetype {}", BASE64.encode("ä.bin".as_bytes()), BASE64.encode(b"image/x-odd"));
    let path = begun(&app, &[("upload-length", "2500000"), ("upload-metadata", &metadata)]).await;
    let mut offset = 0;
    while offset < bytes.len() {
        let end = (offset + 700_001).min(bytes.len());
        let answer = patch(&app, &path, &offset.to_string(), &bytes[offset..end]).await;
        assert_eq!(
            (answer.status, answer.header("upload-offset")),
            (204, end.to_string().as_str()),
            "{}",
            answer.text()
        );
        assert!(!answer.header("upload-expires").is_empty());
        assert_eq!(answer.header("upload-cid").is_empty(), end < bytes.len());
        offset = end;
    }
    let head = tus(&app, Method::HEAD, &path, &[], b"").await;
    let cid = head.header("upload-cid").to_owned();
    assert_eq!((head.status, cid.as_str()), (200, whole["cid"].as_str().unwrap()));
    assert_eq!(head.header(header::LOCATION), format!("/ipfs/{cid}"));
    assert_eq!((head.header("upload-offset"), head.header("upload-length")), ("2500000", "2500000"));
    assert_eq!(head.header("upload-metadata"), metadata);
    assert!(app.get(&format!("/ipfs/{cid}")).await.body == bytes);
    let pins = pins(&app, &cid).await;
    assert_eq!((&pins["count"], &pins["results"][0]["pin"]["name"]), (&json!(1), &json!("ä.bin")));
    let known = app.get(&format!("/api/v1/blobs/{cid}")).await.json();
    assert_eq!((&known["mime"], &known["sha256"]), (&json!("image/x-odd"), &whole["sha256"]));
    assert_eq!(known["digestMultibase"], whole["digestMultibase"]);
    // It is complete: nothing is appended, and to forget it takes nothing away.
    assert_eq!(patch(&app, &path, "2500000", b"").await.problem().0, 409);
    assert_eq!(tus(&app, Method::DELETE, &path, &[], b"").await.status, 204);
    assert_eq!(tus(&app, Method::HEAD, &path, &[], b"").await.status, 404);
    assert_eq!(self::pins(&app, &cid).await["count"], 1);
}

#[tokio::test]
async fn a_beginning_with_bytes_and_an_empty_file() {
    let app = App::new().await;
    let answer = tus(&app, Method::POST, ALL, &[("upload-length", "5")], b"hello").await;
    assert_eq!((answer.status, answer.header("upload-offset")), (201, "5"), "{}", answer.text());
    let cid = app.send(Method::POST, "/api/v1/blobs", &[], "hello").await.json()["cid"].clone();
    assert_eq!(answer.header("upload-cid"), cid);
    assert!(answer.header(header::LOCATION).starts_with("/api/v1/uploads/"));
    let part = tus(&app, Method::POST, ALL, &[("upload-length", "5")], b"he").await;
    assert_eq!((part.header("upload-offset"), part.header("upload-cid")), ("2", ""));
    let end = patch(&app, part.header(header::LOCATION), "2", b"llo").await;
    assert_eq!(end.header("upload-cid"), cid);
    let empty = tus(&app, Method::POST, &format!("{ALL}?pin=false"), &[("upload-length", "0")], b"").await;
    let cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
    assert_eq!((empty.status, empty.header("upload-cid")), (201, cid));
    assert_eq!(pins(&app, cid).await["count"], 0, "leased only");
    // Kubo's older cut, and another hash.
    let path = format!("{ALL}?profile=legacy&hash=blake3");
    let answer = tus(&app, Method::POST, &path, &[("upload-length", "5")], b"hello").await;
    let other = app.send(Method::POST, "/api/v1/blobs?profile=legacy&hash=blake3", &[], "hello").await.json();
    assert_eq!(other["cid"], answer.header("upload-cid"));
}

#[tokio::test]
async fn what_is_not_as_it_should_be_is_refused() {
    let app = App::new().await;
    let refused = async |headers: &[(&'static str, &str)], status: u16| {
        let answer = tus(&app, Method::POST, ALL, headers, b"").await;
        assert_eq!(answer.problem().0, status, "{headers:?}");
    };
    refused(&[], 400).await;
    refused(&[("upload-length", "-1")], 400).await;
    refused(&[("upload-length", "5"), ("upload-defer-length", "1")], 400).await;
    refused(&[("upload-defer-length", "2")], 400).await;
    refused(&[("upload-length", &((64_u64 << 30) + 1).to_string())], 413).await;
    refused(&[("upload-length", "5"), ("upload-metadata", "filename ???")], 400).await;
    refused(&[("upload-concat", "final;nothing")], 400).await;

    let path = begun(&app, &[("upload-length", "5")]).await;
    let at = |offset: &'static str| [TUS, PIECE, (name("upload-offset"), offset)];
    assert_eq!(patch(&app, &path, "1", b"ello").await.problem(), (409, "conflict".into()));
    assert_eq!(patch(&app, &path, "x", b"hello").await.problem().0, 400);
    assert_eq!(patch(&app, &path, "0", b"hello!").await.problem(), (413, "too_large".into()));
    let untyped = app.send(Method::PATCH, &path, &[TUS, at("0")[2].clone()], "hello").await;
    assert_eq!(untyped.problem(), (415, "unsupported_media_type".into()));
    assert_eq!(app.send(Method::PATCH, &path, &[TUS, PIECE], "hello").await.problem().0, 400);
    let head = tus(&app, Method::HEAD, &path, &[], b"").await;
    assert_eq!((head.header("upload-offset"), head.header("upload-cid")), ("0", ""));
    for absent in ["/api/v1/uploads/x", "/api/v1/uploads/00000000000000000000000000000000"] {
        assert_eq!(tus(&app, Method::HEAD, absent, &[], b"").await.status, 404);
        assert_eq!(patch(&app, absent, "0", b"x").await.problem(), (404, "not_found".into()));
    }
    assert_eq!(tus(&app, Method::POST, &path, &[], b"").await.problem().0, 405);
    let disguised = [TUS, PIECE, (name("upload-offset"), "0"), (name("x-http-method-override"), "PATCH")];
    let answer = app.send(Method::POST, &path, &disguised, "hello").await;
    assert_eq!((answer.status, answer.header("upload-offset")), (204, "5"));
    let disguised = [TUS, (name("x-http-method-override"), "DELETE")];
    assert_eq!(app.send(Method::POST, &path, &disguised, "").await.status, 204);
    assert_eq!(tus(&app, Method::HEAD, &path, &[], b"").await.status, 404);
}

#[tokio::test]
async fn a_checksum_that_does_not_hold_keeps_nothing() {
    let app = App::new().await;
    let path = begun(&app, &[("upload-length", "11")]).await;
    let with = async |offset: &str, sum: &str, body: &'static str| {
        let headers = [TUS, PIECE, (name("upload-offset"), offset), (name("upload-checksum"), sum)];
        app.send(Method::PATCH, &path, &headers, body).await
    };
    // Of "hello ".
    let sum = "sha1 xA1m0IRsEaFb2rd3+bpwlatFpKo=";
    let sha256 = BASE64.encode(&<sha2::Sha256 as sha2::Digest>::digest(b"hello "));
    let wrong = with("0", sum, "hellx ").await;
    assert_eq!(wrong.problem(), (460, "checksum_mismatch".into()));
    assert_eq!(with("0", "md5 AAAA", "hello ").await.problem().0, 400);
    assert_eq!(tus(&app, Method::HEAD, &path, &[], b"").await.header("upload-offset"), "0");
    assert_eq!(with("0", &format!("sha256 {sha256}"), "hello ").await.header("upload-offset"), "6");
    let sum = format!("sha1 {}", BASE64.encode(&<sha1::Sha1 as sha1::Digest>::digest(b"world")));
    assert_eq!(with("6", &sum, "World").await.status, 460);
    let end = with("6", &sum, "world").await;
    assert_eq!(end.header("upload-cid"), "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
}

#[tokio::test]
async fn a_length_that_is_told_last() {
    let app = App::new().await;
    let path = begun(&app, &[("upload-defer-length", "1")]).await;
    assert_eq!(patch(&app, &path, "0", b"hello ").await.status, 204);
    let head = tus(&app, Method::HEAD, &path, &[], b"").await;
    assert_eq!((head.header("upload-defer-length"), head.header("upload-length")), ("1", ""));
    let too_short = [TUS, PIECE, (name("upload-offset"), "6"), (name("upload-length"), "5")];
    assert_eq!(app.send(Method::PATCH, &path, &too_short, "").await.problem().0, 400);
    let last = [TUS, PIECE, (name("upload-offset"), "6"), (name("upload-length"), "11")];
    let end = app.send(Method::PATCH, &path, &last, "world").await;
    assert_eq!(end.header("upload-cid"), "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
}

#[tokio::test]
async fn parts_that_came_at_the_same_time_make_one_file() {
    let app = App::new().await;
    let bytes: Vec<u8> = (0..1_500_000_u32).map(|at| (at % 251) as u8).collect();
    let mut parts = Vec::new();
    for part in bytes.chunks(600_000) {
        let length = part.len().to_string();
        let headers = [("upload-length", length.as_str()), ("upload-concat", "partial")];
        let answer = tus(&app, Method::POST, ALL, &headers, part).await;
        assert_eq!(answer.header("upload-offset"), length);
        parts.push(answer.header(header::LOCATION).to_owned());
    }
    let concat = format!("final;{}", parts.join(" "));
    let answer = tus(&app, Method::POST, ALL, &[("upload-concat", &concat)], b"").await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let expected = App::new().await.send(Method::POST, "/api/v1/blobs", &[], bytes).await.json()["cid"].clone();
    assert_eq!(answer.header("upload-cid"), expected);
    let path = answer.header(header::LOCATION);
    let head = tus(&app, Method::HEAD, path, &[], b"").await;
    assert_eq!((head.header("upload-length"), head.header("upload-concat")), ("1500000", concat.as_str()));
    assert_eq!(tus(&app, Method::HEAD, &parts[0], &[], b"").await.header("upload-concat"), "partial");
    assert_eq!(patch(&app, path, "1500000", b"").await.problem().0, 403);
    assert_eq!(pins(&app, answer.header("upload-cid")).await["count"], 1);
    // Of what is no part, or not complete.
    let whole = begun(&app, &[("upload-length", "5")]).await;
    let partial = begun(&app, &[("upload-length", "5"), ("upload-concat", "partial")]).await;
    for part in [whole, partial] {
        let answer = tus(&app, Method::POST, ALL, &[("upload-concat", &format!("final;{part}"))], b"").await;
        assert_eq!(answer.problem().0, 409);
    }
}

#[tokio::test]
async fn an_upload_is_of_who_began_it_and_its_bytes_count_for_him() {
    let pins = PinsConfig { bytes_per_account: 100, ..PinsConfig::default() };
    let config = Config { owner_token: Some(Secret::new(TOKEN)), ..Config::default() };
    let app = App::keeping(config, pins).await;
    for account in ["ann", "bob"] {
        app.account(account).await;
    }
    let (ann, bob) = (app.token("ann", &["write"], &[]).await, app.token("bob", &["write"], &[]).await);
    let reader = app.token("ann", &["read"], &[]).await;
    let ask = async |token: &str, method: Method, path: &str, headers: &[(HeaderName, &str)], body: Vec<u8>| {
        let bearer = format!("Bearer {token}");
        let head = [(header::HOST, "node.example"), TUS, PIECE, (header::AUTHORIZATION, bearer.as_str())];
        app.send_from("203.0.113.9:5000", method, path, &[&head, headers].concat(), body).await
    };
    let length = |length: &'static str| [(name("upload-length"), length)];
    assert_eq!(ask(&reader, Method::POST, ALL, &length("5"), vec![]).await.problem().0, 403);
    assert_eq!(ask(&ann, Method::POST, ALL, &length("101"), vec![]).await.problem().0, 413);
    let first = ask(&ann, Method::POST, ALL, &length("60"), vec![7; 30]).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let path = first.header(header::LOCATION).to_owned();
    // What is announced counts before it comes.
    assert_eq!(ask(&ann, Method::POST, ALL, &length("50"), vec![]).await.problem(), (507, "quota_exceeded".into()));
    let deferred = ask(&ann, Method::POST, ALL, &[(name("upload-defer-length"), "1")], vec![8; 41]).await;
    assert_eq!(deferred.problem(), (507, "quota_exceeded".into()));
    for (method, body) in [(Method::HEAD, vec![]), (Method::PATCH, vec![7; 30]), (Method::DELETE, vec![])] {
        let answer = ask(&bob, method, &path, &[(name("upload-offset"), "30")], body).await;
        assert_eq!(answer.status, 404, "somebody else's is not there");
    }
    let end = ask(&ann, Method::PATCH, &path, &[(name("upload-offset"), "30")], vec![7; 30]).await;
    assert_eq!((end.status, end.header("upload-cid").is_empty()), (204, false), "{}", end.text());
    let usage = app.with_token(&ann, Method::GET, "/api/v1/quota", "").await.json();
    assert_eq!(usage["bytes"], 60, "{usage}");
    // Room that was set aside is given back when an upload is ended.
    let other = ask(&ann, Method::POST, ALL, &length("40"), vec![]).await.header(header::LOCATION).to_owned();
    assert_eq!(ask(&ann, Method::POST, ALL, &length("1"), vec![]).await.status, 507);
    assert_eq!(ask(&ann, Method::DELETE, &other, &[], vec![]).await.status, 204);
    assert_eq!(ask(&ann, Method::POST, ALL, &length("40"), vec![9; 40]).await.status, 201);
}

#[tokio::test]
async fn an_upload_that_nothing_comes_for_is_given_up() {
    let app = App::new().await;
    let (early, late) = (begun(&app, &[("upload-length", "5")]).await, begun(&app, &[("upload-length", "5")]).await);
    let day = u64::try_from(crate::limits::UPLOAD_EXPIRY.as_millis()).unwrap();
    app.clock.advance(day / 2);
    assert_eq!(patch(&app, &late, "0", b"he").await.status, 204);
    app.clock.advance(day / 2);
    assert_eq!(tus(&app, Method::HEAD, &early, &[], b"").await.status, 404, "before it is removed");
    app.state.expire_uploads().await;
    assert_eq!(tus(&app, Method::HEAD, &late, &[], b"").await.header("upload-offset"), "2");
    app.clock.advance(day);
    app.state.expire_uploads().await;
    assert_eq!(patch(&app, &late, "2", b"llo").await.problem().0, 404);
}
