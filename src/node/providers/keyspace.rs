//! The keyspace of a Kademlia DHT: points are SHA-256 of keys and of peer ids, near is what shares many leading bits.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A point of the keyspace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Point(pub(crate) [u8; 32]);

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}..", self.head())
    }
}

impl Point {
    /// Where a key lies: a multihash, or the bytes of a peer id.
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// The first 64 bits.
    pub(crate) fn head(&self) -> u64 {
        self.0.iter().take(8).fold(0, |head, byte| head << 8 | u64::from(*byte))
    }

    /// How many leading bits two points share.
    pub(crate) fn shared(&self, other: &Self) -> u16 {
        match self.0.iter().zip(&other.0).position(|(a, b)| a != b) {
            Some(at) => at as u16 * 8 + (self.0[at] ^ other.0[at]).leading_zeros() as u16,
            None => 256,
        }
    }

    /// The XOR distance.
    pub(crate) fn distance(&self, other: &Self) -> [u8; 32] {
        std::array::from_fn(|at| self.0[at] ^ other.0[at])
    }
}

/// All points that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix {
    /// Zero behind the bits.
    first: Point,
    bits: u16,
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.first, self.bits)
    }
}

impl Prefix {
    /// The first `bits` of a point, at most 256.
    pub(crate) fn of(point: &Point, bits: u16) -> Self {
        let bits = bits.min(256);
        let mut first = *point;
        for (at, byte) in first.0.iter_mut().enumerate() {
            let kept = usize::from(bits).saturating_sub(at * 8).min(8);
            *byte &= !(0xff_u16 >> kept) as u8;
        }
        Self { first, bits }
    }

    pub(crate) fn bits(&self) -> u16 {
        self.bits
    }

    pub(crate) fn holds(&self, point: &Point) -> bool {
        self.first.shared(point) >= self.bits
    }

    /// Whether all of `other` lies in it.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.holds(&other.first)
    }

    pub(crate) const fn first(&self) -> Point {
        self.first
    }

    pub(crate) fn last(&self) -> Point {
        let mut last = self.first;
        for (at, byte) in last.0.iter_mut().enumerate() {
            let kept = usize::from(self.bits).saturating_sub(at * 8).min(8);
            *byte |= (0xff_u16 >> kept) as u8;
        }
        last
    }

    /// Its two halves; `None` for a single point.
    pub(crate) fn halves(&self) -> Option<[Self; 2]> {
        let bit = usize::from(self.bits);
        if bit >= 256 {
            return None;
        }
        let mut upper = self.first;
        upper.0[bit / 8] |= 0x80 >> (bit % 8);
        let bits = self.bits + 1;
        Some([Self { first: self.first, bits }, Self { first: upper, bits }])
    }
}

/// Bits of a prefix for which [`key_in`] finds a key: 2^22 digests would take a second.
const MAX_SOUGHT_BITS: u16 = 22;

/// A key that lies in a prefix, found by trying: a DHT is asked by key and not by point. It looks like a SHA-256 multihash, so
/// that any peer takes it. `None` for a prefix of more than 22 bits, which only a DHT of 2^26 peers has.
pub(crate) fn key_in(prefix: &Prefix) -> Option<Vec<u8>> {
    if prefix.bits > MAX_SOUGHT_BITS {
        return None;
    }
    let mut key = [0; 34];
    key[..2].copy_from_slice(&[0x12, 0x20]);
    // Expected: 2^bits. Eight times as many are not enough once in three thousand prefixes.
    (0..8_u64 << prefix.bits).find_map(|number| {
        key[26..].copy_from_slice(&number.to_be_bytes());
        prefix.holds(&Point::of(&key)).then(|| key.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(head: u16) -> Point {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&head.to_be_bytes());
        Point(bytes)
    }

    #[test]
    fn prefixes_hold_cover_and_halve() {
        let prefix = Prefix::of(&point(0b1011_0110_1111_0000), 9);
        assert_eq!(prefix.first(), point(0b1011_0110_1000_0000));
        assert!(prefix.holds(&point(0b1011_0110_1000_0001)) && !prefix.holds(&point(0b1011_0110_0111_1111)));
        let [lower, upper] = prefix.halves().unwrap();
        assert_eq!((lower.first(), upper.first()), (prefix.first(), point(0b1011_0110_1100_0000)));
        assert!(prefix.covers(&lower) && prefix.covers(&upper) && prefix.covers(&prefix) && !lower.covers(&prefix));
        assert_eq!(prefix.last().0[..2], [0b1011_0110, 0xff]);
        let whole = Prefix::of(&point(77), 0);
        assert_eq!((whole.first(), whole.last()), (Point([0; 32]), Point([0xff; 32])));
        assert_eq!(Prefix::of(&point(1), 256).halves(), None);
    }

    #[test]
    fn a_key_is_found_in_any_prefix_of_use() {
        for bits in 0..=12 {
            for head in [0, 0x5555, 0xffff] {
                let prefix = Prefix::of(&point(head), bits);
                let key = key_in(&prefix).unwrap();
                assert!(prefix.holds(&Point::of(&key)) && key.len() == 34, "{prefix:?}");
            }
        }
        assert_eq!(key_in(&Prefix::of(&point(0), 23)), None);
    }

    proptest! {
        #[test]
        fn what_shares_as_many_bits_lies_in_the_prefix(a in any::<[u8; 32]>(), b in any::<[u8; 32]>(), bits in 0..=256_u16) {
            let (a, b) = (Point(a), Point(b));
            let prefix = Prefix::of(&a, bits);
            prop_assert!(prefix.holds(&a));
            prop_assert_eq!(prefix.holds(&b), a.shared(&b) >= bits);
            prop_assert_eq!(prefix.holds(&b), (prefix.first()..=prefix.last()).contains(&b));
        }
    }
}
