//! Fetched blocks on their way to the writer. Whoever wants one meanwhile gets it here and asks no peer again: some answer
//! a want only once (Helia), and the others would send the block twice.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use crate::digest::Digest;

/// As many as reads that fetch at the moment, and what the writer has queued.
#[derive(Default)]
pub(crate) struct Arriving(Mutex<HashMap<Digest, Bytes>>);

/// Takes the block out again unless it was given to the writer.
pub(crate) struct Landing<'a> {
    arriving: &'a Arriving,
    digest: Option<Digest>,
}

impl Arriving {
    fn blocks(&self) -> MutexGuard<'_, HashMap<Digest, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Look here before the index: a block is in the index before it leaves.
    pub(crate) fn get(&self, digest: &Digest) -> Option<Bytes> {
        self.blocks().get(digest).cloned()
    }

    pub(crate) fn begin(&self, digest: Digest, block: Bytes) -> Landing<'_> {
        self.blocks().insert(digest, block);
        Landing { arriving: self, digest: Some(digest) }
    }

    /// The writer has written it, or could not.
    pub(crate) fn end(&self, digest: &Digest) {
        self.blocks().remove(digest);
    }
}

impl Landing<'_> {
    /// The writer has it: it says when it is done.
    pub(crate) fn handed_over(mut self) {
        self.digest = None;
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        if let Some(digest) = &self.digest {
            self.arriving.end(digest);
        }
    }
}
