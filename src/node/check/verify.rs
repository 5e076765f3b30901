//! Whether stored entries follow from what was signed: each commit's envelope is built again and judged like one from a
//! member.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use rustdht_core::{
    CertificateId, CommitId, Entry, EntryId, Mode, Space, partition_of,
    ports::{Applied, Batch, Change, Endorsement, IndexItem, LOST_AND_FOUND, SideRow, StoredCommit},
};
use rustdht_graph::NodeState;
use rustdht_wire::{EndorsedBy, Extras, Header, Place, Rules, envelope_of, envelopes_of};

use super::{CheckEvent, Checker};
use crate::Error;

/// Bytes of one envelope, as the format bounds it.
const ENVELOPE_BYTES: usize = 1 << 20;
/// Commits judged at a time.
const COMMITS_AT_A_TIME: usize = 256;
/// A time after every stamp, in milliseconds: what is stored was admitted, whatever the clock shows today.
const LATE_MS: u64 = 1 << 51;
/// How often an entry is put aside anew when others write the node meanwhile.
const TRIES: usize = 5;

/// One commit, the entries of it that a node has, and the endorsements of it.
struct Part {
    commit: StoredCommit,
    entries: Vec<Arc<Entry>>,
    endorsements: Vec<EndorsedBy>,
}

/// What does not hold.
#[derive(Default)]
struct Wrong {
    /// Entries, and why.
    entries: Vec<(EntryId, String)>,
    endorsements: Vec<(CommitId, CertificateId)>,
}

/// Judges one envelope; the error is why nothing in it counts.
fn open(
    envelope: &[u8],
    rules: &Rules<'_>,
    held: &mut HashMap<EntryId, Entry>,
    refused: &mut HashMap<EntryId, String>,
    unheld: &mut HashSet<CertificateId>,
) -> Result<(), String> {
    let verified = rustdht_wire::check(envelope, Place::Replica, rules)
        .and_then(rustdht_wire::Checked::verify)
        .map_err(|refusal| refusal.to_string())?;
    for endorsed in &verified.endorsements {
        unheld.remove(&endorsed.certificate);
    }
    for (index, entry) in verified.entries {
        match entry {
            Ok(entry) => {
                held.insert(entry.id, entry);
            }
            Err(refusal) => {
                refused.insert(EntryId::of(&verified.commit.id, index), refusal.to_string());
            }
        }
    }
    Ok(())
}

fn judge(parts: &[Part], rules: &Rules<'_>) -> Wrong {
    let mut wrong = Wrong::default();
    for Part { commit, entries, endorsements } in parts {
        let all: Vec<&Entry> = entries.iter().map(|entry| &**entry).collect();
        let extras = Extras { certificates: &[], endorsements };
        let together = envelopes_of(commit, &all, &extras, ENVELOPE_BYTES).map_err(|error| error.to_string());
        let (mut held, mut refused) = (HashMap::new(), HashMap::new());
        let mut unheld: HashSet<CertificateId> = endorsements.iter().map(|endorsed| endorsed.certificate).collect();
        let whole = together.and_then(|envelopes| {
            envelopes.iter().try_for_each(|envelope| open(envelope, rules, &mut held, &mut refused, &mut unheld))
        });
        if let Err(why) = whole {
            // One by one, with a proof each, to tell the changed from the genuine.
            for entry in &all {
                let alone = envelope_of(commit, &[entry], &extras).map_err(|error| error.to_string());
                let alone = alone.and_then(|envelope| open(&envelope, rules, &mut held, &mut refused, &mut unheld));
                if let Err(alone) = alone {
                    refused.insert(entry.id, if all.len() > 1 { alone } else { why.clone() });
                }
            }
        }
        wrong.endorsements.extend(unheld.into_iter().map(|certificate| (commit.id, certificate)));
        for entry in entries {
            match held.get(&entry.id) {
                Some(signed) if *signed == **entry => {}
                Some(_) => wrong.entries.push((entry.id, "it is stored in another form than it was signed".into())),
                None => {
                    let why = refused.remove(&entry.id).unwrap_or_else(|| "it is not in its commit".into());
                    wrong.entries.push((entry.id, why));
                }
            }
        }
    }
    wrong
}

/// What does not hold, each with its commit where that is stored; `orphans` are of commits that are not.
fn condemned(
    parts: &[Part],
    orphans: BTreeMap<CommitId, Vec<Arc<Entry>>>,
    wrong: Vec<(EntryId, String)>,
) -> Vec<(Option<StoredCommit>, Arc<Entry>, String)> {
    let wrong: HashMap<EntryId, String> = wrong.into_iter().collect();
    let mut condemned = Vec::new();
    for part in parts {
        for entry in &part.entries {
            if let Some(problem) = wrong.get(&entry.id) {
                condemned.push((Some(part.commit.clone()), Arc::clone(entry), problem.clone()));
            }
        }
    }
    let missing = |entry| (None, entry, "its commit is not stored".to_owned());
    condemned.extend(orphans.into_values().flatten().map(missing));
    condemned
}

impl Checker {
    /// Verifies the entries of a node. Local nodes never left this gateway: nobody is to be shown that they are genuine.
    pub(super) async fn signed(&mut self, state: &NodeState) -> Result<(), Error> {
        let mut by_commit: BTreeMap<CommitId, Vec<Arc<Entry>>> = BTreeMap::new();
        for entry in state.entries() {
            self.entries += 1;
            by_commit.entry(entry.commit).or_default().push(Arc::clone(entry));
        }
        if state.soul().space() == Space::Local {
            return Ok(());
        }
        while !by_commit.is_empty() {
            let later = by_commit.keys().nth(COMMITS_AT_A_TIME).copied();
            let rest = later.map(|id| by_commit.split_off(&id)).unwrap_or_default();
            self.commits(std::mem::replace(&mut by_commit, rest)).await?;
        }
        Ok(())
    }

    async fn commits(&mut self, mut by_commit: BTreeMap<CommitId, Vec<Arc<Entry>>>) -> Result<(), Error> {
        let ids: Vec<CommitId> = by_commit.keys().copied().collect();
        let node = self.node.clone();
        let shared = &node.inner.shared;
        let stored = node.store().commits(&ids).await?;
        let mut leaves = HashSet::new();
        for commit in &stored {
            // A header that cannot be read is judged with its envelope.
            leaves.extend(Header::decode(&commit.header).map(|header| header.auth).unwrap_or_default());
        }
        let endorsements = node.store().endorsements(&ids).await?;
        leaves.extend(endorsements.iter().map(|endorsement| endorsement.certificate));
        let certificates = shared.authority.certificates(leaves).await?;
        let mut endorsed: HashMap<CommitId, Vec<EndorsedBy>> = HashMap::new();
        for Endorsement { commit, certificate, signature, .. } in endorsements {
            endorsed.entry(commit).or_default().push(EndorsedBy { certificate, signature });
        }
        let part = |commit: StoredCommit| {
            let entries = by_commit.remove(&commit.id).unwrap_or_default();
            let endorsements = endorsed.remove(&commit.id).unwrap_or_default();
            Part { commit, entries, endorsements }
        };
        let parts: Vec<Part> = stored.into_iter().map(part).collect();
        let (net, community) = (shared.identity.net, shared.identity.community);
        let judged = tokio::task::spawn_blocking(move || {
            // What this gateway wrote before it was a member has no endorsement, and is genuine all the same.
            let rules = Rules { net, now_ms: LATE_MS, mode: Mode::Open, community, certificates: &certificates };
            (judge(&parts, &rules), parts)
        });
        let (wrong, parts) = judged.await.map_err(|_| Error::Stopping)?;
        for (commit, certificate) in wrong.endorsements {
            let (commit, certificate) = (commit.to_string(), certificate.to_cid().to_string());
            self.find(CheckEvent::Endorsement { commit, certificate }, false);
        }
        for (commit, entry, problem) in condemned(&parts, by_commit, wrong.entries) {
            let repaired = self.repair && self.put_aside(commit.as_ref(), &entry).await?;
            let event = CheckEvent::Entry {
                soul: entry.soul.to_string(),
                field: entry.field.to_string(),
                id: entry.id.to_string(),
                commit: entry.commit.to_string(),
                problem,
                repaired,
            };
            self.find(event, repaired);
        }
        Ok(())
    }

    /// Takes an entry out of the graph into `lost+found`, and asks the members for the node. `false`: others kept writing
    /// the node.
    async fn put_aside(&mut self, commit: Option<&StoredCommit>, entry: &Arc<Entry>) -> Result<bool, Error> {
        let node = self.node.clone();
        let shared = &node.inner.shared;
        let envelope = commit.and_then(|commit| envelope_of(commit, &[entry], &Extras::default()).ok());
        let value = || entry.body.value().map(rustdht_core::Value::to_cbor).unwrap_or_default();
        let kept = envelope.unwrap_or_else(value);
        let key = [entry.soul.as_bytes(), b"\0", entry.field.as_bytes(), b"\0entries\0", &entry.id.0].concat();
        let record = entry.id.record_id(&shared.network_key);
        for _ in 0..TRIES {
            let batch = Batch {
                drops: vec![(entry.id, record)],
                side: vec![SideRow {
                    ns: LOST_AND_FOUND,
                    key: key.clone(),
                    value: Some(kept.clone()),
                    insert_only: false,
                }],
                changes: vec![Change { soul: entry.soul.clone(), fields: vec![entry.field.clone()] }],
                now_ms: shared.ports.clock.now_ms(),
                seen_feed: node.store().last_feed().await?,
                ..Batch::default()
            };
            if let Applied::Done { ended, .. } = node.store().apply(batch).await? {
                let partition = partition_of(&entry.soul);
                let gone = IndexItem { seconds: entry.index_seconds(), record, partition };
                let drops = std::iter::once(gone).chain(ended.iter().map(crate::merger::index_item)).collect();
                self.publish(drops).await?;
                self.ask_again(&entry.soul).await;
                return Ok(true);
            }
        }
        Ok(false)
    }
}
