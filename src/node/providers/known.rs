//! What lookups have shown of the peers of a DHT.
//!
//! A lookup answers with the peers nearest to its target. All that lie nearer than the farthest of them are known then: the
//! prefix of the target that is one bit longer than what it shares with the farthest is *covered*. A region is known when covered
//! prefixes fill it.

use std::collections::{BTreeMap, VecDeque};

use super::keyspace::{Point, Prefix};

/// Covered prefixes that are remembered: those of some regions around the place of work.
const MAX_COVERED: usize = 64;
/// Peers that are remembered; 20 regions of 30, and some.
const MAX_PEERS: usize = 1024;

/// What is known, `P` being a peer.
#[derive(Clone, Debug)]
pub(crate) struct Known<P> {
    /// How many peers hold a record.
    replicas: usize,
    peers: BTreeMap<Point, P>,
    /// The oldest first.
    covered: VecDeque<Prefix>,
}

impl<P: Clone> Known<P> {
    pub(crate) fn new(replicas: usize) -> Self {
        Self { replicas: replicas.max(1), peers: BTreeMap::new(), covered: VecDeque::new() }
    }

    /// A lookup of `target` ended with these peers.
    pub(crate) fn learn(&mut self, target: &Point, nearest: impl IntoIterator<Item = (Point, P)>) {
        if self.covered.len() >= MAX_COVERED || self.peers.len() >= MAX_PEERS {
            // Regions are worked off in order: what was learnt first lies behind.
            self.covered.drain(..self.covered.len() / 2);
            let covered = &self.covered;
            self.peers.retain(|point, _| covered.iter().any(|prefix| prefix.holds(point)));
        }
        let (mut count, mut farthest) = (0, 256);
        for (point, peer) in nearest {
            count += 1;
            farthest = farthest.min(target.shared(&point));
            self.peers.insert(point, peer);
        }
        // Fewer than were asked for: there are no more.
        let bits = if count < self.replicas { 0 } else { farthest + 1 };
        self.cover(Prefix::of(target, bits));
    }

    fn cover(&mut self, prefix: Prefix) {
        if !self.covered.iter().any(|known| known.covers(&prefix)) {
            self.covered.retain(|known| !prefix.covers(known));
            self.covered.push_back(prefix);
        }
    }

    /// Whether the peers around a point are known.
    pub(crate) fn is_covered(&self, point: &Point) -> bool {
        self.covered.iter().any(|covered| covered.holds(point))
    }

    fn in_prefix(&self, prefix: &Prefix) -> impl Iterator<Item = (&Point, &P)> {
        self.peers.range(prefix.first()..=prefix.last())
    }

    /// The smallest prefix around a point with as many known peers as hold a record: those nearest to the point are among
    /// them once the prefix is covered. `None`: too few are known.
    pub(crate) fn region(&self, point: &Point) -> Option<Prefix> {
        let whole = Prefix::of(point, 0);
        if self.covered.iter().any(|covered| covered.bits() == 0) && self.peers.len() <= self.replicas {
            return Some(whole);
        }
        // The peer that is the so many-th by shared bits tells how long the prefix is.
        let mut shared: Vec<u16> = self.peers.keys().map(|peer| peer.shared(point)).collect();
        if shared.len() < self.replicas {
            return None;
        }
        shared.sort_unstable_by(|a, b| b.cmp(a));
        Some(Prefix::of(point, shared[self.replicas - 1]))
    }

    /// The largest parts of a prefix of which nothing is known, in order, at most `most`.
    pub(crate) fn holes(&self, region: &Prefix, most: usize) -> Vec<Prefix> {
        let mut holes = Vec::new();
        let mut waiting = vec![*region];
        while let Some(prefix) = waiting.pop() {
            if holes.len() >= most {
                break;
            }
            if self.covered.iter().any(|covered| covered.covers(&prefix)) {
                continue;
            }
            match prefix.halves() {
                Some([lower, upper]) if self.covered.iter().any(|covered| prefix.covers(covered)) => {
                    waiting.extend([upper, lower]);
                }
                _ => holes.push(prefix),
            }
        }
        holes
    }

    /// Of the known peers in a prefix, those nearest to a point; nearest first.
    pub(crate) fn nearest(&self, region: &Prefix, point: &Point) -> Vec<(Point, P)> {
        let mut found: Vec<_> =
            self.in_prefix(region).map(|(peer, value)| (peer.distance(point), *peer, value)).collect();
        found.sort_unstable_by_key(|(distance, ..)| *distance);
        found.into_iter().take(self.replicas).map(|(_, peer, value)| (peer, value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(byte: u8) -> Point {
        let mut bytes = [0; 32];
        bytes[0] = byte;
        Point(bytes)
    }

    #[test]
    fn a_lookup_covers_what_is_nearer_than_the_farthest() {
        let mut known = Known::new(3);
        let target = point(0b0001_0000);
        assert_eq!(known.region(&target), None);
        known.learn(&target, [0b0001_0001, 0b0001_1000, 0b0011_0000].map(|byte| (point(byte), byte)));
        // The farthest shares two bits: three are covered.
        assert_eq!(known.region(&target), Some(Prefix::of(&target, 2)));
        let hole = Prefix::of(&point(0b0010_0000), 3);
        assert_eq!(known.holes(&Prefix::of(&target, 2), 9), [hole]);
        known.learn(&point(0b0010_0000), [0b0011_0000, 0b0001_0001, 0b0001_1000].map(|byte| (point(byte), byte)));
        assert_eq!(known.holes(&Prefix::of(&target, 2), 9), []);
        let nearest = known.nearest(&Prefix::of(&target, 2), &point(0b0011_1111));
        assert_eq!(
            nearest.into_iter().map(|(_, byte)| byte).collect::<Vec<_>>(),
            [0b0011_0000, 0b0001_1000, 0b0001_0001]
        );
    }

    #[test]
    fn of_few_peers_all_are_known_at_once() {
        let mut known = Known::new(20);
        known.learn(&point(7), [1, 2, 200].map(|byte| (point(byte), byte)));
        let region = known.region(&point(90)).unwrap();
        assert_eq!((region.bits(), known.holes(&region, 9)), (0, vec![]));
        assert_eq!(
            known.nearest(&region, &point(255)).into_iter().map(|(_, byte)| byte).collect::<Vec<_>>(),
            [200, 2, 1]
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut known = Known::new(1);
        for number in 0..40_000_u32 {
            let target = Point::of(&number.to_be_bytes());
            known.learn(&target, [(target, ())]);
            assert!(known.covered.len() <= MAX_COVERED && known.peers.len() <= MAX_PEERS + 1);
        }
    }
}
