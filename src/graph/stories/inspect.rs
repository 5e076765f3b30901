//! The merge inspector.

use rustdht_core::{Entry, Value, json::Ints};

use crate::{
    Action, Reason, Side, explain,
    fixtures::{Scene, pen, wish},
    render,
};

fn side<'a>(sides: &'a [Side], entry: &Entry) -> &'a Side {
    sides.iter().find(|side| side.entry.id == entry.id).unwrap()
}

#[test]
fn an_edit_is_told_from_a_conflict() {
    let mut scene = Scene::new("s");
    let first = scene.act(&pen(1), 1, &[wish("1")]);
    let unaware = scene.plan(&pen(2), &[wish("2")]).unwrap();
    let second = scene.act(&pen(1), 3, &[wish("3")]);
    let concurrent = scene.sign(&pen(2), 2, unaware);
    let third = scene.act(&pen(1), 4, &[wish("4")]);
    scene.join(&concurrent);
    let losers = [first.clone(), second.clone(), concurrent.clone()].concat();
    let sides = explain(&scene.node, "f", &losers);
    let fared = |entry: &Entry| (side(&sides, entry).reason, side(&sides, entry).by, side(&sides, entry).seen);
    let by = Some(third[0].id);
    assert_eq!(fared(&third[0]), (Reason::Won, None, None));
    assert_eq!(fared(&second[0]), (Reason::LowerStamp, by, Some(true)));
    assert_eq!(fared(&first[0]), (Reason::LowerStamp, by, Some(true)), "through the one in between");
    assert_eq!(fared(&concurrent[0]), (Reason::LowerStamp, by, Some(false)));
    let mut json = String::new();
    render::write_sides(&mut json, &sides, Ints::Numbers);
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed.as_array().unwrap().len(), 4);
    assert_eq!(parsed[0]["reason"], "won");
    assert_eq!(parsed[0]["over"][0], second[0].id.to_string());
    assert_eq!((&parsed[1]["seen"], &parsed[2]["seen"]), (&true.into(), &false.into()));
    assert_eq!((&parsed[1]["slot"], &parsed[1]["by"]), (&"".into(), &third[0].id.to_string().into()));
}

#[test]
fn ties_are_explained() {
    let mut scene = Scene::new("s");
    let mut entries = Vec::new();
    for (number, json) in [(1, "\"a\""), (2, "\"b\""), (3, "\"b\"")] {
        let drafts = Scene::new("s").plan(&pen(number), &[wish(json)]).unwrap();
        entries.extend(scene.sign(&pen(number), 7, drafts));
    }
    scene.join(&entries);
    let sides = explain(&scene.node, "f", &entries);
    let (won, lost) = if entries[1].id > entries[2].id { (1, 2) } else { (2, 1) };
    assert_eq!(side(&sides, &entries[won]).reason, Reason::Won);
    assert_eq!(side(&sides, &entries[lost]).reason, Reason::LowerIdAtEqualValue);
    assert_eq!(side(&sides, &entries[0]).reason, Reason::LowerValueAtEqualStamp);
    assert_eq!(side(&sides, &entries[0]).by, Some(entries[won].id));
}

#[test]
fn removals_deletions_and_erases_are_named() {
    let mut scene = Scene::new("s");
    let one = scene.act(&pen(1), 1, &[Action::Add(Value::Int(1))]);
    let two = scene.act(&pen(1), 2, &[Action::Add(Value::Int(2))]);
    let removal = scene.act(&pen(2), 3, &[Action::Remove(Value::Int(1))]);
    let sides = explain(&scene.node, "f", &one);
    assert_eq!(side(&sides, &one[0]).reason, Reason::KilledBy);
    assert_eq!((side(&sides, &one[0]).by, side(&sides, &one[0]).seen), (Some(removal[0].id), Some(true)));
    assert_eq!(side(&sides, &removal[0]).reason, Reason::Removal);
    assert_eq!(side(&sides, &two[0]).reason, Reason::Won);
    let register = scene.act(&pen(1), 4, &[wish("5")]);
    let sides = explain(&scene.node, "f", &[]);
    assert_eq!(
        (side(&sides, &two[0]).reason, side(&sides, &two[0]).by),
        (Reason::OtherKindShown, Some(register[0].id))
    );
    let counter = scene.plan(&pen(3), &[Action::Increment(1)]).unwrap();
    let deletion = scene.act(&pen(1), 6, &[Action::Delete { erase: false }]);
    let unseen = scene.sign(&pen(3), 5, counter);
    scene.join(&unseen);
    let sides = explain(&scene.node, "f", &[]);
    let null = deletion.iter().find(|entry| entry.kind.is_null()).unwrap();
    assert_eq!((side(&sides, &register[0]).reason, side(&sides, &register[0]).seen), (Reason::CutOffBy, Some(true)));
    assert_eq!((side(&sides, &unseen[0]).by, side(&sides, &unseen[0]).seen), (Some(null.id), Some(false)));
    let erase = scene.act(&pen(1), 7, &[Action::Delete { erase: true }]);
    let sides = explain(&scene.node, "f", &two);
    assert_eq!((side(&sides, &two[0]).reason, side(&sides, &two[0]).by), (Reason::Erased, Some(erase[0].id)));
    assert_eq!(explain(&scene.node, "none", &two)[0].reason, Reason::NotInState);
}

#[test]
fn numbers_that_are_outdone_and_values_that_do_not_fit() {
    let mut scene = Scene::new("s");
    let low = scene.act(&pen(1), 1, &[wish(r#"{"@max":1}"#)]);
    let high = scene.act(&pen(2), 2, &[wish(r#"{"@max":2}"#)]);
    let mut draft = scene.plan(&pen(3), &[wish(r#"{"@max":3}"#)]).unwrap().remove(0);
    draft.value = Some(Value::from("3"));
    let odd = scene.sign(&pen(3), 3, vec![draft]);
    scene.join(&odd);
    let sides = explain(&scene.node, "f", &[]);
    assert_eq!((side(&sides, &low[0]).reason, side(&sides, &low[0]).by), (Reason::Outdone, Some(high[0].id)));
    assert_eq!(side(&sides, &odd[0]).reason, Reason::Ignored);
}
