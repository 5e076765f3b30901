//! When which keys are announced: those that are new at once, and every key once in each cycle, in the order of the keyspace,
//! so that the keys of one region share its lookups (the idea of Kubo's sweeping provider).
//!
//! ```text
//!   cycle 7  0000 ======position---------line- - - - - - - - ffff     what lies between position and line is due
//! ```
//!
//! The line goes through the keyspace once in an interval; the position is how far this node got, and all that has to survive a
//! restart: whoever was away goes on from it until the line is reached. No clock, no network: time and answers come in,
//! tasks go out.

use std::collections::{BTreeMap, VecDeque};

use super::{
    keyspace::Point,
    known::Known,
    walk::{Holder, Records, Step, Walk},
};

/// Keys are loaded by the first byte of their points.
const BUCKETS: u16 = 256;
/// How long what lookups have shown of peers is believed. Peers of the public DHT stay for hours.
const KNOWN_MS: u64 = 15 * 60_000;
/// Lanes for keys that are new; the first takes the newest, so that a single one does not wait behind an import.
const FRESH_LANES: usize = 4;
/// Keys that the lane of the newest takes at once: each costs it a lookup of seconds.
const NEWEST_KEYS: usize = 4;
/// Keys that another lane takes at once, of neighbouring points.
const LANE_KEYS: usize = 16 * 1024;
/// Keys that wait to be announced for the first time; about 100 bytes each. Further ones wait for their place in the cycle.
const MAX_PENDING: usize = 1 << 20;
/// Pauses of a lane whose lookups fail, in milliseconds; the last one repeats.
const PAUSES_MS: [u64; 5] = [5_000, 30_000, 60_000, 300_000, 600_000];

/// A place in the cycles: which one, and the first 64 bits of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) cycle: u64,
    pub(crate) head: u64,
}

/// What has to survive a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The interval it was made with.
    pub(crate) interval_ms: u64,
    /// What lies before it was announced in its cycle.
    pub(crate) position: Position,
    /// No new key waited to be announced. Else a restart, which forgets those, makes everything due.
    pub(crate) settled: bool,
}

/// Something to be done for a lane; the lane waits for its result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task<P, K> {
    /// Read the keys whose points begin with this byte, and tell [`Sweep::loaded`].
    Load(u8),
    /// Look up the peers nearest to this key, and tell [`Sweep::found`].
    Lookup(Vec<u8>),
    /// Give peers records of these keys, and tell [`Sweep::given`].
    Give(Records<P, K>),
}

/// Which lane a task is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LaneId(usize);

/// The lane that sweeps; the others are behind it.
const SWEEPER: usize = 0;

#[derive(Debug)]
struct Lane<P, K> {
    walk: Option<Walk<P, K>>,
    /// A task is under way.
    busy: bool,
    not_before_ms: u64,
    failures: usize,
}

/// The schedule of one DHT.
#[derive(Debug)]
pub(crate) struct Sweep<P, K> {
    replicas: usize,
    interval_ms: u64,
    phase_ms: u64,
    position: Position,
    lanes: Vec<Lane<P, K>>,
    /// What the last buckets have shown, and since when it was gathered.
    known: Known<P>,
    known_since_ms: u64,
    pending: BTreeMap<Point, K>,
    newest: VecDeque<Point>,
    cursor: Point,
}

impl<P: Holder, K: Clone + AsRef<[u8]>> Sweep<P, K> {
    /// A schedule of `interval_ms` for records at `replicas` peers each. `phase_ms` shifts the line, so that nodes do not all
    /// write to the same region. Without progress everything is due.
    pub(crate) fn new(
        replicas: usize,
        interval_ms: u64,
        phase_ms: u64,
        progress: Option<Progress>,
        now_ms: u64,
    ) -> Self {
        let idle = || Lane { walk: None, busy: false, not_before_ms: 0, failures: 0 };
        let interval_ms = interval_ms.max(1);
        let mut sweep = Self {
            replicas,
            interval_ms,
            phase_ms: phase_ms % interval_ms,
            position: Position { cycle: 0, head: 0 },
            lanes: std::iter::repeat_with(idle).take(1 + FRESH_LANES).collect(),
            known: Known::new(replicas),
            known_since_ms: now_ms,
            pending: BTreeMap::new(),
            newest: VecDeque::new(),
            cursor: Point([0; 32]),
        };
        let line = sweep.line(now_ms);
        let oldest = Position { cycle: line.cycle.saturating_sub(1), head: line.head };
        sweep.position = match progress {
            None => oldest,
            // Another interval shifts every place: one cycle makes sure of all.
            Some(progress) if progress.interval_ms != interval_ms || !progress.settled => oldest,
            // A clock that was set back leaves a position that the line reaches in days.
            Some(progress) if progress.position > line && progress.position.cycle > line.cycle => line,
            Some(progress) => progress.position.max(oldest),
        };
        sweep
    }

    /// Where the schedule is at this time.
    fn line(&self, now_ms: u64) -> Position {
        let at = now_ms.saturating_add(self.phase_ms);
        let of_cycle = u128::from(at % self.interval_ms) << 64;
        Position { cycle: at / self.interval_ms, head: (of_cycle / u128::from(self.interval_ms)) as u64 }
    }

    /// What has to survive a restart.
    pub(crate) fn progress(&self) -> Progress {
        Progress { interval_ms: self.interval_ms, position: self.position, settled: self.waiting() == 0 }
    }

    /// Keys that wait for their first announcement, those under way among them; a lane that still gives out counts for one.
    pub(crate) fn waiting(&self) -> usize {
        let walks = self.lanes.iter().skip(1).filter_map(|lane| lane.walk.as_ref());
        self.pending.len() + walks.map(|walk| walk.len().max(1)).sum::<usize>()
    }

    /// How many cycles the position is behind the line, in thousandths.
    pub(crate) fn behind_permille(&self, now_ms: u64) -> u64 {
        let line = self.line(now_ms);
        let place = |position: Position| u128::from(position.cycle) << 64 | u128::from(position.head);
        let behind = place(line).saturating_sub(place(self.position));
        u64::try_from(((behind >> 32) * 1000) >> 32).unwrap_or(u64::MAX)
    }

    /// A key to be announced at once. `false`: too many wait, it is announced in its place of the cycle.
    pub(crate) fn add(&mut self, key: K) -> bool {
        let point = Point::of(key.as_ref());
        if self.pending.len() >= MAX_PENDING && !self.pending.contains_key(&point) {
            return false;
        }
        self.pending.insert(point, key);
        if self.newest.len() >= NEWEST_KEYS {
            self.newest.pop_front();
        }
        self.newest.push_back(point);
        true
    }

    /// What is to be done now, one task for each lane that is free.
    pub(crate) fn poll(&mut self, now_ms: u64) -> Vec<(LaneId, Task<P, K>)> {
        let mut tasks = Vec::new();
        for at in 0..self.lanes.len() {
            if self.lanes[at].busy || self.lanes[at].not_before_ms > now_ms {
                continue;
            }
            if let Some(task) = self.task(at, now_ms) {
                self.lanes[at].busy = true;
                tasks.push((LaneId(at), task));
            }
        }
        tasks
    }

    fn task(&mut self, at: usize, now_ms: u64) -> Option<Task<P, K>> {
        if self.lanes[at].walk.is_none() {
            if at == SWEEPER {
                return (self.position <= self.line(now_ms)).then_some(Task::Load((self.position.head >> 56) as u8));
            }
            let keys = self.take_fresh(at);
            if keys.is_empty() {
                return None;
            }
            self.lanes[at].walk = Some(Walk::new(Known::new(self.replicas), keys));
        }
        let walk = self.lanes[at].walk.as_mut()?;
        match walk.next() {
            Step::Lookup(key) => Some(Task::Lookup(key)),
            Step::Give(records) => Some(Task::Give(records)),
            Step::Done => {
                self.walked(at);
                // Behind it there may be more.
                self.task(at, now_ms)
            }
        }
    }

    /// Keys for a lane.
    fn take_fresh(&mut self, at: usize) -> Vec<K> {
        if at == SWEEPER + 1 {
            return std::mem::take(&mut self.newest).iter().rev().filter_map(|key| self.pending.remove(key)).collect();
        }
        let free = self.lanes.iter().skip(at).filter(|lane| lane.walk.is_none()).count().max(1);
        let count = self.pending.len().div_ceil(free).min(LANE_KEYS);
        let behind = self.pending.range(self.cursor..).take(count).map(|(point, _)| *point);
        let mut points: Vec<Point> = behind.collect();
        if points.is_empty() {
            points = self.pending.keys().take(count).copied().collect();
        }
        // The next lane takes what lies behind.
        self.cursor = points.last().copied().unwrap_or(self.cursor);
        points.iter().filter_map(|point| self.pending.remove(point)).collect()
    }

    fn walked(&mut self, at: usize) {
        let Some(walk) = self.lanes[at].walk.take() else { return };
        if at == SWEEPER {
            self.known = walk.into_known();
            let bucket = (self.position.head >> 56) as u16 + 1;
            self.position = if bucket == BUCKETS {
                Position { cycle: self.position.cycle + 1, head: 0 }
            } else {
                Position { cycle: self.position.cycle, head: u64::from(bucket) << 56 }
            };
        }
    }

    fn free(&mut self, lane: LaneId) -> Option<&mut Lane<P, K>> {
        let lane = self.lanes.get_mut(lane.0)?;
        lane.busy = false;
        lane.failures = 0;
        Some(lane)
    }

    fn pause(&mut self, lane: LaneId, now_ms: u64) {
        let Some(lane) = self.lanes.get_mut(lane.0) else { return };
        lane.busy = false;
        lane.not_before_ms = now_ms + PAUSES_MS[lane.failures.min(PAUSES_MS.len() - 1)];
        lane.failures += 1;
    }

    /// The keys of a bucket; `None`: they could not be read now.
    pub(crate) fn loaded(&mut self, lane: LaneId, keys: Option<Vec<K>>, now_ms: u64) {
        let Some(keys) = keys else { return self.pause(lane, now_ms) };
        let mut known = std::mem::replace(&mut self.known, Known::new(self.replicas));
        if now_ms.saturating_sub(self.known_since_ms) >= KNOWN_MS {
            known = Known::new(self.replicas);
            self.known_since_ms = now_ms;
        }
        let head = self.position.head;
        let due = keys.into_iter().filter(|key| Point::of(key.as_ref()).head() >= head);
        let walk = Walk::new(known, due);
        if let Some(lane) = self.free(lane) {
            lane.walk = Some(walk);
        }
    }

    /// The peers nearest to what a lane looked up; `None`: nobody answered, and it is tried again after a pause.
    pub(crate) fn found(&mut self, lane: LaneId, peers: Option<Vec<P>>, now_ms: u64) {
        match peers.filter(|peers| !peers.is_empty()) {
            Some(peers) => {
                if let Some(walk) = self.free(lane).and_then(|lane| lane.walk.as_mut()) {
                    walk.found(peers);
                }
            }
            None => {
                if let Some(walk) = self.lanes.get_mut(lane.0).and_then(|lane| lane.walk.as_mut()) {
                    walk.failed();
                }
                self.pause(lane, now_ms);
            }
        }
    }

    /// Records were given out; whom they did not reach is left to the next cycle, the other replicas have them.
    pub(crate) fn given(&mut self, lane: LaneId) {
        self.free(lane);
    }
}

#[cfg(test)]
mod tests;
