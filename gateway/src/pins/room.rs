//! Room for an upload: set aside before its bytes flow, taken while they do.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use rustdht_core::{Code, Refusal};
use rustdht_node::{Keep, PinFault, Principal, Room, Upload};

use super::schema;
use crate::{
    State,
    body::{self, Piece},
    limits,
    problem::Problem,
    schema::Stored,
};

/// Roots of one archive that are kept: each becomes a pin.
const MAX_ROOTS: usize = 1000;
/// Roots of one archive that are written at once; they share transactions.
const ROOTS_AT_ONCE: usize = 16;

/// How long the rest of an upload that is refused is read.
const DISCARD_PATIENCE: Duration = Duration::from_secs(5);

/// Reads a refused body on for a while, so that its sender gets to see why.
pub(crate) async fn discard_body(headers: &HeaderMap, body: Body) {
    // Whoever asked first (RFC 9110 section 10.1.1) has sent nothing yet.
    if !headers.contains_key(header::EXPECT) {
        discard(std::pin::pin!(body::pieces(body))).await;
    }
}

/// Reads on for a while, so that the sender gets to see the answer: most look for it only when they have sent everything.
pub(crate) async fn discard(mut pieces: impl Stream<Item = Piece> + Unpin) {
    let read = async {
        let mut discarded = 0;
        while discarded <= limits::MAX_DISCARDED_BYTES
            && let Some(Ok(piece)) = pieces.next().await
        {
            discarded += piece.len();
        }
    };
    // One that sends slowly, or waits, is answered all the same.
    let _ = tokio::time::timeout(DISCARD_PATIENCE, read).await;
}

/// Who uploads, and how much of it there is room for.
pub(crate) struct Allowance {
    by: Principal,
    /// Until what came is kept.
    room: Arc<Mutex<Option<Room>>>,
    over: Arc<OnceLock<PinFault>>,
}

impl Allowance {
    /// Sets room aside, as much as the sender says that comes.
    ///
    /// # Errors
    /// `quota_exceeded`; `too_large` when it could never fit.
    pub(crate) async fn new(
        state: &State,
        by: Principal,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Self, Body), Problem> {
        let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        match state.node().reserve(by, told.and_then(|text| text.parse().ok())).await {
            Ok(room) => Ok((Self { by, room: Arc::new(Mutex::new(Some(room))), over: Arc::default() }, body)),
            Err(error) => {
                discard_body(headers, body).await;
                Err(error.into())
            }
        }
    }

    /// The same pieces, until there is no room for one.
    pub(crate) fn count<S>(&self, pieces: S) -> impl Stream<Item = Piece> + Send + use<S>
    where
        S: Stream<Item = Piece> + Send + Unpin,
    {
        let (room, over) = (Arc::clone(&self.room), Arc::clone(&self.over));
        let counted = stream::unfold(Some(pieces), move |pieces| {
            let (room, over) = (Arc::clone(&room), Arc::clone(&over));
            async move {
                let mut pieces = pieces?;
                let piece = match pieces.next().await? {
                    Ok(piece) => piece,
                    Err(error) => return Some((Err(error), None)),
                };
                let taken = {
                    let mut room = room.lock().unwrap_or_else(PoisonError::into_inner);
                    room.as_mut().map_or(Ok(()), |room| room.take(piece.len() as u64))
                };
                let Err(fault) = taken else { return Some((Ok(piece), Some(pieces))) };
                let text = fault.to_string();
                // The first one is the reason.
                let _ = over.set(fault);
                discard(&mut pieces).await;
                Some((Err(std::io::Error::other(text)), None))
            }
        });
        // A body may not be asked again after its end.
        counted.fuse()
    }

    /// That there was no room, if that is why an upload ended.
    pub(crate) fn over(&self) -> Option<Problem> {
        self.over.get().map(|fault| fault.clone().into())
    }

    /// Keeps what came. The roots of an archive are looked at in the background: they may be incomplete.
    ///
    /// # Errors
    /// As [`Allowance::new`]; `denied`.
    pub(crate) async fn keep(self, state: &State, stored: &Stored, pin: bool) -> Result<(), Problem> {
        let (roots, bytes, whole) = match stored {
            Stored::Blob(blob) => (std::slice::from_ref(&blob.cid), blob.size, true),
            Stored::Private(blob) => (std::slice::from_ref(&blob.cid), blob.stored, true),
            Stored::Archive(archive) => (&archive.roots[..], archive.bytes, false),
        };
        let keep = match (pin, whole) {
            (false, _) => Keep::Lease,
            (true, true) => Keep::Pin,
            (true, false) => Keep::PinWhole,
        };
        if roots.len() > MAX_ROOTS {
            let detail = format!("of an archive at most {MAX_ROOTS} roots are kept; this one names {}", roots.len());
            return Err(Refusal::new(Code::OutOfRange, detail).within("roots").into());
        }
        // Several roots of one archive share its blocks; each is taken for its part of them.
        let bytes = bytes.div_ceil(roots.len().max(1) as u64);
        let room = self.room.lock().unwrap_or_else(PoisonError::into_inner).take();
        let rooms = std::iter::once(room).chain(std::iter::repeat_with(|| None));
        let kept = stream::iter(roots.iter().zip(rooms).map(Ok));
        kept.try_for_each_concurrent(ROOTS_AT_ONCE, |(cid, room)| async move {
            let upload = Upload { cid: schema::cid(cid)?, bytes, name: String::new(), keep };
            let room = match room {
                Some(room) => room,
                None => state.node().reserve(self.by, None).await?,
            };
            state.node().pin_upload(self.by, upload, room).await?;
            Ok(())
        })
        .await
    }
}
