//! One group: the transaction it becomes, what the others hear of it, and the answers it owes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use rustdht_core::{
    CommitId, Entry, EntryId, Field, RecordId, Soul, partition_of,
    ports::{Batch, Change, Endorsement, IndexItem, Loser, Published, Put, SideRow, StoredCommit},
};
use rustdht_graph::Changes;
use rustdht_wire::SignedCertificate;

use super::{Answer, GROUP_JOBS, GROUP_OPERATIONS, Job};
use crate::{Error, Rendered, authority::Authority, documents::Hidden};

/// Entries of local souls are compared with nobody.
fn stays_here(entry: &Entry) -> bool {
    entry.soul.space() == rustdht_core::Space::Local
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) number: u64,
    pub(super) epoch: u64,
    pub(super) now_ms: u64,
    network_key: [u8; 32],
    puts: Vec<Option<Put>>,
    by_id: HashMap<EntryId, usize>,
    drops: Vec<(EntryId, RecordId)>,
    commits: BTreeMap<CommitId, Arc<StoredCommit>>,
    losers: Vec<Loser>,
    pub(super) side: Vec<SideRow>,
    pub(super) endorsements: Vec<Endorsement>,
    /// Certificates that become durable with it.
    learned: Vec<Arc<SignedCertificate>>,
    changed: BTreeMap<Soul, BTreeSet<Field>>,
    index: Published,
    /// Erases whose history has to be forgotten too.
    pub(super) erases: Vec<Arc<Entry>>,
    /// Elements of documents that go out of the state.
    pub(super) hidden: Hidden,
    /// What changed nodes show, where it was rendered anyway.
    pub(super) rendered: HashMap<Soul, Option<Rendered>>,
    pub(super) answers: Vec<(Job, Result<Answer, Error>)>,
    /// A rough count of the operations planned.
    pub(super) operations: usize,
}

impl Group {
    pub(super) fn new(number: u64, epoch: u64, now_ms: u64, network_key: [u8; 32]) -> Self {
        Self {
            number,
            epoch,
            now_ms,
            network_key,
            puts: Vec::new(),
            by_id: HashMap::new(),
            drops: Vec::new(),
            commits: BTreeMap::new(),
            losers: Vec::new(),
            side: Vec::new(),
            endorsements: Vec::new(),
            learned: Vec::new(),
            changed: BTreeMap::new(),
            index: Published::default(),
            erases: Vec::new(),
            hidden: Hidden::default(),
            rendered: HashMap::new(),
            answers: Vec::new(),
            operations: 0,
        }
    }

    /// Whether further jobs may be planned into it.
    pub(super) fn has_room(&self) -> bool {
        self.answers.len() < GROUP_JOBS && self.operations < GROUP_OPERATIONS
    }

    fn index_item(&self, entry: &Entry) -> IndexItem {
        IndexItem {
            seconds: entry.index_seconds(),
            record: entry.id.record_id(&self.network_key),
            partition: partition_of(&entry.soul),
        }
    }

    /// Takes over how a join changed the state.
    pub(super) fn take(&mut self, changes: Changes) {
        let touched = changes.puts.iter().chain(&changes.rewrites).chain(&changes.drops);
        for entry in touched {
            match self.changed.get_mut(&entry.soul) {
                Some(fields) if fields.contains(&entry.field) => {}
                Some(fields) => {
                    fields.insert(entry.field.clone());
                }
                None => {
                    self.changed.insert(entry.soul.clone(), BTreeSet::from([entry.field.clone()]));
                }
            }
            self.rendered.remove(&entry.soul);
        }
        for entry in changes.puts {
            let item = self.index_item(&entry);
            if !stays_here(&entry) {
                self.index.adds.push(item);
            }
            self.put(entry, item.record);
        }
        for entry in changes.rewrites {
            let record = entry.id.record_id(&self.network_key);
            self.put(entry, record);
        }
        for entry in changes.drops {
            let item = self.index_item(&entry);
            if !stays_here(&entry) {
                self.index.drops.push(item);
            }
            match self.by_id.remove(&entry.id) {
                // Put and dropped within the group: the store never hears of it. (A rewrite of a stored row that is
                // dropped later must still drop the row.)
                Some(at) => {
                    self.puts[at] = None;
                    self.drops.push((entry.id, item.record));
                }
                None => self.drops.push((entry.id, item.record)),
            }
        }
        let now_ms = self.now_ms;
        self.losers.extend(changes.losers.into_iter().map(|entry| Loser { entry, lost_ms: now_ms }));
        self.erases.extend(changes.erases);
    }

    fn put(&mut self, entry: Arc<Entry>, record: RecordId) {
        let put = Put { record, entry };
        match self.by_id.get(&put.entry.id) {
            Some(at) => self.puts[*at] = Some(put),
            None => {
                self.by_id.insert(put.entry.id, self.puts.len());
                self.puts.push(Some(put));
            }
        }
    }

    /// A commit of which this group may put entries.
    pub(super) fn commit(&mut self, commit: StoredCommit) {
        let merged = match self.commits.get(&commit.id) {
            Some(known) => rustdht_wire::merge_proofs(known, &commit),
            None => commit,
        };
        self.commits.insert(merged.id, Arc::new(merged));
    }

    /// Certificates that what was joined stands under.
    pub(super) fn certificates(&mut self, authority: &Authority, certificates: &[Arc<SignedCertificate>]) {
        if certificates.is_empty() {
            return;
        }
        self.side.extend(authority.rows(certificates));
        self.learned.extend(certificates.iter().cloned());
    }

    /// Takes the certificates that are durable with it.
    pub(super) fn learned(&mut self) -> Vec<Arc<SignedCertificate>> {
        std::mem::take(&mut self.learned)
    }

    /// A commit that the members have to get from here.
    pub(super) fn push(&mut self, id: CommitId, envelope: Bytes) {
        self.index.push.push((id, envelope));
    }

    /// Whether anything has to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
            && self.drops.is_empty()
            && self.side.is_empty()
            && self.losers.is_empty()
            && self.endorsements.is_empty()
            && self.hidden.is_empty()
    }

    /// The souls that changed.
    pub(super) fn changed(&self) -> impl Iterator<Item = &Soul> {
        self.changed.keys()
    }

    /// Takes the transaction and what is to be published after it.
    pub(super) fn finish(&mut self, seen_feed: u64) -> (Batch, Published) {
        let puts: Vec<Put> = std::mem::take(&mut self.puts).into_iter().flatten().collect();
        let live: HashSet<CommitId> = puts.iter().map(|put| put.entry.commit).collect();
        let mut commits = std::mem::take(&mut self.commits);
        commits.retain(|id, _| live.contains(id));
        let erases = &self.erases;
        self.losers.retain(|loser| {
            !erases.iter().any(|eraser| {
                let same = eraser.soul == loser.entry.soul && eraser.field == loser.entry.field;
                same && rustdht_graph::Rules::of(&eraser.soul).erases(eraser, &loser.entry)
            })
        });
        let changes = std::mem::take(&mut self.changed);
        let batch = Batch {
            puts,
            drops: std::mem::take(&mut self.drops),
            commits: commits.into_values().collect(),
            endorsements: std::mem::take(&mut self.endorsements),
            losers: std::mem::take(&mut self.losers),
            forget: Vec::new(),
            side: std::mem::take(&mut self.side),
            changes: changes
                .into_iter()
                .map(|(soul, fields)| Change { soul, fields: fields.into_iter().collect() })
                .collect(),
            now_ms: self.now_ms,
            seen_feed,
        };
        (batch, std::mem::take(&mut self.index))
    }
}
