//! The data model's text taken word for word, for comparison: slow, and written without the code that it checks.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use rustdht_core::{Body, Entry, EntryId, Kind, PublicKey, Slot, Soul, Space, Stamp, Value, Writer, ham};

pub(crate) type Entries = BTreeMap<EntryId, Arc<Entry>>;

fn permanent(soul: &Soul, field: &str) -> bool {
    soul.starts_with('~') && !soul.contains('/') && ["revoked", "successor", "members"].contains(&field)
}

fn base_or_stamp(entry: &Entry) -> Stamp {
    entry.base.unwrap_or(entry.stamp)
}

/// The state of one field, from everything that was ever written there.
pub(crate) fn state(soul: &Soul, all: &[Arc<Entry>]) -> Entries {
    let space = soul.space();
    let writer_slots = matches!(space, Space::Owned(_) | Space::Mirror);
    let untouched = |entry: &Entry| permanent(soul, &entry.field);
    let covered = |entry: &Entry| {
        all.iter().any(|eraser| {
            let reach = match space {
                Space::Owned(owner) => eraser.author == entry.author || eraser.author == owner,
                Space::Mirror => eraser.author == entry.author,
                _ => true,
            };
            let erases = eraser.kind.as_str() == "kill" && eraser.body.value() == Some(&Value::from("erase"));
            let below = base_or_stamp(entry) < eraser.stamp;
            erases && reach && below && !matches!(entry.kind.as_str(), "null" | "kill") && !untouched(entry)
        })
    };
    let killers = |entry: &Entry| -> Vec<Arc<Entry>> {
        if entry.kind.as_str() == "kill" || untouched(entry) {
            return Vec::new();
        }
        all.iter().filter(|killer| killer.kills.contains(&entry.id) && killer.stamp > entry.stamp).cloned().collect()
    };
    let mut state = BTreeMap::new();
    let mut greatest: BTreeMap<(Kind, Box<[u8]>), Arc<Entry>> = BTreeMap::new();
    for entry in all {
        if let Slot::Explicit(slot) = &entry.slot {
            let best = greatest.entry((entry.kind.clone(), slot.clone())).or_insert_with(|| Arc::clone(entry));
            if ham::compare(entry, best).is_gt() {
                *best = Arc::clone(entry);
            }
            continue;
        }
        let killers = killers(entry);
        let (removed, dropped) = if covered(entry) {
            (entry.kills.is_empty(), true)
        } else if writer_slots {
            (false, killers.iter().any(|killer| killer.author == entry.author && killer.leaf == entry.leaf))
        } else {
            (!killers.is_empty() && entry.kills.is_empty(), !killers.is_empty())
        };
        if !removed {
            let body = if dropped { entry.body.dropped() } else { entry.body.clone() };
            state.insert(entry.id, Arc::new(Entry { body, ..(**entry).clone() }));
        }
    }
    for entry in greatest.into_values().filter(|entry| !covered(entry)) {
        state.insert(entry.id, entry);
    }
    state
}

fn int_or_float(value: &Value) -> bool {
    matches!(value, Value::Int(_) | Value::Float(_))
}

fn of_its_type(entry: &Entry) -> bool {
    let Some(value) = entry.body.value() else { return false };
    match entry.kind.as_str() {
        _ if matches!(value, Value::Enc(_)) => true,
        "counter" => matches!(value, Value::Int(_)),
        "max" | "min" => int_or_float(value),
        "flag" => *value == Value::Bool(true),
        "set" | "register" => *value != Value::Null,
        "text" | "list" | "map" => matches!(value, Value::Bytes(_) | Value::Blob(_)),
        _ => true,
    }
}

/// The entries of a field's state that count, less those that authority hides.
pub(crate) fn counted(soul: &Soul, field: &str, state: &Entries, hidden: &HashSet<EntryId>) -> Vec<Arc<Entry>> {
    let here = |entry: &&Arc<Entry>| !hidden.contains(&entry.id);
    let mirror = soul.space() == Space::Mirror;
    let cut = |entry: &Entry| {
        let nulls = state.values().filter(here).filter(|null| null.kind.as_str() == "null");
        nulls.filter(|null| !mirror || null.writer == entry.writer).any(|null| match entry.kind.as_str() {
            "register" => ham::compare(entry, null).is_lt(),
            _ => base_or_stamp(entry) < null.stamp,
        })
    };
    let killed = |entry: &Entry| {
        let killable = entry.slot.is_own() && entry.kind.as_str() != "kill";
        killable
            && state.values().filter(here).any(|killer| killer.kills.contains(&entry.id) && killer.stamp > entry.stamp)
    };
    let shown = |entry: &&Arc<Entry>| {
        let content = !matches!(entry.kind.as_str(), "null" | "kill") && of_its_type(entry);
        if permanent(soul, field) {
            return content && entry.kind.as_str() == "set";
        }
        content && !cut(entry) && !killed(entry)
    };
    state.values().filter(here).filter(shown).cloned().collect()
}

/// As a fraction, so that integers and floats compare exactly.
fn worth(value: &Value) -> (i128, u64) {
    match value {
        Value::Int(number) => (i128::from(*number), 0),
        Value::Float(number) => {
            let floor = number.floor().clamp(-1e30, 1e30);
            (floor as i128, ((number - floor).clamp(0.0, 1.0) * 2_f64.powi(52)) as u64)
        }
        _ => (0, 0),
    }
}

fn text(value: &Value) -> String {
    let mut out = String::new();
    rustdht_core::json::write(&mut out, value, rustdht_core::json::Ints::Numbers);
    out
}

/// What the field shows as JSON; `None`: it is absent. Yjs kinds are not folded here: their number stands for them.
pub(crate) fn shown(
    soul: &Soul,
    field: &str,
    state: &Entries,
    hidden: &HashSet<EntryId>,
    origins: &BTreeMap<Writer, i64>,
) -> Option<(Kind, String)> {
    let counted = counted(soul, field, state, hidden);
    // Which updates are ready has an oracle of its own, too.
    let unready = ["text", "list", "map"].into_iter().flat_map(|kind| {
        let entries: Vec<&Arc<Entry>> = counted.iter().filter(|entry| entry.kind.as_str() == kind).collect();
        let sealed = entries.iter().any(|entry| matches!(entry.body.value(), Some(Value::Enc(_))));
        if sealed { BTreeSet::new() } else { crate::yjs::unready(entries) }
    });
    let unready: HashSet<EntryId> = unready.collect();
    let latest =
        counted.iter().max_by_key(|entry| (!unready.contains(&entry.id), entry.stamp, entry.kind.clone(), entry.id))?;
    let kind = latest.kind.clone();
    let entries: Vec<&Arc<Entry>> = counted.iter().filter(|entry| entry.kind == kind).collect();
    let values = || entries.iter().filter_map(|entry| Some((entry.id, entry.body.value()?)));
    let ciphertext = values().any(|(_, value)| matches!(value, Value::Enc(_)));
    let opaque = format!("{{\"@opaque\":{{\"kind\":\"{kind}\",\"entries\":{}}}}}", entries.len());
    let json = match kind.as_str() {
        "register" if soul.space() == Space::Mirror => {
            let rank = |entry: &&&Arc<Entry>| (origins.get(&entry.writer).copied().unwrap_or(0), entry.stamp, entry.id);
            text(entries.iter().max_by_key(rank)?.body.value()?)
        }
        "register" => text(entries.iter().max_by(|a, b| ham::compare(a, b))?.body.value()?),
        "set" => {
            let mut texts: BTreeSet<Vec<u16>> = values().map(|(_, value)| utf16(value)).collect();
            let mut items = Vec::new();
            while let Some(element) = texts.pop_first() {
                let (_, value) = values().filter(|(_, value)| utf16(value) == element).max_by_key(|(id, _)| *id)?;
                items.push(text(value));
            }
            format!("{{\"@set\":[{}]}}", items.join(","))
        }
        "text" | "list" | "map" => return Some((kind, String::new())),
        _ if ciphertext => opaque,
        "counter" => {
            let sum: i128 = values().map(|(_, value)| worth(value).0).sum();
            format!("{{\"@counter\":\"{sum}\"}}")
        }
        "flag" => "{\"@flag\":true}".to_owned(),
        "max" | "min" => {
            let order = |a: &(EntryId, &Value), b: &(EntryId, &Value)| -> Ordering {
                let (a_worth, b_worth) = (worth(a.1), worth(b.1));
                let numbers = if kind.as_str() == "max" { a_worth.cmp(&b_worth) } else { b_worth.cmp(&a_worth) };
                numbers.then(a.0.cmp(&b.0))
            };
            format!("{{\"@{kind}\":{}}}", text(values().max_by(order)?.1))
        }
        _ => opaque,
    };
    Some((kind, json))
}

fn utf16(value: &Value) -> Vec<u16> {
    ham::text(value).encode_utf16().collect()
}

/// Of each writer of a mirrored object: the integer in its own `origin_time`.
pub(crate) fn origins(
    soul: &Soul,
    states: &BTreeMap<String, Entries>,
    hidden: &HashSet<EntryId>,
) -> BTreeMap<Writer, i64> {
    let Some(state) = states.get("origin_time") else { return BTreeMap::new() };
    let entries = counted(soul, "origin_time", state, hidden);
    let time = |entry: &Arc<Entry>| match entry.body.value() {
        Some(Value::Int(time)) if entry.kind.as_str() == "register" => Some((entry.writer, *time)),
        _ => None,
    };
    entries.iter().filter_map(time).collect()
}

/// Whether a key may be the owner of a soul.
pub(crate) fn owner_of(soul: &Soul) -> Option<PublicKey> {
    if let Space::Owned(owner) = soul.space() { Some(owner) } else { None }
}

/// Whether a body kept its value.
pub(crate) fn is_live(entry: &Entry) -> bool {
    matches!(entry.body, Body::Live { .. })
}
