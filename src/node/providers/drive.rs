//! The task that does what the schedules say.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use metrics::{counter, gauge};
use moka::sync::Cache;
use rustdht_core::ports::{Announcer, Batch, Provider, ROUTING_REPLICAS, RootMark, RootSource, SideRow, StoreError};
use tokio::task::JoinSet;

use super::{
    Provide,
    keyspace::Point,
    source::{Key, Source},
    sweep::{LaneId, Position, Progress, Sweep, Task},
    walk::{Holder, Records},
};
use crate::{Node, node::Inner};

/// How far the schedule of a DHT is, by its name.
const PROGRESS_NS: &str = "provide";
/// Records last 48 hours in a DHT; with Kubo's interval of 22 a late cycle loses none.
const INTERVAL_MS: u64 = 22 * 3_600_000;
/// How often it is looked for new roots, and for what is due.
const POLL: Duration = Duration::from_secs(2);
/// The shortest time between two rows of progress.
const SAVE_MS: u64 = 10_000;
/// Keys that were announced lately and are not announced again when they are named again; some 150 bytes each.
const MAX_RECENT: u64 = 64 * 1024;
/// New roots taken in one look; the rest is left to the next.
const MAX_NEW: usize = 65_536;

/// Keys that wait for their first announcement, by DHT.
pub(crate) const WAITING: &str = "rustdht_node_provide_waiting_keys";
/// How far the cycle is behind, in thousandths of a cycle, by DHT.
pub(crate) const BEHIND: &str = "rustdht_node_provide_behind_permille";
/// Lookups made to announce, by DHT.
pub(crate) const LOOKUPS: &str = "rustdht_node_provide_lookups_total";
/// Records sent, by DHT.
pub(crate) const RECORDS: &str = "rustdht_node_provide_records_total";

/// A peer of a DHT.
#[derive(Clone, Debug)]
struct Peer(Arc<(Point, Provider)>);

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.0.0 == other.0.0
    }
}

impl Eq for Peer {}

impl Hash for Peer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.0.hash(state);
    }
}

impl Holder for Peer {
    fn point(&self) -> Point {
        self.0.0
    }
}

/// What a task of a lane brought.
enum Done {
    Loaded(Option<Vec<Key>>),
    Found(Option<Vec<Peer>>),
    Given(usize),
}

/// Runs until the node stops.
pub(crate) async fn run(inner: Arc<Inner>) {
    let stopping = inner.stopping.clone();
    let Some(ports) = stopping.run_until_cancelled(inner.routing.wait()).await else { return };
    if ports.provide == Provide::Off || ports.announcers.is_empty() {
        return stopping.cancelled().await;
    }
    let mut drives = JoinSet::new();
    for (name, announcer) in &ports.announcers {
        drives.spawn(drive(Arc::clone(&inner), name, Arc::clone(announcer), ports.provide));
    }
    while let Some(ended) = drives.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a task that announces blocks died");
        }
    }
    stopping.cancelled().await;
}

async fn drive(inner: Arc<Inner>, name: &'static str, announcer: Arc<dyn Announcer>, provide: Provide) {
    let clock = Arc::clone(&inner.shared.ports.clock);
    let stopping = inner.stopping.clone();
    let progress = match inner.shared.ports.store.side_get(PROGRESS_NS, name.as_bytes()).await {
        Ok(row) => row.and_then(|row| read_progress(&row)),
        Err(error) => {
            tracing::error!(name, %error, "how far announcements got cannot be read; everything is announced anew");
            None
        }
    };
    // Every node goes through the keyspace at another time.
    let phase_ms = Point::of(inner.secrets().peer_seed.as_slice()).head();
    let sweep = Sweep::new(ROUTING_REPLICAS, INTERVAL_MS, phase_ms, progress, clock.now_ms());
    let source = Arc::new(tokio::sync::Mutex::new(Source::default()));
    let roots = Node { inner: Arc::clone(&inner) }.roots();
    let recent = Cache::builder().max_capacity(MAX_RECENT).time_to_live(Duration::from_millis(INTERVAL_MS)).build();
    let mut drive = Drive { inner, name, announcer, provide, sweep, source, roots, recent, mark: None, saved: None };
    let mut tasks: JoinSet<(LaneId, Done)> = JoinSet::new();
    let mut poll = tokio::time::interval(POLL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let now_ms = clock.now_ms();
        for (lane, task) in drive.sweep.poll(now_ms) {
            drive.spawn(&mut tasks, lane, task, now_ms);
        }
        drive.save(now_ms).await;
        tokio::select! {
            () = stopping.cancelled() => break,
            Some(ended) = tasks.join_next() => match ended {
                Ok((lane, done)) => drive.done(lane, done),
                // Its lane stays busy: the others go on, and a restart takes it up again.
                Err(error) => tracing::error!(name, %error, "an announcement died"),
            },
            _ = poll.tick() => drive.look().await,
        }
    }
    drive.saved = None;
    drive.save(u64::MAX).await;
}

struct Drive {
    inner: Arc<Inner>,
    name: &'static str,
    announcer: Arc<dyn Announcer>,
    provide: Provide,
    sweep: Sweep<Peer, Key>,
    source: Arc<tokio::sync::Mutex<Source>>,
    roots: Arc<dyn RootSource>,
    /// By the first bytes of the point.
    recent: Cache<u64, ()>,
    /// Up to where new roots were looked for.
    mark: Option<RootMark>,
    saved: Option<(Progress, u64)>,
}

impl Drive {
    fn spawn(&self, tasks: &mut JoinSet<(LaneId, Done)>, lane: LaneId, task: Task<Peer, Key>, now_ms: u64) {
        match task {
            Task::Load(bucket) => {
                let (source, roots, provide) = (Arc::clone(&self.source), Arc::clone(&self.roots), self.provide);
                let blobs = Arc::clone(&self.inner.shared.ports.blobs);
                tasks.spawn(async move {
                    let loaded = source.lock().await.bucket(bucket, provide, &*roots, &*blobs, now_ms).await;
                    let keys =
                        loaded.inspect_err(|error| tracing::warn!(%error, "the keys to announce cannot be read"));
                    (lane, Done::Loaded(keys.ok()))
                });
            }
            Task::Lookup(key) => {
                counter!(LOOKUPS, "dht" => self.name).increment(1);
                let announcer = Arc::clone(&self.announcer);
                tasks.spawn(async move {
                    let peers = announcer.nearest(&key).await.ok();
                    (lane, Done::Found(peers.map(|peers| peers.into_iter().filter_map(peer).collect())))
                });
            }
            Task::Give(records) => {
                let announcer = Arc::clone(&self.announcer);
                tasks.spawn(async move { (lane, Done::Given(give(&*announcer, records).await)) });
            }
        }
    }

    fn done(&mut self, lane: LaneId, done: Done) {
        let now_ms = self.inner.shared.ports.clock.now_ms();
        match done {
            Done::Loaded(keys) => self.sweep.loaded(lane, keys, now_ms),
            Done::Found(peers) => self.sweep.found(lane, peers, now_ms),
            Done::Given(records) => {
                counter!(RECORDS, "dht" => self.name).increment(records as u64);
                self.sweep.given(lane);
            }
        }
    }

    /// Takes the roots that are new. What was there before the start, the cycle announces.
    async fn look(&mut self) {
        gauge!(WAITING, "dht" => self.name).set(self.sweep.waiting() as f64);
        let now_ms = self.inner.shared.ports.clock.now_ms();
        gauge!(BEHIND, "dht" => self.name).set(self.sweep.behind_permille(now_ms) as f64);
        if let Err(error) = self.take_new().await {
            tracing::warn!(dht = self.name, %error, "new roots cannot be read; it is tried again");
        }
    }

    async fn take_new(&mut self) -> Result<(), StoreError> {
        let mark = self.roots.mark().await?;
        let Some(before) = self.mark.replace(mark).filter(|before| *before != mark) else { return Ok(()) };
        let blobs = Arc::clone(&self.inner.shared.ports.blobs);
        let mut found = self.roots.since(before).take(MAX_NEW);
        while let Some(root) = found.next().await {
            let root = match root {
                Ok(root) => root,
                Err(error) => {
                    self.mark = Some(before);
                    return Err(error);
                }
            };
            let Some(key) = Key::of(root.cid.hash()) else { continue };
            let head = Point::of(key.as_ref()).head();
            // A root that is still to be fetched is announced in its cycle.
            if !self.recent.contains_key(&head) && blobs.has(&root.cid).await.unwrap_or(false) {
                self.recent.insert(head, ());
                self.sweep.add(key);
            }
        }
        Ok(())
    }

    /// Keeps how far it got, when that changed: at once when there is something new that a restart must not forget.
    async fn save(&mut self, now_ms: u64) {
        let progress = self.sweep.progress();
        if let Some((saved, at_ms)) = &self.saved
            && (*saved == progress || (saved.settled == progress.settled && now_ms.saturating_sub(*at_ms) < SAVE_MS))
        {
            return;
        }
        self.saved = Some((progress, now_ms));
        let ports = &self.inner.shared.ports;
        let row = SideRow {
            ns: PROGRESS_NS,
            key: self.name.as_bytes().to_vec(),
            value: Some(progress_row(&progress)),
            insert_only: false,
        };
        let batch = Batch { side: vec![row], now_ms: ports.clock.now_ms(), ..Batch::default() };
        if let Err(error) = ports.store.apply(batch).await {
            tracing::warn!(dht = self.name, %error, "how far announcements got cannot be kept");
        }
    }
}

/// A peer with its place; `None` for an id that is none.
fn peer(provider: Provider) -> Option<Peer> {
    let id = bs58::decode(&provider.peer).into_vec().ok()?;
    Some(Peer(Arc::new((Point::of(&id), provider))))
}

async fn give(announcer: &dyn Announcer, records: Records<Peer, Key>) -> usize {
    let records = records.into_iter().map(|(peer, keys)| {
        let keys = keys.iter().map(|key| key.hash).collect();
        (peer.0.1.clone(), keys)
    });
    announcer.announce(records.collect()).await.unwrap_or(0)
}

/// `01 || interval || cycle || head || settled`, numbers of 8 bytes.
fn progress_row(progress: &Progress) -> Vec<u8> {
    let Progress { interval_ms, position: Position { cycle, head }, settled } = *progress;
    let numbers = [interval_ms, cycle, head].into_iter().flat_map(u64::to_be_bytes);
    std::iter::once(1).chain(numbers).chain([u8::from(settled)]).collect()
}

fn read_progress(row: &[u8]) -> Option<Progress> {
    let (numbers, settled) = row.strip_prefix(&[1])?.split_at_checked(24)?;
    let number = |at: usize| Some(u64::from_be_bytes(numbers.get(at * 8..at * 8 + 8)?.try_into().ok()?));
    let position = Position { cycle: number(1)?, head: number(2)? };
    Some(Progress { interval_ms: number(0)?, position, settled: settled == [1] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_as_it_was_kept() {
        for settled in [false, true] {
            let progress = Progress { interval_ms: 1, position: Position { cycle: 2, head: u64::MAX }, settled };
            assert_eq!(read_progress(&progress_row(&progress)), Some(progress));
        }
        assert_eq!(read_progress(&[]), None);
        assert_eq!(read_progress(&[1; 20]), None);
    }
}
