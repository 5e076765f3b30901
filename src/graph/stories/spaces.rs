//! What space and authority change.

use std::{collections::HashSet, sync::Arc};

use rustdht_core::{CertificateId, Code, Entry, EntryId, Soul, Value};

use crate::{
    Action, Content, Draft, Kinds, Lattice, Merge, NodeState, ORIGIN_TIME, Pen, Planner, Shown, Wanted,
    fixtures::{Scene, pen, wish},
    is_permanent,
};

fn root() -> String {
    Soul::of_key(pen(1).author).to_string()
}

fn hide(scene: &mut Scene, entries: &[Arc<Entry>]) {
    let hidden: HashSet<EntryId> = entries.iter().map(|entry| entry.id).collect();
    scene.node.set_hidden(hidden);
}

#[test]
fn permanent_fields_only_grow() {
    let owner = pen(1);
    let mut scene = Scene::new(&root());
    scene.field = "revoked".parse().unwrap();
    let added = scene.act(&owner, 1, &[Action::Add(Value::from("a"))]);
    let again = scene.act(&owner, 2, &[Action::Add(Value::from("a"))]);
    assert_eq!(again[0].kills, [], "what has no effect is not written");
    for action in [
        wish("null"),
        wish("1"),
        wish(r#"{"@flag":true}"#),
        wish(r#"{"@set":["b"]}"#),
        Action::Delete { erase: false },
        Action::Delete { erase: true },
        Action::Remove(Value::from("a")),
        Action::Increment(1),
    ] {
        assert_eq!(scene.plan(&owner, std::slice::from_ref(&action)), Err(Code::NotAuthorised), "{action:?}");
    }
    assert_eq!(crate::delete(&scene.node, &owner, &scene.field, true), []);
    scene.act(&owner, 3, &[wish(r#"{"@set":["a","b"]}"#)]);
    assert_eq!(scene.shown(), r#"{"@set":["a","b"]}"#);

    // Whoever has the key can sign a kill, a cut-off and an erase all the same.
    let beside = Scene::new(&root());
    let mut drafts = beside.plan(&owner, &[Action::Delete { erase: true }]).unwrap();
    drafts[0].kills = vec![added[0].id];
    drafts.iter_mut().for_each(|draft| draft.field = scene.field.clone());
    let attack = scene.sign(&owner, 9, drafts);
    assert_eq!(scene.join(&attack), [Merge::Taken, Merge::Taken]);
    assert_eq!(scene.shown(), r#"{"@set":["a","b"]}"#);
    let texts: Vec<_> = scene.node.added("revoked").filter_map(|entry| entry.body.value()).collect();
    assert_eq!(texts.len(), 3);
    // The attack first: what it names is kept all the same, and with its value.
    let mut late = Scene::new(&root());
    late.field = scene.field.clone();
    late.join(&attack);
    assert_eq!(late.join(&added), [Merge::Taken]);
    let bare = Arc::new(Entry { body: added[0].body.dropped(), ..(*again[0]).clone() });
    assert_eq!(late.join(&[bare]), [Merge::Pending], "nothing there excuses a missing value");
    assert_eq!(late.shown(), r#"{"@set":["a"]}"#);
}

#[test]
fn which_fields_are_permanent() {
    let root: Soul = root().parse().unwrap();
    let below: Soul = format!("{root}/x").parse().unwrap();
    for field in ["revoked", "successor", "members"] {
        assert!(is_permanent(&root, field));
        assert!(!is_permanent(&below, field) && !is_permanent(&"s".parse().unwrap(), field));
    }
    assert!(!is_permanent(&root, "revoke"));
}

#[test]
fn what_is_hidden_is_not_there() {
    let other = Pen::new(pen(2).author, pen(2).session, Some(CertificateId([9; 32])));
    let mut scene = Scene::new(&root());
    let kept = scene.act(&pen(1), 1, &[Action::Add(Value::Int(1))]);
    let removal = scene.act(&other, 2, &[Action::Remove(Value::Int(1))]);
    assert_eq!(scene.shown(), "absent");
    hide(&mut scene, &removal);
    assert_eq!(scene.shown(), r#"{"@set":[1]}"#, "a hidden kill hides nothing");
    assert_eq!(scene.plan(&pen(1), &[Action::Remove(Value::Int(1))]).unwrap()[0].kills, [kept[0].id]);
    let deletion = scene.act(&other, 3, &[Action::Delete { erase: false }]);
    hide(&mut scene, &[removal, deletion].concat());
    assert_eq!(scene.shown(), r#"{"@set":[1]}"#, "a hidden deletion cuts nothing off");
    let forged = scene.act(&other, 4, &[wish("\"forged\"")]);
    assert_eq!(scene.shown(), "\"forged\"");
    hide(&mut scene, &forged);
    assert_eq!(scene.shown(), "absent");
    assert_eq!(scene.plan(&pen(1), &[wish("1")]).unwrap()[0].over, [], "nobody saw it");
}

#[test]
fn a_hidden_total_is_taken_up_at_0() {
    let mut scene = Scene::new(&root());
    let old = scene.act(&pen(1), 1, &[Action::Increment(5)]);
    hide(&mut scene, &old);
    let drafts = scene.plan(&pen(1), &[Action::Increment(1)]).unwrap();
    assert_eq!((drafts[0].value.clone(), drafts[0].after), (Some(Value::Int(1)), old[0].stamp));
}

#[test]
fn a_hidden_kill_may_stand_behind_one_that_is_not() {
    let mut scene = Scene::new(&root());
    let one = scene.act(&pen(1), 1, &[Action::Add(Value::Int(1))]);
    let removal = scene.plan(&pen(2), &[Action::Remove(Value::Int(1))]).unwrap();
    let first = scene.sign(&pen(2), 2, removal.clone());
    let second = scene.sign(&pen(2), 3, removal);
    scene.join(&[first.clone(), second.clone()].concat());
    hide(&mut scene, &second);
    assert_eq!(scene.shown(), "absent");
    hide(&mut scene, &[first, second].concat());
    assert_eq!(scene.shown(), r#"{"@set":[1]}"#);
    assert_eq!(one.len(), 1);
}

#[test]
fn of_what_gateways_saw_the_latest_origin_is_shown() {
    let mut scene = Scene::new("^https://example.com/a");
    let origin = |scene: &mut Scene, pen: &Pen, stamp: u64, time: Value| {
        let field = std::mem::replace(&mut scene.field, ORIGIN_TIME.parse().unwrap());
        scene.act(pen, stamp, &[Action::Set(Wanted::Value(time))]);
        scene.field = field;
    };
    scene.act(&pen(1), 1, &[wish("\"old\"")]);
    scene.act(&pen(2), 9, &[wish("\"older\"")]);
    assert_eq!(scene.shown(), "\"older\"", "without origin times the stamps decide");
    origin(&mut scene, &pen(1), 2, Value::Int(1000));
    assert_eq!(scene.shown(), "\"old\"");
    origin(&mut scene, &pen(2), 10, Value::from("2000"));
    assert_eq!(scene.shown(), "\"old\"", "only integers count");
    origin(&mut scene, &pen(2), 11, Value::Int(1001));
    assert_eq!(scene.shown(), "\"older\"");
    scene.act(&pen(1), 12, &[Action::Delete { erase: false }]);
    assert_eq!(scene.shown(), "\"older\"", "a gateway deletes what it saw itself");
    scene.act(&pen(2), 13, &[Action::Delete { erase: false }]);
    assert_eq!(scene.shown(), "absent");
}

#[test]
fn sets_of_a_mirrored_object_are_united() {
    let mut scene = Scene::new("^https://example.com/a");
    scene.act(&pen(1), 1, &[Action::Add(Value::Int(1))]);
    scene.act(&pen(2), 2, &[Action::Add(Value::Int(2))]);
    scene.act(&pen(1), 3, &[Action::Delete { erase: false }]);
    assert_eq!(scene.shown(), r#"{"@set":[2]}"#);
    scene.act(&pen(1), 4, &[Action::Remove(Value::Int(2))]);
    assert_eq!(scene.shown(), "absent", "a kill hides what it saw, whoever wrote it");
}

/// The last two values that were written, in slots of the writer's choice.
struct LastTwo;

impl Lattice for LastTwo {
    fn name(&self) -> &'static str {
        "last-two"
    }

    fn accepts(&self, value: &Value) -> bool {
        matches!(value, Value::Int(_))
    }

    fn view(&self, entries: &[&Arc<Entry>]) -> Option<Shown> {
        let mut entries = entries.to_vec();
        entries.sort_unstable_by_key(|entry| (entry.stamp, entry.id));
        let last = entries.iter().rev().take(2).filter_map(|entry| entry.body.value().cloned());
        Some(Shown::Wrapped(Content::List(last.map(Content::Value).collect())))
    }

    fn wish(&self, planner: &Planner<'_>, wish: &Content) -> Result<Vec<Draft>, rustdht_core::Refusal> {
        Ok(vec![planner.draft(&self.name().parse()?).with_value(wish.as_value()?.clone())])
    }
}

#[test]
fn a_kind_is_added_without_touching_the_crate() {
    let mut scene = Scene::new("s");
    let push = |number: i64| {
        let content = Content::Value(Value::Int(number));
        Action::Set(Wanted::Wrapped { kind: "last-two".parse().unwrap(), content })
    };
    assert_eq!(scene.plan(&pen(1), &[push(1)]), Err(Code::BadValue));
    let kinds = Arc::new(Kinds::builtin().with(Arc::new(LastTwo)));
    scene.node = NodeState::with_kinds("s".parse().unwrap(), Arc::clone(&kinds));
    for number in 1..4 {
        scene.act(&pen(1), number, &[push(number.cast_signed())]);
    }
    assert_eq!(scene.shown(), r#"{"@last-two":[3,2]}"#);
    // A gateway without it keeps what it cannot show.
    let mut plain = NodeState::new("s".parse().unwrap());
    scene.node.entries().cloned().for_each(|entry| drop(plain.join(entry)));
    let view = plain.view("f").unwrap();
    assert_eq!(view.shown, Shown::Opaque { entries: 3 });
    assert_eq!(format!("{:?}", kinds.get("last-two").map(Lattice::name)), r#"Some("last-two")"#);
    let replaced = kinds.with(Arc::new(LastTwo));
    assert_eq!(replaced.names().filter(|name| *name == "last-two").count(), 1);
}
