//! The one task that writes. Callers queue batches; it takes what has gathered, plans it in memory, writes it in one
//! transaction and answers everybody after the commit.
//!
//! ```text
//! apply --.                     .-- lookup (what is held of the ids named)
//! apply ---+--> bounded queue --+-- plan   (who conflicts, what cancels out)      one BEGIN IMMEDIATE ... COMMIT
//! apply --'                     '-- flush  (statements of many rows)
//! ```

use rustdht_core::ports::{Applied, Batch, Fault, Repaired, StoreError};
use sea_orm::{DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, TransactionOptions, TransactionTrait};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::failed;
use crate::{Config, metrics};

mod endorsed;
mod flush;
mod foreign;
mod lookup;
mod merge;
mod plan;
mod repair;
mod trim;

use foreign::Foreign;
use lookup::Numbers;
use plan::Plan;

/// What the writer is asked to do, and where the answer goes.
pub(crate) enum Command {
    /// Write a batch.
    Apply(Batch, oneshot::Sender<Result<Applied, StoreError>>),
    /// Remove some old rows as of `now_ms`; the answer is whether more are left.
    Trim(u64, oneshot::Sender<Result<bool, StoreError>>),
    /// Put faults right.
    Repair { faults: Vec<Fault>, now_ms: u64, answer: oneshot::Sender<Result<Repaired, StoreError>> },
}

/// Turns given to other tasks without a batch arriving, after which the writer no longer waits for company.
const IDLE_TURNS: usize = 16;

type Answer = Result<Applied, StoreError>;

/// The state of the writing task.
pub(crate) struct Writer {
    db: DatabaseConnection,
    config: Config,
    numbers: Numbers,
    foreign: Foreign,
    /// Batches in the last transaction.
    last_group: usize,
    /// Rows in `records_new`, as far as this process wrote them.
    new_records: u64,
}

impl Writer {
    /// Everything in the feed by now counts as known: whoever loads from here on sees it.
    pub(crate) async fn new(db: DatabaseConnection, config: Config) -> Result<Self, StoreError> {
        let numbers = Numbers::read(&db, Numbers::default()).await?;
        let mut writer = Self { db, config, numbers, foreign: Foreign::default(), last_group: 1, new_records: 0 };
        writer.new_records = writer.count_new().await?;
        Ok(writer)
    }

    /// Serves the queue until every sender is gone or `closing` was cancelled and the queue is empty.
    pub(crate) async fn serve(mut self, mut queue: mpsc::Receiver<Command>, closing: CancellationToken) {
        let mut put_back = None;
        loop {
            let command = match put_back.take() {
                Some(command) => command,
                None => tokio::select! {
                    command = queue.recv() => match command {
                        Some(command) => command,
                        None => break,
                    },
                    () = closing.cancelled(), if !queue.is_closed() => {
                        queue.close();
                        continue;
                    }
                },
            };
            match command {
                Command::Trim(now_ms, answer) => {
                    let done = self.trim(now_ms).await;
                    // Whoever asked may have gone away; then nobody needs the answer.
                    let _ = answer.send(done);
                }
                Command::Repair { faults, now_ms, answer } => {
                    let done = self.repair(&faults, now_ms).await;
                    let _ = answer.send(done);
                }
                Command::Apply(batch, answer) => {
                    self.let_callers_queue(&queue).await;
                    let mut rows = rows_of(&batch);
                    let (mut batches, mut answers) = (vec![batch], vec![answer]);
                    while batches.len() < self.config.group_batches && rows < self.config.group_rows {
                        match queue.try_recv() {
                            Ok(Command::Apply(batch, answer)) => {
                                rows += rows_of(&batch);
                                batches.push(batch);
                                answers.push(answer);
                            }
                            Ok(other) => {
                                put_back = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.last_group = batches.len();
                    for (answer, applied) in answers.into_iter().zip(self.group(&batches).await) {
                        let _ = answer.send(applied);
                    }
                    self.merge_records().await;
                }
            }
        }
    }

    /// Those who were answered by the last group are only now queueing their next batches. Gives them a few turns, as
    /// long as each brings some: without this a group of all callers and a group of one take turns.
    async fn let_callers_queue(&self, queue: &mpsc::Receiver<Command>) {
        let mut idle = 0;
        let mut seen = queue.len();
        while seen + 1 < self.last_group && idle < IDLE_TURNS {
            tokio::task::yield_now().await;
            idle = if queue.len() > seen { 0 } else { idle + 1 };
            seen = queue.len();
        }
    }

    /// One answer per batch, in order. A transaction that fails fails all of them, and nothing of it stays.
    async fn group(&mut self, batches: &[Batch]) -> Vec<Answer> {
        let started = Instant::now();
        let result = match self.begin().await {
            Ok(transaction) => match self.write(&transaction, batches).await {
                Ok((answers, numbers, counts)) => match transaction.commit().await {
                    Ok(()) => Ok((answers, numbers, counts)),
                    Err(err) => Err(failed(&err)),
                },
                Err(err) => {
                    // Dropping would roll back as well, only later.
                    let _ = transaction.rollback().await;
                    Err(err)
                }
            },
            Err(err) => Err(err),
        };
        let answers = match result {
            Ok((answers, numbers, (written, removed))) => {
                self.numbers = numbers;
                self.new_records += written as u64;
                metrics::group(batches.len(), started.elapsed().as_secs_f64(), written, removed);
                answers
            }
            Err(StoreError::Closed) => batches.iter().map(|_| Err(StoreError::Closed)).collect(),
            Err(StoreError::Failed(why)) => {
                tracing::error!(batches = batches.len(), %why, "a transaction failed");
                batches.iter().map(|_| Err(StoreError::Failed(why.clone()))).collect()
            }
        };
        for answer in &answers {
            match answer {
                Ok(Applied::Done { .. }) => {}
                Ok(Applied::Conflict) => metrics::refused("conflict"),
                Ok(Applied::Duplicate { .. }) => metrics::refused("duplicate"),
                Err(_) => metrics::refused("failed"),
            }
        }
        answers
    }

    /// Takes the write lock at once: a transaction that began by reading could not wait for another writer.
    async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        self.db.begin_with_options(options).await.map_err(|err| failed(&err))
    }

    async fn write(
        &mut self,
        db: &DatabaseTransaction,
        batches: &[Batch],
    ) -> Result<(Vec<Answer>, Numbers, (usize, usize)), StoreError> {
        let numbers = Numbers::read(db, self.numbers).await?;
        self.foreign.catch_up(db, self.numbers.feed, numbers.feed).await?;
        // Rows of others up to here are noted, whether or not this transaction commits.
        self.numbers.feed = numbers.feed;
        let known = lookup::known(db, batches, numbers.endorsements > 0).await?;
        let mut plan = Plan::new(&known, batches, numbers.feed);
        let answers = batches
            .iter()
            .map(|batch| if self.foreign.conflicts(batch) { Ok(Applied::Conflict) } else { plan.admit(batch) })
            .collect();
        let effects = plan.resolve(numbers);
        flush::flush(db, &effects, self.config.history_per_field).await?;
        let counts = (effects.entries.len() + effects.endorsements.len(), effects.delete_entries.len());
        Ok((answers, effects.numbers, counts))
    }
}

/// What a batch adds to the size of a transaction.
fn rows_of(batch: &Batch) -> usize {
    let entries = batch.puts.len() + batch.drops.len() + batch.endorsements.len();
    1 + entries + batch.losers.len() + batch.forget.len() + batch.side.len()
}
