//! Random histories of several replicas: each plans its own writes with a clock of its own, and they exchange what they
//! hold with loss, repetition, reordering and partitions. In the end all hold the same and show the same, which is what
//! the data model's text says ([`crate::oracle`]).

mod actions;
mod checks;
mod semantics;

use std::sync::Arc;

use proptest::prelude::*;
use rustdht_core::{CertificateId, CommitId, Entry, Field, Hlc, MAX_OVER, PublicKey, Session, Soul};

use crate::{Action, Draft, Merge, NodeState, Pen, fixtures, oracle, plan};

/// A generator that is cheap and repeats (Steele et al., "Fast splittable pseudorandom number generators", 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[usize::try_from(self.below(items.len() as u64)).unwrap()]
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = usize::try_from(self.below(at as u64 + 1)).unwrap();
            items.swap(at, other);
        }
    }

    fn id(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.next().to_le_bytes()));
        bytes
    }
}

/// What the writers of a history do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    Register,
    Null,
    Kill,
    Set,
    Counter,
    Flag,
    Max,
    Min,
    OwnUnknown,
    SlottedUnknown,
    Ciphertext,
    Mixed,
    Permanent,
    Origins,
    Text,
    List,
    Map,
}

#[derive(Clone)]
struct Replica {
    pen: Pen,
    clock: Hlc,
    /// How far its physical clock is ahead, in milliseconds.
    ahead: u64,
    side: u64,
    node: NodeState,
}

struct World {
    random: Random,
    now_ms: u64,
    replicas: Vec<Replica>,
    all: Vec<Arc<Entry>>,
    fields: Vec<Field>,
}

impl World {
    fn new(seed: u64, profile: Profile) -> Self {
        let mut random = Random(seed);
        let owner = PublicKey([1; 32]);
        let (root, below) = (Soul::of_key(owner), format!("{}/x", Soul::of_key(owner)).parse().unwrap());
        let mirror: Soul = "^https://example.com/a".parse().unwrap();
        let (soul, fields): (Soul, &[&str]) = match profile {
            Profile::Permanent => (root, &["revoked", "f"]),
            Profile::Origins => (mirror, &["f", "origin_time"]),
            _ => (random.pick(&["public".parse().unwrap(), below, root, mirror]).clone(), &["f"]),
        };
        let count = 3 + random.below(3);
        let replicas = (0..count).map(|at| {
            let byte = u8::try_from(at).unwrap();
            let owned = oracle::owner_of(&soul).is_some();
            // The second replica is another process of the first one's author.
            let author = PublicKey([byte.max(1); 32]);
            let leaf = (owned && at > 1).then_some(CertificateId([byte; 32]));
            Replica {
                pen: Pen::new(author, Session([byte; 8]), leaf),
                clock: Hlc::default(),
                ahead: random.below(4),
                side: 0,
                node: NodeState::new(soul.clone()),
            }
        });
        let replicas = replicas.collect();
        let fields = fields.iter().map(|field| field.parse().unwrap()).collect();
        Self { random, now_ms: 1, replicas, all: Vec::new(), fields }
    }

    fn soul(&self) -> Soul {
        self.replicas[0].node.soul().clone()
    }

    fn sign(&mut self, at: usize, drafts: Vec<Draft>) -> Vec<Merge> {
        if drafts.is_empty() {
            return Vec::new();
        }
        let commit = CommitId(self.random.id());
        let replica = &mut self.replicas[at];
        let stamp = replica.clock.tick(self.now_ms + replica.ahead);
        let mut merges = Vec::new();
        for (index, draft) in (0..).zip(drafts) {
            assert!(draft.after < stamp, "a writer's clock has seen what it writes over");
            assert!(draft.over.len() <= MAX_OVER && draft.over.is_sorted_by(|a, b| a < b));
            assert!(draft.kills.is_sorted_by(|a, b| a < b));
            let entry = fixtures::entry(draft, &replica.pen, stamp, commit, index);
            self.all.push(Arc::clone(&entry));
            merges.push(replica.node.join(entry).merge);
        }
        merges
    }

    fn act(&mut self, at: usize, field: &Field, action: &Action) -> Vec<Merge> {
        let replica = &self.replicas[at];
        let before = replica.node.view(field).map(|view| view.shown);
        let mut drafts = Vec::new();
        let Ok(answer) = plan(&replica.node, &replica.pen, field, action, &mut drafts) else { return Vec::new() };
        assert_eq!(answer.is_some(), !drafts.is_empty());
        let merges = self.sign(at, drafts);
        assert!(merges.iter().all(|merge| *merge == Merge::Taken), "a writer's own operations are taken: {action:?}");
        let after = self.replicas[at].node.view(field).map(|view| view.shown);
        self.check_effect(at, field, action, before.as_ref(), after);
        merges
    }

    /// One replica sends another what it holds: part of it, in any order, some of it twice.
    fn deliver(&mut self, complete: bool) {
        let from = usize::try_from(self.random.below(self.replicas.len() as u64)).unwrap();
        let to = usize::try_from(self.random.below(self.replicas.len() as u64)).unwrap();
        if complete || self.replicas[from].side == self.replicas[to].side {
            self.send(from, to, complete);
        }
    }

    fn send(&mut self, from: usize, to: usize, complete: bool) {
        let mut entries: Vec<Arc<Entry>> = self.replicas[from].node.entries().cloned().collect();
        if !complete {
            entries.retain(|_| !self.random.one_in(3));
        }
        let twice: Vec<_> = entries.iter().filter(|_| self.random.one_in(5)).cloned().collect();
        entries.extend(twice);
        self.random.shuffle(&mut entries);
        let replica = &mut self.replicas[to];
        // What came without its value waits for the kill that covers it; what still waits then is sent again later.
        loop {
            let before = entries.len();
            entries.retain(|entry| {
                let merge = replica.node.join(Arc::clone(entry)).merge;
                if merge != Merge::Pending {
                    replica.clock.observe(entry.stamp);
                }
                merge == Merge::Pending
            });
            if entries.is_empty() || entries.len() == before {
                break;
            }
        }
    }

    fn run(&mut self, profile: Profile, steps: usize) {
        for _ in 0..steps {
            self.now_ms += self.random.below(2);
            match self.random.below(8) {
                0..5 => self.write(profile),
                5 | 6 => self.deliver(false),
                // Who hears whom changes.
                _ => {
                    let sides = 1 + self.random.below(2);
                    for at in 0..self.replicas.len() {
                        self.replicas[at].side = self.random.below(sides);
                    }
                }
            }
        }
        // Everybody hears of everything, over several hops.
        for _ in 0..2 {
            let mut order: Vec<usize> = (0..self.replicas.len()).collect();
            self.random.shuffle(&mut order);
            for pair in order.windows(2) {
                self.send(pair[0], pair[1], true);
            }
            for pair in order.windows(2).rev() {
                self.send(pair[1], pair[0], true);
            }
        }
    }
}

fn history(seed: u64, steps: usize, profile: Profile) {
    let mut world = World::new(seed, profile);
    world.run(profile, steps);
    world.check();
}

macro_rules! histories {
    ($($name:ident = $profile:ident;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

            $(#[test]
            fn $name(seed in any::<u64>(), steps in 4_usize..24) {
                history(seed, steps, Profile::$profile);
            })*
        }
    };
}

histories! {
    registers = Register;
    deletions = Null;
    kills_and_erases = Kill;
    sets = Set;
    counters = Counter;
    flags = Flag;
    maxima = Max;
    minima = Min;
    unknown_kinds_with_own_ids = OwnUnknown;
    unknown_kinds_with_slots = SlottedUnknown;
    ciphertext = Ciphertext;
    kinds_beside_each_other = Mixed;
    permanent_fields = Permanent;
    mirrored_objects = Origins;
    texts = Text;
    lists = List;
    maps = Map;
}
