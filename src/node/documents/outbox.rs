//! The two ends of an editor's connection: what it sends, bounded by waiting, and what it is sent, bounded by closing it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::{
    EditorId,
    limits::{MAX_FRAME_BYTES, MAX_INBOUND_BYTES, OUTBOX_BYTES, OUTBOX_FRAMES},
};

/// Why an editor's connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The node stops.
    Stopping,
    /// A frame that is not of the protocol.
    Malformed,
    /// A frame or a document that is too large, or a change that cannot be signed because it cannot be split.
    TooLarge,
    /// The store failed: what was not acknowledged may be lost here, and the client still has it.
    Failed,
    /// The right to read or write ended, or the editor re-uses names of elements that others made.
    Forbidden,
    /// Two authors made different elements under one name, and the document was resolved to another than this editor holds:
    /// it has to be opened anew with an empty Yjs document.
    Resolved,
    /// The document was deleted, and the client holds what was deleted.
    Deleted,
    /// It takes what it is sent too slowly.
    Slow,
}

impl Close {
    /// The WebSocket close code (RFC 6455, and 4400 to 4499 as HTTP's).
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Stopping => 1001,
            Self::Malformed => 1007,
            Self::Failed => 1011,
            Self::Forbidden => 4403,
            Self::Resolved => 4409,
            Self::Deleted => 4410,
            Self::TooLarge => 4413,
            Self::Slow => 4429,
        }
    }

    /// The reason beside the code, at most 123 bytes.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Stopping => "the gateway is stopping",
            Self::Malformed => "not a frame of the y-websocket protocol",
            Self::Failed => "the change could not be stored",
            Self::Forbidden => "not yours to read, to write, or to name so",
            Self::Resolved => "the document was resolved otherwise; open it with an empty Y.Doc",
            Self::Deleted => "the document was deleted; open it with an empty Y.Doc",
            Self::TooLarge => "too large",
            Self::Slow => "too slow",
        }
    }
}

/// What goes to an editor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A binary frame.
    Frame(Bytes),
    /// The connection ends so; nothing follows.
    Close(Close),
}

/// What a room hears from editors.
#[derive(Debug)]
pub(crate) enum Input {
    Join(Box<Join>),
    Frame { editor: EditorId, frame: Bytes, _room: OwnedSemaphorePermit },
    Leave(EditorId),
    Heard { gateway: rustdht_core::PublicKey, body: super::live::Body },
    Changed,
}

/// An editor that wants in.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) editor: EditorId,
    pub(crate) by: crate::Principal,
    pub(crate) user: super::UserTag,
    pub(crate) may_write: bool,
    pub(crate) sender: Sender,
    pub(crate) reply: tokio::sync::oneshot::Sender<Result<(), crate::Error>>,
}

/// The room's end of what an editor is sent.
#[derive(Debug)]
pub(crate) struct Sender {
    frames: mpsc::Sender<Bytes>,
    waiting: Arc<AtomicUsize>,
    close: watch::Sender<Option<Close>>,
}

impl Sender {
    /// Puts a frame into the queue; `false`: it is full.
    pub(crate) fn send(&self, frame: Bytes) -> bool {
        let len = frame.len();
        let waiting = self.waiting.fetch_add(len, Ordering::AcqRel);
        (waiting == 0 || waiting + len <= OUTBOX_BYTES) && self.frames.try_send(frame).is_ok()
    }

    /// Whether nobody takes what is sent.
    pub(crate) fn is_closed(&self) -> bool {
        self.frames.is_closed()
    }

    /// Ends the connection; what waits is dropped.
    pub(crate) fn close(&self, close: Close) {
        self.close.send_replace(Some(close));
    }
}

/// The editor's end of what it is sent.
pub struct Outbox {
    frames: mpsc::Receiver<Bytes>,
    waiting: Arc<AtomicUsize>,
    /// The frame that was given out last, which is on its way until the next one is asked for.
    taken: usize,
    close: watch::Receiver<Option<Close>>,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Outbox {
    /// The next frame, or the end. Cancel safe.
    pub async fn next(&mut self) -> Outgoing {
        self.waiting.fetch_sub(std::mem::take(&mut self.taken), Ordering::AcqRel);
        let ended = async {
            match self.close.wait_for(Option::is_some).await {
                Ok(close) => (*close).unwrap_or(Close::Failed),
                // The room is gone without a word: its task died, or the node stops.
                Err(_) => Close::Stopping,
            }
        };
        tokio::select! {
            biased;
            close = ended => Outgoing::Close(close),
            Some(frame) = self.frames.recv() => {
                self.taken = frame.len();
                Outgoing::Frame(frame)
            }
        }
    }
}

/// A queue to an editor.
pub(crate) fn outbox() -> (Sender, Outbox) {
    let (sender, frames) = mpsc::channel(OUTBOX_FRAMES);
    let (close, closed) = watch::channel(None);
    let waiting = Arc::new(AtomicUsize::new(0));
    let outbox = Outbox { frames, waiting: Arc::clone(&waiting), taken: 0, close: closed };
    (Sender { frames: sender, waiting, close }, outbox)
}

/// An open document, for one editor; dropping it leaves.
pub struct DocumentHandle {
    pub(crate) editor: EditorId,
    pub(crate) room: mpsc::Sender<Input>,
    pub(crate) inbound: Arc<Semaphore>,
    pub(crate) tracker: tokio_util::task::TaskTracker,
}

impl fmt::Debug for DocumentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocumentHandle").field("editor", &self.editor).finish_non_exhaustive()
    }
}

impl DocumentHandle {
    /// Hands over a frame of the editor; waits for room.
    ///
    /// # Errors
    /// How the connection has to be closed: the frame is too large, or the room is gone.
    pub async fn receive(&self, frame: Bytes) -> Result<(), Close> {
        if frame.len() > MAX_FRAME_BYTES {
            return Err(Close::TooLarge);
        }
        // A frame without bytes takes room too.
        let weight = u32::try_from(frame.len().clamp(64, MAX_INBOUND_BYTES)).unwrap_or(u32::MAX);
        let inbound = Arc::clone(&self.inbound);
        let room = inbound.acquire_many_owned(weight).await.map_err(|_| Close::Stopping)?;
        let input = Input::Frame { editor: self.editor, frame, _room: room };
        self.room.send(input).await.map_err(|_| Close::Stopping)
    }
}

impl Drop for DocumentHandle {
    fn drop(&mut self) {
        let leave = Input::Leave(self.editor);
        if let Err(mpsc::error::TrySendError::Full(leave)) = self.room.try_send(leave) {
            // The room hears of it when it has time; without this it would keep an editor that is gone.
            let room = self.room.clone();
            self.tracker.spawn(async move {
                // An error means that the room is gone.
                let _ = room.send(leave).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_in_order_and_a_close_comes_first() {
        let (sender, mut outbox) = outbox();
        for byte in 0..3_u8 {
            assert!(sender.send(Bytes::copy_from_slice(&[byte])));
        }
        for byte in 0..2_u8 {
            assert_eq!(outbox.next().await, Outgoing::Frame(Bytes::copy_from_slice(&[byte])));
        }
        sender.close(Close::Deleted);
        assert_eq!(outbox.next().await, Outgoing::Close(Close::Deleted));
        assert_eq!(Close::Deleted.code(), 4410);
        drop(sender);
    }

    #[tokio::test]
    async fn a_slow_editor_is_seen_by_frames_and_by_bytes() {
        let (sender, mut outbox) = super::outbox();
        let large = Bytes::from(vec![0; OUTBOX_BYTES + 1]);
        assert!(sender.send(large.clone()), "one large frame may wait alone");
        assert!(!sender.send(Bytes::from_static(b"x")), "nothing beside it");
        drop(sender);
        let (sender, mut second) = super::outbox();
        for _ in 0..OUTBOX_FRAMES {
            assert!(sender.send(Bytes::from_static(b"x")));
        }
        assert!(!sender.send(Bytes::from_static(b"x")));
        assert_eq!(second.next().await, Outgoing::Frame(Bytes::from_static(b"x")));
        assert_eq!(outbox.next().await, Outgoing::Close(Close::Stopping), "its room is gone");
    }

    #[tokio::test]
    async fn what_was_taken_makes_room_when_the_next_is_asked_for() {
        let (sender, mut outbox) = super::outbox();
        let half = Bytes::from(vec![0; OUTBOX_BYTES / 2]);
        assert!(sender.send(half.clone()) && sender.send(half.clone()));
        outbox.next().await;
        outbox.next().await;
        assert!(sender.send(half), "the first is through");
    }

    #[test]
    fn reasons_fit_into_a_close_frame() {
        use Close::*;
        for close in [Stopping, Malformed, TooLarge, Failed, Forbidden, Resolved, Deleted, Slow] {
            assert!(close.reason().len() <= 123);
        }
    }
}
