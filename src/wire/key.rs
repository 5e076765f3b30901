//! Ed25519 keys and signatures under ZIP-215's rules, where one verification and a batch always agree.

use std::fmt;

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_zebra::{Signature, VerificationKey, VerificationKeyBytes};
use rustdht_core::{Code, PublicKey, Refusal};
use zeroize::Zeroize;

use crate::refuse::refuse;

/// A key that signs. Not printed by `Debug`, and overwritten when dropped.
pub struct SigningKey(ed25519_zebra::SigningKey);

impl SigningKey {
    /// The key of a seed of RFC 8032: 32 secret random bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_zebra::SigningKey::from_bytes(seed))
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(VerificationKeyBytes::from(&self.0).into())
    }

    /// The signature over `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.public())
    }
}

impl Drop for SigningKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Whether 32 bytes are a key that may author, own, issue or receive anything: the canonical encoding of a point that
/// has not small order. Under ZIP-215 a key of small order verifies every message.
///
/// # Errors
/// `bad_key` otherwise.
pub fn check_key(key: &PublicKey) -> Result<(), Refusal> {
    if y_is_reduced(&key.0)
        && CompressedEdwardsY(key.0).decompress().is_some_and(|point| {
            // The other non-canonical encodings, a set sign with x = 0, are of the points (0, 1) and (0, -1).
            !point.is_small_order()
        })
    {
        return Ok(());
    }
    refuse(Code::BadKey, "a key is the canonical encoding of a point that has not small order")
}

/// Whether y (little-endian, the top bit is x's sign) is below 2^255 - 19.
fn y_is_reduced(bytes: &[u8; 32]) -> bool {
    bytes[31] & 0x7f != 0x7f || bytes[1..31].iter().any(|byte| *byte != 0xff) || bytes[0] < 0xed
}

/// Verifies one signature.
///
/// # Errors
/// `bad_signature`.
pub fn verify_signature(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> Result<(), Refusal> {
    VerificationKey::try_from(key.0)
        .and_then(|key| key.verify(&Signature::from_bytes(signature), message))
        .or_else(|_| refuse(Code::BadSignature, "the signature does not verify under this key"))
}

/// Verifies all of them at once, and one by one when that fails.
pub(crate) fn verify_signatures(items: &[(PublicKey, [u8; 32], [u8; 64])]) -> Vec<Result<(), Refusal>> {
    if items.len() > 1 {
        let mut batch = ed25519_zebra::batch::Verifier::new();
        let mut transcript = blake3::Hasher::new();
        for (key, message, signature) in items {
            transcript.update(&key.0).update(message).update(signature);
            batch.queue((VerificationKeyBytes::from(key.0), Signature::from_bytes(signature), message));
        }
        if batch.verify(Coefficients(transcript.finalize_xof())).is_ok() {
            return vec![Ok(()); items.len()];
        }
    }
    items.iter().map(|(key, message, signature)| verify_signature(key, message, signature)).collect()
}

/// The random coefficients of a batch, drawn from a hash of all that is in it: whoever wants forged signatures to cancel
/// out would have to know the coefficients before the signatures that they follow from.
struct Coefficients(blake3::OutputReader);

impl rand_core::TryRng for Coefficients {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(out);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Coefficients {}
