//! A Yjs update, encoding v1, decoded strictly and within bounds.

use rustdht_core::{Code, Refusal};

use super::{
    ids::{Id, MAX_CLOCK, Ranges, StateVector},
    lib0::{Reader, malformed, uint_len, write_buffer, write_uint},
    payload::{Payload, reference},
};

/// Greatest update that is read, in bytes: what an editor that was offline for long brings with its first sync step.
/// Entries hold at most 64 KiB; a door splits what is larger ([`super::split`]).
pub const MAX_UPDATE_BYTES: usize = 16 * 1024 * 1024;

const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const HAS_SUB: u8 = 0x20;
const REFERENCE: u8 = 0x1f;

/// Where an item without neighbours belongs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Parent {
    /// A root type, by name.
    Root(Box<str>),
    /// The nested type that this item holds.
    Item(Id),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Left neighbour when it was made.
    pub(super) origin: Option<Id>,
    /// Right neighbour when it was made.
    pub(super) right_origin: Option<Id>,
    /// Only of an item that had neither neighbour.
    pub(super) parent: Option<Parent>,
    /// The key, for entries of maps; only of an item that had neither neighbour.
    pub(super) sub: Option<Box<str>>,
    /// Yjs marks every entry of a map, also where the key is left out.
    pub(super) keyed: bool,
    pub(super) content: Payload,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Collected: only the clocks are left.
    Gc,
    Item(Item),
}

/// A run of elements of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Struct {
    pub(super) clock: u32,
    pub(super) len: u32,
    pub(super) body: Body,
}

impl Struct {
    pub(super) const fn end(&self) -> u32 {
        self.clock + self.len
    }

    /// The part of it between two clocks that lie within it. What follows another part has that as its origin.
    pub(super) fn slice(&self, client: u64, start: u32, end: u32) -> Self {
        let body = match &self.body {
            Body::Gc => Body::Gc,
            Body::Item(item) => {
                let range = (start - self.clock) as usize..(end - self.clock) as usize;
                let content = item.content.slice(range);
                let item = if start > self.clock {
                    Item { origin: Some(Id::new(client, start - 1)), parent: None, sub: None, ..shell(item, content) }
                } else {
                    shell(item, content)
                };
                Body::Item(item)
            }
        };
        Self { clock: start, len: end - start, body }
    }

    /// Whether `next` says of its elements what it would say as the end of this one: they were typed one after the other.
    /// Values of one key never do: only the last of them is shown.
    pub(super) fn is_continued_by(&self, next: &Self, client: u64) -> bool {
        if self.end() != next.clock || next.len > MAX_CLOCK - self.len {
            return false;
        }
        match (&self.body, &next.body) {
            (Body::Gc, Body::Gc) => true,
            (Body::Item(item), Body::Item(then)) => {
                !item.keyed
                    && !then.keyed
                    && then.origin == Some(Id::new(client, self.end() - 1))
                    && item.right_origin == then.right_origin
                    && item.content.joins(&then.content)
            }
            _ => false,
        }
    }

    /// Structs of which each continues the one before it, as one; the list is empty then.
    pub(super) fn joined(run: &mut Vec<Self>) -> Option<Self> {
        let mut first = if run.len() > 1 { run.first()?.clone() } else { return run.pop() };
        let parts = std::mem::take(run);
        first.len = parts.iter().map(|part| part.len).sum();
        if let Body::Item(item) = &mut first.body {
            let bodies = parts.iter().map(|part| &part.body);
            let contents =
                bodies.filter_map(|body| if let Body::Item(part) = body { Some(&part.content) } else { None });
            item.content = Payload::joined(contents)?;
        }
        Some(first)
    }

    /// Whether it says what its elements are, not only that they were.
    pub(super) const fn has_content(&self) -> bool {
        match &self.body {
            Body::Gc => false,
            Body::Item(item) => !matches!(item.content, Payload::Deleted(_)),
        }
    }

    /// The elements that must be there before it, beside the one before it.
    pub(super) fn needs(&self) -> impl Iterator<Item = Id> {
        let (origin, right, parent) = match &self.body {
            Body::Gc => (None, None, None),
            Body::Item(item) => {
                let parent = if let Some(Parent::Item(id)) = item.parent { Some(id) } else { None };
                (item.origin, item.right_origin, parent)
            }
        };
        [origin, right, parent].into_iter().flatten()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let item = match &self.body {
            Body::Gc => {
                out.push(reference::GC);
                write_uint(out, u64::from(self.len));
                return;
            }
            Body::Item(item) => item,
        };
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.push(
            item.content.reference()
                | flag(item.origin.is_some(), HAS_ORIGIN)
                | flag(item.right_origin.is_some(), HAS_RIGHT_ORIGIN)
                | flag(item.keyed, HAS_SUB),
        );
        if let Some(id) = item.origin {
            id.encode(out);
        }
        if let Some(id) = item.right_origin {
            id.encode(out);
        }
        match &item.parent {
            Some(Parent::Root(name)) => {
                out.push(1);
                write_buffer(out, name.as_bytes());
            }
            Some(Parent::Item(id)) => {
                out.push(0);
                id.encode(out);
            }
            None => {}
        }
        if let Some(sub) = &item.sub {
            write_buffer(out, sub.as_bytes());
        }
        item.content.encode(out);
    }

    /// An upper bound of its encoded length, up to a few bytes.
    pub(super) fn weight(&self) -> usize {
        match &self.body {
            Body::Gc => 6,
            Body::Item(item) => {
                let parent = match &item.parent {
                    Some(Parent::Root(name)) => name.len() + 4,
                    _ => 14,
                };
                30 + parent + item.sub.as_ref().map_or(0, |sub| sub.len() + 4) + item.content.weight()
            }
        }
    }
}

/// The item with other content.
fn shell(item: &Item, content: Payload) -> Item {
    Item {
        origin: item.origin,
        right_origin: item.right_origin,
        parent: item.parent.clone(),
        sub: item.sub.clone(),
        keyed: item.keyed,
        content,
    }
}

/// The structs of one client, ascending by clock, without overlaps; there may be gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) client: u64,
    pub(super) structs: Vec<Struct>,
}

/// A decoded update: structs per client, and what it deletes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Descending by client, as Yjs writes them.
    pub(super) sections: Vec<Section>,
    pub(super) deletes: Ranges,
}

impl Update {
    /// Reads an update, encoding v1.
    ///
    /// # Errors
    /// `bad_value` when it is not one, has bytes behind its end, names a client twice, has an empty struct, a clock
    /// beyond [`MAX_CLOCK`], or content that is not supported (subdocuments, moves, weak links); `too_large` above
    /// [`MAX_UPDATE_BYTES`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_UPDATE_BYTES {
            return Err(Refusal::new(Code::TooLarge, "a Yjs update is at most 16 MiB"));
        }
        let mut reader = Reader::new(bytes);
        let mut sections = Vec::new();
        // Nothing is reserved for a count: each section and struct takes bytes, so what is read bounds what is kept.
        for _ in 0..reader.uint()? {
            sections.push(read_section(&mut reader)?);
        }
        sections.sort_by_key(|section: &Section| std::cmp::Reverse(section.client));
        if sections.windows(2).any(|pair| pair[0].client == pair[1].client) {
            return Err(malformed("a Yjs update names a client twice"));
        }
        let deletes = Ranges::read(&mut reader)?;
        reader.finish()?;
        Ok(Self { sections, deletes })
    }

    /// The update, encoding v1; gaps are written as skips.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_uint(&mut out, self.sections.len() as u64);
        for section in &self.sections {
            let first = section.structs.first().map_or(0, |first| first.clock);
            let gaps = section.structs.windows(2).filter(|pair| pair[0].end() != pair[1].clock).count();
            write_uint(&mut out, (section.structs.len() + gaps) as u64);
            write_uint(&mut out, section.client);
            write_uint(&mut out, u64::from(first));
            let mut clock = first;
            for item in &section.structs {
                if item.clock > clock {
                    out.push(reference::SKIP);
                    write_uint(&mut out, u64::from(item.clock - clock));
                }
                item.encode(&mut out);
                clock = item.end();
            }
        }
        out.extend_from_slice(&self.deletes.encode());
        out
    }

    /// The elements that it brings.
    #[must_use]
    pub fn structs(&self) -> Ranges {
        let mut ranges = Ranges::default();
        for (client, item) in self.iter() {
            ranges.insert(client, item.clock, item.end());
        }
        ranges
    }

    /// How many structs it holds: each takes memory beside its bytes.
    #[must_use]
    pub fn struct_count(&self) -> usize {
        self.sections.iter().map(|section| section.structs.len()).sum()
    }

    /// The elements that it deletes.
    #[must_use]
    pub fn deletes(&self) -> &Ranges {
        &self.deletes
    }

    /// What must be there before it: for each client the clock that has to be reached, ascending by client. What it
    /// brings itself is left out.
    #[must_use]
    pub fn dependencies(&self) -> StateVector {
        self.dependencies_beside(&self.structs())
    }

    pub(super) fn dependencies_beside(&self, own: &Ranges) -> StateVector {
        let mut needed = StateVector::default();
        // The last clock that is needed and not brought along decides: sequences are held without gaps.
        let mut need = |id: Id| {
            let ranges = own.of(id.client);
            let at = ranges.partition_point(|range| range.1 <= id.clock);
            let clock = match ranges.get(at) {
                Some((start, _)) if *start <= id.clock => *start,
                _ => id.clock + 1,
            };
            needed.raise(id.client, clock);
        };
        for (client, item) in self.iter() {
            if item.clock > 0 {
                need(Id::new(client, item.clock - 1));
            }
            item.needs().for_each(&mut need);
        }
        for (client, _, end) in self.deletes.iter() {
            need(Id::new(client, end - 1));
        }
        needed
    }

    /// Whether it brings and deletes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty() && self.deletes.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Struct)> {
        self.sections.iter().flat_map(|section| section.structs.iter().map(|item| (section.client, item)))
    }

    /// The structs of a client that lie in a range of clocks, whole.
    pub(super) fn overlapping(&self, client: u64, start: u32, end: u32) -> &[Struct] {
        let found = self.sections.binary_search_by_key(&std::cmp::Reverse(client), |one| std::cmp::Reverse(one.client));
        let Ok(at) = found else { return &[] };
        let structs = &self.sections[at].structs;
        let first = structs.partition_point(|item| item.end() <= start);
        let after = structs.partition_point(|item| item.clock < end);
        structs.get(first..after).unwrap_or_default()
    }
}

pub(super) fn end_of(clock: u32, len: u32) -> Result<u32, Refusal> {
    if len == 0 {
        return Err(malformed("a Yjs update holds an empty struct"));
    }
    let end = clock.checked_add(len).filter(|end| *end < MAX_CLOCK);
    end.ok_or_else(|| malformed("a Yjs update holds a clock beyond 2^31"))
}

fn read_section(reader: &mut Reader<'_>) -> Result<Section, Refusal> {
    let count = reader.uint()?;
    let client = reader.uint()?;
    let mut clock = reader.uint32()?;
    let mut structs = Vec::new();
    for _ in 0..count {
        let info = reader.byte()?;
        if info == reference::SKIP {
            clock = end_of(clock, reader.uint32()?)?;
            continue;
        }
        let (len, body) = if info == reference::GC {
            (reader.uint32()?, Body::Gc)
        } else {
            let item = read_item(reader, info)?;
            let len = u32::try_from(item.content.len()).unwrap_or(u32::MAX);
            (len, Body::Item(item))
        };
        let end = end_of(clock, len)?;
        structs.push(Struct { clock, len, body });
        clock = end;
    }
    if structs.is_empty() {
        Err(malformed("a Yjs update names a client without structs"))
    } else {
        Ok(Section { client, structs })
    }
}

fn read_item(reader: &mut Reader<'_>, info: u8) -> Result<Item, Refusal> {
    let has = |bit: u8| info & bit != 0;
    let origin = if has(HAS_ORIGIN) { Some(Id::decode(reader)?) } else { None };
    let right_origin = if has(HAS_RIGHT_ORIGIN) { Some(Id::decode(reader)?) } else { None };
    let mut parent = None;
    let mut sub = None;
    if origin.is_none() && right_origin.is_none() {
        parent = Some(match reader.byte()? {
            1 => Parent::Root(reader.text()?.into()),
            0 => Parent::Item(Id::decode(reader)?),
            _ => return Err(malformed("a Yjs update holds a parent of an unknown form")),
        });
        if has(HAS_SUB) {
            sub = Some(reader.text()?.into());
        }
    }
    let content = Payload::decode(reader, info & REFERENCE)?;
    Ok(Item { origin, right_origin, parent, sub, keyed: has(HAS_SUB), content })
}

/// Upper bound of what a section takes beside its structs.
pub(super) fn section_overhead(client: u64) -> usize {
    uint_len(client) + 10 + 6
}
