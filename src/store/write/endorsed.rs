//! Which endorsements stand in which partitions while a group of batches is planned. Pure: what the database holds is
//! [`HeldEndorsed`].
//!
//! Only commits that have an endorsement, or are given one by the group, are looked at: without any this costs nothing.
//! Each batch is told exactly what it changed, as if it were alone: what one brings and the next one drops is told to both.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rustdht_core::ports::{Batch, EndorsedPartition, Endorsement};
use rustdht_core::{CertificateId, CommitId, RecordId, Stamp};

use crate::sql::id8;

/// What the database holds of a commit that is endorsed, or is to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldEndorsed {
    /// Its entries.
    pub(crate) live: i64,
    pub(crate) stamp: Stamp,
    /// Its entries by partition, of the partitions that the group touches.
    pub(crate) partitions: BTreeMap<u16, i64>,
    /// Numbers, certificates and records of its endorsements.
    pub(crate) certificates: Vec<(i64, CertificateId, RecordId)>,
}

#[derive(Clone, Copy, Debug)]
enum Origin<'a> {
    Held(i64),
    Brought(&'a Endorsement),
}

#[derive(Debug, Default)]
struct Tracked<'a> {
    live: i64,
    stamp: Stamp,
    partitions: BTreeMap<u16, i64>,
    certificates: Vec<(CertificateId, RecordId, Origin<'a>)>,
}

impl Tracked<'_> {
    fn endorsed(&self) -> BTreeSet<EndorsedPartition> {
        let partitions = self.partitions.iter().filter(|(_, entries)| **entries > 0);
        let each = partitions.flat_map(|(partition, _)| {
            self.certificates.iter().map(|(_, record, _)| EndorsedPartition {
                record: *record,
                partition: *partition,
                stamp: self.stamp,
            })
        });
        each.collect()
    }
}

/// An endorsement to be written, with its commit's number.
pub(crate) type Insert<'a> = (i64, &'a Endorsement);

/// The commits that matter, as the batches taken so far leave them.
#[derive(Debug, Default)]
pub(crate) struct Tracker<'a> {
    commits: HashMap<CommitId, Tracked<'a>>,
    /// What stood before the batch under way, of the commits that it touches.
    before: HashMap<CommitId, BTreeSet<EndorsedPartition>>,
    /// Held endorsements that go: the first eight bytes of their records and their numbers.
    gone: Vec<(i64, i64)>,
}

impl<'a> Tracker<'a> {
    pub(crate) fn new(held: &HashMap<CommitId, HeldEndorsed>, batches: &'a [Batch]) -> Self {
        let named = batches.iter().flat_map(|batch| &batch.endorsements);
        let mut commits: HashMap<CommitId, Tracked<'a>> =
            named.map(|endorsement| (endorsement.commit, Tracked::default())).collect();
        for (commit, held) in held {
            let certificates = held.certificates.iter().map(|(no, id, record)| (*id, *record, Origin::Held(*no)));
            let tracked = Tracked {
                live: held.live,
                stamp: held.stamp,
                partitions: held.partitions.clone(),
                certificates: certificates.collect(),
            };
            commits.insert(*commit, tracked);
        }
        Self { commits, ..Self::default() }
    }

    /// Whether entries of this commit have to be told to [`Tracker::entry`].
    pub(crate) fn matters(&self, commit: &CommitId) -> bool {
        !self.commits.is_empty() && self.commits.contains_key(commit)
    }

    fn touch(&mut self, commit: &CommitId) -> Option<&mut Tracked<'a>> {
        let tracked = self.commits.get_mut(commit)?;
        self.before.entry(*commit).or_insert_with(|| tracked.endorsed());
        Some(tracked)
    }

    /// An entry of the commit comes (1) or goes (-1).
    pub(crate) fn entry(&mut self, commit: &CommitId, partition: u16, stamp: Stamp, by: i64) {
        let Some(tracked) = self.touch(commit) else { return };
        tracked.stamp = stamp;
        tracked.live += by;
        *tracked.partitions.entry(partition).or_default() += by;
    }

    /// The batch under way is at its end: its endorsements are taken. Returns what came to be and what ended.
    pub(crate) fn end(&mut self, batch: &'a Batch) -> (Vec<EndorsedPartition>, Vec<EndorsedPartition>) {
        for endorsement in &batch.endorsements {
            let Some(tracked) = self.touch(&endorsement.commit) else { continue };
            if !tracked.certificates.iter().any(|(known, ..)| *known == endorsement.certificate) {
                let origin = Origin::Brought(endorsement);
                tracked.certificates.push((endorsement.certificate, endorsement.record, origin));
            }
        }
        let (mut endorsed, mut ended) = (Vec::new(), Vec::new());
        for (commit, before) in self.before.drain() {
            let Some(tracked) = self.commits.get_mut(&commit) else { continue };
            let after = tracked.endorsed();
            endorsed.extend(after.difference(&before));
            ended.extend(before.difference(&after));
            // Of a commit without entries nothing is kept, also not what was brought just now.
            if tracked.live <= 0 {
                let held = tracked.certificates.drain(..).filter_map(|(_, record, origin)| match origin {
                    Origin::Held(no) => Some((id8(&record.0), no)),
                    Origin::Brought(_) => None,
                });
                self.gone.extend(held);
            }
        }
        endorsed.sort_unstable();
        ended.sort_unstable();
        (endorsed, ended)
    }

    /// What is to be written, in the order of the commits' numbers, and what is to be removed.
    pub(crate) fn resolve(self, number: impl Fn(&CommitId) -> Option<i64>) -> (Vec<Insert<'a>>, Vec<(i64, i64)>) {
        let mut inserts: Vec<Insert<'a>> = Vec::new();
        for (commit, tracked) in &self.commits {
            let brought = tracked.certificates.iter().filter_map(|(.., origin)| match origin {
                Origin::Brought(endorsement) => Some(*endorsement),
                Origin::Held(_) => None,
            });
            if let Some(no) = number(commit) {
                inserts.extend(brought.map(|endorsement| (no, endorsement)));
            }
        }
        inserts.sort_unstable_by_key(|(no, endorsement)| (*no, endorsement.certificate));
        (inserts, self.gone)
    }
}
