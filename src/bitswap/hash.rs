//! Which hash functions are known, and what a block is keyed by.

use blake2::Blake2b;
use blake2::digest::consts::U32;
use bytes::Bytes;
use cid::Cid;
use sha2::Digest as _;

use crate::Error;

/// Multicodec `identity`: the digest is the block.
const IDENTITY: u64 = 0x00;
/// Multicodec `sha2-256`.
pub(crate) const SHA2_256: u64 = 0x12;
/// Multicodec `sha2-512`.
const SHA2_512: u64 = 0x13;
/// Multicodec `blake3`.
const BLAKE3: u64 = 0x1e;
/// Multicodec `blake2b-256`.
const BLAKE2B_256: u64 = 0xb220;

/// What wants are keyed by. The same bytes under two codecs are one block.
pub(crate) type Key = multihash::Multihash<64>;

/// A hash function of which the whole digest is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha2_256,
    Sha2_512,
    Blake3,
    Blake2b256,
}

impl Hash {
    /// The function of a multicodec with a digest of `len` bytes. A truncated digest counts as unknown: it would make
    /// collisions cheap.
    pub(crate) const fn new(code: u64, len: usize) -> Option<Self> {
        match (code, len) {
            (SHA2_256, 32) => Some(Self::Sha2_256),
            (SHA2_512, 64) => Some(Self::Sha2_512),
            (BLAKE3, 32) => Some(Self::Blake3),
            (BLAKE2B_256, 32) => Some(Self::Blake2b256),
            _ => None,
        }
    }

    /// The multihash of `data`; the only place where a block is hashed.
    pub(crate) fn of(self, data: &[u8]) -> Key {
        let key = match self {
            Self::Sha2_256 => Key::wrap(SHA2_256, &sha2::Sha256::digest(data)),
            Self::Sha2_512 => Key::wrap(SHA2_512, &sha2::Sha512::digest(data)),
            Self::Blake3 => Key::wrap(BLAKE3, blake3::hash(data).as_bytes()),
            Self::Blake2b256 => Key::wrap(BLAKE2B_256, &Blake2b::<U32>::digest(data)),
        };
        key.expect("no digest here is longer than 64 bytes")
    }
}

/// Where the block of a CID is to be had.
#[derive(Debug)]
pub(crate) enum Place {
    /// In the CID itself.
    Inline(Bytes),
    /// At a peer, if anywhere.
    Network,
}

impl Place {
    pub(crate) fn of(cid: &Cid) -> Result<Self, Error> {
        let hash = cid.hash();
        if hash.code() == IDENTITY {
            return Ok(Self::Inline(Bytes::copy_from_slice(hash.digest())));
        }
        match Hash::new(hash.code(), hash.digest().len()) {
            Some(_) => Ok(Self::Network),
            None => Err(Error::UnknownHash { cid: *cid, code: hash.code(), digest_bytes: hash.digest().len() }),
        }
    }
}

/// Whether peers may ask for this. Identity CIDs are nobody's to serve, and boxo ignores them too.
pub(crate) fn servable(cid: &Cid) -> bool {
    cid.hash().code() != IDENTITY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_function_gives_the_digest_of_its_reference() {
        // `printf abc | sha256sum`, `sha512sum`, `b2sum -l 256`, `b3sum`.
        let known = [
            (SHA2_256, 32, "ba7816bf8f01cfea"),
            (SHA2_512, 64, "ddaf35a193617aba"),
            (BLAKE2B_256, 32, "bddd813c63423972"),
            (BLAKE3, 32, "6437b3ac38465133"),
        ];
        for (code, len, start) in known {
            let key = Hash::new(code, len).unwrap().of(b"abc");
            let hex: String = key.digest().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            assert_eq!((key.code(), key.digest().len(), hex.as_str()), (code, len, start));
        }
    }

    #[test]
    fn unknown_and_truncated_hashes_are_refused_by_name_and_identity_needs_no_network() {
        let inline = Cid::new_v1(0x55, Key::wrap(0, b"inline").unwrap());
        assert!(matches!(Place::of(&inline), Ok(Place::Inline(bytes)) if bytes == "inline"));
        assert!(!servable(&inline));
        for (code, digest) in [(0x11, &[7; 20][..]), (SHA2_256, &[7; 20][..]), (0x1b, &[7; 32][..])] {
            let cid = Cid::new_v1(0x55, Key::wrap(code, digest).unwrap());
            let Err(Error::UnknownHash { code: named, .. }) = Place::of(&cid) else { panic!("{code:#x} is refused") };
            assert_eq!(named, code);
        }
    }
}
