use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Monotonic time, as a parameter so that tests own it.
pub trait Clock: Send + Sync + 'static {
    /// Time since any fixed moment; never goes back.
    fn now(&self) -> Duration;
}

/// The system's monotonic clock; the default.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where this crate reads the system's clock")]
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}
