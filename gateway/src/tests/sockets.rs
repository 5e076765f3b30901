//! What only a real connection shows.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::*;
use crate::serve;

struct Served {
    app: App,
    address: SocketAddr,
    server: JoinSet<()>,
}

async fn start() -> Served {
    let app = App::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(serve(listener, app.router.clone(), app.stopping.clone()));
    Served { app, address, server }
}

impl Served {
    async fn connect(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("{head}\r\nHost: {}\r\nConnection: close\r\n", self.address).into_bytes();
        stream.write_all(&head).await.unwrap();
        stream
    }
}

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_body_cut_off_half_way_is_a_problem_and_changes_nothing() {
    let served = start().await;
    for head in ["PATCH /api/v1/nodes/a HTTP/1.1\r\nContent-Type: application/json", "POST /api/v1/blobs HTTP/1.1"] {
        let mut stream = served.connect(head).await;
        stream.write_all(b"Content-Length: 100\r\n\r\n{\"x\":1}").await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("\"body_incomplete\""), "{answer}");
    }
    assert_eq!(served.app.get("/api/v1/export?prefix=a").await.text(), "");
    assert_eq!(served.app.node.blobs().totals().await, (0, 0));
}

#[tokio::test]
async fn an_import_waits_for_no_client_that_waits_for_continue() {
    let served = start().await;
    let mut stream = served.connect("POST /api/v1/import HTTP/1.1").await;
    let line = b"{\"soul\":\"a\",\"data\":{\"x\":1}}\n";
    let head = format!("Content-Length: {}\r\nExpect: 100-continue\r\n\r\n", line.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(line).await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"done\""), "{answer}");
}

#[tokio::test]
async fn a_stop_ends_watches_and_the_server_at_once() {
    let mut served = start().await;
    let mut stream = served.connect("GET /api/v1/watch HTTP/1.1").await;
    stream.write_all(b"\r\n").await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    served.app.stopping.cancel();
    rest(stream).await;
    served.server.join_next().await.unwrap().unwrap();
}
