//! Which update gave which elements, and where two gave different ones.
//!
//! Two that use one (client, clock) for different content contradict each other: what was integrated first stays, as
//! in Yjs, and all that bring content for it are flagged. A struct that one names and the other knows as deleted or collected is no
//! contradiction: editors forget what they deleted.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use rustdht_core::EntryId;

use super::{
    ids::Ranges,
    payload::Payload,
    update::{Body, Struct, Update},
};

/// Decoded updates that are kept for further comparisons; they take about twenty times their bytes.
const MAX_DECODED: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) bytes: Bytes,
    /// The entry that carried it; none for keystrokes that are not signed yet.
    pub(super) entry: Option<EntryId>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    held: Vec<Source>,
    /// Per client: first clock, clock behind the last, who gave them. Ascending, without gaps.
    spans: HashMap<u64, Vec<(u32, u32, u32)>>,
    decoded: HashMap<u32, Arc<Update>>,
    disputed: Ranges,
}

impl Sources {
    /// Notes an update that was integrated.
    pub(super) fn note(&mut self, source: Source, update: &Update) {
        let number = self.add(source);
        let found = self.disputes(update, Some(number));
        self.dispute(found);
        for (client, item) in update.iter() {
            self.give(client, item.clock, item.end(), number);
        }
    }

    /// Notes updates that were integrated as one; `given` says whose structs were taken.
    pub(super) fn note_merged(&mut self, sources: &[(Source, &Update)], given: Vec<(u64, u32, u32, usize)>) {
        let numbers: Vec<u32> = sources.iter().map(|(source, _)| self.add(source.clone())).collect();
        for (client, start, end, order) in given {
            self.give(client, start, end, numbers[order]);
        }
        for ((_, update), number) in sources.iter().zip(numbers) {
            let found = self.disputes(update, Some(number));
            self.dispute(found);
        }
    }

    fn add(&mut self, source: Source) -> u32 {
        self.held.push(source);
        u32::try_from(self.held.len() - 1).unwrap_or(u32::MAX)
    }

    fn give(&mut self, client: u64, start: u32, end: u32, number: u32) {
        let spans = self.spans.entry(client).or_default();
        let held = spans.last().map_or(0, |span| span.1);
        let start = start.max(held);
        match spans.last_mut().filter(|last| last.2 == number) {
            Some(last) if end > held => last.1 = end,
            None if start < end => spans.push((start, end, number)),
            _ => {}
        }
    }

    fn dispute(&mut self, found: Vec<(u64, u32, u32)>) {
        for (client, start, end) in found {
            self.disputed.insert(client, start, end);
        }
    }

    /// Where an update has other content than what was integrated: client, first clock, clock behind.
    fn disputes(&mut self, update: &Update, own: Option<u32>) -> Vec<(u64, u32, u32)> {
        let mut overlaps = Vec::new();
        for (client, item) in update.iter() {
            let Some(spans) = self.spans.get(&client) else { continue };
            let first = spans.partition_point(|span| span.1 <= item.clock);
            let known = spans[first..].iter().take_while(|span| span.0 < item.end());
            for (start, end, number) in known.filter(|span| Some(span.2) != own) {
                overlaps.push((*number, client, item, item.clock.max(*start), item.end().min(*end)));
            }
        }
        let mut found = Vec::new();
        for (number, client, item, start, end) in overlaps {
            let other = self.decode(number);
            for given in other.overlapping(client, start, end) {
                let (start, end) = (start.max(given.clock), end.min(given.end()));
                if !same(client, item, given, start, end) {
                    found.push((client, start, end));
                }
            }
        }
        found
    }

    /// The elements for which an update has other content than what was integrated.
    pub(super) fn contradictions(&mut self, update: &Update) -> Ranges {
        let mut ranges = Ranges::default();
        for (client, start, end) in self.disputes(update, None) {
            ranges.insert(client, start, end);
        }
        ranges
    }

    fn decode(&mut self, number: u32) -> Arc<Update> {
        if let Some(update) = self.decoded.get(&number) {
            return Arc::clone(update);
        }
        if self.decoded.len() >= MAX_DECODED {
            self.decoded.clear();
        }
        let bytes = self.held.get(number as usize).map(|source| source.bytes.clone()).unwrap_or_default();
        let update = Arc::new(Update::decode(&bytes).unwrap_or_default());
        self.decoded.insert(number, Arc::clone(&update));
        update
    }

    /// The entries that bring content for a disputed element: of two contents each differs from one.
    pub(super) fn flagged(&self) -> BTreeSet<EntryId> {
        if self.disputed.is_empty() {
            return BTreeSet::new();
        }
        let party = |source: &&Source| {
            let update = Update::decode(&source.bytes).unwrap_or_default();
            let mut brought = Ranges::default();
            for (client, item) in update.iter().filter(|(_, item)| item.has_content()) {
                brought.insert(client, item.clock, item.end());
            }
            brought.meets(&self.disputed)
        };
        self.held
            .iter()
            .filter(|source| source.entry.is_some())
            .filter(party)
            .filter_map(|source| source.entry)
            .collect()
    }

    pub(super) fn disputed(&self) -> &Ranges {
        &self.disputed
    }
}

impl Update {
    /// The elements that both bring with different content.
    #[must_use]
    pub fn contradictions(&self, other: &Self) -> Ranges {
        let mut ranges = Ranges::default();
        for (client, item) in self.iter() {
            for given in other.overlapping(client, item.clock, item.end()) {
                let (start, end) = (item.clock.max(given.clock), item.end().min(given.end()));
                if !same(client, item, given, start, end) {
                    ranges.insert(client, start, end);
                }
            }
        }
        ranges
    }
}

/// Whether two structs say the same of the elements between two clocks that both hold.
fn same(client: u64, a: &Struct, b: &Struct, start: u32, end: u32) -> bool {
    if start >= end {
        return true;
    }
    let (a, b) = (a.slice(client, start, end), b.slice(client, start, end));
    let (Body::Item(a), Body::Item(b)) = (&a.body, &b.body) else { return true };
    let place = a.origin == b.origin && a.right_origin == b.right_origin && a.parent == b.parent && a.sub == b.sub;
    place && same_payload(&a.content, &b.content, (end - start) as usize)
}

fn same_payload(a: &Payload, b: &Payload, len: usize) -> bool {
    match (a, b) {
        (Payload::Deleted(_), _) | (_, Payload::Deleted(_)) => true,
        // Half a surrogate pair is U+FFFD for an editor that once cut the pair.
        (Payload::String(a), Payload::String(b)) => {
            let cut = |a: u16, b: u16| a == 0xfffd && (0xd800..0xe000).contains(&b);
            a.encode_utf16().zip(b.encode_utf16()).all(|(a, b)| a == b || cut(a, b) || cut(b, a))
        }
        _ if a == b => true,
        _ => (0..len).all(|at| a.element(at) == b.element(at)),
    }
}
