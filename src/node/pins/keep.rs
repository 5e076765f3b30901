//! Use cases: pins of callers, uploads, leases.

use std::{collections::BTreeMap, time::Duration};

use cid::Cid;
use rustdht_core::{
    Code, PublicKey, Refusal,
    ports::{Applied, Batch, Root, SideRow},
};
use tokio::time::{Instant, timeout_at};

use super::{
    JobKey, MAX_CID_BYTES, MAX_META_BYTES, MAX_ORIGIN_BYTES, MAX_ORIGINS, MAX_PIN_NAME, Noted, PinFault, PinId,
    PinStatus, Usage,
    list::Pin,
    quota::{Room, kept},
    row::{
        Indexed, LEASE_NS, Lease, PIN_NS, PinRow, ROOT_NS, lease_key, pin_key, removal, root_prefix, rows,
        split_root_key,
    },
};
use crate::{Error, Node, Principal, node::Inner};

/// Pins of one root that an upload looks through for one that serves.
const LOOKED_THROUGH: u32 = 64;

/// What somebody wants to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPin {
    /// The root.
    pub cid: Cid,
    /// With everything that it links.
    pub recursive: bool,
    /// A name for it, perhaps empty.
    pub name: String,
    /// Notes on it.
    pub meta: BTreeMap<String, String>,
    /// Multiaddrs where it may be had.
    pub origins: Vec<String>,
}

impl NewPin {
    /// A recursive pin without a name.
    #[must_use]
    pub const fn new(cid: Cid) -> Self {
        Self { cid, recursive: true, name: String::new(), meta: BTreeMap::new(), origins: Vec::new() }
    }

    /// # Errors
    /// `out_of_range`, `bad_value`, with the member to blame.
    fn check(&self) -> Result<(), Refusal> {
        let refuse = |code: Code, detail: String, field: &str| Err(Refusal::new(code, detail).within(field));
        check_cid(&self.cid)?;
        if self.name.chars().count() > MAX_PIN_NAME {
            return refuse(Code::OutOfRange, format!("a name has at most {MAX_PIN_NAME} characters"), "name");
        }
        if self.meta.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_META_BYTES {
            return refuse(Code::OutOfRange, format!("meta has at most {MAX_META_BYTES} bytes"), "meta");
        }
        if self.origins.len() > MAX_ORIGINS {
            return refuse(Code::OutOfRange, format!("a pin has at most {MAX_ORIGINS} origins"), "origins");
        }
        match self.origins.iter().position(|origin| origin.len() > MAX_ORIGIN_BYTES || !origin.contains("/p2p/")) {
            Some(at) => {
                let detail = "an origin is a multiaddr that ends in /p2p/...".to_owned();
                refuse(Code::BadValue, detail, &format!("origins.{at}"))
            }
            None => Ok(()),
        }
    }
}

pub(super) fn check_cid(cid: &Cid) -> Result<(), Refusal> {
    if cid.encoded_len() > MAX_CID_BYTES {
        let detail = format!("a CID that is pinned has at most {MAX_CID_BYTES} bytes");
        return Err(Refusal::new(Code::OutOfRange, detail).within("cid"));
    }
    Ok(())
}

/// How an upload is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Pinned: all of it came.
    Pin,
    /// Pinned, after looking whether all of it came and fetching what did not: an archive may be incomplete.
    PinWhole,
    /// For a day.
    Lease,
}

/// What was uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its root.
    pub cid: Cid,
    /// Its size in bytes: what counts against the quota.
    pub bytes: u64,
    /// Its name, perhaps empty; cut to what a pin may have.
    pub name: String,
    /// How it is kept.
    pub keep: Keep,
}

/// A pin that is about to be written.
struct Planned<'a> {
    id: PinId,
    row: PinRow,
    side: Vec<SideRow>,
    _noted: Noted<'a>,
}

impl Node {
    /// Whose pins a principal's are.
    ///
    /// # Errors
    /// `not_authorised` for nobody in particular.
    pub(super) fn holder(&self, by: Principal) -> Result<PublicKey, Error> {
        match by {
            Principal::Owner | Principal::Internal => Ok(self.identity().gateway),
            Principal::Account(account) => Ok(account),
            Principal::Anonymous => {
                Err(Refusal::new(Code::NotAuthorised, "only who is known here keeps something").into())
            }
        }
    }

    /// Room for an upload, before its bytes flow; `bytes` where the sender told how many they are.
    ///
    /// # Errors
    /// [`PinFault::OverQuota`], [`PinFault::TooLarge`], [`PinFault::TooMany`]; `not_authorised`; when the store fails.
    pub async fn reserve(&self, by: Principal, bytes: Option<u64>) -> Result<Room, Error> {
        let holder = self.holder(by)?;
        let (pins, now_ms) = (&self.inner.pins, self.now_ms());
        if !pins.is_limited(&holder, &self.identity().gateway) {
            return Ok(Room::unlimited());
        }
        let _turn = pins.turn(&holder).await;
        pins.count(&**self.store(), &holder, now_ms).await?;
        pins.quota.check_pins(&holder)?;
        let mut room = Room::new(std::sync::Arc::clone(&pins.quota), holder);
        room.expect(bytes.unwrap_or(0))?;
        Ok(room)
    }

    /// Keeps what was uploaded: for whom it came from, as long as it says. `room` is what was reserved for it. The
    /// answer: its pin, an earlier one where he has pinned it already; none for a lease.
    ///
    /// # Errors
    /// [`PinFault`]; when the store fails.
    pub async fn pin_upload(&self, by: Principal, upload: Upload, mut room: Room) -> Result<Option<PinId>, Error> {
        let holder = self.holder(by)?;
        check_cid(&upload.cid)?;
        let inner = &*self.inner;
        if let Some(denied) = inner.pins.denylist.denied_cid(&upload.cid) {
            return Err(PinFault::Denied { list: denied.list }.into());
        }
        let root = Root { cid: upload.cid, recursive: true };
        let _noted = inner.pins.note(root);
        let limited = inner.limited(&holder);
        // A lease that is over is removed in its holder's turn.
        let turn = limited || upload.keep == Keep::Lease;
        let _turn = if turn { Some(inner.pins.turn(&holder).await) } else { None };
        if limited {
            inner.pins.count(&*inner.shared.ports.store, &holder, self.now_ms()).await?;
            // What he keeps already is not counted twice.
            let held = kept(&*inner.shared.ports.store, &holder, &upload.cid, self.now_ms()).await?;
            room.fit(upload.bytes.saturating_sub(held))?;
        }
        if upload.keep == Keep::Lease {
            inner.lease(&holder, &upload).await?;
            return Ok(None);
        }
        if let Some(id) = inner.pin_of_upload(&holder, &upload.cid).await? {
            return Ok(Some(id));
        }
        if limited {
            inner.pins.quota.check_pins(&holder)?;
        }
        let now_ms = self.now_ms();
        let whole = upload.keep == Keep::Pin;
        let row = PinRow {
            cid: upload.cid,
            name: upload.name.chars().take(MAX_PIN_NAME).collect(),
            meta: BTreeMap::new(),
            origins: Vec::new(),
            recursive: true,
            uploaded: true,
            status: if whole { PinStatus::Pinned } else { PinStatus::Queued },
            bytes: upload.bytes,
            due_ms: (!whole).then_some(now_ms),
            attempts: 0,
            detail: String::new(),
        };
        let id = inner.new_pin_id();
        inner.change(&holder, &[upload.cid], rows(&holder, &id, &row, None), 1).await?;
        inner.pins.wake.notify_one();
        Ok(Some(id))
    }

    /// Pins something. It is fetched in the background; the answer comes when that is done, or after `wait`.
    ///
    /// # Errors
    /// `out_of_range`, `bad_value`; [`PinFault::Denied`], [`PinFault::TooMany`], [`PinFault::OverQuota`]; when the store fails.
    pub async fn add_pin(&self, by: Principal, new: NewPin, wait: Duration) -> Result<Pin, Error> {
        let holder = self.holder(by)?;
        let limited = self.inner.limited(&holder);
        let turn = if limited { Some(self.inner.pins.turn(&holder).await) } else { None };
        let Planned { id, row, side, _noted } = self.plan_pin(&holder, new)?;
        if limited {
            self.inner.pins.count(&**self.store(), &holder, self.now_ms()).await?;
            self.inner.pins.quota.check_pins(&holder)?;
        }
        let ended = self.inner.pins.settled.subscribe();
        self.inner.change(&holder, &[row.cid], side, 1).await?;
        drop(turn);
        self.settle(&holder, id, ended, wait).await
    }

    /// Replaces a pin by another one in one step: what both hold is kept all the time. The new one has an id of its own.
    ///
    /// # Errors
    /// As [`Node::add_pin`]; [`PinFault::Unknown`].
    pub async fn replace_pin(&self, by: Principal, old: PinId, new: NewPin, wait: Duration) -> Result<Pin, Error> {
        let holder = self.holder(by)?;
        let inner = &*self.inner;
        let turn = inner.pins.turn(&holder).await;
        let before = inner.pin_row(&holder, &old).await?.ok_or(PinFault::Unknown)?;
        let Planned { id, row, mut side, _noted } = self.plan_pin(&holder, new)?;
        if inner.limited(&holder) {
            inner.pins.count(&**self.store(), &holder, self.now_ms()).await?;
        }
        side.extend(removal(&holder, &old, &before));
        let ended = inner.pins.settled.subscribe();
        inner.change(&holder, &[before.cid, row.cid], side, 0).await?;
        inner.pins.cancel(&JobKey::Pin(holder, old));
        drop(turn);
        self.settle(&holder, id, ended, wait).await
    }

    fn plan_pin(&self, holder: &PublicKey, new: NewPin) -> Result<Planned<'_>, Error> {
        new.check()?;
        let inner = &*self.inner;
        if let Some(denied) = inner.pins.denylist.denied_cid(&new.cid) {
            return Err(PinFault::Denied { list: denied.list }.into());
        }
        let row = PinRow {
            cid: new.cid,
            name: new.name,
            meta: new.meta,
            origins: new.origins,
            recursive: new.recursive,
            uploaded: false,
            status: PinStatus::Queued,
            bytes: 0,
            due_ms: Some(self.now_ms()),
            attempts: 0,
            detail: String::new(),
        };
        let _noted = inner.pins.note(row.root());
        let id = inner.new_pin_id();
        let side = rows(holder, &id, &row, None);
        Ok(Planned { id, row, side, _noted })
    }

    /// Waits a little: what is here already is pinned at once, and who asked should see that.
    async fn settle(
        &self,
        holder: &PublicKey,
        id: PinId,
        mut ended: tokio::sync::watch::Receiver<u64>,
        wait: Duration,
    ) -> Result<Pin, Error> {
        self.inner.pins.wake.notify_one();
        let deadline = Instant::now() + wait;
        loop {
            let row = self.inner.pin_row(holder, &id).await?.ok_or(PinFault::Unknown)?;
            let pending = row.status == PinStatus::Queued && row.attempts == 0;
            if !pending || !matches!(timeout_at(deadline, ended.changed()).await, Ok(Ok(()))) {
                return Ok(self.inner.shown(holder, id, row));
            }
        }
    }

    /// Removes a pin. What it kept goes with the next collection, unless something else keeps it.
    ///
    /// # Errors
    /// [`PinFault::Unknown`]; when the store fails.
    pub async fn remove_pin(&self, by: Principal, id: PinId) -> Result<(), Error> {
        let holder = self.holder(by)?;
        let inner = &*self.inner;
        let _turn = inner.pins.turn(&holder).await;
        let row = inner.pin_row(&holder, &id).await?.ok_or(PinFault::Unknown)?;
        if inner.limited(&holder) {
            inner.pins.count(&**self.store(), &holder, self.now_ms()).await?;
        }
        inner.change(&holder, &[row.cid], removal(&holder, &id, &row), -1).await?;
        inner.pins.cancel(&JobKey::Pin(holder, id));
        Ok(())
    }

    /// A pin.
    ///
    /// # Errors
    /// [`PinFault::Unknown`]; when the store fails.
    pub async fn pin(&self, by: Principal, id: PinId) -> Result<Pin, Error> {
        let holder = self.holder(by)?;
        let row = self.inner.pin_row(&holder, &id).await?.ok_or(PinFault::Unknown)?;
        Ok(self.inner.shown(&holder, id, row))
    }

    /// What somebody keeps here, and how much he may.
    ///
    /// # Errors
    /// `not_authorised`; when the store fails.
    pub async fn usage(&self, by: Principal) -> Result<Usage, Error> {
        let holder = self.holder(by)?;
        let limited = self.inner.limited(&holder);
        Ok(self.inner.pins.usage_of(&**self.store(), &holder, limited, self.now_ms()).await?)
    }

    /// The denylists of this gateway.
    #[must_use]
    pub fn denylist(&self) -> &std::sync::Arc<crate::Denylist> {
        &self.inner.pins.denylist
    }

    fn now_ms(&self) -> u64 {
        self.inner.shared.ports.clock.now_ms()
    }
}

impl Inner {
    pub(super) fn limited(&self, holder: &PublicKey) -> bool {
        self.pins.is_limited(holder, &self.shared.identity.gateway)
    }

    fn new_pin_id(&self) -> PinId {
        let mut random = [0; 8];
        self.shared.ports.entropy.fill(&mut random);
        PinId::new(self.pins.created(self.shared.ports.clock.now_ms()), random)
    }

    /// A pin as it is stored.
    pub(super) async fn pin_row(&self, holder: &PublicKey, id: &PinId) -> Result<Option<PinRow>, Error> {
        let stored = self.shared.ports.store.side_get(PIN_NS, &pin_key(holder, id)).await?;
        Ok(stored.and_then(|row| serde_json::from_slice(&row).ok()))
    }

    /// Writes rows that concern these roots of a holder. Where he is counted, his turn is held.
    pub(super) async fn change(
        &self,
        holder: &PublicKey,
        cids: &[Cid],
        side: Vec<SideRow>,
        pins: i64,
    ) -> Result<(), Error> {
        let (store, now_ms) = (&*self.shared.ports.store, self.shared.ports.clock.now_ms());
        let roots: BTreeMap<Vec<u8>, &Cid> = cids.iter().map(|cid| (root_prefix(holder, cid), cid)).collect();
        let limited = self.limited(holder);
        let (mut before, mut after) = (0, 0);
        if limited {
            for cid in roots.values() {
                before += kept(store, holder, cid, now_ms).await?;
            }
        }
        self.put_side(side).await?;
        if limited {
            for cid in roots.values() {
                after += kept(store, holder, cid, now_ms).await?;
            }
            self.pins.quota.moved(holder, before, after, pins);
        }
        Ok(())
    }

    pub(super) async fn put_side(&self, side: Vec<SideRow>) -> Result<Applied, Error> {
        let batch = Batch { side, now_ms: self.shared.ports.clock.now_ms(), ..Batch::default() };
        Ok(self.shared.ports.store.apply(batch).await?)
    }

    /// A pin that keeps an upload of `cid` already.
    async fn pin_of_upload(&self, holder: &PublicKey, cid: &Cid) -> Result<Option<PinId>, Error> {
        let store = &self.shared.ports.store;
        let rows = store.side_scan(ROOT_NS, &root_prefix(holder, cid), LOOKED_THROUGH).await?;
        for (key, value) in rows {
            let serves = Indexed::read(&value).is_some_and(|pin| pin.root == Root { cid: *cid, recursive: true });
            if let Some((_, id)) = split_root_key(&key).filter(|_| serves)
                && self.pin_row(holder, &id).await?.is_some_and(|row| row.status == PinStatus::Pinned)
            {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Keeps an upload for a while; one that is kept already, longer.
    async fn lease(&self, holder: &PublicKey, upload: &Upload) -> Result<(), Error> {
        let store = &self.shared.ports.store;
        let held = store.side_get(LEASE_NS, &lease_key(holder, &upload.cid)).await?;
        let held = held.and_then(|value| Lease::read(&value));
        let until_ms = self.shared.ports.clock.now_ms() + self.pins.config.lease_ms;
        let lease = Lease {
            root: Root { cid: upload.cid, recursive: true },
            bytes: upload.bytes.max(held.map_or(0, |held| held.bytes)),
            until_ms: until_ms.max(held.map_or(0, |held| held.until_ms)),
        };
        self.change(holder, &[upload.cid], vec![lease.row(holder)], 0).await?;
        self.pins.quota.leased(holder, lease.until_ms);
        Ok(())
    }
}
