//! The laws of the fold, with yrs documents as editors and with updates that no editor would write.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use proptest::{prelude::*, sample::Index};
use rustdht_core::{Body, CommitId, Entry, EntryId, Kind, PublicKey, Slot, Stamp, Value, Writer};
use yrs::{GetString as _, ReadTxn as _, Text as _, Transact as _, updates::decoder::Decode as _};

use super::{
    Applied, Document, Id, Ranges, StateVector, Update,
    document::blank,
    merge,
    payload::Payload,
    split, tree,
    update::{self, Item, Parent, Section, Struct},
};
use crate::Content;

/// One step of a history: which editor, what it does, where, and whom it hears first.
type Step = (usize, u8, u16, Option<usize>);

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0_usize..3, 0_u8..8, any::<u16>(), prop::option::weighted(0.3, 0_usize..3)), 1..most)
}

struct History {
    updates: Vec<Vec<u8>>,
    authors: Vec<usize>,
    shown: String,
}

fn history(steps: &[Step]) -> History {
    let editors: Vec<_> = (0..3).map(|at| blank(10 + at)).collect();
    let texts: Vec<_> = editors.iter().map(|doc| doc.get_or_insert_text("text")).collect();
    let mut history = History { updates: Vec::new(), authors: Vec::new(), shown: String::new() };
    let hear = |to: &yrs::Doc, from: &yrs::Doc| {
        let known = to.transact().state_vector();
        let update = from.transact().encode_diff_v1(&known);
        to.transact_mut().apply_update(yrs::Update::decode_v1(&update).unwrap()).unwrap();
    };
    for (who, what, at, other) in steps {
        if let Some(other) = other.filter(|other| other != who) {
            hear(&editors[*who], &editors[other]);
        }
        let mut txn = editors[*who].transact_mut();
        let text = &texts[*who];
        let len = text.len(&txn);
        let position = u32::from(*at) % (len + 1);
        match what {
            0 | 1 if len > 0 => text.remove_range(&mut txn, position.min(len - 1), 1),
            2 => text.insert(&mut txn, position, "\u{1f600}z"),
            3 => text.insert(&mut txn, position, "hello"),
            _ => text.insert(&mut txn, position, ["a", "b", "c"][*who]),
        }
        history.updates.push(txn.encode_update_v1());
        history.authors.push(*who);
    }
    for other in 1..3 {
        hear(&editors[0], &editors[other]);
    }
    history.shown = texts[0].get_string(&editors[0].transact());
    history
}

fn entry(number: usize, author: usize, stamp: u64, base: Option<u64>, update: &[u8]) -> Arc<Entry> {
    let author = PublicKey([u8::try_from(author).unwrap() + 1; 32]);
    // Ids in an order of their own, so that they do not follow the history.
    let id = *blake3::hash(&number.to_be_bytes()).as_bytes();
    Arc::new(Entry {
        id: EntryId(id),
        commit: CommitId(id),
        index: 0,
        soul: "s".parse().unwrap(),
        field: "f".parse().unwrap(),
        kind: Kind::listed(Kind::TEXT),
        slot: Slot::Own,
        stamp: Stamp(stamp),
        author,
        leaf: None,
        writer: Writer::new(&author, None),
        body: Body::Live { value: Value::Bytes(Bytes::copy_from_slice(update)), salt: None },
        kills: Vec::new(),
        over: Vec::new(),
        base: base.map(Stamp),
    })
}

/// Entries of a history with stamps that do not follow causality; some authors compact what they wrote.
fn entries(history: &History, stamps: &[u64], compacting: &[bool]) -> Vec<Arc<Entry>> {
    let mut entries = Vec::new();
    for (author, compacts) in compacting.iter().enumerate() {
        let own: Vec<usize> = (0..history.updates.len()).filter(|at| history.authors[*at] == author).collect();
        let stamp = |at: usize| stamps[at % stamps.len()] + at as u64 / 8;
        let (kept, replaced): (Vec<_>, Vec<_>) = own.into_iter().partition(|at| !*compacts || at % 4 == 3);
        entries.extend(kept.iter().map(|at| entry(*at, author, stamp(*at), None, &history.updates[*at])));
        if !replaced.is_empty() {
            let updates: Vec<_> = replaced.iter().map(|at| Update::decode(&history.updates[*at]).unwrap()).collect();
            let base = replaced.iter().map(|at| stamp(*at)).min();
            entries.push(entry(1000 + author, author, 5000, base, &merge(&updates).encode()));
        }
    }
    entries
}

fn text(document: &Document) -> String {
    match document.content("text") {
        Some(Content::Value(Value::Text(text))) => text.to_string(),
        other => panic!("a text shows a text, not {other:?}"),
    }
}

fn shuffled<T: Clone>(items: &[T], keys: &[u32]) -> Vec<T> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|at| (keys[at % keys.len()].rotate_left(u32::try_from(*at).unwrap()), *at));
    order.into_iter().map(|at| items[at].clone()).collect()
}

/// yrs holds what the index says, and nothing waits inside of it.
fn check(document: &Document) {
    let txn = document.yrs().transact();
    assert!(!txn.has_missing_updates(), "yrs never saw an update before what it depends on");
    let held = StateVector::decode(&yrs::updates::encoder::Encode::encode_v1(&txn.state_vector())).unwrap();
    assert_eq!(held, document.state_vector());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn any_order_shows_what_the_editors_see(
        steps in steps(40),
        stamps in prop::collection::vec(1_u64..20, 1..40),
        compacting in prop::collection::vec(any::<bool>(), 3),
        keys in prop::collection::vec(any::<u32>(), 1..40),
    ) {
        let history = history(&steps);
        let entries = entries(&history, &stamps, &compacting);
        for order in [entries.clone(), shuffled(&entries, &keys)] {
            let document = Document::of(&order);
            check(&document);
            prop_assert_eq!(text(&document), history.shown.clone());
            prop_assert!(document.unready().is_empty() && document.flagged().is_empty());
        }
        let mut open = Document::new();
        for (at, update) in shuffled(&history.updates, &keys).iter().enumerate() {
            open.apply(Update::decode(update).unwrap()).unwrap();
            if at % 5 == 0 {
                open = open.clone();
            }
        }
        check(&open);
        prop_assert_eq!(text(&open), history.shown.clone());
        prop_assert_eq!(open.waiting(), 0);
        let mut newcomer = Document::new();
        newcomer.apply(Update::decode(&open.diff(&StateVector::default())).unwrap()).unwrap();
        prop_assert_eq!(text(&newcomer), history.shown);
        prop_assert_eq!(newcomer.state_vector(), open.state_vector());
    }

    #[test]
    fn what_lacks_its_base_is_named_and_comes_with_it(
        steps in steps(30),
        lost in any::<Index>(),
        keys in prop::collection::vec(any::<u32>(), 1..30),
    ) {
        let history = history(&steps);
        let all = entries(&history, &[1], &[false; 3]);
        let lost = lost.index(all.len());
        let mut rest = all.clone();
        let missing = rest.remove(lost);
        let document = Document::of(&shuffled(&rest, &keys));
        check(&document);
        prop_assert_eq!(&text(&document), &text(&Document::of(&rest)));
        prop_assert_eq!(document.unready(), Document::of(&rest).unready());
        // Exactly those are named whose removal changes nothing.
        let taken: Vec<_> = rest.iter().filter(|entry| !document.unready().contains(&entry.id)).cloned().collect();
        prop_assert!(Document::of(&taken).unready().is_empty());
        prop_assert_eq!(&text(&Document::of(&taken)), &text(&document));
        let mut document = document;
        let Some(Value::Bytes(bytes)) = missing.body.value() else { unreachable!() };
        prop_assert_eq!(document.apply(Update::decode(bytes).unwrap()).unwrap(), Applied::Integrated);
        prop_assert!(document.unready().is_empty());
        prop_assert_eq!(text(&document), history.shown);
    }

    #[test]
    fn parts_are_small_and_together_the_whole(steps in steps(30), max in 120_usize..600) {
        let history = history(&steps);
        let updates: Vec<_> = history.updates.iter().map(|update| Update::decode(update).unwrap()).collect();
        let whole = merge(&updates);
        prop_assert_eq!(&Update::decode(&whole.encode()).unwrap(), &whole);
        let parts = split(&whole, max).unwrap();
        for part in &parts {
            let bytes = part.encode();
            prop_assert!(bytes.len() <= max, "{} bytes of {max}", bytes.len());
            prop_assert_eq!(&Update::decode(&bytes).unwrap(), part);
        }
        let again = merge(&parts);
        prop_assert_eq!(again.structs(), whole.structs());
        prop_assert_eq!(again.deletes(), whole.deletes());
        prop_assert!(again.contradictions(&whole).is_empty());
        let entries: Vec<_> = parts.iter().enumerate().map(|(at, part)| entry(at, 0, 1, None, &part.encode())).collect();
        prop_assert_eq!(text(&Document::of(&entries)), history.shown);
        prop_assert_eq!(merge([&whole, &whole]), whole.clone());
        prop_assert_eq!(split(&whole, 1 << 20).unwrap(), if whole.is_empty() { vec![] } else { vec![whole] });
    }

    #[test]
    fn two_contents_of_one_clock_are_alike_everywhere_and_flagged(
        steps in steps(24),
        forged in prop::collection::vec((any::<Index>(), 1_u64..20), 1..4),
        stamps in prop::collection::vec(1_u64..20, 1..24),
        keys in prop::collection::vec(any::<u32>(), 1..30),
    ) {
        let history = history(&steps);
        let mut all = entries(&history, &stamps, &[false; 3]);
        let honest = all.len();
        for (at, stamp) in &forged {
            let mut update = Update::decode(&history.updates[at.index(history.updates.len())]).unwrap();
            for item in update.sections.iter_mut().flat_map(|section| &mut section.structs) {
                if let update::Body::Item(Item { content: Payload::String(text), .. }) = &mut item.body {
                    *text = text.chars().map(|char| if char.len_utf16() == 1 { 'X' } else { '\u{1f4a9}' }).collect();
                }
            }
            all.push(entry(2000 + all.len(), 7, *stamp, None, &update.encode()));
        }
        let document = Document::of(&all);
        check(&document);
        let other = Document::of(&shuffled(&all, &keys));
        prop_assert_eq!(text(&document), text(&other));
        prop_assert_eq!(document.flagged(), other.flagged());
        prop_assert_eq!(document.disputed(), other.disputed());
        prop_assert!(document.unready().is_empty());
        // Exactly those are flagged for which another says something else.
        let updates: Vec<_> = all.iter().map(|entry| match entry.body.value() {
            Some(Value::Bytes(bytes)) => Update::decode(bytes).unwrap(),
            _ => unreachable!(),
        }).collect();
        for (at, update) in updates.iter().enumerate() {
            let other = updates.iter().any(|other| !update.contradictions(other).is_empty());
            prop_assert_eq!(document.flagged().contains(&all[at].id), other);
            prop_assert!(at < honest || other || update.structs().is_empty());
        }
    }
}

fn small_id() -> impl Strategy<Value = Id> {
    (1_u64..4, 0_u32..8).prop_map(|(client, clock)| Id::new(client, clock))
}

fn payload() -> impl Strategy<Value = Payload> {
    let any = |tree: tree::Tree| {
        let mut out = Vec::new();
        tree.write_any(&mut out);
        out.into_boxed_slice()
    };
    prop_oneof![
        (1_u32..4).prop_map(Payload::Deleted),
        Just(Payload::String("ab".into())),
        Just(Payload::String("\u{1f600}".into())),
        Just(Payload::Any(vec![any(tree::Tree::Int(1)), any(tree::Tree::from("x"))])),
        Just(Payload::Json(vec!["undefined".into(), "{\"a\":[1]}".into()])),
        Just(Payload::Binary([1, 2].into())),
        Just(Payload::Embed("{\"i\":1}".into())),
        Just(Payload::Format("b".into(), "true".into())),
        prop::sample::select(vec![0_u8, 1, 2, 3, 4, 6]).prop_map(Payload::nested),
    ]
}

/// Structs with small ids, so that they meet, contradict each other and form circles.
fn wild_update() -> impl Strategy<Value = Update> {
    let body = prop_oneof![
        1 => Just(None),
        9 => (prop::option::of(small_id()), prop::option::weighted(0.4, small_id()), prop_oneof![
            Just(Parent::Root("text".into())), Just(Parent::Root("list".into())), Just(Parent::Root("map".into())),
            small_id().prop_map(Parent::Item), small_id().prop_map(Parent::Item),
        ], prop::option::weighted(0.3, prop::sample::select(vec!["k", "l"])), payload()).prop_map(Some),
    ];
    let section = (0_u32..6, prop::collection::vec((prop::option::weighted(0.1, 1_u32..3), body), 1..4));
    let sections = prop::collection::btree_map(1_u64..4, section, 0..3);
    (sections, prop::collection::vec((small_id(), 1_u32..3), 0..3)).prop_map(|(sections, deletes)| {
        let mut update = Update::default();
        for (client, (start, structs)) in sections.into_iter().rev() {
            let mut clock = start;
            let mut made = Vec::new();
            for (gap, body) in structs {
                clock += gap.unwrap_or_default();
                let (len, body) = match body {
                    None => (2, update::Body::Gc),
                    Some((origin, right_origin, parent, sub, content)) => {
                        let bare = origin.is_none() && right_origin.is_none();
                        let item = Item {
                            origin,
                            right_origin,
                            parent: bare.then_some(parent),
                            keyed: sub.is_some(),
                            sub: sub.filter(|_| bare).map(Into::into),
                            content,
                        };
                        (u32::try_from(item.content.len()).unwrap(), update::Body::Item(item))
                    }
                };
                made.push(Struct { clock, len, body });
                clock += len;
            }
            update.sections.push(Section { client, structs: made });
        }
        for (id, len) in deletes {
            update.deletes.insert(id.client, id.clock, id.clock + len);
        }
        update
    })
}

type Shown = (Vec<Option<Content>>, BTreeSet<EntryId>, BTreeSet<EntryId>, Ranges);

fn all_of(document: &Document) -> Shown {
    let contents = ["text", "list", "map"].map(|kind| document.content(kind));
    (contents.to_vec(), document.unready(), document.flagged(), document.disputed().clone())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn updates_that_no_editor_writes_fold_alike_in_any_order(
        updates in prop::collection::vec((wild_update(), 1_u64..5), 1..14),
        keys in prop::collection::vec(any::<u32>(), 1..14),
    ) {
        let mut all = Vec::new();
        for (at, (update, stamp)) in updates.iter().enumerate() {
            let bytes = update.encode();
            prop_assert_eq!(&Update::decode(&bytes).unwrap(), update);
            // Of lists of old versions yrs 0.28 reads one text too many.
            let legacy = update.iter().any(|(_, item)|
                matches!(&item.body, update::Body::Item(Item { content: Payload::Json(_), .. })));
            prop_assert!(legacy || yrs::Update::decode_v1(&bytes).is_ok());
            all.push(entry(at, 0, *stamp, None, &bytes));
        }
        let document = Document::of(&all);
        check(&document);
        let other = Document::of(&shuffled(&all, &keys));
        prop_assert_eq!(all_of(&document), all_of(&other));
        let mut open = Document::new();
        for (update, _) in updates {
            open.apply(update).unwrap();
            check(&open);
        }
        let copy = open.clone();
        check(&copy);
        prop_assert_eq!(copy.content("list"), open.content("list"));
    }
}

/// splitmix64: a hundred thousand mutants in the same order each time.
fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
fn mutants_are_refused_or_read_alike_by_yrs() {
    let step = |what: u8, at: u64| {
        let steps: Vec<Step> = vec![(0, 3, 0, None), (1, what, 0, Some(0)), (2, 2, 0, Some(1))];
        history(&steps).updates[usize::try_from(at).unwrap() % 3].clone()
    };
    let seeds: Vec<Vec<u8>> = (0..9).map(|at| step(u8::try_from(at % 3).unwrap(), at)).collect();
    let mut state = 1;
    let mut accepted = 0;
    for round in 0..100_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=mix(&mut state) % 3 {
            let at = usize::try_from(mix(&mut state)).unwrap() % bytes.len();
            let value = mix(&mut state).to_le_bytes()[0];
            match mix(&mut state) % 3 {
                0 => bytes[at] = value,
                1 => bytes.insert(at, value),
                _ => bytes[at] ^= 1 << (value % 8),
            }
        }
        let Ok(update) = Update::decode(&bytes) else { continue };
        accepted += 1;
        assert_eq!(Update::decode(&update.encode()).as_ref(), Ok(&update));
        let legacy = update
            .iter()
            .any(|(_, item)| matches!(&item.body, update::Body::Item(Item { content: Payload::Json(_), .. })));
        assert!(legacy || yrs::Update::decode_v1(&bytes).is_ok(), "yrs refuses {bytes:?}");
        let mut document = Document::new();
        for update in [update, Update::decode(&seeds[round % seeds.len()]).unwrap()] {
            document.apply(update).unwrap();
        }
        check(&document);
    }
    assert!(accepted > 1000, "{accepted} mutants are updates");
}

#[test]
fn compactions_that_wait_for_each_other_are_integrated_as_one() {
    // Two editors in turn, each on top of the other; each compacts all of its own.
    let steps: Vec<Step> = (0..10).map(|at| (at % 2, 4, 0, Some((at + 1) % 2))).collect();
    let history = history(&steps);
    let all = entries(&history, &[1], &[true, true, false]);
    let early: Vec<_> = all.iter().filter(|entry| entry.base.is_some()).cloned().collect();
    assert_eq!(early.len(), 2);
    let document = Document::of(&early);
    check(&document);
    assert!(document.unready().is_empty() || early.len() < all.len());
    let document = Document::of(&all);
    assert!(document.unready().is_empty(), "{document:?}");
    assert_eq!(text(&document), history.shown);
    for entry in &early {
        let alone = Document::of([entry]);
        assert_eq!(alone.unready().into_iter().collect::<Vec<_>>(), [entry.id], "each waits for the other");
    }
}

/// Two updates that give (1, 0) to different letters.
fn two_letters() -> (Vec<u8>, Vec<u8>) {
    let letter = |text: &str| {
        let item = Item {
            origin: None,
            right_origin: None,
            parent: Some(Parent::Root("text".into())),
            sub: None,
            keyed: false,
            content: Payload::String(text.into()),
        };
        let structs = vec![Struct { clock: 0, len: 1, body: update::Body::Item(item) }];
        Update { sections: vec![Section { client: 1, structs }], deletes: Ranges::default() }.encode()
    };
    (letter("a"), letter("b"))
}

#[test]
fn of_two_contents_the_least_base_or_stamp_is_shown() {
    let (a, b) = two_letters();
    for (stamps, bases, shown) in
        [((5, 6), (None, None), "a"), ((6, 5), (None, None), "b"), ((5, 6), (None, Some(4)), "b")]
    {
        let entries = [entry(0, 0, stamps.0, bases.0, &a), entry(1, 1, stamps.1, bases.1, &b)];
        let document = Document::of(&entries);
        assert_eq!(text(&document), shown);
        assert_eq!(document.flagged(), entries.iter().map(|entry| entry.id).collect());
        let same = [entry(0, 0, 1, None, &a), entry(1, 1, 2, None, &a)];
        assert!(Document::of(&same).flagged().is_empty(), "equal structs under two authors");
    }
    let (a, b) = (Update::decode(&a).unwrap(), Update::decode(&b).unwrap());
    assert_eq!(merge([&a, &b]), a, "the earlier in the list gives the clock");
    assert_eq!(merge([&b, &a]), b);
}

#[test]
fn what_contradicts_the_lists_it_stands_in_is_left_out() {
    let item = |clock: u32, origin: Option<Id>, right_origin: Option<Id>, parent: Option<Parent>| Struct {
        clock,
        len: 1,
        body: update::Body::Item(Item {
            origin,
            right_origin,
            parent,
            sub: None,
            keyed: false,
            content: Payload::String("x".into()),
        }),
    };
    let root = |name: &str| Some(Parent::Root(name.into()));
    let update = |client: u64, structs: Vec<Struct>| Update {
        sections: vec![Section { client, structs }],
        deletes: Ranges::default(),
    };
    let base = update(1, vec![item(0, None, None, root("text")), item(1, None, None, root("other"))]);
    let id = |client: u64, clock: u32| Some(Id::new(client, clock));
    for wrong in [
        update(2, vec![item(0, id(1, 0), id(1, 1), None)]),
        update(2, vec![item(0, None, None, Some(Parent::Item(Id::new(1, 0))))]),
        update(2, vec![item(0, id(2, 0), None, None)]),
        update(2, vec![item(0, id(2, 1), None, None), item(1, id(2, 0), None, None)]),
    ] {
        let entries = [entry(0, 0, 1, None, &base.encode()), entry(1, 1, 2, None, &wrong.encode())];
        let document = Document::of(&entries);
        check(&document);
        assert_eq!(document.unready(), [entries[1].id].into(), "{wrong:?}");
        assert_eq!(text(&document), "x");
        assert_eq!(document.root_names(), ["other", "text"].into());
    }
}

#[test]
fn documents_go_from_thread_to_thread() {
    fn is_shared<T: Send + Sync>(_: &T) {}
    is_shared(&Document::new());
}
