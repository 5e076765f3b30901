//! Reading bodies: small ones whole, large ones as a stream.

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use rustdht_core::{Code, Refusal};
use serde::de::DeserializeOwned;

use crate::{codes::HttpCode, fields, limits, problem::Problem};

pub(crate) fn too_large(limit: usize) -> Problem {
    Refusal::new(Code::TooLarge, format!("the body is larger than {limit} bytes")).into()
}

/// The problem of a streamed body that ended in an error.
pub(crate) fn broken(error: &std::io::Error) -> Problem {
    if error.kind() == std::io::ErrorKind::TimedOut { stalled() } else { incomplete(error) }
}

pub(crate) fn stalled() -> Problem {
    Problem::new(HttpCode::BodyTimeout, format!("nothing of the body came for {} s", limits::BODY_IDLE.as_secs()))
}

fn incomplete(error: impl std::fmt::Display) -> Problem {
    Problem::new(HttpCode::BodyIncomplete, format!("the body ended early: {error}"))
}

/// A whole body of at most `limit` bytes. The usual single piece is not copied.
///
/// # Errors
/// `too_large`, `body_incomplete` when the connection ends inside the body, `body_timeout`.
pub(crate) async fn whole(body: Body, limit: usize) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > (limit + limits::MAX_DISCARDED_BYTES) as u64 {
        return Err(too_large(limit));
    }
    tokio::time::timeout(limits::BODY_TIMEOUT, collect(body, limit))
        .await
        .map_err(|_| Problem::new(HttpCode::BodyTimeout, "the body came too slowly"))?
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut pieces = body.into_data_stream();
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(incomplete)?;
        if first.len() + rest.len() + piece.len() > limit {
            discard(pieces).await;
            return Err(too_large(limit));
        }
        if first.is_empty() {
            first = piece;
        } else {
            rest.extend_from_slice(&piece);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut joined = BytesMut::with_capacity(first.len() + rest.len());
    joined.extend_from_slice(&first);
    joined.extend_from_slice(&rest);
    Ok(joined.freeze())
}

/// Reads on for a while, so that the client gets to see the answer.
async fn discard(mut pieces: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin) {
    let mut discarded = 0;
    while discarded <= limits::MAX_DISCARDED_BYTES
        && let Some(Ok(piece)) = pieces.next().await
    {
        discarded += piece.len();
    }
}

/// The pieces of a body of any size; one that pauses for longer than [`limits::BODY_IDLE`] ends in an error.
pub(crate) fn pieces(body: Body) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    futures::stream::unfold(Some(body.into_data_stream()), |pieces| async {
        let mut pieces = pieces?;
        match tokio::time::timeout(limits::BODY_IDLE, pieces.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
            Ok(Some(Err(error))) => Some((Err(std::io::Error::other(error)), None)),
            Ok(None) => None,
            Err(_) => Some((Err(std::io::ErrorKind::TimedOut.into()), None)),
        }
    })
}

/// The media type of a body without its parameters, in lower case; empty when there is none.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// A small JSON body.
///
/// # Errors
/// `unsupported_media_type`, `too_large`, `malformed` with line and column, and those of [`whole`].
pub(crate) async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    check_json(headers)?;
    let bytes = whole(body, limits::MAX_SMALL_BODY_BYTES).await?;
    serde_json::from_slice(&bytes).map_err(|error| fields::not_json(&error))
}

/// # Errors
/// `unsupported_media_type` for anything but JSON, or nothing said.
pub(crate) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    match media_type(headers).as_str() {
        "application/json" | CURL_DEFAULT => Ok(()),
        "" if !headers.contains_key(header::CONTENT_TYPE) => Ok(()),
        other => Err(unsupported(other, "application/json")),
    }
}

/// What `curl -d` and `--data-binary` say when they are not told. A web page may send it without asking first, but then
/// names its origin, which [`crate::auth`] refuses before a body is looked at.
pub(crate) const CURL_DEFAULT: &str = "application/x-www-form-urlencoded";

/// 415 that names what would be taken.
pub(crate) fn unsupported(got: &str, wanted: &str) -> Problem {
    Problem::new(HttpCode::UnsupportedMediaType, format!("a body of type '{got}' is not taken here: send {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(chunks: &[&'static str]) -> Body {
        let chunks: Vec<Result<Bytes, std::io::Error>> =
            chunks.iter().map(|c| Ok(Bytes::from_static(c.as_bytes()))).collect();
        Body::from_stream(futures::stream::iter(chunks))
    }

    #[tokio::test]
    async fn whole_bodies_are_bounded() {
        assert_eq!(whole(chunks(&["ab", "", "cd", "e"]), 5).await.unwrap(), "abcde");
        assert_eq!(whole(chunks(&["ab", "cd", "e"]), 4).await.unwrap_err().code(), "too_large");
        assert_eq!(whole(Body::from("abcde"), 4).await.unwrap_err().code(), "too_large");
        assert_eq!(whole(Body::empty(), 4).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_cut_body_is_incomplete() {
        let cut: Vec<Result<Bytes, std::io::Error>> =
            vec![Ok(Bytes::from_static(b"{\"a\"")), Err(std::io::ErrorKind::UnexpectedEof.into())];
        let body = Body::from_stream(futures::stream::iter(cut));
        assert_eq!(whole(body, 100).await.unwrap_err().code(), "body_incomplete");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_ends() {
        let stalled = || Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(whole(stalled(), 100).await.unwrap_err().code(), "body_timeout");
        let pieces: Vec<_> = pieces(stalled()).collect().await;
        let [Err(error)] = pieces.as_slice() else { panic!("{pieces:?}") };
        assert_eq!(broken(error).code(), "body_timeout");
    }
}
