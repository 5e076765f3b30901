//! Looking through everything that is stored, and mending what can be mended.
//!
//! A check is a stream: it works while somebody takes its findings, holds one page of rows or nodes at a time, and ends
//! when it is dropped. It runs beside reads and writes.

mod event;
mod links;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::{BTreeSet, HashMap, VecDeque};

use futures::{Stream, stream};
use rustdht_core::{
    Soul,
    ports::{CheckCursor, Fault, IndexItem, Published},
};
use rustdht_graph::NodeState;

pub use event::{CheckEvent, Fate};

use crate::{At, Error, Node, RenderOptions, merger::index_item};

/// Stored rows looked at in one step.
const ROWS_A_STEP: u32 = 2000;
/// Nodes looked at in one step.
const NODES_A_STEP: u32 = 16;
/// Nodes after which a sign of life is given.
const NODES_A_SIGN: u64 = 5000;
/// Targets of links that are remembered as there.
const KNOWN_TARGETS: usize = 10_000;

#[derive(Debug)]
enum Phase {
    /// Rows as the store reads them.
    Rows(CheckCursor),
    /// Nodes behind this soul: what is signed, and where links lead.
    Nodes(Option<Soul>),
    Over,
}

/// A check under way.
#[derive(Debug)]
struct Checker {
    node: Node,
    repair: bool,
    phase: Phase,
    found: VecDeque<CheckEvent>,
    /// Whether what a link names shows anything here.
    targets: HashMap<Soul, bool>,
    rows: u64,
    souls: u64,
    entries: u64,
    findings: u64,
    repaired: u64,
}

impl Node {
    /// Checks everything that is stored: rows that cannot be read or do not belong together, entries whose signature, proof
    /// or certificate does not hold, endorsements that do not, links that lead to nothing. With `repair` damaged rows
    /// go to `lost+found` and members are asked for what they held; a link that leads to nothing at the members
    /// either is removed by the owner of this gateway, where he may write. The last event is [`CheckEvent::Done`].
    pub fn check(&self, repair: bool) -> impl Stream<Item = CheckEvent> + Send + use<> {
        let checker = Checker {
            node: self.clone(),
            repair,
            phase: Phase::Rows(CheckCursor::default()),
            found: VecDeque::new(),
            targets: HashMap::new(),
            rows: 0,
            souls: 0,
            entries: 0,
            findings: 0,
            repaired: 0,
        };
        stream::unfold(checker, Checker::next)
    }
}

impl Checker {
    async fn next(mut self) -> Option<(CheckEvent, Self)> {
        loop {
            if let Some(event) = self.found.pop_front() {
                return Some((event, self));
            }
            let done = match &self.phase {
                Phase::Rows(after) => self.rows(*after).await,
                Phase::Nodes(after) => self.nodes(after.clone()).await,
                Phase::Over => return None,
            };
            if let Err(error) = done {
                self.found.push_back(CheckEvent::Failed { detail: error.to_string() });
                self.finish(false);
            }
        }
    }

    fn finish(&mut self, complete: bool) {
        self.phase = Phase::Over;
        let Self { rows, souls, entries, findings, repaired, .. } = *self;
        self.found.push_back(CheckEvent::Done { complete, rows, souls, entries, findings, repaired });
    }

    fn find(&mut self, event: CheckEvent, repaired: bool) {
        self.findings += 1;
        self.repaired += u64::from(repaired);
        self.found.push_back(event);
    }

    async fn rows(&mut self, after: CheckCursor) -> Result<(), Error> {
        let page = self.node.store().check(after, ROWS_A_STEP).await?;
        self.rows += page.rows;
        let mended = self.repair && !page.faults.is_empty();
        if mended {
            self.mend(page.faults.clone()).await?;
        }
        for Fault { table, row, soul, damage } in page.faults {
            let event = CheckEvent::Row {
                table: table.name(),
                row,
                soul: soul.map(|soul| soul.to_string()),
                problem: damage.to_string(),
                repaired: mended,
            };
            self.find(event, mended);
        }
        self.phase = page.next.map_or(Phase::Nodes(None), Phase::Rows);
        Ok(())
    }

    async fn mend(&mut self, faults: Vec<Fault>) -> Result<(), Error> {
        let node = self.node.clone();
        let souls: BTreeSet<Soul> = faults.iter().filter_map(|fault| fault.soul.clone()).collect();
        let shared = &node.inner.shared;
        let repaired = node.store().repair(faults, shared.ports.clock.now_ms()).await?;
        let gone = repaired.gone.iter().map(|row| IndexItem {
            seconds: row.seconds,
            record: row.id.record_id(&shared.network_key),
            partition: row.partition,
        });
        let drops = gone.chain(repaired.ended.iter().map(index_item)).collect();
        self.publish(drops).await?;
        for soul in souls {
            self.ask_again(&soul).await;
        }
        Ok(())
    }

    /// Tells the replication engine what is not here any more, so that it comes back.
    async fn publish(&self, drops: Vec<IndexItem>) -> Result<(), Error> {
        if let Some(replicator) = self.node.inner.replicator.get().filter(|_| !drops.is_empty()) {
            replicator.publish(Published { drops, ..Published::default() }).await?;
        }
        Ok(())
    }

    /// Asks the members for a node of which something is missing here. That nobody can be asked is no failure: what they
    /// have comes with the next reconciliation.
    async fn ask_again(&self, soul: &Soul) {
        self.node.inner.cache.changed(soul, None);
        if let Err(error) = self.node.get(soul, At::Network, RenderOptions::default()).await {
            tracing::debug!(%soul, %error, "no member could be asked for a damaged node");
        }
    }

    async fn nodes(&mut self, after: Option<Soul>) -> Result<(), Error> {
        let souls = self.node.store().souls("", after.as_deref(), NODES_A_STEP).await?;
        let Some(last) = souls.last().cloned() else {
            self.finish(true);
            return Ok(());
        };
        let states = self.node.states(&souls).await?;
        for state in &states {
            self.souls += 1;
            self.signed(state).await?;
            self.links(state).await?;
        }
        let before = self.souls - states.len() as u64;
        if before / NODES_A_SIGN != self.souls / NODES_A_SIGN {
            self.found.push_back(CheckEvent::Progress { rows: self.rows, souls: self.souls });
        }
        self.phase = Phase::Nodes(Some(last));
        Ok(())
    }

    /// Whether a node shows anything here.
    async fn is_there(&mut self, soul: &Soul) -> Result<bool, Error> {
        if let Some(known) = self.targets.get(soul) {
            return Ok(*known);
        }
        let state: NodeState = self.node.state(soul).await?;
        let there = state.views().next().is_some();
        if self.targets.len() >= KNOWN_TARGETS {
            self.targets.clear();
        }
        self.targets.insert(soul.clone(), there);
        Ok(there)
    }
}
