//! Watches over HTTP.

use futures::{Stream, StreamExt};

use super::*;

async fn watch(app: &App, query: &str, headers: &[(HeaderName, &str)]) -> impl Stream<Item = String> + Unpin {
    let host = [(header::HOST, "127.0.0.1:8480")];
    let path = format!("/api/v1/watch{query}");
    let response = app.open("127.0.0.1:5000", Method::GET, &path, &[&host, headers].concat(), "").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    response.into_body().into_data_stream().map(|piece| String::from_utf8(piece.unwrap().to_vec()).unwrap())
}

fn field<'e>(event: &'e str, name: &str) -> &'e str {
    event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or("")
}

#[tokio::test]
async fn changes_come_with_the_node_and_resume_by_id() {
    let app = App::new().await;
    let mut events = watch(&app, "?prefix=a", &[]).await;
    let ready = events.next().await.unwrap();
    assert_eq!((field(&ready, "id"), field(&ready, "data")), (app.node.last_feed().to_string().as_str(), ""));
    app.patch("b", r#"{"x":1}"#).await;
    app.patch("a1", r#"{"x":1}"#).await;
    let event = events.next().await.unwrap();
    assert_eq!(field(&event, "event"), "change");
    let data: Value = serde_json::from_str(field(&event, "data")).unwrap();
    assert_eq!((&data["soul"], &data["fields"][0], &data["node"]["data"]["x"]), (&"a1".into(), &"x".into(), &1.into()));
    let id = field(&event, "id").to_owned();
    drop(events);

    app.patch("a2", r#"{"y":2}"#).await;
    app.send(Method::DELETE, "/api/v1/nodes/a1", &[], "").await;
    let last = [(HeaderName::from_static("last-event-id"), id.as_str())];
    let mut events = watch(&app, "?prefix=a", &last).await;
    assert_eq!(field(&events.next().await.unwrap(), "id"), id);
    let second = events.next().await.unwrap();
    assert!(field(&second, "data").starts_with("{\"soul\":\"a2\""), "{second}");
    let third: Value = serde_json::from_str(field(&events.next().await.unwrap(), "data")).unwrap();
    assert_eq!((&third["soul"], &third["node"]), (&"a1".into(), &Value::Null));
}

#[tokio::test]
async fn a_client_that_goes_inside_a_commit_is_told_of_it_again() {
    let app = App::new().await;
    let mut events = watch(&app, "?prefix=n/", &[]).await;
    events.next().await.unwrap();
    let ops =
        r#"{"ops":[{"op":"set","soul":"n/a","field":"x","value":1},{"op":"set","soul":"n/b","field":"x","value":1}]}"#;
    app.send(Method::POST, "/api/v1/commits", &JSON, ops).await;
    let last = app.node.last_feed();
    assert_eq!(field(&events.next().await.unwrap(), "id"), (last - 1).to_string());
    assert_eq!(field(&events.next().await.unwrap(), "id"), last.to_string());
}

#[tokio::test]
async fn a_stop_ends_watches_at_once() {
    let app = App::new().await;
    let mut events = watch(&app, "?soul=a", &[]).await;
    events.next().await.unwrap();
    app.stopping.cancel();
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn watches_are_bounded_and_checked() {
    let app = App::new().await;
    assert_eq!(app.get("/api/v1/watch?soul=").await.problem(), (422, "bad_soul".into()));
    let bad = [(HeaderName::from_static("last-event-id"), "x")];
    assert_eq!(app.send(Method::GET, "/api/v1/watch", &bad, "").await.problem(), (400, "malformed".into()));
    let mut open = Vec::new();
    for _ in 0..crate::limits::MAX_WATCHERS {
        open.push(watch(&app, "", &[]).await);
    }
    let one_more = app.get("/api/v1/watch").await;
    assert_eq!(one_more.problem(), (503, "overloaded".into()));
    assert_eq!(one_more.header(header::RETRY_AFTER), "1");
    open.pop();
    drop(watch(&app, "", &[]).await);
}
