//! Hashing what came, a bounded amount at a time.

use std::vec::IntoIter;

use bytes::Bytes;

use crate::hash::Key;
use crate::limits::MAX_HASHED_AT_ONCE;
use crate::wire::{Message, Payload};

/// A message whose blocks are being hashed.
#[derive(Debug)]
pub(super) struct Verifying {
    message: Message,
    left: IntoIter<Payload>,
    done: Vec<(Key, Bytes)>,
}

/// A message whose blocks are named by what they hash to.
#[derive(Debug)]
pub(crate) struct Verified {
    /// The message without its blocks.
    pub(crate) message: Message,
    pub(crate) blocks: Vec<(Key, Bytes)>,
}

impl Verifying {
    pub(super) fn new(mut message: Message) -> Self {
        let blocks = std::mem::take(&mut message.blocks);
        Self { message, done: Vec::with_capacity(blocks.len()), left: blocks.into_iter() }
    }

    /// Hashes some blocks.
    pub(super) fn step(mut self) -> Result<Verified, Self> {
        let mut hashed = 0;
        for Payload { hash, data } in self.left.by_ref() {
            hashed += data.len();
            self.done.push((hash.of(&data), data));
            if hashed >= MAX_HASHED_AT_ONCE {
                break;
            }
        }
        if self.left.len() > 0 {
            return Err(self);
        }
        Ok(Verified { message: self.message, blocks: self.done })
    }
}
