//! Joining entries into states, and what became of them.

use std::sync::Arc;

use rustdht_core::{Entry, Timing};
use rustdht_graph::Merge;
use rustdht_wire::Verified;

use super::{Foreign, ForeignDone, deferred, group::Group, run::Merger};
use crate::{Outcome, metrics as names, private};

impl Merger {
    /// Joins one entry whose state is loaded.
    pub(super) fn join(&mut self, group: &mut Group, entry: Arc<Entry>) -> Merge {
        let soul = entry.soul.clone();
        if let Some(state) = self.states.get(&soul) {
            group.hidden.note_erased(&entry, state);
        }
        self.revocations.joined(&entry);
        let document = entry.kind.is_yjs().then(|| Arc::clone(&entry));
        let joined = self.states.with(&soul, |state| state.join(entry));
        debug_assert!(joined.is_some(), "states of a group are loaded before it is planned");
        let Some(joined) = joined else { return Merge::Pending };
        let label = match joined.merge {
            Merge::Taken => "taken",
            Merge::Known => "known",
            Merge::Historical => "historical",
            Merge::Pending => "pending",
        };
        metrics::counter!(names::OPERATIONS, "outcome" => label).increment(1);
        // A document that comes after what deletes it is never shown: its editors have to be known all the same.
        if let Some(entry) = document
            && matches!(joined.merge, Merge::Taken | Merge::Historical)
            && !joined.changes.puts.iter().any(|put| put.id == entry.id && put.body.value().is_some())
        {
            group.hidden.note(&entry);
        }
        joined.changes.losers.iter().for_each(|loser| group.hidden.note(loser));
        group.take(joined.changes);
        joined.merge
    }

    /// Joins a commit from a door or a member; one stamped ahead of the clock is kept until it is due.
    pub(super) fn foreign(&mut self, group: &mut Group, foreign: &Foreign, due: Option<deferred::Key>) -> ForeignDone {
        let verified = &foreign.verified;
        if let Some(key) = due {
            group.side.push(self.deferred.done(&key));
        } else {
            match verified.header.stamp.timing(group.now_ms) {
                Timing::Admitted => {}
                Timing::Deferred { until_ms } => return self.defer(group, foreign, until_ms),
                // The clock was set back since the commit was checked.
                Timing::TooEarly => return self.defer(group, foreign, verified.header.stamp.ms()),
            }
        }
        if verified.header.stamp > self.clock.last() {
            self.clock.observe(verified.header.stamp);
            self.clock_moved = true;
        }
        let mut results = Vec::with_capacity(verified.entries.len());
        for (index, entry) in &verified.entries {
            match entry {
                Ok(entry) => {
                    let merge = self.join(group, Arc::new(entry.clone()));
                    self.hide_keys(entry, verified);
                    results.push((*index, entry.id, Ok(outcome(merge))));
                }
                Err(refusal) => {
                    let id = rustdht_core::EntryId::of(&verified.commit.id, *index);
                    results.push((*index, id, Err(refusal.clone())));
                }
            }
        }
        if results.iter().any(|(.., result)| matches!(result, Ok(Some(_)))) {
            let taken = results.iter().any(|(.., result)| *result == Ok(Some(Outcome::Taken)));
            self.vouch(group, foreign, taken);
        }
        group.commit(verified.commit.clone());
        ForeignDone { results }
    }

    /// Keys of a private node whose writer is not entitled to write them are hidden at once: what is planned behind them
    /// must not be encrypted under them.
    fn hide_keys(&mut self, entry: &Entry, verified: &Verified) {
        let Some(leaf) = entry.leaf.filter(|_| private::holds_keys(&entry.soul, &entry.field)) else { return };
        let mut certificates = verified.certificates.iter().filter(|certificate| certificate.id() == leaf);
        if !certificates.any(|certificate| private::entitles(certificate.certificate())) {
            self.states.with(&entry.soul, |state| {
                let mut hidden = state.hidden().clone();
                hidden.insert(entry.id);
                state.set_hidden(hidden);
            });
        }
    }

    /// Commits that came together, in their order. What came without its value may be covered by one behind it, so it
    /// is tried again at the end.
    pub(super) fn foreign_all(&mut self, group: &mut Group, commits: &[Foreign]) -> Vec<ForeignDone> {
        let mut done: Vec<ForeignDone> = commits.iter().map(|foreign| self.foreign(group, foreign, None)).collect();
        for (foreign, done) in commits.iter().zip(&mut done) {
            let vouched = done.results.iter().any(|(.., result)| matches!(result, Ok(Some(_))));
            for (index, _, result) in done.results.iter_mut().filter(|(_, _, result)| *result == Ok(None)) {
                let entry = foreign.verified.entries.iter().find(|(at, _)| at == index);
                if let Some((_, Ok(entry))) = entry {
                    *result = Ok(outcome(self.join(group, Arc::new(entry.clone()))));
                    self.hide_keys(entry, &foreign.verified);
                }
            }
            if !vouched && done.results.iter().any(|(.., result)| matches!(result, Ok(Some(_)))) {
                self.vouch(group, foreign, true);
            }
        }
        done
    }

    fn defer(&mut self, group: &mut Group, foreign: &Foreign, until_ms: u64) -> ForeignDone {
        let any = foreign.verified.entries.iter().any(|(_, entry)| entry.is_ok());
        let kept = if any { self.deferred.keep(until_ms, foreign) } else { Ok(None) };
        if any && kept.is_ok() {
            // Whatever it stands under must be here when it is due.
            group.certificates(&self.shared.authority, &foreign.verified.certificates);
        }
        let results = foreign.verified.entries.iter().map(|(index, entry)| {
            let id = rustdht_core::EntryId::of(&foreign.verified.commit.id, *index);
            let outcome = match (entry, &kept) {
                (Ok(_), Ok(_)) => Ok(Some(Outcome::Deferred { until_ms })),
                (Err(refusal), _) | (_, Err(refusal)) => Err(refusal.clone()),
            };
            (*index, id, outcome)
        });
        let done = ForeignDone { results: results.collect() };
        group.side.extend(kept.ok().flatten());
        done
    }
}

fn outcome(merge: Merge) -> Option<Outcome> {
    match merge {
        Merge::Taken => Some(Outcome::Taken),
        Merge::Known => Some(Outcome::Known),
        Merge::Historical => Some(Outcome::Historical),
        Merge::Pending => None,
    }
}
