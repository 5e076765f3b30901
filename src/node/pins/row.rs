//! Pins and leases as they are stored.
//!
//! ```text
//! pin        holder 32 || id 16                    -> JSON
//! pin-root   holder 32 || multihash || id 16       -> [flags, bytes u64, cid]
//! pin-open   holder 32 || id 16                    -> whether it failed; of pins that are not pinned
//! pin-queue  due_ms u64 || holder 32 || id 16      -> nothing
//! lease      holder 32 || multihash || codec u64   -> [flags, bytes u64, until_ms u64, cid]
//! ```
//! What a lease keeps depends on the codec too: the same bytes may link others, or none. Leases of earlier versions lack it in
//! their key; they are read by their value like all others, and end within their day.
//! An id begins with the time of its pin, counted down, so that the newest comes first.

use std::{collections::BTreeMap, fmt, str::FromStr};

use cid::Cid;
use rustdht_core::{
    PublicKey,
    ports::{Root, SideRow},
};
use serde::{Deserialize, Serialize};

pub(crate) const PIN_NS: &str = "pin";
pub(crate) const ROOT_NS: &str = "pin-root";
pub(crate) const OPEN_NS: &str = "pin-open";
pub(crate) const QUEUE_NS: &str = "pin-queue";
pub(crate) const LEASE_NS: &str = "lease";

const RECURSIVE: u8 = 1;
const FAILED: u8 = 2;
const ID_BYTES: usize = 16;
const HOLDER_BYTES: usize = 32;

/// Names a pin: when it was made, and eight random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinId(pub [u8; ID_BYTES]);

impl PinId {
    pub(super) fn new(created_ms: u64, random: [u8; 8]) -> Self {
        let mut id = [0; ID_BYTES];
        id[..8].copy_from_slice(&(u64::MAX - created_ms).to_be_bytes());
        id[8..].copy_from_slice(&random);
        Self(id)
    }

    /// How ids of this time begin.
    pub(super) const fn prefix_of(created_ms: u64) -> [u8; 8] {
        (u64::MAX - created_ms).to_be_bytes()
    }

    /// When the pin was made, in milliseconds since the epoch.
    #[must_use]
    pub fn created_ms(&self) -> u64 {
        let mut time = [0; 8];
        time.copy_from_slice(&self.0[..8]);
        u64::MAX - u64::from_be_bytes(time)
    }
}

impl fmt::Display for PinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for PinId {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; ID_BYTES];
        hex::decode_to_slice(text, &mut id)?;
        Ok(Self(id))
    }
}

/// How far a pin is (Pinning Service API).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PinStatus {
    /// It waits for its turn, or for the next attempt.
    Queued,
    /// It is being fetched.
    Pinning,
    /// All of it is here.
    Pinned,
    /// It cannot be had; nothing of it is kept.
    Failed,
}

impl PinStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Pinning, Self::Pinned, Self::Failed];

    /// Its name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Pinning => "pinning",
            Self::Pinned => "pinned",
            Self::Failed => "failed",
        }
    }
}

mod text {
    use serde::{Deserializer, Serializer, de::Error as _};

    use super::*;

    pub(super) fn serialize<S: Serializer>(cid: &Cid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(cid)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cid, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A pin. `Pinning` is never stored: it is a queued one that is being worked on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PinRow {
    #[serde(with = "text")]
    pub(super) cid: Cid,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) meta: BTreeMap<String, String>,
    /// Where it may be had; until it is pinned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) origins: Vec<String>,
    pub(super) recursive: bool,
    /// The bytes came with an upload.
    pub(super) uploaded: bool,
    pub(super) status: PinStatus,
    /// Of an upload, of its file; else of all blocks. What counts against the quota.
    pub(super) bytes: u64,
    /// When it is to be fetched next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) due_ms: Option<u64>,
    #[serde(default)]
    pub(super) attempts: u32,
    /// What stands in the way, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) detail: String,
}

impl PinRow {
    pub(super) const fn root(&self) -> Root {
        Root { cid: self.cid, recursive: self.recursive }
    }

    /// What its index row holds.
    fn indexed(&self) -> Vec<u8> {
        let failed = if self.status == PinStatus::Failed { FAILED } else { 0 };
        let mut value = vec![if self.recursive { RECURSIVE } else { 0 } | failed];
        value.extend(self.bytes.to_be_bytes());
        value.extend(self.cid.to_bytes());
        value
    }
}

/// What an index row or a lease says of a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Indexed {
    pub(super) root: Root,
    pub(super) failed: bool,
    pub(super) bytes: u64,
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}

impl Indexed {
    /// From an index row's value.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let (flags, rest) = value.split_first()?;
        let (bytes, cid) = number(rest)?;
        let root = Root { cid: Cid::try_from(cid).ok()?, recursive: flags & RECURSIVE != 0 };
        Some(Self { root, failed: flags & FAILED != 0, bytes })
    }
}

/// A root that is kept for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(super) root: Root,
    pub(super) bytes: u64,
    pub(super) until_ms: u64,
}

impl Lease {
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let (flags, rest) = value.split_first()?;
        let (bytes, rest) = number(rest)?;
        let (until_ms, cid) = number(rest)?;
        let root = Root { cid: Cid::try_from(cid).ok()?, recursive: flags & RECURSIVE != 0 };
        Some(Self { root, bytes, until_ms })
    }

    pub(super) fn row(&self, holder: &PublicKey) -> SideRow {
        let mut value = vec![if self.root.recursive { RECURSIVE } else { 0 }];
        value.extend(self.bytes.to_be_bytes());
        value.extend(self.until_ms.to_be_bytes());
        value.extend(self.root.cid.to_bytes());
        put(LEASE_NS, lease_key(holder, &self.root.cid), value)
    }
}

pub(super) fn pin_key(holder: &PublicKey, id: &PinId) -> Vec<u8> {
    [holder.0.as_slice(), &id.0].concat()
}

/// Keys of the index rows of one root of one holder begin so. A multihash says how long it is, so none begins another.
pub(super) fn root_prefix(holder: &PublicKey, cid: &Cid) -> Vec<u8> {
    [holder.0.as_slice(), &cid.hash().to_bytes()].concat()
}

/// The key of a lease. It begins like those of the index rows of its root.
pub(super) fn lease_key(holder: &PublicKey, cid: &Cid) -> Vec<u8> {
    [root_prefix(holder, cid).as_slice(), &cid.codec().to_be_bytes()].concat()
}

fn root_key(holder: &PublicKey, cid: &Cid, id: &PinId) -> Vec<u8> {
    [root_prefix(holder, cid).as_slice(), &id.0].concat()
}

fn queue_key(due_ms: u64, holder: &PublicKey, id: &PinId) -> Vec<u8> {
    [due_ms.to_be_bytes().as_slice(), &holder.0, &id.0].concat()
}

/// Holder and id at the end of a key.
pub(super) fn read_pin_key(key: &[u8]) -> Option<(PublicKey, PinId)> {
    let (holder, id) = key.split_first_chunk::<HOLDER_BYTES>()?;
    Some((PublicKey(*holder), PinId(id.try_into().ok()?)))
}

/// When, and what, from a key of the queue.
pub(super) fn read_queue_key(key: &[u8]) -> Option<(u64, PublicKey, PinId)> {
    let (due_ms, rest) = number(key)?;
    let (holder, id) = read_pin_key(rest)?;
    Some((due_ms, holder, id))
}

/// Holder and multihash from a key of the index, with the id behind them.
pub(super) fn split_root_key(key: &[u8]) -> Option<(&[u8], PinId)> {
    let (root, id) = key.split_last_chunk::<ID_BYTES>()?;
    Some((root, PinId(*id)))
}

pub(super) fn put(ns: &'static str, key: Vec<u8>, value: Vec<u8>) -> SideRow {
    SideRow { ns, key, value: Some(value), insert_only: false }
}

pub(super) fn gone(ns: &'static str, key: Vec<u8>) -> SideRow {
    SideRow { ns, key, value: None, insert_only: false }
}

/// The rows that make a pin `row`, and `before` what it was.
pub(super) fn rows(holder: &PublicKey, id: &PinId, row: &PinRow, before: Option<&PinRow>) -> Vec<SideRow> {
    // Strings, numbers and lists of them always serialise.
    let json = serde_json::to_vec(row).unwrap_or_default();
    let mut side =
        vec![put(PIN_NS, pin_key(holder, id), json), put(ROOT_NS, root_key(holder, &row.cid, id), row.indexed())];
    let was_open = before.is_some_and(|before| before.status != PinStatus::Pinned);
    if row.status != PinStatus::Pinned {
        side.push(put(OPEN_NS, pin_key(holder, id), vec![u8::from(row.status == PinStatus::Failed)]));
    } else if was_open {
        side.push(gone(OPEN_NS, pin_key(holder, id)));
    }
    let due = before.and_then(|before| before.due_ms);
    if due != row.due_ms {
        side.extend(due.map(|due_ms| gone(QUEUE_NS, queue_key(due_ms, holder, id))));
        side.extend(row.due_ms.map(|due_ms| put(QUEUE_NS, queue_key(due_ms, holder, id), Vec::new())));
    }
    side
}

/// The rows that remove a pin.
pub(super) fn removal(holder: &PublicKey, id: &PinId, row: &PinRow) -> Vec<SideRow> {
    let mut side = vec![gone(PIN_NS, pin_key(holder, id)), gone(ROOT_NS, root_key(holder, &row.cid, id))];
    if row.status != PinStatus::Pinned {
        side.push(gone(OPEN_NS, pin_key(holder, id)));
    }
    side.extend(row.due_ms.map(|due_ms| gone(QUEUE_NS, queue_key(due_ms, holder, id))));
    side
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row() -> PinRow {
        PinRow {
            cid: "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap(),
            name: "a name".into(),
            meta: BTreeMap::from([("k".into(), "v".into())]),
            origins: vec!["/ip4/127.0.0.1/tcp/1/p2p/x".into()],
            recursive: true,
            uploaded: false,
            status: PinStatus::Queued,
            bytes: 7,
            due_ms: Some(5),
            attempts: 2,
            detail: String::new(),
        }
    }

    #[test]
    fn a_row_is_read_back_and_its_place_in_the_queue_moves_with_it() {
        let (holder, id, before) = (PublicKey([3; 32]), PinId::new(1000, [9; 8]), row());
        let first = rows(&holder, &id, &before, None);
        assert_eq!(first.len(), 4);
        assert_eq!(serde_json::from_slice::<PinRow>(first[0].value.as_deref().unwrap()).unwrap(), before);
        assert_eq!(read_pin_key(&first[0].key), Some((holder, id)));
        assert_eq!(read_queue_key(&first[3].key), Some((5, holder, id)));
        let indexed = Indexed::read(first[1].value.as_deref().unwrap()).unwrap();
        assert_eq!(indexed, Indexed { root: before.root(), failed: false, bytes: 7 });
        assert_eq!(split_root_key(&first[1].key).unwrap(), (&root_prefix(&holder, &before.cid)[..], id));
        let failed = PinRow { due_ms: None, status: PinStatus::Failed, ..before.clone() };
        let second = rows(&holder, &id, &failed, Some(&before));
        assert_eq!((second.len(), &second[3].key, &second[3].value), (4, &first[3].key, &None));
        assert!(Indexed::read(second[1].value.as_deref().unwrap()).unwrap().failed);
        let pinned = PinRow { due_ms: None, status: PinStatus::Pinned, ..before.clone() };
        let third = rows(&holder, &id, &pinned, Some(&failed));
        assert_eq!((third.len(), third[2].ns, &third[2].key, &third[2].value), (3, OPEN_NS, &first[2].key, &None));
        assert_eq!((rows(&holder, &id, &pinned, None).len(), removal(&holder, &id, &pinned).len()), (2, 2));
        let keys = |rows: &[SideRow]| rows.iter().map(|row| row.key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(&removal(&holder, &id, &before)), keys(&first));
        let lease = Lease { root: before.root(), bytes: 1, until_ms: 2 };
        assert_eq!(Lease::read(lease.row(&holder).value.as_deref().unwrap()), Some(lease));
        for short in [&[][..], &[1], &[1; 9], &[0xff; 17]] {
            assert!(Indexed::read(short).is_none() && Lease::read(short).is_none());
        }
    }

    proptest! {
        #[test]
        fn newer_pins_come_first(a in 0..u64::MAX, b in 0..u64::MAX, random: [u8; 8]) {
            let (first, second) = (PinId::new(a, random), PinId::new(b, random));
            prop_assert_eq!(first.cmp(&second), b.cmp(&a));
            prop_assert_eq!(first.created_ms(), a);
            prop_assert_eq!(first.to_string().parse::<PinId>().unwrap(), first);
        }
    }
}
