//! What members are sent: envelopes of stored entries, with the certificates and endorsements that they stand under.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use rustdht_core::{
    Body, CertificateId, CommitId, Entry, EntryId, RecordId, Soul, Space, UNSIGNED,
    ports::{Endorsement, StoreError, StoredCommit},
};
use rustdht_graph::NodeState;
use rustdht_wire::{
    EndorsedBy, Extras, SignedCertificate, envelopes_of,
    limits::{MAX_ENDORSEMENTS, MAX_OPERATIONS},
};

use crate::merger::Shared;

/// Records looked up at a time.
const RECORDS_AT_A_TIME: usize = 128;
/// Bytes of one envelope, as the format bounds it.
const ONE_ENVELOPE_BYTES: usize = 1 << 20;
/// Entries looked at for one that can carry an endorsement.
const CARRIERS: u32 = 16;

/// What is sent of one commit.
#[derive(Default)]
struct Sent {
    entries: Vec<Entry>,
    /// Endorsements that were asked for: they go before the others, of which not all may fit.
    asked: HashSet<CertificateId>,
}

/// Reads what members ask for.
pub(crate) struct Outgoing<'a> {
    pub(crate) shared: &'a Shared,
}

impl Outgoing<'_> {
    /// Every entry of a soul.
    pub(crate) async fn soul(&self, soul: &Soul, max_bytes: usize) -> Result<Vec<Bytes>, StoreError> {
        if soul.space() == Space::Local {
            return Ok(Vec::new());
        }
        let entries = self.shared.ports.store.load(std::slice::from_ref(soul)).await?;
        self.envelopes(by_commit(entries), &HashSet::new(), max_bytes).await
    }

    /// Envelopes that carry these records, and the records that are not here.
    pub(crate) async fn records(
        &self,
        records: &[RecordId],
        max_bytes: usize,
    ) -> Result<(Vec<Bytes>, Vec<RecordId>), StoreError> {
        let mut envelopes: Vec<Bytes> = Vec::new();
        let (mut missing, mut room) = (Vec::new(), max_bytes);
        // In slices, so that what is read stays near what is sent.
        for slice in records.chunks(RECORDS_AT_A_TIME) {
            let (more, absent) = self.slice(slice, room).await?;
            missing.extend(absent);
            let bytes: usize = more.iter().map(Bytes::len).sum();
            envelopes.extend(more);
            if bytes >= room / 2 {
                break;
            }
            room -= bytes;
        }
        Ok((envelopes, missing))
    }

    async fn slice(&self, records: &[RecordId], max_bytes: usize) -> Result<(Vec<Bytes>, Vec<RecordId>), StoreError> {
        let key = &self.shared.network_key;
        let asked: HashSet<RecordId> = records.iter().copied().collect();
        let mut entries = self.shared.ports.store.by_record(records).await?;
        entries.retain(|entry| asked.contains(&entry.id.record_id(key)) && entry.soul.space() != Space::Local);
        let mut found: HashSet<RecordId> = entries.iter().map(|entry| entry.id.record_id(key)).collect();
        self.complete_content(&mut entries).await?;
        let mut endorsements: HashMap<CommitId, HashSet<CertificateId>> = HashMap::new();
        if found.len() < asked.len() {
            let rest: Vec<RecordId> = asked.iter().filter(|record| !found.contains(record)).copied().collect();
            for endorsement in self.shared.ports.store.endorsements_by_record(&rest).await? {
                if asked.contains(&endorsement.record) {
                    found.insert(endorsement.record);
                    endorsements.entry(endorsement.commit).or_default().insert(endorsement.certificate);
                }
            }
            self.add_carriers(&mut entries, endorsements.keys()).await?;
        }
        // What covers a value-less entry goes ahead of it, or the receiver could not take it.
        let covers = self.covers(&entries).await?;
        let first: HashSet<CommitId> = covers.iter().map(|cover| cover.commit).collect();
        entries.extend(covers);
        let mut sent = by_commit(entries);
        for (commit, certificates) in endorsements {
            sent.entry(commit).or_default().asked = certificates;
        }
        let envelopes = self.envelopes(sent, &first, max_bytes).await?;
        Ok((envelopes, records.iter().filter(|record| !found.contains(record)).copied().collect()))
    }

    /// Content travels whole.
    async fn complete_content(&self, entries: &mut Vec<Entry>) -> Result<(), StoreError> {
        let parted: HashSet<CommitId> =
            entries.iter().filter(|entry| entry.author == UNSIGNED).map(|entry| entry.commit).collect();
        for commit in parted {
            entries.retain(|entry| entry.commit != commit);
            entries.extend(self.shared.ports.store.entries_of(commit, MAX_OPERATIONS as u32).await?);
        }
        Ok(())
    }

    /// An endorsement travels with at least one operation of its commit, a live one where there is any.
    async fn add_carriers<'a>(
        &self,
        entries: &mut Vec<Entry>,
        commits: impl Iterator<Item = &'a CommitId>,
    ) -> Result<(), StoreError> {
        let carried: HashSet<CommitId> = entries.iter().map(|entry| entry.commit).collect();
        for commit in commits.filter(|commit| !carried.contains(commit)) {
            let mut of_commit = self.shared.ports.store.entries_of(*commit, CARRIERS).await?;
            of_commit.sort_by_key(|entry| (matches!(entry.body, Body::Dropped(_)), entry.index));
            entries.extend(of_commit.into_iter().next());
        }
        Ok(())
    }

    /// The kills and erases that cover value-less entries: whoever gets one needs the other.
    async fn covers(&self, entries: &[Entry]) -> Result<Vec<Entry>, StoreError> {
        let bare: Vec<&Entry> = entries.iter().filter(|entry| matches!(entry.body, Body::Dropped(_))).collect();
        let souls: HashSet<Soul> = bare.iter().map(|entry| entry.soul.clone()).collect();
        if souls.is_empty() {
            return Ok(Vec::new());
        }
        let mut states: HashMap<Soul, NodeState> = HashMap::new();
        for entry in self.shared.ports.store.load(&souls.into_iter().collect::<Vec<_>>()).await? {
            states
                .entry(entry.soul.clone())
                .or_insert_with(|| NodeState::new(entry.soul.clone()))
                .restore(entry.into());
        }
        let mut covers: HashMap<EntryId, Entry> = HashMap::new();
        for entry in bare {
            let Some(field) = states.get(&entry.soul).and_then(|state| state.field(&entry.field)) else { continue };
            if let Some(cover) = field.covers(entry).next() {
                covers.insert(cover.id, (**cover).clone());
            }
        }
        Ok(covers.into_values().collect())
    }

    /// Envelopes of the commits, those in `first` before the others, as many as fit.
    async fn envelopes(
        &self,
        sent: BTreeMap<CommitId, Sent>,
        first: &HashSet<CommitId>,
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let ids: Vec<CommitId> = sent.keys().copied().collect();
        let mut commits: HashMap<CommitId, StoredCommit> = HashMap::new();
        for commit in self.shared.ports.store.commits(&ids).await? {
            commits.insert(commit.id, commit);
        }
        let endorsements = self.endorsements(&ids).await?;
        let mut order: Vec<(bool, CommitId, Sent)> =
            sent.into_iter().map(|(id, sent)| (!first.contains(&id), id, sent)).collect();
        order.sort_by_key(|(asked, id, _)| (*asked, *id));
        let (mut envelopes, mut total) = (Vec::new(), 0);
        // Half of the room is for what covers, so that every answer also brings something that was asked for.
        let (mut room, mut covering) = (max_bytes / 2, true);
        for (asked, id, sent) in &order {
            if *asked && covering {
                (room, covering, total) = (max_bytes.saturating_sub(total), false, 0);
            }
            let Some(commit) = commits.get(id) else { continue };
            let endorsements = endorsements.get(id).map_or(&[][..], Vec::as_slice);
            let Some(parts) = self.parts(commit, sent, endorsements, max_bytes).await? else { continue };
            let bytes: usize = parts.iter().map(Vec::len).sum();
            if total + bytes > room && (covering || total > 0) {
                if covering {
                    continue;
                }
                break;
            }
            total += bytes;
            envelopes.extend(parts.into_iter().map(Bytes::from));
        }
        Ok(envelopes)
    }

    async fn endorsements(&self, ids: &[CommitId]) -> Result<HashMap<CommitId, Vec<Endorsement>>, StoreError> {
        let mut by_commit: HashMap<CommitId, Vec<Endorsement>> = HashMap::new();
        // Also where none is needed: those that hold are kept and compared, so whoever lacks one has to get it.
        for endorsement in self.shared.ports.store.endorsements(ids).await? {
            by_commit.entry(endorsement.commit).or_default().push(endorsement);
        }
        Ok(by_commit)
    }

    async fn parts(
        &self,
        commit: &StoredCommit,
        sent: &Sent,
        endorsements: &[Endorsement],
        max_bytes: usize,
    ) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let mut by: Vec<EndorsedBy> = endorsements
            .iter()
            .map(|held| EndorsedBy { certificate: held.certificate, signature: held.signature })
            .collect();
        by.sort_by_key(|by| (!sent.asked.contains(&by.certificate), by.certificate));
        by.truncate(MAX_ENDORSEMENTS);
        let leaves: HashSet<CertificateId> = sent.entries.iter().filter_map(|entry| entry.leaf).collect();
        let mut certificates: Vec<Arc<SignedCertificate>> = Vec::new();
        for id in leaves.iter().chain(by.iter().map(|by| &by.certificate)) {
            certificates.extend(self.shared.authority.chain(id).await?.unwrap_or_default());
        }
        let extras = Extras { certificates: &certificates, endorsements: &by };
        let entries: Vec<&Entry> = sent.entries.iter().collect();
        match envelopes_of(commit, &entries, &extras, ONE_ENVELOPE_BYTES.min(max_bytes)) {
            Ok(parts) => Ok(Some(parts)),
            Err(error) => {
                tracing::error!(commit = %commit.id, %error, "a stored commit cannot be sent");
                Ok(None)
            }
        }
    }
}

fn by_commit(entries: Vec<Entry>) -> BTreeMap<CommitId, Sent> {
    let mut sent: BTreeMap<CommitId, Sent> = BTreeMap::new();
    for entry in entries {
        sent.entry(entry.commit).or_default().entries.push(entry);
    }
    for sent in sent.values_mut() {
        sent.entries.sort_by_key(|entry| entry.index);
        sent.entries.dedup_by_key(|entry| entry.id);
    }
    sent
}
