//! The keys whose names this gateway publishes: Ed25519, sealed in the store.

use std::{
    collections::HashSet,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use data_encoding::BASE64;
use rustdht_core::ports::{Applied, Batch, IpnsName, NameError, SideRow, StoreError};
use rustdht_wire::SigningKey;
use zeroize::Zeroizing;

use super::{NameFault, SELF_KEY, publish::PUBLISHED_NS, unavailable};
use crate::{Error, Node, node::Inner};

/// Rows of keys, sealed, by their name. Before the seed stands the name of its public key, so that they can be listed.
const KEY_NS: &str = "ipns-key";
/// Keys of one gateway; each publishes one name.
const MAX_KEYS: usize = 1024;
/// Longest name of a key.
const MAX_KEY_NAME: usize = 64;

/// A key that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameKey {
    /// What it is called here.
    pub key: String,
    /// What it publishes under.
    pub name: IpnsName,
}

fn check_key_name(key: &str) -> Result<(), Error> {
    if key == SELF_KEY {
        return Err(NameFault::OwnKey.into());
    }
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if key.is_empty() || key.len() > MAX_KEY_NAME || !key.bytes().all(known) {
        return Err(NameFault::BadKeyName.into());
    }
    Ok(())
}

/// The name of a seed's key.
pub(super) fn name_of(seed: &[u8; 32]) -> IpnsName {
    IpnsName::of_ed25519(&SigningKey::from_seed(seed).public().0)
}

/// A libp2p private key of type Ed25519 (1) with 64 bytes: seed and public key. Older ones repeat the public key.
const LIBP2P: &[u8] = &[0x08, 0x01, 0x12];
/// PKCS #8 (RFC 8410) of an Ed25519 seed.
const PKCS8: &[u8] = &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The seed in a key as `ipfs key export` writes it: libp2p's protobuf, or PEM with PKCS #8; also 32 bytes alone.
fn seed_of(bytes: &[u8]) -> Result<Zeroizing<[u8; 32]>, NameFault> {
    let bad = |why| NameFault::BadKey(why);
    let pem = std::str::from_utf8(bytes).ok().filter(|text| text.trim_start().starts_with("-----BEGIN PRIVATE KEY"));
    if let Some(text) = pem {
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        let der = Zeroizing::new(BASE64.decode(body.as_bytes()).map_err(|_| bad("the PEM holds no base64"))?);
        let seed = der.strip_prefix(PKCS8).ok_or_else(|| bad("only Ed25519 keys publish names here"))?;
        return Ok(Zeroizing::new(seed.try_into().map_err(|_| bad("the PEM is too short or too long"))?));
    }
    if let Ok(seed) = bytes.try_into() {
        return Ok(Zeroizing::new(seed));
    }
    let rest = bytes.strip_prefix(LIBP2P).ok_or_else(|| bad("neither a libp2p key of type Ed25519 nor PEM"))?;
    let (len, key) = rest.split_first().ok_or_else(|| bad("it ends early"))?;
    if usize::from(*len) != key.len() || !matches!(key.len(), 64 | 96) {
        return Err(bad("a libp2p key of type Ed25519 has 64 bytes"));
    }
    let (seed, public) = key.split_at(32);
    let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).map_err(|_| bad("it ends early"))?);
    if public.chunks(32).any(|part| part != SigningKey::from_seed(&seed).public().0) {
        return Err(bad("its two halves do not belong together"));
    }
    Ok(seed)
}

/// The names of the keys that are here, in memory.
#[derive(Debug, Default)]
pub(crate) struct OwnNames {
    known: RwLock<Option<Arc<HashSet<IpnsName>>>>,
    /// Rises with each change, so that what was read before one is not kept.
    changes: AtomicU64,
}

impl OwnNames {
    fn known(&self) -> Option<Arc<HashSet<IpnsName>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn changed(&self) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        self.changes.fetch_add(1, Ordering::AcqRel);
        *known = None;
    }

    fn learn(&self, names: &Arc<HashSet<IpnsName>>, at: u64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if self.changes.load(Ordering::Acquire) == at {
            *known = Some(Arc::clone(names));
        }
    }
}

impl Inner {
    /// The names of the keys that are here.
    pub(super) async fn own_names(&self) -> Result<Arc<HashSet<IpnsName>>, StoreError> {
        if let Some(known) = self.names.own.known() {
            return Ok(known);
        }
        let at = self.names.own.changes.load(Ordering::Acquire);
        let rows = self.shared.ports.store.side_scan(KEY_NS, &[], u32::MAX).await?;
        let own = name_of(&self.secrets().peer_seed);
        let names = Arc::new(rows.iter().filter_map(|(_, value)| named(value)).chain([own]).collect());
        self.names.own.learn(&names, at);
        Ok(names)
    }

    /// Whether the key of a name is here: then nobody knows better what it stands for.
    pub(super) async fn is_own_name(&self, name: &IpnsName) -> Result<bool, NameError> {
        Ok(self.own_names().await.map_err(|error| unavailable(&error))?.contains(name))
    }

    /// The seed of a key.
    pub(super) async fn name_seed(&self, key: &str) -> Result<Zeroizing<[u8; 32]>, Error> {
        if key == SELF_KEY {
            return Ok(Zeroizing::new(self.secrets().peer_seed));
        }
        let unknown = || Error::from(NameFault::UnknownKey(key.to_owned()));
        let row = self.shared.ports.store.side_get(KEY_NS, key.as_bytes()).await?.ok_or_else(unknown)?;
        let opened = self.shared.keyring.open_row(KEY_NS, key.as_bytes(), sealed(&row))?;
        opened.as_slice().try_into().map(Zeroizing::new).map_err(|_| unknown())
    }
}

/// `length of the name, 1 byte || name || sealed seed`.
fn named(row: &[u8]) -> Option<IpnsName> {
    let (len, rest) = row.split_first()?;
    IpnsName::from_multihash(cid::multihash::Multihash::from_bytes(rest.get(..usize::from(*len))?).ok()?)
}

fn sealed(row: &[u8]) -> &[u8] {
    row.split_first().and_then(|(len, rest)| rest.get(usize::from(*len)..)).unwrap_or_default()
}

impl Node {
    /// Makes a key.
    ///
    /// # Errors
    /// [`NameFault`]; when the store fails.
    pub async fn create_name_key(&self, key: &str) -> Result<NameKey, Error> {
        let mut seed = Zeroizing::new([0; 32]);
        self.inner.shared.ports.entropy.fill(&mut *seed);
        self.keep_name_key(key, &seed).await
    }

    /// Takes a key from elsewhere: libp2p's protobuf or PKCS #8 as PEM, as `ipfs key export` writes them, or a seed of 32 bytes.
    ///
    /// # Errors
    /// [`NameFault`]; when the store fails.
    pub async fn import_name_key(&self, key: &str, private: &[u8]) -> Result<NameKey, Error> {
        let seed = seed_of(private)?;
        self.keep_name_key(key, &seed).await
    }

    async fn keep_name_key(&self, key: &str, seed: &[u8; 32]) -> Result<NameKey, Error> {
        check_key_name(key)?;
        let ports = &self.inner.shared.ports;
        let _turn = self.inner.names.keys.lock().await;
        if self.name_keys().await?.len() > MAX_KEYS {
            return Err(NameFault::TooManyKeys { limit: MAX_KEYS }.into());
        }
        let name = name_of(seed);
        let hash = name.multihash().to_bytes();
        let sealed = self.inner.shared.keyring.seal_row(KEY_NS, key.as_bytes(), seed);
        let value = [&[hash.len() as u8][..], &hash, &sealed].concat();
        let row = SideRow { ns: KEY_NS, key: key.as_bytes().to_vec(), value: Some(value), insert_only: true };
        let batch = Batch { side: vec![row], now_ms: ports.clock.now_ms(), ..Batch::default() };
        match ports.store.apply(batch).await? {
            Applied::Duplicate { .. } => Err(NameFault::KeyTaken(key.to_owned()).into()),
            _ => {
                self.inner.names.own.changed();
                Ok(NameKey { key: key.to_owned(), name })
            }
        }
    }

    /// The keys that are here, `self` first, then by name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn name_keys(&self) -> Result<Vec<NameKey>, Error> {
        let own = NameKey { key: SELF_KEY.to_owned(), name: name_of(&self.inner.secrets().peer_seed) };
        let rows = self.inner.shared.ports.store.side_scan(KEY_NS, &[], u32::MAX).await?;
        let others = rows
            .into_iter()
            .filter_map(|(key, value)| Some(NameKey { key: String::from_utf8(key).ok()?, name: named(&value)? }));
        Ok(std::iter::once(own).chain(others).collect())
    }

    /// Removes a key for good. What it published stays with others until its time is over.
    ///
    /// # Errors
    /// [`NameFault`]; when the store fails.
    pub async fn remove_name_key(&self, key: &str) -> Result<NameKey, Error> {
        check_key_name(key)?;
        let _turn = self.inner.names.keys.lock().await;
        let known = self.name_keys().await?.into_iter().find(|known| known.key == key);
        let known = known.ok_or_else(|| NameFault::UnknownKey(key.to_owned()))?;
        let ports = &self.inner.shared.ports;
        let gone = |ns| SideRow { ns, key: key.as_bytes().to_vec(), value: None, insert_only: false };
        let side = vec![gone(KEY_NS), gone(PUBLISHED_NS)];
        ports.store.apply(Batch { side, now_ms: ports.clock.now_ms(), ..Batch::default() }).await?;
        self.inner.names.own.changed();
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_as_kubo_exports_them() {
        let seed = [7; 32];
        let public = SigningKey::from_seed(&seed).public().0;
        let libp2p = [&[8, 1, 18, 64][..], &seed, &public].concat();
        let old = [&[8, 1, 18, 96][..], &seed, &public, &public].concat();
        let der = BASE64.encode(&[PKCS8, &seed].concat());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
        for bytes in [&libp2p, &old, pem.as_bytes(), &seed] {
            assert_eq!(*seed_of(bytes).unwrap(), seed);
        }
        let rsa = [&[8, 0, 18, 64][..], &[0; 64]].concat();
        let half = [&[8, 1, 18, 64][..], &seed, &[0; 32]].concat();
        let ec = pem.replace("MC4CAQAwBQYDK2Vw", "MC4CAQAwBQYDK2Vx");
        for bytes in
            [&b"x"[..], &rsa, &half, &libp2p[..67], &libp2p[..3], ec.as_bytes(), b"-----BEGIN PRIVATE KEY-----\n!"]
        {
            assert!(seed_of(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn names_of_keys() {
        for good in ["a", "My-key_2.x", &"x".repeat(64)] {
            check_key_name(good).unwrap();
        }
        for bad in ["", "self", "a/b", "\u{fc}", "a b", &"x".repeat(65)] {
            assert!(check_key_name(bad).is_err(), "{bad}");
        }
    }
}
