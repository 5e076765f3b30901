//! Envelopes from what is stored: any subset of a commit's entries, with the shortest thing that proves them.

use rustdht_core::{Entry, Value, cbor, ports::StoredCommit};

use crate::{
    Error, Header,
    limits::MAX_ENVELOPE_BYTES,
    merkle::{self, Hash},
    operation::Parts,
    proofs,
};

/// The envelope that carries `entries`, in any order, repeats counted once. With all n of them it needs no proof;
/// otherwise it brings all leaves or a path for each, whichever is shorter. A dropped value travels as its hash.
///
/// # Errors
/// [`Error::TooLarge`] above 1 MiB: send the entries in parts, see [`envelopes_of`]. Otherwise the parts do not belong
/// together or do not decode.
pub fn envelope_of(commit: &StoredCommit, entries: &[&Entry]) -> Result<Vec<u8>, Error> {
    let entries = in_order(commit, entries)?;
    build(commit, &entries, Header::decode(&commit.header)?.n)
}

/// As [`envelope_of`], in as many envelopes as it takes to keep each within `max_bytes`.
///
/// # Errors
/// [`Error::TooLarge`] when a single entry is over the bound.
pub fn envelopes_of(commit: &StoredCommit, entries: &[&Entry], max_bytes: usize) -> Result<Vec<Vec<u8>>, Error> {
    let entries = in_order(commit, entries)?;
    let n = Header::decode(&commit.header)?.n;
    let mut built = Vec::new();
    let mut rest = vec![&entries[..]];
    while let Some(part) = rest.pop() {
        let size_bytes = match build(commit, part, n) {
            Ok(envelope) if envelope.len() <= max_bytes => {
                built.push(envelope);
                continue;
            }
            Ok(envelope) => envelope.len(),
            Err(Error::TooLarge(size_bytes)) => size_bytes,
            Err(error) => return Err(error),
        };
        if part.len() == 1 {
            return Err(Error::TooLarge(size_bytes));
        }
        let (first, second) = part.split_at(part.len() / 2);
        rest.extend([second, first]);
    }
    Ok(built)
}

fn in_order<'a>(commit: &StoredCommit, entries: &[&'a Entry]) -> Result<Vec<&'a Entry>, Error> {
    if let Some(foreign) = entries.iter().find(|entry| entry.commit != commit.id) {
        return Err(Error::ForeignEntry { wanted: commit.id, found: foreign.commit, index: foreign.index });
    }
    let mut entries = entries.to_vec();
    entries.sort_by_key(|entry| entry.index);
    entries.dedup_by_key(|entry| entry.index);
    if entries.is_empty() { Err(Error::NoEntries) } else { Ok(entries) }
}

fn build(commit: &StoredCommit, entries: &[&Entry], n: u16) -> Result<Vec<u8>, Error> {
    // The operations of a hostile commit may come to 64 MiB together: do not build what cannot be sent.
    let least_bytes: usize = entries.iter().map(|entry| least_bytes(entry)).sum();
    if least_bytes > MAX_ENVELOPE_BYTES {
        return Err(Error::TooLarge(least_bytes));
    }
    let ties = if entries.len() == usize::from(n) { None } else { Some(ties(commit, entries, n)?) };
    let signed = !commit.signature.is_empty();
    let mut out = Vec::with_capacity(commit.header.len() + least_bytes + 128 * entries.len() + 128);
    cbor::map(&mut out, 2 + usize::from(signed) + usize::from(ties.is_some()));
    if signed {
        cbor::text(&mut out, "g");
        cbor::bytes(&mut out, &commit.signature);
    }
    cbor::text(&mut out, "h");
    cbor::bytes(&mut out, &commit.header);
    cbor::text(&mut out, "ops");
    cbor::array(&mut out, entries.len());
    for entry in entries {
        cbor::array(&mut out, 2);
        cbor::uint(&mut out, entry.index.into());
        Parts::from(*entry).encode(&mut out);
    }
    match ties {
        None => {}
        Some(Shortest::Leaves(leaves)) => {
            cbor::text(&mut out, "leaves");
            proofs::write_row(&mut out, &leaves);
        }
        Some(Shortest::Proofs(rows)) => {
            cbor::text(&mut out, "proofs");
            cbor::array(&mut out, rows.len());
            rows.iter().for_each(|row| proofs::write_row(&mut out, row));
        }
    }
    if out.len() > MAX_ENVELOPE_BYTES { Err(Error::TooLarge(out.len())) } else { Ok(out) }
}

/// No more than what the operation takes on the wire.
fn least_bytes(entry: &Entry) -> usize {
    let value_bytes = match entry.body.value() {
        Some(Value::Text(text)) => text.len(),
        Some(Value::Bytes(bytes) | Value::Enc(bytes)) => bytes.len(),
        _ => 0,
    };
    value_bytes + entry.soul.len() + 34 * (entry.kills.len() + entry.over.len())
}

enum Shortest {
    Leaves(Vec<Hash>),
    Proofs(Vec<Vec<Hash>>),
}

/// All leaves, or a path for each entry.
fn ties(commit: &StoredCommit, entries: &[&Entry], n: u16) -> Result<Shortest, Error> {
    let n = usize::from(n);
    let (leaves, _) = commit.leaves.as_chunks::<32>();
    if leaves.len() != n {
        let mut rows = proofs::decode(&commit.proofs)?;
        let row = |entry: &&Entry| rows.remove(&entry.index).ok_or(Error::Unproven(entry.index));
        return entries.iter().map(row).collect::<Result<_, _>>().map(Shortest::Proofs);
    }
    let indices: Vec<usize> = entries.iter().map(|entry| usize::from(entry.index)).collect();
    // A hash takes 34 bytes, a row one more for its length; the two heads differ by at most two bytes.
    let paths: usize = indices.iter().map(|index| 1 + 34 * merkle::proof_len(n, *index)).sum();
    if 34 * n <= paths {
        Ok(Shortest::Leaves(leaves.to_vec()))
    } else {
        Ok(Shortest::Proofs(merkle::proofs(leaves, &indices)))
    }
}
