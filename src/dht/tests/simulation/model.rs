//! A store of one-operation commits in which a newer one of a slot displaces the older.

use std::collections::BTreeMap;

use bytes::Bytes;
use rustdht_core::{
    CommitId, RecordId,
    ports::{IndexItem, IngestOutcome, Published},
};

/// A commit with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Write {
    pub(crate) seconds: u32,
    pub(crate) record: RecordId,
    pub(crate) commit: CommitId,
    pub(crate) slot: u16,
}

impl Write {
    pub(crate) fn item(&self) -> IndexItem {
        IndexItem { seconds: self.seconds, record: self.record, partition: 0 }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let slot = self.slot.to_be_bytes();
        [&self.seconds.to_be_bytes()[..], &self.record.0, &self.commit.0, &slot].concat().into()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let (seconds, rest) = bytes.split_at(4);
        let (record, rest) = rest.split_at(32);
        let (commit, slot) = rest.split_at(32);
        Self {
            seconds: u32::from_be_bytes(seconds.try_into().unwrap()),
            record: record.try_into().unwrap(),
            commit: commit.try_into().unwrap(),
            slot: u16::from_be_bytes(slot.try_into().unwrap()),
        }
    }
}

/// The greatest write of each slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Store {
    slots: BTreeMap<u16, Write>,
    records: BTreeMap<RecordId, u16>,
}

impl Store {
    /// Merges a write; what changed.
    pub(crate) fn join(&mut self, write: Write) -> Published {
        let mut published = Published::default();
        let held = self.slots.get(&write.slot).copied();
        if held.is_none_or(|held| held < write) {
            if let Some(held) = held {
                self.records.remove(&held.record);
                published.drops.push(held.item());
            }
            self.slots.insert(write.slot, write);
            self.records.insert(write.record, write.slot);
            published.adds.push(write.item());
        }
        published
    }

    pub(crate) fn ingest(&mut self, envelopes: &[Bytes]) -> (Published, Vec<IngestOutcome>) {
        let mut all = Published::default();
        for envelope in envelopes {
            let published = self.join(Write::decode(envelope));
            all.adds.extend(published.adds);
            all.drops.extend(published.drops);
        }
        // What came and went within one batch stands in both lists, as the node's merger publishes it.
        (all, vec![IngestOutcome::Durable; envelopes.len()])
    }

    pub(crate) fn load(&self, records: &[RecordId], max_bytes: usize) -> (Vec<Bytes>, Vec<RecordId>) {
        let (mut envelopes, mut missing, mut bytes) = (vec![], vec![], 0);
        for record in records {
            match self.records.get(record) {
                Some(slot) if bytes < max_bytes => {
                    let envelope = self.slots[slot].encode();
                    bytes += envelope.len();
                    envelopes.push(envelope);
                }
                Some(_) => {}
                None => missing.push(*record),
            }
        }
        (envelopes, missing)
    }

    /// Whether a write, or a greater one of its slot, is here.
    pub(crate) fn holds(&self, write: &Write) -> bool {
        self.slots.get(&write.slot).is_some_and(|held| held >= write)
    }

    pub(crate) fn writes(&self) -> impl Iterator<Item = &Write> {
        self.slots.values()
    }
}
