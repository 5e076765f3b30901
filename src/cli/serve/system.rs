//! The machine's clock and randomness behind the ports of `core`: nothing else in the project reads either.

use std::time::{SystemTime, UNIX_EPOCH};

use rand::{TryRngCore as _, rngs::OsRng};
use rustdht_core::{Clock, Entropy};

/// The wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else takes time from")]
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        OsRng.try_fill_bytes(bytes).expect("without the system's randomness no key or salt may be made");
    }
}

/// Seconds since the epoch, for commands that are no gateway.
pub(crate) fn now_seconds() -> u64 {
    SystemClock.now_ms() / 1000
}

/// Fresh randomness, for commands that are no gateway.
pub(crate) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    OsEntropy.fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_counts_milliseconds_of_this_century() {
        let now = SystemClock.now_ms();
        assert!((1_700_000_000_000..4_000_000_000_000).contains(&now), "{now}");
    }

    #[test]
    fn randomness_differs() {
        let (mut a, mut b) = ([0; 32], [0; 32]);
        OsEntropy.fill(&mut a);
        OsEntropy.fill(&mut b);
        assert_ne!(a, b);
    }
}
