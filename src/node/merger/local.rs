//! Writes of this gateway and its accounts: planned against the state, signed by the writer's key, joined.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rustdht_core::{Field, Refusal, Soul, Stamp};
use rustdht_graph::{Draft, NodeState, Pen, Rules, Wanted};
use rustdht_wire::limits::MAX_OPERATIONS;

use super::{
    Answer, Joined, Planned, Written,
    authors::{Places, Writers},
    group::Group,
    run::Merger,
    sign::COMMIT_BYTES,
    staged::{Signable, Staged, StagedWrite, bytes_of, unite},
};
use crate::{
    Error, ImportNode, NodeWrite, Op, OpResult, Outcome, Principal, RenderOptions, WriteMode, metrics as names,
    private,
    read::{self, matches_any},
};

impl Merger {
    fn places(&self, group: &Group) -> Places<'_> {
        let now = Stamp::from_ms(group.now_ms).max(self.clock.last());
        Places { authors: &self.authors, revocations: &self.revocations, stamp: now }
    }

    /// PATCH, PUT and DELETE of a node. `None`: the answer follows when [`Merger::flush_staged`] has signed it.
    pub(super) fn write(&mut self, group: &mut Group, write: &NodeWrite) -> Result<Option<Written>, Error> {
        let writers = self.writers(write.by);
        if self.staged.holds(&write.soul) {
            // It is planned on top of what the earlier write makes of the node.
            self.flush_staged(group);
        }
        let empty = NodeState::new(write.soul.clone());
        let state = self.states.get(&write.soul).unwrap_or(&empty);
        // What is private is planned on as far as the writer may read it.
        let mut planning = private::plan_for(&self.shared.keyring, state, &write.by);
        check_preconditions(planning.node(), write)?;
        let mut what = plan_write(&self.places(group), &writers, planning.node(), write)?;
        if what.drafts.is_empty() {
            let node = read::render(planning.node(), write.render);
            return Ok(Some(Written { node, commits: Vec::new(), stamp: state.stamp() }));
        }
        self.shared.schemas.check(planning.node(), &what.drafts, &what.author, what.leaves.first())?;
        planning.seal(&mut what.drafts, &*self.shared.ports.entropy)?;
        if write.mode == WriteMode::Patch && what.drafts.len() > MAX_OPERATIONS {
            let detail = "the body becomes more than 1,024 operations; write it in parts";
            return Err(Refusal::new(rustdht_core::Code::TooManyOperations, detail).into());
        }
        if Staged::takes(&what.drafts) {
            if !self.staged.has_room(&what) {
                self.flush_staged(group);
            }
            self.staged.push(group.answers.len(), write, what);
            return Ok(None);
        }
        self.flush_staged(group);
        let made = if write.mode == WriteMode::Patch {
            self.commit_patch(group, what)?
        } else {
            self.commit_in_parts(group, what)?
        };
        let render = RenderOptions { reader: write.by, ..write.render };
        Ok(Some(self.written(group, &write.soul, render, &made)))
    }

    fn written(
        &self,
        group: &mut Group,
        soul: &Soul,
        render: RenderOptions,
        made: &[(rustdht_core::CommitId, Stamp)],
    ) -> Written {
        let state = self.states.get(soul);
        let node = state.and_then(|state| {
            read::render(&private::rendered_for(&self.shared.keyring, state, &render.reader), render)
        });
        let same_for_all = !self.is_judged(soul) && !state.is_some_and(private::is_private);
        if render.is_plain() && same_for_all {
            group.rendered.insert(soul.clone(), node.clone());
        }
        let stamp = made.last().map_or_else(Stamp::default, |(_, stamp)| *stamp);
        Written { node, commits: made.iter().map(|(id, _)| *id).collect(), stamp }
    }

    /// Signs the staged writes, those of one author as one commit, and answers them; one by one if together they cannot
    /// be signed.
    pub(super) fn flush_staged(&mut self, group: &mut Group) {
        for pool in self.staged.take() {
            let together = if pool.len() > 1 { self.commit_together(group, &pool) } else { None };
            for StagedWrite { answer, soul, render, what } in pool {
                let made = match &together {
                    Some(made) => Ok(*made),
                    None => self.commit_drafts(group, what).map(|(id, stamp, _)| (id, stamp)),
                };
                let written = made.map(|made| Answer::Written(self.written(group, &soul, render, &[made])));
                if let Some((_, waiting)) = group.answers.get_mut(answer) {
                    *waiting = written.map_err(Error::from);
                }
            }
        }
    }

    fn commit_together(&mut self, group: &mut Group, pool: &[StagedWrite]) -> Option<(rustdht_core::CommitId, Stamp)> {
        let author = pool.first()?.what.author;
        let mut leaves = Vec::new();
        pool.iter().for_each(|write| unite(&mut leaves, &write.what.leaves));
        let drafts = pool.iter().flat_map(|write| write.what.drafts.iter().cloned()).collect();
        let (id, stamp, _) = self.commit_drafts(group, Signable { author, leaves, drafts }).ok()?;
        Some((id, stamp))
    }

    /// One atomic commit of JSON operations.
    pub(super) fn operations(&mut self, group: &mut Group, by: Principal, ops: &[Op]) -> Result<Joined, Error> {
        let writers = self.writers(by);
        let places = self.places(group);
        let within =
            |at: usize, refusal: Refusal, part: &str| Error::from(refusal.within(part).within(&format!("ops.{at}")));
        let author = places
            .author(&writers, ops.iter().map(|op| (&op.soul, &op.field)))
            .map_err(|(at, refusal)| within(at, refusal, "soul"))?;
        let mut what = Signable { author, leaves: Vec::new(), drafts: Vec::with_capacity(ops.len()) };
        // For each operation, the index of the draft whose result is its own.
        let mut firsts = Vec::with_capacity(ops.len());
        let unknown = ops.iter().map(|op| &op.soul).filter(|soul| self.states.get(soul).is_none());
        let empty: HashMap<&Soul, NodeState> = unknown.map(|soul| (soul, NodeState::new(soul.clone()))).collect();
        // By soul, with its first operation.
        let mut plannings: BTreeMap<&Soul, (usize, private::Planning<'_>)> = BTreeMap::new();
        for (at, op) in ops.iter().enumerate() {
            let pen =
                places.pen(&writers, &author, &op.soul, &op.field).map_err(|refusal| within(at, refusal, "soul"))?;
            let (_, planning) = plannings.entry(&op.soul).or_insert_with(|| {
                let state = self.states.get(&op.soul).unwrap_or_else(|| &empty[&op.soul]);
                (at, private::plan_for(&self.shared.keyring, state, &by))
            });
            let first = rustdht_graph::plan(planning.node(), &pen, &op.field, &op.action, &mut what.drafts)
                .map_err(|refusal| within(at, refusal, "value"))?;
            unite(&mut what.leaves, pen.leaf.as_slice());
            firsts.push(first);
        }
        // Not before all of them are planned: a later operation counts on what an earlier one wrote.
        for (at, planning) in plannings.values_mut() {
            self.shared.schemas.check(planning.node(), &what.drafts, &what.author, what.leaves.first())?;
            planning
                .seal(&mut what.drafts, &*self.shared.ports.entropy)
                .map_err(|refusal| within(*at, refusal, "soul"))?;
        }
        drop(plannings);
        if what.drafts.is_empty() {
            let stamp = ops.first().and_then(|op| self.states.get(&op.soul)).map(NodeState::stamp).unwrap_or_default();
            let known = |index| OpResult { index, outcome: Outcome::Known, id: None };
            return Ok(Joined { commit: None, stamp, results: (0..).take(ops.len()).map(known).collect() });
        }
        let (id, stamp, made) = self.commit_drafts(group, what)?;
        let result = |(index, first): (u16, Option<usize>)| match first.and_then(|first| made.get(first)) {
            Some(result) => OpResult { index, ..*result },
            None => OpResult { index, outcome: Outcome::Known, id: None },
        };
        Ok(Joined { commit: Some(id), stamp, results: (0..).zip(firsts).map(result).collect() })
    }

    /// One atomic commit of what was planned outside; slots are those of now.
    pub(super) fn planned(&mut self, group: &mut Group, planned: &Planned) -> Result<Joined, Error> {
        let mut what = None;
        if !planned.drafts.is_empty() {
            let writers = self.writers(planned.by);
            let places = self.places(group);
            let wanted = planned.drafts.iter().map(|draft| (&draft.soul, &draft.field));
            let within = |at: usize, refusal: Refusal| Error::from(refusal.within(&format!("ops.{at}")));
            let author = places.author(&writers, wanted).map_err(|(at, refusal)| within(at, refusal))?;
            for draft in planned.unless.iter().flat_map(|_| &planned.drafts) {
                let state = self.states.get(&draft.soul);
                if planned.unless.zip(state).is_some_and(|(unless, state)| unless.holds(state, &draft.field)) {
                    let detail = "the field was changed since this was planned";
                    return Err(Refusal::new(rustdht_core::Code::Stale, detail).within(&draft.field).into());
                }
            }
            let mut leaves = Vec::new();
            let mut drafts = planned.drafts.clone();
            for (at, draft) in drafts.iter_mut().enumerate() {
                let pen =
                    places.pen(&writers, &author, &draft.soul, &draft.field).map_err(|refusal| within(at, refusal))?;
                if let Some(slot) = pen.slot_of(&draft.kind, &Rules::of(&draft.soul)) {
                    draft.slot = slot;
                }
                unite(&mut leaves, pen.leaf.as_slice());
            }
            // The node may have become private after this was planned.
            let souls: BTreeSet<&Soul> = planned.drafts.iter().map(|draft| &draft.soul).collect();
            for state in souls.into_iter().filter_map(|soul| self.states.get(soul)) {
                let mut planning = private::plan_for(&self.shared.keyring, state, &planned.by);
                planning.seal_made(&mut drafts, &*self.shared.ports.entropy)?;
            }
            what = Some(Signable { author, leaves, drafts });
        }
        let joined = match what {
            Some(what) => {
                let (id, stamp, results) = self.commit_drafts(group, what)?;
                Joined { commit: Some(id), stamp, results }
            }
            None => Joined { commit: None, stamp: self.clock.last(), results: Vec::new() },
        };
        group.side.extend(planned.side.iter().cloned());
        Ok(joined)
    }

    /// With which pen a principal writes there now.
    pub(super) fn pen(&self, group: &Group, by: Principal, soul: &Soul, field: &Field) -> Result<Pen, Error> {
        let writers = self.writers(by);
        let places = self.places(group);
        let author = places.author(&writers, [(soul, field)].into_iter()).map_err(|(_, refusal)| refusal)?;
        Ok(places.pen(&writers, &author, soul, field)?)
    }

    /// Nodes of an import, in commits of up to 1,024 operations. One answer a node, in order.
    pub(super) fn import(
        &mut self,
        group: &mut Group,
        by: Principal,
        nodes: &[ImportNode],
    ) -> Vec<Result<(), (u64, Error)>> {
        let writers = self.writers(by);
        let mut answers: Vec<Result<(), (u64, Error)>> = Vec::with_capacity(nodes.len());
        let mut part = Part::default();
        for (at, node) in nodes.iter().enumerate() {
            // A node that stands twice is planned on top of its first form.
            if part.souls.contains(&node.soul) {
                self.flush(group, &mut part, nodes, &mut answers);
            }
            match self.plan_import(group, &writers, node) {
                Ok(None) => answers.push(Ok(())),
                Ok(Some(what)) => {
                    if !part.has_room(&what) {
                        self.flush(group, &mut part, nodes, &mut answers);
                    }
                    part.push(at, &node.soul, what);
                    answers.push(Ok(()));
                }
                Err(error) => answers.push(Err((node.line, error))),
            }
        }
        self.flush(group, &mut part, nodes, &mut answers);
        answers
    }

    fn plan_import(&self, group: &Group, writers: &Writers, node: &ImportNode) -> Result<Option<Signable>, Error> {
        let places = self.places(group);
        places.enters(writers, &node.soul)?;
        let wanted = node.fields.iter().map(|(field, _)| (&node.soul, field));
        let author = places.author(writers, wanted).map_err(|(_, refusal)| refusal)?;
        let empty = NodeState::new(node.soul.clone());
        let state = self.states.get(&node.soul).unwrap_or(&empty);
        let mut planning = private::plan_for(&self.shared.keyring, state, &writers.by);
        let mut what = Signable { author, leaves: Vec::new(), drafts: Vec::with_capacity(node.fields.len()) };
        for (field, wanted) in &node.fields {
            // A line that is imported again changes nothing: an import can be resumed from any line before its end.
            if is_shown(planning.node(), field, wanted) {
                continue;
            }
            let pen = places.pen(writers, &author, &node.soul, field)?;
            let drafts = rustdht_graph::write(planning.node(), &pen, field, wanted, true);
            what.drafts.extend(drafts.map_err(|refusal| refusal.within(field))?);
            unite(&mut what.leaves, pen.leaf.as_slice());
        }
        self.shared.schemas.check(planning.node(), &what.drafts, &what.author, what.leaves.first())?;
        planning.seal(&mut what.drafts, &*self.shared.ports.entropy)?;
        Ok((!what.drafts.is_empty()).then_some(what))
    }

    fn flush(
        &mut self,
        group: &mut Group,
        part: &mut Part,
        nodes: &[ImportNode],
        answers: &mut [Result<(), (u64, Error)>],
    ) {
        let Part { what, lines, .. } = std::mem::take(part);
        if let Some(what) = what
            && let Err(refusal) = self.commit_in_parts(group, what)
        {
            for at in lines {
                answers[at] = Err((nodes[at].line, refusal.clone().into()));
            }
        }
    }

    /// Reports what is held in memory.
    pub(super) fn gauge(&self) {
        metrics::gauge!(names::MERGE_CACHE).set(self.states.weight() as f64);
        metrics::gauge!(names::DEFERRED).set(self.deferred.len() as f64);
        metrics::gauge!(names::PENDING).set(self.shared.authority.pending.len() as f64);
    }
}

/// Nodes of an import that share a commit.
#[derive(Default)]
struct Part {
    what: Option<Signable>,
    souls: HashSet<Soul>,
    lines: Vec<usize>,
    bytes: usize,
}

impl Part {
    fn has_room(&self, more: &Signable) -> bool {
        let Some(what) = &self.what else { return true };
        let mut leaves = what.leaves.clone();
        unite(&mut leaves, &more.leaves);
        let local = |drafts: &[Draft]| drafts.iter().any(|draft| draft.soul.starts_with("_/"));
        what.author == more.author
            && what.drafts.len() + more.drafts.len() <= MAX_OPERATIONS
            && self.bytes + bytes_of(&more.drafts) <= COMMIT_BYTES
            && leaves.len() <= rustdht_wire::limits::MAX_AUTH
            && local(&what.drafts) == local(&more.drafts)
    }

    fn push(&mut self, at: usize, soul: &Soul, more: Signable) {
        self.bytes += bytes_of(&more.drafts);
        self.souls.insert(soul.clone());
        self.lines.push(at);
        match &mut self.what {
            Some(what) => {
                unite(&mut what.leaves, &more.leaves);
                what.drafts.extend(more.drafts);
            }
            None => self.what = Some(more),
        }
    }
}

fn is_shown(state: &NodeState, field: &str, wanted: &Wanted) -> bool {
    let Wanted::Value(value) = wanted else { return false };
    match state.view(field) {
        Some(view) => matches!(&view.shown, rustdht_graph::Shown::Value(shown) if shown == value),
        None => matches!(value, rustdht_core::Value::Null),
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

fn plan_write(
    places: &Places<'_>,
    writers: &Writers,
    state: &NodeState,
    write: &NodeWrite,
) -> Result<Signable, Refusal> {
    let named: HashSet<&str> = write.fields.iter().map(|(field, _)| field.as_str()).collect();
    let unnamed: Vec<Field> = match write.mode {
        WriteMode::Patch => Vec::new(),
        _ => state
            .views()
            .map(|(field, _)| field)
            .filter(|field| !named.contains(field.as_str()) && !rustdht_graph::is_permanent(&write.soul, field))
            .filter(|field| write.mode == WriteMode::Delete || !private::is_kept(state, field))
            .cloned()
            .collect(),
    };
    places.enters(writers, &write.soul)?;
    let fields = unnamed.iter().chain(write.fields.iter().map(|(field, _)| field));
    let author = places.author(writers, fields.map(|field| (&write.soul, field))).map_err(|(_, refusal)| refusal)?;
    let mut what = Signable { author, leaves: Vec::new(), drafts: Vec::new() };
    let pen = |field: &Field| places.pen(writers, &author, &write.soul, field);
    for field in &unnamed {
        let pen = pen(field)?;
        unite(&mut what.leaves, pen.leaf.as_slice());
        what.drafts.extend(rustdht_graph::delete(state, &pen, field, false));
    }
    for (field, wanted) in &write.fields {
        let pen = pen(field)?;
        unite(&mut what.leaves, pen.leaf.as_slice());
        let drafts = rustdht_graph::write(state, &pen, field, wanted, false);
        what.drafts.extend(drafts.map_err(|refusal| refusal.within(field))?);
    }
    Ok(what)
}
