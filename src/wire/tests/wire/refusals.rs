//! Every rule, with a commit that breaks it and nothing else.

use rustdht_core::{Code, MAX_KILLS, PublicKey, Soul, Stamp, Value, cbor};
use rustdht_wire::{Place, SigningKey, check};

use crate::forge::*;

fn other_owned() -> String {
    Soul::of_key(SigningKey::from_seed(&[8; 32]).public()).to_string()
}

fn refused(draft: &Draft, code: &str, field: &str) {
    assert_eq!(at_door(draft), (code.into(), field.into()));
}

/// One operation at a door; the field is relative to the operation.
fn op_refused(op: Map, code: &str, field: &str) {
    let field = if field.is_empty() { "ops.1".into() } else { format!("ops.1.{field}") };
    let draft = Draft::new(vec![register("neighbour", "f", 1), op]);
    refused(&draft, code, &field);
    // Between replicas the same operation is refused alone, and its neighbour stays.
    for envelope in [draft.complete(), draft.with_leaves(&[0, 1]), draft.with_proofs(&[0, 1])] {
        let verified = admit(&envelope.encode(), Place::Replica).unwrap();
        assert!(verified.entries[0].1.is_ok());
        let refusal = verified.entries[1].1.as_ref().unwrap_err();
        assert_eq!((refusal.code.as_str(), refusal.field.as_str()), (code, field.as_str()));
    }
}

fn accepted(op: Map) {
    assert_eq!(at_door(&Draft::new(vec![op])), ("ok".into(), String::new()));
}

#[test]
fn headers() {
    let draft = Draft::new(vec![register("a", "f", 1)]);
    refused(&draft, "ok", "");
    refused(&draft.clone().head("net", bytes(&[0x12; 32])), "wrong_network", "h.net");
    refused(&draft.clone().head("v", uint(2)), "malformed", "h.v");
    refused(&draft.clone().head("n", uint(0)), "out_of_range", "h.n");
    refused(&draft.clone().head("n", uint(1025)), "too_many_operations", "h.n");
    refused(&draft.clone().head("seq", uint(1)), "malformed", "h.prev");
    refused(&draft.clone().head("prev", bytes(&[1; 32])), "malformed", "h.prev");
    refused(&draft.clone().head("session", bytes(&[1; 9])), "malformed", "h.session");
    refused(&draft.clone().head("extra", uint(1)), "malformed", "h.extra");
    refused(&draft.clone().head("root", bytes(&[1; 32])), "bad_root", "ops");
    let cid = |tail: u8| {
        let hash = cid::multihash::Multihash::wrap(0x1e, &[tail; 32]).unwrap();
        let mut out = Vec::new();
        cbor::cid(&mut out, &cid::Cid::new_v1(0x71, hash));
        out
    };
    refused(&draft.clone().head("auth", list(&[cid(1)])), "certificate_missing", "h.auth.0");
    refused(&draft.clone().head("auth", list(&[cid(1), cid(1)])), "malformed", "h.auth.1");
    let mut sha256 = Vec::new();
    let content = "bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
    cbor::cid(&mut sha256, &content.parse().unwrap());
    refused(&draft.clone().head("auth", list(&[sha256])), "malformed", "h.auth.0");
    let five: Vec<_> = (0..5).map(cid).collect();
    refused(&draft.clone().head("auth", list(&five)), "out_of_range", "h.auth");
    let mut bare = draft.clone();
    bare.header = bare.header.without("auth");
    refused(&bare, "malformed", "h.auth");
}

#[test]
fn stamps() {
    let draft = Draft::new(vec![register("a", "f", 1)]);
    let at = |ahead_ms: u64| draft.clone().head("stamp", uint(Stamp::from_ms(NOW_MS + ahead_ms).0));
    let hour = check(&at(3_600_000).complete().encode(), Place::Door, &rules()).unwrap();
    assert_eq!(hour.timing(), rustdht_core::Timing::Deferred { until_ms: NOW_MS + 3_600_000 });
    assert_eq!(at_door(&at(24 * 3_600_000)).0, "ok");
    refused(&at(24 * 3_600_000 + 1), "too_early", "h.stamp");
    refused(&at(48 * 3_600_000), "too_early", "h.stamp");
    assert_eq!(outcome(&at(48 * 3_600_000).complete().encode(), Place::Replica).0, "too_early");
}

#[test]
fn keys_are_judged_before_signatures() {
    let draft = Draft::new(vec![register("a", "f", 1)]);
    let small = PublicKey([0; 32]);
    refused(&draft.clone().head("author", bytes(&small.0)), "bad_key", "h.author");
    let mut not_a_point = [2; 32];
    not_a_point[0] = 2;
    while rustdht_wire::check_key(&PublicKey(not_a_point)).is_ok() {
        not_a_point[0] += 1;
    }
    refused(&draft.clone().head("author", bytes(&not_a_point)), "bad_key", "h.author");
    op_refused(register(Soul::of_key(PublicKey(not_a_point)).as_str(), "f", 1), "bad_key", "s");
    op_refused(register(Soul::of_key(small).as_str(), "f", 1), "bad_key", "s");
}

#[test]
fn signatures() {
    let draft = Draft::new(vec![register("a", "f", 1)]);
    let good = draft.complete();
    assert_eq!(
        outcome(&good.clone().with("g", bytes(&[0; 64])).encode(), Place::Door),
        ("bad_signature".into(), "g".into())
    );
    let forged = Draft { seed: [8; 32], ..draft.clone() };
    refused(&forged, "bad_signature", "g");
    let restamped = draft.clone().head("stamp", uint(Stamp::from_ms(NOW_MS).0 + 1));
    let old = bytes(&key().sign(&draft.commit_id()));
    assert_eq!(outcome(&restamped.complete().with("g", old).encode(), Place::Door).0, "bad_signature");
    assert_eq!(outcome(&good.clone().without("g").encode(), Place::Door), ("malformed".into(), "g".into()));
    assert_eq!(outcome(&good.with("g", bytes(&[0; 63])).encode(), Place::Door), ("malformed".into(), "g".into()));
}

#[test]
fn envelopes() {
    let draft = Draft::new(vec![register("a", "f", 1), register("a", "g", 2), register("a", "h", 3)]);
    let good = draft.complete();
    let door = |envelope: &Map| outcome(&envelope.encode(), Place::Door);
    let replica = |envelope: &Map| outcome(&envelope.encode(), Place::Replica);
    let bad = |code: &str, field: &str| (code.to_owned(), field.to_owned());
    assert_eq!(outcome(&vec![0; 1024 * 1024 + 1], Place::Door), bad("too_large", ""));
    assert_eq!(outcome(&vec![0; 1024 * 1024], Place::Door), bad("malformed", ""));
    assert_eq!(outcome(&[], Place::Replica), bad("malformed", ""));
    assert_eq!(outcome(&[good.encode(), vec![0]].concat(), Place::Door), bad("malformed", ""));
    assert_eq!(door(&good.clone().with("z", uint(1))), bad("malformed", "z"));
    assert_eq!(door(&good.clone().without("h")), bad("malformed", "h"));
    assert_eq!(door(&good.clone().without("ops")), bad("malformed", "ops"));
    assert_eq!(door(&good.clone().with("ops", vec![0x80])), bad("malformed", "ops"));
    assert_eq!(door(&good.clone().with("c", vec![0x80])), bad("malformed", "c"));
    assert_eq!(door(&good.clone().with("e", list(&[list(&[bytes(&[1]), bytes(&[0; 64])])]))), bad("malformed", "e.0"));
    let certificate = list(&[list(&[bytes(&[1]), bytes(&[0; 64])])]);
    assert_eq!(door(&good.clone().with("c", certificate.clone())), bad("malformed", "c.0"));
    assert_eq!(replica(&good.clone().with("c", certificate)), bad("ok", ""), "nothing asks for it");
    let shuffled = draft.with_operations(&[(1, draft.ops[1].clone()), (0, draft.ops[0].clone())]);
    assert_eq!(replica(&shuffled), bad("malformed", "ops.1"));
    let twice = draft.with_operations(&[(0, draft.ops[0].clone()), (0, draft.ops[0].clone())]);
    assert_eq!(replica(&twice), bad("malformed", "ops.1"));
    let beyond = draft.with_operations(&[(0, draft.ops[0].clone()), (3, draft.ops[1].clone())]);
    assert_eq!(replica(&beyond), bad("out_of_range", "ops.1"));
    let far = draft.with_operations(&[(65_536, draft.ops[0].clone())]);
    assert_eq!(replica(&far), bad("out_of_range", "ops.0"));
    let many: Vec<_> = (0..1025).map(|index| (index, draft.ops[0].clone())).collect();
    assert_eq!(door(&draft.with_operations(&many)), bad("too_many_operations", "ops"));
}

#[test]
fn proofs_travel_between_replicas_only() {
    let draft = Draft::new((0..5).map(|i| register("a", &format!("f{i}"), i)).collect());
    let bad = |code: &str, field: &str| (code.to_owned(), field.to_owned());
    for (envelope, field) in [(draft.with_leaves(&[0, 4]), "leaves"), (draft.with_proofs(&[0, 4]), "proofs")] {
        assert_eq!(outcome(&envelope.encode(), Place::Door), bad("malformed", field));
        assert_eq!(outcome(&envelope.encode(), Place::Replica), bad("ok", ""));
    }
    let two = draft.with_operations(&[(0, draft.ops[0].clone()), (1, draft.ops[1].clone())]);
    for place in [Place::Door, Place::Replica] {
        assert_eq!(outcome(&two.encode(), place), bad("bad_root", "ops"), "n operations, or something that ties them");
    }
    let both = draft.with_leaves(&[0]).with("proofs", list(&[vec![0x80]]));
    assert_eq!(outcome(&both.encode(), Place::Replica), bad("malformed", "proofs"));
    let rows = draft.with_proofs(&[0, 4]).with("proofs", list(&[vec![0x80]]));
    assert_eq!(outcome(&rows.encode(), Place::Replica), bad("malformed", "proofs"));
    let deep = draft.with_proofs(&[0]).with("proofs", list(&[ids(&[[1; 32]; 11])]));
    assert_eq!(outcome(&deep.encode(), Place::Replica), bad("malformed", "proofs"));
    let mut leaves = draft.leaves();
    leaves[2] = [1; 32];
    let wrong = draft.with_leaves(&[0]).with("leaves", ids(&leaves));
    assert_eq!(outcome(&wrong.encode(), Place::Replica), bad("bad_root", "leaves"));
    let short = draft.with_leaves(&[0]).with("leaves", ids(&draft.leaves()[..4]));
    assert_eq!(outcome(&short.encode(), Place::Replica), bad("bad_root", "leaves"));
    // One operation that is not what the author signed: the others stand.
    for (envelope, changed) in [(draft.with_leaves(&[0, 4]), "leaves"), (draft.with_proofs(&[0, 4]), "proofs")] {
        let ops = [(0, register("a", "f0", 99)), (4, draft.ops[4].clone())];
        let ties = envelope.get(changed).unwrap().to_vec();
        let verified = admit(&draft.with_operations(&ops).with(changed, ties).encode(), Place::Replica).unwrap();
        let refusal = verified.entries[0].1.as_ref().unwrap_err();
        assert_eq!((refusal.code, refusal.field.as_str()), (Code::BadRoot, "ops.0"), "{changed}");
        assert!(verified.entries[1].1.is_ok(), "{changed}");
    }
}

#[test]
fn souls_and_spaces() {
    op_refused(register("", "f", 1), "bad_soul", "s");
    op_refused(register(&"x".repeat(513), "f", 1), "bad_soul", "s");
    op_refused(register("~nobody", "f", 1), "bad_soul", "s");
    op_refused(register(&other_owned(), "f", 1), "not_authorised", "s");
    op_refused(register(&format!("{}/x", other_owned()), "f", 1), "not_authorised", "s");
    op_refused(register(&format!("{}x", owned().trim_end_matches("/blog")), "f", 1), "bad_soul", "s");
    op_refused(register("#bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", "f", 1), "immutable", "s");
    op_refused(register("_/mine", "f", 1), "local_space", "s");
    op_refused(register("a", "", 1), "bad_field", "f");
    op_refused(register("a", &"x".repeat(257), 1), "bad_field", "f");
    op_refused(own("a", "f", "", &1.into()), "bad_kind", "k");
    op_refused(own("a", "f", &"x".repeat(33), &1.into()), "bad_kind", "k");
    accepted(slotted(&owned(), "f", "register", &writer(), &1.into()));
    accepted(slotted(Soul::of_key(author()).as_str(), "f", "register", &writer(), &1.into()));
}

#[test]
fn a_mirror_soul_is_written_by_bridges_only() {
    let url = "^https://example.com/a";
    let mirror = |slot: &[u8]| Draft::new(vec![slotted(url, "f", "register", slot, &1.into())]);
    refused(&mirror(&writer()), "not_authorised", "ops.0.s");
    let replica = |draft: &Draft| verdict(&draft.complete().encode(), Place::Replica, &rules(), 0);
    // Between replicas each author has a slot of its own there.
    assert_eq!(replica(&mirror(&writer())).0, "ok");
    assert_eq!(replica(&mirror(&[])), ("bad_slot".into(), "ops.0.t".into()));
    assert_eq!(replica(&mirror(&[1; 16])).0, "bad_slot");
    assert_eq!(replica(&Draft::new(vec![own(url, "f", "set", &1.into())])).0, "ok");
    refused(&Draft::new(vec![own("^x", "f", "set", &1.into())]), "bad_soul", "ops.0.s");
}

#[test]
fn slots() {
    let one = Value::from(1);
    op_refused(own("a", "f", "register", &one), "bad_slot", "t");
    op_refused(slotted("a", "f", "register", &[1], &one), "bad_slot", "t");
    op_refused(slotted(&owned(), "f", "register", &[], &one), "bad_slot", "t");
    op_refused(slotted("a", "f", "null", &writer(), &Value::Null), "bad_slot", "t");
    op_refused(slotted("a", "f", "counter", &[&author().0[..], &[0; 8]].concat(), &one), "bad_slot", "t");
    op_refused(slotted(&owned(), "f", "max", &[&author().0[..], &SESSION].concat(), &one), "bad_slot", "t");
    for kind in ["set", "flag", "text", "list", "map"] {
        op_refused(slotted("a", "f", kind, &[], &one), "bad_slot", "t");
    }
    op_refused(slotted("a", "f", "kill", &[], &"erase".into()), "bad_slot", "t");
    op_refused(slotted(&owned(), "f", "tensor", &[1; 16], &one), "bad_slot", "t");
    op_refused(slotted("a", "f", "tensor", &[1; 65], &one), "bad_slot", "t");
    accepted(slotted("a", "f", "min", &[&author().0[..], &SESSION].concat(), &one));
    accepted(slotted(&owned(), "f", "counter", &[&writer()[..], &SESSION].concat(), &one));
    accepted(slotted(&owned(), "f", "null", &writer(), &Value::Null));
    accepted(slotted("a", "f", "tensor", &[1; 64], &one));
    accepted(slotted(&owned(), "f", "tensor", &[&writer()[..], b"x"].concat(), &one));
    accepted(own(&owned(), "f", "tensor", &one));
}

#[test]
fn values() {
    let with = |raw: Vec<u8>| register("a", "f", 1).with("v", raw);
    op_refused(register("a", "f", Value::Null), "bad_value", "v");
    op_refused(own("a", "f", "set", &Value::Null), "bad_value", "v");
    accepted(own("a", "f", "tensor", &Value::Null));
    op_refused(slotted("a", "f", "null", &[], &1.into()), "bad_value", "v");
    op_refused(own("a", "f", "kill", &"remove".into()), "bad_value", "v");
    op_refused(own("a", "f", "kill", &true.into()).with("x", ids(&[[1; 32]])), "bad_value", "v");
    op_refused(with(vec![0x80]), "bad_value", "v");
    op_refused(with(vec![0xa0]), "bad_value", "v");
    op_refused(with(uint(1 << 63)), "bad_value", "v");
    op_refused(with(Map::default().with("#", text("")).encode()), "bad_value", "v");
    op_refused(with(Map::default().with("#", text("~x")).encode()), "bad_value", "v");
    op_refused(with(Map::default().with("enc", text("x")).encode()), "bad_value", "v");
    op_refused(register("a", "f", "x".repeat(65_534).as_str()), "too_large", "v");
    accepted(register("a", "f", "x".repeat(65_533).as_str()));
    accepted(own("a", "f", "kill", &"erase".into()));
    accepted(own("a", "f", "kill", &"erase".into()).with("x", ids(&[[1; 32]])));
    accepted(removal("a", "f", "kill", &[[1; 32]]));
    accepted(removal("a", "f", "set", &[[1; 32]]));
    accepted(own("a", "f", "set", &"x".into()).with("x", ids(&[[1; 32], [2; 32]])));
}

#[test]
fn parts_that_go_together() {
    let op = register("a", "f", 1);
    op_refused(op.clone().without("r"), "malformed", "r");
    op_refused(op.clone().without("v"), "malformed", "r");
    op_refused(op.clone().without("v").without("r"), "malformed", "");
    op_refused(op.clone().with("r", bytes(&[0; 15])), "malformed", "r");
    op_refused(op.clone().without("s"), "malformed", "s");
    op_refused(op.clone().with("f", uint(1)), "malformed", "f");
    op_refused(op.clone().with("y", uint(1)), "malformed", "y");
    op_refused(op.clone().with("t", text("")), "malformed", "t");
    op_refused(op.clone().with("x", ids(&[[1; 32]])), "malformed", "x");
    op_refused(op.clone().with("b", uint(1)), "malformed", "b");
    let set = own("a", "f", "set", &1.into());
    op_refused(set.clone().with("x", vec![0x80]), "out_of_range", "x");
    op_refused(set.clone().with("o", vec![0x80]), "out_of_range", "o");
    let five: Vec<_> = (0..5).map(|i| [i; 32]).collect();
    op_refused(set.clone().with("o", ids(&five)), "out_of_range", "o");
    accepted(set.clone().with("o", ids(&five[..4])));
    op_refused(set.clone().with("x", ids(&[[1; 32], [1; 32]])), "malformed", "x.1");
    op_refused(set.clone().with("o", ids(&[[2; 32], [1; 32]])), "malformed", "o.1");
    op_refused(set.clone().with("x", list(&[bytes(&[1; 31])])), "malformed", "x.0");
    let kills: Vec<_> = (0..=MAX_KILLS as u32)
        .map(|i| {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&i.to_be_bytes());
            id
        })
        .collect();
    op_refused(removal("a", "f", "kill", &kills), "out_of_range", "x");
    accepted(removal("a", "f", "kill", &kills[..MAX_KILLS]));
    let bytes_value = Value::Bytes(vec![1].into());
    let stamp = Stamp::from_ms(NOW_MS).0;
    let compaction = own("a", "f", "text", &bytes_value).with("x", ids(&[[1; 32]]));
    accepted(compaction.clone().with("b", uint(stamp)));
    op_refused(compaction.with("b", uint(stamp + 1)), "out_of_range", "b");
    op_refused(own("a", "f", "text", &bytes_value).with("b", uint(1)), "malformed", "b");
}

#[test]
fn an_outline_that_has_no_leaf_refuses_the_whole() {
    let draft = Draft::new(vec![register("a", "f", 1)]);
    let replica = |op: Map| outcome(&draft.with_operations(&[(0, op)]).encode(), Place::Replica);
    let bad = |field: &str| ("malformed".to_owned(), field.to_owned());
    assert_eq!(replica(register("a", "f", 1).with("r", uint(1))), bad("ops.0.r"));
    assert_eq!(replica(register("a", "f", 1).with("w", bytes(&[1; 32]))), bad("ops.0.w"));
    assert_eq!(replica(dropped(&register("a", "f", 1)).with("w", bytes(&[1; 31]))), bad("ops.0.w"));
    let envelope = draft.complete().with("ops", list(&[list(&[uint(0), uint(1)])]));
    assert_eq!(outcome(&envelope.encode(), Place::Replica), bad("ops.0"));
}

#[test]
fn one_slot_twice_is_seen_at_doors_only() {
    let draft = Draft::new(vec![register("a", "f", 1), register("a", "g", 1), register("a", "f", 2)]);
    refused(&draft, "duplicate_operation", "ops.2");
    let verified = admit(&draft.complete().encode(), Place::Replica).unwrap();
    assert!(verified.entries.iter().all(|(_, entry)| entry.is_ok()));
    let sets = vec![own("a", "f", "set", &1.into()), own("a", "f", "set", &1.into())];
    refused(&Draft::new(sets), "ok", "");
}

#[test]
fn a_dropped_value_travels_as_its_hash_between_replicas() {
    let set = own("a", "f", "set", &"secret".into());
    let draft = Draft::new(vec![set.clone(), register("a", "f", 1)]);
    let envelope = draft.with_operations(&[(0, dropped(&set)), (1, draft.ops[1].clone())]);
    assert_eq!(outcome(&envelope.encode(), Place::Door), ("malformed".into(), "ops.0.w".into()));
    let verified = admit(&envelope.encode(), Place::Replica).unwrap();
    assert!(verified.value_less);
    let entry = verified.entries[0].1.as_ref().unwrap();
    assert_eq!(entry.body, rustdht_core::Body::Dropped(rustdht_core::ValueHash(value_hash(&set))));
    assert!(!admit(&draft.complete().encode(), Place::Replica).unwrap().value_less);
    for op in [slotted("a", "f", "null", &[], &Value::Null), own("a", "f", "kill", &"erase".into())] {
        let draft = Draft::new(vec![op.clone()]);
        let verified = admit(&draft.with_operations(&[(0, dropped(&op))]).encode(), Place::Replica).unwrap();
        let refusal = verified.entries[0].1.as_ref().unwrap_err();
        assert_eq!((refusal.code, refusal.field.as_str()), (Code::BadValue, "ops.0.w"));
    }
    let with_salt = dropped(&set).with("r", bytes(&SALT));
    let verified =
        admit(&draft.with_operations(&[(0, with_salt), (1, draft.ops[1].clone())]).encode(), Place::Replica).unwrap();
    assert_eq!(verified.entries[0].1.as_ref().unwrap_err().field, "ops.0.r");
}

#[test]
fn other_spellings_are_refused() {
    let good = Draft::new(vec![register("a", "f", 1)]).complete().encode();
    // The index 0 of the only operation in two bytes; the map heads one longer than needed; an indefinite map.
    let ops_at = good.windows(4).position(|window| window == b"cops").unwrap() + 4;
    let mut long_index = good.clone();
    long_index.splice(ops_at + 2..ops_at + 3, [0x18, 0x00]);
    let mut long_head = good.clone();
    long_head.splice(0..1, [0xb8, 0x03]);
    let mut indefinite = good.clone();
    indefinite[0] = 0xbf;
    indefinite.push(0xff);
    for bad in [long_index, long_head, indefinite] {
        assert_eq!(outcome(&bad, Place::Door).0, "malformed");
        assert_eq!(outcome(&bad, Place::Replica).0, "malformed");
    }
    assert_eq!(outcome(&good, Place::Door).0, "ok");
}
