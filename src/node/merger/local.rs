//! Writes of this gateway: planned against the state, signed by the gateway key, joined.

use std::{collections::HashSet, sync::Arc};

use rustdht_core::{Body, Code, CommitId, Refusal, Salt, Soul, Space, Stamp, Value, Writer};
use rustdht_graph::{Draft, FieldState, Merge, NodeState, Wanted};
use rustdht_wire::{Built, Operation, limits::MAX_OPERATIONS, sign_commit, slot_of};

use super::{
    Answer, Joined, Written,
    group::Group,
    run::Merger,
    staged::{Staged, StagedWrite, size},
};
use crate::{
    Action, Error, ImportNode, NodeWrite, Op, OpResult, Outcome, WriteMode, metrics as names,
    read::{self, matches_any},
};

/// Bytes of operations after which a write that may span several commits begins the next one.
const COMMIT_BYTES: usize = 512 << 10;

/// The gateway key writes public souls and its own.
fn refuse_foreign_space(soul: &Soul, gateway: &rustdht_core::PublicKey) -> Result<(), Refusal> {
    match soul.space() {
        Space::Public => Ok(()),
        Space::Owned(key) if key == *gateway => Ok(()),
        Space::Owned(_) => {
            Err(Refusal::new(Code::NotAuthorised, "this soul is written by its own key; post a signed commit"))
        }
        Space::Mirror => Err(Refusal::new(Code::NotAuthorised, "mirror souls are written by bridges only")),
        Space::Content(_) => Err(Refusal::new(Code::Immutable, "content souls never change")),
        Space::Local => Err(Refusal::new(Code::LocalSpace, "local souls are written by this gateway only")),
    }
}

impl Merger {
    fn sign(&mut self, group: &mut Group, drafts: Vec<Draft>) -> Result<Built, Refusal> {
        let author = self.shared.gateway.public();
        let writer = Writer::new(&author, None);
        let mut seed = [0; 32];
        self.shared.ports.entropy.fill(&mut seed);
        let mut salts = blake3::Hasher::new_keyed(&seed).finalize_xof();
        let session = self.session.id;
        drafts.iter().for_each(|draft| self.session.clock.observe(draft.after));
        let stamp = self.session.clock.tick(group.now_ms);
        let operation = |draft: Draft| {
            debug_assert!(draft.after < stamp, "a writer's stamp exceeds what it observed");
            let slot = slot_of(&draft.kind, &draft.soul, &author, &session, &writer);
            let body = draft.value.map_or(Body::None, |value| {
                let mut salt = [0; 16];
                salts.fill(&mut salt);
                Body::Live { value, salt: Some(Salt(salt)) }
            });
            let slot = slot.ok_or_else(|| Refusal::new(Code::BadKind, "not a kind that this gateway writes"))?;
            let Draft { soul, field, kind, kills, over, .. } = draft;
            Ok(Operation { soul, field, kind, slot, body, kills, over, base: None })
        };
        let operations = drafts.into_iter().map(operation).collect::<Result<Vec<_>, Refusal>>()?;
        let (seq, prev) = (self.session.seq, self.session.prev);
        let built = sign_commit(&self.shared.gateway, self.shared.identity.net, session, seq, prev, stamp, operations)?;
        self.session.seq += 1;
        self.session.prev = Some(built.commit.id);
        Ok(built)
    }

    /// Signs and joins one commit.
    fn commit_drafts(
        &mut self,
        group: &mut Group,
        drafts: Vec<Draft>,
    ) -> Result<(CommitId, Stamp, Vec<OpResult>), Refusal> {
        let built = self.sign(group, drafts)?;
        self.clock_moved = true;
        let (id, stamp) = (built.commit.id, built.header.stamp);
        let mut results = Vec::with_capacity(built.entries.len());
        for entry in built.entries {
            let (index, entry_id) = (entry.index, entry.id);
            let outcome = match self.join(group, Arc::new(entry)) {
                Merge::Taken => Outcome::Taken,
                Merge::Known => Outcome::Known,
                Merge::Historical | Merge::Pending => Outcome::Historical,
            };
            results.push(OpResult { index, outcome, id: Some(entry_id) });
        }
        group.commit(built.commit);
        group.push(id, built.envelope);
        Ok((id, stamp, results))
    }

    /// As many commits as the drafts need, each atomic.
    fn commit_in_parts(&mut self, group: &mut Group, drafts: Vec<Draft>) -> Result<Vec<(CommitId, Stamp)>, Refusal> {
        let mut made = Vec::new();
        let mut part: Vec<Draft> = Vec::new();
        let mut bytes = 0;
        for draft in drafts {
            let more = size(&draft);
            if !part.is_empty() && (part.len() == MAX_OPERATIONS || bytes + more > COMMIT_BYTES) {
                let (id, stamp, _) = self.commit_drafts(group, std::mem::take(&mut part))?;
                made.push((id, stamp));
                bytes = 0;
            }
            bytes += more;
            part.push(draft);
        }
        if !part.is_empty() {
            let (id, stamp, _) = self.commit_drafts(group, part)?;
            made.push((id, stamp));
        }
        Ok(made)
    }

    /// One atomic commit. Kills of more than fits beside the rest go in earlier commits: they only take away what the
    /// deletion behind them hides anyway.
    fn commit_patch(&mut self, group: &mut Group, drafts: Vec<Draft>) -> Result<Vec<(CommitId, Stamp)>, Refusal> {
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        let mut made = Vec::new();
        let (kills, rest): (Vec<Draft>, Vec<Draft>) = if drafts.iter().map(size).sum::<usize>() > COMMIT_BYTES {
            drafts.into_iter().partition(|draft| draft.kind.is_kill() && draft.value.is_none())
        } else {
            (Vec::new(), drafts)
        };
        made.extend(self.commit_in_parts(group, kills)?);
        let (id, stamp, _) = self.commit_drafts(group, rest)?;
        made.push((id, stamp));
        Ok(made)
    }

    /// PATCH, PUT and DELETE of a node. `None`: the answer follows when [`Merger::flush_staged`] has signed it.
    pub(super) fn write(&mut self, group: &mut Group, write: &NodeWrite) -> Result<Option<Written>, Error> {
        refuse_foreign_space(&write.soul, &self.shared.identity.gateway)?;
        if self.staged.holds(&write.soul) {
            // It is planned on top of what the earlier write makes of the node.
            self.flush_staged(group);
        }
        let empty = NodeState::new(write.soul.clone());
        let state = self.states.get(&write.soul).unwrap_or(&empty);
        check_preconditions(state, write)?;
        let drafts = plan_write(state, write)?;
        if drafts.is_empty() {
            let node = read::render(state, write.render);
            return Ok(Some(Written { node, commits: Vec::new(), stamp: state.stamp() }));
        }
        if write.mode == WriteMode::Patch && drafts.len() > MAX_OPERATIONS {
            let detail = "the body becomes more than 1,024 operations; write it in parts";
            return Err(Refusal::new(Code::TooManyOperations, detail).into());
        }
        if Staged::takes(&drafts) {
            if !self.staged.has_room(&drafts) {
                self.flush_staged(group);
            }
            self.staged.push(group.answers.len(), write, drafts);
            return Ok(None);
        }
        self.flush_staged(group);
        let made = if write.mode == WriteMode::Patch {
            self.commit_patch(group, drafts)?
        } else {
            self.commit_in_parts(group, drafts)?
        };
        Ok(Some(self.written(group, &write.soul, write.render, &made)))
    }

    fn written(
        &self,
        group: &mut Group,
        soul: &Soul,
        render: crate::RenderOptions,
        made: &[(CommitId, Stamp)],
    ) -> Written {
        let state = self.states.get(soul);
        let node = state.and_then(|state| read::render(state, render));
        if render == crate::RenderOptions::default() {
            group.rendered.insert(soul.clone(), node.clone());
        }
        let stamp = made.last().map_or_else(Stamp::default, |(_, stamp)| *stamp);
        Written { node, commits: made.iter().map(|(id, _)| *id).collect(), stamp }
    }

    /// Signs the staged writes as one commit and answers them; one by one if together they cannot be signed.
    pub(super) fn flush_staged(&mut self, group: &mut Group) {
        let staged = self.staged.take();
        let all = staged.iter().flat_map(|write| write.drafts.iter().cloned()).collect();
        let together = if staged.len() > 1 { self.commit_drafts(group, all).ok() } else { None };
        for StagedWrite { answer, soul, render, drafts } in staged {
            let made = match &together {
                Some((id, stamp, _)) => Ok((*id, *stamp)),
                None => self.commit_drafts(group, drafts).map(|(id, stamp, _)| (id, stamp)),
            };
            let written = made.map(|made| Answer::Written(self.written(group, &soul, render, &[made])));
            if let Some((_, waiting)) = group.answers.get_mut(answer) {
                *waiting = written.map_err(Error::from);
            }
        }
    }

    /// One atomic commit of JSON operations.
    pub(super) fn operations(&mut self, group: &mut Group, ops: &[Op]) -> Result<Joined, Error> {
        let mut drafts = Vec::with_capacity(ops.len());
        // For each operation, the index of its first draft: its result is that draft's.
        let mut firsts = Vec::with_capacity(ops.len());
        for (at, op) in ops.iter().enumerate() {
            let within = |refusal: Refusal, part: &str| Error::from(refusal.within(part).within(&format!("ops.{at}")));
            refuse_foreign_space(&op.soul, &self.shared.identity.gateway).map_err(|refusal| within(refusal, "soul"))?;
            let empty = NodeState::new(op.soul.clone());
            let state = self.states.get(&op.soul).unwrap_or(&empty);
            let made = plan_action(state, op).map_err(|refusal| within(refusal, "value"))?;
            firsts.push((!made.is_empty()).then_some(drafts.len()));
            drafts.extend(made);
        }
        if drafts.is_empty() {
            let stamp = ops.first().and_then(|op| self.states.get(&op.soul)).map(NodeState::stamp).unwrap_or_default();
            let known = |index| OpResult { index, outcome: Outcome::Known, id: None };
            return Ok(Joined { commit: None, stamp, results: (0..).take(ops.len()).map(known).collect() });
        }
        let (id, stamp, made) = self.commit_drafts(group, drafts)?;
        let result = |(index, first): (u16, Option<usize>)| match first.and_then(|first| made.get(first)) {
            Some(result) => OpResult { index, ..*result },
            None => OpResult { index, outcome: Outcome::Known, id: None },
        };
        Ok(Joined { commit: Some(id), stamp, results: (0..).zip(firsts).map(result).collect() })
    }

    /// Nodes of an import, in commits of up to 1,024 operations. One answer a node, in order.
    pub(super) fn import(&mut self, group: &mut Group, nodes: &[ImportNode]) -> Vec<Result<(), (u64, Error)>> {
        let mut answers: Vec<Result<(), (u64, Error)>> = Vec::with_capacity(nodes.len());
        let mut part = Part::default();
        for (at, node) in nodes.iter().enumerate() {
            // A node that stands twice is planned on top of its first form.
            if part.souls.contains(&node.soul) {
                self.flush(group, &mut part, nodes, &mut answers);
            }
            match self.plan_import(node) {
                Ok(drafts) => {
                    let bytes: usize = drafts.iter().map(size).sum();
                    if part.drafts.len() + drafts.len() > MAX_OPERATIONS || part.bytes + bytes > COMMIT_BYTES {
                        self.flush(group, &mut part, nodes, &mut answers);
                    }
                    part.bytes += bytes;
                    part.souls.insert(node.soul.clone());
                    part.lines.push(at);
                    part.drafts.extend(drafts);
                    answers.push(Ok(()));
                }
                Err(refusal) => answers.push(Err((node.line, refusal.into()))),
            }
        }
        self.flush(group, &mut part, nodes, &mut answers);
        answers
    }

    fn plan_import(&self, node: &ImportNode) -> Result<Vec<Draft>, Refusal> {
        refuse_foreign_space(&node.soul, &self.shared.identity.gateway)?;
        let empty = NodeState::new(node.soul.clone());
        let state = self.states.get(&node.soul).unwrap_or(&empty);
        let mut drafts = Vec::with_capacity(node.fields.len());
        for (field, wanted) in &node.fields {
            // A line that is imported again changes nothing: an import can be resumed from any line before its end.
            if is_shown(state, field, wanted) {
                continue;
            }
            drafts.extend(rustdht_graph::write(state, field, wanted, true).map_err(|refusal| refusal.within(field))?);
        }
        Ok(drafts)
    }

    fn flush(
        &mut self,
        group: &mut Group,
        part: &mut Part,
        nodes: &[ImportNode],
        answers: &mut [Result<(), (u64, Error)>],
    ) {
        let Part { drafts, lines, .. } = std::mem::take(part);
        if let Err(refusal) = self.commit_in_parts(group, drafts) {
            for at in lines {
                answers[at] = Err((nodes[at].line, refusal.clone().into()));
            }
        }
    }

    /// Reports what is held in memory.
    pub(super) fn gauge(&self) {
        metrics::gauge!(names::MERGE_CACHE).set(self.states.weight() as f64);
        metrics::gauge!(names::DEFERRED).set(self.deferred.len() as f64);
    }
}

/// Nodes of an import that share a commit.
#[derive(Default)]
struct Part {
    drafts: Vec<Draft>,
    souls: HashSet<Soul>,
    lines: Vec<usize>,
    bytes: usize,
}

fn is_shown(state: &NodeState, field: &str, wanted: &Wanted) -> bool {
    let Wanted::Value(value) = wanted else { return false };
    match state.field(field).and_then(FieldState::view) {
        Some(view) => matches!(&view.shown, rustdht_graph::Shown::Value(shown) if shown == value),
        None => matches!(value, Value::Null),
    }
}

fn check_preconditions(state: &NodeState, write: &NodeWrite) -> Result<(), Error> {
    if write.if_match.is_none() && write.if_none_match.is_none() {
        return Ok(());
    }
    let current = read::render(state, crate::RenderOptions::default()).map(|node| node.etag);
    let tag = current.as_deref();
    let held = write.if_match.as_ref().is_none_or(|tags| tag.is_some_and(|tag| matches_any(tags, tag)));
    let free = write.if_none_match.as_ref().is_none_or(|tags| !tag.is_some_and(|tag| matches_any(tags, tag)));
    if held && free { Ok(()) } else { Err(Error::PreconditionFailed(tag.unwrap_or("nothing").to_owned())) }
}

fn plan_write(state: &NodeState, write: &NodeWrite) -> Result<Vec<Draft>, Refusal> {
    let mut drafts = Vec::new();
    if write.mode != WriteMode::Patch {
        let named: HashSet<&str> = write.fields.iter().map(|(field, _)| field.as_str()).collect();
        let unnamed = state.views().map(|(field, _)| field).filter(|field| !named.contains(field.as_str()));
        drafts.extend(unnamed.flat_map(|field| rustdht_graph::delete(state, field, false)));
    }
    for (field, wanted) in &write.fields {
        drafts.extend(rustdht_graph::write(state, field, wanted, false).map_err(|refusal| refusal.within(field))?);
    }
    Ok(drafts)
}

fn plan_action(state: &NodeState, op: &Op) -> Result<Vec<Draft>, Refusal> {
    match &op.action {
        Action::Set(wanted) => rustdht_graph::write(state, &op.field, wanted, false),
        Action::Delete { erase } => Ok(rustdht_graph::delete(state, &op.field, *erase)),
        Action::Add(value) => rustdht_graph::add(state, &op.field, value),
        Action::Remove(value) => Ok(rustdht_graph::remove(state, &op.field, value)),
    }
}
