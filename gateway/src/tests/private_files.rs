//! Files that the gateway encrypts, and opens for who may read them.

use super::*;

/// More than three segments, and no two parts alike.
fn pattern() -> Vec<u8> {
    (0..3_300_000_usize).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// Two accounts, a private node of the first, and tokens.
struct House {
    app: App,
    ada: String,
    bob: String,
    content: String,
    node: String,
    recipients: String,
}

impl House {
    async fn new() -> Self {
        let app = App::new().await;
        let key = app.account("ada").await;
        app.account("bob").await;
        let (ada, bob) = (app.token("ada", &["write"], &[]).await, app.token("bob", &["write"], &[]).await);
        let path = |start: &str, end: &str| format!("/api/v1/{start}/~{key}%2Falbum{end}");
        let (content, node) = (path("nodes", "/fields/film/content"), path("nodes", ""));
        let house = Self { app, ada, bob, content, node, recipients: path("recipients", "") };
        house.share(&["bob"]).await;
        house
    }

    async fn share(&self, with: &[&str]) {
        let body = json!({ "recipients": with }).to_string();
        let shared = self.app.with_token(&self.ada, Method::PUT, &self.recipients, &body).await;
        assert_eq!(shared.status, 200, "{}", shared.text());
    }

    async fn send(
        &self,
        token: &str,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut all = vec![(header::HOST, "node.example"), (header::AUTHORIZATION, bearer.as_str())];
        all.extend_from_slice(headers);
        self.app.send_from("203.0.113.9:5000", method, path, &all, body).await
    }

    /// Ada puts a film; what her node shows then.
    async fn put(&self, body: Vec<u8>) -> Value {
        let kind = [(header::CONTENT_TYPE, "video/x-test")];
        let put = self.send(&self.ada, Method::PUT, &self.content, &kind, body).await;
        assert_eq!(put.status, 200, "{}", put.text());
        put.json()["data"].take()
    }

    async fn get(&self, token: &str, headers: &[(HeaderName, &str)]) -> Answer {
        self.send(token, Method::GET, &self.content, headers, Vec::new()).await
    }
}

fn cid_of(data: &Value) -> String {
    let link = data["film"].as_str().unwrap();
    link["ipfs://".len()..].split('#').next().unwrap().to_owned()
}

#[tokio::test]
async fn recipients_read_the_file_of_a_field_and_its_ranges() {
    let house = House::new().await;
    let bytes = pattern();
    let data = house.put(bytes.clone()).await;
    let cid = cid_of(&data);
    assert_eq!(data["blobs"], json!({"@set": [{"/": cid}]}), "{data}");
    for token in [&house.ada, &house.bob] {
        let whole = house.get(token, &[]).await;
        assert_eq!((whole.status, whole.body == bytes), (200, true), "{}", whole.headers.len());
        for (name, value) in [
            (header::CONTENT_TYPE, "video/x-test"),
            (header::CONTENT_LENGTH, "3300000"),
            (header::CACHE_CONTROL, "private, no-cache"),
            (header::CONTENT_SECURITY_POLICY, "sandbox"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::ACCEPT_RANGES, "bytes"),
            (header::ETAG, &format!("\"{cid}\"")),
        ] {
            assert_eq!(whole.header(&name), value, "{name}");
        }
    }
    for (from, to) in [(0, 0), (1_048_490, 1_048_500), (2_097_000, 3_200_000), (3_299_990, 3_299_999)] {
        let part = house.get(&house.bob, &[(header::RANGE, &format!("bytes={from}-{to}"))]).await;
        assert_eq!((part.status, part.body == bytes[from..=to]), (206, true), "{from}-{to}");
        assert_eq!(part.header(header::CONTENT_RANGE), format!("bytes {from}-{to}/3300000"));
    }
    let several = house.get(&house.bob, &[(header::RANGE, "bytes=0-1,2000000-2000003")]).await;
    assert!(several.status == 206 && several.header(header::CONTENT_TYPE).starts_with("multipart/byteranges"));
    assert!(several.body.windows(4).any(|part| part == &bytes[2_000_000..2_000_004]));
    assert_eq!(house.get(&house.bob, &[(header::RANGE, "bytes=3300000-")]).await.problem().0, 416);
    let known = house.get(&house.bob, &[(header::IF_NONE_MATCH, &format!("\"{cid}\""))]).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert_eq!(house.get(&house.bob, &[(header::IF_MATCH, "\"other\"")]).await.problem().0, 412);
    let head = house.send(&house.bob, Method::HEAD, &house.content, &[], Vec::new()).await;
    assert_eq!((head.status, head.body.len(), head.header(header::CONTENT_LENGTH)), (200, 0, "3300000"));
}

#[tokio::test]
async fn only_recipients_read_it_and_what_is_stored_tells_nothing() {
    let house = House::new().await;
    let bytes = pattern();
    let cid = cid_of(&house.put(bytes.clone()).await);
    assert_eq!(house.app.send_far(Method::GET, &house.content, &[]).await.problem(), (403, "not_authorised".into()));
    // The owner of the gateway is none of them either.
    assert_eq!(house.app.get(&house.content).await.problem(), (403, "not_authorised".into()));
    let seen = house.app.get(&house.node).await.json();
    assert!(seen["data"]["film"]["enc"].is_object() && !seen.to_string().contains("key="), "{seen}");
    assert_eq!(seen["data"]["blobs"], json!({"@set": [{"/": cid}]}), "the reference is for everybody");
    let stored = house.app.get(&format!("/ipfs/{cid}")).await;
    assert_eq!(stored.body.len(), 3_300_000 + 64 + 4 * 16);
    assert!(!stored.body[..100_000].windows(32).any(|part| part == &bytes[1_000..1_032]));
    // Counted and pinned like any upload.
    let pins = house.send(&house.ada, Method::GET, "/api/v1/pins", &[], Vec::new()).await.json();
    assert!(pins.to_string().contains(&cid), "{pins}");
}

#[tokio::test]
async fn who_was_taken_out_does_not_read_the_next_version() {
    let house = House::new().await;
    let first = house.put(b"the first version".to_vec()).await;
    assert_eq!(house.get(&house.bob, &[]).await.text(), "the first version");
    house.share(&[]).await;
    let second = house.put(b"the second version".to_vec()).await;
    assert_ne!(cid_of(&first), cid_of(&second));
    assert_eq!(house.get(&house.ada, &[]).await.text(), "the second version");
    assert_eq!(house.get(&house.bob, &[]).await.problem(), (403, "not_authorised".into()));
    // The link of the first version opens nothing of the second, whose ciphertext everybody can have.
    let key = first["film"].as_str().unwrap().split("key=").nth(1).unwrap().split('&').next().unwrap();
    let stolen = format!("ipfs://{}#key={key}", cid_of(&second));
    let public = "/api/v1/nodes/public%2Fstolen";
    let body = json!({ "film": stolen }).to_string();
    let written = house.app.with_token(&house.bob, Method::PATCH, public, &body).await;
    assert!(written.status < 300, "{}", written.text());
    let answer = house.send(&house.bob, Method::GET, &format!("{public}/fields/film/content"), &[], Vec::new()).await;
    assert_eq!(answer.problem(), (422, "bad_value".into()));
    assert!(answer.text().contains("the key is not the one of this file"), "{}", answer.text());
    // What the node links, and nothing else, is named beside it.
    assert_eq!(second["blobs"], json!({"@set": [{"/": cid_of(&second)}]}));
}

#[tokio::test]
async fn references_follow_the_links() {
    let house = House::new().await;
    let cid = cid_of(&house.put(b"one".to_vec()).await);
    let link = house.app.with_token(&house.ada, Method::GET, &house.node, "").await.json()["data"]["film"].take();
    // Another field links the same file: it stays named while one of them does.
    let twice = json!({ "copy": link }).to_string();
    assert_eq!(house.app.with_token(&house.ada, Method::PATCH, &house.node, &twice).await.status, 200);
    let data = house.put(b"two".to_vec()).await;
    assert_eq!(data["blobs"]["@set"].as_array().unwrap().len(), 2, "{data}");
    let copy = house.content.replace("film", "copy");
    for path in [&copy, &house.content] {
        let gone = house.send(&house.ada, Method::DELETE, path, &[], Vec::new()).await;
        assert_eq!(gone.status, 200, "{}", gone.text());
        let left = house.app.with_token(&house.ada, Method::GET, &house.node, "").await.json();
        assert!(!left.to_string().contains(&cid), "{left}");
    }
    let left = house.app.with_token(&house.ada, Method::GET, &house.node, "").await.json();
    assert_eq!((&left["data"]["film"], &left["data"]["copy"]), (&Value::Null, &Value::Null), "{left}");
    assert!(!left["data"]["blobs"].to_string().contains("baf"), "{left}");
    assert_eq!(house.get(&house.ada, &[]).await.problem(), (404, "not_found".into()));
    let again = house.send(&house.ada, Method::DELETE, &house.content, &[], Vec::new()).await;
    assert_eq!(again.problem(), (422, "bad_value".into()));
}

#[tokio::test]
async fn the_key_is_not_written_where_everybody_reads_it() {
    let house = House::new().await;
    let public = house.content.replace("album", "public");
    let answer = house.send(&house.ada, Method::PUT, &public, &[], b"x".to_vec()).await;
    assert_eq!(answer.problem(), (403, "not_authorised".into()));
    assert!(answer.text().contains("the node is not private"), "{}", answer.text());
    let foreign = house.send(&house.bob, Method::PUT, &house.content, &[], b"x".to_vec()).await;
    assert_eq!(foreign.problem().0, 403, "a recipient who may not write");
    // A token for some nodes only adds no files.
    let space = house.node.split_once("nodes/").unwrap().1.replace("%2F", "/");
    let narrow = house.app.token("ada", &["write"], &[&space]).await;
    let answer = house.send(&narrow, Method::PUT, &house.content, &[], b"x".to_vec()).await;
    assert_eq!(answer.problem(), (403, "insufficient_scope".into()));
    for field in ["private", "blobs"] {
        let path = house.content.replace("film", field);
        assert_eq!(
            house.send(&house.ada, Method::PUT, &path, &[], b"x".to_vec()).await.problem(),
            (422, "bad_field".into())
        );
    }
    assert_eq!(house.app.send_far(Method::PUT, &house.content, &[]).await.problem().0, 401);
}

#[tokio::test]
async fn an_upload_is_encrypted_on_request() {
    let app = App::new().await;
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"dir/a note.txt\"\r\n\r\nplain words\r\n--b--\r\n";
    let kind = [(header::CONTENT_TYPE, "multipart/form-data; boundary=b")];
    let mut cids = Vec::new();
    for (headers, body, name) in [(&kind[..], form, "&name=a%20note.txt"), (&[], "plain words", "")] {
        let added = app.send(Method::POST, "/api/v1/blobs?private=true", headers, body).await;
        assert_eq!(added.status, 201, "{}", added.text());
        let json = added.json();
        let (cid, key) = (json["cid"].as_str().unwrap().to_owned(), json["key"].as_str().unwrap());
        assert_eq!((json["size"].as_u64(), json["stored"].as_u64()), (Some(11), Some(91)), "{json}");
        assert_eq!(json["link"], format!("ipfs://{cid}#key={key}&type=text/plain%3B%20charset%3Dutf-8{name}"));
        assert_eq!(added.header(header::LOCATION), format!("/ipfs/{cid}"));
        let stored = app.get(&format!("/ipfs/{cid}")).await;
        assert!(stored.body.len() == 91 && !stored.text().contains("plain"));
        // A link may stand in any node; then whoever reads the node reads the file.
        app.owner(Method::PATCH, "/api/v1/nodes/public%2Ffiles", &json!({ "note": json["link"] }), 200).await;
        let opened = app.get("/api/v1/nodes/public%2Ffiles/fields/note/content").await;
        assert_eq!((opened.status, opened.text().as_str()), (200, "plain words"));
        assert_eq!(opened.header(header::CONTENT_TYPE), "text/plain; charset=utf-8");
        assert_eq!(opened.header(header::CONTENT_DISPOSITION).contains("a note.txt"), !name.is_empty());
        cids.push(cid);
    }
    assert_ne!(cids[0], cids[1], "the same file under two keys");
    let cut = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nbyt";
    assert_eq!(app.send(Method::POST, "/api/v1/blobs?private=true", &kind, cut).await.problem().0, 400);
}

#[tokio::test]
async fn a_gateway_that_shows_nothing_opens_nothing_for_strangers() {
    let ipfs = crate::Ipfs { deserialized: false, ..crate::Ipfs::default() };
    let app = App::with(Config { owner_token: Some(Secret::new(TOKEN)), ipfs, ..Config::default() }).await;
    let added = app.send(Method::POST, "/api/v1/blobs?private=true", &[], "plain words").await.json();
    app.owner(Method::PATCH, "/api/v1/nodes/public%2Ffiles", &json!({ "note": added["link"] }), 200).await;
    let content = "/api/v1/nodes/public%2Ffiles/fields/note/content";
    assert_eq!(app.send_far(Method::GET, content, &[]).await.problem(), (400, "bad_path".into()));
    assert_eq!(app.get(content).await.text(), "plain words");
}
