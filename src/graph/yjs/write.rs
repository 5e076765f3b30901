//! From an edit to operations: under which client it is made, and how it is cut into entries.

use std::collections::{BTreeMap, HashSet};

use rustdht_core::{Code, EntryId, Kind, MAX_VALUE_BYTES, Refusal, Stamp, Value};

use super::{Document, Update, recent::Recent, split};
use crate::{Draft, Planner};

/// The head of a byte string in DAG-CBOR, for lengths up to 64 KiB.
const CBOR_HEAD: usize = 5;
/// Greatest update that one entry holds, in bytes.
pub const MAX_ENTRY_BYTES: usize = MAX_VALUE_BYTES - CBOR_HEAD;
/// The same in a private node: ciphertext is up to 71 bytes longer than the value in it.
pub const MAX_SEALED_BYTES: usize = MAX_VALUE_BYTES - 128;
/// How many client ids are tried. A second is needed where what the first wrote is not part of the document, a third
/// where somebody did that on purpose.
const MAX_CLIENTS: u8 = 32;

/// The operations of an edit of the field, as update bytes. `edit` gets the document and the client that writes.
/// `restate`: an entry is made even where the edit changes nothing.
///
/// # Errors
/// What `edit` answers; `too_large` for something above 64 KiB that cannot be split; `out_of_range` when no client is
/// left.
pub(crate) fn write(
    planner: &Planner<'_>,
    kind: &'static str,
    restate: bool,
    edit: impl FnOnce(&Document, u64) -> Result<Update, Refusal>,
) -> Result<Vec<Draft>, Refusal> {
    let recent = Recent::of(planner, kind)?;
    let client = client_of(planner, kind, &recent.document);
    let update = client.and_then(|client| edit(&recent.document, client));
    recent.keep();
    let update = update?;
    if update.is_empty() && !restate {
        return Ok(Vec::new());
    }
    let kind = Kind::listed(kind);
    // Who plans does not know whether the values are sealed afterwards; only what cannot be split so needs to be.
    let cut = || split(&update, MAX_SEALED_BYTES).or_else(|_| split(&update, MAX_ENTRY_BYTES));
    let parts = if update.is_empty() { vec![update] } else { cut()? };
    Ok(parts.iter().map(|part| planner.draft(&kind).with_value(Value::Bytes(part.encode().into()))).collect())
}

fn decode(value: &Value) -> Option<Update> {
    if let Value::Bytes(bytes) = value { Update::decode(bytes).ok() } else { None }
}

/// The client that this writer is in this field: the same as long as nothing was deleted here, so that its clock goes
/// on after everything that it ever wrote. One whose updates are not all part of the document is passed over, and
/// never used again: two contents for one (client, clock) could not be told apart.
fn client_of(planner: &Planner<'_>, kind: &str, document: &Document) -> Result<u64, Refusal> {
    // A deletion takes values away, also those that held this writer's clocks: what comes after it counts anew.
    let deletes = |entry: &&std::sync::Arc<rustdht_core::Entry>| {
        entry.kind.is_null() || entry.kind.is_kill() || (&*entry.kind == kind && entry.body.value().is_none())
    };
    let epoch = planner.entries().filter(deletes).map(|entry| entry.stamp).max().unwrap_or_default();
    let candidates: Vec<u64> = (0..MAX_CLIENTS).map(|turn| client_id(planner, kind, epoch, turn)).collect();
    let mut written: BTreeMap<u64, u32> = candidates.iter().map(|client| (*client, 0)).collect();
    // What is part of the document is in its clocks.
    let mut inside: HashSet<EntryId> = planner.counted(kind).iter().map(|entry| entry.id).collect();
    for id in document.unready() {
        inside.remove(&id);
    }
    let outside = planner.entries().filter(|entry| &*entry.kind == kind && !inside.contains(&entry.id));
    let outside = outside.filter_map(|entry| entry.body.value());
    // Drafts are few, and perhaps they wait.
    let waits = document.waiting() > 0 || planner.deleted_before();
    let earlier =
        planner.earlier().filter(|draft| waits && &*draft.kind == kind).filter_map(|draft| draft.value.as_ref());
    for update in outside.chain(earlier).filter_map(decode) {
        for section in &update.sections {
            if let (Some(clock), Some(last)) = (written.get_mut(&section.client), section.structs.last()) {
                *clock = last.end().max(*clock);
            }
        }
    }
    let known = document.state_vector();
    let free = candidates.into_iter().find(|client| known.get(*client) >= written[client]);
    free.ok_or_else(|| Refusal::new(Code::OutOfRange, "this writer has lost too many updates of this field"))
}

/// 32 bits, as stock Yjs picks them.
fn client_id(planner: &Planner<'_>, kind: &str, epoch: Stamp, turn: u8) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"rustdht/yjs-client/1");
    hasher.update(&planner.pen().author.0);
    hasher.update(&planner.pen().session.0);
    for part in [&**planner.node().soul(), &**planner.field(), kind] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.update(&epoch.0.to_be_bytes());
    hasher.update(&[turn]);
    let mut first = [0; 4];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
    u64::from(u32::from_be_bytes(first))
}
