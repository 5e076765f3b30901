//! Content commits: unsigned, whole, and named by the CID of what they say.

use bytes::Bytes;
use cid::Cid;
use rustdht_core::{
    Body, Code, CommitId, Entry, Field, Kind, MAX_VALUE_BYTES, NetId, Refusal, Session, Slot, Soul, Space, Stamp,
    Timing, UNSIGNED, Value, Writer, cbor, ports::StoredCommit,
};
use sha2::{Digest, Sha256};

use crate::{
    Built, Header, Standing,
    envelope::{Envelope, Ties},
    limits::{MAX_ENVELOPE_BYTES, MAX_OPERATIONS},
    merkle::{self, Hash},
    operation::{Operation, Salted, leaf_hash},
    refuse::{Within, refuse},
    verify::{Checked, Verified},
};

/// Multihash of SHA-256, and the multicodec of dag-cbor.
const SHA2_256: u64 = 0x12;
const DAG_CBOR: u64 = 0x71;

fn immutable<T>(part: &str, detail: &'static str) -> Result<T, Refusal> {
    refuse(Code::Immutable, detail).within(part)
}

/// The order of a map's keys in DAG-CBOR.
fn order(field: &Field) -> (usize, &[u8]) {
    (field.len(), field.as_bytes())
}

/// `#` and the CID of the map {field: value}; the fields stand in the order of its keys.
fn soul_of<'a>(fields: impl ExactSizeIterator<Item = (&'a Field, &'a Value)>) -> Result<Soul, Refusal> {
    let mut bytes = Vec::with_capacity(1024);
    cbor::map(&mut bytes, fields.len());
    for (field, value) in fields {
        cbor::text(&mut bytes, field);
        value.encode(&mut bytes);
    }
    let hash = cid::multihash::Multihash::wrap(SHA2_256, &Sha256::digest(&bytes));
    let hash = hash.or_else(|_| refuse(Code::BadSoul, "the digest does not fit into a CID"))?;
    format!("#{}", Cid::new_v1(DAG_CBOR, hash)).parse()
}

/// Whether an unsigned commit is of content souls only, as far as its operations name souls.
pub(crate) fn is_content(envelope: &Envelope<'_>) -> bool {
    envelope.operations.iter().all(|(_, op)| {
        let soul = op.soul_text().and_then(|text| text.parse::<Soul>().ok());
        soul.is_some_and(|soul| matches!(soul.space(), Space::Content(_)))
    })
}

/// Judges a content commit, whole, wherever it comes from.
///
/// # Errors
/// `immutable` for anything but the one commit of this content, `bad_value` for null, `bad_soul` when the CID is that of
/// something else, `bad_root`; what an operation by itself is refused for.
pub(crate) fn check(header: Header, envelope: &Envelope<'_>) -> Result<Checked, Refusal> {
    check_outline(&header, envelope)?;
    let n = usize::from(header.n);
    let mut soul = None;
    let mut scratch = Vec::with_capacity(512);
    let mut leaves: Vec<Hash> = Vec::with_capacity(n);
    let mut operations: Vec<Operation> = Vec::with_capacity(n);
    for (position, (index, raw)) in envelope.operations.iter().enumerate() {
        let mut judge = || {
            if usize::from(*index) != position {
                return immutable("", "a content commit travels whole");
            }
            let op = raw.parse(&mut soul, Salted::No)?;
            check_operation(&op, operations.last())?;
            Ok(op)
        };
        leaves.push(raw.leaf(*index, &mut scratch));
        operations.push(judge().map_err(|refusal| refusal.within(&format!("ops.{position}")))?);
    }
    if operations.len() != n || merkle::root(&leaves) != header.root {
        return refuse(Code::BadRoot, "the operations do not hash to the header's root").within("ops");
    }
    check_soul(&operations)?;
    let id = CommitId::of(envelope.header);
    let entries = entries(id, &header, operations).into_iter().map(|entry| (entry.index, Ok(entry))).collect();
    let commit = stored(id, Bytes::copy_from_slice(envelope.header), &leaves);
    Ok(Checked::unsigned(Verified::new(header, commit, Timing::Admitted, entries)))
}

/// What surrounds the operations: nobody signs, at no time, in no session.
fn check_outline(header: &Header, envelope: &Envelope<'_>) -> Result<(), Refusal> {
    let rules = [
        ("h.session", header.session == Session([0; 8])),
        ("h.seq", header.seq == 0 && header.prev.is_none()),
        ("h.stamp", header.stamp == Stamp(0)),
        ("h.auth", header.auth.is_empty()),
        ("g", envelope.signature.is_none()),
        ("c", envelope.certificates.is_empty()),
        ("e", envelope.endorsements.is_empty()),
        ("leaves", !matches!(envelope.ties, Ties::Leaves(_))),
        ("proofs", !matches!(envelope.ties, Ties::Proofs(_))),
    ];
    match rules.iter().find(|(_, holds)| !holds) {
        Some((part, _)) => immutable(part, "a content soul has one unsigned commit, which travels whole and alone"),
        None => Ok(()),
    }
}

fn check_operation(op: &Operation, last: Option<&Operation>) -> Result<(), Refusal> {
    let rules = [
        ("s", last.is_none_or(|last| last.soul == op.soul), "one content commit is of one soul"),
        ("k", op.kind.is_register(), "content holds registers only"),
        ("t", op.slot == Slot::Explicit([].into()), "the slot of a content register is empty"),
        ("x", op.kills.is_empty(), "content removes nothing"),
        ("o", op.over.is_empty(), "content was written over nothing"),
        ("b", op.base.is_none(), "content compacts nothing"),
        ("f", last.is_none_or(|last| order(&last.field) < order(&op.field)), "fields stand in the order of DAG-CBOR"),
    ];
    if let Some((part, _, detail)) = rules.iter().find(|(_, holds, _)| !holds) {
        return immutable(part, detail);
    }
    match &op.body {
        Body::Live { value: Value::Null, .. } => refuse(Code::BadValue, "a register never holds null").within("v"),
        Body::Live { salt: None, .. } => Ok(()),
        Body::Live { .. } => immutable("r", "content has no salts"),
        Body::Dropped(_) => immutable("w", "content is never dropped"),
        Body::None => immutable("v", "content has values"),
    }
}

fn check_soul(operations: &[Operation]) -> Result<(), Refusal> {
    let fields: Vec<_> = operations.iter().filter_map(|op| Some((&op.field, op.body.value()?))).collect();
    match operations.first() {
        Some(first) if soul_of(fields.into_iter())? != first.soul => {
            refuse(Code::BadSoul, "the CID is not that of this content").within("ops.0.s")
        }
        _ => Ok(()),
    }
}

fn entries(commit: CommitId, header: &Header, operations: Vec<Operation>) -> Vec<Entry> {
    let unsigned = Standing { leaf: None, writer: Writer::new(&UNSIGNED, None) };
    (0..).zip(operations).map(|(index, op)| op.into_entry(commit, index, header, unsigned)).collect()
}

fn stored(id: CommitId, header: Bytes, leaves: &[Hash]) -> StoredCommit {
    StoredCommit { id, header, signature: Bytes::new(), leaves: leaves.concat().into(), proofs: Bytes::new() }
}

/// The soul of a content node.
///
/// # Errors
/// `out_of_range` for no field, `too_many_operations` for more than 1,024, `duplicate_operation` for one named twice,
/// `bad_value` for null, `too_large` for a value above 64 KiB. `field` is the field's key.
pub fn content_soul(fields: &[(Field, Value)]) -> Result<Soul, Refusal> {
    let mut sorted: Vec<&(Field, Value)> = fields.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| order(a).cmp(&order(b)));
    check_fields(&sorted)?;
    soul_of(sorted.into_iter().map(|(field, value)| (field, value)))
}

fn check_fields(sorted: &[&(Field, Value)]) -> Result<(), Refusal> {
    if sorted.is_empty() {
        return refuse(Code::OutOfRange, "a commit has at least one operation");
    }
    if sorted.len() > MAX_OPERATIONS {
        return refuse(Code::TooManyOperations, "a content node has at most 1,024 fields");
    }
    for (at, (field, value)) in sorted.iter().enumerate() {
        if at > 0 && sorted[at - 1].0 == *field {
            return refuse(Code::DuplicateOperation, "a field stands once").within(field);
        }
        match value {
            Value::Null => return refuse(Code::BadValue, "a register never holds null").within(field),
            Value::Float(number) if !number.is_finite() => {
                return refuse(Code::BadValue, "a number that is not finite").within(field);
            }
            value if value.to_cbor().len() > MAX_VALUE_BYTES => {
                return refuse(Code::TooLarge, "a value is at most 64 KiB of DAG-CBOR; larger ones are blobs")
                    .within(field);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The one commit of a content soul, unsigned.
///
/// # Errors
/// As [`content_soul`]; `bad_soul` when `soul` is not that of these fields; `too_large` above 1 MiB.
pub fn content_commit(net: NetId, soul: &Soul, mut fields: Vec<(Field, Value)>) -> Result<Built, Refusal> {
    fields.sort_by(|(a, _), (b, _)| order(a).cmp(&order(b)));
    if content_soul(&fields)? != *soul {
        return refuse(Code::BadSoul, "the CID is not that of this content");
    }
    let operation = |(field, value)| Operation {
        soul: soul.clone(),
        field,
        kind: Kind::listed(Kind::REGISTER),
        slot: Slot::Explicit([].into()),
        body: Body::Live { value, salt: None },
        kills: Vec::new(),
        over: Vec::new(),
        base: None,
    };
    let operations: Vec<Operation> = fields.into_iter().map(operation).collect();
    let leaves: Vec<Hash> = (0..).zip(&operations).map(|(index, op)| leaf_hash(index, op)).collect();
    let n = u16::try_from(operations.len())
        .or_else(|_| refuse(Code::TooManyOperations, "a content node has at most 1,024 fields"))?;
    let header = Header {
        net,
        author: UNSIGNED,
        session: Session([0; 8]),
        seq: 0,
        prev: None,
        stamp: Stamp(0),
        n,
        root: merkle::root(&leaves),
        auth: Vec::new(),
    };
    let header_bytes = Bytes::from(header.encode());
    let mut envelope = Vec::with_capacity(1024);
    cbor::map(&mut envelope, 2);
    cbor::text(&mut envelope, "h");
    cbor::bytes(&mut envelope, &header_bytes);
    cbor::text(&mut envelope, "ops");
    cbor::array(&mut envelope, operations.len());
    for (index, op) in (0..).zip(&operations) {
        cbor::array(&mut envelope, 2);
        cbor::uint(&mut envelope, index);
        envelope.extend(op.encode());
    }
    if envelope.len() > MAX_ENVELOPE_BYTES {
        return refuse(Code::TooLarge, "an envelope is at most 1 MiB");
    }
    let id = CommitId::of(&header_bytes);
    Ok(Built {
        entries: entries(id, &header, operations),
        header,
        commit: stored(id, header_bytes, &leaves),
        certificates: Vec::new(),
        endorsements: Vec::new(),
        envelope: envelope.into(),
    })
}
