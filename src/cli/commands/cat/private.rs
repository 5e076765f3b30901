//! Private files: opened here, so that the gateway never sees the key.

use std::ops::Range;

use anyhow::Context as _;
use reqwest::{Method, Response, StatusCode, header};
use rustdht_wire::private_blob::{FileKey, HEADER_BYTES, Opener, Plan, PrivateBlobError};

use crate::{client::Client, output::Output};

/// Prints a range of the plaintext of the file at `target`. What is printed was authenticated; the end of the file is
/// looked at first, so that a file that was cut is not printed at all.
pub(super) async fn print(
    client: &Client,
    output: Output,
    target: &str,
    key: &FileKey,
    range: Range<u64>,
) -> anyhow::Result<()> {
    let file = File { client, target };
    let begin = file.read(0..HEADER_BYTES as u64).await?;
    let size = size_of(&begin).context("the gateway does not say how large the file is")?;
    let begin = begin.bytes().await.map_err(|error| client.unreachable(&error))?;
    let opener = Opener::new(key, &begin)?;
    file.open(&opener, &Plan::of_last(size)?, |_| Ok(())).await?;
    let plan = Plan::of(size, range)?;
    if plan.length() > 0 {
        file.open(&opener, &plan, |plaintext| output.raw(plaintext)).await?;
    }
    output.flush()
}

/// The file's size, out of an answer to a range of it (RFC 9110 section 14.4).
fn size_of(answer: &Response) -> Option<u64> {
    let range = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.rsplit_once('/')?.1.parse().ok()
}

/// Ciphertext at a gateway.
struct File<'a> {
    client: &'a Client,
    target: &'a str,
}

impl File<'_> {
    async fn read(&self, range: Range<u64>) -> anyhow::Result<Response> {
        let range = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let request = self.client.stream(Method::GET, self.target).header(header::RANGE, range);
        let answer = self.client.send(request).await?;
        anyhow::ensure!(
            answer.status() == StatusCode::PARTIAL_CONTENT,
            "the gateway ignored the range; a proxy in between may not pass it on"
        );
        Ok(answer)
    }

    async fn open(
        &self,
        opener: &Opener,
        plan: &Plan,
        mut show: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut answer = self.read(plan.ciphertext.clone()).await?;
        let mut opening = opener.open(plan);
        while let Some(piece) = answer.chunk().await.map_err(|error| self.client.unreachable(&error))? {
            let mut left = &*piece;
            while !left.is_empty() {
                if let Some(plaintext) = opening.take(&mut left)? {
                    show(&plaintext)?;
                }
            }
        }
        opening.end().map_err(|error: PrivateBlobError| error.into())
    }
}
