//! ZIP-215: one verification and a batch agree, and no key verifies everything.

use curve25519_dalek::{
    constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION},
    scalar::Scalar,
};
use rustdht_core::{Code, PublicKey};
use rustdht_wire::{Place, check, check_key, verify_batch, verify_signature};
use sha2::{Digest, Sha512};

use crate::{
    forge::*,
    round_trips::{built, simple},
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

/// A signature by the key `secret * B + torsion` whose R is the small-order point encoded as `r`.
fn sign_with_small_r(secret: Scalar, key: &[u8; 32], r: [u8; 32], message: &[u8]) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r);
    signature[32..].copy_from_slice((challenge(&r, key, message) * secret).as_bytes());
    signature
}

#[test]
fn odd_signatures_are_judged_alike_alone_and_in_a_batch() {
    let secret = Scalar::from_bytes_mod_order([9; 32]);
    let mut envelopes = Vec::new();
    for torsion in [EIGHT_TORSION[0], EIGHT_TORSION[1], EIGHT_TORSION[4]] {
        let author = (ED25519_BASEPOINT_POINT * secret + torsion).compress().to_bytes();
        let draft = Draft::new(vec![register("a", "f", 1)]).head("author", bytes(&author));
        for r in small_order_encodings() {
            let signature = sign_with_small_r(secret, &author, r, &draft.commit_id());
            envelopes.push((true, draft.complete().with("g", bytes(&signature)).encode()));
            // The same number, not reduced: s + l is no canonical scalar.
            let mut wide = signature;
            let group_order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
            let mut carry = 0;
            for (byte, add) in wide[32..].iter_mut().zip(group_order) {
                let sum = u16::from(*byte) + u16::from(add) + carry;
                *byte = sum as u8;
                carry = sum >> 8;
            }
            envelopes.push((false, draft.complete().with("g", bytes(&wide)).encode()));
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
