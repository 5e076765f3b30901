//! The schedule against a simulated DHT: exact answers, an exact count of lookups.

use std::collections::{HashMap, HashSet};

use super::*;

const REPLICAS: usize = 20;
const HOUR_MS: u64 = 3_600_000;
/// Kubo's interval; records are kept for 48 h.
const INTERVAL_MS: u64 = 22 * HOUR_MS;
const START_MS: u64 = 1_795_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Peer(Point);

impl Holder for Peer {
    fn point(&self) -> Point {
        self.0
    }
}

type Key = [u8; 34];

fn key(number: u32) -> Key {
    let mut key = [0; 34];
    key[..2].copy_from_slice(&[0x12, 0x20]);
    key[2..6].copy_from_slice(&number.to_be_bytes());
    key
}

/// Peers at random points, and what each was given when.
struct Dht {
    /// Sorted.
    peers: Vec<Point>,
    held: HashMap<Key, Vec<(u64, Vec<Point>)>>,
    lookups: u64,
    reachable: bool,
}

impl Dht {
    fn new(peers: u32) -> Self {
        let mut peers: Vec<Point> = (0..peers).map(|number| Point::of(format!("peer {number}").as_bytes())).collect();
        peers.sort_unstable();
        Self { peers, held: HashMap::new(), lookups: 0, reachable: true }
    }

    /// The nearest peers: within the smallest prefix that holds enough.
    fn nearest(&self, target: &Point) -> Vec<Peer> {
        let at = self.peers.partition_point(|peer| peer < target);
        let (mut from, mut to) = (at, at);
        for bits in (0..=256).rev() {
            let prefix = super::super::keyspace::Prefix::of(target, bits);
            while from > 0 && prefix.holds(&self.peers[from - 1]) {
                from -= 1;
            }
            while to < self.peers.len() && prefix.holds(&self.peers[to]) {
                to += 1;
            }
            if to - from >= REPLICAS {
                break;
            }
        }
        let mut near: Vec<Point> = self.peers[from..to].to_vec();
        near.sort_unstable_by_key(|peer| peer.distance(target));
        near.truncate(REPLICAS);
        near.into_iter().map(Peer).collect()
    }

    /// Does all that is due at this time; `true`: there was something.
    fn serve(&mut self, sweep: &mut Sweep<Peer, Key>, keys: &[Vec<Key>], now_ms: u64) -> bool {
        let tasks = sweep.poll(now_ms);
        let any = !tasks.is_empty();
        for (lane, task) in tasks {
            match task {
                Task::Load(bucket) => sweep.loaded(lane, Some(keys[usize::from(bucket)].clone()), now_ms),
                Task::Lookup(target) => {
                    self.lookups += 1;
                    let found = self.reachable.then(|| self.nearest(&Point::of(&target)));
                    sweep.found(lane, found, now_ms);
                }
                Task::Give(records) => {
                    let mut of_key: HashMap<Key, Vec<Point>> = HashMap::new();
                    for (peer, keys) in records {
                        keys.into_iter().for_each(|key| of_key.entry(key).or_default().push(peer.0));
                    }
                    for (key, peers) in of_key {
                        self.held.entry(key).or_default().push((now_ms, peers));
                    }
                    sweep.given(lane);
                }
            }
        }
        any
    }

    fn run(&mut self, sweep: &mut Sweep<Peer, Key>, keys: &[Vec<Key>], from_ms: u64, to_ms: u64) {
        for now_ms in (from_ms..to_ms).step_by(60_000) {
            while self.serve(sweep, keys, now_ms) {}
        }
    }
}

/// A schedule of a node that had nothing to announce until now.
fn settled(phase_ms: u64) -> Sweep<Peer, Key> {
    let mut sweep = Sweep::new(REPLICAS, INTERVAL_MS, phase_ms, None, START_MS);
    while Dht::new(1).serve(&mut sweep, &vec![Vec::new(); 256], START_MS) {}
    assert!(sweep.progress().settled);
    sweep
}

fn buckets(keys: &[Key]) -> Vec<Vec<Key>> {
    let mut buckets = vec![Vec::new(); 256];
    keys.iter().for_each(|key| buckets[usize::from(Point::of(key).0[0])].push(*key));
    buckets
}

/// Issue: 100,000 CIDs in a DHT of some 2,000 nodes at no more than 3,000 lookups, restart-safe.
#[test]
fn a_hundred_thousand_keys_take_few_lookups_and_survive_restarts() {
    let keys: Vec<Key> = (0..100_000).map(key).collect();
    let by_bucket = buckets(&keys);
    let mut dht = Dht::new(2_000);
    let mut sweep = settled(12_345);
    // They come while the first of them are given out already.
    for (at, key) in keys.iter().enumerate() {
        assert!(sweep.add(*key));
        if at % 2_000 == 0 {
            dht.serve(&mut sweep, &by_bucket, START_MS);
        }
    }
    while dht.serve(&mut sweep, &by_bucket, START_MS) {}
    let first = dht.lookups;
    assert_eq!((dht.held.len(), sweep.waiting()), (100_000, 0));
    assert!(first <= 3_000, "{first} lookups to provide");
    assert!(sweep.progress().settled);

    // A cycle with a restart in its middle that takes three hours.
    let (stop_ms, again_ms, end_ms) =
        (START_MS + 9 * HOUR_MS, START_MS + 12 * HOUR_MS, START_MS + INTERVAL_MS + HOUR_MS);
    dht.run(&mut sweep, &by_bucket, START_MS, stop_ms);
    let progress = sweep.progress();
    drop(sweep);
    let mut sweep = Sweep::new(REPLICAS, INTERVAL_MS, 12_345, Some(progress), again_ms);
    assert!(sweep.behind_permille(again_ms) > 100);
    dht.run(&mut sweep, &by_bucket, again_ms, end_ms);
    let second = dht.lookups - first;
    assert!(second <= 3_000, "{second} lookups of the second cycle");
    let before = dht.lookups;
    dht.run(&mut sweep, &by_bucket, end_ms, end_ms + INTERVAL_MS);
    let third = dht.lookups - before;
    assert!(third <= 3_000, "{third} lookups of the third cycle");
    // Measured: 353, 270 and 278. Kubo's legacy provider would take 100,000 each time.
    assert!(first.max(second).max(third) <= 600, "{first} to provide, {second} and {third} to reprovide");

    for (at, (key, given)) in dht.held.iter().enumerate() {
        assert!(given.len() >= 3, "{key:?} was given {} times", given.len());
        assert!(given.windows(2).all(|pair| pair[1].0 - pair[0].0 < 47 * HOUR_MS), "a record would have expired");
        // All replicas are the right ones; comparing every hundredth key is enough to see it.
        if at % 100 == 0 {
            let right: HashSet<Point> = dht.nearest(&Point::of(key)).into_iter().map(|peer| peer.0).collect();
            assert!(given.iter().all(|(_, peers)| peers.iter().copied().collect::<HashSet<_>>() == right), "{key:?}");
        }
    }
}

#[test]
fn few_keys_take_a_lookup_each() {
    let keys: Vec<Key> = (0..50).map(key).collect();
    let by_bucket = buckets(&keys);
    let mut dht = Dht::new(2_000);
    let mut sweep = settled(0);
    keys.iter().for_each(|key| assert!(sweep.add(*key)));
    while dht.serve(&mut sweep, &by_bucket, START_MS) {}
    assert!(dht.lookups <= 50, "{}", dht.lookups);
    dht.run(&mut sweep, &by_bucket, START_MS, START_MS + INTERVAL_MS);
    assert!(dht.lookups <= 100, "{}", dht.lookups);
    assert!(dht.held.values().all(|given| given.len() == 2 && given.iter().all(|(_, peers)| peers.len() == REPLICAS)));
}

#[test]
fn in_a_dht_smaller_than_the_replicas_everybody_holds_everything() {
    let keys: Vec<Key> = (0..1_000).map(key).collect();
    let by_bucket = buckets(&keys);
    let mut dht = Dht::new(7);
    let mut sweep = settled(0);
    keys.iter().for_each(|key| assert!(sweep.add(*key)));
    while dht.serve(&mut sweep, &by_bucket, START_MS) {}
    assert!(dht.lookups <= FRESH_LANES as u64 + NEWEST_KEYS as u64, "{}", dht.lookups);
    assert!(dht.held.len() == 1_000 && dht.held.values().all(|given| given[0].1.len() == 7));
}

#[test]
fn a_dht_that_does_not_answer_is_asked_again_after_pauses() {
    let keys = [key(1)];
    let by_bucket = buckets(&keys);
    let mut dht = Dht::new(100);
    dht.reachable = false;
    let mut sweep = settled(0);
    sweep.add(keys[0]);
    for second in 0..3_600 {
        while dht.serve(&mut sweep, &by_bucket, START_MS + second * 1_000) {}
    }
    assert!((5..=12).contains(&dht.lookups), "{} lookups in an hour", dht.lookups);
    assert_eq!((sweep.waiting(), sweep.progress().settled), (1, false));
    dht.reachable = true;
    while dht.serve(&mut sweep, &by_bucket, START_MS + 2 * HOUR_MS) {}
    assert_eq!((sweep.waiting(), dht.held.len(), sweep.progress().settled), (0, 1, true));
}

#[test]
fn a_single_key_does_not_wait_behind_an_import() {
    let mut sweep = settled(0);
    let dht = Dht::new(2_000);
    (0..200_000).for_each(|number| assert!(sweep.add(key(number))));
    // Every lane has something under way.
    let mut tasks = sweep.poll(START_MS);
    let single = key(u32::MAX);
    sweep.add(single);
    let mut lookups = 0;
    loop {
        for (lane, task) in std::mem::take(&mut tasks) {
            match task {
                Task::Lookup(target) => {
                    lookups += 1;
                    sweep.found(lane, Some(dht.nearest(&Point::of(&target))), START_MS);
                }
                Task::Give(records) if records.iter().any(|(_, keys)| keys.contains(&single)) => {
                    assert!(lookups <= 40, "after {lookups} lookups");
                    return;
                }
                Task::Give(_) => sweep.given(lane),
                Task::Load(_) => sweep.loaded(lane, Some(Vec::new()), START_MS),
            }
        }
        tasks = sweep.poll(START_MS);
        assert!(!tasks.is_empty());
    }
}

#[test]
fn odd_progress_is_put_right() {
    let of = |progress, now_ms| Sweep::<Peer, Key>::new(REPLICAS, INTERVAL_MS, 0, Some(progress), now_ms);
    let line =
        of(Progress { interval_ms: INTERVAL_MS, position: Position { cycle: 0, head: 0 }, settled: true }, START_MS);
    assert_eq!(line.behind_permille(START_MS), 1_000, "away for years: one cycle is due, not thousands");
    let ahead = Progress { interval_ms: INTERVAL_MS, position: Position { cycle: u64::MAX, head: 5 }, settled: true };
    assert_eq!(of(ahead, START_MS).behind_permille(START_MS), 0);
    let unsettled = Progress { settled: false, position: line.line(START_MS), ..ahead };
    assert_eq!(of(unsettled, START_MS).behind_permille(START_MS), 1_000, "what waited was forgotten");
    let other = Progress { interval_ms: HOUR_MS, position: ahead.position, settled: true };
    let sweep = of(other, START_MS);
    assert_eq!(sweep.behind_permille(START_MS), 1_000);
}
