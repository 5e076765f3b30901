//! What is signed is admitted, whole or in part, and says the same again.

use proptest::prelude::*;
use rustdht_core::{
    Body, Code, Entry, EntryId, Kind, Refusal, Salt, Session, Slot, Stamp, Timing, Value, Writer, cbor,
    ports::StoredCommit,
};
use rustdht_wire::{
    Built, Error, Extras, Header, Operation, Place, Signing, check, leaf_hash, limits::MAX_ENVELOPE_BYTES,
    merge_proofs, sign_commit, slot_of,
};

use crate::forge::*;

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::Float),
        ".{0,40}".prop_map(|text| Value::from(text.as_str())),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Bytes(bytes.into())),
        "[a-z/]{1,20}".prop_filter_map("a soul", |soul| soul.parse().ok().map(Value::Link)),
        any::<[u8; 32]>().prop_map(|digest| {
            Value::Blob(cid::Cid::new_v1(0x55, cid::multihash::Multihash::wrap(0x12, &digest).unwrap()))
        }),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Enc(bytes.into())),
    ]
}

fn ids(most: usize) -> impl Strategy<Value = Vec<EntryId>> {
    proptest::collection::btree_set(any::<[u8; 32]>().prop_map(EntryId), 0..most)
        .prop_map(|ids| ids.into_iter().collect())
}

/// A valid operation; `at` makes its field one of its own.
fn operation(at: usize) -> impl Strategy<Value = Operation> {
    let kinds = prop_oneof![
        4 => (0..Kind::LISTED.len()).prop_map(|kind| Kind::LISTED[kind].to_owned()),
        1 => Just("tensor".to_owned()),
    ];
    let soul = prop_oneof![Just("public/soul".to_owned()), Just(owned()), "[a-z]{1,9}"];
    (kinds, soul, value(), any::<[u8; 16]>(), ids(6), ids(4), any::<bool>()).prop_map(
        move |(kind, soul, value, salt, kills, over, bare)| {
            let (kind, soul): (Kind, rustdht_core::Soul) = (kind.parse().unwrap(), soul.parse().unwrap());
            let writer = Writer::new(&author(), None);
            let slot = slot_of(&kind, &soul, &author(), &Session(SESSION), &writer).unwrap_or(Slot::Own);
            let value = match kind.as_str() {
                "null" => Value::Null,
                "kill" => "erase".into(),
                _ => value,
            };
            let kills = if slot.is_own() { kills } else { Vec::new() };
            let body =
                if bare && !kills.is_empty() { Body::None } else { Body::Live { value, salt: Some(Salt(salt)) } };
            let base = (kind.is_yjs() && !kills.is_empty()).then_some(Stamp(5));
            Operation { soul, field: format!("f{at}").parse().unwrap(), kind, slot, body, kills, over, base }
        },
    )
}

fn operations(most: usize) -> impl Strategy<Value = Vec<Operation>> {
    (1..=most).prop_flat_map(|n| (0..n).map(operation).collect::<Vec<_>>())
}

pub(crate) fn built(operations: Vec<Operation>) -> Built {
    signed(operations).unwrap()
}

fn signed(operations: Vec<Operation>) -> Result<Built, Refusal> {
    let key = key();
    sign_commit(&Signing::new(&key, NET, Session(SESSION)), 0, None, Stamp::from_ms(NOW_MS), operations)
}

fn envelope_of(commit: &StoredCommit, entries: &[&Entry]) -> Result<Vec<u8>, Error> {
    rustdht_wire::envelope_of(commit, entries, &Extras::default())
}

fn envelopes_of(commit: &StoredCommit, entries: &[&Entry], max_bytes: usize) -> Result<Vec<Vec<u8>>, Error> {
    rustdht_wire::envelopes_of(commit, entries, &Extras::default(), max_bytes)
}

pub(crate) fn simple(n: usize) -> Vec<Operation> {
    (0..n).map(|at| Operation::decode(&register("a", &format!("f{at}"), at as i64).encode()).unwrap()).collect()
}

fn entries(envelope: &[u8]) -> Vec<Entry> {
    admit(envelope, Place::Replica).unwrap().entries.into_iter().map(|(_, entry)| entry.unwrap()).collect()
}

proptest! {
    #[test]
    fn what_is_signed_is_admitted(operations in operations(12)) {
        let built = built(operations.clone());
        for place in [Place::Door, Place::Replica] {
            let verified = admit(&built.envelope, place).unwrap();
            prop_assert_eq!(&verified.header, &built.header);
            prop_assert_eq!(&verified.commit, &built.commit);
            prop_assert_eq!(verified.timing, Timing::Admitted);
            let admitted: Vec<_> = verified.entries.into_iter().map(|(_, entry)| entry.unwrap()).collect();
            prop_assert_eq!(&admitted, &built.entries);
        }
        let all: Vec<_> = built.entries.iter().collect();
        prop_assert_eq!(envelope_of(&built.commit, &all).unwrap(), built.envelope.to_vec());
        for (index, op) in operations.iter().enumerate() {
            prop_assert_eq!(&Operation::decode(&op.encode()).unwrap(), op);
            prop_assert_eq!(&built.commit.leaves[32 * index..32 * (index + 1)], &leaf_hash(index as u16, op)[..]);
        }
    }

    #[test]
    fn any_part_of_a_commit_travels(operations in operations(20), picked in any::<u32>(), blank in any::<u32>()) {
        let built = built(operations);
        let stripped: Vec<Entry> = built.entries.iter().map(|entry| {
            let droppable = !entry.kind.is_null() && !entry.kind.is_kill() && blank >> entry.index & 1 == 1;
            let body = if droppable { entry.body.dropped() } else { entry.body.clone() };
            Entry { body, ..entry.clone() }
        }).collect();
        let part: Vec<&Entry> = stripped.iter().filter(|entry| picked >> entry.index & 1 == 1).collect();
        prop_assume!(!part.is_empty());
        let first = admit(&envelope_of(&built.commit, &part).unwrap(), Place::Replica).unwrap();
        let found: Vec<_> = first.entries.iter().map(|(_, entry)| entry.as_ref().unwrap()).collect();
        prop_assert_eq!(&found, &part);
        prop_assert_eq!(first.value_less, part.iter().any(|entry| matches!(entry.body, Body::Dropped(_))));
        // What a replica stored of the part passes it on as it came.
        let again = admit(&envelope_of(&first.commit, &part).unwrap(), Place::Replica).unwrap();
        prop_assert_eq!(&again.commit, &first.commit);
        // A second part, merged with the first, carries both.
        let rest: Vec<&Entry> = stripped.iter().filter(|entry| picked >> entry.index & 1 == 0).take(2).collect();
        if !rest.is_empty() {
            let second = admit(&envelope_of(&built.commit, &rest).unwrap(), Place::Replica).unwrap();
            let merged = merge_proofs(&first.commit, &second.commit);
            let both: Vec<&Entry> = part.iter().chain(&rest).copied().collect();
            let mut found = entries(&envelope_of(&merged, &both).unwrap());
            found.sort_by_key(|entry| entry.index);
            let mut expected: Vec<_> = both.into_iter().cloned().collect();
            expected.sort_by_key(|entry| entry.index);
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn headers_survive(seq in any::<u64>(), stamp in any::<u64>(), n in 1..=1024_u16, hash in any::<[u8; 32]>()) {
        let header = Header {
            net: NET, author: author(), session: Session(SESSION), seq, prev: (seq != 0).then_some(hash.into()),
            stamp: Stamp(stamp), n, root: hash, auth: Vec::new(),
        };
        prop_assert_eq!(Header::decode(&header.encode()).unwrap(), header);
    }
}

#[test]
fn the_shorter_of_leaves_and_proofs_travels() {
    let built = built(simple(64));
    let keys = |envelope: &[u8]| -> Vec<String> {
        cbor::decode_map(envelope).unwrap().iter().map(|(key, _)| (*key).to_owned()).collect()
    };
    let all: Vec<&Entry> = built.entries.iter().collect();
    assert_eq!(keys(&envelope_of(&built.commit, &all).unwrap()), ["g", "h", "ops"]);
    assert_eq!(keys(&envelope_of(&built.commit, &all[..1]).unwrap()), ["g", "h", "ops", "proofs"]);
    assert_eq!(keys(&envelope_of(&built.commit, &all[..40]).unwrap()), ["g", "h", "ops", "leaves"]);
    let mut shuffled = vec![all[9], all[3], all[9]];
    let envelope = envelope_of(&built.commit, &shuffled).unwrap();
    shuffled.sort_by_key(|entry| entry.index);
    assert_eq!(entries(&envelope).iter().map(|entry| entry.index).collect::<Vec<_>>(), [3, 9]);
}

#[test]
fn parts_that_do_not_belong_together_build_nothing() {
    let (one, two) = (built(simple(3)), built(simple(4)));
    assert!(matches!(
        envelope_of(&one.commit, &[&two.entries[0]]),
        Err(Error::ForeignEntry { wanted, found, index: 0 }) if wanted == one.commit.id && found == two.commit.id
    ));
    assert_eq!(envelope_of(&one.commit, &[]), Err(Error::NoEntries));
    let part = admit(&envelope_of(&one.commit, &[&one.entries[0]]).unwrap(), Place::Replica).unwrap();
    assert_eq!(envelope_of(&part.commit, &[&one.entries[1]]), Err(Error::Unproven(1)));
    let mut broken = part.commit.clone();
    broken.header = bytes::Bytes::new();
    assert!(matches!(envelope_of(&broken, &[&one.entries[0]]), Err(Error::Stored(_))));
}

#[test]
fn large_commits_travel_in_parts() {
    let big = |at: usize| {
        let op = register("a", &format!("f{at}"), "x".repeat(60_000).as_str());
        Operation::decode(&op.encode()).unwrap()
    };
    let built = built((0..17).map(big).collect());
    let all: Vec<&Entry> = built.entries.iter().collect();
    let parts = envelopes_of(&built.commit, &all, 300_000).unwrap();
    assert!(parts.len() >= 4 && parts.iter().all(|part| part.len() <= 300_000));
    let found: Vec<Entry> = parts.iter().flat_map(|part| entries(part)).collect();
    assert_eq!(found, built.entries);
    assert!(matches!(envelopes_of(&built.commit, &all, 60_000), Err(Error::TooLarge(_))));
    assert_eq!(envelopes_of(&built.commit, &all, MAX_ENVELOPE_BYTES).unwrap(), [built.envelope.to_vec()]);
    // A commit over 1 MiB is not signed; the operations of a hostile one are still passed on in parts.
    let refusal = signed((0..18).map(big).collect()).unwrap_err();
    assert_eq!(refusal.code, Code::TooLarge);
    let hostile = Draft::new((0..18).map(|at| register("a", &format!("f{at}"), "x".repeat(60_000).as_str())).collect());
    let halves = [0..9, 9..18]
        .map(|half| admit(&hostile.with_leaves(&half.collect::<Vec<_>>()).encode(), Place::Replica).unwrap());
    let all: Vec<Entry> =
        halves.iter().flat_map(|half| half.entries.iter().map(|(_, entry)| entry.clone().unwrap())).collect();
    let all: Vec<&Entry> = all.iter().collect();
    assert!(matches!(envelope_of(&halves[0].commit, &all), Err(Error::TooLarge(_))));
    assert_eq!(envelopes_of(&halves[0].commit, &all, MAX_ENVELOPE_BYTES).unwrap().len(), 2);
}

#[test]
fn nothing_is_signed_that_a_door_refuses() {
    let refused = |change: &dyn Fn(&mut Operation)| {
        let mut operations = simple(2);
        change(&mut operations[1]);
        let refusal = signed(operations).unwrap_err();
        (refusal.code.as_str(), refusal.field)
    };
    let set = |op: &mut Operation| *op = Operation::decode(&own("a", "f", "set", &1.into()).encode()).unwrap();
    assert_eq!(refused(&|op| op.field = "f0".parse().unwrap()), ("duplicate_operation", "ops.1".into()));
    assert_eq!(refused(&|op| op.soul = "_/x".parse().unwrap()), ("local_space", "ops.1.s".into()));
    assert_eq!(refused(&|op| op.slot = Slot::Own), ("bad_slot", "ops.1.t".into()));
    assert_eq!(refused(&|op| op.body = Body::Live { value: 1.into(), salt: None }), ("malformed", "ops.1.r".into()));
    assert_eq!(refused(&|op| op.body = op.body.dropped()), ("malformed", "ops.1.w".into()));
    assert_eq!(refused(&|op| op.body = Body::None), ("malformed", "ops.1".into()));
    let live = |value: Value| Body::Live { value, salt: Some(Salt(SALT)) };
    assert_eq!(refused(&|op| op.body = live(Value::Float(f64::NAN))), ("bad_value", "ops.1.v".into()));
    assert_eq!(refused(&|op| op.body = live(Value::Null)), ("bad_value", "ops.1.v".into()));
    assert_eq!(refused(&|op| op.body = live("x".repeat(65_534).as_str().into())), ("too_large", "ops.1.v".into()));
    let two = vec![EntryId([2; 32]), EntryId([1; 32])];
    assert_eq!(
        refused(&|op| {
            set(op);
            op.kills.clone_from(&two);
        }),
        ("malformed", "ops.1.x".into())
    );
    assert_eq!(refused(&|op| op.over.clone_from(&two)), ("malformed", "ops.1.o".into()));
    assert_eq!(refused(&|op| op.over = (0..5).map(|i| EntryId([i; 32])).collect()), ("out_of_range", "ops.1.o".into()));
    let long = |op: &mut Operation| {
        op.kind = "tensor".parse().unwrap();
        op.slot = Slot::Explicit([0; 65].into());
    };
    assert_eq!(refused(&long), ("bad_slot", "ops.1.t".into()));
    assert_eq!(signed(Vec::new()).unwrap_err().code, Code::OutOfRange);
    assert_eq!(signed(simple(1025)).unwrap_err().code, Code::TooManyOperations);
    let key = key();
    let prev = sign_commit(&Signing::new(&key, NET, Session(SESSION)), 1, None, Stamp(1), simple(1)).unwrap_err();
    assert_eq!(prev.field, "h.prev");
}

#[test]
fn the_largest_commit_passes() {
    let built = built(simple(1024));
    let verified = check(&built.envelope, Place::Door, &rules()).unwrap().verify().unwrap();
    assert_eq!((verified.entries.len(), verified.commit.leaves.len()), (1024, 32 * 1024));
    let last = admit(&envelope_of(&built.commit, &[&built.entries[1023]]).unwrap(), Place::Replica).unwrap();
    assert_eq!(last.entries[0].1.as_ref(), Ok(&built.entries[1023]));
}
