//! Which faults of a peer are worth an event.

use crate::Fault;

/// Kinds of faults.
const KINDS: usize = 7;

/// How often a peer did what, and what was not reported yet.
#[derive(Debug, Default)]
pub(super) struct Faults {
    counts: [u64; KINDS],
    unreported: [u64; KINDS],
}

impl Faults {
    /// Notes a fault. Gives it, with what has gathered since the last report, when it is the first, second, fourth,
    /// eighth ... of its kind: a peer cannot make more noise than that.
    pub(super) fn note(&mut self, fault: &Fault) -> Option<Fault> {
        let (kind, amount) = match fault {
            Fault::Malformed(_) => (0, 0),
            Fault::WantlistTooLong { dropped } => (1, *dropped),
            Fault::UnwantedBlocks { .. } => (2, 0),
            Fault::Refused { items } => (3, *items),
            Fault::ReadTimedOut => (4, 0),
            Fault::WriteTimedOut => (5, 0),
            Fault::TooManyStreams => (6, 0),
        };
        self.counts[kind] += 1;
        self.unreported[kind] += amount;
        if !self.counts[kind].is_power_of_two() {
            return None;
        }
        let gathered = std::mem::take(&mut self.unreported[kind]);
        Some(match fault {
            Fault::WantlistTooLong { .. } => Fault::WantlistTooLong { dropped: gathered },
            Fault::Refused { .. } => Fault::Refused { items: gathered },
            other => other.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_get_rarer_and_hold_what_was_left_out() {
        let mut faults = Faults::default();
        let reports: Vec<_> = (0..8).filter_map(|_| faults.note(&Fault::WantlistTooLong { dropped: 10 })).collect();
        let dropped: Vec<_> = [10, 10, 20, 40].map(|dropped| Fault::WantlistTooLong { dropped }).into();
        assert_eq!(reports, dropped);
        assert_eq!(faults.note(&Fault::ReadTimedOut), Some(Fault::ReadTimedOut));
    }
}
