//! What is integrated: how far each client's sequence is held, and to which row each element belongs.
//!
//! yrs trusts an update: an item whose two origins lie in different lists, whose parent is a character, or whose origin
//! comes later, is undefined there. Here such an update is found before yrs sees it, and yrs gets one run of structs
//! after the other, each after all that it depends on.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rustdht_core::Kind;

use super::{
    ids::{Id, Ranges, StateVector},
    merge::squash,
    payload::{self, Payload},
    tree,
    update::{Body, Item, Parent, Section, Struct, Update},
};

/// The list that an element stands in: the children of a type, or the values of one of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RowKey {
    parent: Parent,
    sub: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Collected: in no row.
    Gc,
    /// In a row, its content forgotten.
    Deleted(u32),
    /// In a row, with content that is no type.
    Plain(u32),
    /// In a row; others may name it as their parent. With the reference of its type.
    Type(u32, u8),
}

impl Class {
    const fn row(self) -> Option<u32> {
        match self {
            Self::Gc => None,
            Self::Deleted(row) | Self::Plain(row) | Self::Type(row, _) => Some(row),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Span {
    clock: u32,
    end: u32,
    class: Class,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    clients: BTreeMap<u64, Vec<Span>>,
    rows: HashMap<RowKey, u32>,
    /// By their numbers.
    known: Vec<Row>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    /// How many types it lies within.
    depth: u16,
    takes: Takes,
}

/// What a row may hold for yrs. Editors write nothing else there; yrs counts characters in a list wrongly, and then
/// goes round for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// Texts and root types that are not shown.
    Anything,
    /// Lists, and the values of keys.
    Values,
    /// Children of XML.
    Types,
}

impl Takes {
    const fn of_type(reference: u8) -> Self {
        match reference {
            payload::reference::LIST => Self::Values,
            payload::reference::XML_ELEMENT | payload::reference::XML_FRAGMENT => Self::Types,
            _ => Self::Anything,
        }
    }

    const fn admits(self, content: &Payload) -> bool {
        match content {
            Payload::Deleted(_) | Payload::Type(_) => true,
            Payload::Any(_) | Payload::Json(_) | Payload::Binary(_) => !matches!(self, Self::Types),
            Payload::String(_) | Payload::Embed(_) | Payload::Format(..) => matches!(self, Self::Anything),
        }
    }
}

/// Deepest nesting of shared types. yrs deletes and this crate shows them by recursion; editors stay below ten.
const MAX_NESTING: u16 = 64;

/// Why a struct cannot be integrated now.
enum Obstacle {
    /// This element has to come first.
    Missing(Id),
    /// Never: it contradicts what is there.
    Invalid,
}

impl Index {
    /// The clock behind the last that is integrated of a client.
    pub(super) fn clock(&self, client: u64) -> u32 {
        self.clients.get(&client).and_then(|spans| spans.last()).map_or(0, |span| span.end)
    }

    pub(super) fn state_vector(&self) -> StateVector {
        let mut vector = StateVector::default();
        for client in self.clients.keys() {
            vector.raise(*client, self.clock(*client));
        }
        vector
    }

    /// The names of the root types that anything was written to.
    pub(super) fn roots(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().filter_map(|key| if let Parent::Root(name) = &key.parent { Some(&**name) } else { None })
    }

    fn class(&self, id: Id) -> Option<Class> {
        let spans = self.clients.get(&id.client)?;
        let at = spans.partition_point(|span| span.end <= id.clock);
        spans.get(at).map(|span| span.class)
    }

    /// Integrates the structs of an update that are new here. Answers them in an order in which each comes after all
    /// that it needs, as runs of one client, ready for yrs.
    ///
    /// # Errors
    /// The elements that cannot be integrated, because what they need is missing, waits for them in turn, or
    /// contradicts them. Nothing is changed then.
    pub(super) fn integrate(&mut self, update: &Update) -> Result<Vec<Section>, Ranges> {
        let new = update.beyond(|client| self.clock(client));
        let before: Vec<(u64, u32)> = new.sections.iter().map(|one| (one.client, self.clock(one.client))).collect();
        let rows_before = self.known.len();
        let mut runs: Vec<Section> = Vec::new();
        let mut at: Vec<usize> = vec![0; new.sections.len()];
        let mut turn: Vec<usize> = (0..new.sections.len()).rev().collect();
        // Who waits for a client to reach a clock.
        let mut waiting: HashMap<u64, BTreeSet<(u32, usize)>> = HashMap::new();
        while let Some(section) = turn.pop() {
            let Section { client, structs } = &new.sections[section];
            let start = at[section];
            while let Some(item) = structs.get(at[section]) {
                match self.classify(*client, item) {
                    Ok(class) => {
                        self.push(*client, item, class);
                        let shown = for_yrs(item, class.row().and_then(|row| self.known.get(row as usize)).copied());
                        match runs.last_mut().filter(|run| run.client == *client) {
                            Some(run) => run.structs.push(shown),
                            None => runs.push(Section { client: *client, structs: vec![shown] }),
                        }
                        at[section] += 1;
                    }
                    Err(Obstacle::Missing(id)) => {
                        waiting.entry(id.client).or_default().insert((id.clock, section));
                        break;
                    }
                    Err(Obstacle::Invalid) => break,
                }
            }
            if at[section] > start
                && let Some(waiters) = waiting.get_mut(client)
            {
                let clock = self.clock(*client);
                while let Some((needed, waiter)) = waiters.pop_first() {
                    if needed >= clock {
                        waiters.insert((needed, waiter));
                        break;
                    }
                    turn.push(waiter);
                }
            }
        }
        let mut left = Ranges::default();
        for (section, at) in new.sections.iter().zip(at) {
            for item in &section.structs[at..] {
                left.insert(section.client, item.clock, item.end());
            }
        }
        for (client, _, end) in new.deletes.iter() {
            let held = self.clock(client);
            left.insert(client, held, end);
        }
        if left.is_empty() {
            for run in &mut runs {
                run.structs = squash(run.client, std::mem::take(&mut run.structs));
            }
            return Ok(runs);
        }
        for (client, clock) in before {
            self.truncate(client, clock);
        }
        if self.known.len() > rows_before {
            self.known.truncate(rows_before);
            self.rows.retain(|_, row| (*row as usize) < rows_before);
        }
        Err(left)
    }

    fn classify(&mut self, client: u64, item: &Struct) -> Result<Class, Obstacle> {
        if item.clock > self.clock(client) {
            return Err(Obstacle::Missing(Id::new(client, item.clock - 1)));
        }
        if let Some(missing) = item.needs().find(|id| id.clock >= self.clock(id.client)) {
            return Err(Obstacle::Missing(missing));
        }
        let Body::Item(body) = &item.body else { return Ok(Class::Gc) };
        let Some(row) = self.row(body)? else { return Ok(Class::Gc) };
        Ok(match body.content {
            Payload::Deleted(_) => Class::Deleted(row),
            Payload::Type(ref kind) => Class::Type(row, kind.reference()),
            _ => Class::Plain(row),
        })
    }

    /// The row that an item stands in; `None` when it was collected with its surroundings.
    fn row(&mut self, item: &Item) -> Result<Option<u32>, Obstacle> {
        let rows: Vec<_> = [item.origin, item.right_origin]
            .into_iter()
            .flatten()
            .map(|id| self.class(id).and_then(Class::row))
            .collect();
        match (rows.as_slice(), &item.parent) {
            ([Some(left), Some(right)], _) if left != right => Err(Obstacle::Invalid),
            ([row] | [row, Some(_)], _) => Ok(*row),
            ([_, None], _) => Ok(None),
            (_, Some(parent)) => {
                let (depth, takes) = match parent {
                    Parent::Root(name) => (0, if &**name == Kind::LIST { Takes::Values } else { Takes::Anything }),
                    Parent::Item(id) => match self.class(*id) {
                        Some(Class::Type(row, reference)) => {
                            let depth = self.known.get(row as usize).map_or(0, |row| row.depth + 1);
                            (depth, Takes::of_type(reference))
                        }
                        // The parent was deleted and forgotten: so is what was made in it.
                        Some(Class::Gc | Class::Deleted(_)) | None => return Ok(None),
                        Some(Class::Plain(_)) => return Err(Obstacle::Invalid),
                    },
                };
                let takes = if item.sub.is_some() { Takes::Values } else { takes };
                if depth > MAX_NESTING {
                    return Err(Obstacle::Invalid);
                }
                let key = RowKey { parent: parent.clone(), sub: item.sub.clone() };
                let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
                let row = *self.rows.entry(key).or_insert(next);
                if row == next {
                    self.known.push(Row { depth, takes });
                }
                Ok(Some(row))
            }
            (_, None) => Err(Obstacle::Invalid),
        }
    }

    fn push(&mut self, client: u64, item: &Struct, class: Class) {
        let spans = self.clients.entry(client).or_default();
        match spans.last_mut() {
            Some(last) if last.class == class => last.end = item.end(),
            _ => spans.push(Span { clock: item.clock, end: item.end(), class }),
        }
    }

    fn truncate(&mut self, client: u64, clock: u32) {
        if let Some(spans) = self.clients.get_mut(&client) {
            spans.truncate(spans.partition_point(|span| span.clock < clock));
            match spans.last_mut() {
                Some(last) => last.end = last.end.min(clock),
                None => {
                    self.clients.remove(&client);
                }
            }
        }
    }
}

/// The struct as yrs gets it: collected where Yjs collects it (in no row), without content that the row does not take,
/// and the lists of old versions as plain values (yrs 0.28 reads one text too many of them).
fn for_yrs(item: &Struct, row: Option<Row>) -> Struct {
    let body = match (&item.body, row) {
        (Body::Item(body), Some(row)) => {
            let content = match &body.content {
                other if !row.takes.admits(other) => Payload::Deleted(item.len),
                Payload::Json(texts) => Payload::Any(texts.iter().map(|text| tree::legacy_any(text)).collect()),
                other => other.clone(),
            };
            Body::Item(Item { content, ..body.clone() })
        }
        _ => Body::Gc,
    };
    Struct { clock: item.clock, len: item.len, body }
}
