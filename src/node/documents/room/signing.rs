//! From keystrokes to signed entries: journalled first, then gathered by author, then signed.

use rustdht_graph::yjs::{Ranges, Update, merge, split};

use super::{Effect, Pending, Room, Staged};
use crate::{
    Principal,
    documents::limits::{
        MAX_SEALED_UPDATE_BYTES, MAX_UPDATE_BYTES, RETRY_FIRST_MS, RETRY_MOST_MS, SIGN_AFTER_MS, SIGN_BYTES,
    },
};

/// A journal row to be written.
#[derive(Debug)]
pub(crate) struct RowOf {
    pub(crate) number: u64,
    pub(crate) by: Principal,
    pub(crate) update: Update,
}

/// What has to be signed by one author.
#[derive(Debug)]
pub(crate) struct Signing {
    pub(crate) by: Principal,
    /// Updates that fit into entries.
    pub(crate) parts: Vec<Update>,
    /// The journal's rows that go in the same transaction.
    pub(crate) rows: Vec<u64>,
}

/// How signing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Durable; the rows are gone.
    Signed,
    /// Not now.
    Later,
    /// Never: the author lost the right to write here. The rows are gone.
    Refused,
}

impl Room {
    /// The greatest update that an entry of this document holds, in bytes.
    pub(super) const fn most(&self) -> usize {
        if self.private { MAX_SEALED_UPDATE_BYTES } else { MAX_UPDATE_BYTES }
    }

    /// Updates of editors that wait for the journal, as rows of one author each; empty: none. A row is at most what an
    /// entry holds: what is greater could be sealed, and not be opened again.
    pub(crate) fn rows(&mut self) -> Vec<RowOf> {
        let mut authors: Vec<Principal> = Vec::new();
        for staged in &self.staged {
            if !authors.contains(&staged.by) {
                authors.push(staged.by);
            }
        }
        let mut rows = Vec::with_capacity(authors.len());
        for by in authors {
            let updates = self.staged.iter().filter(|staged| staged.by == by).map(|staged| &staged.update);
            let merged = merge(updates);
            // One that cannot be split was refused when it came, unless the node became private since.
            let parts = split(&merged, self.most()).unwrap_or_else(|_| vec![merged]);
            for update in parts {
                rows.push(RowOf { number: self.next_row, by, update });
                self.next_row += 1;
            }
        }
        rows
    }

    /// The rows of [`Room::rows`] are durable: now everybody may know.
    pub(crate) fn durable(&mut self, rows: &[RowOf], now_ms: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        for Staged { editor, by, update } in std::mem::take(&mut self.staged) {
            self.build(by, &update);
            let ready = self.replica.apply(&update);
            let given = self.give(ready.as_ref());
            if given.is_empty()
                && let Some(editor) = editor
            {
                effects.extend(self.acknowledge(editor, &update));
            }
            effects.extend(given);
            self.unsent.push(update.clone());
            let pending = self.pending_of(by, now_ms);
            pending.bytes += update.encode().len();
            pending.updates.push(update);
        }
        for row in rows {
            self.pending_of(row.by, now_ms).rows.push(row.number);
        }
        self.settle();
        effects
    }

    fn pending_of(&mut self, by: Principal, now_ms: u64) -> &mut Pending {
        if !self.wrote.contains(&by) {
            self.wrote.push(by);
        }
        self.pending.entry(by).or_insert_with(|| Pending::new(now_ms))
    }

    /// Takes a row that was left in the journal; after the view. `None` in place of the update: it cannot be read, and
    /// the row only goes.
    pub(crate) fn restore_row(&mut self, number: u64, by: Principal, update: Option<Update>) {
        self.next_row = self.next_row.max(number + 1);
        self.pending_of(by, 0).rows.push(number);
        let Some(update) = update else { return };
        // What was signed just before the end is not signed again, what was deleted since not at all.
        let new = self.signed.rest(&update);
        if new.is_empty() || self.hidden.meets(&new.structs()) || self.hidden.meets(new.deletes()) {
            return;
        }
        self.held.add(&new);
        self.replica.apply(&new);
        let pending = self.pending_of(by, 0);
        pending.bytes += new.encode().len();
        pending.updates.push(new);
    }

    pub(super) fn take_over(&mut self, by: Principal, update: &Update) {
        let new = self.held.rest(update);
        if !new.is_empty() {
            self.held.add(&new);
            self.staged.push(Staged { editor: None, by, update: new });
        }
    }

    /// Whether updates wait for the journal.
    pub(crate) fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// What is to be signed now.
    pub(crate) fn due(&mut self, now_ms: u64) -> Vec<Signing> {
        let alone = self.editors.is_empty();
        let is_due = |by: &Principal, pending: &Pending| {
            let waited = pending.since_ms.saturating_add(SIGN_AFTER_MS) <= now_ms;
            let paused = self.pauses.get(by).is_some_and(|(until_ms, _)| *until_ms > now_ms);
            !self.signing.contains_key(by) && !paused && (alone || waited || pending.bytes >= SIGN_BYTES)
        };
        let ready: Vec<Principal> =
            self.pending.iter().filter(|(by, pending)| is_due(by, pending)).map(|(by, _)| *by).collect();
        let mut due = Vec::with_capacity(ready.len());
        for by in ready {
            let Some(pending) = self.pending.remove(&by) else { continue };
            due.push(Signing { by, parts: parts(&pending.updates, self.most()), rows: pending.rows.clone() });
            self.signing.insert(by, pending);
        }
        due
    }

    /// How a signing ended.
    pub(crate) fn signed(&mut self, by: Principal, verdict: Verdict, now_ms: u64) {
        let Some(mut tried) = self.signing.remove(&by) else { return };
        match verdict {
            Verdict::Signed => {
                self.pauses.remove(&by);
                tried.updates.iter().for_each(|update| self.signed.add(update));
            }
            Verdict::Refused => {
                self.pauses.remove(&by);
            }
            Verdict::Later => {
                let (_, failures) = self.pauses.get(&by).copied().unwrap_or_default();
                let pause = (RETRY_FIRST_MS << failures.min(10)).min(RETRY_MOST_MS);
                self.pauses.insert(by, (now_ms.saturating_add(pause), failures + 1));
                if let Some(later) = self.pending.remove(&by) {
                    tried.bytes += later.bytes;
                    tried.updates.extend(later.updates);
                    tried.rows.extend(later.rows);
                }
                self.pending.insert(by, tried);
            }
        }
    }

    /// Failures in a row of the author that failed most.
    pub(crate) fn failures(&self) -> u32 {
        self.pauses.values().map(|(_, failures)| *failures).max().unwrap_or_default()
    }

    /// Whether nothing waits to be signed or is being signed.
    pub(crate) fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.signing.is_empty() && self.staged.is_empty()
    }

    /// Who wrote here since it was opened.
    pub(crate) fn wrote(&self) -> &[Principal] {
        &self.wrote
    }

    /// The elements that are durable and not signed.
    pub(crate) fn unsigned(&self) -> Ranges {
        let mut unsigned = Ranges::default();
        for pending in self.pending.values().chain(self.signing.values()) {
            pending.updates.iter().for_each(|update| unsigned.extend(&update.structs()));
        }
        unsigned
    }

    /// Rows of the journal, for when the document was deleted; they are forgotten here. What is being signed is among
    /// them: if it was not signed before the deletion it never is.
    pub(crate) fn drop_rows(&mut self) -> Vec<u64> {
        let signing = std::mem::take(&mut self.signing);
        std::mem::take(&mut self.pending).into_values().chain(signing.into_values()).flat_map(|all| all.rows).collect()
    }

    /// When something is due, in milliseconds since the epoch.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        let alone = self.editors.is_empty();
        let due_ms = |(by, pending): (&Principal, &Pending)| {
            let hurry = alone || pending.bytes >= SIGN_BYTES;
            let after = if hurry { 0 } else { pending.since_ms.saturating_add(SIGN_AFTER_MS) };
            after.max(self.pauses.get(by).map_or(0, |(until_ms, _)| *until_ms))
        };
        self.pending.iter().filter(|(by, _)| !self.signing.contains_key(*by)).map(due_ms).min()
    }
}

/// The updates merged, in parts that fit into entries. Each was split once when it was taken, so together they can be;
/// if not, they are signed one by one.
fn parts(updates: &[Update], most: usize) -> Vec<Update> {
    let merged = merge(updates);
    if merged.is_empty() {
        return Vec::new();
    }
    split(&merged, most)
        .unwrap_or_else(|_| updates.iter().flat_map(|update| split(update, most).unwrap_or_default()).collect())
}

impl Pending {
    fn new(since_ms: u64) -> Self {
        Self { updates: Vec::new(), bytes: 0, since_ms, rows: Vec::new() }
    }
}
