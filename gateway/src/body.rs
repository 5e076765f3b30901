//! Reading bodies: small ones whole, large ones as a stream.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream, HttpBody},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use rustdht_core::{Code, Refusal};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::{codes::HttpCode, fields, limits, problem::Problem};

pub(crate) fn too_large(limit: usize) -> Problem {
    Refusal::new(Code::TooLarge, format!("the body is larger than {limit} bytes")).into()
}

/// The problem of a streamed body that ended in an error.
pub(crate) fn broken(error: &std::io::Error) -> Problem {
    if is_late(error) { Problem::new(HttpCode::BodyTimeout, error.to_string()) } else { incomplete(error) }
}

/// Whether a streamed body ended because it came too slowly.
pub(crate) fn is_late(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::TimedOut
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

/// The pieces of a body of any size. One that pauses for longer than [`limits::BODY_IDLE`], or comes slower than
/// [`limits::MIN_BODY_RATE`], ends in an error.
pub(crate) fn pieces(body: Body) -> impl Stream<Item = Piece> + Send + 'static {
    paced(body, Some(limits::MIN_BODY_RATE), None)
}

/// The same; where this is said, it also ends in an error when it takes longer.
pub(crate) fn pieces_within(body: Body, longest: Option<Duration>) -> impl Stream<Item = Piece> + Send + 'static {
    paced(body, Some(limits::MIN_BODY_RATE), longest)
}

/// The same of a body that may be made while it is sent: only a pause ends it.
pub(crate) fn pieces_at_any_rate(body: Body) -> impl Stream<Item = Piece> + Send + 'static {
    paced(body, None, None)
}

fn paced(body: Body, slowest: Option<u64>, longest: Option<Duration>) -> impl Stream<Item = Piece> + Send + 'static {
    let end = longest.map(|longest| (Instant::now() + longest, longest));
    let pace = Pace { patience: limits::BODY_IDLE, slowest, end };
    futures::stream::unfold(Some((body.into_data_stream(), pace)), |state| async {
        let (mut pieces, mut pace) = state?;
        match pace.next(&mut pieces).await? {
            Ok(piece) => Some((Ok(piece), Some((pieces, pace)))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

pub(crate) type Piece = Result<Bytes, std::io::Error>;

/// How long a body is waited for. Time in which nobody asks for a piece does not count: it is not the sender's.
struct Pace {
    /// Waiting takes from it, what comes gives to it.
    patience: Duration,
    /// Bytes per second that it may not fall behind.
    slowest: Option<u64>,
    /// When it has to be whole, and how long that is.
    end: Option<(Instant, Duration)>,
}

impl Pace {
    async fn next(&mut self, pieces: &mut BodyDataStream) -> Option<Piece> {
        let asked = Instant::now();
        let idle = asked + self.patience;
        let by = self.end.map_or(idle, |(end, _)| end.min(idle));
        // Also of one that always has a piece, which is never waited for.
        let is_over = self.end.is_some_and(|(end, _)| end <= asked);
        let next = if is_over { None } else { tokio::time::timeout_at(by, pieces.next()).await.ok() };
        match next {
            Some(Some(Ok(piece))) => {
                let earned = self.slowest.map_or(limits::BODY_IDLE, |slowest| {
                    Duration::from_millis((piece.len() as u64).saturating_mul(1000) / slowest)
                });
                self.patience = (self.patience.saturating_sub(asked.elapsed()) + earned).min(limits::BODY_IDLE);
                Some(Ok(piece))
            }
            Some(Some(Err(error))) => Some(Err(std::io::Error::other(error))),
            Some(None) => None,
            None => Some(Err(self.late(by))),
        }
    }

    fn late(&self, by: Instant) -> std::io::Error {
        let pause = limits::BODY_IDLE.as_secs();
        let text = match (self.end, self.slowest) {
            (Some((end, longest)), _) if end <= by => format!(
                "the body took longer than {} h: /api/v1/uploads takes a large file in parts, folders and archives are to be split",
                longest.as_secs() / 3600
            ),
            (_, Some(slowest)) => {
                format!("the body paused for {pause} s, or fell so far behind {slowest} bytes per second")
            }
            (_, None) => format!("the body paused for {pause} s"),
        };
        std::io::Error::new(std::io::ErrorKind::TimedOut, text)
    }
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

    /// Pieces of this size, one each time, without end.
    fn steady(bytes: usize, every: Duration) -> Body {
        let piece = Bytes::from(vec![7; bytes]);
        Body::from_stream(futures::stream::repeat(piece).then(move |piece| async move {
            tokio::time::sleep(every).await;
            Ok::<_, std::io::Error>(piece)
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_ends() {
        let begun = Instant::now();
        let came: Vec<_> = pieces(steady(1, Duration::from_secs(50))).take(20).collect().await;
        let (Some(Err(error)), 3) = (came.last(), came.len()) else { panic!("{came:?}") };
        assert_eq!((broken(error).code(), begun.elapsed()), ("body_timeout", limits::BODY_IDLE));
        // Slow, and no slower than it may be; with a pause, after which it goes on as before.
        let minute = usize::try_from(60 * limits::MIN_BODY_RATE).unwrap();
        let slow = pieces(steady(minute, Duration::from_secs(60))).take(1000);
        assert!(slow.collect::<Vec<_>>().await.iter().all(Result::is_ok));
        let paused = steady(10, Duration::from_secs(110)).into_data_stream().take(1);
        let paused =
            Body::from_stream(paused.chain(steady(20_000, Duration::from_secs(9)).into_data_stream().take(50)));
        assert_eq!(pieces(paused).filter(|piece| std::future::ready(piece.is_ok())).count().await, 51);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_at_any_rate_ends_only_when_it_pauses() {
        let trickle = pieces_at_any_rate(steady(1, Duration::from_secs(110))).take(20);
        assert!(trickle.collect::<Vec<_>>().await.iter().all(Result::is_ok));
        let came: Vec<_> = pieces_at_any_rate(steady(1 << 20, Duration::from_secs(121))).take(20).collect().await;
        let [Err(error)] = came.as_slice() else { panic!("{came:?}") };
        let problem = broken(error);
        assert_eq!((problem.code(), problem.detail()), ("body_timeout", "the body paused for 120 s"));
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_nobody_asks_in_is_not_the_senders() {
        let mut pieces = std::pin::pin!(pieces(ready()));
        let mut came = 0;
        while let Some(piece) = pieces.next().await {
            piece.unwrap();
            came += 1;
            tokio::time::sleep(limits::BODY_IDLE).await;
        }
        assert_eq!(came, 100);
    }

    /// A hundred bytes, each by itself, that are there at once.
    fn ready() -> Body {
        let byte = || Ok::<_, std::io::Error>(Bytes::from_static(b"x"));
        Body::from_stream(futures::stream::repeat_with(byte).take(100))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_without_end_ends_in_time() {
        let day = Duration::from_secs(24 * 3600);
        let busy = pieces_within(ready(), Some(day)).then(|piece| async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            piece
        });
        let waiting = pieces_within(steady(1 << 20, Duration::from_secs(100)), Some(day));
        for (pieces, most) in [(busy.boxed(), 25), (waiting.boxed(), 865)] {
            let came: Vec<_> = pieces.take(1000).collect().await;
            let Some(Err(error)) = came.last() else { panic!("{} pieces", came.len()) };
            let problem = broken(error);
            assert_eq!(problem.code(), "body_timeout");
            assert!(
                problem.detail().contains("24 h: /api/v1/uploads takes a large file") && came.len() <= most,
                "{problem:?} {}",
                came.len()
            );
        }
    }
}
