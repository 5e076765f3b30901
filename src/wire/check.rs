//! Everything that decides about an envelope except its signature.

use bytes::Bytes;
use rustdht_core::{Code, CommitId, Entry, Mode, Refusal, Soul, Space, Timing, UNSIGNED, ports::StoredCommit};

use crate::{
    Header, Place, Rules,
    authority::{self, Authority},
    content,
    envelope::{Envelope, Ties},
    key::check_key,
    merkle::{self, Hash},
    operation::Salted,
    proofs::{self, Rows},
    refuse::{Within, malformed, refuse},
    rules::{Mirror, Slots},
    verify::{Checked, Need, Verified, Wanted},
};

/// Checks an envelope in this order: size, canonical form, header, network, author key, time, that there is a signature,
/// certificates, then each operation by itself, what needs the whole commit, and the tree. The signatures come last, in
/// [`Checked::verify`] or [`crate::verify_batch`], and with them whether an operation has the endorsement that it needs.
///
/// At a door the first refusal refuses the whole, and `field` says where (`ops.3.v`, `h.stamp`). Between replicas an
/// operation that breaks a rule is refused alone. A content commit is judged whole everywhere.
///
/// # Errors
/// The refusal of the whole.
pub fn check(bytes: &[u8], place: Place, rules: &Rules<'_>) -> Result<Checked, Refusal> {
    let envelope = Envelope::decode(bytes, place)?;
    let header = Header::decode(envelope.header).within("h")?;
    if header.net != rules.net {
        return refuse(Code::WrongNetwork, "the commit belongs to another network").within("h.net");
    }
    if header.author == UNSIGNED {
        if content::is_content(&envelope) {
            return content::check(header, &envelope);
        }
        return refuse(Code::BadKey, "only commits of content souls are unsigned").within("h.author");
    }
    check_signed(header, &envelope, place, rules)
}

fn check_signed(header: Header, envelope: &Envelope<'_>, place: Place, rules: &Rules<'_>) -> Result<Checked, Refusal> {
    check_key(&header.author).within("h.author")?;
    let timing = header.stamp.timing(rules.now_ms);
    if timing == Timing::TooEarly {
        return refuse(Code::TooEarly, "the stamp is more than 24 hours ahead of the clock here").within("h.stamp");
    }
    let signature = envelope.signature.ok_or_else(|| malformed("a signed commit carries its signature").within("g"))?;
    let n = usize::from(header.n);
    if let Some(position) = envelope.operations.iter().position(|(index, _)| usize::from(*index) >= n) {
        return refuse(Code::OutOfRange, "the index of an operation is below n").within(&format!("ops.{position}"));
    }
    let Authority { author, certificates, vouchers, unknown } = authority::judge(&header, envelope, place, rules)?;

    let id = CommitId::of(envelope.header);
    let mirror = if place == Place::Door { Mirror::Refused } else { Mirror::Own };
    let mut last = None;
    let mut scratch = Vec::with_capacity(512);
    let mut leaves = Vec::with_capacity(envelope.operations.len());
    let mut entries = Vec::with_capacity(envelope.operations.len());
    for (index, raw) in &envelope.operations {
        leaves.push(raw.leaf(*index, &mut scratch));
        let judged = raw.parse(&mut last, Salted::Yes).and_then(|op| {
            let standing = author.judge(&op, &header.session, header.stamp, place, mirror)?;
            Ok(op.into_entry(id, *index, &header, standing))
        });
        match judged.map_err(|refusal| refusal.within(&format!("ops.{index}"))) {
            Err(refusal) if place == Place::Door => return Err(refusal),
            judged => entries.push((*index, judged)),
        }
    }
    if place == Place::Door {
        refuse_duplicates(&entries)?;
    }
    let proven = prove(&header, &envelope.ties, &leaves, &mut entries)?;

    let needs = if place == Place::Replica { needs(&entries, rules) } else { Vec::new() };
    let commit = StoredCommit {
        id,
        header: Bytes::copy_from_slice(envelope.header),
        signature: Bytes::copy_from_slice(signature),
        leaves: proven.leaves,
        proofs: proven.proofs,
    };
    let verified = Verified { certificates, ..Verified::new(header, commit, timing, entries) };
    Ok(Checked::signed(verified, *signature, place, vouchers, needs, unknown))
}

/// The operations that need somebody's word in this network.
fn needs(entries: &Judged, rules: &Rules<'_>) -> Vec<Need> {
    if rules.mode == Mode::Open {
        return Vec::new();
    }
    let community = Soul::of_key(rules.community);
    let wanted = |entry: &Entry| {
        if entry.soul.placement_key() == community.as_str() {
            None
        } else if entry.soul.starts_with('^') && entry.soul.space() == Space::Mirror {
            Some(Wanted::Author)
        } else {
            Some(Wanted::Member)
        }
    };
    let need = |(position, (_, entry)): (usize, &(u16, Result<Entry, Refusal>))| {
        Some(Need { position, of: wanted(entry.as_ref().ok()?)? })
    };
    entries.iter().enumerate().filter_map(need).collect()
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
