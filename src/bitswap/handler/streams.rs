//! The inbound streams of a connection.

use std::task::{Context, Poll};
use std::time::Duration;

use futures::AsyncRead;

use super::inbound::{Assembling, Inbound, Item};
use crate::DecodeError;
use crate::client::Meter;
use crate::wire::{Message, decode};

/// What came of one of the streams.
#[derive(Debug)]
pub(super) enum Received {
    Message(Message),
    /// The stream is dropped, which resets it.
    Malformed(DecodeError),
}

/// A bounded number of streams. Kubo opens one for each message it sends, several at a time, and leaves some open.
#[derive(Debug)]
pub(super) struct Streams<S> {
    streams: Vec<Inbound<S>>,
    room: Assembling,
    max: usize,
    used: u64,
    /// Where the next round begins, so that each stream has its turn.
    start: usize,
}

impl<S: AsyncRead + Unpin> Streams<S> {
    pub(super) fn new(max: usize) -> Self {
        Self { streams: Vec::new(), room: Assembling::default(), max, used: 0, start: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn is_half_way(&self) -> bool {
        self.streams.iter().any(Inbound::is_half_way)
    }

    /// Takes a stream. When there are too many, the one goes that has been idle for longest, else the new one: whether
    /// one was dropped, and whether it was the new one.
    pub(super) fn add(&mut self, io: S) -> (bool, bool) {
        let mut dropped = false;
        if self.streams.len() >= self.max {
            let idle = self.streams.iter().enumerate().filter(|(_, stream)| !stream.is_half_way());
            let Some((oldest, _)) = idle.min_by_key(|(_, stream)| stream.used) else { return (true, true) };
            self.remove(oldest);
            dropped = true;
        }
        self.used += 1;
        self.streams.push(Inbound::new(io, self.used));
        (dropped, false)
    }

    pub(super) fn clear(&mut self) {
        while !self.streams.is_empty() {
            self.remove(0);
        }
    }

    /// `watched` more time has passed; drops the streams that stopped half-way for `timeout`, and gives their number.
    pub(super) fn tick(&mut self, watched: Duration, timeout: Duration) -> u64 {
        let slow: Vec<usize> = self
            .streams
            .iter_mut()
            .enumerate()
            .filter_map(|(at, stream)| (stream.tick(watched) >= timeout).then_some(at))
            .collect();
        for at in slow.iter().rev() {
            self.remove(*at);
        }
        slow.len() as u64
    }

    /// The next message of any of the streams.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, meter: &Meter) -> Poll<Received> {
        let mut left = self.streams.len();
        while left > 0 {
            left -= 1;
            let at = self.start % self.streams.len();
            self.start = at + 1;
            let Poll::Ready(item) = self.streams[at].poll(cx, &mut self.room, meter) else { continue };
            let received = match item {
                Item::Message(frame) => {
                    self.used += 1;
                    self.streams[at].used = self.used;
                    match decode(&frame) {
                        Ok(message) => Received::Message(message),
                        Err(error) => {
                            self.remove(at);
                            Received::Malformed(error)
                        }
                    }
                }
                Item::Malformed(error) => {
                    self.remove(at);
                    Received::Malformed(error)
                }
                Item::End => {
                    self.remove(at);
                    left = self.streams.len();
                    continue;
                }
                Item::Broken(error) => {
                    tracing::debug!(%error, "an inbound stream broke");
                    self.remove(at);
                    left = self.streams.len();
                    continue;
                }
            };
            return Poll::Ready(received);
        }
        Poll::Pending
    }

    fn remove(&mut self, at: usize) {
        self.streams.remove(at).release(&mut self.room);
        self.start = 0;
    }
}
