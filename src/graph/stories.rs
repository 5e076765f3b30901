//! What fields show after writes, removals, deletes and erases, as people meet them.

mod inspect;
mod kinds;
mod spaces;

use std::sync::Arc;

use rustdht_core::{Code, Entry, Kind, NetId, Session, Soul, Stamp, Value, json::Ints};
use rustdht_testkit::{Author, set_add, set_remove, write};
use rustdht_wire::Operation;

use crate::{Action, Draft, Merge, NodeState, Pen, Wanted, render};

const NET: NetId = NetId([0; 32]);

struct Story {
    node: NodeState,
    author: Author,
    time: u64,
}

impl Story {
    fn new(soul: &str) -> Self {
        Self { node: NodeState::new(soul.parse().unwrap()), author: Author::new(1), time: 1000 }
    }

    fn soul(&self) -> Soul {
        self.node.soul().clone()
    }

    fn at(&mut self, stamp: u64, operations: Vec<Operation>) -> Vec<Entry> {
        self.author.sign(NET, Stamp(stamp), operations).unwrap().entries
    }

    fn join(&mut self, entries: &[Entry]) -> Vec<Merge> {
        entries.iter().map(|entry| self.node.join(Arc::new(entry.clone())).merge).collect()
    }

    fn draft(&mut self, drafts: Vec<Draft>) {
        self.time += 1;
        let operation = |draft: Draft| Operation {
            body: draft.value.map_or(rustdht_core::Body::None, |value| rustdht_core::Body::Live {
                value,
                salt: Some(rustdht_core::Salt([1; 16])),
            }),
            soul: draft.soul,
            field: draft.field,
            kind: draft.kind,
            slot: draft.slot,
            kills: draft.kills,
            over: draft.over,
            base: draft.base,
        };
        let operations = drafts.into_iter().map(operation).collect();
        let entries = self.at(self.time, operations);
        assert!(self.join(&entries).iter().all(|merge| *merge == Merge::Taken), "a writer's own operations are taken");
    }

    fn shown(&self) -> String {
        let mut out = String::new();
        render::write_data(&mut out, &self.node, Ints::Numbers);
        out
    }

    fn field(&self) -> rustdht_core::Field {
        "f".parse().unwrap()
    }

    fn pen(&self) -> Pen {
        Pen::new(self.author.public(), Session([1; 8]), None)
    }

    fn plan(&self, action: &Action) -> Result<Vec<Draft>, Code> {
        let mut drafts = Vec::new();
        let planned = crate::plan(&self.node, &self.pen(), &self.field(), action, &mut drafts);
        planned.map(|_| drafts).map_err(|refusal| refusal.code)
    }

    fn wish(&self, wanted: &Wanted, import: bool) -> Result<Vec<Draft>, Code> {
        crate::write(&self.node, &self.pen(), &self.field(), wanted, import).map_err(|refusal| refusal.code)
    }

    /// Plans, signs and joins.
    fn act(&mut self, action: &Action) {
        let drafts = self.plan(action).unwrap();
        assert_ne!(drafts, [], "{action:?} changes something");
        self.draft(drafts);
    }
}

fn set(elements: &[i64]) -> Wanted {
    Wanted::set(elements.iter().map(|element| Value::Int(*element)))
}

#[test]
fn wrapped_sets_become_what_was_wanted() {
    let mut story = Story::new("s");
    for (wanted, shown) in [(&[3, 1, 2][..], "[1,2,3]"), (&[2, 4], "[2,4]"), (&[], "")] {
        let drafts = story.wish(&set(wanted), false).unwrap();
        story.draft(drafts);
        let expected = if shown.is_empty() { "{}".to_owned() } else { format!("{{\"f\":{{\"@set\":{shown}}}}}") };
        assert_eq!(story.shown(), expected);
        assert_eq!(story.wish(&set(wanted), false), Ok(vec![]), "repeating it changes nothing");
    }
}

#[test]
fn an_import_only_adds() {
    let mut story = Story::new("s");
    story.draft(story.wish(&set(&[1, 2]), false).unwrap());
    story.draft(story.wish(&set(&[2, 3]), true).unwrap());
    assert_eq!(story.shown(), r#"{"f":{"@set":[1,2,3]}}"#);
}

#[test]
fn five_and_five_point_nought_are_one_element() {
    let mut story = Story::new("s");
    story.act(&Action::Add(Value::Int(5)));
    assert_eq!(story.wish(&Wanted::set([Value::Float(5.0)]), false), Ok(vec![]));
    story.act(&Action::Add(Value::Float(5.0)));
    assert_eq!(story.shown(), r#"{"f":{"@set":[5.0]}}"#);
    assert_eq!(story.plan(&Action::Remove(Value::Int(6))), Ok(vec![]));
    story.act(&Action::Remove(Value::Int(5)));
    assert_eq!(story.shown(), "{}");
}

#[test]
fn an_unseen_add_survives_a_remove() {
    let mut story = Story::new("s");
    let soul = story.soul();
    let seen = story.at(10, vec![set_add(&soul, "f", Value::Int(1)).unwrap()]);
    let unseen = story.at(11, vec![set_add(&soul, "f", Value::Int(1)).unwrap()]);
    let remove = story.at(12, vec![set_remove(&soul, "f", vec![seen[0].id]).unwrap()]);
    story.join(&seen);
    story.join(&remove);
    assert_eq!(story.shown(), "{}");
    story.join(&unseen);
    assert_eq!(story.shown(), r#"{"f":{"@set":[1]}}"#);
    assert_eq!(story.join(&seen), [Merge::Historical], "what was removed never returns");
}

#[test]
fn a_delete_hides_what_it_did_not_see_and_a_later_write_shows() {
    let mut story = Story::new("s");
    let soul = story.soul();
    let before =
        story.at(500, vec![set_add(&soul, "f", Value::Int(1)).unwrap(), write(&soul, "f", Value::Int(7)).unwrap()]);
    let unseen = story.at(900, vec![set_add(&soul, "f", Value::Int(2)).unwrap()]);
    story.join(&before);
    story.act(&Action::Delete { erase: false });
    story.join(&unseen);
    assert_eq!(story.shown(), "{}", "a lesser stamp is hidden, seen by the deleter or not");
    let after = story.at(2000, vec![set_add(&soul, "f", Value::Int(3)).unwrap()]);
    story.join(&after);
    assert_eq!(story.shown(), r#"{"f":{"@set":[3]}}"#);
    assert!(story.node.field("f").unwrap().entries().any(|entry| entry.kind.as_str() == Kind::NULL));
}

#[test]
fn at_an_equal_stamp_a_delete_takes_the_register_that_ham_puts_below_it() {
    for (value, shown) in [(Value::Bool(false), "{}"), (Value::Bool(true), r#"{"f":true}"#), (Value::from("x"), "{}")] {
        let mut story = Story::new("s");
        let soul = story.soul();
        let null = Operation {
            kind: Kind::listed(Kind::NULL),
            body: rustdht_core::Body::Live { value: Value::Null, salt: Some(rustdht_core::Salt([0; 16])) },
            ..write(&soul, "f", Value::Null).unwrap()
        };
        let entries = story.at(5, vec![null, write(&soul, "f", value).unwrap()]);
        story.join(&entries);
        assert_eq!(story.shown(), shown);
    }
}

#[test]
fn kinds_live_side_by_side_and_the_latest_shows() {
    let mut story = Story::new("s");
    let soul = story.soul();
    let first = story.at(1, vec![set_add(&soul, "f", Value::Int(1)).unwrap()]);
    let second = story.at(2, vec![write(&soul, "f", Value::from("register")).unwrap()]);
    story.join(&first);
    story.join(&second);
    assert_eq!(story.shown(), r#"{"f":"register"}"#);
    let third = story.at(3, vec![set_add(&soul, "f", Value::Int(2)).unwrap()]);
    story.join(&third);
    assert_eq!(story.shown(), r#"{"f":{"@set":[1,2]}}"#);
}

#[test]
fn kinds_of_the_future_are_kept_and_shown_as_opaque() {
    let mut story = Story::new("s");
    let soul = story.soul();
    let future = Operation { kind: "hologram".parse().unwrap(), ..set_add(&soul, "f", Value::Int(1)).unwrap() };
    let entries = story.at(1, vec![future]);
    assert_eq!(story.join(&entries), [Merge::Taken]);
    assert_eq!(story.shown(), r#"{"f":{"@opaque":{"kind":"hologram","entries":1}}}"#);
}

#[test]
fn an_erase_forgets_the_values_below_it() {
    let mut story = Story::new("s");
    let soul = story.soul();
    let old = story.at(
        5,
        vec![write(&soul, "f", Value::from("secret")).unwrap(), set_add(&soul, "f", Value::from("too")).unwrap()],
    );
    story.join(&old);
    story.act(&Action::Delete { erase: true });
    assert!(
        !story
            .node
            .entries()
            .any(|entry| matches!(entry.body.value(), Some(Value::Text(text)) if &**text != Entry::ERASE))
    );
    assert_eq!(story.join(&old), [Merge::Historical, Merge::Historical], "it is never stored again");
}
