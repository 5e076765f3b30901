//! Delegation, private nodes, schemas, content nodes and the check, over HTTP.

use super::*;

const PROBLEM: fn(&Answer) -> (u16, String) = Answer::problem;

#[tokio::test]
async fn who_holds_a_certificate_writes_what_it_covers_until_it_is_revoked() {
    let app = App::new().await;
    let (ada, charles) = (app.account("ada").await, app.account("charles").await);
    let (ada_token, charles_token) =
        (app.token("ada", &["write"], &[]).await, app.token("charles", &["write"], &[]).await);
    let blog = format!("/api/v1/nodes/~{ada}%2Fblog");
    let write = async |path: &str, json: &str| app.with_token(&charles_token, Method::PATCH, path, json).await;
    assert_eq!(PROBLEM(&write(&blog, "{\"x\":1}").await), (403, "not_authorised".into()));
    let body = json!({ "audience": "charles", "prefixes": [format!("~{ada}/blog")] }).to_string();
    let issued = app.with_token(&ada_token, Method::POST, "/api/v1/certificates", &body).await;
    let certificate = issued.json();
    assert_eq!((issued.status, &certificate["audience"]), (201, &json!(charles)), "{certificate}");
    assert_eq!((&certificate["rights"], &certificate["revoked"]), (&json!(["write"]), &json!(false)));
    assert_eq!(write(&blog, "{\"x\":1}").await.status, 200);
    assert_eq!(write(&format!("/api/v1/nodes/~{ada}%2Fdiary"), "{\"x\":1}").await.status, 403);
    for (token, count) in [(&ada_token, 1), (&charles_token, 1)] {
        let listed = app.with_token(token, Method::GET, "/api/v1/certificates", "").await.json();
        assert_eq!(listed["certificates"].as_array().unwrap().len(), count, "{listed}");
    }
    let by_name = app.get("/api/v1/certificates?audience=charles").await.json();
    assert_eq!(by_name["certificates"][0]["id"], certificate["id"]);
    let id = certificate["id"].as_str().unwrap();
    let revoke = format!("/api/v1/certificates/{id}/revoke");
    let refused = app.with_token(&charles_token, Method::POST, &revoke, "").await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    let revoked = app.with_token(&ada_token, Method::POST, &revoke, "").await;
    assert!(revoked.status < 300, "{}", revoked.text());
    assert_eq!(app.get(&format!("/api/v1/certificates/{id}")).await.json()["revoked"], true);
    assert_eq!(app.get(&blog).await.status, 404, "what stands under it is hidden");
    assert_eq!(write(&blog, "{\"x\":2}").await.status, 403);
}

#[tokio::test]
async fn certificates_that_make_no_sense_are_refused() {
    let app = App::new().await;
    let ada = app.account("ada").await;
    for (body, code, field) in [
        (json!({}), "malformed", ""),
        (json!({ "audience": "nobody" }), "bad_key", "audience"),
        (json!({ "audience": "ada", "rights": ["own"] }), "bad_value", "rights.0"),
        (json!({ "audience": "ada", "prefixes": [""] }), "bad_soul", "prefixes.0"),
        (json!({ "audience": "ada", "fields": [""] }), "bad_field", "fields.0"),
        (json!({ "audience": "ada", "parent": "x" }), "malformed", "parent"),
        (json!({ "audience": "ada", "expires_in": 0 }), "out_of_range", "expires_in"),
        (json!({ "audience": "ada", "space": format!("~{ada}") }), "not_authorised", ""),
    ] {
        let answer = app.send(Method::POST, "/api/v1/certificates", &JSON, body.to_string()).await;
        assert_eq!(answer.problem().1, code, "{body} {}", answer.text());
        if !field.is_empty() {
            assert_eq!(answer.json()["field"], field, "{body}");
        }
    }
    assert_eq!(app.get("/api/v1/certificates/x").await.problem(), (400, "malformed".into()));
    let cbor = [(header::CONTENT_TYPE, "application/vnd.rustdht.certificate+cbor")];
    assert_eq!(app.send(Method::POST, "/api/v1/certificates", &cbor, "x").await.problem(), (400, "malformed".into()));
}

#[tokio::test]
async fn a_private_node_is_read_by_its_recipients_only() {
    let app = App::new().await;
    let ada = app.account("ada").await;
    app.account("charles").await;
    let (ada_token, charles_token) =
        (app.token("ada", &["write"], &[]).await, app.token("charles", &["write"], &[]).await);
    let diary = format!("/api/v1/nodes/~{ada}%2Fdiary");
    let recipients = format!("/api/v1/recipients/~{ada}%2Fdiary");
    assert_eq!(app.get(&recipients).await.json()["recipients"], json!([]));
    let share = async |names: &[&str]| {
        let body = json!({ "recipients": names }).to_string();
        app.with_token(&ada_token, Method::PUT, &recipients, &body).await
    };
    let shared = share(&["charles"]).await;
    assert_eq!((shared.status, shared.json()["recipients"].as_array().unwrap().len()), (200, 2), "{}", shared.text());
    assert_eq!(app.with_token(&ada_token, Method::PATCH, &diary, "{\"secret\":\"rosebud\"}").await.status, 200);
    let read = async |token: &str| app.with_token(token, Method::GET, &diary, "").await.json()["data"]["secret"].take();
    assert_eq!((read(&ada_token).await, read(&charles_token).await), (json!("rosebud"), json!("rosebud")));
    assert!(read("").await["enc"].is_object());
    assert!(app.get(&diary).await.json()["data"]["secret"]["enc"].is_object(), "the owner of the gateway is none");
    assert!(!app.get("/api/v1/export").await.text().contains("rosebud"));
    assert_eq!(share(&[]).await.status, 200);
    assert_eq!(app.with_token(&ada_token, Method::PATCH, &diary, "{\"secret\":\"sled\"}").await.status, 200);
    assert_eq!(read(&ada_token).await, json!("sled"));
    assert!(read(&charles_token).await["enc"].is_object());
    let stranger = app.with_token(&charles_token, Method::PUT, &recipients, "{\"recipients\":[\"charles\"]}").await;
    assert_eq!(stranger.problem().0, 403);
    assert_eq!(share(&["nobody"]).await.json()["field"], "recipients.0");
}

#[tokio::test]
async fn recipients_are_changed_as_they_were_read() {
    let app = App::new().await;
    app.account("charles").await;
    let recipients = format!("/api/v1/recipients/~{}%2Fnotes", app.node.identity().gateway);
    let put = async |tag: &str, names: &[&str]| {
        let headers = [JSON[0].clone(), (header::IF_MATCH, tag)];
        app.send(Method::PUT, &recipients, &headers, json!({ "recipients": names }).to_string()).await
    };
    let read = app.get(&recipients).await;
    let none = read.header(header::ETAG).to_owned();
    let shared = put(&none, &["charles"]).await;
    assert_eq!((shared.status, shared.json()["recipients"].as_array().unwrap().len()), (200, 2), "{}", shared.text());
    let now = shared.header(header::ETAG).to_owned();
    assert_eq!(app.get(&recipients).await.header(header::ETAG), now);
    let late = put(&none, &[]).await;
    assert_eq!((late.problem(), late.header(header::ETAG)), ((412, "precondition_failed".into()), &*now));
    assert_eq!(put("none", &[]).await.problem(), (400, "malformed".into()));
    assert_eq!(app.get(&recipients).await.json()["recipients"].as_array().unwrap().len(), 2, "nothing changed");
    assert_eq!(put(&now, &[]).await.status, 200);
    assert_eq!(put("*", &["charles"]).await.status, 200);
}

#[tokio::test]
async fn schemas_hold_for_writes_here() {
    let app = App::new().await;
    let schema = json!({ "type": "object", "required": ["name"], "properties": { "born": { "type": "integer" } } });
    let set = app.owner(Method::PUT, "/api/v1/schemas/person", &schema, 200).await;
    assert_eq!((&set["type"], &set["schema"]), (&json!("person"), &schema));
    assert_eq!(app.get("/api/v1/schemas").await.json()["schemas"].as_array().unwrap().len(), 1);
    let refused = app.patch("people/ada", "{\"type\":\"person\",\"name\":\"Ada\",\"born\":\"1815\"}").await;
    assert_eq!(refused.problem(), (422, "schema_violation".into()));
    assert!(refused.json()["field"].as_str().unwrap().contains("born"), "{}", refused.text());
    assert_eq!(app.get("/api/v1/nodes/people%2Fada").await.status, 404, "nothing changed");
    assert_eq!(app.patch("people/ada", "{\"type\":\"person\",\"name\":\"Ada\",\"born\":1815}").await.status, 200);
    let line = "{\"soul\":\"people/b\",\"data\":{\"type\":\"person\"}}\n{\"soul\":\"c\",\"data\":{\"x\":1}}\n";
    let ndjson = [(header::CONTENT_TYPE, "application/x-ndjson")];
    let told = app.send(Method::POST, "/api/v1/import", &ndjson, line).await.lines();
    assert!(told.iter().any(|line| line["error"]["code"] == "schema_violation"), "{told:?}");
    assert_eq!(told.last().unwrap()["done"]["nodes"], 1, "the rest is taken: {told:?}");
    for bad in ["", "{", "{\"type\":7}"] {
        let answer = app.send(Method::PUT, "/api/v1/schemas/x", &JSON, bad).await;
        assert!((400..500).contains(&answer.status), "{bad} {}", answer.text());
    }
    app.owner(Method::DELETE, "/api/v1/schemas/person", &json!({}), 204).await;
    let gone = app.send(Method::DELETE, "/api/v1/schemas/person", &[], Body::empty()).await;
    assert_eq!(gone.problem(), (404, "not_found".into()));
    assert_eq!(app.patch("people/ada", "{\"born\":\"1815\"}").await.status, 200);
}

#[tokio::test]
async fn a_content_node_is_what_its_name_says() {
    let app = App::new().await;
    let made = app.send(Method::POST, "/api/v1/content", &JSON, "{\"title\":\"Notes\",\"year\":1843}").await;
    assert_eq!(made.status, 200, "{}", made.text());
    let soul = made.json()["soul"].as_str().unwrap().to_owned();
    assert!(soul.starts_with("#bafy"), "{soul}");
    let path = made.header(header::LOCATION).to_owned();
    assert_eq!(path, format!("/api/v1/nodes/%23{}", &soul[1..]));
    assert_eq!(app.get(&path).await.json()["data"], json!({"title": "Notes", "year": 1843}));
    let again = app.send(Method::PUT, &path, &JSON, "{\"year\":1843,\"title\":\"Notes\"}").await;
    assert_eq!(again.status, 200, "{}", again.text());
    let other = app.send(Method::PUT, &path, &JSON, "{\"title\":\"Notes\",\"year\":1844}").await;
    assert_eq!(other.status, 422, "{}", other.text());
    for (method, body) in [(Method::PATCH, "{\"year\":1844}"), (Method::DELETE, "")] {
        assert_eq!(app.send(method, &path, &JSON, body).await.problem(), (422, "immutable".into()));
    }
    for bad in ["{\"a\":null}", "{\"a\":{\"@set\":[1]}}"] {
        let refused = app.send(Method::POST, "/api/v1/content", &JSON, bad).await;
        assert_eq!((refused.problem(), &refused.json()["field"]), ((422, "bad_value".into()), &json!("a")), "{bad}");
    }
}

#[tokio::test]
async fn a_check_ends_in_done() {
    let app = App::new().await;
    app.patch("a", r##"{"to":{"#":"nowhere"},"x":1}"##).await;
    let answer = app.send(Method::POST, "/api/v1/admin/check", &[], Body::empty()).await;
    assert_eq!((answer.status, answer.header(header::CONTENT_TYPE)), (200, "application/x-ndjson"));
    let lines = answer.lines();
    assert_eq!(lines.last().unwrap()["event"], "done", "{lines:?}");
    assert!(lines.iter().any(|line| line.to_string().contains("nowhere")), "{lines:?}");
    let repaired = app.send(Method::POST, "/api/v1/admin/check?repair=true", &[], Body::empty()).await.lines();
    assert_eq!(repaired.last().unwrap()["event"], "done", "{repaired:?}");
    assert_eq!(app.get("/api/v1/nodes/a").await.json()["data"], json!({"x": 1}));
    assert_eq!(app.send_far(Method::POST, "/api/v1/admin/check", &[]).await.problem().0, 401);
}
