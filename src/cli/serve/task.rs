//! A task that someone owns: stopped softly, then hard, and noticed when it ends on its own.

use std::{future::Future, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// One long-running part of the process.
#[derive(Debug)]
pub(super) struct Task {
    name: &'static str,
    cancel: CancellationToken,
    set: JoinSet<anyhow::Result<()>>,
}

impl Task {
    /// Starts `run`, which ends soon after the token it is given is cancelled.
    pub(super) fn start<F>(name: &'static str, run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self::with_token(name, CancellationToken::new(), run)
    }

    /// As [`Task::start`], with a token that others know too.
    pub(super) fn with_token<F>(
        name: &'static str,
        cancel: CancellationToken,
        run: impl FnOnce(CancellationToken) -> F,
    ) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let mut set = JoinSet::new();
        set.spawn(run(cancel.clone()));
        Self { name, cancel, set }
    }

    /// Waits until the task ends without having been asked to: why it did. Forever, when it has been seen to end.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        match self.set.join_next().await {
            Some(Ok(Ok(()))) => anyhow::anyhow!("{} ended on its own", self.name),
            Some(Ok(Err(error))) => error.context(format!("{} failed", self.name)),
            Some(Err(error)) => anyhow::anyhow!("{} panicked: {error}", self.name),
            None => std::future::pending().await,
        }
    }

    /// Asks the task to end, waits for at most `grace`, then aborts it. An error of the end is logged.
    pub(super) async fn stop(&mut self, grace: Duration) {
        self.cancel.cancel();
        match tokio::time::timeout(grace, self.set.join_next()).await {
            Ok(Some(Ok(Err(error)))) => tracing::error!(task = self.name, "{error:#}"),
            Ok(Some(Err(error))) => tracing::error!(task = self.name, %error, "panicked while stopping"),
            Ok(_) => {}
            Err(_) => {
                tracing::warn!(task = self.name, "did not stop in time and was aborted");
                self.set.shutdown().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_of_its_own_is_a_failure() {
        let mut task = Task::start("x", |_| async { Ok(()) });
        assert_eq!(task.failed().await.to_string(), "x ended on its own");
        let mut task = Task::start("x", |_| async { anyhow::bail!("why") });
        assert_eq!(format!("{:#}", task.failed().await), "x failed: why");
    }

    #[tokio::test]
    async fn soft_then_hard() {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let mut soft = Task::start("soft", |cancel| async move {
            cancel.cancelled().await;
            sender.send("cleaned up")?;
            Ok(())
        });
        soft.stop(Duration::from_secs(1)).await;
        assert_eq!(receiver.try_recv().unwrap(), "cleaned up");
        let mut stuck = Task::start("stuck", |_| std::future::pending());
        stuck.stop(Duration::from_millis(10)).await;
        assert!(stuck.set.is_empty());
    }
}
