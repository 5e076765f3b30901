//! Time that stands still until it is told to move, and randomness from a seed.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use rustdht_core::{Clock, Entropy};

/// A clock that only moves when it is told to.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock at `ms` since the epoch.
    #[must_use]
    pub const fn new(ms: u64) -> Self {
        Self(AtomicU64::new(ms))
    }

    /// Moves on.
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Random bytes that a seed decides.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<(u64, blake3::Hasher)>);

impl SeededEntropy {
    /// The bytes of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_be_bytes());
        Self(Mutex::new((0, hasher)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reader = state.1.finalize_xof();
        reader.set_position(state.0);
        reader.fill(bytes);
        state.0 += bytes.len() as u64;
    }
}
