//! What stands in the `data` and `changes` columns: strict DAG-CBOR, read back as foreign bytes (a disk may lie).
//!
//! ```text
//! entries.data = [kind, slot | null (own id), body, kills, over, base | null, leaf, if there is one]
//! history.data = [commit, index, stamp, author, entries.data]
//! feed.changes = [[soul, [field]]]
//! body         = null | [value, salt | null] | hash of the dropped value
//! ```
//! `leaf` is the digest of the certificate that covers the entry. `value` is a byte string that holds the value's own DAG-CBOR; kills and over are the ids one behind the other.

use std::collections::HashMap;

use rustdht_core::cbor::{self, Item};
use rustdht_core::ports::{Change, StoreError};
use rustdht_core::{
    Body, CertificateId, CommitId, Entry, EntryId, Field, Kind, MAX_KILLS, MAX_OVER, PublicKey, Salt, Slot, Soul,
    Stamp, Value, ValueHash, Writer,
};

use crate::error::damaged;

fn bytes_or_null(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => cbor::bytes(out, bytes),
        None => cbor::null(out),
    }
}

fn ids(out: &mut Vec<u8>, ids: &[EntryId]) {
    let joined: Vec<u8> = ids.iter().flat_map(|id| id.0).collect();
    cbor::bytes(out, &joined);
}

/// `entries.data`.
pub(crate) fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    cbor::array(&mut out, 6 + usize::from(entry.leaf.is_some()));
    cbor::text(&mut out, &entry.kind);
    match &entry.slot {
        Slot::Explicit(slot) => cbor::bytes(&mut out, slot),
        Slot::Own => cbor::null(&mut out),
    }
    match &entry.body {
        Body::None => cbor::null(&mut out),
        Body::Live { value, salt } => {
            cbor::array(&mut out, 2);
            cbor::bytes(&mut out, &value.to_cbor());
            bytes_or_null(&mut out, salt.as_ref().map(|salt| salt.0.as_slice()));
        }
        Body::Dropped(hash) => cbor::bytes(&mut out, &hash.0),
    }
    ids(&mut out, &entry.kills);
    ids(&mut out, &entry.over);
    match entry.base {
        Some(base) => cbor::uint(&mut out, base.0),
        None => cbor::null(&mut out),
    }
    if let Some(leaf) = &entry.leaf {
        cbor::bytes(&mut out, &leaf.0);
    }
    out
}

/// `history.data`.
pub(crate) fn encode_loser(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    cbor::array(&mut out, 5);
    cbor::bytes(&mut out, &entry.commit.0);
    cbor::uint(&mut out, u64::from(entry.index));
    cbor::uint(&mut out, entry.stamp.0);
    cbor::bytes(&mut out, &entry.author.0);
    cbor::bytes(&mut out, &encode_entry(entry));
    out
}

/// `feed.changes`.
pub(crate) fn encode_changes(changes: &[Change]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    cbor::array(&mut out, changes.len());
    for change in changes {
        cbor::array(&mut out, 2);
        cbor::text(&mut out, &change.soul);
        cbor::array(&mut out, change.fields.len());
        change.fields.iter().for_each(|field| cbor::text(&mut out, field));
    }
    out
}

/// The columns of an entry that stand outside `data`.
pub(crate) struct Columns<'r> {
    pub(crate) id: [u8; 32],
    pub(crate) soul: &'r str,
    pub(crate) field: &'r str,
    pub(crate) commit: [u8; 32],
    pub(crate) index: u16,
    pub(crate) stamp: u64,
    pub(crate) author: [u8; 32],
}

/// Reads rows; names that many rows share are checked and allocated once.
#[derive(Default)]
pub(crate) struct Decoder {
    souls: HashMap<Box<str>, Soul>,
    fields: HashMap<Box<str>, Field>,
    kinds: HashMap<Box<str>, Kind>,
    writers: HashMap<([u8; 32], Option<CertificateId>), Writer>,
}

macro_rules! intern {
    ($map:expr, $text:expr, $what:literal) => {
        match $map.get($text) {
            Some(known) => Ok(known.clone()),
            None => $text.parse().map_err(|_| damaged($what)).inspect(|parsed| {
                $map.insert($text.into(), Clone::clone(parsed));
            }),
        }
    };
}

impl Decoder {
    /// A decoder that takes the souls asked for as they are.
    pub(crate) fn knowing(souls: &[Soul]) -> Self {
        let souls = souls.iter().map(|soul| (soul.as_str().into(), soul.clone())).collect();
        Self { souls, ..Self::default() }
    }

    fn writer(&mut self, author: &PublicKey, leaf: Option<CertificateId>) -> Writer {
        *self.writers.entry((author.0, leaf)).or_insert_with(|| Writer::new(author, leaf.as_ref()))
    }

    /// An entry from its columns and `entries.data`.
    pub(crate) fn entry(&mut self, columns: &Columns<'_>, data: &[u8]) -> Result<Entry, StoreError> {
        let item = decode(data)?;
        let Ok([kind, slot, body, kills, over, base, rest @ ..]) = item.elements() else {
            return Err(damaged("another number of parts"));
        };
        let leaf = match rest {
            [] => None,
            [leaf] => Some(CertificateId(leaf.array().map_err(|_| damaged("a certificate's digest"))?)),
            _ => return Err(damaged("another number of parts")),
        };
        let author = PublicKey(columns.author);
        let kind = kind.text().map_err(|_| damaged("a kind"))?;
        Ok(Entry {
            id: EntryId(columns.id),
            commit: CommitId(columns.commit),
            index: columns.index,
            soul: intern!(self.souls, columns.soul, "a soul")?,
            field: intern!(self.fields, columns.field, "a field")?,
            kind: intern!(self.kinds, kind, "a kind")?,
            slot: match slot {
                Item::Null => Slot::Own,
                Item::Bytes(slot) if slot.len() <= Slot::MAX_BYTES => Slot::Explicit((*slot).into()),
                _ => return Err(damaged("a slot")),
            },
            stamp: Stamp(columns.stamp),
            writer: self.writer(&author, leaf),
            leaf,
            author,
            body: decode_body(body)?,
            kills: decode_ids(kills, MAX_KILLS)?,
            over: decode_ids(over, MAX_OVER)?,
            base: match base {
                Item::Null => None,
                Item::Uint(base) => Some(Stamp(*base)),
                _ => return Err(damaged("a base stamp")),
            },
        })
    }

    /// A displaced entry from its columns and `history.data`.
    pub(crate) fn loser(&mut self, id: [u8; 32], soul: &str, field: &str, data: &[u8]) -> Result<Entry, StoreError> {
        let item = decode(data)?;
        let [commit, index, stamp, author, inner] = parts(&item)?;
        let bad = |_| damaged("a displaced entry");
        let columns = Columns {
            id,
            soul,
            field,
            commit: commit.array().map_err(bad)?,
            index: u16::try_from(index.uint().map_err(bad)?).map_err(|_| damaged("an operation's index"))?,
            stamp: stamp.uint().map_err(bad)?,
            author: author.array().map_err(bad)?,
        };
        self.entry(&columns, inner.bytes().map_err(bad)?)
    }

    /// `feed.changes`.
    pub(crate) fn changes(&mut self, data: &[u8]) -> Result<Vec<Change>, StoreError> {
        let bad = |_| damaged("a row of the change feed");
        let item = decode(data)?;
        let mut changes = Vec::new();
        for change in item.elements().map_err(bad)? {
            let [soul, names] = parts(change)?;
            let soul = soul.text().map_err(bad)?;
            let mut fields = Vec::new();
            for field in names.elements().map_err(bad)? {
                let field = field.text().map_err(bad)?;
                fields.push(intern!(self.fields, field, "a field")?);
            }
            changes.push(Change { soul: intern!(self.souls, soul, "a soul")?, fields });
        }
        Ok(changes)
    }
}

/// The value in `entries.data`, without what stands around it.
pub(crate) fn decode_value(data: &[u8]) -> Result<Option<Value>, StoreError> {
    let item = decode(data)?;
    let Ok([_, _, body, ..]) = item.elements() else { return Err(damaged("another number of parts")) };
    Ok(match decode_body(body)? {
        Body::Live { value, .. } => Some(value),
        Body::None | Body::Dropped(_) => None,
    })
}

fn decode(data: &[u8]) -> Result<Item<'_>, StoreError> {
    cbor::decode(data).map_err(|_| damaged("not DAG-CBOR"))
}

fn parts<'i, 'd, const N: usize>(item: &'i Item<'d>) -> Result<&'i [Item<'d>; N], StoreError> {
    item.elements().ok().and_then(|items| items.try_into().ok()).ok_or_else(|| damaged("another number of parts"))
}

fn decode_body(item: &Item<'_>) -> Result<Body, StoreError> {
    match item {
        Item::Null => Ok(Body::None),
        Item::Bytes(_) => Ok(Body::Dropped(ValueHash(item.array().map_err(|_| damaged("a value's hash"))?))),
        _ => {
            let [value, salt] = parts(item)?;
            let value = value.bytes().and_then(Value::from_cbor).map_err(|_| damaged("a value"))?;
            let salt = match salt {
                Item::Null => None,
                salt => Some(Salt(salt.array().map_err(|_| damaged("a salt"))?)),
            };
            Ok(Body::Live { value, salt })
        }
    }
}

fn decode_ids(item: &Item<'_>, most: usize) -> Result<Vec<EntryId>, StoreError> {
    let (ids, rest) = item.bytes().map_err(|_| damaged("a list of ids"))?.as_chunks::<32>();
    if rest.is_empty() && ids.len() <= most {
        Ok(ids.iter().copied().map(EntryId).collect())
    } else {
        Err(damaged("a list of ids"))
    }
}

#[cfg(test)]
mod tests;
