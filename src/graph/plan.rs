//! From a wish to operations: what has to be signed so that a field becomes what the writer wants.

use std::collections::{BTreeMap, BTreeSet};

use rustdht_core::{Code, EntryId, Field, Kind, MAX_KILLS, Refusal, Soul, Stamp, Value, ham};

use crate::{FieldState, NodeState, Shown, Wanted};

/// An operation before it is signed. The slot follows from kind, space, author and session; the salt from entropy.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The node.
    pub soul: Soul,
    /// The field.
    pub field: Field,
    /// The kind.
    pub kind: Kind,
    /// The value; `None` for a pure removal.
    pub value: Option<Value>,
    /// What it removes; ascending.
    pub kills: Vec<EntryId>,
    /// What the writer saw; ascending, at most four.
    pub over: Vec<EntryId>,
    /// Every stamp that the draft's own must exceed, for its kills to count.
    pub after: Stamp,
}

impl Draft {
    fn new(node: &NodeState, field: &Field, kind: &'static str) -> Self {
        Self {
            soul: node.soul().clone(),
            field: field.clone(),
            kind: Kind::listed(kind),
            value: None,
            kills: Vec::new(),
            over: Vec::new(),
            after: Stamp::default(),
        }
    }
}

/// Makes `field` what is wanted. `import`: sets are add only. An empty answer: nothing has to change.
///
/// # Errors
/// `bad_value` for null in a set.
pub fn write(node: &NodeState, field: &Field, wanted: &Wanted, import: bool) -> Result<Vec<Draft>, Refusal> {
    match wanted {
        Wanted::Value(Value::Null) => Ok(delete(node, field, false)),
        Wanted::Value(value) => Ok(vec![register(node, field, value)]),
        Wanted::Set(elements) => set(node, field, elements, import),
    }
}

fn register(node: &NodeState, field: &Field, value: &Value) -> Draft {
    let mut draft = Draft::new(node, field, Kind::REGISTER);
    if let Some(view) = node.field(field).and_then(FieldState::view)
        && matches!(view.shown, Shown::Value(_))
    {
        draft.over.push(view.entry);
    }
    draft.value = Some(value.clone());
    draft
}

/// Live entries of a set, by the HAM text of their element.
fn observed(node: &NodeState, field: &Field) -> BTreeMap<String, Vec<(EntryId, Stamp)>> {
    let mut elements: BTreeMap<String, Vec<(EntryId, Stamp)>> = BTreeMap::new();
    for entry in node.field(field).into_iter().flat_map(FieldState::counted).filter(|entry| entry.kind.is_set()) {
        if let Some(value) = entry.body.value() {
            elements.entry(ham::text(value)).or_default().push((entry.id, entry.stamp));
        }
    }
    elements
}

fn refuse_null(value: &Value) -> Result<(), Refusal> {
    match value {
        Value::Null => Err(Refusal::new(Code::BadValue, "null cannot be an element of a set")),
        _ => Ok(()),
    }
}

fn set(node: &NodeState, field: &Field, wanted: &[Value], add_only: bool) -> Result<Vec<Draft>, Refusal> {
    let mut held = observed(node, field);
    let mut kept = BTreeSet::new();
    let mut drafts = Vec::new();
    for value in wanted {
        refuse_null(value)?;
        let text = ham::text(value);
        let is_held = held.remove(&text).is_some();
        // An element named twice is one element.
        if kept.insert(text) && !is_held {
            let mut draft = Draft::new(node, field, Kind::SET);
            draft.value = Some(value.clone());
            drafts.push(draft);
        }
    }
    if !add_only {
        drafts.extend(removals(node, field, Kind::SET, held.into_values().flatten()));
    }
    Ok(drafts)
}

/// Adds an element: always an entry of its own, which kills the entries of that element that were observed.
///
/// # Errors
/// `bad_value` for null.
pub fn add(node: &NodeState, field: &Field, value: &Value) -> Result<Vec<Draft>, Refusal> {
    refuse_null(value)?;
    let mut draft = Draft::new(node, field, Kind::SET);
    for (id, stamp) in observed(node, field).remove(&ham::text(value)).into_iter().flatten().take(MAX_KILLS) {
        draft.kills.push(id);
        draft.after = draft.after.max(stamp);
    }
    draft.kills.sort_unstable();
    draft.value = Some(value.clone());
    Ok(vec![draft])
}

/// Removes an element: kills the entries of it that were observed. None: nothing has to change.
#[must_use]
pub fn remove(node: &NodeState, field: &Field, value: &Value) -> Vec<Draft> {
    let entries = observed(node, field).remove(&ham::text(value)).into_iter().flatten();
    removals(node, field, Kind::SET, entries)
}

fn removals(
    node: &NodeState,
    field: &Field,
    kind: &'static str,
    entries: impl Iterator<Item = (EntryId, Stamp)>,
) -> Vec<Draft> {
    let mut entries: Vec<_> = entries.collect();
    entries.sort_unstable();
    let chunks = entries.chunks(MAX_KILLS).map(|chunk| {
        let mut draft = Draft::new(node, field, kind);
        draft.kills = chunk.iter().map(|(id, _)| *id).collect();
        draft.after = chunk.iter().map(|(_, stamp)| *stamp).max().unwrap_or_default();
        draft
    });
    chunks.collect()
}

/// Deletes a field: a `null` entry, plus kills of the observed own-id entries that still carry a value. With `erase`
/// a `kill` entry makes every replica forget what lies below.
#[must_use]
pub fn delete(node: &NodeState, field: &Field, erase: bool) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let mut greatest = Stamp::default();
    if let Some(state) = node.field(field) {
        let live = state
            .entries()
            .filter(|entry| entry.slot.is_own() && !entry.kind.is_kill())
            .filter(|entry| entry.body.value().is_some() && !state.is_killed(entry))
            .map(|entry| (entry.id, entry.stamp));
        drafts = removals(node, field, Kind::KILL, live);
        greatest = state.entries().map(|entry| entry.cut_stamp()).max().unwrap_or_default();
    }
    if erase {
        let mut eraser = Draft::new(node, field, Kind::KILL);
        eraser.value = Some(Value::from(rustdht_core::Entry::ERASE));
        eraser.after = greatest;
        drafts.push(eraser);
    }
    let mut cut_off = Draft::new(node, field, Kind::NULL);
    cut_off.value = Some(Value::Null);
    cut_off.after = greatest;
    if let Some(view) = node.field(field).and_then(FieldState::view) {
        cut_off.over.push(view.entry);
    }
    drafts.push(cut_off);
    drafts
}
