//! The yardstick of `tests/bench/http`: the least that an axum server must do for the same answers.
//!
//! ```text
//! bare BODY_FILE APPEND_FILE       prints its address, serves until it is killed
//! GET   /api/v1/nodes/{soul}       the bytes of BODY_FILE
//! PATCH /api/v1/nodes/{soul}       appends the body to APPEND_FILE, answers it once it is on disk
//! ```
//!
//! Concurrent PATCHes share one flush: a single writer takes every body that waits, writes them, flushes once and then
//! answers them all.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    process::ExitCode,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
    serve::ListenerExt,
};
use bytes::Bytes;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

/// Bodies that wait for the writer; more wait in their handlers.
const QUEUE: usize = 1024;

/// A body, and whom to tell that it is on disk.
type Append = (Bytes, oneshot::Sender<()>);

#[derive(Clone)]
struct Bare {
    body: Bytes,
    appends: mpsc::Sender<Append>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(body), Some(append)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "usage: bare BODY_FILE APPEND_FILE"));
    };
    let body = std::fs::read(body)?.into();
    let file = OpenOptions::new().create(true).append(true).open(append)?;
    let (appends, waiting) = mpsc::channel(QUEUE);
    let writer = std::thread::spawn(move || write(file, waiting));

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(io::stdout(), "http://{}", listener.local_addr()?)?;
    let nodes = get(read).patch(patch);
    let router = Router::new().route("/api/v1/nodes/{soul}", nodes).with_state(Bare { body, appends });
    let listener = listener.tap_io(|stream| {
        // Without it the two servers would differ in Nagle's delay; a failure shows in the numbers only.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await?;
    writer.join().map_err(|_| io::Error::other("the writer panicked"))?
}

async fn read(State(bare): State<Bare>) -> Response {
    ([(CONTENT_TYPE, "application/json")], bare.body).into_response()
}

async fn patch(State(bare): State<Bare>, body: Bytes) -> Response {
    let (done, flushed) = oneshot::channel();
    let queued = bare.appends.send((body.clone(), done)).await.is_ok();
    if queued && flushed.await.is_ok() {
        ([(CONTENT_TYPE, "application/json")], body).into_response()
    } else {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

fn write(mut file: File, mut waiting: mpsc::Receiver<Append>) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut answers = Vec::new();
    while let Some(first) = waiting.blocking_recv() {
        let mut next = Some(first);
        while let Some((body, done)) = next {
            bytes.extend_from_slice(&body);
            bytes.push(b'\n');
            answers.push(done);
            next = waiting.try_recv().ok();
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        bytes.clear();
        for done in answers.drain(..) {
            // A client that went away wants no answer.
            let _ = done.send(());
        }
    }
    Ok(())
}
