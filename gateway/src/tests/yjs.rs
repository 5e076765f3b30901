//! The Yjs door over real connections, frame by frame (RFC 6455).

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use rustdht_node::MAX_DOCUMENT_FRAME_BYTES;

use super::*;
use crate::{limits, serve};

const BINARY: u8 = 2;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
/// What a client with an empty document says first, and how it answers the gateway's first step.
const STEP_1: &[u8] = &[0, 0, 1, 0];
/// Client 1 inserts `a` into the root text `text`.
const UPDATE: &[u8] = &[0, 2, 14, 1, 1, 1, 0, 4, 1, 4, b't', b'e', b'x', b't', 1, b'a', 0];

struct Served {
    app: App,
    address: SocketAddr,
    _server: JoinSet<()>,
}

async fn start() -> Served {
    let app = App::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(serve(listener, app.router.clone(), app.stopping.clone()));
    Served { app, address, _server: server }
}

struct Client(TcpStream);

impl Served {
    /// The head of the answer to an upgrade, and the connection.
    async fn upgrade(&self, path: &str, more: &str) -> (String, Client) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "GET /api/v1/yjs/{path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        (String::from_utf8(answer).unwrap(), Client(stream))
    }

    async fn open(&self, path: &str) -> Client {
        let (answer, client) = self.upgrade(path, "").await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        client
    }

    async fn status(&self, path: &str, more: &str) -> u16 {
        let (answer, _) = self.upgrade(path, more).await;
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

impl Client {
    async fn send(&mut self, kind: u8, body: &[u8]) {
        let mut frame = vec![0x80 | kind];
        match body.len() {
            small @ 0..126 => frame.push(0x80 | u8::try_from(small).unwrap()),
            large => {
                frame.push(0x80 | 127);
                frame.extend((large as u64).to_be_bytes());
            }
        }
        // A mask of zeros leaves the body as it is.
        frame.extend([0; 4]);
        frame.extend(body);
        self.0.write_all(&frame).await.unwrap();
    }

    /// The next frame but pings.
    async fn next(&mut self) -> (u8, Vec<u8>) {
        loop {
            let kind = self.0.read_u8().await.unwrap() & 0xf;
            let len = match self.0.read_u8().await.unwrap() & 0x7f {
                126 => u64::from(self.0.read_u16().await.unwrap()),
                127 => self.0.read_u64().await.unwrap(),
                len => u64::from(len),
            };
            let mut body = vec![0; usize::try_from(len).unwrap()];
            self.0.read_exact(&mut body).await.unwrap();
            if kind != 9 {
                return (kind, body);
            }
        }
    }

    async fn frame(&mut self) -> Vec<u8> {
        let (kind, body) = self.next().await;
        assert_eq!(kind, BINARY, "{body:?}");
        body
    }

    async fn close(&mut self) -> u16 {
        loop {
            let (kind, body) = self.next().await;
            if kind == CLOSE {
                return u16::from_be_bytes([body[0], body[1]]);
            }
        }
    }
}

#[tokio::test]
async fn editors_meet_in_a_document() {
    let served = start().await;
    let mut ada = served.open("pages%2Fada/t").await;
    assert_eq!(ada.frame().await, STEP_1, "the gateway asks for what it lacks");
    ada.send(BINARY, STEP_1).await;
    assert_eq!(ada.frame().await, [0, 1, 2, 0, 0]);
    let mut bob = served.open("pages%2Fada/t").await;
    bob.frame().await;
    ada.send(BINARY, UPDATE).await;
    assert_eq!(ada.frame().await, bob.frame().await, "the sender is told when it is durable");
    drop((ada, bob));
    // Signed when everybody went; the next one finds it.
    let path = "/api/v1/nodes/pages%2Fada?at=local";
    while served.app.get(path).await.status != 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(served.app.get(path).await.json()["data"]["t"]["@text"], "a");
}

#[tokio::test]
async fn what_is_no_document_is_refused_before_the_upgrade() {
    let served = start().await;
    served.app.patch("n", r#"{"x":"a register"}"#).await;
    assert_eq!(served.status("n/x", "").await, 409);
    assert_eq!(served.status("n/y", "Origin: https://evil.example\r\n").await, 403);
    assert_eq!(served.status("n/y", "Authorization: Bearer wrong\r\n").await, 401);
    assert_eq!(served.status("%5E/y", "").await, 422);
    assert_eq!(served.status("_%2Fn/y", "X-Forwarded-For: 203.0.113.9\r\n").await / 100, 4);
    let plain = served.app.get("/api/v1/yjs/n/y").await;
    assert_eq!(plain.problem(), (400, "malformed".into()));
    assert_eq!(served.app.node.open_documents(), 0);
}

#[tokio::test]
async fn a_reader_is_told_that_he_may_not_write() {
    let served = start().await;
    let (answer, mut client) = served.upgrade("n/t", "X-Forwarded-For: 203.0.113.9\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101"), "anybody may watch: {answer}");
    client.frame().await;
    client.send(BINARY, UPDATE).await;
    assert_eq!(client.frame().await[..2], [2, 0]);
}

#[tokio::test]
async fn connections_end_with_their_code() {
    let served = start().await;
    for (kind, body, code) in [
        (TEXT, b"hello".to_vec(), 1007),
        (BINARY, vec![0, 7], 1007),
        (BINARY, vec![0; MAX_DOCUMENT_FRAME_BYTES + 1], 4413),
    ] {
        let mut client = served.open("n/t").await;
        client.send(kind, &body).await;
        assert_eq!(client.close().await, code);
    }
    let mut open = served.open("n/t").await;
    served.app.stopping.cancel();
    assert_eq!(open.close().await, 1001);
}

#[tokio::test]
async fn editors_are_bounded() {
    let served = start().await;
    let mut open = Vec::new();
    for _ in 0..limits::MAX_EDITORS {
        open.push(served.open("n/t").await);
    }
    assert_eq!(served.status("n/t", "").await, 503);
    let mut left = open.pop().unwrap();
    left.send(CLOSE, &1000_u16.to_be_bytes()).await;
    while served.status("n/t", "").await != 101 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
