//! Groups become durable here, one transaction each, in order; then they are answered and published.

use std::sync::{Arc, atomic::Ordering};

use rustdht_core::{
    CommitId, Entry,
    ports::{Applied, Batch, FeedRow, Published, Replicator, StoreError},
};
use rustdht_graph::Rules;
use tokio::sync::{broadcast, mpsc};

use super::{
    Answer, Job,
    group::Group,
    run::{Groups, Shared},
};
use crate::{Error, cache::ReadCache};

/// History rows of one field that an erase looks through at a time.
const HISTORY_PAGE: u32 = 10_000;

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
        let erases = std::mem::take(&mut group.erases);
        let (mut batch, published) = group.finish(self.seen_feed);
        let changes = batch.changes.clone();
        let applied =
            if empty { Ok(Applied::Done { feed: self.seen_feed }) } else { self.write(&mut batch, &erases).await };
        match applied {
            Ok(Applied::Done { feed }) => {
                self.seen_feed = feed;
                self.shared.feed.store(feed, Ordering::Release);
                self.shared.durable.store(group.number, Ordering::Release);
                for soul in &souls {
                    self.cache.changed(soul, group.rendered.remove(soul).flatten());
                }
                if !changes.is_empty() {
                    // An error means that nobody watches.
                    let _ = self.feed.send(Arc::new(FeedRow { number: feed, ms: group.now_ms, changes }));
                }
                self.publish(published).await;
                // An error means that whoever answers is gone: the node stops.
                let _ = self.answers.send(group.answers).await;
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

    async fn write(&self, batch: &mut Batch, erases: &[Arc<Entry>]) -> Result<Applied, StoreError> {
        self.forget(batch, erases).await?;
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

    /// Erases reach what only history still holds.
    async fn forget(&self, batch: &mut Batch, erases: &[Arc<Entry>]) -> Result<(), StoreError> {
        for eraser in erases {
            let rules = Rules::of(&eraser.soul);
            let history = self.shared.ports.store.history(&eraser.soul, &eraser.field, HISTORY_PAGE).await?;
            let covered = history.iter().filter(|loser| rules.erases(eraser, &loser.entry));
            batch.forget.extend(covered.map(|loser| loser.entry.id));
        }
        Ok(())
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
            for change in page.rows.iter().flat_map(|row| &row.changes) {
                self.cache.changed(&change.soul, None);
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
