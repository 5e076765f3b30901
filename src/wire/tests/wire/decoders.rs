//! Every decoder against damaged and random bytes: it refuses, or what it read encodes to exactly these bytes; it never
//! panics. The decoders of messages between members have theirs in `src/wire/protocol/tests.rs`.

use proptest::prelude::*;
use rustdht_core::{Mode, Placement, Stamp, Value};
use rustdht_wire::{
    Certificate, Charter, Header, Invite, Operation, Place, ReplicaRecord, Role, SignedCertificate, SignedCharter,
    SignedReplica, check, named, peer_id_text,
};

use crate::{
    content::{sample, unsigned},
    delegation::ladder,
    endorsing::member,
    forge::*,
};

/// How many bytes are changed, cut, doubled or added, where, and to what.
type Edits = Vec<(prop::sample::Index, u8, u8)>;

fn edits() -> impl Strategy<Value = Edits> {
    proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..6_u8), 1..5)
}

fn damaged(original: &[u8], edits: &Edits) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for (at, byte, how) in edits {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = *byte,
            1 => bytes[at] ^= 1 << (byte & 7),
            2 => bytes.insert(at, *byte),
            3 => {
                bytes.remove(at);
            }
            4 => bytes.truncate(at),
            _ => {
                let part = bytes[at..bytes.len().min(at + usize::from(*byte))].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

type Decoder = fn(&[u8]) -> Option<Vec<u8>>;

/// Each decoder, with something that it reads; it returns what it read, encoded again.
fn decoders() -> Vec<(&'static str, Vec<u8>, Decoder)> {
    let draft = Draft::new(vec![
        own("people/ada", "bio", "text", &Value::Bytes(vec![1, 2].into()))
            .with("x", ids(&[[4; 32]]))
            .with("b", uint(9)),
        register("a", "f", Value::Float(0.5)).with("o", ids(&[[1; 32], [2; 32]])),
    ]);
    let paper = ladder(2).remove(1).with("fields", texts(&["body", "title"]));
    let charter = Charter {
        name: "Ada's friends".into(),
        mode: Mode::Members,
        community: author(),
        placement: Placement::default(),
        nonce: [0x0a; 16],
    };
    let record = ReplicaRecord {
        net: NET,
        replica: peer_id_text(&author()),
        key: author(),
        role: Role::Partial,
        stamp: Stamp::from_ms(NOW_MS),
    };
    let signed = charter.clone().sign(&key()).unwrap();
    let invite =
        Invite { charter: signed.clone(), network_key: [1; 32], addresses: vec!["/ip4/127.0.0.1/tcp/1".into()] };
    vec![
        ("header", draft.clone().auth(&[&paper]).header.encode(), |bytes| Some(Header::decode(bytes).ok()?.encode())),
        ("operation", draft.ops[0].encode(), |bytes| Some(Operation::decode(bytes).ok()?.encode())),
        ("dropped operation", dropped(&draft.ops[1]).encode(), |bytes| Some(Operation::decode(bytes).ok()?.encode())),
        ("certificate", paper.map.encode(), |bytes| Some(Certificate::decode(bytes).ok()?.encode())),
        ("signed certificate", paper.pair(), |bytes| Some(SignedCertificate::decode_pair(bytes).ok()?.encode_pair())),
        ("charter", charter.encode(), |bytes| Some(Charter::decode(bytes).ok()?.encode())),
        ("signed charter", signed.encode(), |bytes| Some(SignedCharter::decode(bytes).ok()?.encode())),
        ("replica record", record.encode(), |bytes| Some(ReplicaRecord::decode(bytes).ok()?.encode())),
        ("signed replica record", record.sign(&key()).unwrap().encode(), |bytes| {
            Some(SignedReplica::decode(bytes, &NET).ok()?.encode())
        }),
        ("invite", invite.to_text().unwrap().into_bytes(), |bytes| {
            let invite: Invite = std::str::from_utf8(bytes).ok()?.parse().ok()?;
            Some(invite.to_text().unwrap().into_bytes())
        }),
        ("value", draft.ops[0].get("v").unwrap().to_vec(), |bytes| Some(Value::from_cbor(bytes).ok()?.to_cbor())),
    ]
}

/// Envelopes of every form: they are judged, not encoded again.
fn envelopes() -> Vec<(&'static str, Vec<u8>)> {
    let gate = member(COMMUNITY, 30);
    let draft = Draft::new((0..4).map(|at| register("a", &format!("f{at}"), at)).collect());
    let content = crate::content::draft_of(crate::content::operations(&crate::content::soul_of(&sample()), &sample()));
    let leaf = ladder(2);
    let under =
        Draft::new(vec![slotted(&root_of(OWNER), "f", "register", &leaf[1].writer(), &1.into())]).auth(&[&leaf[1]]);
    vec![
        ("content", unsigned(&content).encode()),
        ("certificates", under.complete().with("c", carried(&[&leaf[1], &leaf[0]])).encode()),
        (
            "endorsements",
            draft.complete().with("e", list(&[draft.endorsed(30, &gate)])).with("c", carried(&[&gate])).encode(),
        ),
        ("leaves", draft.with_leaves(&[1, 2]).encode()),
        ("proofs", draft.with_proofs(&[1, 2]).encode()),
    ]
}

#[test]
fn every_decoder_reads_what_it_is_damaged_from() {
    for (name, bytes, decode) in decoders() {
        assert_eq!(decode(&bytes), Some(bytes.clone()), "{name}");
    }
    for (name, bytes) in envelopes() {
        assert!(admit(&bytes, Place::Replica).unwrap().entries.iter().all(|(_, entry)| entry.is_ok()), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn decoders_refuse_or_read_exactly(edits in edits()) {
        for (name, bytes, decode) in decoders() {
            let mutant = damaged(&bytes, &edits);
            if let Some(again) = decode(&mutant) {
                prop_assert_eq!(again, mutant, "{}", name);
            }
        }
    }

    #[test]
    fn damaged_envelopes_are_judged(edits in edits()) {
        for (name, bytes) in envelopes() {
            let mutant = damaged(&bytes, &edits);
            let outline = named(&mutant).is_ok();
            for place in [Place::Door, Place::Replica] {
                let passed = check(&mutant, place, &rules()).is_ok();
                prop_assert!(!passed || outline, "{}", name);
            }
        }
    }

    #[test]
    fn noise_is_read_by_nobody(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (_, _, decode) in decoders() {
            if let Some(again) = decode(&bytes) {
                prop_assert_eq!(&again, &bytes);
            }
        }
        for place in [Place::Door, Place::Replica] {
            prop_assert!(check(&bytes, place, &rules()).is_err());
        }
        prop_assert!(named(&bytes).is_err());
    }
}
