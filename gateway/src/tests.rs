//! The whole router over a real node, whose ports are fakes.

mod accounts;
mod authority;
mod bulk;
mod commits;
mod doors;
mod files;
mod ipfs;
mod kinds;
mod live;
mod nodes;
mod pins;
mod previews;
mod private_files;
mod routing;
mod slow;
mod sockets;
mod store;
mod tokens;
mod tus;
mod uploads;
mod yjs;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use http_body_util::BodyExt;
use rustdht_blobs::Previewer;
use rustdht_core::{Mode, Soul};
use rustdht_node::{At, Config as NodeConfig, Founding, Node, PinsConfig, Ports, RenderOptions};
use rustdht_testkit::{ManualClock, MemoryStore, Recorder, SeededEntropy, TempBlobs};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{Anonymous, Config, Readiness, Registration, Secret, State, System, router};

const NOW_MS: u64 = 1_795_000_000_000;
const TOKEN: &str = "a token that is long enough";

struct App {
    router: Router,
    node: Node,
    state: State,
    clock: Arc<ManualClock>,
    readiness: Readiness,
    stopping: CancellationToken,
    blobs: Arc<TempBlobs>,
}

/// An answer with its body read.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: impl axum::http::header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and code; every error is a problem with both.
    #[track_caller]
    fn problem(&self) -> (u16, String) {
        let json = self.json();
        assert_eq!(self.header(header::CONTENT_TYPE), "application/problem+json", "{json}");
        assert_eq!(json["status"], self.status);
        assert_eq!(json["type"], format!("/errors/{}", json["code"].as_str().unwrap()));
        assert!(json["title"].is_string() && !json["detail"].as_str().unwrap().is_empty());
        (self.status, json["code"].as_str().unwrap().to_owned())
    }

    fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl App {
    async fn new() -> Self {
        Self::with(Config { owner_token: Some(Secret::new(TOKEN)), ..Config::default() }).await
    }

    async fn with(config: Config) -> Self {
        Self::keeping(config, PinsConfig::default()).await
    }

    async fn keeping(config: Config, pins: PinsConfig) -> Self {
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let entropy = Arc::new(SeededEntropy::new(1));
        let blobs = Arc::new(TempBlobs::default());
        let ports = Ports {
            store: Arc::new(MemoryStore::default()),
            blobs: blobs.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        };
        let founding = Founding::Found { name: "test".into(), mode: Mode::Members };
        let node_config = NodeConfig { pins, ..NodeConfig::new(founding, [0; 32], [9; 32].into()) };
        let (node, tasks) = Node::start(ports, node_config).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends with the test")]
        drop(tokio::spawn(tasks.run()));
        node.bind(Arc::new(Recorder::default()));
        let system = System { clock: clock.clone(), entropy };
        // The founder enters itself among the members; tests begin after that.
        let community = Soul::of_key(node.identity().community);
        while node.get(&community, At::Local, RenderOptions::default()).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        let (readiness, stopping) = (Readiness::default(), CancellationToken::new());
        let state = State::new(node.clone(), config, system, readiness.clone(), None, stopping.clone()).unwrap();
        state.bind_uploads(Arc::new(blobs.store().clone()));
        state.bind_previews(Arc::new(Previewer::new(blobs.store().clone())));
        Self { router: router(state.clone()), node, state, clock, readiness, stopping, blobs }
    }

    /// Another gateway over the same node, which remembers nothing of this one.
    fn beside(&self) -> Self {
        let system = System { clock: self.clock.clone(), entropy: Arc::new(SeededEntropy::new(2)) };
        let (node, readiness, stopping) = (self.node.clone(), self.readiness.clone(), self.stopping.clone());
        let config = Config { owner_token: Some(Secret::new(TOKEN)), ..Config::default() };
        let state = State::new(node.clone(), config, system, readiness.clone(), None, stopping.clone()).unwrap();
        state.bind_uploads(Arc::new(self.blobs.store().clone()));
        let (clock, blobs) = (self.clock.clone(), self.blobs.clone());
        Self { router: router(state.clone()), node, state, clock, readiness, stopping, blobs }
    }

    /// Sends a request as a direct caller on loopback, who is the owner.
    async fn send(&self, method: Method, path: &str, headers: &[(HeaderName, &str)], body: impl Into<Body>) -> Answer {
        let owner = [(header::HOST, "127.0.0.1:8480")];
        self.send_from("127.0.0.1:5000", method, path, &[&owner, headers].concat(), body).await
    }

    /// Sends a request as somebody elsewhere without a token.
    async fn send_far(&self, method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Answer {
        let far = [(header::HOST, "node.example")];
        self.send_from("203.0.113.9:5000", method, path, &[&far, headers].concat(), Body::empty()).await
    }

    async fn send_from(
        &self,
        peer: &str,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let response = self.open(peer, method, path, headers, body).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn open(
        &self,
        peer: &str,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: impl Into<Body>,
    ) -> Response {
        let mut request = Request::new(body.into());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Sends JSON as somebody elsewhere who holds a token; an empty one is left out, as is an empty body.
    async fn with_token(&self, token: &str, method: Method, path: &str, json: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![(header::HOST, "node.example")];
        if !token.is_empty() {
            headers.push((header::AUTHORIZATION, bearer.as_str()));
        }
        if !json.is_empty() {
            headers.push(JSON[0].clone());
        }
        self.send_from("203.0.113.9:5000", method, path, &headers, json.to_owned()).await
    }

    /// Sends JSON as the owner and expects `status`.
    #[track_caller]
    fn owner(&self, method: Method, path: &str, json: &Value, status: u16) -> impl Future<Output = Value> {
        let (path, json) = (path.to_owned(), json.to_string());
        async move {
            let answer = self.send(method, &path, &JSON, json).await;
            assert_eq!(answer.status, status, "{}", answer.text());
            if answer.body.is_empty() { Value::Null } else { answer.json() }
        }
    }

    /// Makes an account; its key.
    async fn account(&self, name: &str) -> String {
        let made = self.owner(Method::POST, "/api/v1/accounts", &json!({ "name": name }), 201).await;
        made["key"].as_str().unwrap().to_owned()
    }

    /// Makes a token of an account; its text.
    async fn token(&self, user: &str, scopes: &[&str], prefixes: &[&str]) -> String {
        let body = json!({ "user": user, "scopes": scopes, "prefixes": prefixes });
        let made = self.owner(Method::POST, "/api/v1/tokens", &body, 201).await;
        made["token"].as_str().unwrap().to_owned()
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Body::empty()).await
    }

    async fn patch(&self, soul: &str, json: &str) -> Answer {
        let path = format!("/api/v1/nodes/{}", soul.replace('/', "%2F"));
        self.send(Method::PATCH, &path, &[(header::CONTENT_TYPE, "application/json")], json.to_owned()).await
    }
}

const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

/// Lets time pass that is paused. It does not pass by itself beside the store's threads.
async fn pass(time: std::time::Duration) {
    tokio::time::advance(time).await;
    // So that the runtime looks at what is due.
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}
