//! Everything that decides about an envelope except its signature.

use bytes::Bytes;
use rustdht_core::{Body, Code, CommitId, Entry, EntryId, Refusal, Space, Timing, UNSIGNED, ports::StoredCommit};

use crate::{
    Header, Operation, Place, Rules,
    envelope::{Envelope, Ties},
    key::check_key,
    merkle::{self, Hash},
    proofs::{self, Rows},
    refuse::{Within, malformed, refuse},
    rules::{Signer, Slots},
    verify::{Checked, Verified},
};

/// Checks an envelope in this order: size, canonical form, header, network, author key, time, certificates, that there is
/// a signature, then each operation by itself, what needs the whole commit, and the tree. The signature itself comes last,
/// in [`Checked::verify`] or [`crate::verify_batch`].
///
/// At a door the first refusal refuses the whole, and `field` says where (`ops.3.v`, `h.stamp`). Between replicas an
/// operation that breaks a rule is refused alone.
///
/// # Errors
/// The refusal of the whole.
pub fn check(bytes: &[u8], place: Place, rules: &Rules) -> Result<Checked, Refusal> {
    let envelope = Envelope::decode(bytes, place)?;
    let header = Header::decode(envelope.header).within("h")?;
    let timing = check_header(&header, &envelope, rules)?;
    let signature = envelope.signature.ok_or_else(|| malformed("a signed commit carries its signature").within("g"))?;

    let n = usize::from(header.n);
    if let Some(position) = envelope.operations.iter().position(|(index, _)| usize::from(*index) >= n) {
        return refuse(Code::OutOfRange, "the index of an operation is below n").within(&format!("ops.{position}"));
    }
    let id = CommitId::of(envelope.header);
    let signer = Signer::new(&header);
    let mut soul = None;
    let mut scratch = Vec::with_capacity(512);
    let mut leaves = Vec::with_capacity(envelope.operations.len());
    let mut entries = Vec::with_capacity(envelope.operations.len());
    for (index, raw) in &envelope.operations {
        leaves.push(raw.leaf(*index, &mut scratch));
        let judged = raw
            .parse(&mut soul)
            .and_then(|op| signer.judge(&op, place).map(|()| entry(op, *index, id, &signer, &header)));
        match judged.map_err(|refusal| refusal.within(&format!("ops.{index}"))) {
            Err(refusal) if place == Place::Door => return Err(refusal),
            judged => entries.push((*index, judged)),
        }
    }
    if place == Place::Door {
        refuse_duplicates(&entries)?;
    }
    let proven = prove(&header, &envelope.ties, &leaves, &mut entries)?;

    let value_less = entries.iter().any(|(_, entry)| matches!(entry, Ok(Entry { body: Body::Dropped(_), .. })));
    let commit = StoredCommit {
        id,
        header: Bytes::copy_from_slice(envelope.header),
        signature: Bytes::copy_from_slice(signature),
        leaves: proven.leaves,
        proofs: proven.proofs,
    };
    Ok(Checked::new(Verified { header, commit, timing, entries, value_less }, *signature))
}

fn check_header(header: &Header, envelope: &Envelope<'_>, rules: &Rules) -> Result<Timing, Refusal> {
    if header.net != rules.net {
        return refuse(Code::WrongNetwork, "the commit belongs to another network").within("h.net");
    }
    if header.author == UNSIGNED {
        return Err(refuse_unsigned(envelope));
    }
    check_key(&header.author).within("h.author")?;
    let timing = header.stamp.timing(rules.now_ms);
    if timing == Timing::TooEarly {
        return refuse(Code::TooEarly, "the stamp is more than 24 hours ahead of the clock here").within("h.stamp");
    }
    if !header.auth.is_empty() {
        return refuse(Code::CertificateMissing, "no certificate that the header names is here").within("h.auth");
    }
    Ok(timing)
}

/// 0^32 stands for "unsigned" in content space, which nobody writes, and is no key elsewhere.
fn refuse_unsigned(envelope: &Envelope<'_>) -> Refusal {
    let on_content = |text: Option<&str>| {
        text.and_then(|soul| soul.parse::<rustdht_core::Soul>().ok())
            .is_some_and(|soul| matches!(soul.space(), Space::Content(_)))
    };
    match envelope.operations.iter().find(|(_, op)| !on_content(op.soul_text())) {
        None => Refusal::new(Code::Immutable, "a content soul never changes").within("ops"),
        Some(_) => Refusal::new(Code::BadKey, "only commits of content souls are unsigned").within("h.author"),
    }
}

fn entry(op: Operation, index: u16, commit: CommitId, signer: &Signer<'_>, header: &Header) -> Entry {
    Entry {
        id: EntryId::of(&commit, index),
        commit,
        index,
        soul: op.soul,
        field: op.field,
        kind: op.kind,
        slot: op.slot,
        stamp: header.stamp,
        author: header.author,
        writer: signer.writer,
        body: op.body,
        kills: op.kills,
        over: op.over,
        base: op.base,
    }
}

type Judged = Vec<(u16, Result<Entry, Refusal>)>;

fn refuse_duplicates(entries: &Judged) -> Result<(), Refusal> {
    let mut slots = Slots::default();
    for (index, entry) in entries {
        if let Ok(entry) = entry {
            slots.insert(entry).map_err(|refusal| refusal.within(&format!("ops.{index}")))?;
        }
    }
    Ok(())
}

/// What is stored to prove the operations again.
#[derive(Default)]
struct Proven {
    leaves: Bytes,
    proofs: Bytes,
}

/// Ties the operations to the root: all of them by the tree, or each by its own path.
fn prove(header: &Header, ties: &Ties, found: &[Hash], entries: &mut Judged) -> Result<Proven, Refusal> {
    let n = usize::from(header.n);
    let bad_root = || Refusal::new(Code::BadRoot, "the operations do not hash to the header's root");
    let whole = |leaves: &[Hash]| Proven { leaves: leaves.concat().into(), proofs: Bytes::new() };
    if found.len() == n && merkle::root(found) == header.root {
        return Ok(whole(found));
    }
    match ties {
        Ties::Complete => Err(bad_root().within("ops")),
        Ties::Leaves(leaves) => {
            if leaves.len() != n || merkle::root(leaves) != header.root {
                return Err(bad_root().within("leaves"));
            }
            for (leaf, (index, entry)) in found.iter().zip(entries) {
                if leaves[usize::from(*index)] != *leaf {
                    *entry = Err(bad_root().within(&format!("ops.{index}")));
                }
            }
            Ok(whole(leaves))
        }
        Ties::Proofs(paths) => {
            let mut rows = Rows::new();
            for ((leaf, path), (index, entry)) in found.iter().zip(paths).zip(entries) {
                if merkle::root_from_proof(n, (*index).into(), leaf, path) != Some(header.root) {
                    *entry = Err(bad_root().within(&format!("ops.{index}")));
                } else if entry.is_ok() {
                    rows.insert(*index, path.clone());
                }
            }
            Ok(Proven { leaves: Bytes::new(), proofs: proofs::encode(&rows) })
        }
    }
}
