//! The bytes of an upload, on their way to the store.

use std::sync::{Arc, OnceLock, PoisonError};

use axum::{body::Body, http::HeaderMap};
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use rustdht_core::ports::{Arrived, BlobError, UploadError, UploadId, UploadState};
use rustdht_node::Principal;

use super::{checksum::Checksum, expires_ms, headers::CHECKSUM, places::Place, rooms::SharedRoom, store};
use crate::{State, body, codes::HttpCode, limits, pins, problem::Problem};

/// Why a body ended early, where that is not for the store to know.
type Why = Arc<OnceLock<Problem>>;

/// Appends a body at an offset of an upload that its sender can come back to.
///
/// # Errors
/// `overloaded` where the body came too slowly and what came is kept: clients of tus go on after 503, and not after 408.
pub(super) async fn receive_more(
    state: &State,
    id: UploadId,
    by: Principal,
    offset: u64,
    headers: &HeaderMap,
    body: Body,
) -> Result<UploadState, Problem> {
    receive(state, id, by, offset, headers, body).await.map_err(|problem| {
        if problem.code() != HttpCode::BodyTimeout.as_str() || headers.contains_key(CHECKSUM) {
            return problem;
        }
        let detail = format!("{}; what came is kept, and HEAD tells the offset", problem.detail());
        Problem::new(HttpCode::Overloaded, detail)
    })
}

/// Appends a body at an offset.
pub(super) async fn receive(
    state: &State,
    id: UploadId,
    by: Principal,
    offset: u64,
    headers: &HeaderMap,
    body: Body,
) -> Result<UploadState, Problem> {
    let prepared = async {
        let place = state.uploads().take(by)?;
        let checksum = Checksum::read(headers)?;
        let upload = store(state)?.state(id).await?;
        let room = state.upload_desk().reserve(state.node(), id, by, upload.length, upload.offset).await?;
        Ok::<_, Problem>((place, checksum, room))
    };
    let (place, checksum, room) = match prepared.await {
        Ok(prepared) => prepared,
        Err(problem) => {
            pins::discard_body(headers, body).await;
            return Err(problem);
        }
    };
    let keep = if checksum.is_some() { Arrived::WholeOnly } else { Arrived::Partly };
    let why = Why::default();
    let stopping = state.stopping().clone();
    let watched = Watched {
        pieces: Box::pin(body::pieces(body)),
        // One that is at its end may come to it; what came of a longer one has to be durable before the gateway ends.
        stop: async move {
            stopping.cancelled().await;
            tokio::time::sleep(limits::DRAIN / 2).await;
        }
        .boxed(),
        checksum,
        room,
        offset,
        why: Arc::clone(&why),
        _place: place,
    };
    let appended = store(state)?.append(id, offset, watched.into_stream().boxed(), keep, expires_ms(state)).await;
    if appended.is_err() {
        state.upload_desk().release_if_over(id).await;
    }
    match appended {
        Ok(upload) => Ok(upload),
        Err(UploadError::Blob(BlobError::Body(detail))) => {
            let told = why.get().cloned();
            Err(told.unwrap_or_else(|| Problem::from(BlobError::Body(detail))))
        }
        Err(error) => Err(error.into()),
    }
}

/// A body that takes room, and is hashed where it has a checksum.
struct Watched<S> {
    pieces: S,
    /// When the gateway waits no longer.
    stop: BoxFuture<'static, ()>,
    checksum: Option<Checksum>,
    room: SharedRoom,
    /// Where the next piece goes.
    offset: u64,
    why: Why,
    /// The store goes on after the request is dropped, and this counts until then.
    _place: Place,
}

impl<S> Watched<S>
where
    S: Stream<Item = Result<Bytes, std::io::Error>> + Send + Unpin,
{
    fn into_stream(self) -> impl Stream<Item = Result<Bytes, BlobError>> + Send {
        stream::unfold(Some(self), |watched| async {
            let mut watched = watched?;
            match watched.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(watched))),
                Ok(None) => None,
                Err(problem) => {
                    let text = problem.detail().to_owned();
                    // The first one is the reason.
                    let _ = watched.why.set(problem);
                    Some((Err(BlobError::Body(text)), None))
                }
            }
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let next = tokio::select! {
            next = self.pieces.next() => next,
            () = &mut self.stop => return Err(Problem::unavailable("the node is stopping")),
        };
        let Some(piece) = next else {
            return self.checksum.take().map_or(Ok(()), Checksum::finish).map(|()| None);
        };
        let piece = piece.map_err(|error| body::broken(&error))?;
        if let Err(problem) = self.account(&piece) {
            pins::discard(&mut self.pieces).await;
            return Err(problem);
        }
        Ok(Some(piece))
    }

    /// Counts a piece, also one that is kept only if the checksum holds.
    fn account(&mut self, piece: &Bytes) -> Result<(), Problem> {
        if let Some(checksum) = &mut self.checksum {
            checksum.update(piece)?;
        }
        self.offset += piece.len() as u64;
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        // None: the upload was settled meanwhile, and takes nothing more.
        Ok(room.as_mut().map_or(Ok(()), |room| room.reach(self.offset))?)
    }
}
