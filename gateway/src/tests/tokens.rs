//! Who may what with which token.

use rustdht_core::Value as Data;
use rustdht_node::{NodeWrite, Principal, Wanted, WriteMode};

use super::*;

const NODE: &str = "/api/v1/nodes/people%2Fada";

impl App {
    async fn code(&self, token: &str, method: Method, path: &str, json: &str) -> (u16, String) {
        let answer = self.with_token(token, method, path, json).await;
        if answer.status < 400 { (answer.status, String::new()) } else { answer.problem() }
    }
}

impl App {
    /// Sets field `x` of a node as a bridge of this gateway would.
    async fn plant(&self, soul: &str, value: Data) {
        let write = NodeWrite {
            by: Principal::Internal,
            soul: soul.parse().unwrap(),
            mode: WriteMode::Patch,
            fields: vec![("x".parse().unwrap(), Wanted::Value(value))],
            if_match: None,
            if_none_match: None,
            wait: std::time::Duration::ZERO,
            render: RenderOptions::default(),
        };
        self.node.write(write).await.unwrap();
    }
}

fn add(token: &str, check: &str) -> String {
    let block = biscuit_auth::BlockBuilder::new().check(check).unwrap();
    biscuit_auth::UnverifiedBiscuit::from_base64(token).unwrap().append(block).unwrap().to_base64().unwrap()
}

fn scope() -> (u16, String) {
    (403, "insufficient_scope".into())
}

fn unknown() -> (u16, String) {
    (401, "unauthenticated".into())
}

fn done() -> (u16, String) {
    (200, String::new())
}

#[tokio::test]
async fn scopes_decide() {
    let app = App::with(Config { anonymous: Anonymous::None, ..Config::default() }).await;
    app.account("ada").await;
    app.patch("people/ada", "{\"x\":1}").await;
    let read = app.token("ada", &["read"], &[]).await;
    let write = app.token("ada", &["write"], &[]).await;
    let admin = app.token("ada", &["admin"], &[]).await;
    let register = app.token("ada", &["register"], &[]).await;
    let routes = [
        (Method::GET, NODE, "", [true, true, true, false]),
        (Method::GET, "/api/v1/export", "", [true, true, true, false]),
        (Method::GET, "/api/v1/accounts/ada", "", [true, true, true, false]),
        (Method::PATCH, NODE, "{\"x\":2}", [false, true, true, false]),
        (Method::POST, "/api/v1/import", "{\"soul\":\"a\",\"data\":{\"x\":1}}", [false, true, true, false]),
        (
            Method::POST,
            "/api/v1/commits",
            r#"{"ops":[{"op":"enable","soul":"a","field":"f"}]}"#,
            [false, true, true, false],
        ),
        (Method::GET, "/api/v1/accounts", "", [false, false, true, false]),
        (Method::GET, "/api/v1/peers", "", [false, false, true, false]),
        (Method::GET, "/api/v1/invite", "", [false, false, true, false]),
        (Method::POST, "/api/v1/accounts/ada/enable", "", [false, false, true, false]),
        (Method::DELETE, "/api/v1/schemas/x", "", [false, false, true, false]),
    ];
    for (method, path, body, allowed) in routes {
        assert_eq!(app.code("", method.clone(), path, body).await, unknown(), "{method} {path}");
        for (token, allowed) in [&read, &write, &admin, &register].into_iter().zip(allowed) {
            let got = app.code(token, method.clone(), path, body).await;
            assert_eq!(got != scope(), allowed, "{method} {path} {got:?}");
        }
    }
}

#[tokio::test]
async fn what_an_account_writes_is_signed_with_its_key_and_its_space_is_its_own() {
    let app = App::new().await;
    let (ada, charles) = (app.account("ada").await, app.account("charles").await);
    let token = app.token("ada", &["write"], &[]).await;
    assert_eq!(app.code(&token, Method::PATCH, NODE, "{\"x\":1}").await, done());
    let meta = app.get(&format!("{NODE}?meta=true")).await.json();
    assert_eq!(meta["meta"]["x"]["author"], json!(ada));
    let own = format!("/api/v1/nodes/~{ada}%2Fblog");
    assert_eq!(app.code(&token, Method::PATCH, &own, "{\"x\":1}").await, done());
    let other = format!("/api/v1/nodes/~{charles}%2Fblog");
    let refused = (403, "not_authorised".to_owned());
    assert_eq!(app.code(&token, Method::PATCH, &other, "{\"x\":1}").await, refused);
    assert_eq!(app.patch(&format!("~{ada}/blog"), "{\"x\":1}").await.problem(), refused, "nor does the owner write it");
    for soul in ["_%2Fx", "%5Ehttps:%2F%2Fa.example%2F"] {
        let path = format!("/api/v1/nodes/{soul}");
        assert_eq!(app.code(&token, Method::GET, &path, "").await, scope());
        assert_eq!(app.code(&token, Method::PATCH, &path, "{\"x\":1}").await.0, 403);
    }
}

#[tokio::test]
async fn prefixes_narrow_every_door() {
    let app = App::with(Config { anonymous: Anonymous::None, ..Config::default() }).await;
    app.account("ada").await;
    app.patch("people/ada", r##"{"x":1,"at":{"#":"places/rome"}}"##).await;
    app.patch("places/rome", "{\"x\":1}").await;
    let token = app.token("ada", &["write"], &["people"]).await;
    let code = async |method, path: &str, body: &str| app.code(&token, method, path, body).await;
    assert_eq!(code(Method::GET, NODE, "").await, done());
    assert_eq!(code(Method::PATCH, NODE, "{\"x\":2}").await, done());
    assert_eq!(code(Method::DELETE, "/api/v1/nodes/people", "").await, done());
    assert_eq!(code(Method::GET, "/api/v1/export?prefix=people/", "").await, done());
    for (method, path, body) in [
        (Method::GET, "/api/v1/nodes/places%2Frome", ""),
        (Method::PATCH, "/api/v1/nodes/peoples", "{\"x\":1}"),
        (Method::GET, "/api/v1/node?soul=places/rome", ""),
        (Method::GET, "/api/v1/nodes/people%2Fada/path/at/x", ""),
        (Method::GET, "/api/v1/history/places%2Frome/x", ""),
        (Method::GET, "/api/v1/export?prefix=people", ""),
        (Method::GET, "/api/v1/export", ""),
        (Method::GET, "/api/v1/watch", ""),
        (Method::GET, "/api/v1/watch?soul=places/rome", ""),
        (Method::POST, "/api/v1/blobs", "x"),
        (Method::POST, "/api/v1/content", "{\"x\":1}"),
        (Method::POST, "/api/v1/tokens", "{\"scopes\":[\"write\"]}"),
        (Method::GET, "/api/v1/tokens", ""),
        (Method::GET, "/api/v1/accounts/ada", ""),
    ] {
        assert_eq!(code(method.clone(), path, body).await, scope(), "{method} {path}");
    }
    let ops = r#"{"ops":[{"op":"set","soul":"people/ada","field":"x","value":3},{"op":"set","soul":"places/rome","field":"x","value":3}]}"#;
    let refused = app.with_token(&token, Method::POST, "/api/v1/commits", ops).await;
    assert_eq!((refused.problem(), &refused.json()["field"]), (scope(), &json!("ops.1.soul")));
    assert_eq!(app.get(NODE).await.json()["data"]["x"], 2, "all or none");
    let lines = "{\"soul\":\"people/b\",\"data\":{\"x\":1}}\n{\"soul\":\"places/b\",\"data\":{\"x\":1}}\n";
    let told = app.with_token(&token, Method::POST, "/api/v1/import", lines).await.lines();
    assert!(told.iter().any(|line| line["line"] == 2 && line["error"]["code"] == "insufficient_scope"), "{told:?}");
    assert_eq!(told.last().unwrap()["done"]["nodes"], 1);
}

#[tokio::test]
async fn with_a_token_nobody_is_worse_off_than_without() {
    let app = App::new().await;
    app.account("ada").await;
    app.patch("places/rome", "{\"x\":1}").await;
    let token = app.token("ada", &["write"], &["people"]).await;
    assert_eq!(app.code(&token, Method::GET, "/api/v1/nodes/places%2Frome", "").await, done());
    assert_eq!(app.code("nonsense", Method::GET, "/api/v1/nodes/places%2Frome", "").await, unknown());
}

#[tokio::test]
async fn checks_that_a_holder_added_are_run_for_every_soul() {
    let app = App::new().await;
    app.account("ada").await;
    let whole = app.token("ada", &["write"], &[]).await;
    let below = add(&whole, "check if soul($s), $s.starts_with(\"people/\")");
    assert_eq!(app.code(&below, Method::PATCH, NODE, "{\"x\":1}").await, done());
    assert_eq!(app.code(&below, Method::PATCH, "/api/v1/nodes/a", "{\"x\":1}").await, scope());
    assert_eq!(app.code(&below, Method::POST, "/api/v1/blobs", "x").await, scope());
    let ops = r#"{"ops":[{"op":"enable","soul":"people/ada","field":"f"},{"op":"enable","soul":"a","field":"f"}]}"#;
    assert_eq!(app.code(&below, Method::POST, "/api/v1/commits", ops).await, scope());
    let reads = add(&whole, "check if operation(\"read\")");
    assert_eq!(app.code(&reads, Method::PATCH, NODE, "{\"x\":1}").await, scope());
    assert_eq!(app.code(&reads, Method::GET, "/api/v1/export", "").await, done());
    let until = add(&whole, "check if time($t), $t < 2026-11-18T11:07:00Z");
    assert_eq!(app.code(&until, Method::PATCH, NODE, "{\"x\":2}").await, done());
    app.clock.advance(30_000);
    assert_eq!(app.code(&until, Method::PATCH, NODE, "{\"x\":3}").await, scope());
    assert_eq!(app.code(&whole, Method::PATCH, NODE, "{\"x\":3}").await, done());
}

#[tokio::test]
async fn revoked_over_and_disabled() {
    let app = App::new().await;
    app.account("ada").await;
    let body = json!({ "user": "ada", "scopes": ["write"], "expires_in": 60 });
    let made = app.owner(Method::POST, "/api/v1/tokens", &body, 201).await;
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let narrowed = add(token, "check if true");
    let other = app.token("ada", &["write"], &[]).await;
    let write = async |token: &str| app.code(token, Method::PATCH, NODE, "{\"x\":1}").await;
    assert_eq!((write(token).await, write(&narrowed).await), (done(), done()));
    app.owner(Method::POST, "/api/v1/accounts/ada/disable", &json!({}), 200).await;
    assert_eq!((write(token).await, write(&other).await), (unknown(), unknown()));
    app.owner(Method::POST, "/api/v1/accounts/ada/enable", &json!({}), 200).await;
    assert_eq!(write(token).await, done());
    app.owner(Method::DELETE, &format!("/api/v1/tokens/{id}"), &json!({}), 204).await;
    app.owner(Method::DELETE, &format!("/api/v1/tokens/{id}"), &json!({}), 204).await;
    assert_eq!((write(token).await, write(&narrowed).await, write(&other).await), (unknown(), unknown(), done()));
    app.clock.advance(90 * 86_400_000);
    assert_eq!(write(&other).await, unknown(), "its time is over");
    let listed = app.get("/api/v1/tokens").await.json();
    let row = listed["tokens"].as_array().unwrap().iter().find(|row| row["id"] == id).cloned().unwrap_or_default();
    assert!(row["revoked"].is_string() && row.get("token").is_none(), "{row}");
    let missing = app.send(Method::DELETE, &format!("/api/v1/tokens/{}", "0".repeat(32)), &[], Body::empty()).await;
    assert_eq!(missing.problem(), (404, "not_found".into()));
}

#[tokio::test]
async fn an_account_makes_tokens_for_itself_and_for_no_more_than_it_may() {
    let app = App::new().await;
    app.account("ada").await;
    app.account("charles").await;
    let mine = app.token("ada", &["write"], &[]).await;
    let make =
        async |token: &str, body: Value| app.with_token(token, Method::POST, "/api/v1/tokens", &body.to_string()).await;
    let made = make(&mine, json!({ "scopes": ["read"], "prefixes": ["people"], "expires_in": 100_000_000 })).await;
    assert_eq!((made.status, &made.json()["user"]), (201, &json!("ada")));
    let listed = app.with_token(&mine, Method::GET, "/api/v1/tokens", "").await.json();
    let all = app.get("/api/v1/tokens").await.json();
    assert_eq!((listed["tokens"].as_array().unwrap().len(), all["tokens"].as_array().unwrap().len()), (2, 2));
    let expiries: Vec<&str> =
        listed["tokens"].as_array().unwrap().iter().map(|row| row["expires"].as_str().unwrap()).collect();
    assert_eq!(expiries[0], expiries[1], "it does not outlive what it was made with");
    for body in [
        json!({ "scopes": ["admin"] }),
        json!({ "scopes": ["register"] }),
        json!({ "scopes": ["read"], "user": "charles" }),
    ] {
        assert_eq!(make(&mine, body.clone()).await.problem(), scope(), "{body}");
    }
    let theirs = app.token("charles", &["read"], &[]).await;
    let id = listed["tokens"][0]["id"].as_str().unwrap();
    assert_eq!(app.code(&theirs, Method::DELETE, &format!("/api/v1/tokens/{id}"), "").await.0, 404);
    assert_eq!(app.code(&mine, Method::DELETE, &format!("/api/v1/tokens/{id}"), "").await.0, 204);
    let owners = make("", json!({ "scopes": ["read"] })).await;
    assert_eq!(owners.problem(), unknown());
}

#[tokio::test]
async fn mistakes_in_a_request_for_a_token_are_named() {
    let app = App::new().await;
    for (body, code, field) in [
        (json!({ "scopes": [] }), "bad_value", "scopes"),
        (json!({ "scopes": ["read", "x"] }), "bad_value", "scopes.1"),
        (json!({ "scopes": ["read"], "prefixes": [""] }), "bad_soul", "prefixes.0"),
        (json!({ "scopes": ["read"], "expires_in": 0 }), "out_of_range", "expires_in"),
        (json!({ "scopes": ["read"], "note": "x".repeat(257) }), "bad_value", "note"),
        (json!({ "scopes": ["read"], "user": "nobody" }), "not_found", "user"),
        (json!({ "scopes": ["read"], "more": 1 }), "malformed", ""),
        (json!([]), "malformed", ""),
    ] {
        let answer = app.send(Method::POST, "/api/v1/tokens", &JSON, body.to_string()).await;
        assert_eq!(answer.problem().1, code, "{body}");
        assert_eq!(answer.json()["field"].as_str().unwrap_or_default(), field, "{body}");
    }
}

#[tokio::test]
async fn an_invite_code_opens_nothing_but_the_registration() {
    let app = App::new().await;
    let made = app.owner(Method::POST, "/api/v1/tokens", &json!({ "scopes": ["register"] }), 201).await;
    let other = app.owner(Method::POST, "/api/v1/tokens", &json!({ "scopes": ["read"] }), 201).await;
    let code = made["token"].as_str().unwrap();
    for id in [&made["id"], &other["id"]] {
        let path = format!("/api/v1/tokens/{}", id.as_str().unwrap());
        assert_eq!(app.code(code, Method::DELETE, &path, "").await, scope());
    }
    assert_eq!(app.code(code, Method::GET, "/api/v1/tokens", "").await, scope());
    assert_eq!(app.code(code, Method::POST, "/api/v1/tokens", "{\"scopes\":[\"register\"]}").await, scope());
    assert_eq!(app.code(code, Method::GET, "/api/v1/watch", "").await, scope());
}

#[tokio::test]
async fn a_token_revokes_itself_and_what_is_for_no_more() {
    let app = App::new().await;
    app.account("ada").await;
    let make = async |scopes: &[&str]| {
        let made = app.owner(Method::POST, "/api/v1/tokens", &json!({ "user": "ada", "scopes": scopes }), 201).await;
        (format!("/api/v1/tokens/{}", made["id"].as_str().unwrap()), made["token"].as_str().unwrap().to_owned())
    };
    let ((read_path, read), (write_path, write), (admin_path, _)) =
        (make(&["read"]).await, make(&["write"]).await, make(&["admin"]).await);
    let revoke = async |token: &str, path: &str| app.code(token, Method::DELETE, path, "").await;
    assert_eq!((revoke(&read, &write_path).await, revoke(&write, &admin_path).await), (scope(), scope()));
    assert_eq!(revoke(&write, &read_path).await.0, 204);
    assert_eq!(revoke(&write, &write_path).await.0, 204);
}

#[tokio::test]
async fn nothing_that_a_narrowed_token_makes_outlives_it() {
    let app = App::new().await;
    app.account("ada").await;
    let until = "check if time($t), $t < 2026-11-18T11:07:00Z";
    let (admin, write) = (app.token("ada", &["admin"], &[]).await, app.token("ada", &["write"], &[]).await);
    let (admin, write) = (add(&admin, until), add(&write, until));
    assert_eq!(app.code(&admin, Method::GET, "/api/v1/accounts", "").await, done());
    let body = "{\"user\":\"ada\",\"scopes\":[\"admin\"]}";
    assert_eq!(app.code(&admin, Method::POST, "/api/v1/tokens", body).await, scope());
    assert_eq!(app.code(&admin, Method::GET, "/api/v1/tokens", "").await, scope());
    assert_eq!(app.code(&write, Method::PATCH, NODE, "{\"x\":1}").await, done());
    let body = "{\"audience\":\"ada\"}";
    assert_eq!(app.code(&write, Method::POST, "/api/v1/certificates", body).await, scope());
}

#[tokio::test]
async fn a_path_from_a_local_node_leads_nowhere_for_a_token_of_that_node() {
    let app = App::new().await;
    app.plant("_/a", Data::Link("_/b".parse().unwrap())).await;
    app.plant("_/b", Data::from("secret")).await;
    let make = async |prefixes: &[&str]| {
        let body = json!({ "scopes": ["read"], "prefixes": prefixes });
        app.owner(Method::POST, "/api/v1/tokens", &body, 201).await["token"].as_str().unwrap().to_owned()
    };
    let path = "/api/v1/nodes/_%2Fa/path/x/x";
    let whole = app.with_token(&make(&[]).await, Method::GET, path, "").await;
    assert_eq!(whole.json()["values"], json!(["secret"]), "{}", whole.text());
    let narrow = make(&["_/a"]).await;
    assert_eq!(app.code(&narrow, Method::GET, "/api/v1/nodes/_%2Fa", "").await, done());
    assert_eq!(app.code(&narrow, Method::GET, path, "").await, scope());
}

#[tokio::test]
async fn an_export_of_somebody_else_holds_no_mirrors() {
    let app = App::new().await;
    app.account("ada").await;
    app.plant("^https://a.example/", Data::from("theirs")).await;
    app.patch("a", "{\"x\":1}").await;
    let token = app.token("ada", &["admin"], &[]).await;
    let others = app.with_token(&token, Method::GET, "/api/v1/export", "").await.text();
    assert!(others.contains("\"soul\":\"a\"") && !others.contains("theirs"), "{others}");
    assert!(app.get("/api/v1/export").await.text().contains("theirs"));
}
