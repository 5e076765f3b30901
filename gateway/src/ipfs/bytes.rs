//! Answers that are bytes of a known size: whole, a range, or several (RFC 9110 section 14).

use std::{ops::Range, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use rustdht_core::ports::{BlobError, BoxByteStream, DagStore, Fetch};
use rustdht_node::PrivateFile;

use super::{conditional::Version, fault, flow, range, range::Wanted, serve::Ask};
use crate::{State, limits, mime, problem::Problem};

/// Where bytes come from.
pub(super) enum Source {
    /// A block, or part of one.
    Held(Bytes),
    /// A file of this size.
    File(Arc<dyn DagStore>, cid::Cid, u64),
    /// A file that is opened on the way.
    Private(PrivateFile),
}

impl Source {
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::File(.., size) => *size,
            Self::Private(file) => file.size(),
        }
    }

    const fn is_streamed(&self) -> bool {
        !matches!(self, Self::Held(_))
    }

    /// The first bytes, enough to tell a type.
    pub(super) async fn head(&self) -> Result<Bytes, BlobError> {
        let mut pieces = self.read(0..self.size().min(limits::SNIFF_BYTES as u64)).await?;
        let mut head = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            head.extend_from_slice(&piece?);
        }
        Ok(head.freeze())
    }

    async fn read(&self, range: Range<u64>) -> Result<BoxByteStream, BlobError> {
        match self {
            Self::Held(bytes) => {
                let at = |end: u64| usize::try_from(end).unwrap_or(usize::MAX).min(bytes.len());
                Ok(stream::iter([Ok(bytes.slice(at(range.start)..at(range.end)))]).boxed())
            }
            Self::File(store, cid, _) => store.read(cid, range).await,
            Self::Private(file) => file.read(range).await,
        }
    }
}

/// An answer of bytes, before its range is known.
pub(super) struct Answer {
    pub(super) source: Source,
    /// 200, or what a website's rules say.
    pub(super) status: StatusCode,
    pub(super) version: Version,
    /// All headers but those of ranges and lengths; without a type, the first bytes tell it.
    pub(super) headers: HeaderMap,
}

impl Answer {
    /// Answers, as far as the request asks.
    ///
    /// # Errors
    /// `range_not_satisfiable`, and what reading the first bytes can show: `not_found`, `timed_out`.
    pub(super) async fn send(mut self, state: &State, ask: &Ask) -> Result<Response, Problem> {
        let size = self.source.size();
        if self.status == StatusCode::OK {
            self.headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        if size == 0 {
            self.headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain"));
        }
        // Ranges are defined for GET alone (RFC 9110 section 14.2), and of what was asked for, not of a page about it.
        let wanted = if ask.head || self.status != StatusCode::OK {
            Wanted::Whole
        } else {
            let modified = self.version.modified.as_ref().map(|modified| modified.text.as_str());
            range::of_request(&ask.headers, size, &self.version.tag, modified)
        };
        self.look(ask, &wanted).await;
        match wanted {
            Wanted::Unsatisfiable => Err(Problem::out_of_range(size)),
            Wanted::Whole => self.part(state, ask, 0..size).await,
            Wanted::Parts(parts) => {
                self.status = StatusCode::PARTIAL_CONTENT;
                match <[_; 1]>::try_from(parts) {
                    Ok([part]) => {
                        self.headers.insert(header::CONTENT_RANGE, content_range(&part, size));
                        self.part(state, ask, part).await
                    }
                    Err(parts) => Ok(self.several(state, ask, parts)),
                }
            }
        }
    }

    /// Reads the first bytes where the type is not known and the answer does not begin with them.
    async fn look(&mut self, ask: &Ask, wanted: &Wanted) {
        let begins = match wanted {
            Wanted::Whole => !ask.head && self.source.is_streamed(),
            Wanted::Parts(parts) => parts.len() == 1 && parts[0].start == 0 && self.source.is_streamed(),
            Wanted::Unsatisfiable => true,
        };
        if begins || self.headers.contains_key(header::CONTENT_TYPE) {
            return;
        }
        // A range further on must not fail because the first block is missing.
        let head = tokio::time::timeout(limits::SNIFF_WAIT, self.source.head()).await;
        media_of(&mut self.headers, &head.ok().and_then(Result::ok).unwrap_or_default());
    }

    async fn part(self, state: &State, ask: &Ask, part: Range<u64>) -> Result<Response, Problem> {
        let mut headers = self.headers;
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
        let body = if ask.head || part.is_empty() {
            Body::empty()
        } else {
            let bytes = fault::within(state, self.source.read(part.clone())).await?;
            let bytes = bytes.map_err(|error| fault::of_blob(error, Fetch::Allowed))?;
            let (first, bytes) = flow::begun(state, bytes).await?;
            if part.start == 0 {
                media_of(&mut headers, &first);
            }
            flow::body(state, ask, bytes)
        };
        Ok((self.status, headers, body).into_response())
    }

    /// Several ranges as `multipart/byteranges`.
    fn several(self, state: &State, ask: &Ask, parts: Vec<Range<u64>>) -> Response {
        let size = self.source.size();
        let media = self
            .headers
            .get(header::CONTENT_TYPE)
            .cloned()
            .unwrap_or(HeaderValue::from_static("application/octet-stream"));
        let media = media.to_str().unwrap_or_default().to_owned();
        // It cannot stand in the content by chance, and need not be a secret: the lengths say where parts end.
        let boundary = hex(&state.random::<16>());
        let heads: Vec<String> = parts
            .iter()
            .map(|part| {
                let range = content_range(part, size);
                let range = range.to_str().unwrap_or_default();
                format!("\r\n--{boundary}\r\nContent-Type: {media}\r\nContent-Range: {range}\r\n\r\n")
            })
            .collect();
        let tail = format!("\r\n--{boundary}--\r\n");
        let bytes: u64 = parts.iter().map(|part| part.end - part.start).sum();
        let length = bytes + heads.iter().map(|head| head.len() as u64).sum::<u64>() + tail.len() as u64;
        let source = Arc::new(self.source);
        let pieces = stream::iter(heads.into_iter().zip(parts)).flat_map(move |(head, part)| {
            let source = Arc::clone(&source);
            let read = async move {
                match source.read(part).await {
                    Ok(bytes) => bytes,
                    Err(error) => stream::iter([Err(error)]).boxed(),
                }
            };
            stream::iter([Ok(Bytes::from(head))]).chain(stream::once(read).flatten())
        });
        let pieces = pieces.chain(stream::iter([Ok(Bytes::from(tail))])).boxed();
        let mut headers = self.headers;
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        if let Ok(value) = HeaderValue::try_from(format!("multipart/byteranges; boundary={boundary}")) {
            headers.insert(header::CONTENT_TYPE, value);
        }
        (self.status, headers, flow::body(state, ask, pieces)).into_response()
    }
}

/// Tells the type from the first bytes, unless it is known.
fn media_of(headers: &mut HeaderMap, head: &[u8]) {
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(mime::sniff(head)));
}

fn content_range(part: &Range<u64>, size: u64) -> HeaderValue {
    HeaderValue::try_from(format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1)))
        .unwrap_or(HeaderValue::from_static("bytes */*"))
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
