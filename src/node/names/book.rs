//! The records that are kept: rows of the store, the read ones in memory.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use moka::sync::Cache;
use rustdht_core::ports::{Applied, Batch, Fetch, IpnsName, NameError, NameRecord, NameRecords, SideRow, StoreError};
use tokio::sync::{Notify, Semaphore};

use super::{keys::OwnNames, unavailable};
use crate::{node::Inner, routing::RoutingPorts};

/// Rows of records, by the bytes of the name's multihash.
const RECORD_NS: &str = "ipns-record";
/// Records of names whose keys are elsewhere; 40 MiB of the largest. The one that came longest ago makes room.
const MAX_FOREIGN: usize = 4096;
/// Bytes of records kept in memory.
const CACHE_BYTES: u64 = 4 << 20;
/// Lookups under way; further ones wait, and then mostly find what another brought.
const MAX_LOOKUPS: usize = 16;
/// How long a lookup of a name may take. Kubo's default is a minute; browsers give up sooner.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take where an older record is held, which then has to do.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);
/// Equal records after which a lookup is content, of the up to 20 that hold one (Kubo waits for 16).
const QUORUM: usize = 4;
/// Records looked at in one lookup; a DHT's peers send one each.
const MAX_ANSWERS: usize = 64;
/// How long it is believed that a name has no record, in milliseconds.
const NOTHING_MS: u64 = 15_000;
/// How long a record without a cache time is believed, in milliseconds; for others, at least so long.
const LEAST_TTL_MS: u64 = 1_000;
/// Names that wait to be given to the routers; further ones are given when they are published again.
const MAX_WAITING: usize = 1024;

/// What is in memory of a name.
#[derive(Debug)]
struct Cached {
    record: Option<NameRecord>,
    /// When others were asked, by the clock; 0: not since the start.
    asked_ms: u64,
}

/// Names to be given to routers.
#[derive(Debug, Default)]
struct Waiting {
    names: VecDeque<IpnsName>,
}

/// What the use cases of names share.
#[derive(Debug)]
pub(crate) struct Book {
    cache: Cache<IpnsName, Arc<Cached>>,
    lookups: Semaphore,
    /// Held while a record is compared with the one that is there, and written.
    turn: tokio::sync::Mutex<()>,
    /// Names of others that have a row, by when it came; `None`: not read yet.
    foreign: tokio::sync::Mutex<Option<BTreeMap<u64, Vec<IpnsName>>>>,
    /// Held while keys are changed, and while what one published is.
    pub(super) keys: tokio::sync::Mutex<()>,
    pub(super) own: OwnNames,
    waiting: Mutex<Waiting>,
    pub(super) woken: Notify,
}

impl Default for Book {
    fn default() -> Self {
        let weigh = |_: &IpnsName, cached: &Arc<Cached>| {
            // What is around a record, and the record.
            let bytes = cached.record.as_ref().map_or(0, |record| record.bytes.len() + record.value.len());
            u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(256)
        };
        Self {
            cache: Cache::builder().max_capacity(CACHE_BYTES).weigher(weigh).build(),
            lookups: Semaphore::new(MAX_LOOKUPS),
            turn: tokio::sync::Mutex::default(),
            foreign: tokio::sync::Mutex::default(),
            keys: tokio::sync::Mutex::default(),
            own: OwnNames::default(),
            waiting: Mutex::default(),
            woken: Notify::new(),
        }
    }
}

fn ports(inner: &Inner) -> Result<&RoutingPorts, NameError> {
    inner.routing.get().ok_or_else(|| NameError::Unavailable("the node is starting".to_owned()))
}

/// `01 || when it came, 8 bytes || record`.
fn row(name: &IpnsName, came_ms: u64, record: &[u8]) -> SideRow {
    let value = [&[1], &came_ms.to_be_bytes()[..], record].concat();
    SideRow { ns: RECORD_NS, key: name.multihash().to_bytes(), value: Some(value), insert_only: false }
}

fn read_row(value: &[u8]) -> Option<(u64, &[u8])> {
    let (came, record) = value.strip_prefix(&[1])?.split_at_checked(8)?;
    Some((u64::from_be_bytes(came.try_into().ok()?), record))
}

impl Book {
    /// The record that is kept of a name, if its time is not over.
    pub(super) async fn held(&self, inner: &Inner, name: &IpnsName) -> Result<Option<NameRecord>, NameError> {
        let now_ms = inner.shared.ports.clock.now_ms();
        Ok(self.cached(inner, name, now_ms).await?.record.clone().filter(|record| record.until_ms >= now_ms))
    }

    /// The record in the row of a name, if it is good at this time.
    pub(super) async fn stored(
        &self,
        inner: &Inner,
        name: &IpnsName,
        at_ms: u64,
    ) -> Result<Option<NameRecord>, NameError> {
        let store = &inner.shared.ports.store;
        let stored =
            store.side_get(RECORD_NS, &name.multihash().to_bytes()).await.map_err(|error| unavailable(&error))?;
        match stored.as_deref().and_then(read_row) {
            // What was kept was good; its time may be over by now.
            Some((_, bytes)) => Ok(ports(inner)?.records.check(name, Bytes::copy_from_slice(bytes), at_ms).ok()),
            None => Ok(None),
        }
    }

    /// What the routers have of a name, whatever is here.
    pub(super) async fn ask(&self, inner: &Inner, name: &IpnsName) -> Option<NameRecord> {
        look_up(inner.routing.get()?, name, REFRESH_TIMEOUT, inner.shared.ports.clock.now_ms()).await
    }

    async fn cached(&self, inner: &Inner, name: &IpnsName, now_ms: u64) -> Result<Arc<Cached>, NameError> {
        if let Some(cached) = self.cache.get(name) {
            return Ok(cached);
        }
        let cached = Arc::new(Cached { record: self.stored(inner, name, now_ms).await?, asked_ms: 0 });
        // Not over what a lookup or a write has put there meanwhile.
        Ok(self.cache.entry(*name).or_insert(cached).into_value())
    }

    /// The newest record that is known here and, when allowed and due, elsewhere.
    pub(super) async fn resolve(&self, inner: &Inner, name: &IpnsName, fetch: Fetch) -> Result<NameRecord, NameError> {
        let unknown = || NameError::NotFound(name.to_string());
        let clock = &inner.shared.ports.clock;
        if fetch == Fetch::LocalOnly || inner.is_own_name(name).await? {
            return self.held(inner, name).await?.ok_or_else(unknown);
        }
        let ports = ports(inner)?;
        if let Some(answer) = self.fresh(inner, name, clock.now_ms()).await? {
            return answer.ok_or_else(unknown);
        }
        let _turn = self.lookups.acquire().await.map_err(|error| NameError::Unavailable(error.to_string()))?;
        // While this one waited, another may have looked it up.
        if let Some(answer) = self.fresh(inner, name, clock.now_ms()).await? {
            return answer.ok_or_else(unknown);
        }
        let held = self.held(inner, name).await?;
        let patience = if held.is_some() { REFRESH_TIMEOUT } else { LOOKUP_TIMEOUT };
        let found = look_up(ports, name, patience, clock.now_ms()).await;
        if let Some(found) = found
            && held.as_ref().is_none_or(|held| found.is_newer(held))
        {
            match self.keep(inner, name, found.bytes).await {
                // A newer one came by another way meanwhile.
                Ok(_) | Err(NameError::Stale { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let record = self.held(inner, name).await?;
        self.cache.insert(*name, Arc::new(Cached { record: record.clone(), asked_ms: clock.now_ms() }));
        record.ok_or_else(unknown)
    }

    /// What is known when nobody has to be asked; the outer `None`: somebody has to be.
    async fn fresh(
        &self,
        inner: &Inner,
        name: &IpnsName,
        now_ms: u64,
    ) -> Result<Option<Option<NameRecord>>, NameError> {
        let cached = self.cached(inner, name, now_ms).await?;
        let record = cached.record.clone().filter(|record| record.until_ms >= now_ms);
        let for_ms = record.as_ref().map_or(NOTHING_MS, |record| (record.ttl_s * 1000).max(LEAST_TTL_MS));
        let due = cached.asked_ms == 0 || now_ms >= cached.asked_ms.saturating_add(for_ms);
        let nobody = inner.routing.get().is_none_or(|ports| ports.routers.is_empty());
        Ok((!due || nobody).then_some(record))
    }

    /// Checks a record and keeps it, durably when this returns. The same one again is no change.
    pub(crate) async fn keep(&self, inner: &Inner, name: &IpnsName, record: Bytes) -> Result<NameRecord, NameError> {
        let now_ms = inner.shared.ports.clock.now_ms();
        let record = ports(inner)?.records.check(name, record, now_ms)?;
        let _turn = self.turn.lock().await;
        if let Some(held) = self.held(inner, name).await? {
            if held.bytes == record.bytes {
                return Ok(held);
            }
            if !record.is_newer(&held) {
                return Err(NameError::Stale { held: held.sequence });
            }
        }
        let mut side = vec![row(name, now_ms, &record.bytes)];
        let own = inner.is_own_name(name).await?;
        if !own {
            side.extend(self.make_room(inner, name, now_ms).await.map_err(|error| unavailable(&error))?);
        }
        let batch = Batch { side, now_ms, ..Batch::default() };
        match inner.shared.ports.store.apply(batch).await.map_err(|error| unavailable(&error))? {
            Applied::Done { .. } => {}
            other => return Err(NameError::Unavailable(format!("the record could not be kept: {other:?}"))),
        }
        let asked_ms = self.cache.get(name).map_or(0, |cached| cached.asked_ms);
        self.cache.insert(*name, Arc::new(Cached { record: Some(record.clone()), asked_ms }));
        Ok(record)
    }

    /// Notes that a name of others gets a row; rows that go for it.
    async fn make_room(&self, inner: &Inner, name: &IpnsName, now_ms: u64) -> Result<Vec<SideRow>, StoreError> {
        let mut guard = self.foreign.lock().await;
        let foreign = match &mut *guard {
            Some(foreign) => foreign,
            none => none.insert(read_foreign(inner).await?),
        };
        foreign.values_mut().for_each(|names| names.retain(|known| known != name));
        foreign.retain(|_, names| !names.is_empty());
        foreign.entry(now_ms).or_default().push(*name);
        let mut gone = Vec::new();
        while foreign.values().map(Vec::len).sum::<usize>() > MAX_FOREIGN {
            let Some(mut oldest) = foreign.first_entry() else { break };
            if let Some(name) = oldest.get_mut().pop() {
                self.cache.invalidate(&name);
                let key = name.multihash().to_bytes();
                gone.push(SideRow { ns: RECORD_NS, key, value: None, insert_only: false });
            }
            if oldest.get().is_empty() {
                oldest.remove();
            }
        }
        Ok(gone)
    }

    /// Every record that is kept and whose time is not over.
    pub(crate) async fn all(&self, inner: &Inner) -> Result<Vec<(IpnsName, NameRecord)>, StoreError> {
        let Ok(ports) = ports(inner) else { return Ok(Vec::new()) };
        let now_ms = inner.shared.ports.clock.now_ms();
        let rows = inner.shared.ports.store.side_scan(RECORD_NS, &[], u32::MAX).await?;
        let checked = rows.iter().filter_map(|(key, value)| {
            let name = name_of(key)?;
            let record = ports.records.check(&name, Bytes::copy_from_slice(read_row(value)?.1), now_ms).ok()?;
            Some((name, record))
        });
        Ok(checked.collect())
    }

    /// A name's record is to be given to the routers.
    pub(crate) fn give(&self, name: IpnsName) {
        let mut waiting = self.waiting();
        if !waiting.names.contains(&name) {
            if waiting.names.len() >= MAX_WAITING {
                tracing::warn!(%name, "too many records wait to be given to the network; this one is not given now");
                return;
            }
            waiting.names.push_back(name);
        }
        self.woken.notify_one();
    }

    /// The next name to be given.
    pub(super) fn next_given(&self) -> Option<IpnsName> {
        self.waiting().names.pop_front()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name_of(key: &[u8]) -> Option<IpnsName> {
    IpnsName::from_multihash(cid::multihash::Multihash::from_bytes(key).ok()?)
}

async fn read_foreign(inner: &Inner) -> Result<BTreeMap<u64, Vec<IpnsName>>, StoreError> {
    let mut foreign: BTreeMap<u64, Vec<IpnsName>> = BTreeMap::new();
    let own = inner.own_names().await?;
    for (key, value) in inner.shared.ports.store.side_scan(RECORD_NS, &[], u32::MAX).await? {
        if let (Some(name), Some((came_ms, _))) = (name_of(&key), read_row(&value))
            && !own.contains(&name)
        {
            foreign.entry(came_ms).or_default().push(name);
        }
    }
    Ok(foreign)
}

/// The newest good record that the routers have within `patience`.
async fn look_up(ports: &RoutingPorts, name: &IpnsName, patience: Duration, now_ms: u64) -> Option<NameRecord> {
    let asked = ports.routers.iter().map(|router| {
        let router = Arc::clone(router);
        let name = *name;
        let ask = async move { router.name_records(&name).await.unwrap_or_else(|_| futures::stream::empty().boxed()) };
        futures::FutureExt::into_stream(ask).flatten().boxed()
    });
    let answers = futures::stream::select_all(asked).take(MAX_ANSWERS).take_until(tokio::time::sleep(patience));
    let mut answers = std::pin::pin!(answers);
    let mut best: Option<NameRecord> = None;
    let mut equal = 0;
    while let Some(answer) = answers.next().await {
        let checked = check(&ports.records, name, answer, now_ms).await;
        match checked {
            Ok(record) if best.as_ref().is_none_or(|best| record.is_newer(best)) => {
                best = Some(record);
                equal = 1;
            }
            Ok(record) if best.as_ref().is_some_and(|best| best.bytes == record.bytes) => equal += 1,
            Ok(_) => {}
            Err(error) => tracing::debug!(%name, %error, "a router has a bad record"),
        }
        if equal >= QUORUM {
            break;
        }
    }
    best
}

/// A signature of RSA takes a while; there are few answers.
async fn check(
    records: &Arc<dyn NameRecords>,
    name: &IpnsName,
    record: Bytes,
    now_ms: u64,
) -> Result<NameRecord, NameError> {
    let (records, name) = (Arc::clone(records), *name);
    let work = tokio::task::spawn_blocking(move || records.check(&name, record, now_ms));
    work.await.unwrap_or_else(|error| Err(NameError::Unavailable(error.to_string())))
}
