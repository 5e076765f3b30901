//! Which hash functions are known, and where the block of a CID is kept.

use blake2::{Blake2b, digest::consts::U32};
use bytes::Bytes;
use cid::Cid;
use multihash::Multihash;
use rustdht_core::ports::{AddHash, BlobError, MAX_BLOCK_BYTES};
use sha2::Digest as _;
use tokio::task::spawn_blocking;

/// Multicodec `identity`: the digest is the block.
const IDENTITY: u64 = 0x00;
/// Multicodec `sha2-256`.
const SHA2_256: u64 = 0x12;
/// Multicodec `sha2-512`.
const SHA2_512: u64 = 0x13;
/// Multicodec `blake3`, here with 32 bytes only.
const BLAKE3: u64 = 0x1e;
/// Multicodec `blake2b-256`.
const BLAKE2B_256: u64 = 0xb220;

/// Length of a digest that the store keeps blocks under.
const DIGEST_BYTES: usize = 32;
/// Length of a key of the store: function, length, digest. That of a sha2-256 multihash, which it was made for.
pub(crate) const KEY_BYTES: usize = 2 + DIGEST_BYTES;

/// The hash function of a key, one byte in packs: its multicodec where that is a varint of one byte, else a number of
/// our own, which no such varint can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
enum Function {
    Sha2 = SHA2_256 as u8,
    /// The first half of the digest: 128 bits against collisions. The whole is compared when a block is put or read.
    Sha2Long = SHA2_512 as u8,
    Blake3 = BLAKE3 as u8,
    Blake2b = 0x80,
    /// No block, but the CID of the root of a file with this sha2-256.
    WholeFile = 0x81,
}

impl Function {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            0x12 => Some(Self::Sha2),
            0x13 => Some(Self::Sha2Long),
            0x1e => Some(Self::Blake3),
            0x80 => Some(Self::Blake2b),
            0x81 => Some(Self::WholeFile),
            _ => None,
        }
    }
}

/// The key of a stored block: its multihash. Blocks are not keyed by CID: the same bytes under two codecs are one block.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest {
    function: Function,
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
        let stored = |function| {
            let bytes = hash.digest().first_chunk().copied();
            bytes.map_or(Self::Unknown, |bytes| Self::Stored(Digest { function, bytes }))
        };
        match (hash.code(), hash.digest().len()) {
            (IDENTITY, _) => Self::Inline(Bytes::copy_from_slice(hash.digest())),
            (SHA2_256, 32) => stored(Function::Sha2),
            (SHA2_512, 64) => stored(Function::Sha2Long),
            (BLAKE3, 32) => stored(Function::Blake3),
            (BLAKE2B_256, 32) => stored(Function::Blake2b),
            _ => Self::Unknown,
        }
    }
}

impl Place {
    /// The key of the block of a CID in bytes, if it is kept under one.
    pub(crate) fn of_bytes(cid: &[u8]) -> Option<Digest> {
        match Self::of(&Cid::try_from(cid).ok()?) {
            Self::Stored(digest) => Some(digest),
            Self::Inline(_) | Self::Unknown => None,
        }
    }
}

impl Digest {
    /// The key of the note that leads from a file's sha2-256 to its root.
    pub(crate) const fn whole_file(sha256: [u8; 32]) -> Self {
        Self { function: Function::WholeFile, bytes: sha256 }
    }

    /// The key of a block with this sha2-256.
    pub(crate) const fn sha2(sha256: [u8; 32]) -> Self {
        Self { function: Function::Sha2, bytes: sha256 }
    }

    /// The key of a block with this blake3.
    pub(crate) const fn blake3(digest: [u8; 32]) -> Self {
        Self { function: Function::Blake3, bytes: digest }
    }

    /// The key as bytes.
    pub(crate) fn to_key(self) -> [u8; KEY_BYTES] {
        let mut out = [0; KEY_BYTES];
        out[0] = self.function as u8;
        out[1] = DIGEST_BYTES as u8;
        out[2..].copy_from_slice(&self.bytes);
        out
    }

    /// Reads a key; `None` when it is no known function with 32 bytes.
    pub(crate) fn from_key(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; KEY_BYTES] = bytes.try_into().ok()?;
        let ([function, len], digest) = bytes.split_first_chunk::<2>()?;
        let function = Function::of(*function).filter(|_| usize::from(*len) == DIGEST_BYTES)?;
        Some(Self { function, bytes: digest.try_into().ok()? })
    }

    /// The multihash that it was made of; `None` where the key says less, and of a note.
    pub(crate) fn multihash(&self) -> Option<Multihash<64>> {
        let code = match self.function {
            Function::Sha2 => SHA2_256,
            Function::Blake3 => BLAKE3,
            Function::Blake2b => BLAKE2B_256,
            Function::Sha2Long | Function::WholeFile => return None,
        };
        Multihash::wrap(code, &self.bytes).ok()
    }

    /// Whether `data` hashes to this. Of a note about a whole file that cannot be told.
    pub(crate) fn matches(&self, data: &[u8]) -> bool {
        match self.function {
            Function::Sha2 => sha2::Sha256::digest(data).as_slice() == self.bytes,
            Function::Sha2Long => sha2::Sha512::digest(data).starts_with(&self.bytes),
            Function::Blake3 => *blake3::hash(data).as_bytes() == self.bytes,
            Function::Blake2b => Blake2b::<U32>::digest(data).as_slice() == self.bytes,
            Function::WholeFile => false,
        }
    }

    /// Whether a block is kept under it, and not a note.
    pub(crate) fn is_block(&self) -> bool {
        self.function != Function::WholeFile
    }

    /// Whether the key says less than the multihash that it was made of.
    pub(crate) fn is_shortened(&self) -> bool {
        self.function == Function::Sha2Long
    }

    /// A number below 256 that is spread evenly over honest digests.
    pub(crate) const fn shard(&self) -> u8 {
        self.bytes[DIGEST_BYTES - 1]
    }
}

/// Whether `data` hashes to the CID. False when the hash function is unknown.
pub(crate) fn hashes_to(cid: &Cid, data: &[u8]) -> bool {
    match Place::of(cid) {
        Place::Inline(inline) => inline == data,
        Place::Stored(digest) if digest.is_shortened() => sha2::Sha512::digest(data).as_slice() == cid.hash().digest(),
        Place::Stored(digest) => digest.matches(data),
        Place::Unknown => false,
    }
}

/// Checks a block against its CID, on a thread that may take its time.
pub(crate) async fn verify(cid: &Cid, block: &Bytes) -> Result<(), BlobError> {
    let (of, bytes) = (*cid, block.clone());
    let sound = block.len() <= MAX_BLOCK_BYTES && spawn_blocking(move || hashes_to(&of, &bytes)).await.unwrap_or(false);
    if sound { Ok(()) } else { Err(BlobError::BadBlock(*cid)) }
}

/// CIDv1 of a block, and its hash.
pub(crate) fn make_cid(codec: u64, hash: AddHash, data: &[u8]) -> Cid {
    let (code, digest): (u64, [u8; 32]) = match hash {
        AddHash::Sha2 => (SHA2_256, sha2::Sha256::digest(data).into()),
        AddHash::Blake3 => (BLAKE3, *blake3::hash(data).as_bytes()),
    };
    wrap(codec, code, &digest)
}

/// CIDv1 with a sha2-256 that is known.
pub(crate) fn sha2_cid(codec: u64, sha256: &[u8; 32]) -> Cid {
    wrap(codec, SHA2_256, sha256)
}

/// CIDv1 with a blake3 that is known.
pub(crate) fn blake3_cid(codec: u64, digest: &[u8; 32]) -> Cid {
    wrap(codec, BLAKE3, digest)
}

/// The sha2-256 of a CID's block, if it says one.
pub(crate) fn sha256_of(cid: &Cid) -> Option<[u8; 32]> {
    let hash = cid.hash();
    (hash.code() == SHA2_256).then(|| hash.digest().try_into().ok()).flatten()
}

fn wrap(codec: u64, code: u64, digest: &[u8; 32]) -> Cid {
    #[expect(clippy::unwrap_used, reason = "32 bytes fit into the 64 of a multihash")]
    let hash = Multihash::wrap(code, digest).unwrap();
    Cid::new_v1(codec, hash)
}

#[cfg(test)]
pub(crate) fn sha2_256(data: &[u8]) -> Digest {
    Digest::sha2(sha2::Sha256::digest(data).into())
}

#[cfg(test)]
pub(crate) fn cid_of(codec: u64, data: &[u8]) -> Cid {
    make_cid(codec, AddHash::Sha2, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cid(code: u64, digest: &[u8]) -> Cid {
        Cid::new_v1(0x55, Multihash::wrap(code, digest).unwrap())
    }

    #[test]
    fn known_functions_are_told_from_unknown_ones() {
        // Digests of "abc": FIPS 180-4, RFC 7693 with 32 bytes, and the BLAKE3 paper's reference implementation.
        let of_abc = [
            (SHA2_256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                SHA2_512,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            (BLAKE2B_256, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
            (BLAKE3, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
        ];
        for (code, hex) in of_abc {
            let digest: Vec<u8> =
                (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
            let known = cid(code, &digest);
            assert!(hashes_to(&known, b"abc") && !hashes_to(&known, b"abd"), "{code:x}");
            let Place::Stored(key) = Place::of(&known) else { panic!("{code:x} is known") };
            assert!(key.matches(b"abc") && !key.matches(b"abd") && key.is_block());
            assert!(Digest::from_key(&key.to_key()) == Some(key));
            let mut other = digest.clone();
            other[digest.len() - 1] ^= 1;
            assert!(!hashes_to(&cid(code, &other), b"abc"), "{code:x}: the last byte counts");
            assert!(matches!(Place::of(&cid(code, &digest[1..])), Place::Unknown), "{code:x} truncated");
        }
        assert!(matches!(Place::of(&cid(0, b"inline")), Place::Inline(bytes) if bytes == "inline"));
        assert!(matches!(Place::of(&cid(0x11, &[7; 20])), Place::Unknown), "sha1");
        assert!(Digest::from_key(&[0x12; 34]).is_none() && Digest::from_key(&[]).is_none());
    }

    #[test]
    fn what_a_file_hashes_to_is_no_block() {
        let note = Digest::whole_file([7; 32]);
        assert!(!note.is_block() && !note.matches(b"") && Digest::from_key(&note.to_key()) == Some(note));
        assert!(note != Digest::sha2([7; 32]));
        assert_eq!(sha256_of(&cid_of(0x55, b"abc")).unwrap(), <[u8; 32]>::from(sha2::Sha256::digest(b"abc")));
        assert_eq!(sha256_of(&make_cid(0x55, AddHash::Blake3, b"abc")), None);
    }
}
