//! Making commits.

use bytes::Bytes;
use rustdht_core::{
    Body, Code, CommitId, Entry, EntryId, MAX_KILLS, MAX_OVER, MAX_VALUE_BYTES, NetId, Refusal, Session, Slot, Stamp,
    Value, ValueHash, cbor, ports::StoredCommit,
};

use crate::{
    Header, Operation, Place, SigningKey,
    limits::{MAX_ENVELOPE_BYTES, MAX_OPERATIONS},
    merkle::{self, Hash},
    operation::{Parts, Written, begin_leaf},
    refuse::{Within, malformed, refuse},
    rules::{Signer, Slots},
};

/// A commit that was just signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// The header.
    pub header: Header,
    /// What is stored of the commit beside its entries.
    pub commit: StoredCommit,
    /// The entries, by index.
    pub entries: Vec<Entry>,
    /// The complete envelope, as a door takes it.
    pub envelope: Bytes,
}

/// Signs the operations as one commit. Values bring their salts with them.
///
/// The operations are held to the same rules as at a door, so that nothing is signed that another member refuses.
///
/// # Errors
/// What [`crate::check`] would say of the commit at a door; `malformed` for a value without salt or a dropped one.
pub fn sign_commit(
    key: &SigningKey,
    net: NetId,
    session: Session,
    seq: u64,
    prev: Option<CommitId>,
    stamp: Stamp,
    operations: Vec<Operation>,
) -> Result<Built, Refusal> {
    let n = match operations.len() {
        0 => return refuse(Code::OutOfRange, "a commit has at least one operation"),
        n if n > MAX_OPERATIONS => return refuse(Code::TooManyOperations, "a commit has at most 1,024 operations"),
        n => n as u16,
    };
    if prev.is_none() != (seq == 0) {
        return refuse(Code::Malformed, "prev is null exactly when seq is 0").within("h.prev");
    }
    let mut header =
        Header { net, author: key.public(), session, seq, prev, stamp, n, root: [0; 32], auth: Vec::new() };
    let signer = Signer::new(&header);
    let writer = signer.writer;
    let mut body = Vec::with_capacity(operations.len() * 192);
    let mut leaves: Vec<Hash> = Vec::with_capacity(operations.len());
    let mut scratch = Scratch::default();
    for (index, op) in (0..n).zip(&operations) {
        signer
            .judge(op, Place::Door)
            .and_then(|()| check_parts(op))
            .and_then(|()| {
                cbor::array(&mut body, 2);
                cbor::uint(&mut body, index.into());
                scratch.write(op, index, &mut body)
            })
            .map(|leaf| leaves.push(leaf))
            .map_err(|refusal| refusal.within(&format!("ops.{index}")))?;
    }
    header.root = merkle::root(&leaves);
    let header_bytes = Bytes::from(header.encode());
    let id = CommitId::of(&header_bytes);
    let signature = key.sign(&id.0);
    let envelope = envelope(&header_bytes, &signature, n, &body)?;
    let entries: Vec<Entry> = (0..n)
        .zip(operations)
        .map(|(index, op)| Entry {
            id: EntryId::of(&id, index),
            commit: id,
            index,
            soul: op.soul,
            field: op.field,
            kind: op.kind,
            slot: op.slot,
            stamp,
            author: header.author,
            writer,
            body: op.body,
            kills: op.kills,
            over: op.over,
            base: op.base,
        })
        .collect();
    let mut slots = Slots::default();
    for entry in &entries {
        slots.insert(entry).map_err(|refusal| refusal.within(&format!("ops.{}", entry.index)))?;
    }
    let commit = StoredCommit {
        id,
        header: header_bytes,
        signature: Bytes::copy_from_slice(&signature),
        leaves: leaves.concat().into(),
        proofs: Bytes::new(),
    };
    Ok(Built { header, commit, entries, envelope })
}

fn envelope(header: &[u8], signature: &[u8; 64], n: u16, operations: &[u8]) -> Result<Bytes, Refusal> {
    let mut out = Vec::with_capacity(header.len() + operations.len() + 96);
    cbor::map(&mut out, 3);
    cbor::text(&mut out, "g");
    cbor::bytes(&mut out, signature);
    cbor::text(&mut out, "h");
    cbor::bytes(&mut out, header);
    cbor::text(&mut out, "ops");
    cbor::array(&mut out, n.into());
    out.extend_from_slice(operations);
    if out.len() > MAX_ENVELOPE_BYTES {
        return refuse(Code::TooLarge, "an envelope is at most 1 MiB; split the operations over several commits");
    }
    Ok(out.into())
}

/// What a decoded operation has by itself, and one made here might lack.
fn check_parts(op: &Operation) -> Result<(), Refusal> {
    for (name, ids, most) in [("x", &op.kills, MAX_KILLS), ("o", &op.over, MAX_OVER)] {
        if ids.len() > most {
            return refuse(Code::OutOfRange, "at most 8,192 kills, and 4 entries seen").within(name);
        }
        if !ids.is_sorted_by(|a, b| a < b) {
            return refuse(Code::Malformed, "ids ascend without repeats").within(name);
        }
    }
    match (&op.slot, &op.body) {
        (Slot::Explicit(slot), _) if slot.len() > Slot::MAX_BYTES => {
            refuse(Code::BadSlot, "a slot has at most 64 bytes").within("t")
        }
        (_, Body::Live { value: Value::Float(number), .. }) if !number.is_finite() => {
            refuse(Code::BadValue, "a number that is not finite").within("v")
        }
        (_, Body::None) if op.kills.is_empty() => Err(malformed("an operation has a value, or kills, or both")),
        (_, Body::Live { salt: None, .. }) => Err(malformed("v goes with r").within("r")),
        _ => Ok(()),
    }
}

/// Buffers that are used again from operation to operation.
#[derive(Default)]
struct Scratch {
    /// Salt and value.
    salted: Vec<u8>,
    leaf: Vec<u8>,
}

impl Scratch {
    /// Appends the operation to `out` and returns its leaf.
    fn write(&mut self, op: &Operation, index: u16, out: &mut Vec<u8>) -> Result<Hash, Refusal> {
        let parts = Parts::from(op);
        begin_leaf(&mut self.leaf, index);
        if let Body::Live { value, salt: Some(salt) } = &op.body {
            self.salted.clear();
            self.salted.extend_from_slice(&salt.0);
            value.encode(&mut self.salted);
            let encoded = &self.salted[salt.0.len()..];
            if encoded.len() > MAX_VALUE_BYTES {
                return refuse(Code::TooLarge, "a value is at most 64 KiB of DAG-CBOR; larger ones are blobs")
                    .within("v");
            }
            let hash = ValueHash(*blake3::hash(&self.salted).as_bytes());
            parts.write(&mut self.leaf, Written::Leaf(&hash));
            parts.write(out, Written::Live(encoded, Some(salt)));
        } else {
            parts.write(&mut self.leaf, Written::Absent);
            parts.write(out, Written::Absent);
        }
        Ok(*blake3::hash(&self.leaf).as_bytes())
    }
}
