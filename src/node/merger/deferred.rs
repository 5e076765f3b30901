//! Commits stamped ahead of the clock: kept durably, outside every index, until they are due.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use rustdht_core::{Code, CommitId, PublicKey, Refusal, ports::SideRow};
use rustdht_wire::{Header, Place, Rules};

use super::Foreign;
use crate::{Config, Error, Ports};

/// Namespace of the rows: key = due time in milliseconds, big-endian, and the commit id; value = the envelope.
pub(crate) const NS: &str = "deferred";
const PAGE: u32 = 1024;

/// When a commit is due, and which it is.
pub(crate) type Key = (u64, CommitId);

#[derive(Debug)]
pub(super) struct Deferred {
    waiting: BTreeMap<Key, PublicKey>,
    by_author: HashMap<PublicKey, usize>,
    per_author: usize,
    total: usize,
}

fn row_key(key: &Key) -> Vec<u8> {
    [&key.0.to_be_bytes()[..], &key.1.0].concat()
}

impl Deferred {
    /// Reads what waits in the store.
    pub(super) async fn load(ports: &Ports, config: &Config) -> Result<Self, Error> {
        let mut deferred = Self {
            waiting: BTreeMap::new(),
            by_author: HashMap::new(),
            per_author: config.deferred_per_author,
            total: config.deferred_total,
        };
        deferred.reload(ports).await?;
        Ok(deferred)
    }

    /// Forgets what is in memory and reads the store again.
    pub(super) async fn reload(&mut self, ports: &Ports) -> Result<(), Error> {
        self.waiting.clear();
        self.by_author.clear();
        let limit = u32::try_from(self.total).unwrap_or(u32::MAX).saturating_add(PAGE);
        for (key, envelope) in ports.store.side_scan(NS, &[], limit).await? {
            if let (Some(key), Ok(header)) = (read_key(&key), envelope_header(&envelope)) {
                self.note(key, header.author);
            }
        }
        Ok(())
    }

    fn note(&mut self, key: Key, author: PublicKey) {
        if self.waiting.insert(key, author).is_none() {
            *self.by_author.entry(author).or_default() += 1;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Keeps a commit until its time: the row to be written, or `None` when it waits already.
    pub(super) fn keep(&mut self, until_ms: u64, foreign: &Foreign) -> Result<Option<SideRow>, Refusal> {
        let key = (until_ms, foreign.verified.commit.id);
        if self.waiting.contains_key(&key) {
            return Ok(None);
        }
        let author = foreign.verified.header.author;
        if self.waiting.len() >= self.total
            || self.by_author.get(&author).is_some_and(|count| *count >= self.per_author)
        {
            return Err(Refusal::new(
                Code::TooEarly,
                "too many commits wait for their time; send it again when it is due",
            ));
        }
        self.note(key, author);
        Ok(Some(SideRow { ns: NS, key: row_key(&key), value: Some(foreign.envelope.to_vec()), insert_only: false }))
    }

    /// Takes note that a commit is joined: the row's removal.
    pub(super) fn done(&mut self, key: &Key) -> SideRow {
        if let Some(author) = self.waiting.remove(key)
            && let Some(count) = self.by_author.get_mut(&author)
        {
            *count -= 1;
            if *count == 0 {
                self.by_author.remove(&author);
            }
        }
        SideRow { ns: NS, key: row_key(key), value: None, insert_only: false }
    }

    /// Stops waiting for what was due by `now_ms`; its rows stay.
    pub(super) fn pass_over(&mut self, now_ms: u64) {
        let due: Vec<Key> = self.waiting.keys().take_while(|(until, _)| *until <= now_ms).copied().collect();
        for key in due {
            self.done(&key);
        }
    }

    /// The due time of the first that waits.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|((until, _), _)| *until)
    }
}

fn read_key(row: &[u8]) -> Option<Key> {
    let (until, id) = row.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*until), CommitId::try_from(id).ok()?))
}

/// The header inside an envelope.
fn envelope_header(envelope: &[u8]) -> Result<Header, Refusal> {
    let entries = rustdht_core::cbor::decode_map(envelope)?;
    let header = entries.iter().find(|(key, _)| *key == "h");
    Header::decode(header.ok_or_else(|| Refusal::new(Code::Malformed, "an envelope without header"))?.1.bytes()?)
}

/// The commits that are due, from their rows. A row that cannot be read any more is passed over and stays.
pub(super) async fn load_due(ports: &Ports, rules: &Rules) -> Result<Vec<(Key, Foreign)>, Error> {
    let mut due = Vec::new();
    for (row, envelope) in ports.store.side_scan(NS, &[], PAGE).await? {
        let Some(key) = read_key(&row) else { continue };
        if key.0 > rules.now_ms {
            break;
        }
        let envelope = Bytes::from(envelope);
        // It was verified when it came; what was kept on disk is verified again.
        match rustdht_wire::check(&envelope, Place::Replica, rules).and_then(rustdht_wire::Checked::verify) {
            Ok(verified) => due.push((key, Foreign { verified, envelope, door: true })),
            Err(refusal) => tracing::error!(commit = %key.1, %refusal, "a deferred commit is damaged"),
        }
    }
    Ok(due)
}
