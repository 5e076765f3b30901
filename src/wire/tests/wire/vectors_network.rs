//! Vectors of the signed things of a network, and of hello.

use rustdht_core::{Mode, Placement, Stamp};
use rustdht_wire::{
    Charter, Invite, ReplicaRecord, Role, SignedCharter, SignedReplica, SigningKey, hello, peer_id_text,
};
use serde_json::{Value as Json, json};

use crate::{forge::*, vectors::assert_file, vectors::refusal_json};

fn charter_json(charter: &Charter) -> Json {
    let Placement { partitions, replicas, write_quorum, centres, horizon_days } = charter.placement;
    json!({
        "name": charter.name, "mode": charter.mode.as_str(), "community": hex::encode(charter.community.0),
        "nonce": hex::encode(charter.nonce), "partitions": partitions, "replicas": replicas, "write_quorum": write_quorum,
        "centres": centres, "horizon_days": horizon_days,
    })
}

fn charter() -> Charter {
    Charter {
        name: "Ada's friends".into(),
        mode: Mode::Open,
        community: author(),
        placement: Placement::default(),
        nonce: [0x0a; 16],
    }
}

fn charters() -> Vec<Json> {
    let members = Charter { mode: Mode::Members, name: "h\u{e9}".into(), ..charter() };
    let mut cases: Vec<Json> = [charter(), members]
        .into_iter()
        .map(|charter| {
            let signed = charter.clone().sign(&key()).unwrap();
            assert_eq!(SignedCharter::decode(&signed.encode()).as_ref(), Ok(&signed));
            json!({
                "what": "charter", "seed": hex::encode([7; 32]), "charter": charter_json(&charter),
                "bytes_hex": hex::encode(signed.bytes()), "signature": hex::encode(signed.signature()),
                "pair_hex": hex::encode(signed.encode()), "net": signed.net().to_string(),
            })
        })
        .collect();
    let raw = |map: &Map| {
        let bytes = map.encode();
        let digest = *blake3::hash(&[b"rustdht/charter/1", &bytes[..]].concat()).as_bytes();
        list(&[self::bytes(&bytes), self::bytes(&key().sign(&digest))])
    };
    let good = Map::default()
        .with("v", uint(1))
        .with("mode", text("open"))
        .with("name", text("Ada's friends"))
        .with("nonce", bytes(&[0x0a; 16]))
        .with("community", bytes(&author().0))
        .with("partitions", uint(4096))
        .with("replicas", uint(5))
        .with("write_quorum", uint(3))
        .with("centres", uint(3))
        .with("horizon_days", uint(90));
    assert_eq!(raw(&good), charter().sign(&key()).unwrap().encode(), "two implementations, one encoding");
    let mut forged = raw(&good);
    *forged.last_mut().unwrap() ^= 1;
    for (why, pair) in [
        ("a key is missing", raw(&good.clone().without("nonce"))),
        ("an unknown key", raw(&good.clone().with("x", uint(1)))),
        ("another version", raw(&good.clone().with("v", uint(2)))),
        ("another mode", raw(&good.clone().with("mode", text("closed")))),
        ("no name", raw(&good.clone().with("name", text("")))),
        ("partitions are no power of two", raw(&good.clone().with("partitions", uint(4095)))),
        ("a write quorum above the replicas", raw(&good.clone().with("write_quorum", uint(6)))),
        ("a community key of small order", raw(&good.clone().with("community", bytes(&[0; 32])))),
        ("another signature", forged),
    ] {
        let refusal = SignedCharter::decode(&pair).unwrap_err();
        cases.push(json!({
            "what": "charter", "why": why, "pair_hex": hex::encode(&pair), "refused": refusal_json(&refusal),
        }));
    }
    cases
}

fn invites() -> Vec<Json> {
    let invite = Invite {
        charter: charter().sign(&key()).unwrap(),
        network_key: [0x0b; 32],
        addresses: vec!["/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWExample".into(), "/ip6/::1/udp/4001/quic-v1".into()],
    };
    let text = invite.to_text().unwrap();
    assert_eq!(text.parse(), Ok(invite.clone()));
    let mut cases = vec![json!({
        "what": "invite", "text": text, "network_key": hex::encode(invite.network_key), "addresses": invite.addresses,
        "net": invite.charter.net().to_string(), "charter_hex": hex::encode(invite.charter.bytes()),
    })];
    let upper = text.to_ascii_uppercase();
    for (why, bad) in [
        ("nothing", ""),
        ("another beginning", &text[1..]),
        ("cut short", &text[..text.len() - 8]),
        ("upper case", &upper),
        ("too long", &format!("{text}{}", "a".repeat(8192))),
    ] {
        let refusal = bad.parse::<Invite>().unwrap_err();
        cases.push(json!({ "what": "invite", "why": why, "text": bad, "refused": refusal_json(&refusal) }));
    }
    cases
}

fn replicas() -> Vec<Json> {
    let record = |role| ReplicaRecord {
        net: NET,
        replica: peer_id_text(&author()),
        key: author(),
        role,
        stamp: Stamp::from_ms(NOW_MS),
    };
    let mut cases = Vec::new();
    for role in [Role::Full, Role::Partial, Role::Client] {
        let signed = record(role).sign(&key()).unwrap();
        assert_eq!(SignedReplica::decode(&signed.encode(), &NET).as_ref(), Ok(&signed));
        cases.push(json!({
            "what": "replica record", "seed": hex::encode([7; 32]), "net": NET.to_string(),
            "replica": signed.record().replica, "key": hex::encode(author().0), "role": role.as_str(),
            "stamp": signed.record().stamp.to_string(), "bytes_hex": hex::encode(signed.record().encode()),
            "pair_hex": hex::encode(signed.encode()),
        }));
    }
    let sign = |record: &ReplicaRecord, key: &SigningKey| {
        let bytes = record.encode();
        let digest = *blake3::hash(&[b"rustdht/replica/1", &bytes[..]].concat()).as_bytes();
        list(&[self::bytes(&bytes), self::bytes(&key.sign(&digest))])
    };
    let thief = SigningKey::from_seed(&[8; 32]);
    for (why, pair) in [
        ("another network", sign(&ReplicaRecord { net: [0x12; 32].into(), ..record(Role::Full) }, &key())),
        ("signed by another", sign(&record(Role::Full), &thief)),
        ("the PeerId of another", sign(&ReplicaRecord { key: thief.public(), ..record(Role::Full) }, &thief)),
    ] {
        let refusal = SignedReplica::decode(&pair, &NET).unwrap_err();
        cases.push(json!({
            "what": "replica record", "why": why, "net": NET.to_string(), "pair_hex": hex::encode(&pair),
            "refused": refusal_json(&refusal),
        }));
    }
    cases
}

fn hellos() -> Vec<Json> {
    [(&b"prover"[..], &b"verifier"[..]), (b"", b"proververifier"), (&[0, 36, 8, 1, 18, 32], &[0xff; 38])]
        .into_iter()
        .map(|(prover, verifier)| {
            let proof = hello::proof(&[0x0b; 32], &NET, prover, verifier, &[1; 32], &[2; 32]);
            assert!(hello::verify(&proof, &[0x0b; 32], &NET, prover, verifier, &[1; 32], &[2; 32]));
            json!({
                "what": "hello", "network_key": hex::encode([0x0b; 32]), "net": NET.to_string(), "prover": hex::encode(prover),
                "verifier": hex::encode(verifier), "nonce_verifier": hex::encode([1; 32]),
                "nonce_prover": hex::encode([2; 32]), "proof": hex::encode(proof),
            })
        })
        .collect()
}

#[test]
fn network() {
    assert_file(
        "network.json",
        "Charters, invites, replica records and hello proofs. Cases with `refused` are refused.",
        &[charters(), invites(), replicas(), hellos()].concat(),
    );
}
