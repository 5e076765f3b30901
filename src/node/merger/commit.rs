//! Groups become durable here, one transaction each, in order; then they are answered and published.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, atomic::Ordering},
};

use rustdht_core::{
    CommitId, Entry, Field, PublicKey, Soul, Space,
    ports::{
        Applied, Batch, Change, EndorsedPartition, FeedRow, IndexItem, LOST_AND_FOUND, Published, Replicator, SideRow,
        StoreError,
    },
};
use rustdht_graph::{NodeState, Rules};
use rustdht_wire::SignedCertificate;
use tokio::sync::{broadcast, mpsc};

use super::{Answer, Job, Shared, deferred, group::Group, run::Groups};
use crate::{Error, authority::Cause, cache::ReadCache, documents::Hidden};

/// History rows of one field that an erase looks through at a time.
const HISTORY_PAGE: u32 = 10_000;

const fn nothing_written(feed: u64) -> Applied {
    Applied::Done { feed, endorsed: Vec::new(), ended: Vec::new() }
}

/// Nodes of one space that watchers are told of when something in it is revoked, and how many are looked at a time.
const ANNOUNCED_NODES: usize = 4096;
const ANNOUNCED_PAGE: u32 = 256;

/// The fields of a node in which something is hidden.
fn hidden_fields(state: &NodeState) -> Option<Change> {
    let hidden = state.entries().filter(|entry| state.hidden().contains(&entry.id));
    let fields: BTreeSet<Field> = hidden.map(|entry| entry.field.clone()).collect();
    let change = || Change { soul: state.soul().clone(), fields: fields.iter().cloned().collect() };
    (!fields.is_empty()).then(change)
}

/// An endorsed partition, as reconciliation compares it.
pub(crate) fn index_item(endorsed: &EndorsedPartition) -> IndexItem {
    IndexItem { seconds: endorsed.stamp.index_seconds(), record: endorsed.record, partition: endorsed.partition }
}

pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) cache: Arc<ReadCache>,
    pub(crate) replicator: Arc<std::sync::OnceLock<Arc<dyn Replicator>>>,
    pub(crate) feed: broadcast::Sender<Arc<FeedRow>>,
    pub(crate) seen_feed: u64,
    pub(crate) again: mpsc::Sender<Vec<Job>>,
    pub(crate) answers: mpsc::Sender<Answers>,
}

/// What a group owes to those who wait for it.
pub(crate) type Answers = Vec<(Job, Result<Answer, Error>)>;

/// Gives out the answers, from a thread of the runtime: whoever is answered is woken there, and not once each across
/// threads.
pub(crate) async fn give_out(mut answers: mpsc::Receiver<Answers>) {
    while let Some(answers) = answers.recv().await {
        for (job, answer) in answers {
            // Whoever went away wants no answer.
            let _ = job.reply.send(answer);
        }
    }
}

impl Committer {
    /// Runs until the merger is gone.
    pub(crate) async fn run(mut self, mut groups: Groups) {
        while let Some(group) = groups.next().await {
            self.commit(group).await;
        }
    }

    async fn commit(&mut self, mut group: Group) {
        if group.epoch != self.shared.epoch.load(Ordering::Acquire) {
            // Planned on top of a group that could not be written.
            self.retry(group).await;
            return;
        }
        let souls: Vec<_> = group.changed().cloned().collect();
        let empty = group.is_empty();
        // Not taken: what the group itself displaced is measured by them too.
        let erases = group.erases.clone();
        let certificates = group.learned();
        let hidden = std::mem::take(&mut group.hidden);
        let (mut batch, mut published) = group.finish(self.seen_feed);
        let changes = batch.changes.clone();
        let applied =
            if empty { Ok(nothing_written(self.seen_feed)) } else { self.write(&mut batch, &erases, &hidden).await };
        match applied {
            Ok(Applied::Done { feed, endorsed, ended }) => {
                self.seen_feed = feed;
                self.shared.feed.store(feed, Ordering::Release);
                self.shared.durable.store(group.number, Ordering::Release);
                for soul in &souls {
                    self.cache.changed(soul, group.rendered.remove(soul).flatten());
                }
                published.adds.extend(endorsed.iter().map(index_item));
                published.drops.extend(ended.iter().map(index_item));
                let judged = self.note(&certificates, &erases, &changes).await;
                if !changes.is_empty() {
                    // An error means that nobody watches.
                    let _ = self.feed.send(Arc::new(FeedRow { number: feed, ms: group.now_ms, changes }));
                }
                self.publish(published).await;
                // An error means that whoever answers is gone: the node stops.
                let _ = self.answers.send(group.answers).await;
                for owner in judged {
                    if let Err(error) = self.announce(&owner).await {
                        tracing::error!(%error, "watchers were not told of what a revocation hides");
                    }
                }
            }
            Ok(Applied::Conflict) => {
                self.shared.epoch.fetch_add(1, Ordering::AcqRel);
                self.seen_feed = self.last_feed().await;
                self.retry(group).await;
            }
            Ok(Applied::Duplicate { ns, .. }) => {
                self.fail(group, &StoreError::Failed(format!("a row of {ns} exists already")));
            }
            Err(error) => self.fail(group, &error),
        }
    }

    /// What authority knows after a group is durable, and who waited for it. The answer: in whose space something was
    /// revoked.
    async fn note(
        &self,
        certificates: &[Arc<SignedCertificate>],
        erases: &[Arc<Entry>],
        changes: &[Change],
    ) -> Vec<PublicKey> {
        let authority = &self.shared.authority;
        erases.iter().for_each(|eraser| authority.pending.erased(eraser));
        let counts_now = authority.learned(certificates);
        let judged = authority.changed(changes);
        if judged.contains(&authority.community())
            && let Err(error) = authority.look_again(&self.shared.identity.gateway).await
        {
            tracing::error!(%error, "the revocations cannot be read");
        }
        if counts_now || !judged.is_empty() {
            // Any node of the space, or of all spaces, may show something else now.
            self.cache.clear();
        }
        authority.pending.came(changes.iter().map(|change| Cause::Cover(change.soul.clone())));
        judged
    }

    /// Watchers hear of the nodes in a space of which a revocation hides something. (What hangs on a member that was put
    /// out may be anywhere; whoever reads it sees it as it is.)
    async fn announce(&mut self, owner: &PublicKey) -> Result<(), StoreError> {
        let store = Arc::clone(&self.shared.ports.store);
        let prefix = Soul::of_key(*owner);
        let (mut after, mut seen) = (None::<String>, 0);
        while seen < ANNOUNCED_NODES {
            let souls = store.souls(&prefix, after.as_deref(), ANNOUNCED_PAGE).await?;
            let Some(last) = souls.last() else { break };
            (after, seen) = (Some(last.to_string()), seen + souls.len());
            let mut states: HashMap<Soul, NodeState> =
                souls.iter().map(|soul| (soul.clone(), NodeState::new(soul.clone()))).collect();
            for entry in store.load(&souls).await? {
                if let Some(state) = states.get_mut(&entry.soul) {
                    state.restore(entry.into());
                }
            }
            let mut states: Vec<NodeState> = states.into_values().collect();
            self.shared.authority.hide(&mut states).await?;
            let changes: Vec<Change> = states.iter().filter_map(hidden_fields).collect();
            if changes.is_empty() {
                continue;
            }
            let now_ms = self.shared.ports.clock.now_ms();
            let batch = Batch { changes: changes.clone(), now_ms, seen_feed: self.seen_feed, ..Batch::default() };
            if let Applied::Done { feed, .. } = store.apply(batch).await? {
                self.seen_feed = feed;
                self.shared.feed.store(feed, Ordering::Release);
                // An error means that nobody watches.
                let _ = self.feed.send(Arc::new(FeedRow { number: feed, ms: now_ms, changes }));
            }
        }
        Ok(())
    }

    async fn write(&self, batch: &mut Batch, erases: &[Arc<Entry>], hidden: &Hidden) -> Result<Applied, StoreError> {
        self.forget(batch, erases).await?;
        batch.side.extend(hidden.rows(&*self.shared.ports.store).await?);
        self.complete(batch).await?;
        self.shared.ports.store.apply(std::mem::take(batch)).await
    }

    /// Commits that came in part are united with what is stored of them. Here, where one group follows another: two
    /// parts that come at the same time must not replace each other.
    async fn complete(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let partial = batch.commits.iter().filter(|commit| commit.leaves.is_empty() && !commit.proofs.is_empty());
        let ids: Vec<CommitId> = partial.map(|commit| commit.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        for known in self.shared.ports.store.commits(&ids).await? {
            if let Some(commit) = batch.commits.iter_mut().find(|commit| commit.id == known.id) {
                *commit = Arc::new(rustdht_wire::merge_proofs(&known, commit));
            }
        }
        Ok(())
    }

    /// Erases reach what only history still holds, what waits for its time, and what a repair put aside.
    async fn forget(&self, batch: &mut Batch, erases: &[Arc<Entry>]) -> Result<(), StoreError> {
        deferred::forget(&self.shared, batch, erases).await?;
        for eraser in erases {
            batch.side.extend(self.put_aside(eraser).await?);
            let rules = Rules::of(&eraser.soul);
            let mut before = None;
            loop {
                let store = &self.shared.ports.store;
                let page = store.history(&eraser.soul, &eraser.field, before, HISTORY_PAGE).await?;
                let covered = page.losers.iter().filter(|loser| rules.erases(eraser, &loser.entry));
                batch.forget.extend(covered.map(|loser| loser.entry.id));
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The removal of what a repair put aside of the field. Damaged rows cannot be judged one by one: they go, but for
    /// those that somebody else signed whose values the eraser does not reach.
    async fn put_aside(&self, eraser: &Entry) -> Result<Vec<SideRow>, StoreError> {
        if rustdht_graph::is_permanent(&eraser.soul, &eraser.field) {
            return Ok(Vec::new());
        }
        let reaches_all = match eraser.soul.space() {
            Space::Owned(owner) => owner == eraser.author,
            Space::Mirror => false,
            Space::Public | Space::Content(_) | Space::Local => true,
        };
        let prefix = [eraser.soul.as_bytes(), b"\0", eraser.field.as_bytes(), b"\0"].concat();
        let mut rows = self.shared.ports.store.side_scan(LOST_AND_FOUND, &prefix, u32::MAX).await?;
        rows.retain(|(_, kept)| {
            reaches_all || deferred::envelope_header(kept).map_or(true, |header| header.author == eraser.author)
        });
        let gone = |(key, _)| SideRow { ns: LOST_AND_FOUND, key, value: None, insert_only: false };
        Ok(rows.into_iter().map(gone).collect())
    }

    async fn publish(&self, published: Published) {
        let nothing = published.adds.is_empty() && published.drops.is_empty() && published.push.is_empty();
        if nothing {
            return;
        }
        if let Some(replicator) = self.replicator.get()
            && let Err(error) = replicator.publish(published).await
        {
            tracing::debug!(%error, "the network did not take a write; reconciliation will");
        }
    }

    async fn last_feed(&self) -> u64 {
        let mut after = self.seen_feed;
        while let Ok(page) = self.shared.ports.store.feed(after, 10_000).await {
            let Some(last) = page.rows.last() else { break };
            after = last.number;
            for row in &page.rows {
                row.changes.iter().for_each(|change| self.cache.changed(&change.soul, None));
                if !self.shared.authority.changed(&row.changes).is_empty() {
                    self.cache.clear();
                }
            }
        }
        after
    }

    async fn retry(&self, group: Group) {
        let jobs: Vec<Job> = group.answers.into_iter().map(|(job, _)| job).collect();
        // An error means that the merger is gone: the node stops.
        let _ = self.again.send(jobs).await;
    }

    fn fail(&self, group: Group, error: &StoreError) {
        tracing::error!(%error, jobs = group.answers.len(), "a group could not be written");
        self.shared.epoch.fetch_add(1, Ordering::AcqRel);
        for (job, _) in group.answers {
            let _ = job.reply.send(Err(Error::Store(StoreError::Failed(error.to_string()))));
        }
    }
}
