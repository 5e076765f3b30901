//! The pattern of every signed thing beside commits: canonical bytes, and `Ed25519(BLAKE3(label || bytes))`.

use bytes::Bytes;
use rustdht_core::{
    PublicKey, Refusal,
    cbor::{self, Item, Reader},
};

use crate::{
    SigningKey,
    key::{check_key, verify_signature},
    refuse::{Within, malformed},
};

/// What is signed: `BLAKE3(label || bytes)`.
pub(crate) fn digest(label: &str, bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(label.as_bytes());
    hasher.update(bytes);
    *hasher.finalize().as_bytes()
}

pub(crate) fn sign(key: &SigningKey, label: &str, bytes: &[u8]) -> [u8; 64] {
    key.sign(&digest(label, bytes))
}

/// # Errors
/// `bad_key`, then `bad_signature`.
pub(crate) fn verify(key: &PublicKey, label: &str, bytes: &[u8], signature: &[u8; 64]) -> Result<(), Refusal> {
    check_key(key)?;
    verify_signature(key, &digest(label, bytes), signature)
}

/// DAG-CBOR `[bytes, b64]`.
pub(crate) fn write_pair(bytes: &[u8], signature: &[u8; 64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 72);
    cbor::array(&mut out, 2);
    cbor::bytes(&mut out, bytes);
    cbor::bytes(&mut out, signature);
    out
}

/// Reads what [`write_pair`] wrote.
pub(crate) fn read_pair(pair: &[u8]) -> Result<(Bytes, [u8; 64]), Refusal> {
    let mut reader = Reader::new(pair);
    if reader.array_len(0)? != 2 {
        return Err(malformed("expected the signed bytes and their signature"));
    }
    let bytes = Bytes::copy_from_slice(reader.item(1)?.bytes()?);
    let signature = reader.item(1)?.array()?;
    reader.finish()?;
    Ok((bytes, signature))
}

/// The entries of a map that has exactly these keys.
pub(crate) struct Keys<'a>(Vec<(&'a str, Item<'a>)>);

impl<'a> Keys<'a> {
    /// # Errors
    /// `malformed` when the bytes are no strict map, or a key is unknown or missing, or `v` is not 1.
    pub(crate) fn read(bytes: &'a [u8], names: &[&str]) -> Result<Self, Refusal> {
        let entries = cbor::decode_map(bytes)?;
        if let Some((unknown, _)) = entries.iter().find(|(key, _)| !names.contains(key)) {
            return Err(malformed("an unknown key").within(unknown));
        }
        if let Some(missing) = names.iter().find(|name| !entries.iter().any(|(key, _)| key == *name)) {
            return Err(malformed("a key is missing").within(missing));
        }
        let keys = Self(entries);
        if keys.get("v")?.uint().within("v")? != crate::header::VERSION {
            return Err(malformed("this is version 1").within("v"));
        }
        Ok(keys)
    }

    pub(crate) fn get(&self, name: &str) -> Result<&Item<'a>, Refusal> {
        let found = self.0.iter().find(|(key, _)| *key == name);
        found.map(|(_, item)| item).ok_or_else(|| malformed("a key is missing").within(name))
    }

    pub(crate) fn uint(&self, name: &str) -> Result<u64, Refusal> {
        self.get(name)?.uint().within(name)
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'a str, Refusal> {
        self.get(name)?.text().within(name)
    }

    pub(crate) fn bytes(&self, name: &str) -> Result<&'a [u8], Refusal> {
        self.get(name)?.bytes().within(name)
    }

    pub(crate) fn array<const N: usize>(&self, name: &str) -> Result<[u8; N], Refusal> {
        self.get(name)?.array().within(name)
    }
}
