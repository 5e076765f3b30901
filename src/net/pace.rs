//! How fast somebody may go on: each step costs time, and somebody may be ahead of the clock by a window.
//!
//! The generic cell rate algorithm (ITU-T I.371), which needs one number for each rate.

/// The pace of one peer in one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    /// When everything taken so far is paid for, in microseconds of the steady clock.
    paid_us: u64,
}

impl Pace {
    /// Takes a step that costs `cost_us`; `false`, and nothing is taken, when that would be more than `window_us` ahead.
    pub(crate) fn take(&mut self, now_ms: u64, cost_us: u64, window_us: u64) -> bool {
        let now_us = now_ms.saturating_mul(1000);
        let paid_us = self.paid_us.max(now_us).saturating_add(cost_us);
        let within = paid_us - now_us <= window_us;
        if within {
            self.paid_us = paid_us;
        }
        within
    }

    /// Whether nothing is owed any more.
    pub(crate) fn is_idle(&self, now_ms: u64) -> bool {
        self.paid_us <= now_ms.saturating_mul(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut pace = Pace::default();
        // Ten a second, and as many at once.
        let mut taken = |now_ms| (0..100).filter(|_| pace.take(now_ms, 100_000, 1_000_000)).count();
        assert_eq!([taken(5_000), taken(5_000), taken(5_099), taken(5_100), taken(5_450)], [10, 0, 0, 1, 3]);
        assert_eq!(taken(60_000), 10, "no more than a burst is saved up");
        assert!(!pace.is_idle(60_999) && pace.is_idle(61_000));
    }

    #[test]
    fn a_step_that_costs_more_than_the_window_is_never_taken() {
        let mut pace = Pace::default();
        assert!(!pace.take(0, 11, 10) && !pace.take(9, 11, 10) && pace.take(9, 10, 10));
    }
}
