//! What the community pinned: the set at `~C/pins`, and this replica's share of keeping it.
//!
//! ```text
//!   ~C/pins  field `pins`              OR-set of {cid, name, min, max}       written by who holds a certificate for it
//!   ~C/pins/held/<replica>  field `held`  OR-set of CIDs                     what that replica says it holds
//! ```
//! Every replica reads the set and finds by itself which pins are its own to hold: those for which it is among the
//! nearest of the replicas seen within ten minutes. A replica that comes up for one that is away announces what it
//! holds like any other; when there are more copies nearer by than wanted, it lets go.

mod element;
mod plan;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cid::Cid;
use rustdht_core::{
    Field, Refusal, Soul, Value,
    ports::{Change, ReplicaId, SideRow, StoreError},
};
use rustdht_graph::{Action, NodeState};
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, sync::broadcast::error::RecvError};

pub use element::SharedPin;
use plan::{Step, View};

use super::{JobKey, PinFault, keep::check_cid, pause, row, worker};
use crate::{Committed, Error, Node, Op, Principal, node::Inner};

/// Namespace of the rows: key = CID, value = [`Record`] in JSON.
const NS: &str = "shared-pin";
/// Field of `~C/pins`.
const FIELD: &str = "pins";
/// Field of `~C/pins/held/<replica>`.
const HELD: &str = "held";
/// A replica that was not seen for this long is away: the next one takes over.
const AWAY_AFTER_MS: u64 = 600_000;
/// How often the set is looked at when nothing happens: replicas go away in silence.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long changes gather before the set is looked at.
const GATHER: Duration = Duration::from_millis(50);
/// Pins of the set that count, in the order of their CIDs; about 300 bytes each while they are looked at.
const MAX_SHARED: usize = 100_000;
/// Records kept; more than pins that count, since others may leave the set meanwhile.
const MAX_RECORDS: u32 = 200_000;
/// Operations of one announcement; a commit has at most 1,024.
const ANNOUNCED: usize = 1000;
/// Announcements of one look: a flood of changes is told bit by bit.
const COMMITS_A_LOOK: usize = 16;
/// Replicas whose announcements are read.
const MAX_REPLICAS: usize = 1024;

/// What this replica does about a pin of the community.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SharedHere {
    /// Nothing: nearer ones hold it.
    Elsewhere,
    /// It is fetching it.
    Fetching {
        /// Blocks that are here.
        blocks: u64,
        /// Their bytes.
        bytes: u64,
        /// What stood in the way the last time.
        detail: String,
    },
    /// All of it is here.
    Held {
        /// The bytes of its blocks.
        bytes: u64,
    },
}

/// A pin of the community, and who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedPinStatus {
    /// The pin.
    pub pin: SharedPin,
    /// Replicas that say they hold it and were seen lately, this one included.
    pub holders: Vec<ReplicaId>,
    /// This one.
    pub here: SharedHere,
}

/// What is kept durably of a pin that this replica holds, or is to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// All of it is here.
    held: bool,
    bytes: u64,
    #[serde(skip)]
    attempts: u32,
    #[serde(skip)]
    due_ms: u64,
    #[serde(skip)]
    detail: String,
}

/// What the loop and the worker share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    records: Mutex<BTreeMap<Cid, Record>>,
    look: Notify,
}

impl Shared {
    fn records(&self) -> MutexGuard<'_, BTreeMap<Cid, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be fetched, and when.
    pub(super) fn waiting(&self) -> Vec<(Cid, u64)> {
        let records = self.records();
        let mut waiting: Vec<(Cid, u64)> =
            records.iter().filter(|(_, record)| !record.held).map(|(cid, record)| (*cid, record.due_ms)).collect();
        waiting.sort_by_key(|(_, due_ms)| *due_ms);
        waiting
    }

    /// What is held, and what is to be.
    pub(super) fn cids(&self) -> Vec<Cid> {
        self.records().keys().copied().collect()
    }

    fn after_failure(&self, cid: &Cid, now_ms: u64, attempts: impl FnOnce(u32) -> u32, why: String) {
        if let Some(record) = self.records().get_mut(cid) {
            record.attempts = attempts(record.attempts);
            record.due_ms = now_ms + u64::try_from(pause(record.attempts).as_millis()).unwrap_or(u64::MAX);
            record.detail = why;
        }
    }

    /// A fetch failed and may succeed later.
    pub(super) fn again(&self, cid: &Cid, now_ms: u64, why: String) {
        self.after_failure(cid, now_ms, |attempts| attempts.saturating_add(1), why);
    }

    /// A fetch failed in a way that will not pass by itself. It is tried now and then all the same: a denylist may change.
    pub(super) fn give_up(&self, cid: &Cid, now_ms: u64, why: String) {
        tracing::warn!(%cid, why, "a pin of the community cannot be held here");
        self.after_failure(cid, now_ms, |_| u32::MAX, why);
    }

    pub(crate) fn look(&self) {
        self.look.notify_one();
    }
}

fn record_row(cid: &Cid, record: &Record) -> SideRow {
    // A flag and a number always serialise.
    row::put(NS, cid.to_bytes(), serde_json::to_vec(record).unwrap_or_default())
}

/// The parts of the community's nodes that matter here, as far as they are as they were read.
#[derive(Debug, Default)]
struct Seen {
    pins: Option<BTreeMap<Cid, SharedPin>>,
    /// What each replica says it holds.
    held: HashMap<ReplicaId, BTreeSet<Cid>>,
}

/// Runs until the node stops.
pub(crate) async fn run(inner: Arc<Inner>) {
    let stopping = inner.stopping.clone();
    tokio::select! {
        () = stopping.cancelled() => {}
        () = watch(&inner) => {}
    }
}

async fn watch(inner: &Arc<Inner>) {
    let mut feed = inner.feed.subscribe();
    let mut seen = Seen::default();
    loop {
        if let Err(error) = look(inner, &mut seen).await {
            tracing::warn!(%error, "the pins of the community cannot be looked after now");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = inner.pins.shared.look.notified() => {}
            () = changed(inner, &mut feed, &mut seen) => tokio::time::sleep(GATHER).await,
        }
        // What came meanwhile is looked at with it.
        while let Ok(row) = feed.try_recv() {
            note(inner, &row.changes, &mut seen);
        }
    }
}

/// Waits for a change of what the community pinned.
async fn changed(
    inner: &Arc<Inner>,
    feed: &mut tokio::sync::broadcast::Receiver<Arc<rustdht_core::ports::FeedRow>>,
    seen: &mut Seen,
) {
    loop {
        match feed.recv().await {
            Ok(row) => {
                if note(inner, &row.changes, seen) {
                    return;
                }
            }
            Err(RecvError::Lagged(_)) => {
                *seen = Seen::default();
                return;
            }
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}

/// Forgets what changed; whether anything of it matters here.
fn note(inner: &Inner, changes: &[Change], seen: &mut Seen) -> bool {
    let root = pins_soul_text(inner);
    let mut matters = false;
    for change in changes {
        let Some(rest) = change.soul.strip_prefix(root.as_str()) else { continue };
        if rest.is_empty() {
            seen.pins = None;
            matters = true;
        } else if let Some(replica) = rest.strip_prefix("/held/") {
            seen.held.remove(&ReplicaId(replica.to_owned()));
            matters = true;
        }
    }
    // A revocation in `~C` may hide or show any of it.
    if changes.iter().any(|change| change.soul == inner.shared.authority.community_soul()) {
        *seen = Seen::default();
        matters = true;
    }
    matters
}

fn pins_soul_text(inner: &Inner) -> String {
    format!("{}/pins", inner.shared.authority.community_soul())
}

fn pins_soul(inner: &Inner) -> Result<Soul, Refusal> {
    pins_soul_text(inner).parse()
}

fn held_soul(inner: &Inner, replica: &ReplicaId) -> Result<Soul, Refusal> {
    format!("{}/held/{replica}", pins_soul_text(inner)).parse()
}

fn field(name: &'static str) -> Result<Field, Refusal> {
    name.parse()
}

/// The elements that a field's set shows.
fn elements<'a>(state: &'a NodeState, field: &str) -> impl Iterator<Item = &'a Value> {
    let entries = state.field(field).into_iter().flat_map(rustdht_graph::FieldRef::counted);
    entries.filter(|entry| entry.kind.is_set()).filter_map(|entry| entry.body.value())
}

/// Looks at the set, and does what is this replica's to do.
async fn look(inner: &Arc<Inner>, seen: &mut Seen) -> Result<(), Error> {
    let Some((own, near)) = replicas(inner).await? else { return Ok(()) };
    if seen.pins.is_none() {
        seen.pins = Some(inner.shared_set().await?);
    }
    let unread: Vec<&ReplicaId> = near.iter().filter(|replica| !seen.held.contains_key(*replica)).collect();
    for replica in unread.into_iter().take(MAX_REPLICAS) {
        seen.held.insert(replica.clone(), inner.announced(replica).await?);
    }
    let none = BTreeMap::new();
    let pins = seen.pins.as_ref().unwrap_or(&none);
    let records: BTreeMap<Cid, bool> =
        inner.pins.shared.records().iter().map(|(cid, record)| (*cid, record.held)).collect();
    let steps = plan::steps(&View { own: &own, near: &near, pins, held: &seen.held, records: &records });
    carry_out(inner, steps).await?;
    let told = seen.held.get(&own).cloned().unwrap_or_default();
    announce(inner, &own, &told).await
}

/// This replica, and those seen within [`AWAY_AFTER_MS`], this one included. `None`: there is no network yet.
async fn replicas(inner: &Inner) -> Result<Option<(ReplicaId, BTreeSet<ReplicaId>)>, Error> {
    let Some(replicator) = inner.replicator.get() else { return Ok(None) };
    let own = replicator.status().await?.id;
    let now_ms = inner.shared.ports.clock.now_ms();
    let peers = replicator.peers().await?;
    let near = peers
        .into_iter()
        .filter(|peer| peer.replica && (peer.connected || now_ms.saturating_sub(peer.seen_ms) < AWAY_AFTER_MS));
    let near = near.map(|peer| peer.id).take(MAX_REPLICAS).chain([own.clone()]).collect();
    Ok(Some((own, near)))
}

async fn carry_out(inner: &Inner, steps: Vec<(Cid, Step)>) -> Result<(), Error> {
    let now_ms = inner.shared.ports.clock.now_ms();
    let mut side = Vec::new();
    let mut begun = Vec::new();
    let mut ended = Vec::new();
    let mut noted = Vec::new();
    for (cid, step) in steps {
        match step {
            Step::Begin => {
                let record = Record { held: false, bytes: 0, attempts: 0, due_ms: now_ms, detail: String::new() };
                noted.push(inner.pins.note(rustdht_core::ports::Root { cid, recursive: true }));
                side.push(record_row(&cid, &record));
                begun.push((cid, record));
            }
            Step::Release => {
                side.push(row::gone(NS, cid.to_bytes()));
                ended.push(cid);
            }
        }
    }
    if side.is_empty() {
        return Ok(());
    }
    inner.put_side(side).await?;
    let mut records = inner.pins.shared.records();
    for cid in ended {
        records.remove(&cid);
        inner.pins.cancel(&JobKey::Shared(cid));
        tracing::debug!(%cid, "a pin of the community is held elsewhere");
    }
    records.extend(begun);
    drop(records);
    drop(noted);
    inner.pins.wake.notify_one();
    Ok(())
}

/// Tells the others what is held here; `told` is what they were told.
async fn announce(inner: &Arc<Inner>, own: &ReplicaId, told: &BTreeSet<Cid>) -> Result<(), Error> {
    let (soul, field) = (held_soul(inner, own)?, field(HELD)?);
    let held: BTreeSet<Cid> = {
        let records = inner.pins.shared.records();
        records.iter().filter(|(_, record)| record.held).map(|(cid, _)| *cid).collect()
    };
    let value = |cid: &Cid| Value::from(cid.to_string().as_str());
    let op = |action| Op { soul: soul.clone(), field: field.clone(), action };
    // What is gone first: nobody must count on it.
    let gone = told.difference(&held).map(|cid| op(Action::Remove(value(cid))));
    let new = held.difference(told).map(|cid| op(Action::Add(value(cid))));
    let ops: Vec<Op> = gone.chain(new).collect();
    let node = Node { inner: Arc::clone(inner) };
    for ops in ops.chunks(ANNOUNCED).take(COMMITS_A_LOOK) {
        match node.commit(Principal::Owner, ops.to_vec(), Duration::ZERO).await {
            Ok(_) => {}
            // Not a member yet, or a network without certificates: then others keep their copies.
            Err(Error::Refused(refusal)) => {
                tracing::debug!(%refusal, "what is held here for the community cannot be announced");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Inner {
    /// Reads what is held. Before anybody asks for roots.
    pub(crate) async fn load_shared_pins(&self) -> Result<(), StoreError> {
        let rows = self.shared.ports.store.side_scan(NS, &[], MAX_RECORDS).await?;
        let read = |(key, value): (Vec<u8>, Vec<u8>)| {
            Some((Cid::try_from(key.as_slice()).ok()?, serde_json::from_slice(&value).ok()?))
        };
        let records: BTreeMap<Cid, Record> = rows.into_iter().filter_map(read).collect();
        self.pins.shared.records().extend(records);
        Ok(())
    }

    /// The set as it counts: of several elements of one CID the greatest numbers.
    async fn shared_set(self: &Arc<Self>) -> Result<BTreeMap<Cid, SharedPin>, Error> {
        let node = Node { inner: Arc::clone(self) };
        let state = node.state(&pins_soul(self)?).await?;
        let mut pins: BTreeMap<Cid, SharedPin> = BTreeMap::new();
        for pin in elements(&state, FIELD).filter_map(SharedPin::from_value) {
            match pins.get_mut(&pin.cid) {
                Some(known) => known.unite(pin),
                None => {
                    pins.insert(pin.cid, pin);
                }
            }
        }
        if pins.len() > MAX_SHARED {
            tracing::warn!(pins = pins.len(), "the community pinned more than is looked after: {MAX_SHARED}");
            pins = pins.into_iter().take(MAX_SHARED).collect();
        }
        Ok(pins)
    }

    /// What a replica says it holds.
    async fn announced(self: &Arc<Self>, replica: &ReplicaId) -> Result<BTreeSet<Cid>, Error> {
        let node = Node { inner: Arc::clone(self) };
        let state = node.state(&held_soul(self, replica)?).await?;
        let cid = |value: &Value| match value {
            Value::Text(text) => text.parse::<Cid>().ok(),
            _ => None,
        };
        Ok(elements(&state, HELD).filter_map(cid).collect())
    }

    /// A pin of the community is here, whole.
    pub(super) async fn shared_held(&self, cid: &Cid, bytes: u64) -> Result<(), Error> {
        let record = Record { held: true, bytes, attempts: 0, due_ms: 0, detail: String::new() };
        // It may have been let go of meanwhile.
        if self.pins.shared.records().contains_key(cid) {
            self.put_side(vec![record_row(cid, &record)]).await?;
            if let Some(known) = self.pins.shared.records().get_mut(cid) {
                *known = record;
            }
            self.pins.shared.look();
        }
        Ok(())
    }
}

impl Node {
    /// The soul of the community's pins, for who asks whether somebody may write it.
    ///
    /// # Errors
    /// Never: the community's soul has one below it.
    pub fn shared_pins_soul(&self) -> Result<Soul, Error> {
        Ok(pins_soul(&self.inner)?)
    }

    /// Pins something for the community, or changes how many replicas hold it. The nearest replicas fetch it, from whoever
    /// has it.
    ///
    /// # Errors
    /// `out_of_range` for numbers that make no sense; [`PinFault::Denied`]; `not_authorised` without a certificate for
    /// `~C/pins`; as [`Node::commit`].
    pub async fn share_pin(&self, by: Principal, pin: SharedPin, wait: Duration) -> Result<Committed, Error> {
        pin.check()?;
        check_cid(&pin.cid)?;
        if let Some(denied) = self.inner.pins.denylist.denied_cid(&pin.cid) {
            return Err(PinFault::Denied { list: denied.list }.into());
        }
        let soul = pins_soul(&self.inner)?;
        let value = pin.to_value();
        let mut ops = self.removals(&soul, &pin.cid, Some(&value)).await?;
        ops.push(Op { soul, field: field(FIELD)?, action: Action::Add(value) });
        self.commit(by, ops, wait).await
    }

    /// Takes something out of the community's pins. `None`: it is not in them.
    ///
    /// # Errors
    /// `not_authorised`; as [`Node::commit`].
    pub async fn unshare_pin(&self, by: Principal, cid: &Cid, wait: Duration) -> Result<Option<Committed>, Error> {
        let ops = self.removals(&pins_soul(&self.inner)?, cid, None).await?;
        if ops.is_empty() { Ok(None) } else { Ok(Some(self.commit(by, ops, wait).await?)) }
    }

    /// What takes every element of this CID out, but `kept`.
    async fn removals(&self, soul: &Soul, cid: &Cid, kept: Option<&Value>) -> Result<Vec<Op>, Error> {
        let state = self.state(soul).await?;
        let of_cid =
            |value: &&Value| SharedPin::from_value(value).is_some_and(|pin| pin.cid == *cid) && Some(*value) != kept;
        let values: BTreeMap<Vec<u8>, Value> =
            elements(&state, FIELD).filter(of_cid).map(|value| (value.to_cbor(), value.clone())).collect();
        let field = field(FIELD)?;
        let remove = |value| Op { soul: soul.clone(), field: field.clone(), action: Action::Remove(value) };
        Ok(values.into_values().map(remove).collect())
    }

    /// What the community pinned, by CID, behind `after`, at most `limit`.
    ///
    /// # Errors
    /// When the store or the network fails.
    pub async fn shared_pins(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<SharedPinStatus>, Error> {
        use std::ops::Bound::{Excluded, Unbounded};
        let inner = &self.inner;
        let pins = inner.shared_set().await?;
        let near = replicas(inner).await?.map(|(_, near)| near).unwrap_or_default();
        let mut held = Vec::with_capacity(near.len());
        for replica in near {
            let announced = inner.announced(&replica).await?;
            held.push((replica, announced));
        }
        let under_way = worker::under_way(inner);
        let records = inner.pins.shared.records();
        let page = pins.range::<Cid, _>((after.map_or(Unbounded, Excluded), Unbounded)).take(limit);
        Ok(page
            .map(|(cid, pin)| SharedPinStatus {
                pin: pin.clone(),
                holders: held.iter().filter(|(_, held)| held.contains(cid)).map(|(id, _)| id.clone()).collect(),
                here: match records.get(cid) {
                    None => SharedHere::Elsewhere,
                    Some(Record { held: true, bytes, .. }) => SharedHere::Held { bytes: *bytes },
                    Some(Record { detail, .. }) => {
                        let (blocks, bytes) = under_way.get(cid).copied().unwrap_or_default();
                        SharedHere::Fetching { blocks, bytes, detail: detail.clone() }
                    }
                },
            })
            .collect())
    }
}
