//! Pins as they are shown, and finding them.

use std::collections::{BTreeMap, BTreeSet};

use cid::Cid;
use rustdht_core::PublicKey;

use super::{
    JobKey, PinId, PinStatus,
    row::{OPEN_NS, PIN_NS, PinRow, ROOT_NS, read_pin_key, root_prefix, split_root_key},
};
use crate::{Error, Node, Principal, node::Inner};

/// CIDs that one request asks for (Pinning Service API).
pub const MAX_CIDS: usize = 10;
/// Pins of one page (Pinning Service API).
pub const MAX_PINS_PAGE: usize = 1000;
/// Rows read at a time.
const PAGE: u32 = 1024;
/// Pins of one root of one holder that are found by its CID.
const PINS_OF_ROOT: u32 = 10_000;

/// A pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Its id.
    pub id: PinId,
    /// When it was made, in milliseconds since the epoch; no two pins have one time.
    pub created_ms: u64,
    /// How far it is.
    pub status: PinStatus,
    /// The root.
    pub cid: Cid,
    /// With everything that it links.
    pub recursive: bool,
    /// Its name, perhaps empty.
    pub name: String,
    /// Notes on it.
    pub meta: BTreeMap<String, String>,
    /// Where it may be had; told while it is not pinned.
    pub origins: Vec<String>,
    /// Bytes that are here: of an upload those of its file, else those of its blocks.
    pub bytes: u64,
    /// Blocks that were looked at, while it is being fetched.
    pub blocks: u64,
    /// What stands in the way, for people.
    pub detail: String,
}

/// How a name is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameMatch {
    /// The whole name.
    #[default]
    Exact,
    /// The whole name, in any case.
    IgnoringCase,
    /// A part of it.
    Partial,
    /// A part of it, in any case.
    PartialIgnoringCase,
}

/// Which pins are wanted; each part narrows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinFilter {
    /// One of these roots, whatever the version of the CID; empty: any.
    pub cids: Vec<Cid>,
    /// Of this name.
    pub name: Option<(String, NameMatch)>,
    /// One of these.
    pub statuses: Vec<PinStatus>,
    /// Made before, in milliseconds since the epoch.
    pub before_ms: Option<u64>,
    /// Made after.
    pub after_ms: Option<u64>,
    /// With all of these notes.
    pub meta: BTreeMap<String, String>,
    /// At most so many are shown.
    pub limit: usize,
}

impl Default for PinFilter {
    /// The last ten that are pinned.
    fn default() -> Self {
        Self {
            cids: Vec::new(),
            name: None,
            statuses: vec![PinStatus::Pinned],
            before_ms: None,
            after_ms: None,
            meta: BTreeMap::new(),
            limit: 10,
        }
    }
}

impl PinFilter {
    fn takes(&self, pin: &Pin) -> bool {
        let named = match &self.name {
            None => true,
            Some((name, NameMatch::Exact)) => pin.name == *name,
            Some((name, NameMatch::Partial)) => pin.name.contains(name.as_str()),
            // Folding by Unicode lower case: what a person takes for the same name, if not in every language.
            Some((name, NameMatch::IgnoringCase)) => pin.name.to_lowercase() == name.to_lowercase(),
            Some((name, NameMatch::PartialIgnoringCase)) => pin.name.to_lowercase().contains(&name.to_lowercase()),
        };
        named
            && self.statuses.contains(&pin.status)
            && self.before_ms.is_none_or(|before_ms| pin.created_ms < before_ms)
            && self.after_ms.is_none_or(|after_ms| pin.created_ms > after_ms)
            && self.meta.iter().all(|(key, value)| pin.meta.get(key) == Some(value))
    }
}

/// Pins, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinPage {
    /// How many there are that the filter takes.
    pub count: u64,
    /// The newest of them.
    pub pins: Vec<Pin>,
}

impl PinPage {
    fn take(&mut self, filter: &PinFilter, pin: Pin) {
        if filter.takes(&pin) {
            self.count += 1;
            if self.pins.len() < filter.limit {
                self.pins.push(pin);
            }
        }
    }
}

/// Keys of the pins of one holder that were made within the times of a filter, the newest first.
struct Span {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Span {
    fn of(holder: &PublicKey, filter: &PinFilter) -> Self {
        let holder = holder.0.as_slice();
        // Behind every pin that was made at `before_ms` or later.
        let from = filter.before_ms.map(|before_ms| [holder, &PinId::prefix_of(before_ms), &[0xff; 8], &[0]].concat());
        let to = filter.after_ms.map(|after_ms| [holder, &PinId::prefix_of(after_ms)].concat());
        // An id has 16 bytes, so 17 are behind all of them.
        let end = || [holder, &[0xff; 17]].concat();
        Self { from: from.unwrap_or_else(|| holder.to_vec()), to: to.unwrap_or_else(end) }
    }

    fn has(&self, key: &[u8]) -> bool {
        self.from.as_slice() <= key && key < self.to.as_slice()
    }
}

impl Node {
    /// The pins of somebody, and how many there are that the filter takes. With a name or notes all of his pins between the
    /// times are looked at; without, only those that are shown.
    ///
    /// # Errors
    /// `not_authorised`; when the store fails.
    pub async fn pins(&self, by: Principal, filter: &PinFilter) -> Result<PinPage, Error> {
        let holder = self.holder(by)?;
        if !filter.cids.is_empty() {
            return self.pins_of(&holder, filter).await;
        }
        let span = Span::of(&holder, filter);
        let by_status = filter.name.is_none() && filter.meta.is_empty();
        let count = if by_status { Some(self.count_pins(&holder, &span, filter).await?) } else { None };
        let mut page = PinPage::default();
        // Those that are not pinned are few, and have an index of their own.
        let ns = if filter.statuses.contains(&PinStatus::Pinned) { PIN_NS } else { OPEN_NS };
        let mut after = Some(span.from.clone());
        // A key that is `from` itself is of no pin: it lacks an id, or has a byte behind one.
        'rows: loop {
            let rows = self.store().side_page(ns, &holder.0, after.as_deref(), PAGE).await?;
            for (key, value) in &rows {
                let enough = count.is_some() && page.pins.len() >= filter.limit;
                if enough || !span.has(key) {
                    break 'rows;
                }
                let Some((_, id)) = read_pin_key(key) else { continue };
                let row = if ns == PIN_NS {
                    serde_json::from_slice(value).ok()
                } else {
                    self.inner.pin_row(&holder, &id).await?
                };
                if let Some(row) = row {
                    page.take(filter, self.inner.shown(&holder, id, row));
                }
            }
            match rows.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => break,
            }
        }
        page.count = count.unwrap_or(page.count);
        Ok(page)
    }

    /// Pins of these statuses: from the numbers of keys, and the few that are not pinned.
    async fn count_pins(&self, holder: &PublicKey, span: &Span, filter: &PinFilter) -> Result<u64, Error> {
        let store = self.store();
        let (mut queued, mut failed, mut pinning) = (0, 0, 0);
        let mut after = Some(span.from.clone());
        'rows: loop {
            let rows = store.side_page(OPEN_NS, &holder.0, after.as_deref(), PAGE).await?;
            let active = self.inner.pins.active();
            for (key, value) in &rows {
                if !span.has(key) {
                    break 'rows;
                }
                let of_pin = |(holder, id)| active.contains_key(&JobKey::Pin(holder, id));
                match value.first() {
                    Some(1) => failed += 1,
                    _ if read_pin_key(key).is_some_and(of_pin) => pinning += 1,
                    _ => queued += 1,
                }
            }
            drop(active);
            match rows.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => break,
            }
        }
        let mut count = 0;
        for status in PinStatus::ALL.into_iter().filter(|status| filter.statuses.contains(status)) {
            count += match status {
                PinStatus::Queued => queued,
                PinStatus::Pinning => pinning,
                PinStatus::Failed => failed,
                PinStatus::Pinned => {
                    let all = store.side_count(PIN_NS, &span.from, &span.to).await?;
                    all.saturating_sub(queued + pinning + failed)
                }
            };
        }
        Ok(count)
    }

    async fn pins_of(&self, holder: &PublicKey, filter: &PinFilter) -> Result<PinPage, Error> {
        let mut ids = BTreeSet::new();
        for cid in filter.cids.iter().take(MAX_CIDS) {
            let rows = self.store().side_scan(ROOT_NS, &root_prefix(holder, cid), PINS_OF_ROOT).await?;
            ids.extend(rows.iter().filter_map(|(key, _)| Some(split_root_key(key)?.1)));
        }
        let mut page = PinPage::default();
        for id in ids {
            if let Some(row) = self.inner.pin_row(holder, &id).await? {
                page.take(filter, self.inner.shown(holder, id, row));
            }
        }
        Ok(page)
    }

    /// Addresses under which who has something that is to be pinned reaches this gateway, at most 20; those that others
    /// may reach come first. Never empty.
    ///
    /// # Errors
    /// When the network fails.
    pub async fn delegates(&self) -> Result<Vec<String>, Error> {
        let Some(replicator) = self.inner.replicator.get() else { return Ok(vec!["/p2p/unknown".to_owned()]) };
        let status = replicator.status().await?;
        let mut addresses = status.listen;
        addresses.dedup();
        addresses.sort_by_key(|address| ["/ip4/127.", "/ip6/::1/"].iter().any(|local| address.starts_with(local)));
        addresses.truncate(super::MAX_ORIGINS);
        if addresses.is_empty() {
            addresses.push(format!("/p2p/{}", status.id));
        }
        Ok(addresses)
    }
}

impl Inner {
    /// A pin as it is now.
    pub(super) fn shown(&self, holder: &PublicKey, id: PinId, row: PinRow) -> Pin {
        let active = self.pins.active().get(&JobKey::Pin(*holder, id)).cloned();
        let fetching = active.filter(|_| row.status == PinStatus::Queued);
        let (blocks, fetched) = fetching.as_ref().map_or((0, 0), |active| active.progress.get());
        Pin {
            id,
            created_ms: id.created_ms(),
            status: if fetching.is_some() { PinStatus::Pinning } else { row.status },
            cid: row.cid,
            recursive: row.recursive,
            name: row.name,
            meta: row.meta,
            origins: row.origins,
            bytes: row.bytes.max(fetched),
            blocks,
            detail: row.detail,
        }
    }
}
