//! Updates put together and taken apart, struct by struct; never re-encoded through a document, which would change
//! structs and forget what it does not know.

use std::{cmp::Reverse, collections::BTreeMap, collections::BinaryHeap};

use rustdht_core::{Code, Refusal};

use super::{
    ids::Ranges,
    payload::Payload,
    update::{Body, Section, Struct, Update, section_overhead},
};

/// Least room that is worth a cut: below it a struct begins the next part.
const MIN_CUT_BYTES: usize = 256;

/// One update that brings and deletes what all of them do. Where two bring the same clock, the earlier in the list
/// gives it. Elements stay as they are, structs that continue one another become one ([`squash`]), and clocks that none
/// brings stay gaps.
#[must_use]
pub fn merge<'a>(updates: impl IntoIterator<Item = &'a Update>) -> Update {
    let mut clients: BTreeMap<u64, Vec<(&Struct, usize)>> = BTreeMap::new();
    let mut deletes = Vec::new();
    for (order, update) in updates.into_iter().enumerate() {
        for (client, item) in update.iter() {
            clients.entry(client).or_default().push((item, order));
        }
        deletes.extend(update.deletes.iter());
    }
    // Sorted, so that each insertion appends.
    deletes.sort_unstable();
    let mut merged = Update::default();
    for (client, start, end) in deletes {
        merged.deletes.insert(client, start, end);
    }
    for (client, structs) in clients.into_iter().rev() {
        let mut taken: Vec<Struct> = Vec::with_capacity(structs.len());
        sweep(structs, |item, _, start, end| taken.push(item.slice(client, start, end)));
        merged.sections.push(Section { client, structs: squash(client, taken) });
    }
    merged
}

/// Structs where each that continues the one before it is part of it, as an editor itself writes a run of typed characters:
/// cutting the run again gives back the same structs (Yjs `Item.mergeWith`).
pub(super) fn squash(client: u64, structs: Vec<Struct>) -> Vec<Struct> {
    let mut squashed: Vec<Struct> = Vec::new();
    let mut run: Vec<Struct> = Vec::new();
    for item in structs {
        if run.last().is_some_and(|last| !last.is_continued_by(&item, client)) {
            squashed.extend(Struct::joined(&mut run));
        }
        run.push(item);
    }
    squashed.extend(Struct::joined(&mut run));
    squashed
}

/// Which update of the list gives which clocks to [`merge`]: client, first clock, clock behind the last, index.
pub(super) fn givers(updates: &[&Update]) -> Vec<(u64, u32, u32, usize)> {
    let mut clients: BTreeMap<u64, Vec<(&Struct, usize)>> = BTreeMap::new();
    for (order, update) in updates.iter().enumerate() {
        for (client, item) in update.iter() {
            clients.entry(client).or_default().push((item, order));
        }
    }
    let mut given = Vec::new();
    for (client, structs) in clients {
        sweep(structs, |_, order, start, end| given.push((client, start, end, order)));
    }
    given
}

/// Of the structs that hold a clock, the one of the earliest update gives it.
fn sweep<'a>(mut structs: Vec<(&'a Struct, usize)>, mut take: impl FnMut(&'a Struct, usize, u32, u32)) {
    structs.sort_by_key(|(item, order)| (item.clock, *order));
    let mut next = 0;
    let mut active: BinaryHeap<Reverse<(usize, usize)>> = BinaryHeap::new();
    let mut pieces: Vec<(usize, u32, u32)> = Vec::new();
    let mut clock = 0;
    loop {
        while let Some((item, order)) = structs.get(next).filter(|(item, _)| item.clock <= clock) {
            if item.end() > clock {
                active.push(Reverse((*order, next)));
            }
            next += 1;
        }
        while active.peek().is_some_and(|Reverse((_, at))| structs[*at].0.end() <= clock) {
            active.pop();
        }
        let upcoming = structs.get(next).map(|(item, _)| item.clock);
        let Some(Reverse((_, at))) = active.peek() else {
            let Some(upcoming) = upcoming else { break };
            clock = upcoming;
            continue;
        };
        let end = structs[*at].0.end().min(upcoming.unwrap_or(u32::MAX));
        match pieces.last_mut() {
            Some(last) if last.0 == *at && last.2 == clock => last.2 = end,
            _ => pieces.push((*at, clock, end)),
        }
        clock = end;
    }
    for (at, start, end) in pieces {
        take(structs[at].0, structs[at].1, start, end);
    }
}

/// Parts of at most `max_bytes` that together are the update: cut between structs, and inside of strings and lists
/// (never inside a surrogate pair). One part, if it fits.
///
/// # Errors
/// `too_large` when something that cannot be cut does not fit: bytes, an embed, a mark, one plain value of a list.
pub fn split(update: &Update, max_bytes: usize) -> Result<Vec<Update>, Refusal> {
    if !update.is_empty() && update.encode().len() <= max_bytes {
        return Ok(vec![update.clone()]);
    }
    let mut parts = Parts { max_bytes, done: Vec::new(), part: Update::default(), used: PART_OVERHEAD };
    for section in &update.sections {
        for item in &section.structs {
            parts.add(section.client, item)?;
        }
    }
    for (client, start, end) in update.deletes.iter() {
        // Two clocks and a length of five bytes each, and the client anew.
        let room = 10 + section_overhead(client);
        if parts.used + room > max_bytes {
            parts.turn();
        }
        parts.used += room;
        parts.part.deletes.insert(client, start, end);
    }
    parts.turn();
    Ok(parts.done)
}

/// The counts of sections and of clients that delete.
const PART_OVERHEAD: usize = 10;

struct Parts {
    max_bytes: usize,
    done: Vec<Update>,
    part: Update,
    used: usize,
}

impl Parts {
    fn turn(&mut self) {
        self.used = PART_OVERHEAD;
        if !self.part.is_empty() {
            self.done.push(std::mem::take(&mut self.part));
        }
    }

    fn add(&mut self, client: u64, item: &Struct) -> Result<(), Refusal> {
        let mut rest = item.clone();
        loop {
            let opened = self.part.sections.last().is_some_and(|section| section.client == client);
            // A gap before it is written as a skip.
            let around = 6 + if opened { 0 } else { section_overhead(client) };
            let room = self.max_bytes.saturating_sub(self.used + around);
            if rest.weight() <= room {
                self.push(client, rest, around);
                return Ok(());
            }
            let fixed = rest.weight() - content_weight(&rest);
            let cut = if room < MIN_CUT_BYTES && !self.part.is_empty() {
                None
            } else {
                cut_at(&rest, room.saturating_sub(fixed))
            };
            match cut {
                Some(at) => {
                    let (end, clock) = (rest.end(), rest.clock + at);
                    self.push(client, rest.slice(client, rest.clock, clock), around);
                    rest = rest.slice(client, clock, end);
                    self.turn();
                }
                // Weights are upper bounds: what fits only just is encoded to see it.
                None if self.part.is_empty() => {
                    let alone = Section { client, structs: vec![rest] };
                    let alone = Update { sections: vec![alone], deletes: Ranges::default() };
                    if alone.encode().len() <= self.max_bytes {
                        self.done.push(alone);
                        return Ok(());
                    }
                    return Err(Refusal::new(
                        Code::TooLarge,
                        "a Yjs update holds something too large that cannot be split",
                    ));
                }
                None => self.turn(),
            }
        }
    }

    fn push(&mut self, client: u64, item: Struct, around: usize) {
        self.used += item.weight() + around;
        match self.part.sections.last_mut().filter(|section| section.client == client) {
            Some(section) => section.structs.push(item),
            None => self.part.sections.push(Section { client, structs: vec![item] }),
        }
    }
}

fn content_weight(item: &Struct) -> usize {
    if let Body::Item(item) = &item.body { item.content.weight() } else { 0 }
}

/// The most elements of the content whose weight is at most `room`, if that is at least one and not all.
fn cut_at(item: &Struct, room: usize) -> Option<u32> {
    let Body::Item(body) = &item.body else { return None };
    let mut left = room.checked_sub(5)?;
    let mut fits = |bytes: usize| {
        let fits = bytes <= left;
        left = left.saturating_sub(bytes);
        fits
    };
    let elements = match &body.content {
        Payload::String(text) => {
            text.chars().take_while(|char| fits(char.len_utf8())).map(char::len_utf16).sum::<usize>()
        }
        Payload::Any(values) => values.iter().take_while(|value| fits(value.len())).count(),
        Payload::Json(texts) => texts.iter().take_while(|text| fits(text.len() + 4)).count(),
        _ => 0,
    };
    u32::try_from(elements).ok().filter(|at| *at > 0 && *at < item.len)
}

impl Update {
    /// The structs, or parts of them, that `known` does not hold; what it deletes stays whole.
    pub(super) fn beyond(&self, known: impl Fn(u64) -> u32) -> Self {
        let mut left = Self { sections: Vec::new(), deletes: self.deletes.clone() };
        for Section { client, structs } in &self.sections {
            let held = known(*client);
            let new = structs.iter().filter(|item| item.end() > held);
            let structs: Vec<_> = new.map(|item| item.slice(*client, item.clock.max(held), item.end())).collect();
            if !structs.is_empty() {
                left.sections.push(Section { client: *client, structs });
            }
        }
        left
    }

    /// What it brings beyond `structs` and deletes beyond `deletes`; structs that are held in part are cut.
    #[must_use]
    pub fn without(&self, structs: &Ranges, deletes: &Ranges) -> Self {
        let mut left = Self { sections: Vec::new(), deletes: self.deletes.clone() };
        left.deletes.subtract(deletes);
        for Section { client, structs: brought } in &self.sections {
            let held = structs.of(*client);
            let mut new = Vec::new();
            for item in brought {
                let first = held.partition_point(|range| range.1 <= item.clock);
                let mut clock = item.clock;
                for (from, to) in held[first..].iter().take_while(|range| range.0 < item.end()) {
                    if clock < *from {
                        new.push(item.slice(*client, clock, *from));
                    }
                    clock = *to;
                }
                if clock < item.end() {
                    new.push(item.slice(*client, clock, item.end()));
                }
            }
            if !new.is_empty() {
                left.sections.push(Section { client: *client, structs: new });
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yjs::{ids::Id, update::Item};

    fn typed(clock: u32, origin: Option<u32>, content: Payload) -> Struct {
        let origin = origin.map(|clock| Id::new(7, clock));
        let item = Item { origin, right_origin: Some(Id::new(9, 3)), parent: None, sub: None, keyed: false, content };
        Struct { clock, len: u32::try_from(item.content.len()).unwrap(), body: Body::Item(item) }
    }

    #[test]
    fn what_was_typed_in_a_row_is_one_struct_and_can_be_cut_again() {
        let text = |text: &str| Payload::String(text.into());
        let run =
            vec![typed(4, Some(1), text("a")), typed(5, Some(4), text("\u{1f600}")), typed(7, Some(6), text("c"))];
        let squashed = squash(7, run.clone());
        assert_eq!(squashed, [typed(4, Some(1), text("a\u{1f600}c"))]);
        for item in &run {
            assert_eq!(&squashed[0].slice(7, item.clock, item.end()), item);
        }
        // Behind another element, after a gap, of another client, before another element, or of other content.
        let other_right = Struct { body: Body::Gc, ..typed(5, Some(4), text("b")) };
        for next in [
            typed(5, Some(3), text("b")),
            typed(6, Some(5), text("b")),
            typed(5, Some(4), Payload::Deleted(2)),
            other_right,
        ] {
            let apart = vec![typed(4, Some(1), text("a")), next];
            assert_eq!(squash(7, apart.clone()), apart);
        }
        let of_another = vec![typed(4, Some(1), text("a")), typed(5, Some(4), text("b"))];
        assert_eq!(squash(8, of_another.clone()), of_another);
        let keyed = |clock, origin| {
            let item = Item {
                origin,
                right_origin: None,
                parent: None,
                sub: None,
                keyed: true,
                content: Payload::Any(vec![[126].into()]),
            };
            Struct { clock, len: 1, body: Body::Item(item) }
        };
        let values = vec![keyed(0, None), keyed(1, Some(Id::new(7, 0)))];
        assert_eq!(squash(7, values.clone()), values, "only the last value of a key is shown");
    }
}
