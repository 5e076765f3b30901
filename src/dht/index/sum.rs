//! Sums of ids modulo 2^256.

/// A sum of 32-byte little-endian integers modulo 2^256. Sums add and subtract, so a range is the difference of two
/// prefixes, and two disjoint sets are the sum of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum([u64; 4]);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self([0; 4]);

    /// The sum of one id.
    #[must_use]
    pub fn of(id: &[u8; 32]) -> Self {
        let mut limbs = [0; 4];
        for (limb, bytes) in limbs.iter_mut().zip(id.chunks_exact(8)) {
            *limb = bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        }
        Self(limbs)
    }

    /// The bytes, little-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        bytes
    }

    /// This sum and `other`.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let mut carry = false;
        let mut index = 0;
        Self(self.0.map(|limb| {
            let (sum, over) = limb.overflowing_add(other.0[index]);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            carry = over || again;
            index += 1;
            sum
        }))
    }

    /// This sum without `other`.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let mut borrow = false;
        let mut index = 0;
        Self(self.0.map(|limb| {
            let (rest, under) = limb.overflowing_sub(other.0[index]);
            let (rest, again) = rest.overflowing_sub(u64::from(borrow));
            borrow = under || again;
            index += 1;
            rest
        }))
    }
}
