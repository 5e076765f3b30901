//! What has to hold in the end, and after each write.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use rustdht_core::{EntryId, Field, Kind, Value, ham, json::Ints};

use super::{Replica, World};
use crate::{
    Action, Content, FieldRef, NodeState, Reason, Shown, Side, Wanted, explain, oracle, oracle::Entries, plan, render,
};

impl World {
    /// What a writer expects to see after its own write.
    pub(super) fn check_effect(
        &self,
        at: usize,
        field: &Field,
        action: &Action,
        before: Option<&Shown>,
        after: Option<Shown>,
    ) {
        let node = &self.replicas[at].node;
        if node.rules().mirror && !matches!(action, Action::Increment(_) | Action::Enable) {
            return;
        }
        let sum = |shown: &Option<Shown>| if let Some(Shown::Counter(sum)) = shown { Some(*sum) } else { None };
        match action {
            Action::Set(Wanted::Value(Value::Null)) | Action::Delete { .. } => assert_eq!(after, None),
            Action::Set(Wanted::Value(value)) => assert_eq!(after, Some(Shown::Value(value.clone()))),
            Action::Increment(by) => {
                let sum_before = node_sum(before);
                let Some(total) = sum(&after) else {
                    return assert!(matches!(after, Some(Shown::Opaque { .. })), "an increment is shown");
                };
                if let Some(sum_before) = sum_before {
                    assert_eq!(total - sum_before, i128::from(*by));
                }
            }
            Action::Enable => assert_eq!(after, Some(Shown::Wrapped(Content::Value(Value::Bool(true))))),
            Action::Disable => assert!(!matches!(after, Some(Shown::Wrapped(Content::Value(Value::Bool(true)))))),
            Action::Add(value) => {
                let Some(Shown::Set(elements)) = &after else { panic!("an added element is shown: {after:?}") };
                let text = ham::text(value);
                assert!(elements.iter().any(|element| ham::text(element) == text));
            }
            Action::Remove(value) => {
                if let Some(Shown::Set(elements)) = &after {
                    let text = ham::text(value);
                    assert!(!elements.iter().any(|element| ham::text(element) == text));
                }
            }
            Action::Set(Wanted::Wrapped { kind, content }) => self.check_wish(at, field, kind, content, after),
            _ => {}
        }
    }

    fn check_wish(&self, at: usize, field: &Field, kind: &Kind, content: &Content, after: Option<Shown>) {
        let again = Action::Set(Wanted::Wrapped { kind: kind.clone(), content: content.clone() });
        let Replica { node, pen, .. } = &self.replicas[at];
        let repeated = plan(node, pen, field, &again, &mut Vec::new());
        assert_eq!(repeated, Ok(None), "repeating a wish changes nothing: {again:?}");
        match (kind.as_str(), content) {
            ("set", Content::List(items)) if !items.is_empty() => {
                let Some(Shown::Set(elements)) = after else { panic!("a wished set is shown") };
                let texts = |items: Vec<&Value>| -> HashSet<String> { items.into_iter().map(ham::text).collect() };
                let wanted = texts(items.iter().filter_map(|item| item.as_value().ok()).collect());
                assert_eq!(texts(elements.iter().collect()), wanted);
            }
            ("counter", Content::Value(Value::Int(wanted))) => {
                assert_eq!(after, Some(Shown::Counter(i128::from(*wanted))));
            }
            ("flag", Content::Value(Value::Bool(true))) => {
                assert_eq!(after, Some(Shown::Wrapped(content.clone())));
            }
            ("max" | "min", Content::Value(wanted)) => {
                let Some(Shown::Wrapped(Content::Value(shown))) = after else {
                    return assert!(matches!(after, Some(Shown::Opaque { .. })), "a wished number is shown");
                };
                let order = crate::number::compare(&shown, wanted).unwrap();
                assert!(if kind.is_max() { order.is_ge() } else { order.is_le() });
            }
            _ => {}
        }
    }

    /// Equal entries, equal views, and both are what the text says.
    pub(super) fn check(&mut self) {
        let soul = self.soul();
        let hidden: HashSet<EntryId> = match self.random.below(3) {
            0 => self.all.iter().filter(|_| self.random.one_in(4)).map(|entry| entry.id).collect(),
            1 => {
                let writer = self.random.pick(&self.replicas).pen.writer();
                self.all.iter().filter(|entry| entry.writer == writer).map(|entry| entry.id).collect()
            }
            _ => HashSet::new(),
        };
        let mut defined: BTreeMap<String, Entries> = BTreeMap::new();
        for field in &self.fields {
            let all: Vec<_> = self.all.iter().filter(|entry| entry.field == *field).cloned().collect();
            defined.insert(field.to_string(), oracle::state(&soul, &all));
        }
        let origins = oracle::origins(&soul, &defined, &hidden);
        let (mut exports, mut shuffled) = (HashSet::new(), NodeState::new(soul.clone()));
        let mut restored: Vec<_> = self.replicas[0].node.entries().cloned().collect();
        self.random.shuffle(&mut restored);
        restored.into_iter().for_each(|entry| shuffled.restore(entry));
        shuffled.set_hidden(hidden.clone());
        for replica in &mut self.replicas {
            replica.node.set_hidden(hidden.clone());
        }
        let expected: Vec<_> = defined
            .iter()
            .map(|(field, defined)| (field, defined, oracle::shown(&soul, field, defined, &hidden, &origins)))
            .collect();
        for node in self.replicas.iter().map(|replica| &replica.node).chain([&shuffled]) {
            for (field, defined, expected) in &expected {
                let held = node.field(field).into_iter().flat_map(FieldRef::entries);
                let held: Entries = held.map(|entry| (entry.id, Arc::clone(entry))).collect();
                assert_eq!(held, **defined, "{field}");
                let view = node.view(field);
                let shown = view.as_ref().map(|view| {
                    let mut out = String::new();
                    render::write_shown(&mut out, view, Ints::Numbers);
                    (view.kind.clone(), out)
                });
                match expected {
                    // What a fold of updates gives has an oracle of its own; here all must give the same.
                    Some((kind, _)) if kind.is_yjs() => assert!(shown.is_none_or(|(shown, _)| shown == *kind)),
                    _ => assert_eq!(shown, *expected, "{field}"),
                }
            }
            let mut export = String::new();
            render::write_export_line(&mut export, node);
            exports.insert(export);
        }
        assert_eq!(exports.len(), 1);
        self.check_sides(&defined, &hidden);
    }

    /// Every entry has one reason, and those that won are those that are shown.
    fn check_sides(&self, defined: &BTreeMap<String, Entries>, hidden: &HashSet<EntryId>) {
        let node = &self.replicas[0].node;
        for field in &self.fields {
            let held = &defined[field.as_str()];
            let all: Vec<_> = self.all.iter().filter(|entry| entry.field == *field).cloned().collect();
            let sides = explain(node, field, &all);
            let ids: HashSet<EntryId> = sides.iter().map(|side| side.entry.id).collect();
            assert_eq!((ids.len(), sides.len()), (all.len(), all.len()), "each entry once");
            let counted = oracle::counted(node.soul(), field, held, hidden);
            let view = node.view(field);
            for side in &sides {
                let shown = view.as_ref().is_some_and(|view| {
                    let one = matches!(&*view.kind, "register" | "max" | "min")
                        && !matches!(view.shown, Shown::Opaque { .. });
                    let counts = side.entry.kind == view.kind && counted.iter().any(|entry| entry.id == side.entry.id);
                    counts && (!one || side.entry.id == view.entry)
                });
                // A list without elements shows nothing, and an update may wait for another.
                let is_update = side.entry.kind.is_yjs() && matches!(side.reason, Reason::Won | Reason::NotReady);
                assert!(is_update || (side.reason == Reason::Won) == shown, "{side:?}");
                self.check_reason(side, held, hidden);
            }
        }
    }

    fn check_reason(&self, side: &Side, held: &Entries, hidden: &HashSet<EntryId>) {
        let by = side.by.and_then(|by| held.get(&by));
        let entry = &side.entry;
        match side.reason {
            Reason::Won | Reason::Removal | Reason::Ignored => assert_eq!(side.by, None),
            Reason::Hidden => assert!(hidden.contains(&entry.id)),
            Reason::KilledBy => {
                let by = by.expect("a kill in the state");
                assert!(by.kills.contains(&entry.id) && by.stamp > entry.stamp);
                assert_eq!(side.seen, Some(true));
                let taken = held.get(&entry.id).is_some_and(|held| !oracle::is_live(held));
                assert!(taken || !hidden.contains(&by.id) || !held.contains_key(&entry.id));
            }
            Reason::CutOffBy => assert!(by.is_some_and(|by| by.kind.is_null() && by.stamp >= entry.stamp)),
            Reason::Erased => assert!(by.is_some_and(|by| by.is_erase() && by.stamp > entry.stamp)),
            Reason::OtherKindShown => assert!(by.is_some_and(|by| by.kind != entry.kind && by.stamp >= entry.stamp)),
            Reason::LowerStamp => assert!(by.is_some_and(|by| by.kind == entry.kind && by.stamp > entry.stamp)),
            Reason::LowerValueAtEqualStamp => {
                let other = by.and_then(|by| by.body.value()).zip(entry.body.value());
                assert!(other.is_some_and(|(by, value)| ham::compare_values(by, value).is_gt()));
                assert!(by.is_some_and(|by| by.stamp == entry.stamp));
            }
            Reason::LowerIdAtEqualValue => assert!(by.is_some_and(|by| by.stamp == entry.stamp && by.id > entry.id)),
            Reason::LowerOriginTime | Reason::Outdone => assert!(by.is_some_and(|by| by.kind == entry.kind)),
            Reason::NotReady => assert!(entry.kind.is_yjs()),
            Reason::NotInState => panic!("{side:?}"),
        }
        if side.reason == Reason::KilledBy || side.reason == Reason::Erased {
            return;
        }
        assert!(oracle::is_live(entry) || side.reason == Reason::Removal || side.reason == Reason::Hidden, "{side:?}");
    }
}

fn node_sum(shown: Option<&Shown>) -> Option<i128> {
    match shown {
        Some(Shown::Counter(sum)) => Some(*sum),
        // Behind another kind there may be a counter that the increment brings back.
        Some(_) => None,
        None => Some(0),
    }
}
