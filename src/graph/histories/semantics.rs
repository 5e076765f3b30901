//! The kinds against what their names say.

use std::{collections::HashSet, sync::Arc};

use proptest::prelude::*;
use rustdht_core::{Entry, EntryId, Field, Value, ham};

use super::{Profile, World, actions::wish};
use crate::{Action, Content, FieldRef, Shown};

/// What was done in one history, told from the actions alone.
#[derive(Default)]
struct Told {
    sum: i128,
    greatest: Option<i64>,
    /// Adds and enables that a removal, or a later add of the same, had heard of.
    observed: HashSet<EntryId>,
}

/// Without deletions the data types are what their names say: increments add up, the greatest number stays, and an add
/// or enable that no removal had heard of is in.
fn semantics(seed: u64, steps: usize) {
    let mut world = World::new(seed, Profile::Set);
    let soul = world.soul();
    let fields: Vec<Field> = ["sum", "most", "tags", "on"].map(|name| name.parse().unwrap()).into();
    let mut told = Told::default();
    for _ in 0..steps {
        world.now_ms += world.random.below(2);
        if world.random.one_in(3) {
            world.deliver(false);
            continue;
        }
        let at = usize::try_from(world.random.below(world.replicas.len() as u64)).unwrap();
        let which = usize::try_from(world.random.below(4)).unwrap();
        let number = i64::try_from(world.random.below(7)).unwrap() - 3;
        // Few elements, so that they are added and removed again and again.
        let number = if which == 2 { number.signum() } else { number };
        let action = match (which, world.random.one_in(2)) {
            (0, _) => Action::Increment(number),
            (1, _) => wish("max", Value::Int(number)),
            (2, true) => Action::Add(Value::Int(number)),
            (2, false) => Action::Remove(Value::Int(number)),
            (_, true) => Action::Enable,
            (_, false) => Action::Disable,
        };
        match action {
            Action::Increment(by) => told.sum += i128::from(by),
            Action::Add(_) | Action::Remove(_) | Action::Enable | Action::Disable => {
                let held = world.replicas[at].node.field(&fields[which]).into_iter().flat_map(FieldRef::entries);
                let same = |entry: &&Arc<Entry>| which == 3 || entry.body.value() == Some(&Value::Int(number));
                told.observed.extend(held.filter(same).map(|entry| entry.id));
            }
            _ => told.greatest = told.greatest.max(Some(number)),
        }
        world.act(at, &fields[which], &action);
    }
    world.run(Profile::Set, 0);
    let standing = |field: &Field| -> Vec<Arc<Entry>> {
        let adds = world.all.iter().filter(|entry| entry.field == *field && entry.body.value().is_some());
        adds.filter(|entry| !told.observed.contains(&entry.id)).cloned().collect()
    };
    let mut elements: Vec<Value> = Vec::new();
    for entry in standing(&fields[2]) {
        let Some(value) = entry.body.value() else { continue };
        if !elements.contains(value) {
            elements.push(value.clone());
        }
    }
    elements.sort_by(ham::compare_values);
    for replica in &world.replicas {
        let shown = |field: &Field| replica.node.view(field).map(|view| view.shown);
        let sum = world.all.iter().any(|entry| entry.field == fields[0]).then_some(Shown::Counter(told.sum));
        assert_eq!(shown(&fields[0]), sum, "{soul}");
        let most = told.greatest.map(|most| Shown::Wrapped(Content::Value(Value::Int(most))));
        assert_eq!(shown(&fields[1]), most);
        assert_eq!(shown(&fields[2]), (!elements.is_empty()).then(|| Shown::Set(elements.clone())));
        let on = !standing(&fields[3]).is_empty();
        assert_eq!(shown(&fields[3]), on.then_some(Shown::Wrapped(Content::Value(Value::Bool(true)))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn data_types_are_what_their_names_say(seed in any::<u64>(), steps in 4_usize..32) {
        semantics(seed, steps);
    }
}
