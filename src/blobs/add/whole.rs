//! The sha2-256 of a whole file, beside the hashes of its chunks.

use std::sync::Arc;

use rustdht_core::ports::BlobError;
use sha2::{Digest as _, Sha256};

use crate::hashing::{Hashing, begin};

/// Hashing on another thread, one piece behind. A file of one piece is not hashed before it has to be: mostly it is one
/// chunk, and the hash of that is known.
pub(super) enum Whole {
    First(Arc<Vec<u8>>),
    Running(Hashing<Sha256>),
}

impl Whole {
    pub(super) const fn of(first: Arc<Vec<u8>>) -> Self {
        Self::First(first)
    }

    /// Takes the next piece, after the one before it is done.
    pub(super) async fn push(&mut self, piece: &Arc<Vec<u8>>) -> Result<(), BlobError> {
        let piece = Arc::clone(piece);
        let next = match self {
            Self::First(first) => {
                let first = Arc::clone(first);
                begin(move || Sha256::new_with_prefix(&*first).chain_update(&*piece))
            }
            Self::Running(hashing) => {
                let hasher = hashing.await.map_err(std::io::Error::other)?;
                begin(move || hasher.chain_update(&*piece))
            }
        };
        *self = Self::Running(next);
        Ok(())
    }

    pub(super) async fn finish(self) -> Result<[u8; 32], BlobError> {
        let hasher = match self {
            Self::First(first) => begin(move || Sha256::new_with_prefix(&*first)),
            Self::Running(hashing) => hashing,
        };
        Ok(hasher.await.map_err(std::io::Error::other)?.finalize().into())
    }
}
