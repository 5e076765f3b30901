//! How many replicas keep a partition, and how many make a write acknowledged.

use rustdht_core::Placement;

/// R' = min(R, replicas).
#[must_use]
pub fn owners(placement: &Placement, replicas: u16) -> u16 {
    placement.replicas.min(replicas).max(1)
}

/// W' = min(W, floor(R'/2) + 1).
#[must_use]
pub fn write_quorum(placement: &Placement, replicas: u16) -> u16 {
    placement.write_quorum.min(owners(placement, replicas) / 2 + 1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quorums_follow_the_number_of_replicas() {
        let placement = Placement::default();
        let quorums: Vec<_> = (0..8).map(|replicas| write_quorum(&placement, replicas)).collect();
        assert_eq!(quorums, [1, 1, 2, 2, 3, 3, 3, 3]);
        assert_eq!(owners(&placement, 9), 5);
        let one = Placement { write_quorum: 1, ..placement };
        assert_eq!(write_quorum(&one, 5), 1);
    }
}
