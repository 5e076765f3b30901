//! Random damage to valid envelopes: nothing panics, and nothing is admitted that the author did not sign.

use std::collections::BTreeSet;

use rustdht_core::{Entry, Value};
use rustdht_wire::{Place, check, verify_batch};

use crate::forge::*;

/// A repeatable stream of numbers.
struct Dice(blake3::OutputReader);

impl Dice {
    fn new(seed: &str) -> Self {
        Self(blake3::Hasher::new().update(seed.as_bytes()).finalize_xof())
    }

    fn below(&mut self, end: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        (u64::from_le_bytes(bytes) % end as u64) as usize
    }

    /// Changes, inserts, removes, repeats or swaps bytes in one to four places.
    fn damage(&mut self, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(8) {
                0..=2 => bytes[at] = self.below(256) as u8,
                3 => bytes[at] ^= 1 << self.below(8),
                4 => bytes.insert(at, self.below(256) as u8),
                5 if bytes.len() > 1 => {
                    bytes.remove(at);
                }
                6 => {
                    let len = self.below(40).min(bytes.len() - at);
                    let to = self.below(bytes.len());
                    let part = bytes[at..at + len].to_vec();
                    bytes.splice(to..to, part);
                }
                _ => {
                    let other = self.below(bytes.len());
                    bytes.swap(at, other);
                }
            }
        }
        bytes
    }
}

fn draft() -> Draft {
    let one = Value::from(1);
    Draft::new(vec![
        register("people/ada", "name", "Ada"),
        slotted(&owned(), "title", "register", &writer(), &"A title".into()),
        own("people/ada", "knows", "set", &Value::Link("people/bob".parse().unwrap())).with("o", ids(&[[1; 32]])),
        removal("people/ada", "knows", "set", &[[2; 32], [3; 32]]),
        slotted("people/ada", "age", "null", &[], &Value::Null),
        slotted(&owned(), "n", "counter", &[&writer()[..], &SESSION].concat(), &one),
        own("people/ada", "bio", "text", &Value::Bytes(vec![1, 2, 3].into()))
            .with("x", ids(&[[4; 32]]))
            .with("b", uint(9)),
        own("people/ada", "x", "kill", &"erase".into()),
        own("people/ada", "y", "tensor", &Value::Float(0.5)),
    ])
}

/// Every mutant is refused, or brings nothing but what was signed.
fn assert_harmless(name: &str, original: &[u8], place: Place, count: usize) {
    let signed = admit(original, place).unwrap();
    let is_signed = |entry: &Entry| signed.entries.iter().any(|(_, known)| known.as_ref() == Ok(entry));
    let mut dice = Dice::new(name);
    let mut admitted = 0;
    let mut checked = Vec::new();
    let mut codes = BTreeSet::new();
    for turn in 0..count {
        let mutant = dice.damage(original);
        let passed = match check(&mutant, place, &rules()) {
            Ok(passed) => passed,
            Err(refusal) => {
                codes.insert(refusal.code);
                continue;
            }
        };
        if mutant != original && place == Place::Door {
            // Only the signature can still refuse it.
            assert!(passed.clone().verify().is_err(), "{name}: mutant {turn} passed: {}", hex::encode(&mutant));
        }
        checked.push(passed);
    }
    for verified in verify_batch(checked).into_iter().flatten() {
        admitted += 1;
        assert_eq!(verified.header, signed.header, "{name}");
        for entry in verified.entries.iter().filter_map(|(_, entry)| entry.as_ref().ok()) {
            assert!(is_signed(entry), "{name}: {entry:?}");
        }
    }
    assert!(admitted < count, "{name}: the damage does something");
    assert!(codes.len() >= 3, "{name}: the damage reaches beyond the encoding: {codes:?}");
}

#[test]
fn mutants_of_a_complete_envelope() {
    assert_harmless("door", &draft().complete().encode(), Place::Door, 12_000);
}

#[test]
fn mutants_of_an_envelope_with_leaves() {
    assert_harmless("leaves", &draft().with_leaves(&[0, 2, 3, 5, 6, 7]).encode(), Place::Replica, 6_000);
}

#[test]
fn mutants_of_an_envelope_with_proofs() {
    assert_harmless("proofs", &draft().with_proofs(&[1, 3, 8]).encode(), Place::Replica, 6_000);
}

#[test]
fn mutants_of_an_envelope_without_values() {
    let draft = draft();
    let ops = [(0, dropped(&draft.ops[0])), (2, dropped(&draft.ops[2])), (3, draft.ops[3].clone())];
    let envelope = draft.with_operations(&ops).with("leaves", ids(&draft.leaves()));
    assert_harmless("value-less", &envelope.encode(), Place::Replica, 4_000);
}

#[test]
fn noise_never_panics() {
    let mut dice = Dice::new("noise");
    for _ in 0..4_000 {
        let bytes: Vec<u8> = (0..dice.below(200)).map(|_| dice.below(256) as u8).collect();
        assert!(check(&bytes, Place::Replica, &rules()).is_err());
    }
}

#[test]
fn mutants_of_every_form_bring_nothing_that_was_not_signed() {
    let mut mutator = crate::mutator::Mutator::new(1);
    for _ in 0..20_000 {
        mutator.step();
    }
    let tally = &mutator.tally;
    assert_eq!(tally.mutants, 20_000);
    // It reaches every part: most codes are seen, and parts of commits still pass between replicas.
    assert!(tally.refused.len() >= 12, "{:?}", tally.refused);
    assert!(tally.parts > 0 && tally.beside > 0 && tally.identical < 2_000, "{tally:?}");
}
