//! Stamps: a hybrid logical clock in one u64, and the admission rule.

use std::{fmt, str::FromStr};

use crate::{Code, Refusal};

/// Up to this far ahead of the physical clock a stamp is admitted at once.
pub const FUTURE_LIMIT_MS: u64 = 60_000;
/// Up to this far ahead a stamp waits until the clock reaches it; further it is refused.
pub const DEFER_LIMIT_MS: u64 = 24 * 3_600_000;

/// Milliseconds since the Unix epoch times 4096, plus a logical counter. In JSON a decimal string.
///
/// `stamp / 4096` is exactly a GUN state: a double of milliseconds has a resolution of 2^-12 until 2039-09-07.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub u64);

/// What the admission rule says of a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Merge now.
    Admitted,
    /// Keep durably and merge when the clock reaches these milliseconds since the epoch.
    Deferred {
        /// When the stamp is due, in milliseconds since the epoch.
        until_ms: u64,
    },
    /// More than 24 hours ahead: refused.
    TooEarly,
}

impl Stamp {
    /// The first stamp of a millisecond. Saturates at the greatest stamp.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(4096))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0 / 4096
    }

    /// Where this stamp stands against the physical clock, never the logical one: one liar cannot drag others ahead.
    #[must_use]
    pub const fn timing(self, now_ms: u64) -> Timing {
        let ahead = self.ms().saturating_sub(now_ms);
        if ahead <= FUTURE_LIMIT_MS {
            Timing::Admitted
        } else if ahead <= DEFER_LIMIT_MS {
            Timing::Deferred { until_ms: self.ms() }
        } else {
            Timing::TooEarly
        }
    }

    /// The time under which reconciliation indexes the stamp: whole seconds since 2020-01-01, earlier ones at 0.
    /// The reference JavaScript of negentropy has 32-bit variable integers, hence the saturation.
    #[must_use]
    pub fn index_seconds(self) -> u32 {
        const EPOCH_2020_S: u64 = 1_577_836_800;
        u32::try_from((self.ms() / 1000).saturating_sub(EPOCH_2020_S)).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Stamp {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        text.parse().map(Self).map_err(|_| Refusal::new(Code::OutOfRange, "a stamp is a decimal u64"))
    }
}

/// The hybrid logical clock of a writer. It advances on admitted stamps only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hlc {
    last: Stamp,
}

impl Hlc {
    /// A clock that has seen `last`.
    #[must_use]
    pub const fn new(last: Stamp) -> Self {
        Self { last }
    }

    /// Takes note of an admitted stamp.
    pub fn observe(&mut self, stamp: Stamp) {
        self.last = self.last.max(stamp);
    }

    /// The next stamp of this writer: `max(physical, last admitted + 1)`.
    pub fn tick(&mut self, now_ms: u64) -> Stamp {
        self.last = Stamp(Stamp::from_ms(now_ms).0.max(self.last.0.saturating_add(1)));
        self.last
    }

    /// The greatest stamp seen or given out.
    #[must_use]
    pub const fn last(&self) -> Stamp {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive() {
        let now = 1_700_000_000_000;
        assert_eq!(Stamp::from_ms(now + FUTURE_LIMIT_MS).timing(now), Timing::Admitted);
        let late = now + FUTURE_LIMIT_MS + 1;
        assert_eq!(Stamp::from_ms(late).timing(now), Timing::Deferred { until_ms: late });
        assert_eq!(
            Stamp::from_ms(now + DEFER_LIMIT_MS).timing(now),
            Timing::Deferred { until_ms: now + DEFER_LIMIT_MS }
        );
        assert_eq!(Stamp::from_ms(now + DEFER_LIMIT_MS + 1).timing(now), Timing::TooEarly);
        assert_eq!(Stamp(u64::MAX).timing(now), Timing::TooEarly);
    }

    #[test]
    fn ticks_rise_when_the_physical_clock_stands_or_falls() {
        let mut clock = Hlc::default();
        let first = clock.tick(1000);
        let second = clock.tick(1000);
        let third = clock.tick(500);
        assert!(first < second && second < third);
        assert_eq!(first, Stamp::from_ms(1000));
    }

    #[test]
    fn index_time_starts_in_2020() {
        assert_eq!(Stamp(0).index_seconds(), 0);
        assert_eq!(Stamp::from_ms(1_577_836_801_999).index_seconds(), 1);
        assert_eq!(
            Stamp(u64::MAX).index_seconds(),
            u32::try_from(u64::MAX / 4096 / 1000 - 1_577_836_800).unwrap_or(u32::MAX)
        );
    }
}
