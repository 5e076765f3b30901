//! The documents that were edited last, folded: the next operation on one costs what is new in it, not the whole fold.
//! A memory of what [`Document::of`] answers, and nothing else.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, PoisonError},
};

use rustdht_core::{Field, Soul, Value};

use super::{Document, Update};
use crate::Planner;

/// Documents kept.
const KEPT: usize = 8;
/// Bytes of updates of one that is kept; yrs takes about twenty times as much memory.
const MAX_BYTES: usize = 2 << 20;

static RECENT: Mutex<Vec<Recent>> = Mutex::new(Vec::new());

/// The fold of updates of one field.
pub(super) struct Recent {
    soul: Soul,
    field: Field,
    kind: &'static str,
    /// Hashes of the updates in it.
    held: HashSet<[u8; 32]>,
    bytes: usize,
    pub(super) document: Document,
}

/// What a planner's field holds now: the bytes of updates by their hash, in the order of the view, and then of the commit.
fn updates_of<'a>(planner: &Planner<'a>, kind: &str) -> Vec<([u8; 32], &'a [u8])> {
    let mut entries = planner.counted(kind);
    entries.sort_by_key(|entry| (entry.cut_stamp(), entry.stamp, entry.id));
    let drafts = planner.earlier().filter(|draft| &*draft.kind == kind).filter_map(|draft| draft.value.as_ref());
    let values = entries.into_iter().filter_map(|entry| entry.body.value()).chain(drafts);
    let bytes = values.filter_map(|value| if let Value::Bytes(bytes) = value { Some(&**bytes) } else { None });
    bytes.map(|bytes| (*blake3::hash(bytes).as_bytes(), bytes)).collect()
}

impl Recent {
    /// The document of a field as the planner sees it, what the same commit did to it included.
    ///
    /// # Errors
    /// `too_large` when too much of what the commit wrote has to wait.
    pub(super) fn of(planner: &Planner<'_>, kind: &'static str) -> Result<Self, rustdht_core::Refusal> {
        let now = updates_of(planner, kind);
        let (soul, field) = (planner.node().soul(), planner.field());
        let known = {
            let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
            let at = recent.iter().position(|one| one.soul == *soul && one.field == *field && one.kind == kind);
            at.map(|at| recent.swap_remove(at))
        };
        if let Some(mut known) = known
            && known.follow(&now)
        {
            return Ok(known);
        }
        let mut document = Document::of(planner.counted(kind));
        let drafts = planner.earlier().filter(|draft| &*draft.kind == kind).filter_map(|draft| draft.value.as_ref());
        for value in drafts {
            if let Value::Bytes(bytes) = value
                && let Ok(update) = Update::decode(bytes)
            {
                document.apply(update)?;
            }
        }
        let held = now.iter().map(|(hash, _)| *hash).collect();
        let bytes = now.iter().map(|(_, bytes)| bytes.len()).sum();
        Ok(Self { soul: soul.clone(), field: field.clone(), kind, held, bytes, document })
    }

    /// Takes what is new. `false`: something went, or its place in the order of the view matters, so that all of it has
    /// to be folded anew.
    fn follow(&mut self, now: &[([u8; 32], &[u8])]) -> bool {
        let mut new: BTreeMap<usize, &[u8]> = BTreeMap::new();
        let mut seen = HashSet::with_capacity(now.len());
        for (at, (hash, bytes)) in now.iter().enumerate() {
            if seen.insert(*hash) && !self.held.contains(hash) {
                new.insert(at, bytes);
            }
        }
        if seen.len() - new.len() != self.held.len() {
            return false;
        }
        for bytes in new.into_values() {
            let Ok(update) = Update::decode(bytes) else { return false };
            let clocks = self.document.state_vector();
            let is_new = update.structs().iter().all(|(client, start, _)| start >= clocks.get(client));
            let ready = update.dependencies().iter().all(|(client, clock)| clock <= clocks.get(client));
            if !is_new || !ready || self.document.apply(update).is_err() || self.document.waiting() > 0 {
                return false;
            }
            self.bytes += bytes.len();
        }
        self.held = seen;
        true
    }

    /// Keeps it for the next operation.
    pub(super) fn keep(self) {
        let plain = self.document.waiting() == 0
            && self.document.unready().is_empty()
            && self.document.disputed().is_empty()
            && self.bytes <= MAX_BYTES;
        if !plain {
            return;
        }
        let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= KEPT {
            recent.remove(0);
        }
        recent.push(self);
    }
}
