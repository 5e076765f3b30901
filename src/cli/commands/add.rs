//! `rustdht add`

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use futures::StreamExt as _;
use reqwest::{Body, Method, header};
use serde::Deserialize;
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use crate::{
    args::Global,
    output::{Progress, bytes, rate},
};

/// Bytes read from the file at once.
const PIECE_BYTES: usize = 512 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = "The CID is the last line of stdout.

Examples:
  rustdht add photo.jpg
  cid=$(tar c folder | rustdht add -)")]
pub(crate) struct Arguments {
    /// The file, or `-` for stdin
    file: PathBuf,
    /// How the file is cut: 1 MiB chunks (unixfs-v1-2025) or 256 KiB chunks (legacy, Kubo's older default)
    #[arg(long, value_parser = ["unixfs-v1-2025", "legacy"], default_value = "unixfs-v1-2025")]
    profile: String,
}

#[derive(Deserialize)]
struct Added {
    cid: String,
    size: u64,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    let output = global.output();
    let (reader, total) = open(&arguments.file).await?;
    let progress = Progress::bytes(total);
    let counted = progress.clone();
    let body = ReaderStream::with_capacity(reader, PIECE_BYTES).inspect(move |piece| {
        if let Ok(piece) = piece {
            counted.advance(piece.len() as u64);
        }
    });
    let path = if arguments.profile == "legacy" { "/api/v1/blobs?profile=legacy" } else { "/api/v1/blobs" };
    let started = tokio::time::Instant::now();
    let request = client
        .stream(Method::POST, path)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .body(Body::wrap_stream(body));
    let answer = client.text(request).await;
    progress.finish();
    let answer = answer?;
    if output.json {
        return output.line(answer.trim());
    }
    let added: Added = serde_json::from_str(&answer).context("the gateway's answer names no CID")?;
    output.say(summary(added.size, started.elapsed()));
    output.say(format!("{}/ipfs/{}", client.base(), added.cid));
    output.line(added.cid)
}

/// The file, or stdin for `-`, and its size where it has one.
pub(super) async fn open(file: &PathBuf) -> anyhow::Result<(Box<dyn AsyncRead + Send + Unpin>, Option<u64>)> {
    if file.as_os_str() == "-" {
        return Ok((Box::new(tokio::io::stdin()), None));
    }
    let opened = tokio::fs::File::open(file).await.with_context(|| format!("cannot open {}", file.display()))?;
    let meta = opened.metadata().await.with_context(|| format!("cannot read {}", file.display()))?;
    anyhow::ensure!(!meta.is_dir(), "{} is a folder; only files can be read", file.display());
    Ok((Box::new(opened), meta.is_file().then_some(meta.len())))
}

fn summary(size: u64, elapsed: Duration) -> String {
    format!("added {} at {}/s", bytes(size), bytes(rate(size, elapsed)))
}
