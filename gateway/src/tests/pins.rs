//! Pins, quotas and denylists over HTTP.

use rustdht_node::DenyRules;

use super::*;

/// Nobody has it.
const ABSENT: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
/// The bytes "hello" stand in it.
const INLINE: &str = "bafkqabtimvwgy3yk";

impl Answer {
    /// The reason of an error of the Pinning Service API, with its status.
    #[track_caller]
    fn failure(&self) -> (u16, String) {
        let json = self.json();
        assert_eq!(self.header(header::CONTENT_TYPE), "application/json", "{json}");
        let error = &json["error"];
        assert!(!error["details"].as_str().unwrap().is_empty());
        (self.status, error["reason"].as_str().unwrap().to_owned())
    }
}

fn failed(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

async fn add(app: &App, bytes: &'static str) -> String {
    let answer = app.send(Method::POST, "/api/v1/blobs?pin=false", &[], bytes).await;
    answer.json()["cid"].as_str().unwrap().to_owned()
}

async fn pin(app: &App, body: Value) -> Value {
    let pin = app.owner(Method::POST, "/api/v1/pins", &body, 202).await;
    assert_eq!(pin["requestid"].as_str().unwrap().len(), 32);
    pin
}

async fn list(app: &App, query: &str) -> Value {
    let answer = app.get(&format!("/api/v1/pins?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn ids(page: &Value) -> Vec<&str> {
    page["results"].as_array().unwrap().iter().map(|pin| pin["requestid"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_pin_from_its_request_to_its_end() {
    let app = App::new().await;
    let cid = add(&app, "file").await;
    let made = pin(
        &app,
        json!({ "cid": cid, "name": "n", "meta": { "app": "x" }, "origins": ["/ip4/127.0.0.1/tcp/1/p2p/x"] }),
    )
    .await;
    assert_eq!(
        (&made["status"], &made["pin"]["cid"], &made["pin"]["name"]),
        (&json!("pinned"), &json!(cid), &json!("n"))
    );
    assert_eq!((&made["pin"]["meta"], &made["info"]["dag_size"]), (&json!({ "app": "x" }), &json!("4")));
    assert!(!made["delegates"].as_array().unwrap().is_empty());
    let created = made["created"].as_str().unwrap();
    assert!(created.starts_with("2026-11-18T11:06:40.") && created.ends_with('Z'), "{created}");
    let id = made["requestid"].as_str().unwrap();
    let path = format!("/api/v1/pins/{id}");
    assert_eq!(app.get(&path).await.json(), made);

    let other = pin(&app, json!({ "cid": cid })).await;
    assert_ne!((&other["requestid"], &other["created"]), (&made["requestid"], &made["created"]), "each is its own");
    let waiting = pin(&app, json!({ "cid": ABSENT, "recursive": false })).await;
    assert_eq!((&waiting["status"], &waiting["pin"]["recursive"]), (&json!("queued"), &json!(false)));
    assert!(waiting["info"]["status_details"].as_str().unwrap().contains("not here"));

    let replaced = app.owner(Method::POST, &path, &json!({ "cid": INLINE, "name": "new" }), 202).await;
    assert_eq!((&replaced["status"], &replaced["pin"]["name"]), (&json!("pinned"), &json!("new")));
    assert_ne!(replaced["requestid"], made["requestid"]);
    assert_eq!(app.get(&path).await.failure(), failed(404, "NOT_FOUND"));
    let path = format!("/api/v1/pins/{}", replaced["requestid"].as_str().unwrap());
    assert_eq!(app.send(Method::DELETE, &path, &[], "").await.status, 202);
    assert_eq!(app.send(Method::DELETE, &path, &[], "").await.failure(), failed(404, "NOT_FOUND"));
    assert_eq!(app.get("/api/v1/pins/nonsense").await.failure(), failed(404, "NOT_FOUND"));
}

#[tokio::test]
async fn pins_are_listed_newest_first_and_filtered() {
    let app = App::new().await;
    let mut all = Vec::new();
    for number in 0..13 {
        let cid = add(&app, ["a", "b"][number % 2]).await;
        let name = format!("{}-{number}", if number < 3 { "Report" } else { "photo" });
        all.push(pin(&app, json!({ "cid": cid, "name": name, "meta": { "odd": (number % 2).to_string() } })).await);
    }
    let waiting = pin(&app, json!({ "cid": ABSENT })).await;
    let id = |at: usize| all[at]["requestid"].as_str().unwrap();
    let first = list(&app, "").await;
    assert_eq!(
        (&first["count"], ids(&first).len(), ids(&first)[0]),
        (&json!(13), 10, id(12)),
        "what waits is not there"
    );
    let before = first["results"][9]["created"].as_str().unwrap();
    let second = list(&app, &format!("before={before}")).await;
    assert_eq!((&second["count"], ids(&second)), (&json!(3), vec![id(2), id(1), id(0)]));
    let after = all[10]["created"].as_str().unwrap();
    assert_eq!(ids(&list(&app, &format!("after={after}")).await), [id(12), id(11)]);
    assert_eq!(ids(&list(&app, "status=queued,pinning,failed").await), [waiting["requestid"].as_str().unwrap()]);
    assert_eq!(list(&app, "status=queued,pinned&limit=1").await["count"], 14);
    assert_eq!(ids(&list(&app, "name=Report-1").await), [id(1)]);
    assert_eq!(list(&app, "name=report-1").await["count"], 0);
    assert_eq!(ids(&list(&app, "name=report-1&match=iexact").await), [id(1)]);
    assert_eq!(list(&app, "name=port&match=partial").await["count"], 3);
    assert_eq!(list(&app, "name=RT-&match=ipartial").await["count"], 3);
    let cid = all[0]["pin"]["cid"].as_str().unwrap();
    assert_eq!(list(&app, &format!("cid={cid},{ABSENT}&limit=1000")).await["count"], 7);
    assert_eq!(list(&app, "meta=%7B%22odd%22%3A%221%22%7D").await["count"], 6);
    for bad in ["limit=0", "status=x", "before=x", "meta=1", "match=x", "cid=x"] {
        assert_eq!(app.get(&format!("/api/v1/pins?{bad}")).await.failure(), failed(400, "MALFORMED"), "{bad}");
    }
}

#[tokio::test]
async fn each_caller_sees_his_own_pins_and_needs_the_scope_for_them() {
    let app = App::new().await;
    app.account("ada").await;
    app.account("charles").await;
    let (ada, reader) = (app.token("ada", &["write"], &[]).await, app.token("ada", &["read"], &[]).await);
    let (charles, narrow) =
        (app.token("charles", &["write"], &[]).await, app.token("ada", &["write"], &["people"]).await);
    let body = json!({ "cid": INLINE }).to_string();
    let made = app.with_token(&ada, Method::POST, "/api/v1/pins", &body).await;
    assert_eq!(made.status, 202, "{}", made.text());
    let path = format!("/api/v1/pins/{}", made.json()["requestid"].as_str().unwrap());
    assert_eq!(app.with_token(&reader, Method::GET, "/api/v1/pins", "").await.json()["count"], 1);
    for other in [&charles, TOKEN] {
        assert_eq!(app.with_token(other, Method::GET, "/api/v1/pins", "").await.json()["count"], 0);
        assert_eq!(app.with_token(other, Method::DELETE, &path, "").await.failure(), failed(404, "NOT_FOUND"));
    }
    for (token, status, reason) in
        [("", 401, "UNAUTHENTICATED"), ("nonsense", 401, "UNAUTHENTICATED"), (&narrow, 403, "INSUFFICIENT_SCOPE")]
    {
        for (method, path) in [(Method::GET, "/api/v1/pins"), (Method::POST, "/api/v1/pins"), (Method::DELETE, &*path)]
        {
            let answer = app.with_token(token, method.clone(), path, "").await;
            assert_eq!(answer.failure(), failed(status, reason), "{method} {path}");
            assert_eq!(answer.header(header::WWW_AUTHENTICATE), if status == 401 { "Bearer" } else { "" });
        }
    }
    assert_eq!(app.with_token(&reader, Method::POST, "/api/v1/pins", &body).await.failure().0, 403);
    assert_eq!(app.with_token(&ada, Method::DELETE, &path, "").await.status, 202);
}

#[tokio::test]
async fn mistakes_in_a_pin_are_named() {
    let app = App::new().await;
    for (body, status, reason, field) in [
        (json!({ "cid": "x" }), 422, "BAD_VALUE", "cid"),
        (json!({}), 400, "MALFORMED", "cid"),
        (json!({ "cid": INLINE, "name": "x".repeat(256) }), 422, "OUT_OF_RANGE", "name"),
        (json!({ "cid": INLINE, "origins": ["127.0.0.1"] }), 422, "BAD_VALUE", "origins.0"),
        (json!({ "cid": INLINE, "meta": { "a": 1 } }), 400, "MALFORMED", "string"),
    ] {
        let answer = app.send(Method::POST, "/api/v1/pins", &JSON, body.to_string()).await;
        assert_eq!(answer.failure(), failed(status, reason), "{body}");
        assert!(answer.json()["error"]["details"].as_str().unwrap().contains(field), "{}", answer.text());
    }
    assert_eq!(app.get("/api/v1/pins?status=queued,pinning,pinned,failed").await.json()["count"], 0);
}

#[tokio::test]
async fn what_is_uploaded_is_pinned_unless_it_is_told_not_to() {
    let app = App::new().await;
    app.account("ada").await;
    let ada = app.token("ada", &["write"], &[]).await;
    let sent = app.with_token(&ada, Method::POST, "/api/v1/blobs?pin=false", "").await;
    assert_eq!(sent.status, 201);
    let count =
        async |token: &str| app.with_token(token, Method::GET, "/api/v1/pins", "").await.json()["count"].clone();
    assert_eq!((count(&ada).await, count(TOKEN).await), (json!(0), json!(0)));
    let sent =
        app.send(Method::POST, "/api/v1/blobs", &[(header::AUTHORIZATION, &format!("Bearer {ada}"))], "file").await;
    let cid = sent.json()["cid"].as_str().unwrap().to_owned();
    let pins = app.with_token(&ada, Method::GET, "/api/v1/pins", "").await.json();
    assert_eq!((&pins["count"], &pins["results"][0]["pin"]["cid"]), (&json!(1), &json!(cid)));
    assert_eq!(count(TOKEN).await, 0);
    // An archive: each of its roots.
    let car = app.get(&format!("/ipfs/{cid}?format=car")).await.body;
    let sent =
        app.send(Method::POST, "/api/v1/blobs", &[(header::CONTENT_TYPE, "application/vnd.ipld.car")], car).await;
    assert_eq!((sent.status, &sent.json()["roots"]), (201, &json!([cid])));
    let all = "/api/v1/pins?status=queued,pinning,pinned";
    assert_eq!(app.get(all).await.json()["results"][0]["pin"]["cid"], json!(cid));
}

#[tokio::test]
async fn an_account_keeps_no_more_than_it_may() {
    let pins = PinsConfig { bytes_per_account: 1000, ..PinsConfig::default() };
    let app = App::keeping(Config { owner_token: Some(Secret::new(TOKEN)), ..Config::default() }, pins).await;
    app.account("ada").await;
    let ada = format!("Bearer {}", app.token("ada", &["write"], &[]).await);
    let by = [(header::AUTHORIZATION, ada.as_str())];
    let declared = |length: &'static str| [(header::AUTHORIZATION, ada.as_str()), (header::CONTENT_LENGTH, length)];
    let send = async |headers: &[(HeaderName, &str)], bytes: usize, seed: u8| {
        app.send(Method::POST, "/api/v1/blobs", headers, vec![seed; bytes]).await
    };
    assert_eq!(send(&by, 600, 1).await.status, 201);
    let quota = app.send(Method::GET, "/api/v1/quota", &by, "").await.json();
    assert_eq!(quota, json!({ "bytes": 600, "pins": 1, "bytes_limit": 1000, "pins_limit": 100_000 }));
    assert_eq!(app.get("/api/v1/quota").await.json(), json!({ "pins": 0 }), "the owner's is not counted");
    // Told of before a byte flowed, and found out while they flow.
    assert_eq!(send(&declared("401"), 401, 2).await.problem(), (507, "quota_exceeded".into()));
    assert_eq!(send(&by, 401, 2).await.problem(), (507, "quota_exceeded".into()));
    assert_eq!(send(&declared("1001"), 1001, 2).await.problem(), (413, "too_large".into()));
    let taken = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = Arc::clone(&taken);
    let pieces = futures::stream::repeat_with(move || {
        seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok::<_, std::io::Error>(Bytes::from_static(&[7; 100_000]))
    });
    let body = Body::from_stream(futures::StreamExt::take(pieces, 1000));
    assert_eq!(app.send(Method::POST, "/api/v1/blobs", &by, body).await.problem(), (413, "too_large".into()));
    assert!(taken.load(std::sync::atomic::Ordering::SeqCst) < 300, "it is not read to its end");
    assert_eq!(send(&by, 400, 3).await.status, 201);
    assert_eq!(send(&by, 1, 4).await.problem(), (507, "quota_exceeded".into()));
    let pins = app.send(Method::GET, "/api/v1/pins", &by, "").await.json();
    let path = format!("/api/v1/pins/{}", pins["results"][0]["requestid"].as_str().unwrap());
    assert_eq!(app.send(Method::DELETE, &path, &by, "").await.status, 202);
    assert_eq!(send(&by, 400, 5).await.status, 201, "what was removed makes room");
    assert_eq!(
        app.send(Method::POST, "/api/v1/blobs", &[], vec![6; 5000]).await.status,
        201,
        "the owner keeps what he wants"
    );
}

#[tokio::test]
async fn what_a_denylist_names_is_gone() {
    let app = App::new().await;
    let cid = add(&app, "bad").await;
    let path = format!("/ipfs/{cid}");
    assert_eq!(app.get(&path).await.status, 200);
    app.state.bind_denied(Arc::clone(app.node.denylist()) as _);
    let list = format!("version: 1\nname: bad things\n---\n/ipfs/{cid}\n");
    app.node.denylist().replace(vec![DenyRules::read(list.as_bytes(), "file").unwrap()]);
    let gone = app.get(&path).await;
    assert_eq!(gone.problem(), (410, "denied".into()));
    assert!(gone.text().contains("bad things"), "{}", gone.text());
    let refused = app.send(Method::POST, "/api/v1/pins", &JSON, json!({ "cid": cid }).to_string()).await;
    assert_eq!(refused.failure(), failed(410, "DENIED"));
    assert_eq!(app.send(Method::POST, "/api/v1/blobs", &[], "bad").await.problem(), (410, "denied".into()));
    app.node.denylist().replace(Vec::new());
    assert_eq!(app.get(&path).await.status, 200);
}

#[tokio::test]
async fn the_community_s_pins() {
    let app = App::new().await;
    app.account("ada").await;
    let ada = app.token("ada", &["write"], &[]).await;
    let cid = add(&app, "shared").await;
    let made = app.owner(Method::POST, "/api/v1/pinset", &json!({ "cid": cid, "name": "n", "min": 1 }), 202).await;
    assert_eq!(made, json!({ "cid": cid, "name": "n", "min": 1, "max": 1 }));
    app.owner(Method::POST, "/api/v1/pinset", &json!({ "cid": INLINE }), 202).await;
    let find = async || {
        let page = app.get("/api/v1/pinset").await.json();
        page["pins"].as_array().unwrap().iter().find(|pin| pin["cid"] == json!(cid)).cloned().unwrap()
    };
    for _ in 0..500 {
        if find().await["holders"] == json!(["recorder"]) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let pin = find().await;
    assert_eq!((&pin["here"], &pin["holders"], &pin["max"]), (&json!("held"), &json!(["recorder"]), &json!(1)));
    let first = app.get("/api/v1/pinset?limit=1").await.json();
    let next = first["next"].as_str().unwrap();
    let second = app.get(&format!("/api/v1/pinset?limit=1&cursor={next}")).await.json();
    assert_ne!(first["pins"][0]["cid"], second["pins"][0]["cid"]);
    assert_eq!((second["pins"].as_array().unwrap().len(), second.get("next")), (1, None));
    for (body, status) in [
        (json!({ "cid": cid, "min": 0 }), 422),
        (json!({ "cid": cid, "min": 3, "max": 2 }), 422),
        (json!({ "cid": "x" }), 422),
        (json!({ "cid": cid, "more": 1 }), 400),
    ] {
        app.owner(Method::POST, "/api/v1/pinset", &body, status).await;
    }
    let path = format!("/api/v1/pinset/{cid}");
    let refused = app.with_token(&ada, Method::POST, "/api/v1/pinset", &json!({ "cid": cid }).to_string()).await;
    assert_eq!(refused.problem(), (403, "not_authorised".into()));
    assert_eq!(app.with_token(&ada, Method::DELETE, &path, "").await.problem(), (403, "not_authorised".into()));
    assert_eq!(app.send_far(Method::GET, "/api/v1/pinset", &[]).await.problem().0, 401);
    assert_eq!(app.send(Method::DELETE, &path, &[], "").await.status, 202);
    assert_eq!(app.send(Method::DELETE, &path, &[], "").await.problem(), (404, "not_found".into()));
}
