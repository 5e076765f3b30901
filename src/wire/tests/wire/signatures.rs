//! ZIP-215: one verification and a batch agree, and no key verifies everything.

use curve25519_dalek::{
    constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION},
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
};
use rustdht_core::{Code, Mode, PublicKey, Refusal, Soul};
use rustdht_wire::{Place, Rules, SignedCertificate, Verified, check, check_key, verify_batch, verify_signature};
use serde_json::json;
use sha2::{Digest, Sha512};

use crate::{
    forge::*,
    round_trips::{built, simple},
    vectors::assert_file,
};

/// The encodings of points of small order: the eight canonical ones, and those whose y is not reduced or whose sign bit
/// is set though x is 0.
pub(crate) fn small_order_encodings() -> Vec<[u8; 32]> {
    let mut found: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
    let with_sign = |mut bytes: [u8; 32]| {
        bytes[31] |= 0x80;
        bytes
    };
    let one = EIGHT_TORSION[0].compress().to_bytes();
    let minus_one = EIGHT_TORSION[4].compress().to_bytes();
    found.extend([with_sign(one), with_sign(minus_one)]);
    // p = 2^255 - 19 and p + 1 stand for y = 0 and y = 1.
    for low in [0xed, 0xee] {
        let mut bytes = [0xff; 32];
        bytes[0] = low;
        bytes[31] = 0x7f;
        found.extend([bytes, with_sign(bytes)]);
    }
    found
}

#[test]
fn keys_of_small_order_or_in_another_spelling_are_refused() {
    let encodings = small_order_encodings();
    assert_eq!(encodings.len(), 14);
    for bytes in encodings {
        assert_eq!(check_key(&PublicKey(bytes)).unwrap_err().code, Code::BadKey, "{}", hex::encode(bytes));
        // Why: R = A, s = 0 verifies any message under such a key.
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&bytes);
        assert!(verify_signature(&PublicKey(bytes), b"anything", &signature).is_ok(), "{}", hex::encode(bytes));
    }
    for low in 0xed..=0xff {
        let mut bytes = [0xff; 32];
        bytes[0] = low;
        bytes[31] = 0x7f;
        assert!(check_key(&PublicKey(bytes)).is_err(), "y is not reduced");
    }
    let mixed = (ED25519_BASEPOINT_POINT + EIGHT_TORSION[1]).compress().to_bytes();
    assert!(check_key(&PublicKey(mixed)).is_ok(), "only small order is refused");
    assert!(check_key(&author()).is_ok());
}

fn challenge(r: &[u8; 32], key: &[u8; 32], message: &[u8]) -> Scalar {
    let digest = Sha512::new().chain_update(r).chain_update(key).chain_update(message).finalize();
    Scalar::from_bytes_mod_order_wide(&digest.into())
}

/// A key `a B + T` whose signatures can be made by hand.
#[derive(Clone, Copy)]
struct OddKey {
    why: &'static str,
    secret: Scalar,
    point: EdwardsPoint,
}

impl OddKey {
    fn bytes(&self) -> [u8; 32] {
        self.point.compress().to_bytes()
    }
}

/// Keys that may sign: without and with a part of small order.
fn odd_keys() -> Vec<OddKey> {
    let secret = Scalar::from_bytes_mod_order([9; 32]);
    [
        ("a key of prime order", 0),
        ("a key of mixed order, 8", 1),
        ("a key of mixed order, 4", 2),
        ("a key of mixed order, 2", 4),
    ]
    .map(|(why, torsion)| OddKey { why, secret, point: ED25519_BASEPOINT_POINT * secret + EIGHT_TORSION[torsion] })
    .into()
}

/// s + times * group order, as a number that is not reduced; times is small.
fn unreduced(signature: [u8; 64], times: u8) -> [u8; 64] {
    let group_order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut wide = signature;
    for _ in 0..times {
        let mut carry = 0;
        for (byte, add) in wide[32..].iter_mut().zip(&group_order) {
            let sum = u16::from(*byte) + u16::from(*add) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
    }
    wide
}

/// Signatures of `message` by `key` in odd shapes, and whether ZIP-215 takes them: R of small, mixed and prime order, R in
/// another spelling, hashed as it stands or reduced, and s beyond the group order.
fn odd_signatures(key: &OddKey, message: &[u8]) -> Vec<(String, [u8; 64], bool)> {
    let nonce = Scalar::from_bytes_mod_order([5; 32]);
    let sign = |r: [u8; 32], hashed: [u8; 32], nonce: Scalar| {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r);
        let s = nonce + challenge(&hashed, &key.bytes(), message) * key.secret;
        signature[32..].copy_from_slice(s.as_bytes());
        signature
    };
    let mut found = Vec::new();
    for (order, torsion) in [("prime", 0), ("mixed", 1), ("mixed", 2), ("mixed", 4), ("mixed", 7)] {
        let r = (ED25519_BASEPOINT_POINT * nonce + EIGHT_TORSION[torsion]).compress().to_bytes();
        let good = sign(r, r, nonce);
        found.push((format!("R of {order} order"), good, true));
        found.push(("s beyond the group order".into(), unreduced(good, 1), false));
        found.push(("s far beyond the group order".into(), unreduced(good, 14), false));
        let mut negative = good;
        negative[31] ^= 0x80;
        found.push(("R with the other sign".into(), negative, false));
        let mut other = good;
        other[32] ^= 1;
        found.push(("another s".into(), other, false));
    }
    for r in small_order_encodings() {
        let canonical = CompressedEdwardsY(r).decompress().unwrap().compress().to_bytes();
        let spelling = if canonical == r { "" } else { ", in another spelling" };
        found.push((format!("R of small order{spelling}"), sign(r, r, Scalar::ZERO), true));
        if canonical != r {
            found.push(("R in another spelling, hashed in its own".into(), sign(r, canonical, Scalar::ZERO), false));
        }
        let mut nothing = sign(r, r, Scalar::ZERO);
        nothing[32..].fill(0);
        found.push(("s of nothing".into(), nothing, false));
    }
    let mut no_point = sign([2; 32], [2; 32], nonce);
    while CompressedEdwardsY(no_point[..32].try_into().unwrap()).decompress().is_some() {
        no_point[0] += 1;
    }
    found.push(("R is no point".into(), no_point, false));
    found
}

/// The equation of ZIP-215, written out.
fn zip215(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let (r, s) = signature.split_at(32);
    let (r, s): ([u8; 32], [u8; 32]) = (r.try_into().unwrap(), s.try_into().unwrap());
    let point = |bytes: [u8; 32]| CompressedEdwardsY(bytes).decompress();
    let s: Option<Scalar> = Scalar::from_canonical_bytes(s).into();
    let (Some(a), Some(big_r), Some(s)) = (point(*key), point(r), s) else { return false };
    (ED25519_BASEPOINT_POINT * s - big_r - a * challenge(&r, key, message)).is_small_order()
}

#[test]
fn odd_signatures_are_what_the_equation_says() {
    for key in odd_keys() {
        assert!(check_key(&PublicKey(key.bytes())).is_ok(), "{}", key.why);
        for (why, signature, valid) in odd_signatures(&key, b"a message") {
            assert_eq!(zip215(&key.bytes(), b"a message", &signature), valid, "{} {why}", key.why);
            let found = verify_signature(&PublicKey(key.bytes()), b"a message", &signature);
            assert_eq!(found.is_ok(), valid, "{} {why}", key.why);
        }
    }
}

#[test]
fn odd_signatures_of_commits_are_judged_alike_alone_and_in_a_batch() {
    let mut envelopes = Vec::new();
    for key in odd_keys() {
        let draft = Draft::new(vec![register("a", "f", 1)]).head("author", bytes(&key.bytes()));
        for (_, signature, valid) in odd_signatures(&key, &draft.commit_id()) {
            envelopes.push((valid, draft.complete().with("g", bytes(&signature)).encode()));
        }
    }
    for (valid, envelope) in &envelopes {
        let checked = || check(envelope, Place::Door, &rules()).unwrap();
        assert_eq!(checked().verify().is_ok(), *valid);
        let pair = verify_batch(vec![checked(), check(&built(simple(1)).envelope, Place::Door, &rules()).unwrap()]);
        assert_eq!((pair[0].is_ok(), pair[1].is_ok()), (*valid, true));
    }
    let checked = envelopes.iter().map(|(_, envelope)| check(envelope, Place::Door, &rules()).unwrap()).collect();
    let together: Vec<bool> = verify_batch(checked).iter().map(Result::is_ok).collect();
    assert_eq!(together, envelopes.iter().map(|(valid, _)| *valid).collect::<Vec<_>>());
    let valid = envelopes.iter().filter(|(valid, _)| *valid);
    let checked = valid.map(|(_, envelope)| check(envelope, Place::Door, &rules()).unwrap()).collect();
    assert!(verify_batch(checked).iter().all(Result::is_ok));
}

#[test]
fn odd_signatures_of_certificates() {
    for key in odd_keys() {
        let owner = Soul::of_key(PublicKey(key.bytes())).to_string();
        let paper = Paper::new(OWNER, AUTHOR)
            .with("issuer", bytes(&key.bytes()))
            .with("space", text(&owner))
            .prefixes(&[&owner]);
        let message = *blake3::hash(&[b"rustdht/cert/1", &paper.map.encode()[..]].concat()).as_bytes();
        for (why, signature, valid) in odd_signatures(&key, &message) {
            let read = SignedCertificate::decode(&paper.map.encode(), &signature);
            assert_eq!(read.is_ok(), valid, "{} {why}", key.why);
            // What a door admits under it is the same.
            let draft = Draft::new(vec![slotted(&owner, "f", "register", &paper.writer(), &1.into())]).auth(&[&paper]);
            let along = list(&[list(&[bytes(&paper.map.encode()), bytes(&signature)])]);
            let found = verdict(&draft.complete().with("c", along).encode(), Place::Door, &rules(), 0).0;
            assert_eq!(found, if valid { "ok" } else { "bad_signature" });
        }
    }
}

#[test]
fn odd_signatures_of_endorsements_are_judged_alike_alone_and_in_a_batch() {
    let draft = Draft::new(vec![register("a", "f", 1)]);
    let message = *blake3::hash(&[&b"rustdht/endorse/1"[..], &draft.commit_id()].concat()).as_bytes();
    for key in odd_keys() {
        let paper = crate::endorsing::member(COMMUNITY, 30).with("audience", bytes(&key.bytes()));
        let known = known(&[&paper]);
        let rules = Rules { mode: Mode::Members, certificates: &known, ..rules() };
        let mut envelopes = Vec::new();
        for (_, signature, valid) in odd_signatures(&key, &message) {
            let pair = list(&[paper.cid(), bytes(&signature)]);
            envelopes.push((valid, draft.complete().with("e", list(&[pair])).encode()));
        }
        let checked = || {
            envelopes.iter().map(|(_, envelope)| check(envelope, Place::Replica, &rules).unwrap()).collect::<Vec<_>>()
        };
        let admitted = |outcome: &Result<Verified, Refusal>| outcome.as_ref().unwrap().entries[0].1.is_ok();
        let alone: Vec<bool> = checked().into_iter().map(|one| admitted(&one.verify())).collect();
        let together: Vec<bool> = verify_batch(checked()).iter().map(admitted).collect();
        assert_eq!(alone, envelopes.iter().map(|(valid, _)| *valid).collect::<Vec<_>>());
        assert_eq!(together, alone);
    }
}

#[test]
fn signature_vectors() {
    let message = [0x6d; 32];
    let case = |why: String, key: [u8; 32], signature: [u8; 64], valid: bool| {
        let code = check_key(&PublicKey(key)).err().map(|refusal| refusal.code.as_str());
        json!({
            "why": why, "key": hex::encode(key), "message": hex::encode(message), "signature": hex::encode(signature),
            "verifies": valid, "key_code": code,
        })
    };
    let mut cases = Vec::new();
    for key in odd_keys() {
        for (why, signature, valid) in odd_signatures(&key, &message) {
            cases.push(case(format!("{}: {why}", key.why), key.bytes(), signature, valid));
        }
    }
    // Under a key of small order anything verifies: R = A, s = 0. That is why no such key may sign.
    for key in small_order_encodings() {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&key);
        let valid = zip215(&key, &message, &signature);
        assert!(valid && verify_signature(&PublicKey(key), &message, &signature).is_ok());
        cases.push(case("a key of small order: R = A, s = 0".into(), key, signature, valid));
    }
    assert_file(
        "signatures.json",
        "Signatures of `message` by `key` in odd shapes. `verifies` is what ZIP-215 says; a key with `key_code` signs nothing, \
         whatever its signatures say. So a signature counts when `verifies` is true and `key_code` is null.",
        &cases,
    );
}

#[test]
fn a_forgery_is_found_among_hundreds() {
    let good = built(simple(2)).envelope;
    let forged = Draft { seed: [8; 32], ..Draft::new(vec![register("a", "f", 1)]) }.complete().encode();
    let checked = |bytes: &[u8]| check(bytes, Place::Door, &rules()).unwrap();
    let all = (0..300).map(|at| if at == 150 { checked(&forged) } else { checked(&good) }).collect();
    let outcomes = verify_batch(all);
    assert_eq!(outcomes.len(), 300);
    for (at, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.as_ref().map_err(|refusal| refusal.code).err(), (at == 150).then_some(Code::BadSignature));
    }
    assert!(verify_batch(Vec::new()).is_empty());
}

#[test]
fn a_signing_key_does_not_print_its_seed() {
    let printed = format!("{:?}", rustdht_wire::SigningKey::from_seed(&[0xab; 32]));
    assert!(!printed.contains("171") && !printed.contains("abab"), "{printed}");
}
