//! Node keys wrapped for recipients: the elements of the field `private`. docs/spec/private.md has every detail.

use std::fmt;

use bytes::Bytes;
use rustdht_core::{Entropy, PublicKey, Soul, Stamp, Value, cbor};
use x25519_dalek::{PublicKey as Point, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::keys::seal::{self, NONCE_BYTES};

/// Label of the key that wraps.
const WRAP_CONTEXT: &str = "rustdht/private/1 wrap";
/// A node key and its authenticator.
const BOX_BYTES: usize = 48;

/// Names a key of a node: the stamp of its generation, big-endian, and eight random bytes. Greater is later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyId(pub(crate) [u8; 16]);

impl KeyId {
    /// The stamp of its generation; an entry that wraps it has at least this stamp.
    pub(crate) fn stamp(&self) -> Stamp {
        let mut stamp = [0; 8];
        stamp.copy_from_slice(&self.0[..8]);
        Stamp(u64::from_be_bytes(stamp))
    }
}

/// A key under which the values of a node are encrypted.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct NodeKey {
    #[zeroize(skip)]
    pub(crate) id: KeyId,
    pub(crate) secret: [u8; 32],
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", hex::encode(self.id.0))
    }
}

impl NodeKey {
    /// A new key of generation `stamp`.
    pub(crate) fn generate(stamp: Stamp, entropy: &dyn Entropy) -> Self {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&stamp.0.to_be_bytes());
        entropy.fill(&mut id[8..]);
        let mut secret = [0; 32];
        entropy.fill(&mut secret);
        Self { id: KeyId(id), secret }
    }
}

/// The secret half of a recipient key.
#[derive(Clone)]
pub(crate) struct RecipientSecret(StaticSecret);

impl fmt::Debug for RecipientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecipientSecret")
    }
}

impl RecipientSecret {
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        Self(StaticSecret::from(bytes))
    }

    /// The X25519 public key, as `~K` publishes it in field `x25519`.
    pub(crate) fn public(&self) -> [u8; 32] {
        Point::from(&self.0).to_bytes()
    }
}

/// One element of `private`: a node key for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrap {
    /// The key wrapped.
    pub(crate) id: KeyId,
    /// Whose it is.
    pub(crate) account: PublicKey,
    /// The recipient key of `account` for which it is wrapped.
    pub(crate) to: [u8; 32],
    ephemeral: [u8; 32],
    boxed: [u8; BOX_BYTES],
}

/// What a wrap is bound to: `[soul, id, account, to]`.
fn place(soul: &Soul, id: &KeyId, account: &PublicKey, to: &[u8; 32]) -> Vec<u8> {
    let mut place = Vec::with_capacity(128 + soul.len());
    cbor::array(&mut place, 4);
    cbor::text(&mut place, soul);
    cbor::bytes(&mut place, &id.0);
    cbor::bytes(&mut place, &account.0);
    cbor::bytes(&mut place, to);
    place
}

/// `BLAKE3-derive-key(context, shared || eph || to)`; `None` when the recipient key is of small order: its shared secret
/// would be known to everybody.
fn wrap_key(
    secret: &StaticSecret,
    their: &[u8; 32],
    ephemeral: &[u8; 32],
    to: &[u8; 32],
) -> Option<Zeroizing<[u8; 32]>> {
    let shared = secret.diffie_hellman(&Point::from(*their));
    if !shared.was_contributory() {
        return None;
    }
    let mut hasher = blake3::Hasher::new_derive_key(WRAP_CONTEXT);
    hasher.update(shared.as_bytes()).update(ephemeral).update(to);
    Some(Zeroizing::new(*hasher.finalize().as_bytes()))
}

impl Wrap {
    /// `key` of `soul` for the recipient key `to` of `account`; `None` when `to` is no key that can receive anything.
    pub(crate) fn new(
        soul: &Soul,
        key: &NodeKey,
        account: PublicKey,
        to: [u8; 32],
        entropy: &dyn Entropy,
    ) -> Option<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(&mut *seed);
        let secret = StaticSecret::from(*seed);
        let ephemeral = Point::from(&secret).to_bytes();
        let wrapping = wrap_key(&secret, &to, &ephemeral, &to)?;
        // The wrapping key is used once, so its nonce may be constant, and is left out.
        let boxed = seal::encrypt(&wrapping, &[0; NONCE_BYTES], &place(soul, &key.id, &account, &to), &key.secret);
        Some(Self { id: key.id, account, to, ephemeral, boxed: boxed.get(NONCE_BYTES..)?.try_into().ok()? })
    }

    /// The key, for whoever has the secret half of `to`.
    pub(crate) fn open(&self, soul: &Soul, secret: &RecipientSecret) -> Option<NodeKey> {
        let wrapping = wrap_key(&secret.0, &self.ephemeral, &self.ephemeral, &self.to)?;
        let mut boxed = vec![0; NONCE_BYTES];
        boxed.extend_from_slice(&self.boxed);
        let key = seal::decrypt(&wrapping, &place(soul, &self.id, &self.account, &self.to), &boxed)?;
        Some(NodeKey { id: self.id, secret: key.as_slice().try_into().ok()? })
    }

    /// The element of `private`: a byte string with the DAG-CBOR map in it.
    pub(crate) fn to_value(&self) -> Value {
        let mut out = Vec::with_capacity(256);
        cbor::map(&mut out, 6);
        cbor::text(&mut out, "v");
        cbor::uint(&mut out, 1);
        cbor::text(&mut out, "id");
        cbor::bytes(&mut out, &self.id.0);
        cbor::text(&mut out, "to");
        cbor::bytes(&mut out, &self.to);
        cbor::text(&mut out, "box");
        cbor::bytes(&mut out, &self.boxed);
        cbor::text(&mut out, "eph");
        cbor::bytes(&mut out, &self.ephemeral);
        cbor::text(&mut out, "for");
        cbor::bytes(&mut out, &self.account.0);
        Value::Bytes(out.into())
    }

    /// Reads an element; `None`: it is none, and counts for nothing.
    pub(crate) fn from_value(value: &Value) -> Option<Self> {
        use cbor::Item::{Bytes as B, Uint};
        let Value::Bytes(bytes) = value else { return None };
        let map = cbor::decode_map(bytes).ok()?;
        let [("v", Uint(1)), ("id", B(id)), ("to", B(to)), ("box", B(boxed)), ("eph", B(eph)), ("for", B(account))] =
            map.as_slice()
        else {
            return None;
        };
        Some(Self {
            id: KeyId((*id).try_into().ok()?),
            account: PublicKey((*account).try_into().ok()?),
            to: (*to).try_into().ok()?,
            ephemeral: (*eph).try_into().ok()?,
            boxed: (*boxed).try_into().ok()?,
        })
    }
}

/// `key id || nonce || box` of a value's DAG-CBOR, bound to its soul, field and kind.
pub(crate) fn seal_value(
    key: &NodeKey,
    (soul, field, kind): (&str, &str, &str),
    value: &Value,
    entropy: &dyn Entropy,
) -> Value {
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill(&mut nonce);
    let plain = Zeroizing::new(value.to_cbor());
    let mut out = key.id.0.to_vec();
    out.extend(seal::encrypt(&key.secret, &nonce, &value_place(soul, field, kind), &plain));
    Value::Enc(out.into())
}

/// The key that a ciphertext names.
pub(crate) fn key_of(boxed: &Bytes) -> Option<KeyId> {
    Some(KeyId(boxed.get(..16)?.try_into().ok()?))
}

/// What a ciphertext holds; `None`: it is of another key or place, was changed, or holds what no value may be.
pub(crate) fn open_value(key: &NodeKey, (soul, field, kind): (&str, &str, &str), boxed: &Bytes) -> Option<Value> {
    if key_of(boxed)? != key.id {
        return None;
    }
    let plain = seal::decrypt(&key.secret, &value_place(soul, field, kind), &boxed[16..])?;
    match Value::from_cbor(&plain).ok()? {
        // Ciphertext inside of ciphertext is shown by nobody, and null only deletes.
        Value::Enc(_) | Value::Null => None,
        value => Some(value),
    }
}

fn value_place(soul: &str, field: &str, kind: &str) -> Vec<u8> {
    let mut place = Vec::with_capacity(16 + soul.len() + field.len() + kind.len());
    cbor::array(&mut place, 3);
    cbor::text(&mut place, soul);
    cbor::text(&mut place, field);
    cbor::text(&mut place, kind);
    place
}
