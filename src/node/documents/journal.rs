//! Keystrokes that are durable and not signed yet: private rows, one for each flush and author of a document.
//!
//! They are written before anybody hears of a keystroke and deleted in the transaction of the commit that signs them, so
//! a crash at any point loses nothing that was passed on and signs nothing twice.
//!
//! Key: the first 16 bytes of BLAKE3(soul || 0 || field), then a number of 8 bytes that rises within the document.

use bytes::Bytes;
use rustdht_core::{
    Code, Field, Kind, PublicKey, Refusal, Soul, Stamp, Value,
    cbor::{self, Item},
    ports::SideRow,
};

use crate::Principal;

/// Namespace of the rows.
pub(crate) const NS: &str = "keystrokes";

/// The part of the key that all rows of a document share.
pub(crate) fn prefix(soul: &Soul, field: &Field) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    // Souls and fields hold no U+0000, so the two cannot run into each other.
    hasher.update(soul.as_str().as_bytes()).update(&[0]).update(field.as_bytes());
    let mut prefix = [0; 16];
    prefix.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    prefix
}

/// The key of row `number` of a document.
pub(crate) fn key(prefix: &[u8; 16], number: u64) -> Vec<u8> {
    [&prefix[..], &number.to_be_bytes()].concat()
}

/// The number in a key.
pub(crate) fn number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(16..)?.try_into().ok()?))
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) soul: Soul,
    pub(crate) field: Field,
    pub(crate) kind: Kind,
    /// Who signs it: the owner or an account.
    pub(crate) by: Principal,
    /// The stamp of the last deletion of the field that was known when it was written: a later one takes it too.
    pub(crate) cut: Stamp,
    /// The updates, merged: bytes, or the same sealed where the node is private.
    pub(crate) update: Value,
}

impl Row {
    /// The row to be written under `key`.
    pub(crate) fn put(&self, key: Vec<u8>) -> SideRow {
        let mut out = Vec::new();
        cbor::map(&mut out, 6 + usize::from(matches!(self.by, Principal::Account(_))));
        if let Principal::Account(account) = &self.by {
            cbor::text(&mut out, "a");
            cbor::bytes(&mut out, &account.0);
        }
        cbor::text(&mut out, "c");
        cbor::uint(&mut out, self.cut.0);
        cbor::text(&mut out, "e");
        cbor::bool(&mut out, matches!(self.update, Value::Enc(_)));
        cbor::text(&mut out, "f");
        cbor::text(&mut out, &self.field);
        cbor::text(&mut out, "k");
        cbor::text(&mut out, &self.kind);
        cbor::text(&mut out, "s");
        cbor::text(&mut out, self.soul.as_str());
        cbor::text(&mut out, "u");
        match &self.update {
            Value::Bytes(bytes) | Value::Enc(bytes) => cbor::bytes(&mut out, bytes),
            _ => cbor::bytes(&mut out, &[]),
        }
        SideRow { ns: NS, key, value: Some(out), insert_only: false }
    }

    /// Reads a row.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let missing = || Refusal::new(Code::Malformed, "a journal row lacks a part");
        let (mut soul, mut field, mut kind, mut sealed, mut update) = (None, None, None, None, None);
        let (mut by, mut cut) = (Principal::Owner, Stamp::default());
        for (name, item) in cbor::decode_map(bytes)? {
            match name {
                "a" => by = Principal::Account(PublicKey(item.array()?)),
                "c" => cut = Stamp(item.uint()?),
                "e" => sealed = Some(matches!(item, Item::Bool(true))),
                "f" => field = Some(item.text()?.parse()?),
                "k" => kind = Some(item.text()?.parse()?),
                "s" => soul = Some(item.text()?.parse()?),
                "u" => update = Some(Bytes::copy_from_slice(item.bytes()?)),
                _ => return Err(Refusal::new(Code::Malformed, "a journal row has an unknown part")),
            }
        }
        let update = update.ok_or_else(missing)?;
        let update = if sealed.ok_or_else(missing)? {
            Value::Enc(update.to_vec().into())
        } else {
            Value::Bytes(update.to_vec().into())
        };
        Ok(Self {
            soul: soul.ok_or_else(missing)?,
            field: field.ok_or_else(missing)?,
            kind: kind.ok_or_else(missing)?,
            by,
            cut,
            update,
        })
    }
}

/// The deletion of a row.
pub(crate) fn delete(key: Vec<u8>) -> SideRow {
    SideRow { ns: NS, key, value: None, insert_only: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back() {
        let soul: Soul = "pages/ada".parse().unwrap();
        let field: Field = "text".parse().unwrap();
        let key = key(&prefix(&soul, &field), 7);
        for by in [Principal::Owner, Principal::Account(PublicKey([3; 32]))] {
            for update in [Value::Bytes(vec![0, 0].into()), Value::Enc(vec![1].into())] {
                let (kind, cut) = (Kind::listed(Kind::TEXT), Stamp(9));
                let row = Row { soul: soul.clone(), field: field.clone(), kind, by, cut, update };
                let put = row.put(key.clone());
                assert_eq!((put.ns, number(&put.key)), (NS, Some(7)));
                assert_eq!(Row::read(&put.value.unwrap()), Ok(row));
            }
        }
        assert!(Row::read(&[0xa0]).is_err());
    }

    #[test]
    fn documents_have_rows_of_their_own() {
        let name = |soul: &str, field: &str| prefix(&soul.parse().unwrap(), &field.parse().unwrap());
        assert_ne!(name("ab", "c"), name("a", "bc"));
    }
}
