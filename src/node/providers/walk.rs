//! Gives records of keys to the peers nearest to each, with as few lookups as regions need: keys are taken in order, and a
//! lookup is made only where the nearest peers of the next key are not known from those before.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

use super::{
    keyspace::{Point, Prefix, key_in},
    known::Known,
};

/// Lookups of one region. It takes two to four; more show a DHT that answers at random, and then what is known has to do.
const MAX_REGION_LOOKUPS: u32 = 16;
/// Holes that are worth looking at: behind them a lookup of each key is cheaper.
const MAX_HOLES: usize = 32;
/// Records given out together, over all peers.
const MAX_RECORDS: usize = 64 * 1024;

/// A peer, as the walk needs it.
pub(crate) trait Holder: Clone + Eq + Hash {
    /// Where it lies.
    fn point(&self) -> Point;
}

/// Peers, and the keys that each is to hold.
pub(crate) type Records<P, K> = Vec<(P, Vec<K>)>;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step<P, K> {
    /// Look up the peers nearest to this key, and tell [`Walk::found`].
    Lookup(Vec<u8>),
    /// Give these records out, and go on.
    Give(Records<P, K>),
    /// Nothing is left.
    Done,
}

/// Who has to be asked before a key can be placed.
enum Ask {
    /// Nobody: this region is known.
    Nobody(Prefix),
    /// The peers nearest to this.
    Peers(Point, Vec<u8>),
}

/// A walk over keys: `K` is what is announced, its point where it lies.
#[derive(Debug)]
pub(crate) struct Walk<P, K> {
    keys: BTreeMap<Point, K>,
    known: Known<P>,
    records: HashMap<P, Vec<K>>,
    recorded: usize,
    /// Known whole: the nearest peers of every key in it are in it.
    region: Option<Prefix>,
    /// Lookups since the last key was placed.
    fruitless: u32,
    target: Option<Point>,
}

impl<P: Holder, K: Clone + AsRef<[u8]>> Walk<P, K> {
    /// A walk over these keys that begins with what is `known`.
    pub(crate) fn new(known: Known<P>, keys: impl IntoIterator<Item = K>) -> Self {
        let keys = keys.into_iter().map(|key| (Point::of(key.as_ref()), key)).collect();
        Self { keys, known, records: HashMap::new(), recorded: 0, region: None, fruitless: 0, target: None }
    }

    /// Keys that are left.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// What is known at its end.
    pub(crate) fn into_known(self) -> Known<P> {
        self.known
    }

    /// What is to be done next. While a lookup is under way, ask only after [`Walk::found`].
    pub(crate) fn next(&mut self) -> Step<P, K> {
        while self.recorded < MAX_RECORDS {
            let Some((point, key)) = self.keys.first_key_value().map(|(point, key)| (*point, key.clone())) else {
                break;
            };
            match self.ask(&point, &key) {
                Ask::Nobody(region) => self.place(&region, &point, key),
                Ask::Peers(target, sought) => {
                    self.fruitless += 1;
                    self.target = Some(target);
                    return Step::Lookup(sought);
                }
            }
        }
        if self.recorded > 0 {
            self.recorded = 0;
            let mut records: Records<P, K> = self.records.drain().collect();
            // In the order of the keyspace: the same run does the same.
            records.sort_unstable_by_key(|(peer, _)| peer.point());
            return Step::Give(records);
        }
        Step::Done
    }

    /// Whether a lookup has to come before a key can be placed.
    fn ask(&mut self, point: &Point, key: &K) -> Ask {
        let itself = || (*point, key.as_ref().to_vec());
        if let Some(region) = self.region.filter(|region| region.holds(point)) {
            return Ask::Nobody(region);
        }
        // Where nothing is known around it, its own lookup tells most; that of a hole would be elsewhere.
        let Some(region) = self.known.region(point).filter(|_| self.known.is_covered(point)) else {
            let (target, sought) = itself();
            return Ask::Peers(target, sought);
        };
        let holes = self.known.holes(&region, MAX_HOLES);
        let enough = self.fruitless >= MAX_REGION_LOOKUPS;
        let Some(hole) = holes.first().filter(|_| !enough) else {
            self.region = Some(region);
            return Ask::Nobody(region);
        };
        // A lookup may leave a part of its hole.
        let worth = 2 * holes.len();
        let waiting = self.keys.range(region.first()..=region.last()).take(worth + 1).count();
        let elsewhere = if waiting > worth { self.key_of(hole) } else { None };
        let (target, sought) = elsewhere.unwrap_or_else(itself);
        Ask::Peers(target, sought)
    }

    /// A key in a prefix: one of ours, else any.
    fn key_of(&self, prefix: &Prefix) -> Option<(Point, Vec<u8>)> {
        let own = self.keys.range(prefix.first()..=prefix.last()).next();
        if let Some((point, key)) = own {
            return Some((*point, key.as_ref().to_vec()));
        }
        key_in(prefix).map(|key| (Point::of(&key), key))
    }

    fn place(&mut self, region: &Prefix, point: &Point, key: K) {
        self.keys.remove(point);
        self.fruitless = 0;
        for (_, peer) in self.known.nearest(region, point) {
            self.records.entry(peer).or_default().push(key.clone());
            self.recorded += 1;
        }
    }

    /// The peers nearest to what was looked up. Where it was one of the keys, that key is placed with them.
    pub(crate) fn found(&mut self, peers: Vec<P>) {
        let Some(target) = self.target.take() else { return };
        if let Some(key) = self.keys.remove(&target) {
            self.fruitless = 0;
            for peer in &peers {
                self.records.entry(peer.clone()).or_default().push(key.clone());
                self.recorded += 1;
            }
        }
        self.known.learn(&target, peers.into_iter().map(|peer| (peer.point(), peer)));
    }

    /// The lookup failed; the next one may be the same.
    pub(crate) fn failed(&mut self) {
        self.target = None;
    }
}
