//! Runs one import: lines in, batches to the node, progress out.
//!
//! ```text
//!   body ─> Lines ─> batch ─┬─> Node::import ─┐
//!                           ├─> Node::import ─┼─> durable prefix ─> progress lines
//!                           └─> Node::import ─┘   (batches end in any order)
//! ```

use std::collections::HashSet;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use rustdht_core::{Code, Refusal, Soul};
use rustdht_node::{Error, ImportNode};
use serde::Serialize;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    lines::{Line, Lines},
    node,
    prefix::Prefix,
};
use crate::{
    State,
    auth::Caller,
    body,
    limits::{BATCH_BYTES, BATCH_NODES, MAX_BATCHES_IN_FLIGHT, MAX_LINE_BYTES, PROGRESS_EVERY},
    problem::Problem,
    schema::{Done, ImportLine, LineError, Progress},
    telemetry,
};

/// The client went away, or the node cannot go on; what is durable was told.
struct Stopped;

/// Nodes that go to the node together.
#[derive(Default)]
struct Batch {
    nodes: Vec<ImportNode>,
    fields: u64,
    bytes: usize,
    /// The last line read when the batch went, blank and refused ones included.
    line: u64,
}

/// What became of a batch.
struct Ended {
    batch: u64,
    /// Per node its line, soul and number of fields.
    nodes: Vec<(u64, Soul, u64)>,
    result: Vec<Result<(), (u64, Error)>>,
    took: Progress,
}

struct Driver {
    state: State,
    caller: Caller,
    answers: mpsc::Sender<Bytes>,
    running: JoinSet<Ended>,
    /// Souls in flight: a later line of the same soul waits, or it might be written before the earlier one.
    busy: HashSet<Soul>,
    next_batch: u64,
    prefix: Prefix,
    errors: u64,
    ticks: Interval,
    told: u64,
}

/// Runs an import to its end, to the end of the body, or until the node stops.
pub(super) async fn run(
    state: State,
    caller: Caller,
    body: impl Stream<Item = Result<Bytes, std::io::Error>> + Send,
    from: u64,
    answers: mpsc::Sender<Bytes>,
) {
    let mut ticks = interval(PROGRESS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut driver = Driver {
        state,
        caller,
        answers,
        running: JoinSet::new(),
        busy: HashSet::new(),
        next_batch: 0,
        prefix: Prefix::default(),
        errors: 0,
        ticks,
        told: 0,
    };
    // Stopped: the client has been told, or is gone.
    driver.take(body, from).await.ok();
}

impl Driver {
    async fn take(
        &mut self,
        body: impl Stream<Item = Result<Bytes, std::io::Error>> + Send,
        from: u64,
    ) -> Result<(), Stopped> {
        let mut pieces = std::pin::pin!(body);
        let mut lines = Lines::default();
        let mut batch = Batch::default();
        let stopping = self.state.stopping().clone();
        let end = loop {
            let piece = tokio::select! {
                biased;
                () = stopping.cancelled() => break Err(Problem::unavailable("the node is stopping")),
                Some(ended) = self.running.join_next() => {
                    self.settle(ended).await?;
                    continue;
                }
                _ = self.ticks.tick() => {
                    // A client that pauses learns what became of the lines it sent.
                    if self.running.is_empty() {
                        self.send(&mut batch).await?;
                    }
                    self.tell().await?;
                    continue;
                }
                piece = pieces.next() => piece,
            };
            match piece {
                Some(Ok(piece)) => lines.push(&piece),
                Some(Err(error)) => break Err(body::broken(&error)),
                None => break Ok(()),
            }
            if let Err(problem) = self.caller.still_stands(&self.state) {
                break Err(problem);
            }
            while let Some(line) = lines.next() {
                self.line(&mut batch, &line, from).await?;
            }
        };
        let whole_lines = lines.number();
        if end.is_ok()
            && let Some(line) = lines.last()
        {
            self.line(&mut batch, &line, from).await?;
        }
        self.send(&mut batch).await?;
        while let Some(ended) = self.running.join_next().await {
            self.settle(ended).await?;
        }
        self.tell().await?;
        match end {
            Ok(()) => {
                let Progress { line, nodes, fields } = self.prefix.durable();
                let done = Done { lines: line, nodes, fields, errors: self.errors };
                self.answer(&ImportLine { done: Some(done), ..ImportLine::default() }).await
            }
            Err(problem) => self.refuse(whole_lines + 1, &problem).await,
        }
    }

    async fn line(&mut self, batch: &mut Batch, line: &Line, from: u64) -> Result<(), Stopped> {
        batch.line = line.number;
        if line.number < from {
            return Ok(());
        }
        let too_long = || Refusal::new(Code::TooLarge, format!("a line is at most {MAX_LINE_BYTES} bytes")).into();
        let node = match &line.text {
            Some(text) => node::read(line.number, text).and_then(|node| self.authorised(node)),
            None => Err(too_long()),
        };
        match node {
            Ok(None) => {}
            Ok(Some(node)) => {
                batch.bytes += line.text.as_ref().map_or(0, Bytes::len);
                batch.fields += node.fields.len() as u64;
                batch.nodes.push(node);
            }
            Err(problem) => self.refuse(line.number, &problem).await?,
        }
        if batch.nodes.len() >= BATCH_NODES || batch.bytes >= BATCH_BYTES { self.send(batch).await } else { Ok(()) }
    }

    /// The node of a line, if the caller may write it.
    fn authorised(&self, node: Option<ImportNode>) -> Result<Option<ImportNode>, Problem> {
        match node {
            Some(node) => {
                self.caller.may_write(&node.soul).map_err(|problem| problem.at("soul"))?;
                Ok(Some(node))
            }
            None => Ok(None),
        }
    }

    /// Sends a batch to the node once there is room and no earlier one holds the same souls.
    async fn send(&mut self, batch: &mut Batch) -> Result<(), Stopped> {
        let next = Batch { line: batch.line, ..Batch::default() };
        let batch = std::mem::replace(batch, next);
        while self.running.len() >= MAX_BATCHES_IN_FLIGHT
            || batch.nodes.iter().any(|node| self.busy.contains(&node.soul))
        {
            let Some(ended) = self.running.join_next().await else { break };
            self.settle(ended).await?;
        }
        let number = self.next_batch;
        self.next_batch += 1;
        let took = Progress { line: batch.line, nodes: batch.nodes.len() as u64, fields: batch.fields };
        if batch.nodes.is_empty() {
            self.prefix.close(number, took);
            return Ok(());
        }
        let nodes: Vec<(u64, Soul, u64)> =
            batch.nodes.iter().map(|node| (node.line, node.soul.clone(), node.fields.len() as u64)).collect();
        self.busy.extend(nodes.iter().map(|(_, soul, _)| soul.clone()));
        let node = self.state.node().clone();
        let by = self.caller.principal();
        self.running.spawn(async move {
            let result = node.import(by, batch.nodes).await;
            Ended { batch: number, nodes, result, took }
        });
        Ok(())
    }

    /// Takes note of a batch that ended. A line that the node refused is an error line; a node that cannot go on ends
    /// the import, and no progress covers that line.
    async fn settle(&mut self, ended: Result<Ended, tokio::task::JoinError>) -> Result<(), Stopped> {
        let Ok(mut ended) = ended else {
            tracing::error!("a batch of an import panicked");
            return Err(Stopped);
        };
        for (_, soul, _) in &ended.nodes {
            self.busy.remove(soul);
        }
        for (line, error) in ended.result.into_iter().filter_map(Result::err) {
            let fatal = !matches!(error, Error::Refused(_) | Error::Schema(_));
            self.refuse(line, &error.into()).await?;
            if fatal {
                self.tell().await?;
                return Err(Stopped);
            }
            let fields = ended.nodes.iter().find(|(at, ..)| *at == line).map_or(0, |(.., fields)| *fields);
            ended.took.nodes = ended.took.nodes.saturating_sub(1);
            ended.took.fields = ended.took.fields.saturating_sub(fields);
        }
        telemetry::imported_nodes().increment(ended.took.nodes);
        self.prefix.close(ended.batch, ended.took);
        Ok(())
    }

    /// Tells the durable prefix, if it grew.
    async fn tell(&mut self) -> Result<(), Stopped> {
        let progress = self.prefix.durable();
        if progress.line == self.told {
            return Ok(());
        }
        self.told = progress.line;
        self.answer(&ImportLine { progress: Some(progress), ..ImportLine::default() }).await
    }

    async fn refuse(&mut self, line: u64, problem: &Problem) -> Result<(), Stopped> {
        self.errors += 1;
        let error = LineError {
            code: problem.code().to_owned(),
            detail: problem.detail().to_owned(),
            field: problem.field().to_owned(),
        };
        self.answer(&ImportLine { line: Some(line), error: Some(error), ..ImportLine::default() }).await
    }

    async fn answer(&mut self, line: &impl Serialize) -> Result<(), Stopped> {
        let mut bytes = serde_json::to_vec(line).map_err(|_| Stopped)?;
        bytes.push(b'\n');
        self.answers.send(bytes.into()).await.map_err(|_| Stopped)
    }
}
