//! What is known of a peer that can be asked: how fast it is, what it owes, whether it has stalled.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::hash::Key;
use crate::limits::{MAX_BLOCKS_IN_FLIGHT, MAX_HAVES_IN_FLIGHT};

/// Bytes that must come while blocks are owed for it to count as progress: a peer that lets one byte go now and then
/// has stalled.
const PROGRESS_BYTES: u64 = 4096;
/// Bytes asked for at a peer whose speed is not known yet: 16 of the usual blocks.
const FIRST_WINDOW_BYTES: u64 = 4 * 1024 * 1024;
/// Blocks asked for at such a peer when they are small.
const FIRST_WINDOW_BLOCKS: usize = 32;
/// Least bytes asked for at a peer that is fast enough to send them within [`QUEUE_TIME`].
const LEAST_WINDOW_BYTES: u64 = 2 * 1024 * 1024;
/// Most bytes asked for at a peer; 16 MiB in 50 ms are 320 MiB/s.
const MOST_WINDOW_BYTES: u64 = 16 * 1024 * 1024;
/// Blocks that may always be under way, however slow the peer is.
const LEAST_WINDOW_BLOCKS: usize = 4;
/// What is asked of a slow peer should come within this time; the rest is better asked elsewhere or later.
const QUEUE_TIME: Duration = Duration::from_millis(500);
/// Speed that a peer is credited with until it is measured.
const FIRST_RATE: f64 = 8.0 * 1024.0 * 1024.0;
/// A speed is measured over at least this time: blocks arrive several to a message.
const SAMPLE_TIME: Duration = Duration::from_millis(50);
/// Least time that a peer may be silent, however fast it is: its disk may be busy.
const LEAST_PATIENCE: Duration = Duration::from_millis(200);
/// First pause before the same peer is asked again, in case that the question got lost; doubles.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Longest such pause.
const ASK_AGAIN_AT_MOST: Duration = Duration::from_secs(30);
/// How long a peer that sent something wrong is the last choice.
const SUSPECT_FOR: Duration = Duration::from_secs(30);

/// Bytes that arrived from a peer, counted by its connections even half-way through a block.
#[derive(Debug, Default)]
pub(crate) struct Meter(AtomicU64);

impl Meter {
    pub(crate) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A WANT-BLOCK without answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) at: Duration,
    order: u64,
    /// Guess of its size, as counted in the window.
    bytes: u64,
}

/// What a tick found out about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulse {
    /// It sends, or owes nothing.
    Fine,
    /// It has just stalled.
    Stalled,
    /// It is stalled, and it is time to ask it again.
    AskAgain,
    /// It is stalled.
    Silent,
}

#[derive(Debug)]
pub(super) struct Peer {
    meter: Arc<Meter>,
    asked: HashMap<Key, Asked>,
    order: BTreeMap<u64, Key>,
    next_order: u64,
    bytes_asked: u64,
    /// WANT-HAVEs without answer.
    pub(super) haves: usize,
    /// Bytes per second; 0 until measured.
    rate: f64,
    sample_from: Duration,
    sample_bytes: u64,
    last_block_at: Duration,
    /// Shortest time between question and block.
    latency: Option<Duration>,
    /// Metered bytes at the last progress.
    mark: u64,
    /// Time watched without progress.
    idle: Duration,
    stalled: bool,
    ask_again_after: Duration,
    /// How long it stays suspect: it sent a block that nobody asked it for while it owed others.
    suspect_for: Duration,
    pub(super) wanted: u64,
    pub(super) unwanted: u64,
}

impl Peer {
    pub(super) fn new(meter: Arc<Meter>) -> Self {
        Self {
            mark: meter.read(),
            meter,
            asked: HashMap::new(),
            order: BTreeMap::new(),
            next_order: 0,
            bytes_asked: 0,
            haves: 0,
            rate: 0.0,
            sample_from: Duration::ZERO,
            sample_bytes: 0,
            last_block_at: Duration::ZERO,
            latency: None,
            idle: Duration::ZERO,
            stalled: false,
            ask_again_after: ASK_AGAIN_AFTER,
            suspect_for: Duration::ZERO,
            wanted: 0,
            unwanted: 0,
        }
    }

    /// Notes a WANT-BLOCK for a block of about `bytes`.
    pub(super) fn ask(&mut self, key: Key, bytes: u64, now: Duration) {
        if self.asked.is_empty() {
            self.sample_from = now;
            self.last_block_at = now;
            self.sample_bytes = 0;
            self.mark = self.meter.read();
            self.idle = Duration::ZERO;
        }
        let order = self.next_order;
        self.next_order += 1;
        self.bytes_asked += bytes;
        self.order.insert(order, key);
        if let Some(before) = self.asked.insert(key, Asked { at: now, order, bytes }) {
            self.order.remove(&before.order);
            self.bytes_asked -= before.bytes;
        }
    }

    /// Takes a WANT-BLOCK back, because it was answered or is not wanted any more.
    pub(super) fn forget(&mut self, key: &Key) -> Option<Asked> {
        let asked = self.asked.remove(key)?;
        self.order.remove(&asked.order);
        self.bytes_asked -= asked.bytes;
        Some(asked)
    }

    /// A block that this peer was asked for has come.
    pub(super) fn delivered(&mut self, key: &Key, bytes: u64, now: Duration) {
        self.wanted += 1;
        self.progress();
        if let Some(asked) = self.forget(key) {
            let took = now.saturating_sub(asked.at);
            self.latency = Some(self.latency.map_or(took, |least| least.min(took)));
        }
        // A sample ends before a block that came later than the others: those of one message belong together.
        if now > self.last_block_at && self.last_block_at >= self.sample_from + SAMPLE_TIME {
            self.end_sample();
        }
        self.last_block_at = now;
        self.sample_bytes += bytes;
        if self.asked.is_empty() {
            self.end_sample();
        }
    }

    fn end_sample(&mut self) {
        let time = self.last_block_at.saturating_sub(self.sample_from);
        if !time.is_zero() {
            let sample = self.sample_bytes as f64 / time.as_secs_f64();
            self.rate = if self.rate == 0.0 { sample } else { (self.rate + sample) / 2.0 };
            self.sample_from = self.last_block_at;
            self.sample_bytes = 0;
        }
    }

    /// It does what it was asked.
    pub(super) fn progress(&mut self) {
        self.mark = self.meter.read();
        self.idle = Duration::ZERO;
        self.stalled = false;
        self.ask_again_after = ASK_AGAIN_AFTER;
    }

    /// Whether it may be asked for another block of about `bytes`.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let under_way = self.asked.len();
        if self.on_trial() {
            return under_way == 0;
        }
        if under_way >= MAX_BLOCKS_IN_FLIGHT {
            return false;
        }
        if self.rate == 0.0 {
            return under_way < FIRST_WINDOW_BLOCKS && self.bytes_asked + bytes <= FIRST_WINDOW_BYTES;
        }
        under_way < LEAST_WINDOW_BLOCKS || self.bytes_asked + bytes <= self.window_bytes()
    }

    /// It has stalled and not sent anything since.
    fn on_trial(&self) -> bool {
        self.ask_again_after > ASK_AGAIN_AFTER
    }

    /// Twice the bytes that fit on the way there and back, so that the window grows until the peer's speed does not.
    fn window_bytes(&self) -> u64 {
        let latency = self.latency.unwrap_or_default().as_secs_f64();
        let least = LEAST_WINDOW_BYTES.min((self.rate * QUEUE_TIME.as_secs_f64()) as u64);
        ((2.0 * self.rate * latency) as u64).clamp(least, MOST_WINDOW_BYTES)
    }

    pub(super) const fn has_room_for_have(&self) -> bool {
        self.haves < MAX_HAVES_IN_FLIGHT
    }

    /// Whether it has little to do: a block asked here would be among the next.
    pub(super) fn is_idle(&self) -> bool {
        self.asked.is_empty() || self.bytes_asked * 4 < self.window_bytes()
    }

    /// When a block of about `bytes` would have come; for comparing peers.
    pub(super) fn eta(&self, bytes: u64) -> Duration {
        let rate = if self.rate == 0.0 { FIRST_RATE } else { self.rate.max(1.0) };
        let queue = Duration::try_from_secs_f64((self.bytes_asked + bytes) as f64 / rate).unwrap_or(Duration::MAX);
        queue.saturating_add(self.latency.unwrap_or_default())
    }

    pub(super) const fn suspect(&mut self) {
        self.suspect_for = SUSPECT_FOR;
    }

    pub(super) const fn is_suspect(&self) -> bool {
        !self.suspect_for.is_zero()
    }

    pub(super) const fn is_stalled(&self) -> bool {
        self.stalled
    }

    pub(super) fn owes(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether anything is expected from it.
    pub(super) fn is_busy(&self) -> bool {
        self.owes() || self.haves > 0
    }

    /// What it owes, in the order in which it was asked.
    pub(super) fn owed(&self) -> impl Iterator<Item = (Key, Duration)> {
        self.order.values().map(|key| (*key, self.asked[key].at))
    }

    /// `watched` more time has passed. It is what was watched, not what the clock says: after a pause of this process
    /// nobody else has stalled.
    pub(super) fn tick(&mut self, watched: Duration, stall_after: Duration) -> Pulse {
        self.suspect_for = self.suspect_for.saturating_sub(watched);
        if self.asked.is_empty() {
            // All that it owed was asked elsewhere. After a while it may try again, with one block.
            self.idle += watched;
            if self.stalled && self.idle >= self.ask_again_after {
                self.stalled = false;
                self.be_patient();
            }
            return Pulse::Fine;
        }
        if self.meter.read() >= self.mark + PROGRESS_BYTES {
            self.progress();
            return Pulse::Fine;
        }
        self.idle += watched;
        if !self.stalled {
            if self.idle < self.patience(stall_after) {
                return Pulse::Fine;
            }
            self.stalled = true;
            self.rate /= 2.0;
            return Pulse::Stalled;
        }
        if self.idle >= self.ask_again_after {
            self.be_patient();
            return Pulse::AskAgain;
        }
        Pulse::Silent
    }

    fn be_patient(&mut self) {
        self.ask_again_after = (self.ask_again_after * 2).min(ASK_AGAIN_AT_MOST);
        self.idle = Duration::ZERO;
    }

    fn patience(&self, stall_after: Duration) -> Duration {
        let Some(latency) = self.latency else { return stall_after };
        (latency * 4).min(stall_after).max(LEAST_PATIENCE).max(latency * 3 / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 256 * 1024;
    const STALL: Duration = Duration::from_millis(500);

    fn key(n: u64) -> Key {
        Key::wrap(0x12, &n.to_be_bytes()).unwrap()
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Asks for as many blocks as fit, and gives their number.
    fn fill(peer: &mut Peer, from: u64, now: Duration) -> u64 {
        let mut n = from;
        while peer.has_room(BLOCK) {
            peer.ask(key(n), BLOCK, now);
            n += 1;
        }
        n - from
    }

    #[test]
    fn the_window_begins_with_several_mib_and_grows_with_speed_times_latency() {
        let mut peer = Peer::new(Arc::default());
        assert_eq!(fill(&mut peer, 0, ms(0)), 16);
        // A round trip of 100 ms, and as many as were asked come each time: the window is what limits.
        let (mut first, mut sizes) = (0, vec![16]);
        for round in 1..=4 {
            let now = ms(100 * round);
            let count = *sizes.last().unwrap();
            for n in first..first + count {
                peer.delivered(&key(n), BLOCK, now);
            }
            first += count;
            sizes.push(fill(&mut peer, first, now));
        }
        assert!(sizes.is_sorted() && *sizes.last().unwrap() == 64, "{sizes:?}");
    }

    #[test]
    fn a_slow_peer_is_asked_for_little() {
        let mut peer = Peer::new(Arc::default());
        fill(&mut peer, 0, ms(0));
        for n in 0..16 {
            // 256 KiB each two seconds.
            peer.delivered(&key(n), BLOCK, ms(2000 * (n + 1)));
        }
        assert_eq!(fill(&mut peer, 100, ms(32_000)), LEAST_WINDOW_BLOCKS as u64);
        let mut fast = Peer::new(Arc::default());
        fast.ask(key(1), BLOCK, ms(0));
        fast.delivered(&key(1), BLOCK, ms(2));
        assert!(fast.eta(BLOCK) < peer.eta(BLOCK));
    }

    #[test]
    fn a_peer_stalls_without_progress_and_dribbling_is_none() {
        let meter = Arc::new(Meter::default());
        let mut peer = Peer::new(Arc::clone(&meter));
        assert_eq!(peer.tick(ms(5000), STALL), Pulse::Fine, "nothing is owed");
        peer.ask(key(1), BLOCK, ms(0));
        for _ in 0..9 {
            meter.add(1);
            assert_eq!(peer.tick(ms(50), STALL), Pulse::Fine);
        }
        assert_eq!(peer.tick(ms(50), STALL), Pulse::Stalled);
        assert_eq!(peer.tick(ms(400), STALL), Pulse::Silent);
        assert_eq!(peer.tick(ms(100), STALL), Pulse::AskAgain, "one second after the last progress");
        assert_eq!(peer.tick(ms(1900), STALL), Pulse::Silent);
        assert_eq!(peer.tick(ms(100), STALL), Pulse::AskAgain);
        meter.add(5000);
        assert_eq!(peer.tick(ms(50), STALL), Pulse::Fine, "half of a block is progress");
        assert!(!peer.is_stalled());
    }

    #[test]
    fn a_peer_that_stalled_is_tried_again_with_one_block_after_ever_longer_pauses() {
        let mut peer = Peer::new(Arc::default());
        for pause in [1000, 2000, 4000] {
            peer.ask(key(1), BLOCK, ms(0));
            let stalled = (0..20).find(|_| peer.tick(ms(50), STALL) == Pulse::Stalled);
            assert_eq!(stalled, Some(9));
            // It was asked elsewhere.
            peer.forget(&key(1));
            // The pause is counted from the last progress the first time, and from the stall on later.
            let waited = (1..200).find(|_| {
                peer.tick(ms(50), STALL);
                !peer.is_stalled()
            });
            assert_eq!(waited, Some((pause - 500) / 50));
            assert_eq!(fill(&mut peer, 10, ms(0)), 1);
            peer.forget(&key(10));
        }
        peer.ask(key(2), BLOCK, ms(0));
        peer.delivered(&key(2), BLOCK, ms(5));
        assert!(fill(&mut peer, 20, ms(5)) > 1);
    }

    #[test]
    fn what_is_owed_is_told_in_the_order_asked() {
        let mut peer = Peer::new(Arc::default());
        for n in [3, 1, 2] {
            peer.ask(key(n), BLOCK, ms(n));
        }
        peer.ask(key(3), BLOCK, ms(9));
        peer.forget(&key(2));
        assert_eq!(peer.owed().collect::<Vec<_>>(), [(key(1), ms(1)), (key(3), ms(9))]);
        assert_eq!(peer.bytes_asked, 2 * BLOCK);
    }
}
