//! Vectors of refusals: every rule, every code that the format can give.

use std::{collections::BTreeSet, sync::Arc};

use rustdht_core::{Code, MAX_KILLS, Mode, NetId, PublicKey, Soul, Stamp, Value, cbor};
use rustdht_wire::{Checked, Place, Rules, SignedCertificate, SigningKey, check};
use serde_json::{Value as Json, json};

use crate::{
    forge::*,
    vectors::{Setting, assert_file, cases, joined, refusal_json},
    vectors_authority,
};

/// Codes that other parts of the system give: revocations, and the collection horizon.
const ELSEWHERE: [Code; 2] = [Code::CertificateRevoked, Code::Stale];

/// A byte that repeats at least this often is written once with its count.
const RUN: usize = 256;

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) setting: Setting,
    pub(crate) envelope: Vec<u8>,
    pub(crate) code: &'static str,
    pub(crate) field: String,
}

/// Ids that count up from 0: what a case with `ids` stands for.
fn counted(count: usize) -> Vec<[u8; 32]> {
    (0..count as u64)
        .map(|at| {
            let mut id = [0; 32];
            id[24..].copy_from_slice(&at.to_be_bytes());
            id
        })
        .collect()
}

/// The envelope in hex, or in parts when it is long: hex, `{byte, times}` or `{ids}`.
fn parts(envelope: &[u8]) -> Json {
    let long = counted(MAX_KILLS + 1).iter().flat_map(|id| bytes(id)).collect::<Vec<u8>>();
    let mut found = Vec::new();
    let (mut clean, mut at) = (0, 0);
    while at < envelope.len() {
        let run = envelope[at..].iter().take_while(|byte| **byte == envelope[at]).count();
        let (part, len) = if envelope[at..].starts_with(&long) {
            (json!({ "ids": MAX_KILLS + 1 }), long.len())
        } else if run >= RUN {
            (json!({ "byte": hex::encode([envelope[at]]), "times": run }), run)
        } else {
            at += 1;
            continue;
        };
        found.extend([hex::encode(&envelope[clean..at]).into(), part]);
        at += len;
        clean = at;
    }
    found.push(hex::encode(&envelope[clean..]).into());
    found.retain(|part| part.as_str() != Some(""));
    found.into()
}

fn from_parts(parts: &Json) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts.as_array().unwrap() {
        if let Some(text) = part.as_str() {
            out.extend(hex::decode(text).unwrap());
        } else if let Some(count) = part["ids"].as_u64() {
            counted(count as usize).iter().for_each(|id| out.extend(bytes(id)));
        } else {
            let byte = hex::decode(part["byte"].as_str().unwrap()).unwrap()[0];
            out.resize(out.len() + part["times"].as_u64().unwrap() as usize, byte);
        }
    }
    out
}

fn certificate(tail: u8) -> Vec<u8> {
    let mut out = Vec::new();
    cbor::cid(&mut out, &cid::Cid::new_v1(0x71, cid::multihash::Multihash::wrap(0x1e, &[tail; 32]).unwrap()));
    out
}

fn header_cases() -> Vec<(&'static str, Map, &'static str, &'static str)> {
    let draft = Draft::new(vec![register("a", "f", 1)]);
    let head = |key: &str, raw: Vec<u8>| draft.clone().head(key, raw).complete();
    let mut bare = draft.clone();
    bare.header = bare.header.without("session");
    let unsigned = |soul: &str| {
        let op = register(soul, "f", 1).without("r");
        Draft::new(vec![op])
            .head("author", bytes(&[0; 32]))
            .head("session", bytes(&[0; 8]))
            .head("stamp", uint(0))
            .complete()
            .without("g")
    };
    let restamped = draft.clone().head("stamp", uint(Stamp::from_ms(NOW_MS).0 + 1)).complete();
    vec![
        ("another network", head("net", bytes(&[0x12; 32])), "wrong_network", "h.net"),
        ("another version", head("v", uint(2)), "malformed", "h.v"),
        ("no operations counted", head("n", uint(0)), "out_of_range", "h.n"),
        ("1,025 operations counted", head("n", uint(1025)), "too_many_operations", "h.n"),
        ("prev missing after the first", head("seq", uint(1)), "malformed", "h.prev"),
        ("prev before the first", head("prev", bytes(&[1; 32])), "malformed", "h.prev"),
        ("a session of nine bytes", head("session", bytes(&[1; 9])), "malformed", "h.session"),
        ("a header with an eleventh key", head("extra", uint(1)), "malformed", "h.extra"),
        ("a header without a key", bare.complete(), "malformed", "h.session"),
        ("another root", head("root", bytes(&[1; 32])), "bad_root", "ops"),
        ("one certificate", head("auth", list(&[certificate(1)])), "certificate_missing", "h.auth.0"),
        ("a certificate twice", head("auth", list(&[certificate(1), certificate(1)])), "malformed", "h.auth.1"),
        (
            "five certificates",
            head("auth", list(&(0..5).map(certificate).collect::<Vec<_>>())),
            "out_of_range",
            "h.auth",
        ),
        (
            "a stamp 24 hours and a millisecond ahead",
            head("stamp", uint(Stamp::from_ms(NOW_MS + 86_400_001).0)),
            "too_early",
            "h.stamp",
        ),
        ("a stamp two days ahead", head("stamp", uint(Stamp::from_ms(NOW_MS + 172_800_000).0)), "too_early", "h.stamp"),
        ("an author of small order", head("author", bytes(&[&[1][..], &[0; 31]].concat())), "bad_key", "h.author"),
        (
            "an author whose y is not reduced",
            head("author", bytes(&[&[0xf0][..], &[0xff; 30], &[0x7f]].concat())),
            "bad_key",
            "h.author",
        ),
        ("unsigned outside content space", unsigned("a"), "bad_key", "h.author"),
        ("signed by another key", Draft { seed: [8; 32], ..draft.clone() }.complete(), "bad_signature", "g"),
        (
            "stamped again after signing",
            restamped.with("g", bytes(&key().sign(&draft.commit_id()))),
            "bad_signature",
            "g",
        ),
        ("no signature", draft.complete().without("g"), "malformed", "g"),
        ("a signature of 63 bytes", draft.complete().with("g", bytes(&[0; 63])), "malformed", "g"),
    ]
}

fn envelope_cases() -> Vec<(&'static str, Place, Vec<u8>, &'static str, &'static str)> {
    let draft = Draft::new((0..5).map(|at| register("a", &format!("f{at}"), at)).collect());
    let good = draft.complete();
    let op = |at: usize| draft.ops[at].clone();
    let mut long_head = good.encode();
    long_head.splice(0..1, [0xb8, 0x03]);
    let mut reversed = vec![0xa3];
    for key in ["ops", "h", "g"] {
        cbor::text(&mut reversed, key);
        reversed.extend(good.get(key).unwrap());
    }
    let mut wrong_leaves = draft.leaves();
    wrong_leaves[2] = [1; 32];
    let changed = [(0, register("a", "f0", 99)), (1, op(1)), (2, op(2)), (3, op(3)), (4, op(4))];
    let (door, replica) = (Place::Door, Place::Replica);
    vec![
        ("more than 1 MiB", door, vec![0; 1024 * 1024 + 1], "too_large", ""),
        ("nothing", door, vec![], "malformed", ""),
        ("a byte behind the envelope", door, [good.encode(), vec![0]].concat(), "malformed", ""),
        ("a longer map head than needed", door, long_head, "malformed", ""),
        ("keys out of order", door, reversed, "malformed", ""),
        ("an unknown key", door, good.clone().with("z", uint(1)).encode(), "malformed", "z"),
        ("no header", door, good.clone().without("h").encode(), "malformed", "h"),
        ("no operations", door, good.clone().with("ops", vec![0x80]).encode(), "malformed", "ops"),
        ("an empty list of certificates", door, good.clone().with("c", vec![0x80]).encode(), "malformed", "c"),
        ("an empty list of endorsements", door, good.clone().with("e", vec![0x80]).encode(), "malformed", "e"),
        ("leaves at a door", door, draft.with_leaves(&[0, 1, 2, 3, 4]).encode(), "malformed", "leaves"),
        ("proofs at a door", door, draft.with_proofs(&[0, 1, 2, 3, 4]).encode(), "malformed", "proofs"),
        ("an operation is missing", door, draft.with_operations(&[(0, op(0)), (1, op(1))]).encode(), "bad_root", "ops"),
        (
            "an operation is missing, nothing ties the rest",
            replica,
            draft.with_operations(&[(0, op(0))]).encode(),
            "bad_root",
            "ops",
        ),
        ("a changed value", door, draft.with_operations(&changed).encode(), "bad_root", "ops"),
        ("indices descend", replica, draft.with_operations(&[(1, op(1)), (0, op(0))]).encode(), "malformed", "ops.1"),
        ("an index twice", replica, draft.with_operations(&[(1, op(1)), (1, op(1))]).encode(), "malformed", "ops.1"),
        ("an index beyond n", replica, draft.with_operations(&[(5, op(0))]).encode(), "out_of_range", "ops.0"),
        (
            "leaves and proofs",
            replica,
            draft.with_leaves(&[0]).with("proofs", list(&[vec![0x80]])).encode(),
            "malformed",
            "proofs",
        ),
        (
            "fewer proofs than operations",
            replica,
            draft.with_proofs(&[0, 1]).with("proofs", list(&[vec![0x80]])).encode(),
            "malformed",
            "proofs",
        ),
        (
            "other leaves",
            replica,
            draft.with_leaves(&[0]).with("leaves", ids(&wrong_leaves)).encode(),
            "bad_root",
            "leaves",
        ),
        (
            "fewer leaves than n",
            replica,
            draft.with_leaves(&[0]).with("leaves", ids(&wrong_leaves[..4])).encode(),
            "bad_root",
            "leaves",
        ),
    ]
}

fn operation_cases() -> Vec<(&'static str, Map, &'static str, &'static str)> {
    let one = Value::from(1);
    let op = register("a", "f", 1);
    let set = own("a", "f", "set", &one);
    let stranger = Soul::of_key(SigningKey::from_seed(&[8; 32]).public()).to_string();
    let weak = Soul::of_key(PublicKey([0; 32])).to_string();
    let update = own("a", "f", "text", &Value::Bytes(vec![0, 0].into()));
    let raw = |raw: Vec<u8>| register("a", "f", 1).with("v", raw);
    let five: Vec<[u8; 32]> = counted(5);
    vec![
        ("an empty soul", register("", "f", 1), "bad_soul", "s"),
        ("a soul of 513 bytes", register(&"x".repeat(513), "f", 1), "bad_soul", "s"),
        ("an owned soul without a key", register("~nobody", "f", 1), "bad_soul", "s"),
        ("nothing behind ~K/", register(&format!("{stranger}/"), "f", 1), "bad_soul", "s"),
        ("another's soul", register(&format!("{stranger}/x"), "f", 1), "not_authorised", "s"),
        ("an owner of small order", register(&weak, "f", 1), "bad_key", "s"),
        ("a mirror soul", register("^https://example.com/a", "f", 1), "not_authorised", "s"),
        (
            "a content soul",
            register("#bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", "f", 1),
            "immutable",
            "s",
        ),
        ("a local soul", register("_/mine", "f", 1), "local_space", "s"),
        ("an empty field key", register("a", "", 1), "bad_field", "f"),
        ("a field key of 257 bytes", register("a", &"x".repeat(257), 1), "bad_field", "f"),
        ("a field key with U+0000", register("a", "a\0b", 1), "bad_field", "f"),
        ("an empty kind", own("a", "f", "", &one), "bad_kind", "k"),
        ("a kind of 33 bytes", own("a", "f", &"x".repeat(33), &one), "bad_kind", "k"),
        ("a register without slot", own("a", "f", "register", &one), "bad_slot", "t"),
        ("a register with another slot", slotted("a", "f", "register", &[1], &one), "bad_slot", "t"),
        ("an owned register with an empty slot", slotted(&owned(), "f", "register", &[], &one), "bad_slot", "t"),
        ("a null with another slot", slotted("a", "f", "null", &[1], &Value::Null), "bad_slot", "t"),
        (
            "a counter of another session",
            slotted("a", "f", "counter", &[&author().0[..], &[0; 8]].concat(), &one),
            "bad_slot",
            "t",
        ),
        (
            "an owned max with a public slot",
            slotted(&owned(), "f", "max", &[&author().0[..], &SESSION].concat(), &one),
            "bad_slot",
            "t",
        ),
        ("a set with a slot", slotted("a", "f", "set", &[], &one), "bad_slot", "t"),
        ("a kill with a slot", slotted("a", "f", "kill", &[], &"erase".into()), "bad_slot", "t"),
        ("an unknown kind with another's slot", slotted(&owned(), "f", "tensor", &[1; 16], &one), "bad_slot", "t"),
        ("a slot of 65 bytes", slotted("a", "f", "tensor", &[1; 65], &one), "bad_slot", "t"),
        ("null as an element of a set", own("a", "f", "set", &Value::Null), "bad_value", "v"),
        ("a null register", register("a", "f", Value::Null), "bad_value", "v"),
        ("a null with a value", slotted("a", "f", "null", &[], &one), "bad_value", "v"),
        ("a kill with another value", own("a", "f", "kill", &"remove".into()), "bad_value", "v"),
        ("an array as value", raw(vec![0x80]), "bad_value", "v"),
        ("a map as value", raw(vec![0xa0]), "bad_value", "v"),
        ("an integer beyond i64", raw(uint(1 << 63)), "bad_value", "v"),
        ("a link to no soul", raw(Map::default().with("#", text("~x")).encode()), "bad_value", "v"),
        ("a value over 64 KiB", register("a", "f", "x".repeat(65_534).as_str()), "too_large", "v"),
        ("v without r", op.clone().without("r"), "malformed", "r"),
        ("r without v", op.clone().without("v"), "malformed", "r"),
        ("r of 15 bytes", op.clone().with("r", bytes(&[0; 15])), "malformed", "r"),
        ("neither value nor kills", op.clone().without("v").without("r"), "malformed", ""),
        ("no soul", op.clone().without("s"), "malformed", "s"),
        ("a field key that is no text", op.clone().with("f", uint(1)), "malformed", "f"),
        ("an unknown key", op.clone().with("y", uint(1)), "malformed", "y"),
        ("kills on a slot", op.clone().with("x", ids(&[[1; 32]])), "malformed", "x"),
        ("no kills in x", set.clone().with("x", vec![0x80]), "out_of_range", "x"),
        ("8,193 kills", removal("a", "f", "kill", &counted(MAX_KILLS + 1)), "out_of_range", "x"),
        ("kills repeated", set.clone().with("x", ids(&[[1; 32], [1; 32]])), "malformed", "x.1"),
        ("kills descend", set.clone().with("x", ids(&[[2; 32], [1; 32]])), "malformed", "x.1"),
        ("a killed id of 31 bytes", set.clone().with("x", list(&[bytes(&[1; 31])])), "malformed", "x.0"),
        ("nothing in o", set.clone().with("o", vec![0x80]), "out_of_range", "o"),
        ("five ids in o", set.clone().with("o", ids(&five)), "out_of_range", "o"),
        ("o descends", set.clone().with("o", ids(&[[2; 32], [1; 32]])), "malformed", "o.1"),
        ("a base on a set", set.with("x", ids(&[[1; 32]])).with("b", uint(1)), "malformed", "b"),
        ("a base without kills", update.clone().with("b", uint(1)), "malformed", "b"),
        (
            "a base above the stamp",
            update.with("x", ids(&[[1; 32]])).with("b", uint(Stamp::from_ms(NOW_MS).0 + 1)),
            "out_of_range",
            "b",
        ),
        ("a dropped value at a door", dropped(&op), "malformed", "w"),
    ]
}

fn all() -> Vec<Case> {
    let mut found = Vec::new();
    for (name, envelope, code, field) in header_cases() {
        for place in [Place::Door, Place::Replica] {
            let (setting, field) = (Setting::open(place), field.into());
            found.push(Case { name: name.into(), setting, envelope: envelope.encode(), code, field });
        }
    }
    for (name, place, envelope, code, field) in envelope_cases() {
        let (setting, field) = (Setting::open(place), field.into());
        found.push(Case { name: name.into(), setting, envelope, code, field });
    }
    for (name, op, code, field) in operation_cases() {
        let field = if field.is_empty() { "ops.1".into() } else { format!("ops.1.{field}") };
        let (setting, draft) = (Setting::open(Place::Door), Draft::new(vec![register("neighbour", "f", 1), op]));
        found.push(Case { name: name.into(), setting, envelope: draft.complete().encode(), code, field });
    }
    let twice = Draft::new(vec![register("a", "f", 1), register("a", "g", 1), register("a", "f", 2)]);
    found.push(Case {
        name: "one slot twice".into(),
        setting: Setting::open(Place::Door),
        envelope: twice.complete().encode(),
        code: "duplicate_operation",
        field: "ops.2".into(),
    });
    found.extend(vectors_authority::refused());
    found
}

#[test]
fn refusals() {
    let mut seen = BTreeSet::new();
    let cases: Vec<Json> = all()
        .into_iter()
        .map(|case| {
            let outcome = case.setting.check(&case.envelope, Checked::verify).flatten();
            let refusal = outcome.expect_err(&case.name);
            assert_eq!((refusal.code.as_str(), &refusal.field), (case.code, &case.field), "{}", case.name);
            seen.insert(refusal.code);
            let parts = parts(&case.envelope);
            assert!(from_parts(&parts) == case.envelope, "{}", case.name);
            joined(
                case.setting.json(),
                json!({ "name": case.name, "envelope": parts, "refused": refusal_json(&refusal) }),
            )
        })
        .collect();
    let unseen: Vec<_> = Code::ALL.iter().filter(|code| !seen.contains(code) && !ELSEWHERE.contains(code)).collect();
    assert!(unseen.is_empty(), "no case for {unseen:?}");
    assert_file(
        "refusals.json",
        "Envelopes that are refused whole. `envelope` is a list of parts to be joined: hex, {byte, times} for a byte that \
         repeats, {ids} for that many byte strings of 32 bytes (58 20 ...) that count up from 0. Each breaks one rule.",
        &cases,
    );
}

#[test]
fn the_committed_refusals_hold() {
    let committed = cases("refusals.json");
    assert!(committed.len() > 100);
    for case in committed {
        let place = if case["place"] == "door" { Place::Door } else { Place::Replica };
        let net: NetId = case["net"].as_str().unwrap().parse().unwrap();
        let pair = |text: &Json| {
            let signed = SignedCertificate::decode_pair(&hex::decode(text.as_str().unwrap()).unwrap()).unwrap();
            (signed.id(), Arc::new(signed))
        };
        let certificates = case["certificates"].as_array().unwrap().iter().map(pair).collect();
        let mode = if case["mode"] == "open" { Mode::Open } else { Mode::Members };
        let now_ms = case["now_ms"].as_u64().unwrap();
        let rules = Rules { net, now_ms, mode, certificates: &certificates, ..rules() };
        let outcome =
            check(&from_parts(&case["envelope"]), place, &rules).and_then(|checked| checked.verify().map(|_| ()));
        assert_eq!(refusal_json(&outcome.unwrap_err()), case["refused"], "{}", case["name"]);
    }
}
