//! Each kind, as people meet it.

use rustdht_core::{Code, MAX_KILLS, Slot, Soul, Stamp, Value};

use crate::{
    Action, Draft, Merge,
    fixtures::{Scene, pen, wish},
};

/// Wishes one after another, and what is shown after each.
fn wishes(steps: &[(&str, &str)]) {
    let mut scene = Scene::new("s");
    for ((json, shown), stamp) in steps.iter().zip(1..) {
        scene.act(&pen(1), stamp, &[wish(json)]);
        assert_eq!(scene.shown(), *shown, "{json}");
        if *shown != "absent" {
            assert_eq!(scene.plan(&pen(1), &[wish(json)]).map(|drafts| drafts.is_empty()), Ok(!json.starts_with('"')));
        }
    }
}

#[test]
fn wished_numbers_and_flags() {
    wishes(&[
        (r#"{"@counter":"12"}"#, r#"{"@counter":"12"}"#),
        (r#"{"@counter":-3}"#, r#"{"@counter":"-3"}"#),
        (r#"{"@max":5}"#, r#"{"@max":5}"#),
        (r#"{"@max":5.5}"#, r#"{"@max":5.5}"#),
        (r#"{"@max":5.0}"#, r#"{"@max":5.5}"#),
        (r#"{"@min":7}"#, r#"{"@min":7}"#),
        (r#"{"@min":-7.5}"#, r#"{"@min":-7.5}"#),
        (r#"{"@min":7}"#, r#"{"@min":-7.5}"#),
        (r#"{"@flag":true}"#, r#"{"@flag":true}"#),
        // Without the flag the kind before it is shown again.
        (r#"{"@flag":false}"#, r#"{"@min":-7.5}"#),
        ("null", "absent"),
        (r#"{"@flag":false}"#, "absent"),
        (r#"{"@counter":"0"}"#, r#"{"@counter":"0"}"#),
    ]);
}

#[test]
fn wrapped_values_turn_a_field_round() {
    wishes(&[
        (r#"{"@set":[1,2]}"#, r#"{"@set":[1,2]}"#),
        (r#""register""#, r#""register""#),
        (r#"{"@set":[2]}"#, r#"{"@set":[2]}"#),
        (r#""register""#, r#""register""#),
        (r#"{"@max":1}"#, r#"{"@max":1}"#),
        (r#"{"@counter":1}"#, r#"{"@counter":"1"}"#),
        (r#"{"@max":0}"#, r#"{"@max":1}"#),
        (r#"{"@counter":1}"#, r#"{"@counter":"1"}"#),
        // A write never converts: the empty set leaves what stands beside it.
        (r#"{"@set":[]}"#, r#"{"@counter":"1"}"#),
        ("null", "absent"),
        (r#"{"@set":[]}"#, "absent"),
    ]);
}

#[test]
fn what_a_kind_does_not_take_is_refused() {
    let scene = Scene::new("s");
    let one = pen(1);
    for (json, code) in [
        (r#"{"@set":1}"#, Code::BadValue),
        (r#"{"@set":[null]}"#, Code::BadValue),
        (r#"{"@set":[[1]]}"#, Code::BadValue),
        (r#"{"@counter":1.0}"#, Code::BadValue),
        (r#"{"@counter":"01"}"#, Code::BadValue),
        (r#"{"@counter":"+1"}"#, Code::BadValue),
        (r#"{"@counter":"9223372036854775808"}"#, Code::OutOfRange),
        (r#"{"@counter":"-170141183460469231731687303715884105728"}"#, Code::OutOfRange),
        (r#"{"@max":"1"}"#, Code::BadValue),
        (r#"{"@min":[1]}"#, Code::BadValue),
        (r#"{"@flag":1}"#, Code::BadValue),
        (r#"{"@register":1}"#, Code::BadValue),
        (r#"{"@null":null}"#, Code::BadValue),
        (r#"{"@kill":"erase"}"#, Code::BadValue),
        (r#"{"@hologram":1}"#, Code::BadValue),
    ] {
        assert_eq!(scene.plan(&one, &[wish(json)]), Err(code), "{json}");
    }
    assert_eq!(scene.plan(&one, &[Action::Add(Value::Null)]), Err(Code::BadValue));
    let kind = "set".parse().unwrap();
    let insert = Action::Insert { kind, index: 0, value: Value::Int(1).into() };
    assert_eq!(scene.plan(&one, &[insert]), Err(Code::BadValue));
}

#[test]
fn a_running_total_is_64_bits_and_the_sum_is_exact() {
    let mut scene = Scene::new("s");
    scene.act(&pen(1), 1, &[Action::Increment(i64::MAX)]);
    assert_eq!(scene.plan(&pen(1), &[Action::Increment(1)]), Err(Code::OutOfRange));
    scene.act(&pen(2), 2, &[Action::Increment(i64::MAX)]);
    scene.act(&pen(3), 3, &[Action::Increment(3)]);
    assert_eq!(scene.shown(), r#"{"@counter":"18446744073709551617"}"#);
    scene.act(&pen(3), 4, &[wish(r#"{"@counter":"18446744073709551610"}"#)]);
    assert_eq!(scene.shown(), r#"{"@counter":"18446744073709551610"}"#);
}

#[test]
fn values_of_another_type_do_not_count() {
    let mut scene = Scene::new("s");
    scene.act(&pen(1), 1, &[Action::Increment(2)]);
    for (kind, value) in [("counter", Value::Float(5.0)), ("flag", Value::Bool(false)), ("max", Value::from("9"))] {
        let mut draft = scene.plan(&pen(2), &[Action::Increment(7)]).unwrap().remove(0);
        draft.kind = kind.parse().unwrap();
        draft.value = Some(value);
        let entries = scene.sign(&pen(2), 9, vec![draft]);
        assert_eq!(scene.join(&entries), [Merge::Taken]);
        assert_eq!(scene.shown(), r#"{"@counter":"2"}"#);
    }
}

#[test]
fn a_total_begins_at_0_after_a_deletion() {
    let mut scene = Scene::new("s");
    scene.act(&pen(1), 1, &[Action::Increment(5)]);
    scene.act(&pen(2), 2, &[Action::Increment(6)]);
    scene.act(&pen(2), 3, &[Action::Delete { erase: false }]);
    assert_eq!(scene.shown(), "absent");
    scene.act(&pen(1), 4, &[Action::Increment(1)]);
    assert_eq!(scene.shown(), r#"{"@counter":"1"}"#);
}

#[test]
fn one_commit_changes_one_total_several_times() {
    let mut scene = Scene::new("s");
    let drafts = scene.plan(&pen(1), &[Action::Increment(2), Action::Increment(3), wish(r#"{"@counter":4}"#)]).unwrap();
    assert_eq!(drafts.iter().map(|draft| draft.value.clone()).collect::<Vec<_>>(), [Some(Value::Int(4))]);
    let mut drafts = Vec::new();
    let first = crate::plan(&scene.node, &pen(1), &scene.field, &Action::Add(Value::Int(1)), &mut drafts);
    let second = crate::plan(&scene.node, &pen(1), &scene.field, &Action::Increment(2), &mut drafts);
    let third = crate::plan(&scene.node, &pen(1), &scene.field, &Action::Increment(3), &mut drafts);
    assert_eq!([first, second, third], [Ok(Some(0)), Ok(Some(1)), Ok(Some(1))]);
    scene.act(&pen(1), 1, &[wish(r#"{"@max":3}"#), wish(r#"{"@max":4}"#), wish(r#"{"@max":2}"#)]);
    assert_eq!(scene.shown(), r#"{"@max":4}"#);
}

#[test]
fn one_commit_deletes_a_field_and_fills_it_anew() {
    for (action, shown) in [
        (Action::Increment(1), r#"{"@counter":"1"}"#),
        (wish(r#"{"@set":[1]}"#), r#"{"@set":[1]}"#),
        (Action::Enable, r#"{"@flag":true}"#),
        (wish(r#"{"@max":1}"#), r#"{"@max":1}"#),
        (wish("true"), "true"),
    ] {
        let mut scene = Scene::new("s");
        scene.act(&pen(1), 1, &[wish(r#"{"@set":[1,2]}"#), wish(r#"{"@max":9}"#), Action::Increment(5)]);
        scene.act(&pen(1), 2, &[Action::Enable]);
        scene.act(&pen(1), 3, &[Action::Delete { erase: false }, action]);
        assert_eq!(scene.shown(), shown);
    }
    // GUN's ties: below the deletion's null stand texts, numbers and false.
    let scene = Scene::new("s");
    for json in ["\"x\"", "1", "false"] {
        let planned = scene.plan(&pen(1), &[Action::Delete { erase: false }, wish(json)]);
        assert_eq!(planned, Err(Code::DuplicateOperation), "{json}");
    }
}

#[test]
fn enable_wins_and_disable_takes_what_it_saw() {
    let mut scene = Scene::new("s");
    let seen = scene.act(&pen(1), 1, &[Action::Enable]);
    let drafts = scene.plan(&pen(2), &[Action::Enable]).unwrap();
    assert_eq!(drafts[0].kills, [seen[0].id], "an enable always makes an entry, and kills those before it");
    let unseen = scene.sign(&pen(2), 3, drafts);
    let disable = scene.act(&pen(1), 2, &[Action::Disable]);
    assert_eq!((disable.len(), scene.shown()), (1, "absent".to_owned()));
    assert_eq!(scene.plan(&pen(1), &[Action::Disable]), Ok(vec![]));
    scene.join(&unseen);
    assert_eq!(scene.shown(), r#"{"@flag":true}"#);
}

#[test]
fn many_kills_are_several_operations() {
    let mut scene = Scene::new("s");
    let draft = scene.plan(&pen(1), &[Action::Add(Value::Int(1))]).unwrap().remove(0);
    for stamp in 1..=MAX_KILLS as u64 + 2 {
        let entry = scene.sign(&pen(1), stamp, vec![draft.clone()]);
        scene.join(&entry);
    }
    for (action, value) in [(Action::Add(Value::Int(1)), true), (Action::Remove(Value::Int(1)), false)] {
        let drafts = scene.plan(&pen(1), &[action]).unwrap();
        let kills: Vec<usize> = drafts.iter().map(|draft| draft.kills.len()).collect();
        assert_eq!(kills, [MAX_KILLS, 2]);
        assert_eq!(drafts.iter().map(|draft| draft.value.is_some()).collect::<Vec<_>>(), [value, false]);
    }
    let deletion = scene.plan(&pen(1), &[Action::Delete { erase: true }]).unwrap();
    let shape = |draft: &Draft| (draft.kind.to_string(), draft.kills.len(), draft.value.clone());
    let shapes: Vec<_> = deletion.iter().map(shape).collect();
    let erase = Some(Value::from("erase"));
    let named = |kind: &str, kills, value| (kind.to_owned(), kills, value);
    assert_eq!(
        shapes,
        [
            named("kill", MAX_KILLS, None),
            named("kill", 2, None),
            named("kill", 0, erase),
            named("null", 0, Some(Value::Null))
        ]
    );
    assert_eq!(deletion[3].after.0, MAX_KILLS as u64 + 2);
}

#[test]
fn imports_take_nothing_away() {
    let mut scene = Scene::new("s");
    scene.act(&pen(1), 1, &[wish(r#"{"@set":[1,2]}"#)]);
    scene.act(&pen(1), 2, &[Action::Enable]);
    let import = |scene: &Scene, json: &str| {
        let Action::Set(wanted) = wish(json) else { unreachable!() };
        crate::write(&scene.node, &pen(1), &scene.field, &wanted, true).unwrap().len()
    };
    for (json, operations) in [
        (r#"{"@set":[2]}"#, 0),
        (r#"{"@set":[2,3]}"#, 1),
        (r#"{"@flag":false}"#, 0),
        (r#"{"@flag":true}"#, 0),
        (r#"{"@max":1}"#, 1),
        (r#"{"@counter":"0"}"#, 1),
    ] {
        assert_eq!(import(&scene, json), operations, "{json}");
    }
}

#[test]
fn slots_of_totals_are_their_writers() {
    let owner = pen(1);
    for (soul, head) in
        [("s".to_owned(), &owner.author.0[..]), (Soul::of_key(owner.author).to_string(), &owner.writer().0)]
    {
        let scene = Scene::new(&soul);
        let slot = Slot::Explicit([head, &owner.session.0].concat().into());
        for action in [Action::Increment(1), wish(r#"{"@max":1}"#), wish(r#"{"@min":1}"#)] {
            assert_eq!(scene.plan(&owner, &[action]).unwrap()[0].slot, slot);
        }
    }
}

#[test]
fn a_compaction_is_as_old_as_the_oldest_that_it_compacts() {
    for (base, counted) in [(Some(2), 0), (Some(3), 1), (None, 1)] {
        let mut scene = Scene::new("s");
        let mut draft = scene.plan(&pen(1), &[Action::Add(Value::Bytes(vec![0].into()))]).unwrap().remove(0);
        draft.kind = "text".parse().unwrap();
        draft.base = base.map(Stamp);
        let deletion = scene.plan(&pen(1), &[Action::Delete { erase: false }]).unwrap();
        let entries = [scene.sign(&pen(1), 5, vec![draft]), scene.sign(&pen(1), 3, deletion)].concat();
        scene.join(&entries);
        assert_eq!(scene.node.field("f").unwrap().counted().count(), counted, "{base:?}");
    }
}

#[test]
fn what_is_not_ready_does_not_turn_a_field_round() {
    let insert = |index, text: &str| {
        let value = crate::Content::Value(Value::from(text));
        Action::Insert { kind: "text".parse().unwrap(), index, value }
    };
    let other = |commits: usize| {
        // Ids count commits.
        let mut scene = Scene::new("s");
        (0..commits).for_each(|_| drop(scene.sign(&pen(9), 1, Vec::new())));
        scene
    };
    let mut elsewhere = other(10);
    let base = elsewhere.act(&pen(2), 5, &[insert(0, "one")]);
    let more = elsewhere.act(&pen(3), 6, &[insert(3, " two")]);
    let mut scene = Scene::new("s");
    scene.act(&pen(1), 3, &[Action::Increment(2)]);
    scene.act(&pen(1), 4, &[wish("\"plain\"")]);
    // Its base is missing: the text has nothing to show.
    scene.join(&more);
    assert_eq!(scene.shown(), "\"plain\"");
    let sides = crate::explain(&scene.node, "f", &[]);
    let reason = |id| sides.iter().find(|side| side.entry.id == id).unwrap().reason;
    assert_eq!(reason(more[0].id), crate::Reason::NotReady);
    // With something else to show the text wins, if that is later than what is ready of the others.
    let mut early = other(20);
    let text = early.act(&pen(4), 2, &[insert(0, "early")]);
    scene.join(&text);
    assert_eq!(scene.shown(), "\"plain\"");
    scene.join(&base);
    assert!(scene.shown().contains("one two"), "{}", scene.shown());
    // Alone it shows nothing, as before.
    let mut alone = Scene::new("s");
    alone.join(&more);
    assert_eq!(alone.shown(), "absent");
}
