//! Keeping: what has to stay here, for whom, and for how long.
//!
//! ```text
//!   upload ────────> Pin, or a lease of a day                          quota per account
//!   POST /pins ────> queue ──> worker ──> DagStore (fetches) ──> Pin       │
//!   ~C/pins ───────> shared: the nearest replicas ──> worker ──> held      │
//!                                                                          v
//!   collector <── RootSource: pins, leases, what is held for the community, blobs that the graph names
//! ```
//!
//! Everything is a private row of the store. A holder, an account or the owner of this gateway, keeps a root once,
//! however many pins of it he has.

mod fetch;
mod keep;
mod list;
mod quota;
mod roots;
mod row;
mod shared;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cid::Cid;
use rustdht_core::{PublicKey, ports::Root};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub use keep::{Keep, NewPin, Upload};
pub use list::{MAX_CIDS, MAX_PINS_PAGE, NameMatch, Pin, PinFilter, PinPage};
pub use quota::{Room, Usage};
pub use row::{PinId, PinStatus};
pub use shared::{SharedHere, SharedPin, SharedPinStatus};

pub(crate) use shared::run as run_shared;
pub(crate) use worker::run as run_worker;

use crate::{Denylist, PinsConfig};

/// Longest name of a pin, in characters (Pinning Service API).
pub const MAX_PIN_NAME: usize = 255;
/// Origins of one pin (Pinning Service API).
pub const MAX_ORIGINS: usize = 20;
/// Longest origin, in bytes; a multiaddr over a relay has some 200.
pub(crate) const MAX_ORIGIN_BYTES: usize = 512;
/// Keys and values of the notes on a pin, together in bytes. The API allows a thousand of them and bounds no bytes.
pub(crate) const MAX_META_BYTES: usize = 16 * 1024;
/// Longest CID that is pinned, in bytes: a multihash of 64 bytes and what stands in front of it.
pub(crate) const MAX_CID_BYTES: usize = 100;

/// Turns that changes of pins take, by holder.
const TURNS: usize = 64;
/// Roots that are remembered in the order in which they came to be; whoever asks for older ones is given all.
const RECENT_ROOTS: usize = 65_536;

/// Why a pin cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinFault {
    /// No such pin, or one of somebody else.
    #[error("there is no such pin")]
    Unknown,
    /// The account would keep more bytes than it may.
    #[error("this account keeps {used} of the {limit} bytes that it may (quota.bytes_per_account): remove pins first")]
    OverQuota {
        /// Bytes that it keeps, with uploads under way.
        used: u64,
        /// Bytes that it may keep.
        limit: u64,
    },
    /// One upload is larger than the account's whole quota.
    #[error("an account may keep {limit} bytes in all (quota.bytes_per_account)")]
    TooLarge {
        /// Bytes that it may keep.
        limit: u64,
    },
    /// The account has as many pins as one may have.
    #[error("this account has {limit} pins, as many as one may have (quota.pins_per_account): remove some first")]
    TooMany {
        /// How many.
        limit: u64,
    },
    /// A denylist of this gateway names it.
    #[error("the operator of this gateway does not keep this (list '{list}')")]
    Denied {
        /// The name of the list.
        list: Arc<str>,
    },
}

/// How far a fetch is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    blocks: AtomicU64,
    bytes: AtomicU64,
}

impl Progress {
    fn advance(&self, bytes: u64) {
        self.blocks.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Blocks and bytes.
    fn get(&self) -> (u64, u64) {
        (self.blocks.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// Names something that the worker fetches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum JobKey {
    /// A pin.
    Pin(PublicKey, PinId),
    /// What the community pinned.
    Shared(Cid),
}

/// A fetch under way.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    progress: Arc<Progress>,
    cancel: CancellationToken,
}

/// Roots in the order in which they came to be, the last ones.
#[derive(Debug, Default)]
struct Recent {
    /// The number of the last one.
    last: u64,
    roots: VecDeque<Root>,
    /// By number, those whose rows are being written.
    writing: BTreeMap<u64, Root>,
}

/// Something that is kept from now on; its row is being written until this is dropped.
#[must_use]
pub(crate) struct Noted<'a> {
    pins: &'a Pins,
    number: u64,
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        self.pins.recent().writing.remove(&self.number);
    }
}

/// What the use cases of keeping share.
#[derive(Debug)]
pub(crate) struct Pins {
    pub(crate) config: PinsConfig,
    pub(crate) denylist: Arc<Denylist>,
    pub(crate) quota: Arc<quota::Quota>,
    pub(crate) shared: shared::Shared,
    /// Held while a row is read, changed and written, by holder.
    turns: [tokio::sync::Mutex<()>; TURNS],
    recent: Mutex<Recent>,
    active: Mutex<HashMap<JobKey, Active>>,
    /// When the last pin was made, in milliseconds since the epoch: no two of them are made at one time.
    last_created: AtomicU64,
    /// There may be something to fetch.
    wake: Notify,
    /// Rises when a fetch ended.
    settled: watch::Sender<u64>,
}

impl Pins {
    pub(crate) fn new(config: PinsConfig) -> Self {
        Self {
            denylist: Arc::default(),
            quota: Arc::new(quota::Quota::new(&config)),
            shared: shared::Shared::default(),
            turns: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            recent: Mutex::default(),
            active: Mutex::default(),
            last_created: AtomicU64::new(0),
            wake: Notify::new(),
            settled: watch::Sender::new(0),
            config,
        }
    }

    async fn turn(&self, holder: &PublicKey) -> tokio::sync::MutexGuard<'_, ()> {
        self.turns[usize::from(holder.0[0]) % TURNS].lock().await
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn active(&self) -> MutexGuard<'_, HashMap<JobKey, Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something is kept from now on. Before its row is written: a collector learns of it no later than
    /// whoever asked.
    pub(crate) fn note(&self, root: Root) -> Noted<'_> {
        let mut recent = self.recent();
        recent.last += 1;
        let number = recent.last;
        if recent.roots.len() >= RECENT_ROOTS {
            recent.roots.pop_front();
        }
        recent.roots.push_back(root);
        recent.writing.insert(number, root);
        Noted { pins: self, number }
    }

    /// Ends a fetch of something that is not wanted any more.
    fn cancel(&self, key: &JobKey) {
        if let Some(active) = self.active().get(key) {
            active.cancel.cancel();
        }
    }

    /// The time of a new pin: no other has it, or who pages by time would miss one.
    fn created(&self, now_ms: u64) -> u64 {
        let next = |last: u64| Some(now_ms.max(last + 1));
        // The closure always returns a value.
        let last = self.last_created.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).unwrap_or_default();
        now_ms.max(last + 1)
    }

    /// Fetches under way, at most [`PinsConfig::parallel`].
    fn fetching(&self) -> usize {
        self.active().len()
    }

    /// Those of them that are for the community.
    fn fetching_shared(&self) -> usize {
        self.active().keys().filter(|key| matches!(key, JobKey::Shared(_))).count()
    }
}

/// How long after so many failures a fetch is tried again.
fn pause(attempts: u32) -> Duration {
    Duration::from_secs(3_u64.saturating_pow(attempts.saturating_sub(1)).min(LONGEST_PAUSE_S))
}

/// The longest pause between two attempts.
const LONGEST_PAUSE_S: u64 = 3600;
