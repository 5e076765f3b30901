//! Bodies that are streamed: bounded in time from piece to piece, and broken off rather than ended when something is
//! missing, so that no client or cache takes them for whole.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use rustdht_core::ports::{BlobError, BoxByteStream, Fetch};

use super::{fault, serve::Ask};
use crate::{State, problem::Problem};

/// Waits for the first piece, which it gives beside all pieces: what is missing at once is an error with a status.
///
/// # Errors
/// `timed_out`, and those of the stream.
pub(super) async fn begun(state: &State, mut bytes: BoxByteStream) -> Result<(Bytes, BoxByteStream), Problem> {
    let first = fault::within(state, bytes.next()).await?;
    let first = first.transpose().map_err(|error| fault::of_blob(error, Fetch::Allowed))?.unwrap_or_default();
    Ok((first.clone(), stream::iter([Ok(first)]).chain(bytes).boxed()))
}

/// A body of these pieces. It counts as a request under way until it ends.
pub(super) fn body(state: &State, ask: &Ask, bytes: BoxByteStream) -> Body {
    let held = ask.slot.clone();
    let guarded = guarded(bytes, state.ipfs().fetch_timeout());
    Body::from_stream(guarded.inspect(move |_| {
        let _ = &held;
    }))
}

/// The same pieces, ending in an error when one takes too long.
fn guarded(bytes: BoxByteStream, time: Duration) -> impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static {
    stream::unfold(Some(bytes), move |bytes| async move {
        let mut bytes = bytes?;
        match tokio::time::timeout(time, bytes.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(bytes))),
            Ok(Some(Err(error))) => {
                tracing::debug!(%error, "an answer was broken off");
                Some((Err(error), None))
            }
            Ok(None) => None,
            Err(_) => {
                tracing::debug!("an answer was broken off: the next piece did not come in time");
                Some((Err(BlobError::Storage(std::io::ErrorKind::TimedOut.into())), None))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_stalls_is_broken_off() {
        let pieces = stream::iter([Ok(Bytes::from_static(b"a"))]).chain(stream::pending()).boxed();
        let mut pieces = Box::pin(guarded(pieces, Duration::from_secs(5)));
        assert_eq!(pieces.next().await.unwrap().unwrap(), "a");
        assert!(pieces.next().await.unwrap().is_err());
        assert!(pieces.next().await.is_none());
    }

    #[tokio::test]
    async fn what_ends_ends() {
        let pieces = stream::iter([Ok(Bytes::from_static(b"a"))]).boxed();
        let pieces: Vec<_> = guarded(pieces, Duration::from_secs(5)).collect().await;
        assert_eq!(pieces.len(), 1);
    }
}
