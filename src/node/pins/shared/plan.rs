//! Which replica holds what: rendezvous hashing, without I/O.
//!
//! The replicas are ranked for each pin by `BLAKE3(replica id || CID)`, the greatest first. Those of rank below `min` hold
//! it. One that comes or goes moves at most one rank of each pin, so at most one copy.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cid::Cid;
use rustdht_core::ports::ReplicaId;

use super::SharedPin;

/// What there is to look at.
pub(super) struct View<'a> {
    pub(super) own: &'a ReplicaId,
    /// Replicas seen lately, this one included.
    pub(super) near: &'a BTreeSet<ReplicaId>,
    pub(super) pins: &'a BTreeMap<Cid, SharedPin>,
    /// What each says it holds.
    pub(super) held: &'a HashMap<ReplicaId, BTreeSet<Cid>>,
    /// What this one holds (`true`), or is fetching.
    pub(super) records: &'a BTreeMap<Cid, bool>,
}

/// What is to be done about a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Fetch and hold it.
    Begin,
    /// Let go of it.
    Release,
}

type Score = [u8; 32];

fn score(replica: &ReplicaId, cid: &Cid) -> Score {
    let mut hasher = blake3::Hasher::new();
    hasher.update(replica.0.as_bytes()).update(&cid.to_bytes());
    *hasher.finalize().as_bytes()
}

/// What this replica has to do, in the order of the CIDs.
pub(super) fn steps(view: &View<'_>) -> Vec<(Cid, Step)> {
    let mut steps = Vec::new();
    for (cid, pin) in view.pins {
        let own = score(view.own, cid);
        let nearer: Vec<&ReplicaId> =
            view.near.iter().filter(|replica| *replica != view.own && score(replica, cid) > own).collect();
        let step = match view.records.get(cid) {
            None if nearer.len() < usize::from(pin.min) => Some(Step::Begin),
            None => None,
            Some(_) if nearer.len() < usize::from(pin.max) => None,
            // Only when so many that are nearer say that they have it: two that let go at one time must not rely on each
            // other, and a rank alone holds no bytes.
            Some(_) => {
                let copies = nearer.iter().filter(|replica| has(view, replica, cid)).count();
                (copies >= usize::from(pin.max)).then_some(Step::Release)
            }
        };
        steps.extend(step.map(|step| (*cid, step)));
    }
    let unpinned = view.records.keys().filter(|cid| !view.pins.contains_key(*cid));
    steps.extend(unpinned.map(|cid| (*cid, Step::Release)));
    steps
}

fn has(view: &View<'_>, replica: &ReplicaId, cid: &Cid) -> bool {
    view.held.get(replica).is_some_and(|held| held.contains(cid))
}

#[cfg(test)]
mod tests {
    use cid::multihash::Multihash;
    use proptest::prelude::*;

    use super::*;

    fn cid(number: u64) -> Cid {
        Cid::new_v1(0x55, Multihash::wrap(0x1e, blake3::hash(&number.to_be_bytes()).as_bytes()).unwrap())
    }

    fn replica(number: usize) -> ReplicaId {
        ReplicaId(format!("replica-{number}"))
    }

    /// Replicas that see each other at once, with what each holds.
    struct World {
        up: Vec<bool>,
        records: Vec<BTreeMap<Cid, bool>>,
        /// What each has announced.
        held: HashMap<ReplicaId, BTreeSet<Cid>>,
        pins: BTreeMap<Cid, SharedPin>,
    }

    impl World {
        fn new(replicas: usize) -> Self {
            let records = vec![BTreeMap::new(); replicas];
            Self { up: vec![true; replicas], records, held: HashMap::new(), pins: BTreeMap::new() }
        }

        fn pin(&mut self, number: u64, min: u16, max: u16) {
            let pin = SharedPin { min, max, ..SharedPin::new(cid(number)) };
            self.pins.insert(pin.cid, pin);
        }

        fn near(&self) -> BTreeSet<ReplicaId> {
            self.up.iter().enumerate().filter(|(_, up)| **up).map(|(number, _)| replica(number)).collect()
        }

        fn steps(&self, number: usize) -> Vec<(Cid, Step)> {
            let near = self.near();
            let (pins, held, records) = (&self.pins, &self.held, &self.records[number]);
            steps(&View { own: &replica(number), near: &near, pins, held, records })
        }

        /// One replica looks; fetches take until the next time. Whether anything was done.
        fn look(&mut self, number: usize) -> bool {
            let steps = self.steps(number);
            let mut busy = !steps.is_empty();
            let records = &mut self.records[number];
            for held in records.values_mut().filter(|held| !**held) {
                *held = true;
                busy = true;
            }
            for (cid, step) in steps {
                match step {
                    Step::Begin => drop(records.insert(cid, false)),
                    Step::Release => drop(records.remove(&cid)),
                }
            }
            let held = records.iter().filter(|(_, held)| **held).map(|(cid, _)| *cid).collect();
            self.held.insert(replica(number), held);
            busy
        }

        fn settle(&mut self) {
            for _ in 0..20 {
                let up: Vec<usize> = (0..self.up.len()).filter(|number| self.up[*number]).collect();
                if !up.into_iter().fold(false, |busy, number| self.look(number) | busy) {
                    return;
                }
            }
            panic!("it does not come to rest");
        }

        /// Copies at replicas that are up.
        fn copies(&self, cid: &Cid) -> usize {
            let up = self.records.iter().zip(&self.up).filter(|(_, up)| **up);
            up.filter(|(records, _)| records.get(cid) == Some(&true)).count()
        }

        fn check(&self) {
            let up = self.up.iter().filter(|up| **up).count();
            for (cid, pin) in &self.pins {
                let copies = self.copies(cid);
                assert!(
                    copies >= usize::from(pin.min).min(up),
                    "{copies} copies of {cid}, at least {} wanted",
                    pin.min
                );
                assert!(copies <= usize::from(pin.max), "{copies} copies of {cid}, at most {} wanted", pin.max);
            }
        }
    }

    #[test]
    fn who_is_nearest_holds_it_and_the_next_takes_over() {
        let mut world = World::new(5);
        world.pin(1, 2, 3);
        world.settle();
        world.check();
        let holders: Vec<usize> = (0..5).filter(|number| !world.records[*number].is_empty()).collect();
        assert_eq!(holders.len(), 2);
        world.up[holders[0]] = false;
        world.settle();
        assert_eq!(world.copies(&cid(1)), 2, "the third came up for the first");
        world.up[holders[0]] = true;
        world.settle();
        assert_eq!(world.copies(&cid(1)), 3, "within max nobody lets go");
        world.pin(1, 2, 2);
        world.settle();
        assert_eq!(world.copies(&cid(1)), 2);
        assert!(holders.iter().all(|number| world.records[*number].len() == 1), "the nearest keep it");
        world.pins.clear();
        world.settle();
        assert!(world.records.iter().all(BTreeMap::is_empty));
    }

    #[test]
    fn nobody_lets_go_before_nearer_ones_have_it() {
        // Everybody holds it, nobody has said so yet: whoever looks first must not go by ranks alone.
        let mut world = World::new(4);
        world.pin(1, 1, 1);
        for records in &mut world.records {
            records.insert(cid(1), true);
        }
        assert!((0..4).all(|number| world.steps(number).is_empty()));
        // All of them looking at the same moment leave one.
        for number in 0..4 {
            world.held.insert(replica(number), BTreeSet::from([cid(1)]));
        }
        let letting_go = (0..4).filter(|number| !world.steps(*number).is_empty()).count();
        assert_eq!(letting_go, 3);
        // The nearest is fetching only: the second must wait for it.
        let nearest = (0..4).find(|number| world.steps(*number).is_empty()).unwrap();
        world.held.insert(replica(nearest), BTreeSet::new());
        let letting_go = (0..4).filter(|number| !world.steps(*number).is_empty()).count();
        assert_eq!(letting_go, 2);
    }

    #[test]
    fn pins_are_spread_evenly() {
        let mut world = World::new(10);
        (0..2000).for_each(|number| world.pin(number, 2, 2));
        world.settle();
        world.check();
        for records in &world.records {
            // 400 each on average, with a standard deviation of 18.
            assert!((300..500).contains(&records.len()), "{}", records.len());
        }
    }

    #[derive(Clone, Debug)]
    enum Event {
        Toggle(usize),
        Look(usize),
        Pin(u64, u16, u16),
        Unpin(u64),
    }

    fn events() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0..6_usize).prop_map(Event::Toggle),
            (0..6_usize).prop_map(Event::Look),
            (0..6_usize).prop_map(Event::Look),
            (0..8_u64, 1..4_u16, 0..3_u16).prop_map(|(number, min, more)| Event::Pin(number, min, min + more)),
            (0..8_u64).prop_map(Event::Unpin),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_it_ends_with_as_many_copies_as_wanted(
            events in proptest::collection::vec(events(), 0..80),
        ) {
            let mut world = World::new(6);
            for event in events {
                match event {
                    Event::Toggle(number) => world.up[number] = !world.up[number],
                    Event::Look(number) if world.up[number] => drop(world.look(number)),
                    Event::Look(_) => {}
                    Event::Pin(number, min, max) => world.pin(number, min, max),
                    Event::Unpin(number) => drop(world.pins.remove(&cid(number))),
                }
            }
            world.settle();
            world.check();
        }

        #[test]
        fn no_look_takes_the_last_copies(
            events in proptest::collection::vec(events(), 0..80),
        ) {
            // Nobody is ever away: then a pin that was held by `min` never is by fewer, whoever looks when.
            let mut world = World::new(6);
            let mut reached: BTreeSet<Cid> = BTreeSet::new();
            for event in events {
                match event {
                    Event::Toggle(number) | Event::Look(number) => drop(world.look(number)),
                    Event::Pin(number, min, max) => {
                        world.pin(number, min, max);
                        reached.remove(&cid(number));
                    }
                    Event::Unpin(number) => {
                        world.pins.remove(&cid(number));
                        reached.remove(&cid(number));
                    }
                }
                for (cid, pin) in &world.pins {
                    let enough = world.copies(cid) >= usize::from(pin.min);
                    prop_assert!(enough || !reached.contains(cid), "a copy of {cid} too few");
                    if enough {
                        reached.insert(*cid);
                    }
                }
            }
        }

        #[test]
        fn one_replica_more_moves_one_copy_of_a_pin_at_most(replicas in 1..12_usize, number: u64, min in 1..4_u16) {
            let holders = |count: usize| -> BTreeSet<usize> {
                let mut world = World::new(count);
                world.pin(number, min, min);
                world.settle();
                (0..count).filter(|number| !world.records[*number].is_empty()).collect()
            };
            let (before, after) = (holders(replicas), holders(replicas + 1));
            prop_assert!(before.difference(&after).count() <= 1);
            prop_assert!(after.difference(&before).count() <= 1);
        }
    }
}
