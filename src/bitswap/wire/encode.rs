//! Writes a message as pieces, so that blocks are not copied.

use std::collections::VecDeque;

use bytes::Bytes;
use cid::{Cid, Version as CidVersion};

use super::proto::{put_bytes, put_head, put_number, put_varint, varint_len};
use super::{Entry, Kind, Presence, Version, is_v10};

/// A message ready to be written: its pieces in order. Cloning is cheap, so that it can be written again to a fresh
/// stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    pieces: VecDeque<Bytes>,
}

impl Frame {
    /// What is to be written next; empty at the end.
    pub(crate) fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    /// Takes `len` bytes off the front.
    pub(crate) fn advance(&mut self, len: usize) {
        if let Some(piece) = self.pieces.front_mut() {
            drop(piece.split_to(len));
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    /// All bytes in one piece.
    #[cfg(test)]
    pub(crate) fn concat(&self) -> Vec<u8> {
        self.pieces.iter().flatten().copied().collect()
    }
}

/// A message with its length in front. What the peer's version cannot express is left out; `None` when nothing is left.
pub(crate) fn encode(
    version: Version,
    full: bool,
    wants: &[Entry],
    presences: &[Presence],
    blocks: &[(Cid, Bytes)],
) -> Option<Frame> {
    let mut head = Vec::new();
    put_wantlist(&mut head, version, full, wants);
    if version == Version::V12 {
        for presence in presences {
            put_presence(&mut head, presence);
        }
    }

    let mut pieces = VecDeque::new();
    for (cid, data) in blocks {
        if version == Version::V10 {
            if !is_v10(cid) {
                continue;
            }
            put_head(&mut head, 2, data.len());
        } else {
            let prefix = prefix(cid);
            let inner = 1 + varint_len(prefix.len() as u64) + prefix.len() + 1 + varint_len(data.len() as u64);
            put_head(&mut head, 3, inner + data.len());
            put_bytes(&mut head, 1, &prefix);
            put_head(&mut head, 2, data.len());
        }
        pieces.push_back(Bytes::from(std::mem::take(&mut head)));
        pieces.push_back(data.clone());
    }
    if !head.is_empty() {
        pieces.push_back(Bytes::from(head));
    }
    pieces.retain(|piece| !piece.is_empty());
    let len: usize = pieces.iter().map(Bytes::len).sum();

    // The length goes into the first piece: a write of its own would become a frame of its own in the multiplexer.
    let second = pieces.pop_front()?;
    let mut first = Vec::with_capacity(4 + second.len());
    put_varint(&mut first, len as u64);
    first.extend_from_slice(&second);
    pieces.push_front(Bytes::from(first));
    Some(Frame { pieces })
}

fn put_wantlist(out: &mut Vec<u8>, version: Version, full: bool, wants: &[Entry]) {
    let mut list = Vec::with_capacity(wants.len() * 48);
    let mut one = Vec::with_capacity(64);
    for want in wants {
        if version != Version::V12 && want.kind == Kind::Have && !want.cancel {
            continue;
        }
        one.clear();
        put_bytes(&mut one, 1, &want.cid.to_bytes());
        put_number(&mut one, 2, want.priority as i64 as u64);
        if want.cancel {
            put_number(&mut one, 3, 1);
        }
        if version == Version::V12 && want.kind == Kind::Have {
            put_number(&mut one, 4, 1);
        }
        if version == Version::V12 && want.send_dont_have {
            put_number(&mut one, 5, 1);
        }
        put_bytes(&mut list, 1, &one);
    }
    if full {
        put_number(&mut list, 2, 1);
    }
    if !list.is_empty() {
        put_bytes(out, 1, &list);
    }
}

fn put_presence(out: &mut Vec<u8>, presence: &Presence) {
    let mut one = Vec::with_capacity(48);
    put_bytes(&mut one, 1, &presence.cid.to_bytes());
    put_number(&mut one, 2, u64::from(!presence.have));
    put_bytes(out, 4, &one);
}

/// Version, codec, hash function and digest length of a CID.
fn prefix(cid: &Cid) -> Vec<u8> {
    let mut out = Vec::with_capacity(8);
    put_varint(&mut out, u64::from(cid.version() == CidVersion::V1));
    put_varint(&mut out, cid.codec());
    put_varint(&mut out, cid.hash().code());
    put_varint(&mut out, u64::from(cid.hash().size()));
    out
}
