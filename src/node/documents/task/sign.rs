//! From a room to the merger: keystrokes as signed entries, and an author's many updates as one.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rustdht_core::{Code, Entry, Kind, PublicKey, Slot, Stamp, Value, ports::SideRow};
use rustdht_graph::{
    Draft,
    yjs::{self, COMPACT_AT, COMPACT_BELOW, Update},
};

use super::{Signed, Task};
use crate::{
    Error, Principal,
    documents::{
        journal,
        room::{Signing, Verdict, View, value_of},
        rooms::Place,
        state,
    },
    merger::Unless,
    node::Inner,
};

/// Bytes of updates in one commit: below the format's bound of 1 MiB with what is around them.
const COMMIT_BYTES: usize = 512 << 10;
/// Own updates that are merged when a document closes: fewer are not worth a signature.
const COMPACT_AT_CLOSE: usize = 8;

impl Task {
    fn draft(&self, by: Principal, update: &Update) -> Option<Draft> {
        let (soul, field, kind) = (self.room.soul.clone(), self.room.field.clone(), self.room.kind.clone());
        let mut value = value_of(update);
        if let Some(node) = &self.sealing {
            value = state::seal(&self.inner, node, by, &field, &kind, &value)?;
        }
        let (kills, over, after) = (Vec::new(), Vec::new(), Stamp::default());
        Some(Draft { soul, field, kind, slot: Slot::Own, value: Some(value), kills, over, base: None, after })
    }

    /// Merges the updates of who wrote here, when they are many, or when everybody went.
    pub(super) fn compact(&mut self) {
        let closing = self.room.is_deserted() && self.room.is_settled();
        if self.grown.is_empty() || !self.compacting.is_empty() || !(closing || self.crowded) {
            return;
        }
        self.crowded = false;
        let at_least = if closing { COMPACT_AT_CLOSE } else { COMPACT_AT };
        for by in std::mem::take(&mut self.grown) {
            let (inner, place) = (Arc::clone(&self.inner), (self.room.soul.clone(), self.room.field.clone()));
            let kind = self.room.kind.clone();
            self.compacting.push(Box::pin(async move {
                compact(&inner, &place, &kind, by, at_least).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, soul = %place.0, "a document was not compacted");
                    false
                })
            }));
        }
    }

    /// Begins to sign keystrokes.
    pub(super) fn sign(&mut self, signing: Signing) {
        let Signing { by, parts, rows } = signing;
        let drafts: Option<Vec<Draft>> = parts.iter().map(|update| self.draft(by, update)).collect();
        let rows = rows.iter().map(|row| journal::delete(journal::key(&self.prefix, *row))).collect();
        let node = crate::Node { inner: Arc::clone(&self.inner) };
        self.signing.push(match drafts {
            Some(drafts) => Box::pin(sign(node, by, drafts, rows, self.room.cut)),
            None => Box::pin(give_up(node, by, rows)),
        });
    }
}

/// Whether an author has so many small updates that they are worth a compaction.
pub(super) fn is_crowded(view: &View, enough: usize) -> bool {
    let mut counts: HashMap<PublicKey, usize> = HashMap::new();
    let small =
        |entry: &&Arc<Entry>| matches!(entry.body.value(), Some(Value::Bytes(bytes)) if bytes.len() < COMPACT_BELOW);
    view.entries.iter().filter(small).for_each(|entry| *counts.entry(entry.author).or_default() += 1);
    counts.values().any(|count| *count >= enough)
}

/// Replaces updates of one author by one that holds them all; `false`: there were none to put together.
async fn compact(
    inner: &Arc<Inner>,
    place: &Place,
    kind: &Kind,
    by: Principal,
    at_least: usize,
) -> Result<bool, Error> {
    let (soul, field) = place;
    let node = state::read(inner, soul, by).await?;
    let pen = crate::Node { inner: Arc::clone(inner) }.pen(by, soul, field).await?;
    let (name, of_kind) = (field.clone(), kind.clone());
    // Reads all that the field holds: not on a thread that others wait for.
    let merging = tokio::task::spawn_blocking(move || {
        let draft = node.field(&name).and_then(|field| yjs::compact(field, &of_kind, &pen, at_least));
        (node, draft)
    });
    let Ok((node, Some(mut draft))) = merging.await else { return Ok(false) };
    if crate::private::is_private(&node) {
        let sealed = draft.value.as_ref().and_then(|value| state::seal(inner, &node, by, field, kind, value));
        let Some(sealed) = sealed else { return Ok(false) };
        draft.value = Some(sealed);
    }
    crate::Node { inner: Arc::clone(inner) }.submit_drafts(by, vec![draft], Vec::new(), Duration::ZERO).await?;
    Ok(true)
}

/// Signs keystrokes; the journal's rows go in the same transaction.
async fn sign(node: crate::Node, by: Principal, drafts: Vec<Draft>, rows: Vec<SideRow>, cut: Stamp) -> Signed {
    let mut commits: Vec<Vec<Draft>> = vec![Vec::new()];
    let mut bytes = 0;
    for draft in drafts {
        let more = match &draft.value {
            Some(Value::Bytes(update) | Value::Enc(update)) => update.len(),
            _ => 0,
        };
        if bytes + more > COMMIT_BYTES {
            commits.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        if let Some(commit) = commits.last_mut() {
            commit.push(draft);
        }
    }
    let last = commits.len() - 1;
    for (at, drafts) in commits.into_iter().enumerate() {
        // The rows go with the last one: after a crash before it, what the others signed is not signed again.
        let side = if at == last { rows.clone() } else { Vec::new() };
        // What was typed before a deletion must not be signed behind it: it would be back.
        match node.submit_unless(by, drafts, side, Some(Unless::CutAfter(cut)), Duration::ZERO).await {
            Ok(_) => {}
            Err(Error::Refused(refusal)) if refusal.code == Code::Stale => return (by, Verdict::Later),
            Err(Error::Refused(refusal)) => {
                tracing::warn!(%refusal, "keystrokes of somebody who may not write any more are dropped");
                return give_up(node, by, rows).await;
            }
            Err(error) => {
                tracing::warn!(%error, "keystrokes could not be signed now");
                return (by, Verdict::Later);
            }
        }
    }
    (by, Verdict::Signed)
}

/// Drops keystrokes that can never be signed.
async fn give_up(node: crate::Node, by: Principal, rows: Vec<SideRow>) -> Signed {
    (by, if node.side(rows).await.is_ok() { Verdict::Refused } else { Verdict::Later })
}
