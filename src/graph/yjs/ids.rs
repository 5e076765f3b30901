//! Names of elements, ranges of them, and what a document holds of each client.

use std::collections::BTreeMap;

use rustdht_core::Refusal;

use super::lib0::{Reader, malformed, write_uint};

/// Clocks stay below this, so that a sum of two fits everywhere (yrs counts in 32 signed bits).
pub const MAX_CLOCK: u32 = i32::MAX as u32;

/// An element: the `clock`-th that `client` made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The client, at most 2^53 - 1.
    pub client: u64,
    /// Its clock.
    pub clock: u32,
}

impl Id {
    pub(super) const fn new(client: u64, clock: u32) -> Self {
        Self { client, clock }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let id = Self { client: reader.uint()?, clock: reader.uint32()? };
        if id.clock >= MAX_CLOCK { Err(malformed("a Yjs update holds a clock beyond 2^31")) } else { Ok(id) }
    }

    pub(super) fn encode(self, out: &mut Vec<u8>) {
        write_uint(out, self.client);
        write_uint(out, u64::from(self.clock));
    }
}

/// Sets of elements: per client ascending ranges that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    clients: BTreeMap<u64, Vec<(u32, u32)>>,
}

impl Ranges {
    /// Adds the clocks from `start` up to and without `end`.
    pub fn insert(&mut self, client: u64, start: u32, end: u32) {
        if start >= end {
            return;
        }
        let ranges = self.clients.entry(client).or_default();
        match ranges.last_mut() {
            Some(last) if start > last.1 => ranges.push((start, end)),
            None => ranges.push((start, end)),
            Some(last) if start >= last.0 => last.1 = last.1.max(end),
            Some(_) => {
                let first = ranges.partition_point(|range| range.1 < start);
                let after = ranges.partition_point(|range| range.0 <= end);
                let merged = ranges[first..after]
                    .iter()
                    .fold((start, end), |all, range| (all.0.min(range.0), all.1.max(range.1)));
                ranges.splice(first..after, [merged]);
            }
        }
    }

    /// Adds every range of another set.
    pub fn extend(&mut self, other: &Self) {
        for (client, start, end) in other.iter() {
            self.insert(client, start, end);
        }
    }

    /// Takes away every range of another set.
    pub fn subtract(&mut self, other: &Self) {
        for (client, taken) in &other.clients {
            let Some(ranges) = self.clients.get_mut(client) else { continue };
            let mut left = Vec::new();
            let mut taken = taken.iter().peekable();
            for (mut start, end) in std::mem::take(ranges) {
                while let Some((from, to)) = taken.peek() {
                    if *from >= end {
                        break;
                    }
                    if start < *from {
                        left.push((start, *from));
                    }
                    start = start.max(*to);
                    if *to > end {
                        break;
                    }
                    taken.next();
                }
                if start < end {
                    left.push((start, end));
                }
            }
            if left.is_empty() {
                self.clients.remove(client);
            } else {
                *ranges = left;
            }
        }
    }

    /// Every range: client, first clock, clock behind the last; ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32, u32)> {
        self.clients.iter().flat_map(|(client, ranges)| ranges.iter().map(|(start, end)| (*client, *start, *end)))
    }

    /// The clients named.
    pub fn clients(&self) -> impl DoubleEndedIterator<Item = (u64, &[(u32, u32)])> {
        self.clients.iter().map(|(client, ranges)| (*client, &**ranges))
    }

    /// The ranges of one client.
    #[must_use]
    pub fn of(&self, client: u64) -> &[(u32, u32)] {
        self.clients.get(&client).map_or(&[], Vec::as_slice)
    }

    /// Whether an element is in.
    #[must_use]
    pub fn contains(&self, id: Id) -> bool {
        let ranges = self.of(id.client);
        let at = ranges.partition_point(|range| range.1 <= id.clock);
        ranges.get(at).is_some_and(|range| range.0 <= id.clock)
    }

    /// Whether the sets have an element in common.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        other.iter().any(|(client, start, end)| {
            let ranges = self.of(client);
            let at = ranges.partition_point(|range| range.1 <= start);
            ranges.get(at).is_some_and(|range| range.0 < end)
        })
    }

    /// Whether nothing is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }
}

/// How much of each client's sequence is held: every clock below the one given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateVector {
    clocks: BTreeMap<u64, u32>,
}

impl StateVector {
    /// The clock behind the last that is held of a client; 0: none.
    #[must_use]
    pub fn get(&self, client: u64) -> u32 {
        self.clocks.get(&client).copied().unwrap_or_default()
    }

    /// Raises a client's clock.
    pub fn raise(&mut self, client: u64, clock: u32) {
        if clock > 0 {
            let held = self.clocks.entry(client).or_default();
            *held = clock.max(*held);
        }
    }

    /// Clients and clocks, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u32)> {
        self.clocks.iter().map(|(client, clock)| (*client, *clock))
    }

    /// Reads a Yjs state vector, as the first sync step carries it.
    ///
    /// # Errors
    /// `bad_value` when it is not one, names a client twice, or a clock beyond [`MAX_CLOCK`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(bytes);
        let mut vector = Self::default();
        for _ in 0..reader.uint()? {
            let (client, clock) = (reader.uint()?, reader.uint32()?);
            if clock > MAX_CLOCK || vector.clocks.insert(client, clock).is_some() {
                return Err(malformed("a Yjs state vector names a client twice, or a clock beyond 2^31"));
            }
        }
        reader.finish()?;
        vector.clocks.retain(|_, clock| *clock > 0);
        Ok(vector)
    }

    /// The Yjs encoding, greatest client first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_uint(&mut out, self.clocks.len() as u64);
        for (client, clock) in self.iter().rev() {
            Id::new(client, clock).encode(&mut out);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn built(ranges: &[(u32, u32)]) -> (Ranges, BTreeSet<u32>) {
        let mut made = Ranges::default();
        let mut wanted = BTreeSet::new();
        for (start, len) in ranges {
            made.insert(7, *start, start + len);
            wanted.extend(*start..start + len);
        }
        (made, wanted)
    }

    fn elements(ranges: &Ranges) -> BTreeSet<u32> {
        ranges.iter().flat_map(|(_, start, end)| start..end).collect()
    }

    proptest! {
        #[test]
        fn ranges_are_sets(
            a in prop::collection::vec((0_u32..40, 0_u32..6), 0..12),
            b in prop::collection::vec((0_u32..40, 0_u32..6), 0..12),
        ) {
            let ((mut left, held), (right, taken)) = (built(&a), built(&b));
            prop_assert_eq!(elements(&left), held.clone());
            prop_assert!(left.of(7).windows(2).all(|pair| pair[0].1 < pair[1].0), "ranges neither touch nor overlap");
            prop_assert_eq!(left.meets(&right), held.intersection(&taken).next().is_some());
            for clock in 0..50 {
                prop_assert_eq!(left.contains(Id::new(7, clock)), held.contains(&clock));
            }
            left.subtract(&right);
            prop_assert_eq!(elements(&left), held.difference(&taken).copied().collect::<BTreeSet<_>>());
        }
    }

    #[test]
    fn state_vectors_read_back() {
        let mut vector = StateVector::default();
        vector.raise(3, 9);
        vector.raise(1 << 40, 1);
        vector.raise(5, 0);
        assert_eq!(StateVector::decode(&vector.encode()), Ok(vector));
        assert!(StateVector::decode(&[2, 3, 1, 3, 2]).is_err(), "a client twice");
        assert!(StateVector::decode(&[1, 3]).is_err());
        assert!(StateVector::decode(&[0, 0]).is_err());
    }
}
