//! Writing: nodes, atomic commits, imports.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use bytes::Bytes;
use rustdht_core::{Code, Entry, EntryId, Refusal, Slot};
use rustdht_wire::{Place, Rules, limits::MAX_OPERATIONS};

use crate::{
    Committed, Error, ImportNode, Node, NodeWrite, NodeWritten, Op, OpResult, Outcome,
    merger::{Answer, Foreign, Request},
};

/// Killed ids looked up at a time.
const KILLS_AT_A_TIME: usize = 1024;

fn unexpected<T>() -> Result<T, Error> {
    // Only a node that is stopping answers a job with something else.
    Err(Error::Stopping)
}

impl Node {
    /// Writes one node as the gateway key. Answered when it is durable here, and at W' owners or after `wait`.
    ///
    /// # Errors
    /// A refusal or a failed precondition, and nothing changed; or the store failed, and nothing was acknowledged.
    pub async fn write(&self, write: NodeWrite) -> Result<NodeWritten, Error> {
        let wait = write.wait;
        match self.inner.submit(Request::Write(Box::new(write))).await? {
            Answer::Written(written) => {
                let durability = self.wait_durable(written.commits.last().copied(), wait).await;
                Ok(NodeWritten { node: written.node, commits: written.commits, stamp: written.stamp, durability })
            }
            _ => unexpected(),
        }
    }

    /// One atomic commit as the gateway key.
    ///
    /// # Errors
    /// As [`Node::write`]; `field` of a refusal names the operation (`ops.3.value`).
    pub async fn commit(&self, ops: Vec<Op>, wait: Duration) -> Result<Committed, Error> {
        if ops.is_empty() {
            return Err(Refusal::new(Code::OutOfRange, "a commit has 1 to 1,024 operations").within("ops").into());
        }
        if ops.len() > MAX_OPERATIONS {
            return Err(Refusal::new(Code::TooManyOperations, "a commit has at most 1,024 operations")
                .within("ops")
                .into());
        }
        match self.inner.submit(Request::Ops(ops)).await? {
            Answer::Joined(joined) => {
                let durability = self.wait_durable(joined.commit, wait).await;
                Ok(Committed { commit: joined.commit, stamp: joined.stamp, results: joined.results, durability })
            }
            _ => unexpected(),
        }
    }

    /// A commit that its author signed, as an envelope.
    ///
    /// # Errors
    /// The refusal of the first rule it breaks; nothing changed.
    pub async fn commit_signed(&self, envelope: Bytes, wait: Duration) -> Result<Committed, Error> {
        let shared = &self.inner.shared;
        let rules = Rules { net: shared.identity.net, now_ms: shared.ports.clock.now_ms() };
        let bytes = envelope.clone();
        let verified =
            tokio::task::spawn_blocking(move || rustdht_wire::check(&bytes, Place::Door, &rules)?.verify()).await;
        let verified = verified.map_err(|_| Error::Stopping)??;
        let ids: Vec<EntryId> =
            verified.entries.iter().filter_map(|(_, entry)| Some(entry.as_ref().ok()?.id)).collect();
        self.check_kills(&verified).await?;
        let (commit, stamp) = (verified.commit.id, verified.header.stamp);
        let known: HashSet<EntryId> = self.store().in_history(&ids).await?.into_iter().collect();
        let foreign = Foreign { verified, envelope, door: true };
        let Answer::Foreign(mut done) = self.inner.submit(Request::Foreign(vec![foreign])).await? else {
            return unexpected();
        };
        let mut results = Vec::new();
        for (index, id, outcome) in done.pop().map(|done| done.results).unwrap_or_default() {
            let outcome = match outcome? {
                // A replay whose operation lost since is known, not news.
                Some(Outcome::Historical) if known.contains(&id) => Outcome::Known,
                Some(outcome) => outcome,
                None => return Err(Refusal::new(Code::Malformed, "w travels between replicas only").into()),
            };
            results.push(OpResult { index, outcome, id: Some(id) });
        }
        // A replay asks again how far the commit got; one that waits for its time is on this disk only.
        let deferred = results.iter().any(|result| matches!(result.outcome, Outcome::Deferred { .. }));
        let durability = if deferred { self.here_only() } else { self.wait_durable(Some(commit), wait).await };
        Ok(Committed { commit: Some(commit), stamp, results, durability })
    }

    /// At a door a kill may not name an id that is known here as slotted or of another field.
    async fn check_kills(&self, verified: &rustdht_wire::Verified) -> Result<(), Error> {
        let key = &self.inner.shared.network_key;
        let killers: Vec<_> =
            verified.entries.iter().filter_map(|(index, entry)| Some((*index, entry.as_ref().ok()?))).collect();
        let named: Vec<EntryId> = killers.iter().flat_map(|(_, entry)| entry.kills.iter().copied()).collect();
        let mut held: HashMap<EntryId, Entry> = HashMap::new();
        for named in named.chunks(KILLS_AT_A_TIME) {
            let records: Vec<_> = named.iter().map(|id| id.record_id(key)).collect();
            held.extend(self.store().by_record(&records).await?.into_iter().map(|entry| (entry.id, entry)));
        }
        for (index, killer) in killers {
            for (at, id) in killer.kills.iter().enumerate() {
                let wrong = held.get(id).is_some_and(|entry| {
                    matches!(entry.slot, Slot::Explicit(_)) || entry.soul != killer.soul || entry.field != killer.field
                });
                if wrong {
                    let detail = "a kill names own-id entries of its own field";
                    return Err(Refusal::new(Code::BadValue, detail).within(&format!("ops.{index}.x.{at}")).into());
                }
            }
        }
        Ok(())
    }

    /// Nodes of an import stream, in commits of up to 1,024 operations; durable here when it returns. One answer a
    /// node, in order: what was refused, with its line.
    pub async fn import(&self, nodes: Vec<ImportNode>) -> Vec<Result<(), (u64, Error)>> {
        let lines: Vec<u64> = nodes.iter().map(|node| node.line).collect();
        match self.inner.submit(Request::Import(nodes)).await {
            Ok(Answer::Imported(answers)) => answers,
            Ok(_) => lines.into_iter().map(|line| Err((line, Error::Stopping))).collect(),
            Err(error) => {
                let text = error.to_string();
                let again = |line| {
                    let error = match &error {
                        Error::Overloaded => Error::Overloaded,
                        Error::Stopping => Error::Stopping,
                        _ => Error::Store(rustdht_core::ports::StoreError::Failed(text.clone())),
                    };
                    Err((line, error))
                };
                lines.into_iter().map(again).collect()
            }
        }
    }
}
