//! Frames of y-websocket: y-protocols' sync (version 1), awareness, auth and the query for awareness.
//!
//! A frame holds one message or several. A message of an unknown type has no length, so what follows it cannot be read.

use bytes::Bytes;

use super::lib0::{self, Malformed, Reader};

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const QUERY_AWARENESS: u64 = 3;

const STEP_1: u64 = 0;
const STEP_2: u64 = 1;
const UPDATE: u64 = 2;

const PERMISSION_DENIED: u64 = 0;

/// Messages of one frame that are read; the rest is passed over. An honest client puts one or two into a frame.
pub(crate) const MAX_MESSAGES: usize = 64;

/// A message from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// What the client has, as a state vector: it asks for the rest.
    Step1(&'a [u8]),
    /// What the client has and this gateway lacks; and every later change.
    Update(&'a [u8]),
    /// States of clients: cursors, names.
    Awareness(&'a [u8]),
    /// It asks for every state.
    QueryAwareness,
}

/// The messages of a frame. Types that only servers send, and unknown ones, end it.
pub(crate) fn read(frame: &[u8]) -> Result<Vec<Message<'_>>, Malformed> {
    let mut reader = Reader::new(frame);
    let mut messages = Vec::new();
    while !reader.is_empty() && messages.len() < MAX_MESSAGES {
        messages.push(match reader.uint()? {
            SYNC => match reader.uint()? {
                STEP_1 => Message::Step1(reader.bytes()?),
                STEP_2 | UPDATE => Message::Update(reader.bytes()?),
                _ => return Err(Malformed),
            },
            AWARENESS => Message::Awareness(reader.bytes()?),
            QUERY_AWARENESS => Message::QueryAwareness,
            _ => break,
        });
    }
    Ok(messages)
}

fn sync(step: u64, body: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(body.len() + 8);
    lib0::uint(&mut out, SYNC);
    lib0::uint(&mut out, step);
    lib0::bytes(&mut out, body);
    out.into()
}

/// Asks the client for what the state vector lacks.
pub(crate) fn step_1(state_vector: &[u8]) -> Bytes {
    sync(STEP_1, state_vector)
}

/// Answers a client's first step.
pub(crate) fn step_2(update: &[u8]) -> Bytes {
    sync(STEP_2, update)
}

/// A change.
pub(crate) fn update(update: &[u8]) -> Bytes {
    sync(UPDATE, update)
}

/// States of clients.
pub(crate) fn awareness(update: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(update.len() + 8);
    lib0::uint(&mut out, AWARENESS);
    lib0::bytes(&mut out, update);
    out.into()
}

/// The client's change was dropped.
pub(crate) fn permission_denied(reason: &str) -> Bytes {
    let mut out = Vec::with_capacity(reason.len() + 8);
    lib0::uint(&mut out, AUTH);
    lib0::uint(&mut out, PERMISSION_DENIED);
    lib0::bytes(&mut out, reason.as_bytes());
    out.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_as_the_stock_client_writes_them() {
        // The first frame of a client with an empty document: step 1 with an empty state vector.
        assert_eq!(read(&[0, 0, 1, 0]), Ok(vec![Message::Step1(&[0])]));
        // The answer to our first step, of a client without content.
        assert_eq!(read(&[0, 1, 2, 0, 0]), Ok(vec![Message::Update(&[0, 0])]));
        assert_eq!(read(&[0, 2, 2, 0, 0]), Ok(vec![Message::Update(&[0, 0])]));
        assert_eq!(read(&[1, 1, 0]), Ok(vec![Message::Awareness(&[0])]));
        assert_eq!(read(&[3]), Ok(vec![Message::QueryAwareness]));
        assert_eq!(read(&[]), Ok(vec![]));
    }

    #[test]
    fn several_messages_share_a_frame_and_an_unknown_type_ends_it() {
        let mut frame = vec![0, 0, 1, 0, 3, 1, 1, 0];
        let all = vec![Message::Step1(&[0]), Message::QueryAwareness, Message::Awareness(&[0])];
        assert_eq!(read(&frame), Ok(all.clone()));
        frame.extend([9, 1, 2, 3]);
        assert_eq!(read(&frame), Ok(all));
        assert_eq!(read(&[0, 7, 0]), Err(Malformed));
        assert_eq!(read(&[0, 0, 5, 0]), Err(Malformed));
        assert_eq!(read(&[3; 1000]).map(|messages| messages.len()), Ok(MAX_MESSAGES));
    }

    #[test]
    fn answers() {
        assert_eq!(&step_1(&[0])[..], [0, 0, 1, 0]);
        assert_eq!(&step_2(&[0, 0])[..], [0, 1, 2, 0, 0]);
        assert_eq!(&update(&[0, 0])[..], [0, 2, 2, 0, 0]);
        assert_eq!(&awareness(&[0])[..], [1, 1, 0]);
        assert_eq!(&permission_denied("no")[..], [2, 0, 2, b'n', b'o']);
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&noise);
        }
    }
}
