//! One stream of messages from a peer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::AsyncRead;

use crate::DecodeError;
use crate::client::Meter;
use crate::limits::{MAX_ASSEMBLING_BYTES, MAX_MESSAGE_BYTES};
use crate::wire::{MAX_VARINT_BYTES, varint};

/// Memory that a message gets on the word of its length; the rest as it arrives.
const FIRST_BYTES: usize = 64 * 1024;

/// Room for messages that are being read, shared by the streams of a connection.
#[derive(Debug, Default)]
pub(super) struct Assembling {
    reserved: usize,
}

impl Assembling {
    fn reserve(&mut self, bytes: usize) -> bool {
        let fits = self.reserved + bytes <= MAX_ASSEMBLING_BYTES;
        if fits {
            self.reserved += bytes;
        }
        fits
    }

    fn release(&mut self, bytes: usize) {
        self.reserved -= bytes;
    }
}

/// What a stream gave.
#[derive(Debug)]
pub(super) enum Item {
    /// A message without its length.
    Message(Bytes),
    /// The peer has closed the stream.
    End,
    /// The stream failed.
    Broken(io::Error),
    /// What is on it is no message.
    Malformed(DecodeError),
}

/// Reads length and body of one message after the other. Holds no memory between messages.
#[derive(Debug)]
pub(super) struct Inbound<S> {
    io: S,
    head: [u8; MAX_VARINT_BYTES],
    head_len: usize,
    /// Length of the body, once known.
    len: Option<usize>,
    /// Whether room for the body is reserved.
    reserved: bool,
    body: Vec<u8>,
    filled: usize,
    /// Time watched without a byte, half-way through a message.
    quiet: Duration,
    /// When it last gave a message, as a number that grows.
    pub(super) used: u64,
}

impl<S: AsyncRead + Unpin> Inbound<S> {
    pub(super) const fn new(io: S, used: u64) -> Self {
        Self {
            io,
            head: [0; MAX_VARINT_BYTES],
            head_len: 0,
            len: None,
            reserved: false,
            body: Vec::new(),
            filled: 0,
            quiet: Duration::ZERO,
            used,
        }
    }

    /// Whether a message has begun and not ended.
    pub(super) const fn is_half_way(&self) -> bool {
        self.head_len > 0
    }

    /// `watched` more time has passed; gives how long nothing came half-way through a message.
    pub(super) fn tick(&mut self, watched: Duration) -> Duration {
        // A stream that waits for room is not the peer's fault.
        let waits = self.len.is_some() && !self.reserved;
        self.quiet = if self.is_half_way() && !waits { self.quiet + watched } else { Duration::ZERO };
        self.quiet
    }

    /// Gives back what is reserved, when the stream is given up.
    pub(super) fn release(&mut self, room: &mut Assembling) {
        if std::mem::take(&mut self.reserved) {
            room.release(self.len.unwrap_or_default());
        }
    }

    /// Reads on. `Pending` without a waker when there is no room for the message: the caller polls again once another
    /// stream has released some.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, room: &mut Assembling, meter: &Meter) -> Poll<Item> {
        let item = match ready!(self.poll_message(cx, room, meter)) {
            Ok(Some(message)) => Item::Message(message),
            Ok(None) => Item::End,
            Err(Failure::Io(error)) => Item::Broken(error),
            Err(Failure::Form(error)) => Item::Malformed(error),
        };
        self.release(room);
        (self.head_len, self.len, self.filled) = (0, None, 0);
        Poll::Ready(item)
    }

    fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Assembling,
        meter: &Meter,
    ) -> Poll<Result<Option<Bytes>, Failure>> {
        let len = loop {
            if let Some(len) = self.len {
                break len;
            }
            // Byte by byte: at most four of a length that is accepted, and what follows is not this message's head.
            let at = self.head_len;
            let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut self.head[at..=at]))?;
            if read == 0 {
                let whole = self.head_len == 0;
                return Poll::Ready(if whole { Ok(None) } else { Err(DecodeError::Truncated.into()) });
            }
            self.head_len += 1;
            self.quiet = Duration::ZERO;
            if let Some((len, _)) = varint(&self.head[..self.head_len])? {
                let fits = usize::try_from(len).ok().filter(|len| *len <= MAX_MESSAGE_BYTES);
                self.len = Some(fits.ok_or(DecodeError::TooLong(len))?);
            }
        };
        if !self.reserved {
            if !room.reserve(len) {
                return Poll::Pending;
            }
            self.reserved = true;
        }
        while self.filled < len {
            if self.filled == self.body.len() {
                let grown = (self.body.len() * 2).max(FIRST_BYTES).min(len);
                self.body.resize(grown, 0);
            }
            let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut self.body[self.filled..]))?;
            if read == 0 {
                return Poll::Ready(Err(DecodeError::Truncated.into()));
            }
            self.filled += read;
            self.quiet = Duration::ZERO;
            meter.add(read);
        }
        Poll::Ready(Ok(Some(Bytes::from(std::mem::take(&mut self.body)))))
    }
}

#[derive(Debug)]
enum Failure {
    Io(io::Error),
    Form(DecodeError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::Form(error)
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::future::poll_fn;
    use futures::io::Cursor;
    use futures::task::noop_waker_ref;

    use super::*;

    /// All items of a stream of `bytes`, up to and with the first that is no message.
    fn read(bytes: &[u8]) -> Vec<Item> {
        let mut stream = Inbound::new(Cursor::new(bytes.to_vec()), 0);
        let (mut room, meter) = (Assembling::default(), Meter::default());
        let mut items = Vec::new();
        while items.last().is_none_or(|item| matches!(item, Item::Message(_))) {
            items.push(block_on(poll_fn(|cx| stream.poll(cx, &mut room, &meter))));
            assert_eq!(room.reserved, 0);
        }
        items
    }

    #[test]
    fn several_messages_and_a_clean_end_are_read() {
        let items = read(&[0, 1, 7, 2, 8, 9]);
        let [Item::Message(a), Item::Message(b), Item::Message(c), Item::End] = &items[..] else { panic!("{items:?}") };
        assert_eq!((&a[..], &b[..], &c[..]), (&[][..], &[7][..], &[8, 9][..]));
    }

    #[test]
    fn a_stream_that_ends_half_way_is_malformed() {
        for bytes in [&[5, 1, 2][..], &[0x80], &[0x80, 0x80]] {
            assert!(matches!(&read(bytes)[..], [Item::Malformed(DecodeError::Truncated)]), "{bytes:?}");
        }
    }

    #[test]
    fn four_mib_are_taken_and_a_byte_more_is_refused_before_it_is_read() {
        let mut bytes = vec![0x80, 0x80, 0x80, 2];
        bytes.resize(4 + MAX_MESSAGE_BYTES, 1);
        assert!(matches!(&read(&bytes)[..], [Item::Message(body), Item::End] if body.len() == MAX_MESSAGE_BYTES));
        assert!(matches!(&read(&[0x81, 0x80, 0x80, 2])[..], [Item::Malformed(DecodeError::TooLong(4_194_305))]));
        let endless = [0xff; 12];
        assert!(matches!(&read(&endless)[..], [Item::Malformed(DecodeError::Varint)]));
    }

    #[test]
    fn messages_wait_for_room_and_memory_follows_what_has_arrived() {
        // Four MiB are announced, and eleven bytes of them come.
        struct Slow(Vec<u8>);
        impl AsyncRead for Slow {
            fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
                let len = out.len().min(self.0.len());
                if len == 0 {
                    return Poll::Pending;
                }
                out[..len].copy_from_slice(&self.0.drain(..len).collect::<Vec<_>>());
                Poll::Ready(Ok(len))
            }
        }
        let slow = || Inbound::new(Slow([&[0x80, 0x80, 0x80, 2][..], &[1; 11]].concat()), 0);
        let (mut room, meter) = (Assembling::default(), Meter::default());
        let cx = &mut Context::from_waker(noop_waker_ref());
        let mut streams: Vec<_> = (0..3).map(|_| slow()).collect();
        for stream in &mut streams {
            assert!(stream.poll(cx, &mut room, &meter).is_pending());
        }
        assert_eq!(room.reserved, 2 * MAX_MESSAGE_BYTES);
        assert_eq!(streams.iter().map(|stream| stream.filled).collect::<Vec<_>>(), [11, 11, 0]);
        assert!(streams.iter().all(|stream| stream.body.len() <= FIRST_BYTES));

        let second = Duration::from_secs(1);
        assert_eq!(
            streams.iter_mut().map(|stream| stream.tick(second)).collect::<Vec<_>>(),
            [second, second, Duration::ZERO]
        );
        streams.remove(0).release(&mut room);
        assert!(streams[1].poll(cx, &mut room, &meter).is_pending());
        assert_eq!(streams[1].filled, 11, "the third has room now");
    }
}
