//! Commits stamped ahead of the clock: kept durably, outside every index, until they are due.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use rustdht_core::{
    Code, CommitId, Entry, PublicKey, Refusal,
    ports::{Batch, SideRow, StoreError},
};
use rustdht_wire::{EndorsedBy, Extras, Header, Place, Verified, envelope_of};

use super::{Foreign, Origin, Shared};
use crate::{Config, Error, Ports};

/// Namespace of the rows: key = due time in milliseconds, big-endian, the commit id, and the first bytes of the
/// envelope's BLAKE3; value = one byte for the origin (0: a member, 1: a door, 2: a stranger at a door; and 4 where an
/// erase of an earlier stamp may reach it), and the envelope.
pub(crate) const NS: &str = "deferred";
/// Rows looked at for due commits at a time.
const PAGE: u32 = 256;
/// In the first byte of a row: some operation is compared with erases by less than its stamp.
const BASED: u8 = 4;

/// When an envelope is due, of which commit it is, and which part: two envelopes of one commit may hold different
/// operations of it.
pub(crate) type Key = (u64, CommitId, [u8; 8]);

/// What one author, or all together, keep waiting.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    commits: usize,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Deferred {
    waiting: BTreeMap<Key, (PublicKey, usize)>,
    by_author: HashMap<PublicKey, Load>,
    bytes: usize,
    per_author: usize,
    total: usize,
    max_bytes: usize,
}

fn row_key(key: &Key) -> Vec<u8> {
    [&key.0.to_be_bytes()[..], &key.1.0, &key.2].concat()
}

impl Deferred {
    /// Reads what waits in the store.
    pub(super) async fn load(ports: &Ports, config: &Config) -> Result<Self, Error> {
        let mut deferred = Self {
            waiting: BTreeMap::new(),
            by_author: HashMap::new(),
            bytes: 0,
            per_author: config.deferred_per_author,
            total: config.deferred_total,
            max_bytes: config.deferred_bytes,
        };
        deferred.reload(ports).await?;
        Ok(deferred)
    }

    /// Forgets what is in memory and reads the store again.
    pub(super) async fn reload(&mut self, ports: &Ports) -> Result<(), Error> {
        self.waiting.clear();
        self.by_author.clear();
        self.bytes = 0;
        let limit = u32::try_from(self.total).unwrap_or(u32::MAX).saturating_add(PAGE);
        for (key, value) in ports.store.side_scan(NS, &[], limit).await? {
            if let (Some(key), Some((_, envelope))) = (read_key(&key), value.split_first())
                && let Ok(header) = envelope_header(envelope)
            {
                self.note(key, header.author, envelope.len());
            }
        }
        Ok(())
    }

    fn note(&mut self, key: Key, author: PublicKey, bytes: usize) {
        if self.waiting.insert(key, (author, bytes)).is_none() {
            let load = self.by_author.entry(author).or_default();
            load.commits += 1;
            load.bytes += bytes;
            self.bytes += bytes;
        }
    }

    fn has_room(&self, author: &PublicKey, bytes: usize) -> bool {
        let own = self.by_author.get(author).copied().unwrap_or_default();
        let all = self.waiting.len() < self.total && self.bytes + bytes <= self.max_bytes;
        // One author gets an eighth of the room at most.
        all && own.commits < self.per_author && own.bytes + bytes <= self.max_bytes / 8
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Keeps a commit until its time: the row to be written, or `None` when it waits already.
    pub(super) fn keep(&mut self, until_ms: u64, foreign: &Foreign) -> Result<Option<SideRow>, Refusal> {
        let mut part = [0; 8];
        part.copy_from_slice(&blake3::hash(&foreign.envelope).as_bytes()[..8]);
        let key = (until_ms, foreign.verified.commit.id, part);
        if self.waiting.contains_key(&key) {
            return Ok(None);
        }
        let author = foreign.verified.header.author;
        if !self.has_room(&author, foreign.envelope.len()) {
            let detail = "too many commits wait for their time; send it again when it is due";
            return Err(Refusal::new(Code::TooEarly, detail));
        }
        self.note(key, author, foreign.envelope.len());
        let value = row_value(foreign.origin, &foreign.verified, &foreign.envelope);
        Ok(Some(SideRow { ns: NS, key: row_key(&key), value: Some(value), insert_only: false }))
    }

    /// Takes note that a commit is joined: the row's removal.
    pub(super) fn done(&mut self, key: &Key) -> SideRow {
        if let Some((author, bytes)) = self.waiting.remove(key)
            && let Some(load) = self.by_author.get_mut(&author)
        {
            load.commits -= 1;
            load.bytes -= bytes;
            self.bytes -= bytes;
            if load.commits == 0 {
                self.by_author.remove(&author);
            }
        }
        SideRow { ns: NS, key: row_key(key), value: None, insert_only: false }
    }

    /// Stops waiting for what was due by `now_ms`; its rows stay.
    pub(super) fn pass_over(&mut self, now_ms: u64) {
        let due: Vec<Key> = self.waiting.keys().take_while(|(until, ..)| *until <= now_ms).copied().collect();
        for key in due {
            self.done(&key);
        }
    }

    /// The due time of the first that waits.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|((until, ..), _)| *until)
    }
}

fn read_key(row: &[u8]) -> Option<Key> {
    let (until, rest) = row.split_first_chunk::<8>()?;
    let (id, part) = rest.split_first_chunk::<32>()?;
    Some((u64::from_be_bytes(*until), CommitId(*id), part.try_into().ok()?))
}

/// The header inside an envelope.
pub(crate) fn envelope_header(envelope: &[u8]) -> Result<Header, Refusal> {
    let entries = rustdht_core::cbor::decode_map(envelope)?;
    let header = entries.iter().find(|(key, _)| *key == "h");
    Header::decode(header.ok_or_else(|| Refusal::new(Code::Malformed, "an envelope without header"))?.1.bytes()?)
}

const fn origin_byte(origin: Origin) -> u8 {
    match origin {
        Origin::Member => 0,
        Origin::Door => 1,
        Origin::Stranger => 2,
    }
}

fn row_value(origin: Origin, verified: &Verified, envelope: &[u8]) -> Vec<u8> {
    let mut entries = verified.entries.iter().filter_map(|(_, entry)| entry.as_ref().ok());
    let based = if entries.any(|entry| entry.base.is_some()) { BASED } else { 0 };
    [&[origin_byte(origin) | based], envelope].concat()
}

fn read_value(value: Vec<u8>) -> (Origin, Bytes) {
    let mut envelope = Bytes::from(value);
    let origin = match if envelope.is_empty() { 0 } else { envelope.split_to(1)[0] & !BASED } {
        1 => Origin::Door,
        2 => Origin::Stranger,
        _ => Origin::Member,
    };
    (origin, envelope)
}

/// Takes out of the rows what erases cover. What they are about stays: a commit of which only a part is covered goes on
/// waiting for its time with the rest. The merger counts what it counted; when the time comes it finds less.
pub(super) async fn forget(shared: &Shared, batch: &mut Batch, erases: &[Arc<Entry>]) -> Result<(), StoreError> {
    let Some(last_ms) = erases.iter().map(|eraser| eraser.stamp.ms()).max() else { return Ok(()) };
    let reached = |key: &[u8], value: &[u8]| {
        let based = value.first().is_some_and(|first| first & BASED != 0);
        based || read_key(key).is_some_and(|(until_ms, ..)| until_ms <= last_ms)
    };
    // What the same transaction writes or removes is decided there.
    let own: HashSet<&[u8]> = batch.side.iter().filter(|row| row.ns == NS).map(|row| row.key.as_slice()).collect();
    let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    if shared.deferred.load(Ordering::Relaxed) > 0 {
        rows = shared.ports.store.side_scan(NS, &[], u32::MAX).await?;
        rows.retain(|(key, value)| !own.contains(key.as_slice()) && reached(key, value));
    }
    let fresh = batch.side.iter().filter(|row| row.ns == NS);
    rows.extend(
        fresh.filter_map(|row| Some((row.key.clone(), row.value.clone()?))).filter(|(key, row)| reached(key, row)),
    );
    for (key, value) in rows {
        let (origin, envelope) = read_value(value);
        let certificates = shared.authority.certificates_for(std::slice::from_ref(&envelope)).await?;
        let rules = shared.authority.rules(shared.ports.clock.now_ms(), &certificates);
        let place = if origin.is_door() { Place::Door } else { Place::Replica };
        let Ok(checked) = rustdht_wire::check(&envelope, place, &rules) else { continue };
        let covered = |entry: &Entry| {
            erases.iter().any(|eraser| {
                let same = eraser.soul == entry.soul && eraser.field == entry.field;
                same && rustdht_graph::Rules::of(&eraser.soul).erases(eraser, entry)
            })
        };
        let any = checked.operations().iter().filter_map(|(_, entry)| entry.as_ref().ok()).any(covered);
        // It was verified when it came; what is damaged since is said when it is due.
        if any && let Ok(mut verified) = checked.verify() {
            verified.entries.retain(|(_, entry)| entry.as_ref().is_ok_and(|entry| !covered(entry)));
            let vouches = !shared.authority.wants_members()
                || !verified.endorsements.is_empty()
                || shared.authority.membership(verified.header.stamp).is_some();
            if origin.is_door() && !vouches && !verified.entries.is_empty() {
                // A part is admitted with an endorsement only. Whole, it loses what is covered when it is due.
                continue;
            }
            batch.side.push(SideRow { ns: NS, key, value: rest(shared, origin, verified), insert_only: false });
        }
    }
    Ok(())
}

/// The row of what is left of a commit: as a member would send it, since at a door a commit is whole. `None`: nothing.
fn rest(shared: &Shared, origin: Origin, mut verified: Verified) -> Option<Vec<u8>> {
    if origin == Origin::Door
        && let Some(member) = shared.authority.membership(verified.header.stamp)
        && shared.authority.wants_members()
    {
        let signature = rustdht_wire::endorse(&shared.gateway, &verified.commit.id);
        verified.endorsements.push(EndorsedBy { certificate: member.leaf().id(), signature });
        verified.certificates.extend(member.chain.iter().cloned());
    }
    let entries: Vec<&Entry> = verified.entries.iter().filter_map(|(_, entry)| entry.as_ref().ok()).collect();
    if entries.is_empty() {
        return None;
    }
    let extras = Extras { certificates: &verified.certificates, endorsements: &verified.endorsements };
    match envelope_of(&verified.commit, &entries, &extras) {
        Ok(envelope) => Some(row_value(Origin::Member, &verified, &envelope)),
        Err(error) => {
            tracing::error!(commit = %verified.commit.id, %error, "what an erase left of a deferred commit is lost");
            None
        }
    }
}

/// The commits that are due, from their rows. A row that cannot be read any more is passed over and stays.
pub(super) async fn load_due(shared: &Shared) -> Result<Vec<(Key, Foreign)>, Error> {
    let now_ms = shared.ports.clock.now_ms();
    let mut rows = Vec::new();
    for (row, value) in shared.ports.store.side_scan(NS, &[], PAGE).await? {
        let Some(key) = read_key(&row) else { continue };
        if key.0 > now_ms {
            break;
        }
        let (origin, envelope) = read_value(value);
        rows.push((key, origin, envelope));
    }
    let envelopes: Vec<Bytes> = rows.iter().map(|(.., envelope)| envelope.clone()).collect();
    let certificates = shared.authority.certificates_for(&envelopes).await?;
    let rules = shared.authority.rules(now_ms, &certificates);
    let mut due = Vec::new();
    for (key, origin, envelope) in rows {
        // What came in at a door is endorsed when it is admitted, so it is judged as there.
        let place = if origin.is_door() { Place::Door } else { Place::Replica };
        // It was verified when it came; what was kept on disk is verified again.
        match rustdht_wire::check(&envelope, place, &rules).and_then(rustdht_wire::Checked::verify) {
            Ok(verified) => due.push((key, Foreign { verified, envelope, origin, endorsed: Vec::new() })),
            Err(refusal) => tracing::error!(commit = %key.1, %refusal, "a deferred commit is damaged"),
        }
    }
    Ok(due)
}
