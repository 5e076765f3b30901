//! Texts, lists and maps as people write them: operations become entries, entries a view.

use std::sync::Arc;

use rustdht_core::{
    Body, Code, CommitId, Entry, EntryId, Field, Kind, PublicKey, Session, Slot, Stamp, Value, json::Ints,
};

use super::{COMPACT_AT, Document, MAX_ENTRY_BYTES, Ranges, Update, compact, hidden};
use crate::{Action, Content, Draft, NodeState, Pen, plan, render};

struct Story {
    node: NodeState,
    pen: Pen,
    time: u64,
}

fn field() -> Field {
    "f".parse().unwrap()
}

fn content(text: &str) -> Content {
    Content::read(&serde_json::from_str::<Box<serde_json::value::RawValue>>(text).unwrap()).unwrap()
}

impl Story {
    fn new(author: u8) -> Self {
        let pen = Pen::new(PublicKey([author; 32]), Session([1; 8]), None);
        Self { node: NodeState::new("s".parse().unwrap()), pen, time: 10 }
    }

    fn plan(&self, action: &Action) -> Result<Vec<Draft>, Code> {
        let mut drafts = Vec::new();
        plan(&self.node, &self.pen, &field(), action, &mut drafts).map_err(|refusal| refusal.code)?;
        Ok(drafts)
    }

    fn sign(&mut self, drafts: Vec<Draft>) -> Vec<Arc<Entry>> {
        self.time += 1;
        let mut made = Vec::new();
        for draft in drafts {
            let name = format!("{}/{:?}/{}", self.time, self.pen.author, made.len());
            let id = *blake3::hash(name.as_bytes()).as_bytes();
            let entry = Arc::new(Entry {
                id: EntryId(id),
                commit: CommitId(id),
                index: 0,
                soul: draft.soul,
                field: draft.field,
                kind: draft.kind,
                slot: draft.slot,
                stamp: Stamp(self.time.max(draft.after.0 + 1)),
                author: self.pen.author,
                leaf: None,
                writer: self.pen.writer(),
                body: draft.value.map_or(Body::None, |value| Body::Live { value, salt: None }),
                kills: draft.kills,
                over: draft.over,
                base: draft.base,
            });
            self.node.join(Arc::clone(&entry));
            made.push(entry);
        }
        made
    }

    fn act(&mut self, action: &Action) -> Vec<Arc<Entry>> {
        let drafts = self.plan(action).unwrap();
        self.sign(drafts)
    }

    fn shown(&self) -> String {
        let mut out = String::new();
        render::write_data(&mut out, &self.node, Ints::Numbers);
        out
    }
}

fn kind(name: &str) -> Kind {
    name.parse().unwrap()
}

fn splice(of: &str, index: u64, delete: u64, value: Option<&str>) -> Action {
    Action::Splice { kind: kind(of), index, delete, value: value.map(content) }
}

fn wish(text: &str) -> Action {
    Action::Set(crate::read_wanted(&serde_json::from_str::<Box<serde_json::value::RawValue>>(text).unwrap()).unwrap())
}

#[test]
fn a_text_is_spliced_by_utf16_units() {
    let mut story = Story::new(1);
    story.act(&Action::Insert { kind: kind("text"), index: 0, value: content("\"a\u{1f600}b\"") });
    story.act(&splice("text", 3, 1, Some("\"c\"")));
    assert_eq!(story.shown(), "{\"f\":{\"@text\":\"a\u{1f600}c\"}}");
    for (index, delete, code) in
        [(5, 0, Code::OutOfRange), (1, 9, Code::OutOfRange), (2, 0, Code::BadValue), (0, 2, Code::BadValue)]
    {
        assert_eq!(story.plan(&splice("text", index, delete, Some("\"x\""))), Err(code), "{index} {delete}");
    }
    assert_eq!(story.plan(&splice("text", 0, u64::MAX, None)), Err(Code::OutOfRange));
    assert_eq!(story.plan(&splice("text", 1, 0, None)), Ok(vec![]), "nothing changes");
    assert_eq!(story.plan(&splice("text", 0, 0, Some("[1]"))), Err(Code::BadValue));
}

#[test]
fn a_wish_touches_little_and_repeating_it_nothing() {
    let mut story = Story::new(1);
    story.act(&wish("{\"@text\":\"the quick brown fox\"}"));
    let entries = story.act(&wish("{\"@text\":\"the slow brown foxes\"}"));
    let Some(Value::Bytes(bytes)) = entries[0].body.value() else { panic!("an update") };
    let brought: u32 = Update::decode(bytes).unwrap().structs().iter().map(|(_, start, end)| end - start).sum();
    assert!(brought <= 6, "{brought} characters come for 'slow' and 'es'");
    assert_eq!(story.shown(), "{\"f\":{\"@text\":\"the slow brown foxes\"}}");
    assert_eq!(story.plan(&wish("{\"@text\":\"the slow brown foxes\"}")), Ok(vec![]));
    let mut empty = Story::new(1);
    empty.act(&wish("{\"@text\":\"\"}"));
    assert_eq!(empty.shown(), "{\"f\":{\"@text\":\"\"}}", "a text may be empty");
}

#[test]
fn lists_and_maps() {
    let mut story = Story::new(1);
    assert_eq!(story.plan(&wish("{\"@list\":[]}")), Ok(vec![]), "an empty list is absent");
    story.act(&wish("{\"@list\":[1,{\"a\":[null,1.5]},\"x\"]}"));
    story.act(&splice("list", 1, 1, Some("[2,{\"#\":\"soul\"}]")));
    story.act(&Action::Insert { kind: kind("list"), index: 0, value: content("{\"/\":{\"bytes\":\"AQI\"}}") });
    assert_eq!(story.shown(), "{\"f\":{\"@list\":[{\"/\":{\"bytes\":\"AQI\"}},1,2,{\"#\":\"soul\"},\"x\"]}}");
    assert_eq!(story.plan(&splice("list", 6, 0, Some("[1]"))), Err(Code::OutOfRange));
    assert_eq!(story.plan(&splice("list", 0, 0, Some("[9007199254740993]"))), Err(Code::BadValue));
    story.act(&wish("{\"@list\":[]}"));
    assert_eq!(story.shown(), "{}");

    let mut story = Story::new(1);
    story.act(&wish("{\"@map\":{\"b\":1,\"a\":{\"x\":true}}}"));
    story.act(&Action::SetKey { kind: kind("map"), key: "c".into(), value: content("9007199254740992") });
    story.act(&Action::RemoveKey { kind: kind("map"), key: "b".into() });
    assert_eq!(story.shown(), "{\"f\":{\"@map\":{\"a\":{\"x\":true},\"c\":9007199254740992}}}");
    assert_eq!(story.plan(&Action::RemoveKey { kind: kind("map"), key: "b".into() }), Ok(vec![]), "it is not there");
    assert_eq!(story.plan(&wish("{\"@map\":{\"c\":9007199254740992,\"a\":{\"x\":true}}}")), Ok(vec![]));
}

#[test]
fn what_is_longer_than_an_entry_is_cut() {
    let mut story = Story::new(1);
    let long = "\u{1f600}ab".repeat(40_000);
    let entries = story.act(&wish(&format!("{{\"@text\":\"{long}\"}}")));
    assert!(entries.len() > 3);
    for entry in &entries {
        assert!(matches!(entry.body.value(), Some(Value::Bytes(bytes)) if bytes.len() <= MAX_ENTRY_BYTES));
    }
    assert_eq!(story.shown(), format!("{{\"f\":{{\"@text\":\"{long}\"}}}}"));
    let bytes = "A".repeat(90_000);
    assert_eq!(
        story.plan(&splice("list", 0, 0, Some(&format!("[\"{bytes}\"]")))),
        Err(Code::TooLarge),
        "one value that cannot be cut"
    );
}

#[test]
fn clocks_are_never_used_twice() {
    let mut story = Story::new(1);
    let mut brought = Ranges::default();
    let mut fresh = |entries: &[Arc<Entry>]| {
        for entry in entries {
            let Some(Value::Bytes(bytes)) = entry.body.value() else { continue };
            let structs = Update::decode(bytes).unwrap().structs();
            assert!(!brought.meets(&structs), "{structs:?}");
            brought.extend(&structs);
        }
    };
    fresh(&story.act(&wish("{\"@text\":\"one\"}")));
    fresh(&story.act(&wish("{\"@text\":\"one two\"}")));
    // Several edits in one commit.
    let mut drafts = Vec::new();
    for (index, text) in [(0, "\"a\""), (1, "\"b\"")] {
        plan(&story.node, &story.pen, &field(), &splice("text", index, 0, Some(text)), &mut drafts).unwrap();
    }
    fresh(&story.sign(drafts));
    assert_eq!(story.shown(), "{\"f\":{\"@text\":\"abone two\"}}");
    story.act(&Action::Delete { erase: false });
    fresh(&story.act(&wish("{\"@text\":\"anew\"}")));
    // A deletion and a new text in one commit.
    let mut drafts = Vec::new();
    for action in [Action::Delete { erase: false }, wish("{\"@text\":\"again\"}")] {
        plan(&story.node, &story.pen, &field(), &action, &mut drafts).unwrap();
    }
    fresh(&story.sign(drafts));
    assert_eq!(story.shown(), "{\"f\":{\"@text\":\"again\"}}");
}

#[test]
fn a_compaction_replaces_own_updates_and_shows_the_same() {
    let mut story = Story::new(1);
    let mut other = Story::new(2);
    let text = kind("text");
    let due = |story: &Story, at_least| compact(story.node.field("f").unwrap(), &text, &story.pen, at_least);
    for at in 0..COMPACT_AT as u64 {
        let (writer, reader) = if at % 8 == 7 { (&mut other, &mut story) } else { (&mut story, &mut other) };
        let entries = writer.act(&splice("text", at, 0, Some("\"x\"")));
        writer.time += 1;
        reader.time = writer.time;
        entries.iter().for_each(|entry| drop(reader.node.join(Arc::clone(entry))));
    }
    assert_eq!(due(&story, COMPACT_AT), None, "not enough of its own");
    let shown = story.shown();
    let draft = due(&story, 8).unwrap();
    assert_eq!((draft.kills.len(), draft.base), (56, Some(Stamp(11))));
    let compaction = story.sign(vec![draft]);
    assert_eq!(story.shown(), shown);
    assert_eq!(story.node.field("f").unwrap().visible().count(), 9);
    assert!(Document::of(story.node.field("f").unwrap().visible()).flagged().is_empty());
    let theirs = due(&other, 8).unwrap();
    other.sign(vec![theirs]);
    other.node.join(Arc::clone(&compaction[0]));
    assert_eq!(other.shown(), shown, "the two wait for each other");
}

#[test]
fn what_a_field_lost_is_known_by_its_clocks() {
    let mut story = Story::new(1);
    let text = kind("text");
    let first = story.act(&wish("{\"@text\":\"gone\"}"));
    let nothing = hidden(story.node.field("f"), &text, &Ranges::default(), &[]);
    assert!(nothing.is_empty());
    story.act(&Action::Delete { erase: true });
    let lost = hidden(story.node.field("f"), &text, &nothing, &first);
    let Some(Value::Bytes(bytes)) = first[0].body.value() else { panic!("an update") };
    let update = Update::decode(bytes).unwrap();
    assert_eq!(lost, update.structs());
    assert_eq!(Ranges::decode(&lost.encode()), Ok(lost.clone()));
    let mut editor = Document::new();
    assert!(!lost.named_by(&editor.state_vector()));
    editor.apply(update).unwrap();
    assert!(lost.named_by(&editor.state_vector()));
    story.act(&wish("{\"@text\":\"anew\"}"));
    assert_eq!(hidden(story.node.field("f"), &text, &lost, &[]), lost, "it is remembered");
}

#[test]
fn an_update_that_is_never_ready_is_ignored() {
    let mut story = Story::new(1);
    let mut other = Story::new(2);
    let base = story.act(&wish("{\"@text\":\"base\"}"));
    base.iter().for_each(|entry| drop(other.node.join(Arc::clone(entry))));
    let upon = other.act(&splice("text", 4, 0, Some("\" more\"")));
    let mut alone = NodeState::new("s".parse().unwrap());
    upon.iter().for_each(|entry| drop(alone.join(Arc::clone(entry))));
    assert_eq!(alone.view("f"), None);
    assert!(matches!(upon[0].slot, Slot::Own));
    base.iter().for_each(|entry| drop(alone.join(Arc::clone(entry))));
    assert!(alone.view("f").is_some());
}

#[test]
fn what_cannot_be_split_is_taken_up_to_the_last_byte() {
    let made = |client: u64, size: usize| {
        use yrs::{Array as _, ReadTxn as _, Transact as _};
        let doc = super::document::blank(client);
        let list = doc.get_or_insert_array("list");
        list.insert(&mut doc.transact_mut(), 0, yrs::Any::Buffer(vec![7; size].into()));
        Update::decode(&doc.transact().encode_state_as_update_v1(&yrs::StateVector::default())).unwrap()
    };
    for size in [1, 300, 65_000] {
        let whole = made(5, size);
        let most = whole.encode().len();
        assert_eq!(super::split(&whole, most), Ok(vec![whole.clone()]));
        assert!(super::split(&whole, most - 1).is_err());
        // Beside others too.
        let together = super::merge([&whole, &made(9, 1), &made(3, 1)]);
        let parts = super::split(&together, most.max(120)).unwrap();
        assert!(parts.iter().all(|part| part.encode().len() <= most.max(120)));
        assert_eq!(super::merge(&parts), together);
    }
}

#[test]
fn operations_one_behind_the_other_see_what_the_view_shows() {
    // Two replicas, several operations to a commit, deletions between: what is remembered of the fold must not show.
    let (mut ada, mut bob, mut other) = (Story::new(1), Story::new(2), Story::new(3));
    other.act(&wish("{\"@text\":\"something else in a field of the same name\"}"));
    let mut random = 7_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below.max(1)
    };
    let mut text = String::new();
    for round in 0..60 {
        let (here, there) = if round % 7 < 5 { (&mut ada, &mut bob) } else { (&mut bob, &mut ada) };
        let mut drafts = Vec::new();
        for _ in 0..next(6) + 1 {
            let len = text.len() as u64;
            let at = next(len + 1);
            let action = if next(4) == 0 && at < len {
                text.remove(at as usize);
                splice("text", at, 1, None)
            } else {
                text.insert(at as usize, (b'a' + (round % 26) as u8) as char);
                splice("text", at, 0, Some(&format!("\"{}\"", (b'a' + (round % 26) as u8) as char)))
            };
            plan(&here.node, &here.pen, &field(), &action, &mut drafts).unwrap();
        }
        if round % 20 == 19 {
            let erased = Action::Delete { erase: round % 40 == 19 };
            plan(&here.node, &here.pen, &field(), &erased, &mut drafts).unwrap();
            text.clear();
        }
        here.time = here.time.max(there.time);
        for entry in here.sign(drafts) {
            there.node.join(entry);
        }
        let shown = if round % 20 == 19 { "{}".to_owned() } else { format!("{{\"f\":{{\"@text\":\"{text}\"}}}}") };
        assert_eq!((here.shown(), there.shown()), (shown.clone(), shown), "{round}");
    }
}
