//! Compaction of an author's own updates, and the clocks of what a field has lost.

use std::{collections::BTreeSet, sync::Arc};

use rustdht_core::{Entry, EntryId, Kind, MAX_KILLS, Refusal, Slot, Stamp, Value};

use super::{
    MAX_SEALED_BYTES, Ranges, StateVector, Update,
    fold::Fold,
    lib0::{Reader, malformed, write_uint},
    merge,
};
use crate::{Draft, FieldRef, Pen};

/// So many small updates of one author in one field are worth a compaction: each takes a signature, an index row and a
/// place in every fingerprint, and a view reads them all.
pub const COMPACT_AT: usize = 64;
/// An update of this many bytes is left alone: merging it again and again would cost more than it saves.
pub const COMPACT_BELOW: usize = MAX_SEALED_BYTES / 2;

/// The entries that the view of a field of Yjs updates does not take: what they depend on is missing, or they are no
/// updates. The document is not built.
#[must_use]
pub fn unready<'a>(entries: impl IntoIterator<Item = &'a Arc<Entry>>) -> BTreeSet<EntryId> {
    Fold::of(entries, &mut ()).unready()
}

/// An operation that replaces updates of this writer by one: Yjs `mergeUpdates` of them, killing them, with the least
/// `b` or stamp of them as `b`. `None` when the writer has fewer than `at_least` (normally [`COMPACT_AT`]) small ones
/// ([`COMPACT_BELOW`]), or no two of them can be one. Left out are those that the view does not take (they would make
/// the rest wait), contradicted ones (their order matters), and large ones.
#[must_use]
pub fn compact(field: FieldRef<'_>, kind: &Kind, pen: &Pen, at_least: usize) -> Option<Draft> {
    let own = |entry: &&Arc<Entry>| {
        if field.rules().writer_slots { entry.writer == pen.writer() } else { entry.author == pen.author }
    };
    let visible: Vec<&Arc<Entry>> = field.counted().filter(|entry| entry.kind == *kind).collect();
    if visible.iter().filter(|entry| own(entry) && value_len(entry) < COMPACT_BELOW).count() < at_least.max(2) {
        return None;
    }
    let fold = Fold::of(visible.iter().copied(), &mut ());
    let skipped: BTreeSet<EntryId> = fold.unready().union(&fold.sources.flagged()).copied().collect();
    let mut candidates: Vec<(&Arc<Entry>, Update)> = visible
        .into_iter()
        .filter(|entry| own(entry) && !skipped.contains(&entry.id))
        .filter_map(|entry| Some((entry, small(entry)?)))
        .collect();
    candidates.sort_by_key(|(entry, _)| (entry.cut_stamp(), entry.stamp, entry.id));
    candidates.truncate(MAX_KILLS);
    let mut bytes = 0;
    let fitting = candidates.iter().take_while(|(entry, _)| {
        bytes += value_len(entry);
        bytes <= MAX_SEALED_BYTES
    });
    let mut count = fitting.count();
    // Gaps cost a few bytes, so the whole may be a little more than its parts.
    while count >= 2 {
        let merged = merge(candidates[..count].iter().map(|(_, update)| update)).encode();
        if merged.len() <= MAX_SEALED_BYTES {
            return Some(draft(field, kind, &candidates[..count], merged));
        }
        count -= 1;
    }
    None
}

fn value_len(entry: &Entry) -> usize {
    if let Some(Value::Bytes(bytes)) = entry.body.value() { bytes.len() } else { 0 }
}

fn small(entry: &Entry) -> Option<Update> {
    match entry.body.value() {
        Some(Value::Bytes(bytes)) if bytes.len() < COMPACT_BELOW => Update::decode(bytes).ok(),
        _ => None,
    }
}

fn draft(field: FieldRef<'_>, kind: &Kind, replaced: &[(&Arc<Entry>, Update)], merged: Vec<u8>) -> Draft {
    let mut kills: Vec<EntryId> = replaced.iter().map(|(entry, _)| entry.id).collect();
    kills.sort_unstable();
    let least: Option<Stamp> = replaced.iter().map(|(entry, _)| entry.cut_stamp()).min();
    Draft {
        soul: field.node.soul().clone(),
        field: field.name.clone(),
        kind: kind.clone(),
        slot: Slot::Own,
        value: Some(Value::Bytes(merged.into())),
        kills,
        over: Vec::new(),
        base: least,
        after: replaced.iter().map(|(entry, _)| entry.stamp).max().unwrap_or_default(),
    }
}

/// The elements of updates of this kind that the field does not show any more: hidden by its cut-off or by authority,
/// or killed without something in their place; `lost` are entries that left the state, as they were when they still
/// had a value. A stock editor that holds such elements would bring them back, so a door turns it away
/// ([`Ranges::named_by`]); values that an erase took are known only here, so what this answers is kept
/// ([`Ranges::encode`]) and passed as `known` the next time.
#[must_use]
pub fn hidden<'a>(
    field: Option<FieldRef<'a>>,
    kind: &Kind,
    known: &Ranges,
    lost: impl IntoIterator<Item = &'a Arc<Entry>>,
) -> Ranges {
    let mut hidden = known.clone();
    let mut shown = Ranges::default();
    let visible: BTreeSet<EntryId> = field.into_iter().flat_map(FieldRef::counted).map(|entry| entry.id).collect();
    let held = field.into_iter().flat_map(FieldRef::entries);
    for entry in held.chain(lost).filter(|entry| entry.kind == *kind) {
        let Some(Value::Bytes(bytes)) = entry.body.value() else { continue };
        let Ok(update) = Update::decode(bytes) else { continue };
        let to = if visible.contains(&entry.id) { &mut shown } else { &mut hidden };
        to.extend(&update.structs());
    }
    hidden.subtract(&shown);
    hidden
}

impl Ranges {
    /// Whether a client that holds this much of each sequence holds any of these elements.
    #[must_use]
    pub fn named_by(&self, vector: &StateVector) -> bool {
        self.clients().any(|(client, ranges)| ranges.first().is_some_and(|first| first.0 < vector.get(client)))
    }

    /// Bytes for storage: as a Yjs delete set.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_uint(&mut out, self.clients().count() as u64);
        for (client, ranges) in self.clients().rev() {
            write_uint(&mut out, client);
            write_uint(&mut out, ranges.len() as u64);
            for (start, end) in ranges {
                write_uint(&mut out, u64::from(*start));
                write_uint(&mut out, u64::from(end - start));
            }
        }
        out
    }

    /// Reads [`Ranges::encode`].
    ///
    /// # Errors
    /// `bad_value` for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(bytes);
        let ranges = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(ranges)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut read = Self::default();
        for _ in 0..reader.uint()? {
            let client = reader.uint()?;
            if !read.of(client).is_empty() {
                return Err(malformed("a Yjs delete set names a client twice"));
            }
            let mut ranges = Vec::new();
            for _ in 0..reader.uint()? {
                let (clock, len) = (reader.uint32()?, reader.uint32()?);
                ranges.push((clock, super::update::end_of(clock, len)?));
            }
            // Any order is read; sorted first, so that inserting is linear.
            ranges.sort_unstable();
            ranges.into_iter().for_each(|(start, end)| read.insert(client, start, end));
        }
        Ok(read)
    }
}
