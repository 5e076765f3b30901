//! How much a holder keeps, and how much more he may.
//!
//! What is counted is what the rows say: the tally is read from them, and moved under the holder's turn together with them.
//! Uploads reserve before their bytes flow; reservations are in memory only, so a process that ends lets go of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cid::Cid;
use rustdht_core::{
    PublicKey,
    ports::{GraphStore, StoreError},
};

use super::{
    PinFault, Pins,
    row::{Indexed, LEASE_NS, Lease, PIN_NS, ROOT_NS, root_prefix, split_root_key},
};
use crate::PinsConfig;

/// What is reserved at a time while bytes flow whose number nobody told.
const STEP_BYTES: u64 = 1 << 20;
/// Rows read at a time.
const PAGE: u32 = 4096;
/// Rows of one root of one holder that are looked at: pins of one thing beyond these count for nothing.
const ROWS_OF_ROOT: u32 = 1024;

/// What a holder keeps and may keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of what is pinned or leased, each root once; `None`: they are not counted, since nothing limits them.
    pub bytes: Option<u64>,
    /// Pins.
    pub pins: u64,
    /// Bytes that may be kept; `None`: any number.
    pub bytes_limit: Option<u64>,
    /// Pins that may be had.
    pub pins_limit: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Loaded {
    bytes: u64,
    pins: u64,
    /// When the first lease ends: then it has to be read anew.
    until_ms: u64,
}

#[derive(Debug, Default)]
struct Tally {
    loaded: Option<Loaded>,
    reserved: u64,
}

/// The tallies of accounts.
#[derive(Debug)]
pub(crate) struct Quota {
    /// 0: none.
    bytes_limit: u64,
    /// 0: none.
    pins_limit: u64,
    tallies: Mutex<HashMap<PublicKey, Tally>>,
}

impl Quota {
    pub(super) fn new(config: &PinsConfig) -> Self {
        Self { bytes_limit: config.bytes_per_account, pins_limit: config.pins_per_account, tallies: Mutex::default() }
    }

    fn tallies(&self) -> MutexGuard<'_, HashMap<PublicKey, Tally>> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn is_limited(&self) -> bool {
        self.bytes_limit > 0 || self.pins_limit > 0
    }

    fn over(&self, tally: &Tally, asked: u64) -> PinFault {
        let limit = self.bytes_limit;
        let used = tally.loaded.unwrap_or_default().bytes + tally.reserved;
        if asked > limit { PinFault::TooLarge { limit } } else { PinFault::OverQuota { used, limit } }
    }

    /// Sets `bytes` aside; `asked` is what the whole upload wants.
    fn reserve(&self, holder: &PublicKey, bytes: u64, asked: u64) -> Result<(), PinFault> {
        let mut tallies = self.tallies();
        let tally = tallies.entry(*holder).or_default();
        let used = tally.loaded.unwrap_or_default().bytes.saturating_add(tally.reserved);
        if self.bytes_limit > 0 && used.saturating_add(bytes) > self.bytes_limit {
            return Err(self.over(tally, asked));
        }
        tally.reserved += bytes;
        Ok(())
    }

    fn release(&self, holder: &PublicKey, bytes: u64) {
        if let Some(tally) = self.tallies().get_mut(holder) {
            tally.reserved = tally.reserved.saturating_sub(bytes);
        }
    }

    /// Whether there is room for one more pin.
    pub(super) fn check_pins(&self, holder: &PublicKey) -> Result<(), PinFault> {
        let pins = self.tallies().get(holder).and_then(|tally| tally.loaded).unwrap_or_default().pins;
        let limit = self.pins_limit;
        if limit > 0 && pins >= limit { Err(PinFault::TooMany { limit }) } else { Ok(()) }
    }

    /// A lease of a holder ends at this time.
    pub(super) fn leased(&self, holder: &PublicKey, until_ms: u64) {
        if let Some(loaded) = self.tallies().get_mut(holder).and_then(|tally| tally.loaded.as_mut()) {
            loaded.until_ms = loaded.until_ms.min(until_ms);
        }
    }

    /// The rows of a holder changed so.
    pub(super) fn moved(&self, holder: &PublicKey, before: u64, after: u64, pins: i64) {
        if let Some(loaded) = self.tallies().get_mut(holder).and_then(|tally| tally.loaded.as_mut()) {
            loaded.bytes = (loaded.bytes + after).saturating_sub(before);
            loaded.pins = loaded.pins.saturating_add_signed(pins);
        }
    }
}

/// Bytes that are set aside for an upload; given back when it is dropped.
#[derive(Debug)]
pub struct Room {
    limited: Option<(Arc<Quota>, PublicKey)>,
    reserved: u64,
    taken: u64,
}

impl Room {
    /// Room for any number of bytes.
    pub(super) const fn unlimited() -> Self {
        Self { limited: None, reserved: 0, taken: 0 }
    }

    pub(super) const fn new(quota: Arc<Quota>, holder: PublicKey) -> Self {
        Self { limited: Some((quota, holder)), reserved: 0, taken: 0 }
    }

    /// Sets aside what is going to come.
    pub(super) fn expect(&mut self, bytes: u64) -> Result<(), PinFault> {
        if let Some((quota, holder)) = &self.limited {
            quota.reserve(holder, bytes, bytes)?;
            self.reserved += bytes;
        }
        Ok(())
    }

    /// Takes bytes that came.
    ///
    /// # Errors
    /// [`PinFault::OverQuota`], [`PinFault::TooLarge`] when there is no room for them.
    pub fn take(&mut self, bytes: u64) -> Result<(), PinFault> {
        let total = self.taken.saturating_add(bytes);
        if let Some((quota, holder)) = &self.limited {
            let lacking = total.saturating_sub(self.reserved);
            if lacking > 0 {
                let step = lacking.max(STEP_BYTES);
                let got = match quota.reserve(holder, step, total) {
                    Ok(()) => step,
                    Err(_) => quota.reserve(holder, lacking, total).map(|()| lacking)?,
                };
                self.reserved += got;
            }
        }
        self.taken = total;
        Ok(())
    }

    /// Makes sure that there is room for `total` bytes in all.
    pub(super) fn fit(&mut self, total: u64) -> Result<(), PinFault> {
        self.take(total.saturating_sub(self.taken))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some((quota, holder)) = &self.limited {
            quota.release(holder, self.reserved);
        }
    }
}

/// The bytes that a holder keeps of one root: the most that a pin or a lease of it counts.
pub(super) async fn kept(
    store: &dyn GraphStore,
    holder: &PublicKey,
    cid: &Cid,
    now_ms: u64,
) -> Result<u64, StoreError> {
    let prefix = root_prefix(holder, cid);
    let rows = store.side_scan(ROOT_NS, &prefix, ROWS_OF_ROOT).await?;
    let pinned = rows.iter().filter_map(|(_, value)| Indexed::read(value)).filter(|pin| !pin.failed);
    let leases = store.side_scan(LEASE_NS, &prefix, ROWS_OF_ROOT).await?;
    let leased = leases.iter().filter_map(|(_, value)| Lease::read(value)).filter(|lease| lease.until_ms > now_ms);
    let leased = leased.map(|lease| lease.bytes);
    Ok(pinned.map(|pin| pin.bytes).chain(leased).max().unwrap_or(0))
}

/// The bytes that the rows of a holder say, and how many pins.
#[cfg(test)]
pub(super) async fn read_anew(store: &dyn GraphStore, holder: &PublicKey, now_ms: u64) -> (u64, u64) {
    let loaded = load(store, holder, now_ms).await.unwrap();
    (loaded.bytes, loaded.pins)
}

/// Reads what a holder keeps.
async fn load(store: &dyn GraphStore, holder: &PublicKey, now_ms: u64) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded { until_ms: u64::MAX, ..Loaded::default() };
    let mut leased: HashMap<Vec<u8>, u64> = HashMap::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = store.side_page(LEASE_NS, &holder.0, after.as_deref(), PAGE).await?;
        for (_, value) in &rows {
            if let Some(lease) = Lease::read(value).filter(|lease| lease.until_ms > now_ms) {
                loaded.until_ms = loaded.until_ms.min(lease.until_ms);
                let bytes = leased.entry(root_prefix(holder, &lease.root.cid)).or_default();
                *bytes = lease.bytes.max(*bytes);
            }
        }
        let Some((last, _)) = rows.into_iter().next_back() else { break };
        after = Some(last);
    }
    // Rows of one root stand together.
    let (mut root, mut most): (Vec<u8>, u64) = (Vec::new(), 0);
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = store.side_page(ROOT_NS, &holder.0, after.as_deref(), PAGE).await?;
        for (key, value) in &rows {
            let (Some((of, _)), Some(pin)) = (split_root_key(key), Indexed::read(value)) else { continue };
            loaded.pins += 1;
            if of != root {
                loaded.bytes += most;
                most = leased.remove(of).unwrap_or(0);
                root = of.to_vec();
            }
            if !pin.failed {
                most = most.max(pin.bytes);
            }
        }
        let Some((last, _)) = rows.into_iter().next_back() else { break };
        after = Some(last);
    }
    loaded.bytes += most + leased.values().sum::<u64>();
    Ok(loaded)
}

impl Pins {
    /// Whether what a holder keeps is counted. The owner of the gateway keeps what he wants.
    pub(super) fn is_limited(&self, holder: &PublicKey, owner: &PublicKey) -> bool {
        self.quota.is_limited() && holder != owner
    }

    /// Reads the tally of a holder if it is not there, or a lease in it is over. His turn is held.
    pub(super) async fn count(
        &self,
        store: &dyn GraphStore,
        holder: &PublicKey,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let loaded = self.quota.tallies().get(holder).and_then(|tally| tally.loaded);
        if loaded.is_some_and(|loaded| now_ms < loaded.until_ms) {
            return Ok(());
        }
        let fresh = load(store, holder, now_ms).await?;
        self.quota.tallies().entry(*holder).or_default().loaded = Some(fresh);
        Ok(())
    }

    /// What a holder keeps.
    pub(super) async fn usage_of(
        &self,
        store: &dyn GraphStore,
        holder: &PublicKey,
        limited: bool,
        now_ms: u64,
    ) -> Result<Usage, StoreError> {
        if !limited {
            // Whoever may have a million pins does not wait for a walk through them.
            let pins = store.side_count(PIN_NS, &holder.0, &[holder.0.as_slice(), &[0xff; 17]].concat()).await?;
            return Ok(Usage { pins, ..Usage::default() });
        }
        let _turn = self.turn(holder).await;
        self.count(store, holder, now_ms).await?;
        let loaded = self.quota.tallies().get(holder).and_then(|tally| tally.loaded).unwrap_or_default();
        let limit = |limit: u64| Some(limit).filter(|limit| *limit > 0);
        Ok(Usage {
            bytes: Some(loaded.bytes),
            pins: loaded.pins,
            bytes_limit: limit(self.quota.bytes_limit),
            pins_limit: limit(self.quota.pins_limit),
        })
    }
}
