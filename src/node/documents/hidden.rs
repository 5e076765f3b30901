//! What was deleted: of each field the (client, clock)s, and nothing else, of every Yjs update that went out of the state.
//!
//! A stock editor that was away while its document was deleted would bring it all back with its first sync step. From
//! these rows a door knows such an editor before it hears it. They are written in the transaction in which the updates go.
//! What a compaction replaced is in them too; whoever asks takes away what is shown.

use std::collections::HashMap;

use rustdht_core::{
    Entry,
    ports::{GraphStore, SideRow, StoreError},
};
use rustdht_graph::{FieldRef, NodeState, yjs::Ranges};

use super::{
    journal,
    lib0::{self, Reader},
    replica::update_of,
    rooms::Place,
};

/// Namespace of the rows; the key is that of the journal's prefix.
const NS: &str = "hidden-clocks";
/// Ranges of one field. Beyond it each client is remembered as a whole: an editor that is turned away once too often
/// loses less than one that brings back what was deleted.
const MAX_RANGES: usize = 65_536;

/// Elements that go out of the state with one transaction.
#[derive(Debug, Default)]
pub(crate) struct Hidden(HashMap<Place, Ranges>);

impl Hidden {
    /// Notes an entry whose value goes.
    pub(crate) fn note(&mut self, entry: &Entry) {
        if entry.kind.is_yjs()
            && let Some(update) = update_of(entry)
        {
            let structs = update.structs();
            if !structs.is_empty() {
                self.0.entry((entry.soul.clone(), entry.field.clone())).or_default().extend(&structs);
            }
        }
    }

    /// Notes what an erase is about to forget.
    pub(crate) fn note_erased(&mut self, eraser: &Entry, state: &NodeState) {
        if !eraser.is_erase() {
            return;
        }
        let rules = state.rules();
        for entry in state.field(&eraser.field).into_iter().flat_map(FieldRef::entries) {
            if rules.erases(eraser, entry) {
                self.note(entry);
            }
        }
    }

    /// The rows to write.
    pub(crate) async fn rows(&self, store: &dyn GraphStore) -> Result<Vec<SideRow>, StoreError> {
        let mut rows = Vec::with_capacity(self.0.len());
        for ((soul, field), ranges) in &self.0 {
            let key = journal::prefix(soul, field).to_vec();
            let mut all = ranges.clone();
            if let Some(row) = store.side_get(NS, &key).await? {
                all.extend(&decode(&row));
            }
            rows.push(SideRow { ns: NS, key, value: Some(encode(&all)), insert_only: false });
        }
        Ok(rows)
    }

    /// Whether nothing went.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What ever went out of the state of a field, or was in a room when it was deleted.
pub(crate) async fn read(store: &dyn GraphStore, place: &Place) -> Result<Ranges, StoreError> {
    let mut ranges = Ranges::default();
    for key in [journal::prefix(&place.0, &place.1).to_vec(), room_key(place)] {
        if let Some(row) = store.side_get(NS, &key).await? {
            ranges.extend(&decode(&row));
        }
    }
    Ok(ranges)
}

/// Rooms have a row of their own beside that of the merger: the two are written at the same time.
fn room_key(place: &Place) -> Vec<u8> {
    [&journal::prefix(&place.0, &place.1)[..], b"r"].concat()
}

/// The row that says that what a room held was deleted.
pub(crate) async fn room_row(store: &dyn GraphStore, place: &Place, held: &Ranges) -> Result<SideRow, StoreError> {
    let key = room_key(place);
    let mut all = held.clone();
    if let Some(row) = store.side_get(NS, &key).await? {
        all.extend(&decode(&row));
    }
    Ok(SideRow { ns: NS, key, value: Some(encode(&all)), insert_only: false })
}

fn encode(ranges: &Ranges) -> Vec<u8> {
    let coarse = ranges.iter().count() > MAX_RANGES;
    let mut out = Vec::new();
    for (client, spans) in ranges.clients() {
        let whole = [(0, spans.last().map_or(0, |span| span.1))];
        let spans = if coarse { &whole[..] } else { spans };
        lib0::uint(&mut out, client);
        lib0::uint(&mut out, spans.len() as u64);
        for (start, end) in spans {
            lib0::uint(&mut out, u64::from(*start));
            lib0::uint(&mut out, u64::from(*end));
        }
    }
    out
}

fn decode(row: &[u8]) -> Ranges {
    let mut reader = Reader::new(row);
    let mut ranges = Ranges::default();
    while let Ok(client) = reader.uint() {
        for _ in 0..reader.uint().unwrap_or_default() {
            let (Ok(start), Ok(end)) = (reader.uint(), reader.uint()) else { return ranges };
            ranges.insert(client, u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(end).unwrap_or(u32::MAX));
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back() {
        let mut ranges = Ranges::default();
        for (client, start, end) in [(1, 0, 5), (1, 9, 12), ((1 << 53) - 1, 3, 4)] {
            ranges.insert(client, start, end);
        }
        assert_eq!(decode(&encode(&ranges)), ranges);
        assert_eq!(decode(&[]), Ranges::default());
        assert_eq!(decode(&[1, 5, 0]), Ranges::default(), "a damaged row says what it can");
    }

    #[test]
    fn many_ranges_become_whole_clients() {
        let mut ranges = Ranges::default();
        (0..=MAX_RANGES as u32).for_each(|at| ranges.insert(7, 3 * at + 1, 3 * at + 2));
        let read = decode(&encode(&ranges));
        assert_eq!(read.iter().collect::<Vec<_>>(), [(7, 0, 3 * MAX_RANGES as u32 + 2)]);
    }
}
