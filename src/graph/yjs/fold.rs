//! Which updates are integrated, in which order, and which wait: all of a fold but the folding, so that who only asks
//! what is ready need not build the document.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use rustdht_core::{Code, Entry, EntryId, Refusal, Stamp, Value};

use super::{
    ids::{Ranges, StateVector},
    index::Index,
    merge::{givers, merge},
    ready::greatest_closed_set,
    sources::{Source, Sources},
    update::{Section, Update},
};

/// Most updates that an open document keeps for what they depend on; a client that sends more lacks more than a sync
/// step can bring.
pub const MAX_WAITING: usize = 1024;
/// Most bytes of them.
pub const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// How often a set that contradicts itself is tried again without what contradicted. Only forged updates need more
/// than one try; what is left then is ignored.
const MAX_TRIES: usize = 16;

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is part of the document, and so perhaps are others that waited for it.
    Integrated,
    /// Something that it depends on is missing; it is kept aside.
    Waiting,
}

/// The place of an update in the order of the view: `b` or stamp, stamp, id; keystrokes come after entries, as they
/// came.
type Rank = (Stamp, Stamp, EntryId, u64);

#[derive(Clone, Debug)]
struct Pending {
    rank: Rank,
    source: Source,
    update: Update,
}

/// What takes the structs that are integrated, in their order: runs of one client each, and then what is deleted.
pub(super) trait Sink {
    fn feed(&mut self, runs: Vec<Section>, deletes: &Ranges);
}

/// Nobody builds a document.
impl Sink for () {
    fn feed(&mut self, _: Vec<Section>, _: &Ranges) {}
}

/// What is integrated and what waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Fold {
    pub(super) index: Index,
    pub(super) sources: Sources,
    waiting: Vec<Pending>,
    waiting_bytes: usize,
    arrivals: u64,
    ignored: BTreeSet<EntryId>,
}

impl Fold {
    /// Takes entries; their order does not matter.
    pub(super) fn of<'a>(entries: impl IntoIterator<Item = &'a Arc<Entry>>, sink: &mut impl Sink) -> Self {
        let mut fold = Self::default();
        let mut pending = Vec::new();
        for entry in entries {
            let update = match entry.body.value() {
                Some(Value::Bytes(bytes)) => Update::decode(bytes).ok().map(|update| (bytes.clone(), update)),
                _ => None,
            };
            match update {
                Some((bytes, update)) => pending.push(Pending {
                    rank: (entry.cut_stamp(), entry.stamp, entry.id, 0),
                    source: Source { bytes, entry: Some(entry.id) },
                    update,
                }),
                None => {
                    fold.ignored.insert(entry.id);
                }
            }
        }
        fold.settle(pending, sink);
        fold
    }

    /// Takes an update as it comes.
    ///
    /// # Errors
    /// `too_large` when it would have to wait and too many do.
    pub(super) fn apply(&mut self, update: Update, sink: &mut impl Sink) -> Result<Applied, Refusal> {
        let bytes = Bytes::from(update.encode());
        let needed = update.dependencies();
        let ready = needed.iter().all(|(client, clock)| self.index.clock(client) >= clock);
        let full = self.waiting.len() >= MAX_WAITING || self.waiting_bytes + bytes.len() > MAX_WAITING_BYTES;
        if !ready && full {
            return Err(Refusal::new(Code::TooLarge, "too many Yjs updates wait for others that are missing"));
        }
        self.arrivals += 1;
        let arrival = self.arrivals;
        let rank = (Stamp(u64::MAX), Stamp(u64::MAX), EntryId([0xff; 32]), arrival);
        let mut pending = std::mem::take(&mut self.waiting);
        pending.push(Pending { rank, source: Source { bytes, entry: None }, update });
        self.settle(pending, sink);
        let waits = self.waiting.iter().any(|pending| pending.rank.3 == arrival);
        Ok(if waits { Applied::Waiting } else { Applied::Integrated })
    }

    /// Entries that are not integrated.
    pub(super) fn unready(&self) -> BTreeSet<EntryId> {
        self.waiting.iter().filter_map(|pending| pending.source.entry).chain(self.ignored.iter().copied()).collect()
    }

    /// How many updates wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Integrates what can be, in the order of the view; the rest waits.
    fn settle(&mut self, mut pending: Vec<Pending>, sink: &mut impl Sink) {
        pending.sort_by_key(|pending| pending.rank);
        let needed: Vec<StateVector> = pending.iter().map(|pending| pending.update.dependencies()).collect();
        let mut queue = Queue { needed: &needed, ready: BinaryHeap::new(), waiting: HashMap::new() };
        let mut left: BTreeSet<usize> = (0..pending.len()).collect();
        for at in 0..pending.len() {
            queue.park(at, &self.index);
        }
        loop {
            while let Some(Reverse(at)) = queue.ready.pop() {
                let Pending { source, update, .. } = &pending[at];
                if let Ok(runs) = self.index.integrate(update) {
                    sink.feed(runs, &update.deletes);
                    self.sources.note(source.clone(), update);
                    left.remove(&at);
                    queue.wake(update, &self.index);
                }
            }
            let Some(set) = self.integrate_set(&pending, &needed, &left, sink) else { break };
            for at in set {
                left.remove(&at);
                queue.wake(&pending[at].update, &self.index);
            }
        }
        self.waiting =
            pending.into_iter().enumerate().filter(|(at, _)| left.contains(at)).map(|(_, one)| one).collect();
        self.waiting_bytes = self.waiting.iter().map(|pending| pending.source.bytes.len()).sum();
    }

    /// Updates that wait for each other: a compaction holds early and late structs, so two of them can form a circle.
    fn integrate_set(
        &mut self,
        pending: &[Pending],
        needed: &[StateVector],
        left: &BTreeSet<usize>,
        sink: &mut impl Sink,
    ) -> Option<Vec<usize>> {
        let mut candidates: Vec<usize> = left.iter().copied().collect();
        for _ in 0..MAX_TRIES {
            let updates: Vec<_> = candidates.iter().map(|at| (&pending[*at].update, &needed[*at])).collect();
            let closed = greatest_closed_set(&updates, |client| self.index.clock(client));
            candidates = closed.into_iter().map(|at| candidates[at]).collect();
            if candidates.is_empty() {
                return None;
            }
            let updates: Vec<&Update> = candidates.iter().map(|at| &pending[*at].update).collect();
            let merged = merge(updates.iter().copied());
            match self.index.integrate(&merged) {
                Ok(runs) => {
                    sink.feed(runs, &merged.deletes);
                    let given = givers(&updates);
                    let sources: Vec<_> =
                        candidates.iter().map(|at| (pending[*at].source.clone(), &pending[*at].update)).collect();
                    self.sources.note_merged(&sources, given);
                    return Some(candidates);
                }
                Err(stuck) => candidates.retain(|at| {
                    let update = &pending[*at].update;
                    !stuck.meets(&update.structs()) && !stuck.meets(&update.deletes)
                }),
            }
        }
        None
    }
}

/// Updates by what they wait for.
struct Queue<'a> {
    needed: &'a [StateVector],
    /// Least rank first.
    ready: BinaryHeap<Reverse<usize>>,
    /// Per client: the clock that has to be reached, and by whom it is needed.
    waiting: HashMap<u64, BTreeSet<(u32, usize)>>,
}

impl Queue<'_> {
    fn park(&mut self, at: usize, index: &Index) {
        match self.needed[at].iter().find(|(client, clock)| index.clock(*client) < *clock) {
            Some((client, clock)) => {
                self.waiting.entry(client).or_default().insert((clock, at));
            }
            None => self.ready.push(Reverse(at)),
        }
    }

    fn wake(&mut self, update: &Update, index: &Index) {
        for section in &update.sections {
            let clock = index.clock(section.client);
            while let Some(first) = self.waiting.get_mut(&section.client).and_then(BTreeSet::pop_first) {
                if first.0 > clock {
                    self.waiting.entry(section.client).or_default().insert(first);
                    break;
                }
                self.park(first.1, index);
            }
        }
    }
}
