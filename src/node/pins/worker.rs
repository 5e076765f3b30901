//! The worker: fetches what is to be kept, some at a time, until it is here or given up.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cid::Cid;
use futures::StreamExt;
use rustdht_core::{PublicKey, ports::Root};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Active, JobKey, PinFault, PinId, PinStatus, Progress,
    fetch::{self, Failure},
    pause,
    quota::{Room, kept},
    row::{LEASE_NS, Lease, QUEUE_NS, gone, read_queue_key, rows},
};
use crate::{Error, metrics as names, node::Inner};

/// How long the worker sleeps at most: what is due is looked for again then.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// How often leases that are over are removed.
const LEASES_EVERY_MS: u64 = 600_000;
/// Leases looked at in one step.
const LEASES_PAGE: u32 = 1024;
/// Origins dialled at once.
const DIALS: usize = 4;
/// How long a dial may take: the fetch tries anyway.
const DIAL_PATIENCE: Duration = Duration::from_secs(10);

/// Something to fetch.
#[derive(Clone, Debug)]
struct Job {
    key: JobKey,
    root: Root,
    origins: Vec<String>,
}

/// What was fetched: the bytes of its blocks, and what is set aside for them until they are counted.
#[derive(Debug)]
struct Fetched {
    bytes: u64,
    room: Room,
}

type Ended = (JobKey, Result<Fetched, Stopped>);

#[derive(Debug)]
enum Stopped {
    Failed(Failure),
    /// Nobody wants it any more, or the node stops.
    Cancelled,
}

struct Worker {
    inner: Arc<Inner>,
    running: JoinSet<Ended>,
    /// When leases are looked through next, and behind which.
    leases_ms: u64,
    leases_after: Option<Vec<u8>>,
}

/// Runs until the node stops.
pub(crate) async fn run(inner: Arc<Inner>) {
    let stopping = inner.stopping.clone();
    let mut worker = Worker { inner: Arc::clone(&inner), running: JoinSet::new(), leases_ms: 0, leases_after: None };
    while !stopping.is_cancelled() {
        let sleep = match worker.start().await {
            Ok(sleep) => sleep,
            Err(error) => {
                tracing::error!(%error, "what is to be pinned cannot be read");
                LONGEST_SLEEP
            }
        };
        if let Err(error) = worker.remove_leases().await {
            tracing::warn!(%error, "leases that are over could not be removed");
        }
        tokio::select! {
            () = stopping.cancelled() => {}
            () = inner.pins.wake.notified() => {}
            () = tokio::time::sleep(sleep) => {}
            Some(ended) = worker.running.join_next() => match ended {
                Ok((key, result)) => worker.end(key, result).await,
                Err(error) => tracing::error!(%error, "a fetch died"),
            },
        }
    }
}

impl Worker {
    /// Starts what is due and there is room for; how long nothing else will be.
    async fn start(&mut self) -> Result<Duration, Error> {
        let inner = Arc::clone(&self.inner);
        let parallel = inner.pins.config.parallel.max(1);
        let now_ms = inner.shared.ports.clock.now_ms();
        let mut next_ms = u64::MAX;
        // What the community pinned comes first: others rely on it. One place is left to pins.
        let mut places = (parallel - 1).max(1).saturating_sub(inner.pins.fetching_shared());
        for (cid, due_ms) in inner.pins.shared.waiting() {
            if inner.pins.active().contains_key(&JobKey::Shared(cid)) {
                continue;
            }
            if due_ms > now_ms {
                next_ms = next_ms.min(due_ms);
            } else if places > 0 && self.running.len() < parallel {
                places -= 1;
                let root = Root { cid, recursive: true };
                self.spawn(Job { key: JobKey::Shared(cid), root, origins: Vec::new() });
            }
        }
        // Rows of what is being fetched stand in front.
        let page = u32::try_from(parallel + inner.pins.fetching() + 1).unwrap_or(u32::MAX);
        for (key, _) in inner.shared.ports.store.side_scan(QUEUE_NS, &[], page).await? {
            let Some((due_ms, holder, id)) = read_queue_key(&key) else {
                inner.put_side(vec![gone(QUEUE_NS, key)]).await?;
                continue;
            };
            let job = JobKey::Pin(holder, id);
            if inner.pins.active().contains_key(&job) {
                continue;
            }
            if due_ms > now_ms {
                next_ms = next_ms.min(due_ms);
                break;
            }
            if self.running.len() >= parallel {
                break;
            }
            let Some(row) = inner.pin_row(&holder, &id).await?.filter(|row| row.due_ms == Some(due_ms)) else {
                inner.put_side(vec![gone(QUEUE_NS, key)]).await?;
                continue;
            };
            self.spawn(Job { key: job, root: row.root(), origins: row.origins });
        }
        Ok(Duration::from_millis(next_ms.saturating_sub(now_ms)).min(LONGEST_SLEEP))
    }

    fn spawn(&mut self, job: Job) {
        let active = Active { progress: Arc::default(), cancel: CancellationToken::new() };
        self.inner.pins.active().insert(job.key.clone(), active.clone());
        metrics::gauge!(names::PINS_FETCHING).increment(1.0);
        let inner = Arc::clone(&self.inner);
        self.running.spawn(async move {
            let key = job.key.clone();
            let progress = Arc::clone(&active.progress);
            let result = tokio::select! {
                () = inner.stopping.cancelled() => Err(Stopped::Cancelled),
                () = active.cancel.cancelled() => Err(Stopped::Cancelled),
                fetched = fetch_job(&inner, job, &progress) => fetched.map_err(Stopped::Failed),
            };
            (key, result)
        });
    }

    async fn end(&mut self, key: JobKey, result: Result<Fetched, Stopped>) {
        metrics::gauge!(names::PINS_FETCHING).decrement(1.0);
        let ended = match &key {
            JobKey::Pin(holder, id) => self.inner.pin_ended(holder, id, result).await,
            JobKey::Shared(cid) => self.inner.shared_ended(cid, result).await,
        };
        if let Err(error) = ended {
            // Its row says that it is due: it is fetched again, from what is here.
            tracing::error!(%error, "what was fetched could not be noted");
        }
        self.inner.pins.active().remove(&key);
        self.inner.pins.settled.send_modify(|ended| *ended += 1);
    }

    /// Looks through some of the leases and removes those that are over.
    async fn remove_leases(&mut self) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        let now_ms = inner.shared.ports.clock.now_ms();
        if now_ms < self.leases_ms {
            return Ok(());
        }
        let store = &inner.shared.ports.store;
        let rows = store.side_page(LEASE_NS, &[], self.leases_after.as_deref(), LEASES_PAGE).await?;
        for (key, value) in &rows {
            let over = |value: &[u8]| Lease::read(value).is_none_or(|lease| lease.until_ms <= now_ms);
            let Some(holder) = key.first_chunk::<32>().filter(|_| over(value)) else { continue };
            // It may be renewed at this moment.
            let _turn = inner.pins.turn(&PublicKey(*holder)).await;
            if store.side_get(LEASE_NS, key).await?.is_some_and(|value| over(&value)) {
                inner.put_side(vec![gone(LEASE_NS, key.clone())]).await?;
            }
        }
        self.leases_after = rows.into_iter().next_back().map(|(key, _)| key);
        if self.leases_after.is_none() {
            self.leases_ms = now_ms + LEASES_EVERY_MS;
        }
        Ok(())
    }
}

/// Dials where it may be had, and fetches it.
async fn fetch_job(inner: &Arc<Inner>, job: Job, progress: &Progress) -> Result<Fetched, Failure> {
    if let Some(replicator) = inner.replicator.get() {
        let dial = |origin: String| async move {
            // Whoever is not reached is no failure: others may have it too.
            let dialled = tokio::time::timeout(DIAL_PATIENCE, replicator.dial(&origin)).await;
            if !matches!(dialled, Ok(Ok(()))) {
                tracing::debug!(origin, "an origin of a pin cannot be dialled");
            }
        };
        futures::stream::iter(job.origins).for_each_concurrent(DIALS, dial).await;
    }
    let (mut room, counted) = match &job.key {
        JobKey::Pin(holder, _) => {
            inner.room_for(holder, &job.root.cid).await.map_err(|error| Failure::Again(error.to_string()))?
        }
        JobKey::Shared(_) => (Room::unlimited(), 0),
    };
    let (denylist, mut total) = (&inner.pins.denylist, 0_u64);
    let patience = Duration::from_millis(inner.pins.config.patience_ms);
    fetch::fetch(&inner.shared.ports.blobs, job.root, patience, |cid, bytes| {
        if let Some(denied) = denylist.denied_cid(cid) {
            return Err(Failure::Never(PinFault::Denied { list: denied.list }.to_string()));
        }
        total += bytes;
        progress.advance(bytes);
        // What was counted when it was uploaded, or pinned before, is not counted again.
        let fresh = total.saturating_sub(counted).min(bytes);
        room.take(fresh).map_err(|fault| Failure::Never(fault.to_string()))
    })
    .await?;
    Ok(Fetched { bytes: total, room })
}

impl Inner {
    /// Room for a root that is being fetched, and the bytes of it that its holder is counted already.
    async fn room_for(&self, holder: &PublicKey, cid: &Cid) -> Result<(Room, u64), Error> {
        if !self.limited(holder) {
            return Ok((Room::unlimited(), 0));
        }
        let (store, now_ms) = (&*self.shared.ports.store, self.shared.ports.clock.now_ms());
        let _turn = self.pins.turn(holder).await;
        self.pins.count(store, holder, now_ms).await?;
        let counted = kept(store, holder, cid, now_ms).await?;
        Ok((Room::new(Arc::clone(&self.pins.quota), *holder), counted))
    }

    async fn pin_ended(&self, holder: &PublicKey, id: &PinId, result: Result<Fetched, Stopped>) -> Result<(), Error> {
        let _turn = self.pins.turn(holder).await;
        let (Some(before), false) = (self.pin_row(holder, id).await?, matches!(result, Err(Stopped::Cancelled))) else {
            return Ok(());
        };
        let now_ms = self.shared.ports.clock.now_ms();
        let mut row = before.clone();
        row.detail.clear();
        let mut room = Room::unlimited();
        match result {
            Ok(fetched) => {
                room = fetched.room;
                row.status = PinStatus::Pinned;
                (row.bytes, row.due_ms, row.origins) = (fetched.bytes, None, Vec::new());
            }
            Err(Stopped::Failed(Failure::Again(why))) if now_ms < id.created_ms() + self.pins.config.give_up_ms => {
                row.attempts = row.attempts.saturating_add(1);
                row.due_ms = Some(now_ms + u64::try_from(pause(row.attempts).as_millis()).unwrap_or(u64::MAX));
                row.detail = why;
            }
            Err(Stopped::Failed(Failure::Again(why) | Failure::Never(why))) => {
                row.status = PinStatus::Failed;
                (row.bytes, row.due_ms, row.origins) = (0, None, Vec::new());
                row.detail = why;
            }
            Err(Stopped::Cancelled) => return Ok(()),
        }
        tracing::debug!(cid = %row.cid, status = row.status.as_str(), detail = row.detail, "a fetch of a pin ended");
        if self.limited(holder) {
            self.pins.count(&*self.shared.ports.store, holder, now_ms).await?;
        }
        self.change(holder, &[row.cid], rows(holder, id, &row, Some(&before)), 0).await?;
        // Counted now.
        drop(room);
        Ok(())
    }

    async fn shared_ended(&self, cid: &Cid, result: Result<Fetched, Stopped>) -> Result<(), Error> {
        match result {
            Ok(fetched) => self.shared_held(cid, fetched.bytes).await,
            Err(Stopped::Failed(Failure::Again(why))) => {
                self.pins.shared.again(cid, self.shared.ports.clock.now_ms(), why);
                Ok(())
            }
            Err(Stopped::Failed(Failure::Never(why))) => {
                self.pins.shared.give_up(cid, self.shared.ports.clock.now_ms(), why);
                Ok(())
            }
            Err(Stopped::Cancelled) => Ok(()),
        }
    }
}

/// What is fetched now, with its progress, for who looks.
pub(super) fn under_way(inner: &Inner) -> BTreeMap<Cid, (u64, u64)> {
    let active = inner.pins.active();
    let shared = active.iter().filter_map(|(key, active)| match key {
        JobKey::Shared(cid) => Some((*cid, active.progress.get())),
        JobKey::Pin(..) => None,
    });
    shared.collect()
}
