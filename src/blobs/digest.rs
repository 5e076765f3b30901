//! Which hash functions are known, and where the block of a CID is kept.

use bytes::Bytes;
use cid::Cid;
use sha2::Digest as _;

/// Multicodec `identity`: the digest is the block.
const IDENTITY: u64 = 0x00;
/// Multicodec `sha2-256`.
const SHA2_256: u8 = 0x12;
/// Multicodec `blake3`, here with 32 bytes only.
const BLAKE3: u8 = 0x1e;

/// Length of a digest that the store keeps blocks under.
const DIGEST_BYTES: usize = 32;
/// Length of such a multihash: function, length, digest.
pub(crate) const MULTIHASH_BYTES: usize = 2 + DIGEST_BYTES;

/// The multihash of a stored block. Blocks are keyed by it, not by CID: the same bytes under two codecs are one block.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest {
    function: u8,
    bytes: [u8; DIGEST_BYTES],
}

/// Where the block of a CID is to be found.
pub(crate) enum Place {
    /// In the CID itself.
    Inline(Bytes),
    /// In a pack, if anywhere.
    Stored(Digest),
    /// The hash function is not known here, or its digest is truncated.
    Unknown,
}

impl Place {
    pub(crate) fn of(cid: &Cid) -> Self {
        let hash = cid.hash();
        if hash.code() == IDENTITY {
            return Self::Inline(Bytes::copy_from_slice(hash.digest()));
        }
        match (u8::try_from(hash.code()), hash.digest().try_into()) {
            (Ok(function @ (SHA2_256 | BLAKE3)), Ok(bytes)) => Self::Stored(Digest { function, bytes }),
            _ => Self::Unknown,
        }
    }
}

impl Digest {
    /// The multihash as bytes.
    pub(crate) fn to_multihash(self) -> [u8; MULTIHASH_BYTES] {
        let mut out = [0; MULTIHASH_BYTES];
        out[0] = self.function;
        out[1] = DIGEST_BYTES as u8;
        out[2..].copy_from_slice(&self.bytes);
        out
    }

    /// Reads a multihash; `None` when it is no known function with 32 bytes.
    pub(crate) fn from_multihash(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; MULTIHASH_BYTES] = bytes.try_into().ok()?;
        let (head, digest) = bytes.split_first_chunk::<2>()?;
        match head {
            [function @ (SHA2_256 | BLAKE3), 32] => Some(Self { function: *function, bytes: digest.try_into().ok()? }),
            _ => None,
        }
    }

    /// Whether `data` hashes to this.
    pub(crate) fn matches(&self, data: &[u8]) -> bool {
        match self.function {
            SHA2_256 => sha2::Sha256::digest(data).as_slice() == self.bytes,
            BLAKE3 => *blake3::hash(data).as_bytes() == self.bytes,
            _ => false,
        }
    }

    /// A number below 256 that is spread evenly over honest digests.
    pub(crate) const fn shard(&self) -> u8 {
        self.bytes[DIGEST_BYTES - 1]
    }
}

#[cfg(test)]
pub(crate) fn sha2_256(data: &[u8]) -> Digest {
    Digest { function: SHA2_256, bytes: sha2::Sha256::digest(data).into() }
}

#[cfg(test)]
pub(crate) fn cid_of(codec: u64, data: &[u8]) -> Cid {
    let hash = multihash::Multihash::from_bytes(&sha2_256(data).to_multihash()).unwrap();
    Cid::new_v1(codec, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_functions_are_told_from_unknown_ones() {
        let blake = multihash::Multihash::<64>::wrap(0x1e, blake3::hash(b"a").as_bytes()).unwrap();
        let Place::Stored(digest) = Place::of(&Cid::new_v1(0x55, blake)) else { panic!("blake3 is known") };
        assert!(digest.matches(b"a") && !digest.matches(b"b"));
        assert!(Digest::from_multihash(&digest.to_multihash()) == Some(digest));

        let inline = multihash::Multihash::wrap(0, b"inline").unwrap();
        assert!(matches!(Place::of(&Cid::new_v1(0x55, inline)), Place::Inline(bytes) if bytes == "inline"));

        let truncated = multihash::Multihash::wrap(0x12, &[7; 20]).unwrap();
        assert!(matches!(Place::of(&Cid::new_v1(0x55, truncated)), Place::Unknown));
        let sha512 = multihash::Multihash::wrap(0x13, &[7; 64]).unwrap();
        assert!(matches!(Place::of(&Cid::new_v1(0x55, sha512)), Place::Unknown));
        assert!(Digest::from_multihash(&[0x12; 34]).is_none() && Digest::from_multihash(&[]).is_none());
    }
}
