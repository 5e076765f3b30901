//! Messages that nobody stores: keystrokes and awareness of open documents. They travel on the gossip topic beside
//! envelopes.

use bytes::Bytes;
use rustdht_core::{Refusal, cbor, ports::MAX_LIVE_BYTES};

use super::parts::{entries, fields, malformed, too_large};

/// A live message: DAG-CBOR `{p: bytes, t: "live"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// What the members understand, at most [`MAX_LIVE_BYTES`].
    pub payload: Bytes,
}

impl Live {
    /// Greatest size of an encoded message: the payload, and 16 bytes around it.
    pub const MAX_BYTES: usize = MAX_LIVE_BYTES + 16;

    /// How every live message begins: a map of two, the key p. The first key of an envelope is c, e, g or h.
    const HEAD: [u8; 3] = [0xa2, 0x61, b'p'];

    /// Whether a gossip message is a live one; every other is an envelope. Says nothing about whether it decodes.
    #[must_use]
    pub fn is(message: &[u8]) -> bool {
        message.starts_with(&Self::HEAD)
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload.len() + 16);
        cbor::map(&mut out, 2);
        cbor::text(&mut out, "p");
        cbor::bytes(&mut out, &self.payload);
        cbor::text(&mut out, "t");
        cbor::text(&mut out, "live");
        out
    }

    /// Reads a live message.
    ///
    /// # Errors
    /// `too_large` above the bound, else `malformed`.
    pub fn decode(message: &[u8]) -> Result<Self, Refusal> {
        if message.len() > Self::MAX_BYTES {
            return Err(too_large("a live message above its bound"));
        }
        let entries = entries(message)?;
        let [payload, kind] = fields(&entries, ["p", "t"])?;
        if kind.item()?.text()? != "live" {
            return Err(malformed("an unknown kind of message"));
        }
        let payload = payload.item()?.bytes()?;
        if payload.len() > MAX_LIVE_BYTES {
            return Err(too_large("a live message above its bound"));
        }
        Ok(Self { payload: Bytes::copy_from_slice(payload) })
    }
}
