//! The laws of the join, against its definition taken word for word.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use rustdht_core::{Body, CommitId, Entry, EntryId, PublicKey, Salt, Slot, Soul, Stamp, Value, Writer};

use crate::{FieldRef, FieldState, FieldView, Merge, NodeState, Rules, oracle};

const OWNER: PublicKey = PublicKey([1; 32]);

type Place = (Soul, &'static str);

#[derive(Clone, Debug)]
struct Recipe {
    kind: &'static str,
    stamp: u64,
    author: u8,
    value: Option<u8>,
    kills: Vec<u8>,
    base: Option<u64>,
    slot: u8,
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let kinds = prop::sample::select(vec![
        "register",
        "null",
        "set",
        "set",
        "set",
        "kill",
        "kill",
        "counter",
        "text",
        "future-own",
        "future-slotted",
    ]);
    let kills = prop::collection::vec(0_u8..12, 0..4);
    (
        kinds,
        1_u64..7,
        1_u8..4,
        prop::option::weighted(0.8, 0_u8..6),
        kills,
        prop::option::weighted(0.3, 0_u64..6),
        0_u8..2,
    )
        .prop_map(|(kind, stamp, author, value, kills, base, slot)| Recipe {
            kind,
            stamp,
            author,
            value,
            kills,
            base,
            slot,
        })
}

fn value(pick: u8) -> Value {
    match pick {
        0 => Value::from("a"),
        1 => Value::Int(5),
        2 => Value::Float(5.0),
        3 => Value::Bool(true),
        4 => Value::Bool(false),
        _ => Value::from("b"),
    }
}

fn id(index: usize) -> EntryId {
    EntryId([u8::try_from(index).unwrap(); 32])
}

fn build(index: usize, (soul, field): &Place, recipe: &Recipe) -> Arc<Entry> {
    let author = PublicKey([recipe.author; 32]);
    let writer = Writer::new(&author, None);
    let owned = soul.space().has_writer_slots();
    let mut kills: Vec<EntryId> =
        recipe.kills.iter().map(|at| id(usize::from(*at))).filter(|at| *at != id(index)).collect();
    kills.sort_unstable();
    kills.dedup();
    let explicit =
        |bytes: &[u8]| Slot::Explicit(if owned { [&writer.0[..], bytes].concat().into() } else { bytes.into() });
    let (slot, value) = match recipe.kind {
        "register" => (explicit(b""), Some(value(recipe.value.unwrap_or(0)))),
        "null" => (explicit(b""), Some(Value::Null)),
        "counter" => (explicit(b"12345678"), Some(Value::Int(i64::from(recipe.slot)))),
        "future-slotted" => (explicit(&[recipe.slot]), Some(value(recipe.value.unwrap_or(0)))),
        "kill" => (Slot::Own, (recipe.value.is_some_and(|pick| pick < 2)).then(|| Value::from(Entry::ERASE))),
        _ => (Slot::Own, recipe.value.map(value)),
    };
    if !slot.is_own() {
        kills.clear();
    }
    let value = if value.is_none() && kills.is_empty() { Some(Value::Int(1)) } else { value };
    let value =
        if recipe.kind == "kill" && value == Some(Value::Int(1)) { Some(Value::from(Entry::ERASE)) } else { value };
    Arc::new(Entry {
        id: id(index),
        commit: CommitId([0; 32]),
        index: 0,
        soul: soul.clone(),
        field: field.parse().unwrap(),
        kind: recipe.kind.parse().unwrap(),
        slot,
        stamp: Stamp(recipe.stamp),
        author,
        leaf: None,
        writer,
        body: value.map_or(Body::None, |value| Body::Live { value, salt: Some(Salt([0; 16])) }),
        base: recipe.base.filter(|base| recipe.kind == "text" && !kills.is_empty() && *base <= recipe.stamp).map(Stamp),
        kills,
        over: Vec::new(),
    })
}

fn definition(soul: &Soul, all: &[Arc<Entry>]) -> BTreeMap<EntryId, Body> {
    oracle::state(soul, all).into_iter().map(|(id, entry)| (id, entry.body.clone())).collect()
}

fn snapshot(state: &FieldState) -> BTreeMap<EntryId, Body> {
    state.entries().map(|entry| (entry.id, entry.body.clone())).collect()
}

fn join_all(soul: &Soul, state: &mut FieldState, entries: impl Iterator<Item = Arc<Entry>>) {
    let mut waiting: Vec<Arc<Entry>> = entries.collect();
    // What came without its value waits for the kill that covers it, as a replica does.
    loop {
        let before = waiting.len();
        waiting.retain(|entry| state.join(Rules::of(soul), Arc::clone(entry)).merge == Merge::Pending);
        if waiting.is_empty() || waiting.len() == before {
            break;
        }
    }
}

fn places() -> impl Strategy<Value = Place> {
    let root = Soul::of_key(OWNER);
    prop::sample::select(vec![
        ("public".parse().unwrap(), "f"),
        ("public".parse().unwrap(), "revoked"),
        (root.clone(), "f"),
        (root.clone(), "revoked"),
        (root, "successor"),
        ("^https://example.com/a".parse().unwrap(), "f"),
    ])
}

/// What a field in this state shows.
fn shown(soul: &Soul, state: &FieldState) -> Option<(FieldView, BTreeMap<EntryId, Body>)> {
    let mut node = NodeState::new(soul.clone());
    state.entries().cloned().for_each(|entry| node.restore(entry));
    let view = node.fields().find_map(FieldRef::view)?;
    Some((view, snapshot(state)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn any_order_gives_the_defined_state(
        place in places(),
        recipes in prop::collection::vec(recipe(), 1..12),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
    ) {
        let soul = place.0.clone();
        let all: Vec<_> = recipes.iter().enumerate().map(|(at, recipe)| build(at, &place, recipe)).collect();
        let mut state = FieldState::default();
        join_all(&soul, &mut state, order.iter().map(|at| Arc::clone(at.get(&all))));
        join_all(&soul, &mut state, all.iter().cloned());
        prop_assert_eq!(snapshot(&state), definition(&soul, &all));
    }

    #[test]
    fn states_join_to_the_state_of_the_union(
        place in places(),
        recipes in prop::collection::vec((recipe(), 0_u8..3), 1..12),
        reverse in any::<bool>(),
    ) {
        let soul = place.0.clone();
        let all: Vec<_> = recipes.iter().enumerate().map(|(at, (recipe, _))| build(at, &place, recipe)).collect();
        let side = |left: bool| all.iter().zip(&recipes).filter(move |(_, (_, side))| *side == 2 || (*side == 0) == left)
            .map(|(entry, _)| Arc::clone(entry));
        let (mut a, mut b) = (FieldState::default(), FieldState::default());
        join_all(&soul, &mut a, side(true));
        join_all(&soul, &mut b, side(false));
        let (mut from_a, mut from_b): (Vec<_>, Vec<_>) = (a.entries().cloned().collect(), b.entries().cloned().collect());
        if reverse {
            from_a.reverse();
            from_b.reverse();
        }
        join_all(&soul, &mut a, from_b.into_iter());
        join_all(&soul, &mut b, from_a.into_iter());
        prop_assert_eq!(snapshot(&a), definition(&soul, &all));
        prop_assert_eq!(snapshot(&b), snapshot(&a));
        prop_assert_eq!(shown(&soul, &a), shown(&soul, &b));
    }

    #[test]
    fn a_restored_state_goes_on_alike(place in places(), recipes in prop::collection::vec(recipe(), 2..12), cut in 1_usize..11) {
        let soul = place.0.clone();
        let all: Vec<_> = recipes.iter().enumerate().map(|(at, recipe)| build(at, &place, recipe)).collect();
        let cut = cut.min(all.len() - 1);
        let mut state = FieldState::default();
        join_all(&soul, &mut state, all[..cut].iter().cloned());
        let mut restored = FieldState::default();
        state.entries().cloned().for_each(|entry| restored.restore(entry));
        join_all(&soul, &mut state, all[cut..].iter().cloned());
        join_all(&soul, &mut restored, all[cut..].iter().cloned());
        prop_assert_eq!(snapshot(&state), snapshot(&restored));
        prop_assert_eq!(shown(&soul, &state), shown(&soul, &restored));
    }

    #[test]
    fn changes_replay_to_the_state(place in places(), recipes in prop::collection::vec(recipe(), 1..12)) {
        let soul = place.0.clone();
        let mut state = FieldState::default();
        let mut rows: BTreeMap<EntryId, Body> = BTreeMap::new();
        for (at, recipe) in recipes.iter().enumerate() {
            let joined = state.join(Rules::of(&soul), build(at, &place, recipe));
            for entry in joined.changes.puts.iter().chain(&joined.changes.rewrites) {
                rows.insert(entry.id, entry.body.clone());
            }
            for entry in &joined.changes.drops {
                prop_assert!(rows.remove(&entry.id).is_some(), "a drop names a held entry");
            }
            prop_assert_eq!(&rows, &snapshot(&state));
        }
    }
}
