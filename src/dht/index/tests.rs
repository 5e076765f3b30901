use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Keys with their partitions.
type Model = BTreeMap<Key, BTreeSet<u16>>;

/// Few seconds and few ids, so that keys repeat and neighbours share prefixes.
fn key() -> impl Strategy<Value = Key> {
    (0..20_u32, any::<u16>(), any::<bool>()).prop_map(|(seconds, number, spread)| {
        let mut record = [0; 32];
        record[if spread { 0..2 } else { 30..32 }].copy_from_slice(&number.to_be_bytes());
        Key { seconds, record: RecordId(record) }
    })
}

fn check(index: &Index, model: &Model) {
    let sorted: Vec<Key> = model.keys().copied().collect();
    assert_eq!(index.len(), sorted.len());
    let mut shown = Vec::new();
    index.each(0, usize::MAX, |key| {
        shown.push(key);
        ControlFlow::Continue(())
    });
    assert_eq!(shown, sorted);
    let sum = |keys: &[Key]| keys.iter().fold(Sum::ZERO, |sum, key| sum.plus(Sum::of(&key.record.0)));
    for (from, to) in [(0, sorted.len()), (sorted.len() / 3, sorted.len() / 2), (1.min(sorted.len()), sorted.len())] {
        assert_eq!(index.sum(from, to), sum(&sorted[from..to]), "{from}..{to}");
    }
    for (rank, key) in sorted.iter().enumerate().step_by(7) {
        assert_eq!((index.rank(key), index.get(rank)), (rank, Some(*key)));
        assert!(index.contains(key));
    }
    assert_eq!(index.get(sorted.len()), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn equals_a_sorted_set(
        edits in proptest::collection::vec((key(), 0..3_u8, prop_oneof![4 => Just(0_u16), 1 => 0..4_u16]), 0..4000),
        probes in proptest::collection::vec(key(), 20),
    ) {
        let mut index = Index::new();
        let mut model = Model::new();
        // Each edit twice: one that is repeated changes nothing.
        for (key, what, partition) in edits.into_iter().flat_map(|edit| [edit, edit]) {
            if what == 0 {
                let removed = model.get_mut(&key).is_some_and(|partitions| partitions.remove(&partition));
                if model.get(&key).is_some_and(BTreeSet::is_empty) {
                    model.remove(&key);
                }
                prop_assert_eq!(index.remove(&key, partition), removed);
            } else {
                prop_assert_eq!(index.insert(key, partition), model.entry(key).or_default().insert(partition));
            }
        }
        prop_assert_eq!(index.spread.len(), model.values().filter(|partitions| partitions.len() > 1).count());
        check(&index, &model);
        for probe in probes {
            prop_assert_eq!(index.rank(&probe), model.range(..probe).count());
            prop_assert_eq!(index.contains(&probe), model.contains_key(&probe));
        }
        // Down to nothing, from both ends and the middle.
        let mut keys: Vec<Key> = model.keys().copied().collect();
        while !keys.is_empty() {
            let key = keys.remove([0, keys.len() / 2, keys.len() - 1][keys.len() % 3]);
            let mut left = model.remove(&key).unwrap_or_default();
            while let Some(partition) = left.pop_last() {
                prop_assert!(index.contains(&key) && index.remove(&key, partition));
            }
            if keys.len().is_multiple_of(500) {
                check(&index, &model);
            }
        }
        prop_assert!(index.is_empty());
    }

    #[test]
    fn sums_are_integers_modulo_2_256(a in any::<[u8; 32]>(), b in any::<[u8; 32]>()) {
        let (x, y) = (Sum::of(&a), Sum::of(&b));
        prop_assert_eq!(x.plus(y).minus(y), x);
        prop_assert_eq!(x.plus(y), y.plus(x));
        prop_assert_eq!(x.to_bytes(), a);
    }
}

#[test]
fn a_carry_passes_through_every_limb() {
    let one = Sum::of(&{
        let mut bytes = [0; 32];
        bytes[0] = 1;
        bytes
    });
    assert_eq!(Sum::of(&[255; 32]).plus(one), Sum::ZERO);
    assert_eq!(Sum::ZERO.minus(one), Sum::of(&[255; 32]));
}

#[test]
fn ids_in_the_order_of_time_fill_their_leaves() {
    let mut index = Index::new();
    for seconds in 0..20_000 {
        index.insert(Key { seconds, record: RecordId([7; 32]) }, 0);
    }
    fn leaves(child: &Child) -> usize {
        match &child.node {
            Node::Leaf(_) => 1,
            Node::Inner(children) => children.iter().map(leaves).sum(),
        }
    }
    assert_eq!(leaves(index.root.as_ref().unwrap()), 20_000_usize.div_ceil(256));
}

#[test]
fn an_endorsement_is_here_until_it_has_left_every_partition() {
    let key = Key { seconds: 5, record: RecordId([1; 32]) };
    let mut index = Index::new();
    assert!(!index.remove(&key, 3), "what is absent");
    for partition in [3, 9, 4000] {
        assert!(index.insert(key, partition) && !index.insert(key, partition));
    }
    assert_eq!((index.len(), index.sum(0, 1)), (1, Sum::of(&[1; 32])), "compared once");
    assert!(index.remove(&key, 3) && !index.remove(&key, 3) && !index.remove(&key, 77));
    assert!(index.remove(&key, 4000) && index.contains(&key));
    assert!(index.remove(&key, 9) && index.is_empty() && index.spread.is_empty());
}
