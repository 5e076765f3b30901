//! Public keys and their did:key text.

use std::fmt;

use crate::{Code, Refusal};

/// The author of an unsigned commit (content space only).
pub const UNSIGNED: PublicKey = PublicKey([0; 32]);

/// Multicodec of an Ed25519 public key, as the unsigned varint `ed01`.
const ED25519_PUB: [u8; 2] = [0xed, 0x01];

/// The 32 bytes of an Ed25519 public key. Whether they are a usable point is checked in `wire`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// did:key multibase: `z` and base58btc of `ed01` and the 32 bytes.
    #[must_use]
    pub fn to_multibase(self) -> String {
        let mut bytes = [0; 34];
        bytes[..2].copy_from_slice(&ED25519_PUB);
        bytes[2..].copy_from_slice(&self.0);
        format!("z{}", bs58::encode(bytes).into_string())
    }

    /// Reads did:key multibase.
    ///
    /// # Errors
    /// `bad_key` when the text is not `z` and base58btc of `ed01` and 32 bytes.
    pub fn from_multibase(text: &str) -> Result<Self, Refusal> {
        let bad = || Refusal::new(Code::BadKey, "a key is 'z' and base58btc of ed01 and 32 bytes");
        let body = text.strip_prefix('z').ok_or_else(bad)?;
        if body.len() > 64 {
            return Err(bad());
        }
        let bytes = bs58::decode(body).into_vec().map_err(|_| bad())?;
        let key: [u8; 32] = bytes.strip_prefix(&ED25519_PUB).and_then(|k| k.try_into().ok()).ok_or_else(bad)?;
        Ok(Self(key))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_multibase())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}
