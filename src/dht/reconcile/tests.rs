use std::collections::BTreeSet;

use negentropy::{Id, Negentropy, NegentropyStorageVector};
use proptest::prelude::*;

use super::*;

fn key() -> impl Strategy<Value = Key> {
    // Few seconds, so that bounds need prefixes of ids; ids spread like hashes, or alike in their first bytes.
    (0..60_u32, any::<[u8; 4]>(), any::<bool>()).prop_map(|(seconds, tail, spread)| {
        let mut record = [9; 32];
        record[if spread { 0..4 } else { 28..32 }].copy_from_slice(&tail);
        Key { seconds: if seconds == 59 { u32::MAX } else { seconds }, record: RecordId(record) }
    })
}

fn index_of(keys: &BTreeSet<Key>) -> Index {
    let mut index = Index::new();
    keys.iter().for_each(|key| assert!(index.insert(*key, 0)));
    index
}

fn vector_of(keys: &BTreeSet<Key>) -> NegentropyStorageVector {
    let mut vector = NegentropyStorageVector::new();
    for key in keys {
        vector.insert(u64::from(key.seconds), Id::from_byte_array(key.record.0)).unwrap();
    }
    vector.seal().unwrap();
    vector
}

/// Two sets with a common part.
fn sets(most: usize) -> impl Strategy<Value = (BTreeSet<Key>, BTreeSet<Key>)> {
    proptest::collection::vec((key(), 0..12_u8), 0..most).prop_map(|keys| {
        let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
        for (key, side) in keys {
            if side != 0 {
                ours.insert(key);
            }
            if side != 1 {
                theirs.insert(key);
            }
        }
        (ours, theirs)
    })
}

fn records<'a>(keys: impl Iterator<Item = &'a Key>) -> BTreeSet<RecordId> {
    keys.map(|key| key.record).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Both roles against the reference implementation, byte for byte, with a frame that is often full.
    #[test]
    fn speaks_the_bytes_of_the_reference((ours, theirs) in sets(2000), frame_bytes in 4096..9000_usize) {
        let (our_index, their_index) = (index_of(&ours), index_of(&theirs));
        let (our_vector, their_vector) = (vector_of(&ours), vector_of(&theirs));
        let mut initiator = Negentropy::borrowed(&our_vector, frame_bytes as u64).unwrap();
        let mut message = begin(&our_index);
        prop_assert_eq!(&message, &initiator.initiate().unwrap());
        for round in 0.. {
            prop_assert!(round < 200);
            let mut responder = Negentropy::borrowed(&their_vector, frame_bytes as u64).unwrap();
            let answer = respond(&their_index, &message, frame_bytes).unwrap();
            prop_assert!(answer.len() <= frame_bytes);
            prop_assert_eq!(&answer, &responder.reconcile(&message).unwrap());
            let (mut have, mut need) = (vec![], vec![]);
            let next = initiator.reconcile_with_ids(&answer, &mut have, &mut need).unwrap();
            let found = compare(&our_index, &answer, frame_bytes, usize::MAX).unwrap();
            prop_assert_eq!(&found.next, &next);
            let sorted = |ids: Vec<Id>| ids.into_iter().map(|id| RecordId(*id)).collect::<BTreeSet<_>>();
            prop_assert_eq!(found.have.into_iter().collect::<BTreeSet<_>>(), sorted(have));
            prop_assert_eq!(found.need.into_iter().collect::<BTreeSet<_>>(), sorted(need));
            match next {
                Some(next) => message = next,
                None => break,
            }
        }
    }

    /// Exactly the differences, also when few ids are taken at a time and the round begins anew.
    #[test]
    fn finds_exactly_the_differences((ours, theirs) in sets(1000), max_ids in 1..200_usize) {
        let (mut our_index, mut their_index) = (index_of(&ours), index_of(&theirs));
        let (mut have, mut need) = (BTreeSet::new(), BTreeSet::new());
        let by_record: std::collections::HashMap<_, _> = ours.iter().chain(&theirs).map(|k| (k.record, *k)).collect();
        let mut message = begin(&our_index);
        for round in 0.. {
            prop_assert!(round < 3000);
            let answer = respond(&their_index, &message, 4096).unwrap();
            let found = compare(&our_index, &answer, 4096, max_ids).unwrap();
            prop_assert!(found.have.len() <= max_ids && found.need.len() <= max_ids);
            for record in &found.have {
                their_index.insert(by_record[record], 0);
            }
            for record in &found.need {
                our_index.insert(by_record[record], 0);
            }
            have.extend(found.have);
            need.extend(found.need);
            message = match found.next {
                Some(next) => next,
                None if found.cut => begin(&our_index),
                None => break,
            };
        }
        prop_assert_eq!(have, records(ours.difference(&theirs)));
        prop_assert_eq!(need, records(theirs.difference(&ours)));
    }

    #[test]
    fn hostile_messages_never_panic_and_stay_bounded(
        (ours, theirs) in sets(600),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        noise in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let (our_index, their_index) = (index_of(&ours), index_of(&theirs));
        let mut message = begin(&their_index);
        let mut answer = respond(&our_index, &message, 4096).unwrap();
        for (at, byte) in edits {
            let (one, two) = (at.index(message.len()), at.index(answer.len()));
            message[one] = byte;
            answer[two] = byte;
        }
        for bytes in [message, answer, noise.clone(), [vec![VERSION], noise].concat()] {
            if let Ok(answer) = respond(&our_index, &bytes, 4096) {
                prop_assert!(answer.len() <= 4096 + 600, "{}", answer.len());
            }
            if let Ok(found) = compare(&our_index, &bytes, 4096, 50) {
                prop_assert!(found.have.len() <= 50 && found.need.len() <= 50);
            }
        }
    }
}

#[test]
fn ten_recent_differences_in_a_large_set_cost_little() {
    let mut ours = Index::new();
    for number in 0..200_000_u32 {
        let record = RecordId(*blake3::hash(&number.to_le_bytes()).as_bytes());
        ours.insert(Key { seconds: number / 4, record }, 0);
    }
    let mut theirs = ours.clone();
    for number in 0..10_u32 {
        let record = RecordId(*blake3::hash(&[1, number as u8]).as_bytes());
        theirs.insert(Key { seconds: 50_000 + number, record }, 0);
    }
    let (mut bytes, mut rounds, mut need) = (0, 0, 0);
    let mut message = Some(begin(&ours));
    while let Some(sent) = message {
        let answer = respond(&theirs, &sent, 65_536).unwrap();
        bytes += sent.len() + answer.len();
        rounds += 1;
        let found = compare(&ours, &answer, 65_536, 1000).unwrap();
        need += found.need.len();
        message = found.next;
    }
    assert_eq!(need, 10);
    assert!(rounds <= 3 && bytes <= 4096, "{bytes} bytes in {rounds} rounds");
}
