//! Importing an archive of blocks (CAR).

use std::path::Path;

use anyhow::Context as _;
use futures::StreamExt as _;
use reqwest::{Body, Method, header};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::io::ReaderStream;

use super::PIECE_BYTES;
use crate::{
    client::Client,
    output::{Output, Progress, bytes, count},
};

/// Bytes that tell what a file is.
const HEAD_BYTES: u64 = 32;

/// What a file begins with, and the file from its begin again.
pub(super) async fn head(
    mut reader: Box<dyn AsyncRead + Send + Unpin>,
) -> anyhow::Result<(Vec<u8>, Box<dyn AsyncRead + Send + Unpin>)> {
    let mut head = Vec::new();
    (&mut reader).take(HEAD_BYTES).read_to_end(&mut head).await.context("cannot read the file")?;
    let whole = std::io::Cursor::new(head.clone()).chain(reader);
    Ok((head, Box::new(whole)))
}

/// Whether a file is an archive: by its name, or because it begins like one. A graph's first byte is a brace.
pub(super) fn is_one(file: &Path, head: &[u8]) -> bool {
    if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("car")) {
        return true;
    }
    // The length of the header, a varint, then dag-cbor: {"roots": ...} of version 1, {"version": 2} of version 2.
    let length = head.iter().position(|byte| byte & 0x80 == 0).unwrap_or(head.len());
    let header = head.get(length + 1..).unwrap_or_default();
    header.starts_with(b"\xa2eroots") || header.starts_with(b"\xa1gversion\x02")
}

#[derive(Deserialize)]
struct Imported {
    roots: Vec<String>,
    blocks: u64,
    bytes: u64,
}

/// Sends the archive; its roots are the lines of stdout.
pub(super) async fn run(
    client: &Client,
    output: Output,
    reader: Box<dyn AsyncRead + Send + Unpin>,
    total: Option<u64>,
) -> anyhow::Result<()> {
    let progress = Progress::bytes(total);
    let counted = progress.clone();
    let body = ReaderStream::with_capacity(reader, PIECE_BYTES).inspect(move |piece| {
        if let Ok(piece) = piece {
            counted.advance(piece.len() as u64);
        }
    });
    let request = client
        .stream(Method::POST, "/api/v1/blobs")
        .header(header::CONTENT_TYPE, "application/vnd.ipld.car")
        .body(Body::wrap_stream(body));
    let answer = client.text(request).await;
    progress.finish();
    let answer = answer?;
    if output.json {
        return output.line(answer.trim());
    }
    let imported: Imported = serde_json::from_str(&answer).context("the gateway's answer names no roots")?;
    output.say(format!("imported {} blocks, {}, durable", count(imported.blocks), bytes(imported.bytes)));
    imported.roots.iter().try_for_each(|root| output.line(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn archives_are_told_from_graphs() {
        for (file, head, archive) in [
            ("x.car", &b""[..], true),
            ("x.CAR", b"", true),
            ("-", b"\x3a\xa2eroots\x81", true),
            ("-", b"\xbb\x01\xa2eroots\x85", true),
            ("x", b"\x0a\xa1gversion\x02\0\0", true),
            ("x.ndjson", b"{\"soul\":\"people/ada\"}", false),
            ("x", b"", false),
            ("x", b"\xff\xff\xff", false),
        ] {
            assert_eq!(is_one(file.as_ref(), head), archive, "{file} {head:?}");
        }
        let (head, mut whole) = head(Box::new(&b"0123456789012345678901234567890123456789"[..])).await.unwrap();
        let mut read = Vec::new();
        whole.read_to_end(&mut read).await.unwrap();
        assert_eq!((head.len(), read.len()), (32, 40));
    }
}
