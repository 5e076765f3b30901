//! A stream to a peer that is kept and used for one message after the other.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use futures::{AsyncRead, AsyncWrite};

use crate::wire::{Entry, Frame, Presence, Version, encode};

/// What a message will be made of, once the peer's version is known.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) wants: Vec<Entry>,
    pub(super) presences: Vec<Presence>,
    pub(super) blocks: Vec<(Cid, Bytes)>,
}

impl Outgoing {
    pub(super) fn block_bytes(&self) -> u64 {
        self.blocks.iter().map(|(_, data)| data.len() as u64).sum()
    }
}

/// What came of polling [`Outbound`].
#[derive(Debug)]
pub(super) enum Progress {
    /// A stream is to be opened.
    Open,
    /// The message is written.
    Written(Outgoing),
    /// Two streams in a row failed with this message.
    GivenUp(Outgoing),
}

#[derive(Debug)]
enum State<S> {
    Closed,
    Opening,
    Open { io: S, version: Version, watch: bool },
}

/// What a connection sends by, one message after the other.
#[derive(Debug)]
pub(super) struct Outbound<S> {
    state: State<S>,
    message: Option<Outgoing>,
    /// What is left to write of it; `None` until a stream is open.
    frame: Option<Frame>,
    failures: u8,
    /// Time watched without a byte taken by the peer.
    quiet: Duration,
}

impl<S> Default for Outbound<S> {
    fn default() -> Self {
        Self { state: State::Closed, message: None, frame: None, failures: 0, quiet: Duration::ZERO }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Outbound<S> {
    /// Streams that may fail under one message. A stream that the peer has closed meanwhile is only noticed by writing.
    const FAILURES: u8 = 2;

    pub(super) const fn is_free(&self) -> bool {
        self.message.is_none()
    }

    pub(super) fn carries_blocks(&self) -> bool {
        self.message.as_ref().is_some_and(|message| !message.blocks.is_empty())
    }

    pub(super) fn start(&mut self, message: Outgoing) {
        self.message = Some(message);
        self.frame = None;
        self.failures = 0;
        self.quiet = Duration::ZERO;
    }

    pub(super) fn opened(&mut self, io: S, version: Version) {
        self.state = State::Open { io, version, watch: true };
    }

    /// The stream cannot be had or failed. Gives the message back when this was not the first time.
    pub(super) fn failed(&mut self) -> Option<Outgoing> {
        self.state = State::Closed;
        self.frame = None;
        self.quiet = Duration::ZERO;
        self.failures += 1;
        if self.failures < Self::FAILURES { None } else { self.message.take() }
    }

    /// Takes the message out, when nothing is to be sent any more.
    pub(super) fn abandon(&mut self) -> Option<Outgoing> {
        self.state = State::Closed;
        self.frame = None;
        self.message.take()
    }

    /// `watched` more time has passed; gives how long the peer has taken nothing of the message.
    pub(super) fn tick(&mut self, watched: Duration) -> Duration {
        self.quiet = if self.message.is_some() { self.quiet + watched } else { Duration::ZERO };
        self.quiet
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Progress> {
        loop {
            match &mut self.state {
                State::Opening => return Poll::Pending,
                State::Closed if self.message.is_none() => return Poll::Pending,
                State::Closed => {
                    self.state = State::Opening;
                    return Poll::Ready(Progress::Open);
                }
                State::Open { io, version, watch } => {
                    let Some(message) = &self.message else {
                        if *watch && is_reset(Pin::new(io), cx, watch) {
                            self.state = State::Closed;
                        }
                        return Poll::Pending;
                    };
                    let frame = self.frame.get_or_insert_with(|| {
                        encode(*version, false, &message.wants, &message.presences, &message.blocks).unwrap_or_default()
                    });
                    match write(Pin::new(io), cx, frame, &mut self.quiet) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(())) => {
                            self.frame = None;
                            let written = self.message.take().unwrap_or_default();
                            return Poll::Ready(Progress::Written(written));
                        }
                        Poll::Ready(Err(error)) => {
                            tracing::debug!(%error, "a stream failed while a message was written");
                            if let Some(message) = self.failed() {
                                return Poll::Ready(Progress::GivenUp(message));
                            }
                        }
                    }
                }
            }
        }
    }
}

fn write<S: AsyncWrite>(
    mut io: Pin<&mut S>,
    cx: &mut Context<'_>,
    frame: &mut Frame,
    quiet: &mut Duration,
) -> Poll<io::Result<()>> {
    while !frame.chunk().is_empty() {
        match std::task::ready!(io.as_mut().poll_write(cx, frame.chunk()))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            len => frame.advance(len),
        }
        *quiet = Duration::ZERO;
    }
    io.poll_flush(cx)
}

/// Whether the peer has reset an idle stream; then the next message begins with a fresh one instead of being lost. A
/// peer that only closes its side, as it never writes here, is fine.
fn is_reset<S: AsyncRead>(io: Pin<&mut S>, cx: &mut Context<'_>, watch: &mut bool) -> bool {
    match io.poll_read(cx, &mut [0]) {
        Poll::Pending => false,
        Poll::Ready(Ok(_)) => {
            *watch = false;
            false
        }
        Poll::Ready(Err(_)) => true,
    }
}
