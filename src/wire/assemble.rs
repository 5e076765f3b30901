//! Envelopes from what is stored: any subset of a commit's entries, with the shortest thing that proves them.

use std::sync::Arc;

use rustdht_core::{
    Entry, Refusal, UNSIGNED, Value,
    cbor::{self, Reader},
    ports::StoredCommit,
};

use crate::{
    EndorsedBy, Error, Header, SignedCertificate,
    limits::{MAX_CERTIFICATES, MAX_ENDORSEMENTS, MAX_ENVELOPE_BYTES},
    merkle::{self, Hash},
    operation::Parts,
    proofs,
};

/// What travels along with a commit. More than an envelope may carry is left out, the last first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// Certificates, those that matter most first; repeats are written once.
    pub certificates: &'a [Arc<SignedCertificate>],
    /// Endorsements, one for each certificate.
    pub endorsements: &'a [EndorsedBy],
}

impl<'a> Extras<'a> {
    fn certificates(&self) -> impl Iterator<Item = &'a Arc<SignedCertificate>> + Clone {
        let all = self.certificates;
        let first = move |(at, certificate): &(usize, &Arc<SignedCertificate>)| {
            !all[..*at].iter().any(|before| before.id() == certificate.id())
        };
        all.iter().enumerate().filter(first).map(|(_, certificate)| certificate).take(MAX_CERTIFICATES)
    }

    fn endorsements(&self) -> &'a [EndorsedBy] {
        &self.endorsements[..self.endorsements.len().min(MAX_ENDORSEMENTS)]
    }

    /// How many keys of the envelope they take.
    pub(crate) fn keys(&self) -> usize {
        usize::from(!self.certificates.is_empty()) + usize::from(!self.endorsements.is_empty())
    }

    /// About what they take on the wire, and not less.
    pub(crate) fn size_bytes(&self) -> usize {
        let certificates: usize = self.certificates().map(|certificate| certificate.bytes().len() + 72).sum();
        certificates + 112 * self.endorsements().len() + 8
    }
}

/// Appends the keys c and e, which stand before all others.
pub(crate) fn write_extras(out: &mut Vec<u8>, extras: &Extras<'_>) {
    if !extras.certificates.is_empty() {
        cbor::text(out, "c");
        cbor::array(out, extras.certificates().count());
        for certificate in extras.certificates() {
            cbor::array(out, 2);
            cbor::bytes(out, certificate.bytes());
            cbor::bytes(out, certificate.signature());
        }
    }
    if !extras.endorsements.is_empty() {
        cbor::text(out, "e");
        cbor::array(out, extras.endorsements().len());
        for endorsement in extras.endorsements() {
            cbor::array(out, 2);
            cbor::cid(out, &endorsement.certificate.to_cid());
            cbor::bytes(out, &endorsement.signature);
        }
    }
}

/// The same envelope with other extras in place of its own.
///
/// # Errors
/// [`Error::TooLarge`] above 1 MiB: send the entries in parts, see [`envelopes_of`]; [`Error::Stored`] when it is none.
pub fn with_extras(envelope: &[u8], extras: &Extras<'_>) -> Result<Vec<u8>, Error> {
    let read = || -> Result<Vec<(&str, &[u8])>, Refusal> {
        let mut reader = Reader::new(envelope);
        let (mut parts, mut last) = (Vec::new(), None);
        for _ in 0..reader.map_len(0)? {
            let key = reader.key(&mut last)?;
            parts.push((key, reader.raw(1)?));
        }
        reader.finish()?;
        parts.retain(|(key, _)| !matches!(*key, "c" | "e"));
        Ok(parts)
    };
    let parts = read()?;
    let mut out = Vec::with_capacity(envelope.len() + extras.size_bytes());
    cbor::map(&mut out, parts.len() + extras.keys());
    write_extras(&mut out, extras);
    for (key, raw) in parts {
        cbor::text(&mut out, key);
        out.extend_from_slice(raw);
    }
    if out.len() > MAX_ENVELOPE_BYTES { Err(Error::TooLarge(out.len())) } else { Ok(out) }
}

/// The envelope that carries `entries`, in any order, repeats counted once. With all n of them it needs no proof;
/// otherwise it brings all leaves or a path for each, whichever is shorter. A dropped value travels as its hash.
///
/// # Errors
/// [`Error::TooLarge`] above 1 MiB: send the entries in parts, see [`envelopes_of`]. [`Error::NotWhole`] for a part of a
/// content commit. Otherwise the parts do not belong together or do not decode.
pub fn envelope_of(commit: &StoredCommit, entries: &[&Entry], extras: &Extras<'_>) -> Result<Vec<u8>, Error> {
    let entries = in_order(commit, entries)?;
    build(commit, &entries, length(commit, &entries)?, extras)
}

/// The number of operations of the whole commit.
fn length(commit: &StoredCommit, entries: &[&Entry]) -> Result<u16, Error> {
    let header = Header::decode(&commit.header)?;
    if header.author == UNSIGNED && entries.len() != usize::from(header.n) {
        return Err(Error::NotWhole { of: header.n, found: entries.len() });
    }
    Ok(header.n)
}

/// As [`envelope_of`], in as many envelopes as it takes to keep each within `max_bytes`.
///
/// # Errors
/// [`Error::TooLarge`] when a single entry is over the bound, or a content commit, which is never parted.
/// [`Error::NotWhole`] for a part of a content commit.
pub fn envelopes_of(
    commit: &StoredCommit,
    entries: &[&Entry],
    extras: &Extras<'_>,
    max_bytes: usize,
) -> Result<Vec<Vec<u8>>, Error> {
    let entries = in_order(commit, entries)?;
    let n = length(commit, &entries)?;
    let whole = entries.iter().any(|entry| entry.author == UNSIGNED);
    let mut built = Vec::new();
    let mut rest = vec![&entries[..]];
    while let Some(part) = rest.pop() {
        let size_bytes = match build(commit, part, n, extras) {
            Ok(envelope) if envelope.len() <= max_bytes => {
                built.push(envelope);
                continue;
            }
            Ok(envelope) => envelope.len(),
            Err(Error::TooLarge(size_bytes)) => size_bytes,
            Err(error) => return Err(error),
        };
        if part.len() == 1 || whole {
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

fn build(commit: &StoredCommit, entries: &[&Entry], n: u16, extras: &Extras<'_>) -> Result<Vec<u8>, Error> {
    // The operations of a hostile commit may come to 64 MiB together: do not build what cannot be sent.
    let least_bytes: usize = entries.iter().map(|entry| least_bytes(entry)).sum();
    if least_bytes > MAX_ENVELOPE_BYTES {
        return Err(Error::TooLarge(least_bytes));
    }
    let ties = if entries.len() == usize::from(n) { None } else { Some(ties(commit, entries, n)?) };
    let signed = !commit.signature.is_empty();
    // Nothing travels along with content.
    let extras = if signed { *extras } else { Extras::default() };
    let mut out =
        Vec::with_capacity(commit.header.len() + least_bytes + 128 * entries.len() + 128 + extras.size_bytes());
    cbor::map(&mut out, 2 + extras.keys() + usize::from(signed) + usize::from(ties.is_some()));
    write_extras(&mut out, &extras);
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
