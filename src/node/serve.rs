//! The tasks that carry a node.

use std::{fmt, sync::Arc, time::Duration};

use rustdht_core::ports::StoreError;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    Error,
    merger::{Answers, Committer, Groups, Merger, Shared, give_out},
    node::Inner,
};

/// How often old history and feed rows are removed.
const TRIM_INTERVAL: Duration = Duration::from_secs(600);

/// The merger, the committer and housekeeping; run them beside the doors.
pub struct Tasks {
    merger: Merger,
    committer: Committer,
    groups: Groups,
    answers: mpsc::Receiver<Answers>,
    shared: Arc<Shared>,
    stopping: CancellationToken,
    documents: Option<Arc<Inner>>,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tasks")
    }
}

impl Tasks {
    pub(crate) fn new(
        merger: Merger,
        committer: Committer,
        groups: Groups,
        answers: mpsc::Receiver<Answers>,
        shared: Arc<Shared>,
        stopping: CancellationToken,
    ) -> Self {
        Self { merger, committer, groups, answers, shared, stopping, documents: None }
    }

    /// Adds the task of the open documents.
    pub(crate) fn with_documents(mut self, inner: Arc<Inner>) -> Self {
        self.documents = Some(inner);
        self
    }

    /// Runs until [`crate::Node::stop`] is called and every write taken before is answered.
    ///
    /// # Errors
    /// When a task died.
    pub async fn run(self) -> Result<(), Error> {
        let Self { merger, committer, groups, answers, shared, stopping, documents } = self;
        // The merger's thread ends even when this future is dropped.
        let _guard = stopping.clone().drop_guard();
        let mut tasks = JoinSet::new();
        // Threads of their own: planning is computation that would hold up the tasks that serve requests, and both would
        // wait behind those for their turn.
        let runtime = tokio::runtime::Handle::current();
        let stop = stopping.clone();
        tasks.spawn_blocking(move || runtime.block_on(merger.run(stop)));
        let runtime = tokio::runtime::Handle::current();
        tasks.spawn_blocking(move || runtime.block_on(committer.run(groups)));
        tasks.spawn(give_out(answers));
        if let Some(inner) = documents {
            tasks.spawn(crate::membership::keep(Arc::clone(&inner)));
            let retrying = Arc::clone(&inner);
            tasks.spawn(async move { crate::ingest::retry_pending(&retrying).await });
            tasks.spawn(crate::pins::run_worker(Arc::clone(&inner)));
            tasks.spawn(crate::pins::run_shared(Arc::clone(&inner)));
            tasks.spawn(crate::names::run(Arc::clone(&inner)));
            tasks.spawn(crate::providers::run(Arc::clone(&inner)));
            tasks.spawn(crate::documents::run(inner));
        }
        let mut trim = tokio::time::interval(TRIM_INTERVAL);
        let mut died = false;
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    None => break,
                    Some(Ok(())) => died |= !stopping.is_cancelled(),
                    Some(Err(error)) => {
                        tracing::error!(%error, "a task of the node died");
                        died = true;
                    }
                },
                _ = trim.tick() => {
                    if let Err(error) = shared.ports.store.trim(shared.ports.clock.now_ms()).await {
                        tracing::warn!(%error, "old history could not be removed");
                    }
                }
            }
            if died {
                stopping.cancel();
            }
        }
        if died { Err(Error::Store(StoreError::Failed("a task of the node died".into()))) } else { Ok(()) }
    }
}
