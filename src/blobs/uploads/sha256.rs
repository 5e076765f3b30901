//! SHA-256 (FIPS 180-4) of a file that comes in parts: its state between two blocks of 64 bytes can be written down and
//! taken up again, which the usual hashers do not offer.

use sha2::{
    compress256,
    digest::{consts::U64, generic_array::GenericArray},
};

/// Bytes of a block of the function.
const BLOCK_BYTES: usize = 64;
/// Blocks given to the function at once: it takes an array, so they are copied, and 4 KiB stay in the nearest cache.
const BATCH: usize = 64;
/// Bytes of a state that is written down.
pub(super) const STATE_BYTES: usize = 32;

/// The initial hash value: the first 32 bits of the fractional parts of the square roots of the first eight primes
/// (FIPS 180-4 section 5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The state after a whole number of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Midstate {
    words: [u32; 8],
}

impl Midstate {
    pub(super) const fn new() -> Self {
        Self { words: INITIAL }
    }

    pub(super) fn from_bytes(bytes: &[u8; STATE_BYTES]) -> Self {
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        Self { words }
    }

    pub(super) fn to_bytes(self) -> [u8; STATE_BYTES] {
        let mut out = [0; STATE_BYTES];
        for (out, word) in out.chunks_mut(4).zip(self.words) {
            out.copy_from_slice(&word.to_be_bytes());
        }
        out
    }

    /// Takes whole blocks; what is left over at the end is given back.
    pub(super) fn update<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let (blocks, rest) = data.as_chunks::<BLOCK_BYTES>();
        let mut batch: [GenericArray<u8, U64>; BATCH] = [GenericArray::default(); BATCH];
        for some in blocks.chunks(BATCH) {
            for (to, block) in batch.iter_mut().zip(some) {
                to.copy_from_slice(block);
            }
            compress256(&mut self.words, &batch[..some.len()]);
        }
        rest
    }

    /// The hash of a file of `before` bytes, all taken, and the rest of it.
    pub(super) fn finish(mut self, before: u64, rest: &[u8]) -> [u8; 32] {
        let bits = (before + rest.len() as u64).wrapping_mul(8);
        let mut last = self.update(rest).to_vec();
        last.push(0x80);
        while last.len() % BLOCK_BYTES != BLOCK_BYTES - 8 {
            last.push(0);
        }
        last.extend_from_slice(&bits.to_be_bytes());
        self.update(&last);
        self.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn it_is_the_usual_hash_wherever_it_was_taken_up_again() {
        let data: Vec<u8> = (0..20_000_u32).map(|at| (at * 7 % 251) as u8).collect();
        for whole in [0, 1, 55, 56, 63, 64, 65, 127, 4096, 4159, 20_000] {
            let data = &data[..whole];
            for split in [0, 64, 4096, 8192].into_iter().filter(|split| *split <= whole) {
                let mut state = Midstate::new();
                assert!(state.update(&data[..split]).is_empty());
                let again = Midstate::from_bytes(&state.to_bytes());
                let hash = again.finish(split as u64, &data[split..]);
                assert_eq!(hash, <[u8; 32]>::from(Sha256::digest(data)), "{whole} bytes, taken up at {split}");
            }
        }
    }
}
