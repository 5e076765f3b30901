//! Secrets at rest: XChaCha20-Poly1305 under the key file of the data folder, bound to the place of their row.
//!
//! A sealed row is `01 || nonce (24 bytes) || box`, its associated data `"rustdht/seal/1" || 00 || namespace || 00 || row key`: a
//! row copied to another place does not open.

use std::fmt;

use chacha20poly1305::{
    AeadInPlace, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use rustdht_core::Entropy;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::Error;

/// First byte of a sealed row.
const VERSION: u8 = 1;
/// Length of a nonce of XChaCha20-Poly1305.
pub(crate) const NONCE_BYTES: usize = 24;
/// Length of its authenticator.
pub(crate) const TAG_BYTES: usize = 16;
/// How much longer a sealed row is than what it holds.
#[cfg(test)]
const OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + TAG_BYTES;

/// The key under which a database's secrets are sealed; read from a file beside the database by whoever starts the node.
/// Not printed by `Debug`, and overwritten when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SealKey([u8; 32]);

impl SealKey {
    /// The key of these 32 secret random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<[u8; 32]> for SealKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

/// Seals and opens rows.
pub(crate) struct Seal(XChaCha20Poly1305);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

fn place(ns: &str, key: &[u8]) -> Vec<u8> {
    let mut place = Vec::with_capacity(24 + ns.len() + key.len());
    place.extend_from_slice(b"rustdht/seal/1\0");
    place.extend_from_slice(ns.as_bytes());
    place.push(0);
    place.extend_from_slice(key);
    place
}

impl Seal {
    pub(crate) fn new(key: &SealKey) -> Self {
        Self(XChaCha20Poly1305::new(&key.0.into()))
    }

    /// `secret` as it stands in the row `key` of namespace `ns`.
    pub(crate) fn seal(&self, ns: &str, key: &[u8], secret: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        let mut row = vec![0; 1 + NONCE_BYTES];
        row[0] = VERSION;
        entropy.fill(&mut row[1..]);
        let nonce = *XNonce::from_slice(&row[1..]);
        row.extend_from_slice(secret);
        match self.0.encrypt_in_place_detached(&nonce, &place(ns, key), &mut row[1 + NONCE_BYTES..]) {
            Ok(tag) => row.extend_from_slice(&tag),
            // The cipher takes 2^38 bytes and rows are small; should it fail, nothing must be left that is not sealed.
            Err(_) => row.zeroize(),
        }
        row
    }

    /// What a row holds.
    ///
    /// # Errors
    /// [`Error::SealKey`] when it was sealed under another key, for another place, or was changed since.
    pub(crate) fn open(&self, ns: &str, key: &[u8], row: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let wrong = || Error::SealKey(format!("row '{ns}/{}'", String::from_utf8_lossy(key).escape_debug()));
        let (head, boxed) = row.split_at_checked(1 + NONCE_BYTES).ok_or_else(wrong)?;
        if head[0] != VERSION {
            return Err(wrong());
        }
        let payload = Payload { msg: boxed, aad: &place(ns, key) };
        self.0.decrypt(XNonce::from_slice(&head[1..]), payload).map(Zeroizing::new).map_err(|_| wrong())
    }
}

/// Whether a row holds a secret of `secret` bytes as it is: written before secrets were sealed.
pub(crate) const fn is_raw(row: &[u8], secret: usize) -> bool {
    row.len() == secret
}

/// Encrypts under `key` with its own nonce in front: `nonce || box`.
pub(crate) fn encrypt(key: &[u8; 32], nonce: &[u8; NONCE_BYTES], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(NONCE_BYTES + plain.len() + TAG_BYTES);
    out.extend_from_slice(nonce);
    out.extend_from_slice(plain);
    let cipher = XChaCha20Poly1305::new(key.into());
    match cipher.encrypt_in_place_detached(XNonce::from_slice(nonce), aad, &mut out[NONCE_BYTES..]) {
        Ok(tag) => out.extend_from_slice(&tag),
        // The cipher takes 2^38 bytes and values are at most 64 KiB; should it fail, nothing plain must be left.
        Err(_) => out.zeroize(),
    }
    out
}

/// Decrypts `nonce || box`.
pub(crate) fn decrypt(key: &[u8; 32], aad: &[u8], boxed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, boxed) = boxed.split_at_checked(NONCE_BYTES)?;
    let payload = Payload { msg: boxed, aad };
    XChaCha20Poly1305::new(key.into()).decrypt(XNonce::from_slice(nonce), payload).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use rustdht_testkit::SeededEntropy;

    use super::*;

    #[test]
    fn a_row_opens_in_its_place_only() {
        let seal = Seal::new(&SealKey::new([7; 32]));
        let entropy = SeededEntropy::new(1);
        let row = seal.seal("identity", b"gateway", b"a secret of some bytes", &entropy);
        assert!(!row.windows(8).any(|part| part == b"a secret"), "the secret is in the row");
        assert_eq!(row.len(), 22 + OVERHEAD_BYTES);
        assert_eq!(&*seal.open("identity", b"gateway", &row).unwrap(), b"a secret of some bytes");
        assert!(matches!(seal.open("identity", b"peer", &row), Err(Error::SealKey(_))));
        assert!(matches!(seal.open("accounts", b"gateway", &row), Err(Error::SealKey(_))));
        // A zero byte moved from the namespace into the key is another place.
        assert_ne!(place("a", b"b\0c"), place("a\0b", b"c")[..place("a", b"b\0c").len() - 1]);
        let other = Seal::new(&SealKey::new([8; 32]));
        let Err(Error::SealKey(detail)) = other.open("identity", b"gateway", &row) else { panic!("opened") };
        assert!(detail.contains("identity/gateway"), "{detail}");
        for at in 0..row.len() {
            let mut changed = row.clone();
            changed[at] ^= 1;
            assert!(seal.open("identity", b"gateway", &changed).is_err(), "byte {at}");
        }
        for len in 0..row.len() {
            assert!(seal.open("identity", b"gateway", &row[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn rows_of_one_secret_differ() {
        let (seal, entropy) = (Seal::new(&SealKey::new([7; 32])), SeededEntropy::new(1));
        assert_ne!(seal.seal("a", b"b", &[1; 32], &entropy), seal.seal("a", b"b", &[1; 32], &entropy));
    }

    #[test]
    fn raw_rows_are_known_by_their_length() {
        let seal = Seal::new(&SealKey::new([7; 32]));
        assert!(is_raw(&[0; 32], 32));
        assert!(!is_raw(&seal.seal("identity", b"peer", &[0; 32], &SeededEntropy::new(1)), 32));
    }

    #[test]
    fn debug_says_nothing() {
        let text = format!("{:?} {:?}", SealKey::new([7; 32]), Seal::new(&SealKey::new([7; 32])));
        assert_eq!(text, "SealKey Seal");
    }
}
