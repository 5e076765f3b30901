//! Entries: what the join works on.

use crate::{CertificateId, CommitId, EntryId, Field, Kind, PublicKey, Salt, Soul, Stamp, UNSIGNED, Value, ValueHash};

/// Most ids in one operation's kills.
pub const MAX_KILLS: usize = 8192;
/// Most ids in one operation's `over`.
pub const MAX_OVER: usize = 4;

/// What competes: entries of one (soul, field, kind) with equal explicit slots; an own-id entry competes with nothing,
/// not even with an explicit slot of equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// At most 64 bytes; the greatest entry in HAM order stays.
    Explicit(Box<[u8]>),
    /// The entry's own id; stays until killed.
    Own,
}

impl Slot {
    /// Greatest length of an explicit slot in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Whether this is an own-id slot.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        matches!(self, Self::Own)
    }
}

/// `h`: the first 16 bytes of `BLAKE3(author || digest of the leaf certificate, or 0^32)`. Names one writer of an owned
/// or mirrored soul.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writer(pub [u8; 16]);

impl Writer {
    /// The writer who signs as `author` under the certificate with digest `leaf`, or under none.
    #[must_use]
    pub fn new(author: &PublicKey, leaf: Option<&CertificateId>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&author.0);
        hasher.update(&leaf.map_or([0; 32], |leaf| leaf.0));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(bytes)
    }
}

/// The value of an entry, or what is left of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// The operation has no value (a pure kill or removal).
    None,
    /// The value and the salt hashed before it.
    Live {
        /// The value.
        value: Value,
        /// 16 random bytes; `None` in content space.
        salt: Option<Salt>,
    },
    /// The value was dropped by a kill or an erase; the hash keeps the leaf verifiable.
    Dropped(ValueHash),
}

impl Body {
    /// The live value.
    #[must_use]
    pub const fn value(&self) -> Option<&Value> {
        match self {
            Self::Live { value, .. } => Some(value),
            _ => None,
        }
    }

    /// This body after its value was dropped.
    #[must_use]
    pub fn dropped(&self) -> Self {
        match self {
            Self::Live { value, salt } => Self::Dropped(hash_value(value, salt.as_ref())),
            other => other.clone(),
        }
    }
}

/// `BLAKE3(r || DAG-CBOR of v)`.
#[must_use]
pub fn hash_value(value: &Value, salt: Option<&Salt>) -> ValueHash {
    let mut hasher = blake3::Hasher::new();
    if let Some(salt) = salt {
        hasher.update(&salt.0);
    }
    hasher.update(&value.to_cbor());
    ValueHash(*hasher.finalize().as_bytes())
}

/// One verified operation of one commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// `BLAKE3("rustdht/entry/1" || commit_id || u16 i)`.
    pub id: EntryId,
    /// The commit.
    pub commit: CommitId,
    /// The operation's index in its commit.
    pub index: u16,
    /// The node.
    pub soul: Soul,
    /// The field of the node.
    pub field: Field,
    /// The CRDT kind.
    pub kind: Kind,
    /// What competes.
    pub slot: Slot,
    /// The commit's stamp.
    pub stamp: Stamp,
    /// The commit's author.
    pub author: PublicKey,
    /// The certificate under which the author wrote; `None` where the author owns the space, and in public, mirror and
    /// content space.
    pub leaf: Option<CertificateId>,
    /// `h` of author and leaf: the author under the certificate that covers this operation.
    pub writer: Writer,
    /// The value.
    pub body: Body,
    /// What a removal observed; ascending.
    pub kills: Vec<EntryId>,
    /// What the writer saw; ascending.
    pub over: Vec<EntryId>,
    /// The least base or stamp of what a compaction kills (Yjs kinds).
    pub base: Option<Stamp>,
}

impl Entry {
    /// The value that marks an erase.
    pub const ERASE: &'static str = "erase";

    /// Whether this is a `kill` entry with value `"erase"`.
    #[must_use]
    pub fn is_erase(&self) -> bool {
        self.kind.is_kill() && matches!(self.body.value(), Some(Value::Text(text)) if &**text == Self::ERASE)
    }

    /// The stamp that cut-offs and erases compare: the base where there is one.
    #[must_use]
    pub fn cut_stamp(&self) -> Stamp {
        self.base.unwrap_or(self.stamp)
    }

    /// The time under which reconciliation indexes it, in whole seconds since 2020-01-01; content entries stand last.
    #[must_use]
    pub fn index_seconds(&self) -> u32 {
        if self.author == UNSIGNED { u32::MAX } else { self.stamp.index_seconds() }
    }

    /// A rough size in memory, in bytes, for bounded caches.
    #[must_use]
    pub fn weight(&self) -> usize {
        let value = match self.body.value() {
            Some(Value::Text(text)) => text.len(),
            Some(Value::Bytes(bytes) | Value::Enc(bytes)) => bytes.len(),
            _ => 0,
        };
        size_of::<Self>() + value + 32 * (self.kills.len() + self.over.len()) + 64
    }
}
