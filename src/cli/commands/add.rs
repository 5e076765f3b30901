//! `rustdht add`

mod form;
mod walk;

use std::{
    io,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use reqwest::{Body, Method, RequestBuilder, header};
use rustdht_wire::private_blob::{FileKey, PrivateLink};
use serde::Deserialize;
use tokio::{io::AsyncRead, sync::mpsc, task::JoinSet};
use tokio_util::io::ReaderStream;

use crate::{
    args::Global,
    client::Client,
    output::{Output, Progress, bytes, rate},
    serve::OsEntropy,
};

/// Bytes read from the file at once.
const PIECE_BYTES: usize = 512 * 1024;
/// Pieces that wait to be sent.
const PIECES_AHEAD: usize = 4;

#[derive(Debug, clap::Args)]
#[command(after_help = "The CID is the last line of stdout; of several PATHs, each has its line.
A folder's symbolic links are kept, not followed.
A private file is encrypted here, under a key of its own that is printed and kept nowhere: the line before the CID is
the link with the key, with which `rustdht cat` opens the file.

Examples:
  rustdht add photo.jpg
  rustdht add -r website
  rustdht add --private diary.pdf
  cid=$(tar c folder | rustdht add -)")]
pub(crate) struct Arguments {
    /// What to add: files, folders with -r, or `-` for stdin
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Add folders with everything in them
    #[arg(short, long)]
    recursive: bool,
    /// Add what begins with a dot in a folder too
    #[arg(short = 'H', long)]
    hidden: bool,
    /// Encrypt the file here, so that the gateway sees neither it nor its key
    #[arg(long, conflicts_with = "recursive")]
    private: bool,
    /// How files and folders become blocks: 1 MiB chunks (unixfs-v1-2025) or 256 KiB chunks (legacy, Kubo's older default)
    #[arg(long, value_parser = ["unixfs-v1-2025", "legacy"], default_value = "unixfs-v1-2025")]
    profile: String,
    /// What blocks are hashed with
    #[arg(long, value_parser = ["sha2-256", "blake3"], default_value = "sha2-256")]
    hash: String,
}

impl Arguments {
    /// The path of the request, which says what the gateway's own defaults do not.
    fn target(&self) -> String {
        let mut query = Vec::new();
        if self.profile == "legacy" {
            query.push("profile=legacy");
        }
        if self.hash == "blake3" {
            query.push("hash=blake3");
        }
        let query = query.join("&");
        if query.is_empty() { "/api/v1/blobs".to_owned() } else { format!("/api/v1/blobs?{query}") }
    }
}

#[derive(Deserialize)]
struct Added {
    cid: String,
    size: u64,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    let output = global.output();
    for path in &arguments.paths {
        let started = tokio::time::Instant::now();
        let Upload { request, progress, failure, key } = upload(&client, &arguments, path).await?;
        let answer = client.text(request).await;
        progress.finish();
        if let (Err(_), Some(failure)) = (&answer, failure.get()) {
            // What the connection was lost for.
            anyhow::bail!("{failure}");
        }
        let answer = answer?;
        if let Some(key) = key {
            print_private(output, &answer, key, path, started.elapsed())?;
            continue;
        }
        if output.json {
            output.line(answer.trim())?;
            continue;
        }
        let added: Added = serde_json::from_str(&answer).context("the gateway's answer names no CID")?;
        output.say(summary(added.size, started.elapsed()));
        output.say(format!("{}/ipfs/{}", client.base(), added.cid));
        output.line(added.cid)?;
    }
    Ok(())
}

/// Prints what a private file needs to be read again.
fn print_private(output: Output, answer: &str, key: FileKey, path: &Path, elapsed: Duration) -> anyhow::Result<()> {
    let added: Added = serde_json::from_str(answer).context("the gateway's answer names no CID")?;
    let cid = added.cid.parse().context("the gateway's answer names no CID")?;
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| *name != "-");
    let link = PrivateLink::new(cid, key).described(None, name);
    if output.json {
        let (key, text) = (link.key.to_text(), link.to_text());
        return output
            .line(serde_json::json!({ "cid": added.cid, "stored": added.size, "key": key, "link": text }).to_string());
    }
    output.say(summary(added.size, elapsed));
    output.say("whoever has the link reads the file; the key is kept nowhere");
    output.line(link.to_text())?;
    output.line(added.cid)
}

/// The request that adds a path.
struct Upload {
    request: RequestBuilder,
    /// The bar that its body moves.
    progress: Progress,
    /// Why the body broke off, when it was for something here.
    failure: Arc<OnceLock<String>>,
    /// Under which the body is encrypted.
    key: Option<FileKey>,
}

async fn upload(client: &Client, arguments: &Arguments, path: &Path) -> anyhow::Result<Upload> {
    let request = client.stream(Method::POST, &arguments.target());
    let failure = Arc::default();
    if arguments.recursive && walk::is_tree(path).await? {
        let tree = walk::Tree::of(path, arguments.hidden).await?;
        let progress = Progress::bytes(None);
        let form = form::Form::new(tree, progress.clone(), Arc::clone(&failure));
        let request = request.header(header::CONTENT_TYPE, form.content_type());
        let request = request.body(Body::wrap_stream(form.into_stream()));
        return Ok(Upload { request, progress, failure, key: None });
    }
    let (reader, total) = open(path).await?;
    let progress = Progress::bytes(total);
    let counted = progress.clone();
    let body = ahead(ReaderStream::with_capacity(reader, PIECE_BYTES)).inspect(move |piece| {
        if let Ok(piece) = piece {
            counted.advance(piece.len() as u64);
        }
    });
    let request = request.header(header::CONTENT_TYPE, "application/octet-stream");
    if arguments.private {
        let key = FileKey::generate(&OsEntropy);
        let body = rustdht_node::encrypted(body, &key, &OsEntropy);
        let request = request.body(Body::wrap_stream(body));
        return Ok(Upload { request, progress, failure, key: Some(key) });
    }
    // The length beforehand: no chunks to be taken apart, and what a quota has no room for is refused before it is sent. Files
    // of the kernel have content and no length.
    let request = match total.filter(|total| *total > 0) {
        Some(total) => request.header(header::CONTENT_LENGTH, total),
        None => request,
    };
    Ok(Upload { request: request.body(Body::wrap_stream(body)), progress, failure, key: None })
}

/// Reads on while what was read is being sent: one after the other, a file is added a third slower.
fn ahead(
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let reading = JoinSet::from_iter([async move {
        let mut pieces = pin!(pieces);
        while let Some(piece) = pieces.next().await {
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    }]);
    // The set ends the reading when the stream is dropped.
    Box::pin(stream::unfold((receiver, reading), |(mut receiver, mut reading)| async move {
        let piece = match receiver.recv().await {
            Some(piece) => piece,
            // An end is one only if the reading came to it.
            None => Err(io::Error::other(reading.join_next().await?.err()?)),
        };
        Some((piece, (receiver, reading)))
    }))
}

/// The file, or stdin for `-`, and its size where it has one.
pub(super) async fn open(file: &Path) -> anyhow::Result<(Box<dyn AsyncRead + Send + Unpin>, Option<u64>)> {
    if file.as_os_str() == "-" {
        return Ok((Box::new(tokio::io::stdin()), None));
    }
    let opened = tokio::fs::File::open(file).await.with_context(|| format!("cannot open {}", file.display()))?;
    let meta = opened.metadata().await.with_context(|| format!("cannot read {}", file.display()))?;
    anyhow::ensure!(!meta.is_dir(), "{} is a folder; `rustdht add -r` adds folders", file.display());
    Ok((Box::new(opened), meta.is_file().then_some(meta.len())))
}

fn summary(size: u64, elapsed: Duration) -> String {
    format!("added {} at {}/s", bytes(size), bytes(rate(size, elapsed)))
}
