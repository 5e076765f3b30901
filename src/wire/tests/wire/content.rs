//! Content commits: one for each CID, unsigned, judged whole.

use proptest::prelude::*;
use rustdht_core::{Code, EntryId, Field, UNSIGNED, Value, cbor, json};
use rustdht_wire::{
    Built, Error, Extras, Place, check, content_commit, content_soul, envelope_of, envelopes_of,
    limits::MAX_ENVELOPE_BYTES, verify_batch,
};
use sha2::{Digest, Sha256};

use crate::forge::*;

const PLACES: [Place; 2] = [Place::Door, Place::Replica];

/// `#` and the CID of a map of raw parts, from the text of the specification.
pub(crate) fn soul_of(content: &Map) -> String {
    let digest = Sha256::digest(content.encode());
    let cid = [&[0x01, 0x71, 0x12, 0x20][..], &digest].concat();
    format!("#b{}", data_encoding::BASE32_NOPAD.encode(&cid).to_ascii_lowercase())
}

/// The operations of content on a soul.
pub(crate) fn operations(soul: &str, content: &Map) -> Vec<Map> {
    let op = |(field, raw): &(String, Vec<u8>)| {
        Map::default()
            .with("s", text(soul))
            .with("f", text(field))
            .with("k", text("register"))
            .with("t", bytes(&[]))
            .with("v", raw.clone())
    };
    content.entries().iter().map(op).collect()
}

pub(crate) fn draft_of(ops: Vec<Map>) -> Draft {
    Draft::new(ops).head("author", bytes(&[0; 32])).head("session", bytes(&[0; 8])).head("stamp", uint(0))
}

pub(crate) fn sample() -> Map {
    Map::default()
        .with("name", text("Ada"))
        .with("b", Value::Float(1.0).to_cbor())
        .with("a", uint(1))
        .with("link", Value::Link("people/bob".parse().unwrap()).to_cbor())
}

pub(crate) fn unsigned(draft: &Draft) -> Map {
    draft.complete().without("g")
}

fn sample_draft() -> Draft {
    draft_of(operations(&soul_of(&sample()), &sample()))
}

fn refused(envelope: &Map, code: &str, field: &str) {
    for place in PLACES {
        let found = verdict(&envelope.encode(), place, &rules(), 0);
        assert_eq!(found, (code.to_owned(), field.to_owned()));
    }
}

#[test]
fn content_is_what_its_cid_says() {
    let draft = sample_draft();
    for place in PLACES {
        let verified = admit(&unsigned(&draft).encode(), place).unwrap();
        assert_eq!(verified.entries.len(), 4);
        assert!(verified.commit.signature.is_empty());
        let fields: Vec<_> =
            verified.entries.iter().map(|(_, entry)| entry.as_ref().unwrap().field.to_string()).collect();
        assert_eq!(fields, ["a", "b", "link", "name"]);
        for (index, entry) in &verified.entries {
            let entry = entry.as_ref().unwrap();
            assert_eq!((entry.author, entry.stamp.0, entry.leaf), (UNSIGNED, 0, None));
            assert_eq!(entry.id, EntryId::of(&verified.commit.id, *index));
            assert_eq!(entry.index_seconds(), u32::MAX);
        }
    }
    // What another implementation of the text makes is what is made here.
    let built = build(&sample()).unwrap();
    assert_eq!(built.envelope, unsigned(&draft).encode());
    assert_eq!(built.entries[0].soul.to_string(), soul_of(&sample()));
}

fn fields(content: &Map) -> Vec<(Field, Value)> {
    content.entries().iter().map(|(field, raw)| (field.parse().unwrap(), Value::from_cbor(raw).unwrap())).collect()
}

fn build(content: &Map) -> Result<Built, rustdht_core::Refusal> {
    let fields = fields(content);
    content_commit(NET, &content_soul(&fields)?, fields)
}

/// What anything but the one commit of some content is refused for: name, envelope, code, field.
pub(crate) fn spoiled() -> Vec<(&'static str, Map, &'static str, &'static str)> {
    let soul = soul_of(&sample());
    let ops = operations(&soul, &sample());
    let head = |key: &str, raw: Vec<u8>| unsigned(&sample_draft().head(key, raw));
    let at = |index: usize, change: &dyn Fn(Map) -> Map| {
        let mut ops = ops.clone();
        ops[index] = change(ops[index].clone());
        unsigned(&draft_of(ops))
    };
    let with = |index: usize, key: &'static str, raw: Vec<u8>| at(index, &|op| op.with(key, raw.clone()));
    let draft = sample_draft();
    let paper = Paper::new(COMMUNITY, 30);
    let some: Vec<(u64, Map)> = (0..3).map(|at| (at, draft.ops[at as usize].clone())).collect();
    let mut swapped = ops.clone();
    swapped.swap(0, 1);
    vec![
        ("a content commit with a session", head("session", bytes(&[1; 8])), "immutable", "h.session"),
        (
            "a second content commit",
            head("seq", uint(1)).clone().with("h", {
                let header = sample_draft().head("seq", uint(1)).head("prev", bytes(&[1; 32])).header;
                bytes(&header.encode())
            }),
            "immutable",
            "h.seq",
        ),
        ("a content commit with a stamp", head("stamp", uint(1)), "immutable", "h.stamp"),
        ("a content commit under a certificate", head("auth", list(&[paper.cid()])), "immutable", "h.auth"),
        ("a content commit with a signature", draft.complete(), "immutable", "g"),
        ("a content commit with a certificate", unsigned(&draft).with("c", carried(&[&paper])), "immutable", "c"),
        (
            "an endorsed content commit",
            unsigned(&draft).with("e", list(&[draft.endorsed(30, &paper)])),
            "immutable",
            "e",
        ),
        ("another value under the CID", with(0, "v", uint(2)), "bad_soul", "ops.0.s"),
        (
            "a field more than the CID names",
            {
                let more = sample().with("zz", uint(1));
                unsigned(&draft_of(operations(&soul, &more)))
            },
            "bad_soul",
            "ops.0.s",
        ),
        (
            "null as content",
            {
                let content = sample().with("a", vec![0xf6]);
                unsigned(&draft_of(operations(&soul_of(&content), &content)))
            },
            "bad_value",
            "ops.0.v",
        ),
        ("content of two souls", with(1, "s", text(&soul_of(&Map::default()))), "immutable", "ops.1.s"),
        ("content of another kind", at(1, &|op| op.with("k", text("max"))), "immutable", "ops.1.k"),
        ("content without a slot", at(1, &|op| op.without("t")), "immutable", "ops.1.t"),
        ("content with a slot", with(1, "t", bytes(&[1])), "immutable", "ops.1.t"),
        ("salted content", with(1, "r", bytes(&SALT)), "immutable", "ops.1.r"),
        ("content that kills", at(1, &|op| op.without("t").with("x", ids(&[[1; 32]]))), "immutable", "ops.1.t"),
        ("content over something", with(1, "o", ids(&[[1; 32]])), "immutable", "ops.1.o"),
        ("content with a base", with(1, "b", uint(0)), "immutable", "ops.1.b"),
        ("fields out of order", unsigned(&draft_of(swapped)), "immutable", "ops.1.f"),
        (
            "a field twice",
            {
                let mut ops = ops.clone();
                ops[1] = ops[0].clone();
                unsigned(&draft_of(ops))
            },
            "immutable",
            "ops.1.f",
        ),
        ("a part of a content commit", draft.with_operations(&some).without("g"), "bad_root", "ops"),
        ("another root over content", head("root", bytes(&[1; 32])), "bad_root", "ops"),
    ]
}

#[test]
fn anything_else_on_a_content_soul_is_refused() {
    for (why, envelope, code, field) in spoiled() {
        for place in PLACES {
            let found = verdict(&envelope.encode(), place, &rules(), 0);
            assert_eq!(found, (code.to_owned(), field.to_owned()), "{why} {place:?}");
        }
    }
    // Parts, values left out and signed writes, which a door refuses by themselves already.
    let draft = sample_draft();
    let replica = |envelope: &Map| verdict(&envelope.encode(), Place::Replica, &rules(), 0);
    let says = |code: &str, field: &str| (code.to_owned(), field.to_owned());
    assert_eq!(replica(&draft.with_leaves(&[0, 1, 2, 3]).without("g")), says("immutable", "leaves"));
    assert_eq!(replica(&draft.with_proofs(&[0]).without("g")), says("immutable", "proofs"));
    let bare: Vec<(u64, Map)> = (0..).zip(draft.ops.iter().map(dropped)).collect();
    assert_eq!(replica(&draft.with_operations(&bare).without("g")), says("immutable", "ops.0.w"));
    let last = [(3, draft.ops[3].clone())];
    assert_eq!(replica(&draft.with_operations(&last).without("g")), says("immutable", "ops.0"));
    let signed = Draft::new(vec![register(&soul_of(&sample()), "a", 1)]);
    refused(&signed.complete(), "immutable", "ops.0.s");
    let public = draft_of(vec![register("a", "f", 1).without("r")]);
    refused(&unsigned(&public), "bad_key", "h.author");
    let mixed = draft_of(vec![draft.ops[0].clone(), register("a", "f", 1).without("r")]);
    refused(&unsigned(&mixed), "bad_key", "h.author");
    let elsewhere = sample_draft().head("net", bytes(&[0x12; 32]));
    refused(&unsigned(&elsewhere), "wrong_network", "h.net");
}

#[test]
fn content_needs_nobodys_word() {
    let rules = rustdht_wire::Rules { mode: rustdht_core::Mode::Members, ..rules() };
    for place in PLACES {
        assert_eq!(verdict(&unsigned(&sample_draft()).encode(), place, &rules, 3).0, "ok");
    }
}

#[test]
fn what_cannot_be_content_is_not_made() {
    let refusal = |fields: &[(&str, Value)]| {
        let fields: Vec<(Field, Value)> =
            fields.iter().map(|(field, value)| (field.parse().unwrap(), value.clone())).collect();
        let refusal = content_soul(&fields).unwrap_err();
        (refusal.code, refusal.field)
    };
    assert_eq!(refusal(&[]), (Code::OutOfRange, String::new()));
    assert_eq!(refusal(&[("a", Value::Null)]), (Code::BadValue, "a".into()));
    assert_eq!(refusal(&[("a", Value::Float(f64::NAN))]), (Code::BadValue, "a".into()));
    assert_eq!(refusal(&[("a", 1.into()), ("b", 1.into()), ("a", 1.into())]), (Code::DuplicateOperation, "a".into()));
    let long = Value::from("x".repeat(65_534).as_str());
    assert_eq!(refusal(&[("a", long)]), (Code::TooLarge, "a".into()));
    let many: Vec<(Field, Value)> = (0..1025).map(|at| (format!("{at}").parse().unwrap(), 1.into())).collect();
    assert_eq!(content_soul(&many).unwrap_err().code, Code::TooManyOperations);
    assert!(content_soul(&many[..1024]).is_ok());
    let other = content_soul(&many[..1]).unwrap();
    assert_eq!(content_commit(NET, &other, many[..2].to_vec()).unwrap_err().code, Code::BadSoul);
    let big = |at: usize| (format!("{at:02}").parse().unwrap(), Value::from("x".repeat(60_000).as_str()));
    let big: Vec<(Field, Value)> = (0..18).map(big).collect();
    assert_eq!(content_commit(NET, &content_soul(&big).unwrap(), big).unwrap_err().code, Code::TooLarge);
}

#[test]
fn content_travels_whole() {
    let built = build(&sample()).unwrap();
    let all: Vec<_> = built.entries.iter().collect();
    let none = Extras::default();
    assert_eq!(envelope_of(&built.commit, &all, &none).unwrap(), built.envelope);
    let shuffled = [all[2], all[0], all[3], all[1]];
    assert_eq!(envelopes_of(&built.commit, &shuffled, &none, MAX_ENVELOPE_BYTES).unwrap(), [built.envelope.to_vec()]);
    let part = Error::NotWhole { of: 4, found: 3 };
    assert_eq!(envelope_of(&built.commit, &all[..3], &none).unwrap_err(), part);
    assert_eq!(envelopes_of(&built.commit, &all[..3], &none, MAX_ENVELOPE_BYTES).unwrap_err(), part);
    assert!(matches!(envelopes_of(&built.commit, &all, &none, 100), Err(Error::TooLarge(_))));
    // Nothing travels along.
    let paper = Paper::new(COMMUNITY, 30).signed();
    let extras = Extras { certificates: &[paper], endorsements: &[] };
    assert_eq!(envelope_of(&built.commit, &all, &extras).unwrap(), built.envelope);
    // In a batch it stands beside signed commits.
    let signed = Draft::new(vec![register("a", "f", 1)]).complete().encode();
    let forged = Draft { seed: [8; 32], ..Draft::new(vec![register("a", "f", 1)]) }.complete().encode();
    let checked = [&built.envelope[..], &signed, &forged, &built.envelope, &signed]
        .map(|bytes| check(bytes, Place::Replica, &rules()).unwrap());
    let outcomes: Vec<bool> = verify_batch(checked.into()).iter().map(Result::is_ok).collect();
    assert_eq!(outcomes, [true, true, false, true, true]);
}

proptest! {
    #[test]
    fn any_fields_make_content_that_is_admitted(
        values in proptest::collection::btree_map("[a-z]{1,4}", any::<i64>(), 1..20),
        shuffle in any::<u64>(),
    ) {
        let mut fields: Vec<(Field, Value)> =
            values.iter().map(|(field, number)| (field.parse().unwrap(), Value::Int(*number))).collect();
        let len = fields.len();
        fields.rotate_left(shuffle as usize % len);
        let soul = content_soul(&fields).unwrap();
        let content = values.iter().fold(Map::default(), |map, (field, number)| {
            let mut raw = Vec::new();
            cbor::int(&mut raw, *number);
            map.with(field, raw)
        });
        prop_assert_eq!(soul.to_string(), soul_of(&content));
        let built = content_commit(NET, &soul, fields).unwrap();
        for place in PLACES {
            let verified = admit(&built.envelope, place).unwrap();
            prop_assert_eq!(&verified.commit, &built.commit);
            let entries: Vec<_> = verified.entries.into_iter().map(|(_, entry)| entry.unwrap()).collect();
            prop_assert_eq!(&entries, &built.entries);
        }
    }
}

#[test]
fn one_and_one_point_nought_are_two_contents() {
    let soul = |text: &str| {
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(text).unwrap();
        content_soul(&[("a".parse().unwrap(), json::read(&raw).unwrap())]).unwrap()
    };
    assert_ne!(soul("1"), soul("1.0"));
}
