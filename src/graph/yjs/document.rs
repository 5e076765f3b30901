//! A Yjs document as the view sees it: updates integrated in an order in which nothing gets lost.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap},
    fmt,
    sync::Arc,
};

use bytes::Bytes;
use rustdht_core::{Code, Entry, EntryId, Kind, Refusal, Stamp, Value};
use yrs::{
    ArrayRef, ClientID, Doc, GetString as _, MapRef, OffsetKind, Options, Out, ReadTxn as _, TextRef, Transact as _,
    TransactionMut, updates::decoder::Decode as _,
};

use super::{
    ids::{Ranges, StateVector},
    index::Index,
    merge::{givers, merge},
    ready::greatest_closed_set,
    sources::{Source, Sources},
    tree::Tree,
    update::{Body, Section, Struct, Update},
};
use crate::Content;

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

/// The fold of Yjs updates, which takes further ones. yrs folds; what it is given is in order and without
/// contradictions, and its store of pending updates stays empty.
pub struct Document {
    doc: Doc,
    roots: Roots,
    index: Index,
    sources: Sources,
    waiting: Vec<Pending>,
    waiting_bytes: usize,
    arrivals: u64,
    ignored: BTreeSet<EntryId>,
}

/// The root types that are shown.
pub(super) struct Roots {
    pub(super) text: TextRef,
    pub(super) list: ArrayRef,
    pub(super) map: MapRef,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("clocks", &self.state_vector()).field("waiting", &self.waiting.len()).finish()
    }
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

/// A yrs document that writes as `client`. It collects nothing: what an editor brings about a deleted element finds it.
pub(super) fn blank(client: u64) -> Doc {
    let mut options = Options::with_guid_and_client_id("".into(), ClientID::new(client));
    options.offset_kind = OffsetKind::Utf16;
    options.skip_gc = true;
    options.cleanup_formatting = false;
    Doc::with_options(options)
}

impl Clone for Document {
    /// Another document with the same content; takes as long as encoding and reading it once.
    fn clone(&self) -> Self {
        let (doc, roots) = self.copy(0);
        Self {
            doc,
            roots,
            index: self.index.clone(),
            sources: self.sources.clone(),
            waiting: self.waiting.clone(),
            waiting_bytes: self.waiting_bytes,
            arrivals: self.arrivals,
            ignored: self.ignored.clone(),
        }
    }
}

impl Document {
    /// An empty document.
    #[must_use]
    pub fn new() -> Self {
        let doc = blank(0);
        let roots = Roots::of(&doc);
        Self {
            doc,
            roots,
            index: Index::default(),
            sources: Sources::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            arrivals: 0,
            ignored: BTreeSet::new(),
        }
    }

    /// The fold of entries of one of the kinds text, list, map; their order does not matter. An update is integrated
    /// when all that it depends on is; of those ready the least (`b` or stamp, stamp, id) first; when none is ready,
    /// the greatest set whose dependencies are integrated or inside the set is integrated as one. The rest waits.
    ///
    /// A value that is a blob is counted as one that waits: only a node could load it.
    #[must_use]
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Arc<Entry>>) -> Self {
        let mut document = Self::new();
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
                    document.ignored.insert(entry.id);
                }
            }
        }
        document.settle(pending);
        document
    }

    /// Takes an update as it comes: a keystroke, a preview, a sync step.
    ///
    /// # Errors
    /// `too_large` when it would have to wait and too many do.
    pub fn apply(&mut self, update: Update) -> Result<Applied, Refusal> {
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
        self.settle(pending);
        let waits = self.waiting.iter().any(|pending| pending.rank.3 == arrival);
        Ok(if waits { Applied::Waiting } else { Applied::Integrated })
    }

    /// Integrates what can be, in the order of the view; the rest waits.
    fn settle(&mut self, mut pending: Vec<Pending>) {
        pending.sort_by_key(|pending| pending.rank);
        let needed: Vec<StateVector> = pending.iter().map(|pending| pending.update.dependencies()).collect();
        let mut queue = Queue { needed: &needed, ready: BinaryHeap::new(), waiting: HashMap::new() };
        let mut left: BTreeSet<usize> = (0..pending.len()).collect();
        let doc = self.doc.clone();
        let mut txn = doc.transact_mut();
        for at in 0..pending.len() {
            queue.park(at, &self.index);
        }
        loop {
            while let Some(Reverse(at)) = queue.ready.pop() {
                let Pending { source, update, .. } = &pending[at];
                if let Ok(runs) = self.index.integrate(update) {
                    feed(&mut txn, runs, &update.deletes);
                    self.sources.note(source.clone(), update);
                    left.remove(&at);
                    queue.wake(update, &self.index);
                }
            }
            let Some(set) = self.integrate_set(&mut txn, &pending, &needed, &left) else { break };
            for at in set {
                left.remove(&at);
                queue.wake(&pending[at].update, &self.index);
            }
        }
        drop(txn);
        self.waiting =
            pending.into_iter().enumerate().filter(|(at, _)| left.contains(at)).map(|(_, one)| one).collect();
        self.waiting_bytes = self.waiting.iter().map(|pending| pending.source.bytes.len()).sum();
    }

    /// Updates that wait for each other: a compaction holds early and late structs, so two of them can form a circle.
    fn integrate_set(
        &mut self,
        txn: &mut TransactionMut<'_>,
        pending: &[Pending],
        needed: &[StateVector],
        left: &BTreeSet<usize>,
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
                    feed(txn, runs, &merged.deletes);
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

    /// How much of each client is integrated.
    #[must_use]
    pub fn state_vector(&self) -> StateVector {
        self.index.state_vector()
    }

    /// What a client that holds `known` lacks, and every deletion: the second sync step.
    #[must_use]
    pub fn diff(&self, known: &StateVector) -> Vec<u8> {
        let known = yrs::StateVector::decode_v1(&known.encode()).unwrap_or_default();
        self.doc.transact().encode_diff_v1(&known)
    }

    /// What a root type named after its kind shows: a text, or the elements of a list or map; `None` for a list or map
    /// without any, and for other kinds.
    #[must_use]
    pub fn content(&self, of: &str) -> Option<Content> {
        let txn = self.doc.transact();
        let tree = match of {
            Kind::TEXT => Tree::from(&*self.roots.text.get_string(&txn)),
            Kind::LIST => Tree::of(&Out::YArray(self.roots.list.clone()), &txn),
            Kind::MAP => Tree::of(&Out::YMap(self.roots.map.clone()), &txn),
            _ => return None,
        };
        match tree {
            Tree::List(list) if list.is_empty() => None,
            Tree::Map(map) if map.is_empty() => None,
            tree => Some(tree.into_content()),
        }
    }

    /// The names of the root types that something was written to, ascending.
    #[must_use]
    pub fn root_names(&self) -> BTreeSet<&str> {
        self.index.roots().collect()
    }

    /// Entries that are not part of the document: what they depend on is missing, they contradict what is there, or
    /// are no updates.
    #[must_use]
    pub fn unready(&self) -> BTreeSet<EntryId> {
        self.waiting.iter().filter_map(|pending| pending.source.entry).chain(self.ignored.iter().copied()).collect()
    }

    /// What waits, entries or not.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Entries that bring different content under one (client, clock); of those integrated.
    #[must_use]
    pub fn flagged(&self) -> BTreeSet<EntryId> {
        self.sources.flagged()
    }

    /// The elements that they disagree about.
    #[must_use]
    pub fn disputed(&self) -> &Ranges {
        self.sources.disputed()
    }

    /// The elements for which `update` has other content than this document took. Equal structs, and those that one
    /// side knows as deleted only, are no contradiction.
    #[must_use]
    pub fn contradictions(&mut self, update: &Update) -> Ranges {
        self.sources.contradictions(update)
    }

    #[cfg(test)]
    pub(super) fn yrs(&self) -> &Doc {
        &self.doc
    }

    /// A yrs document with this content that writes as `client`.
    pub(super) fn copy(&self, client: u64) -> (Doc, Roots) {
        let doc = blank(client);
        let roots = Roots::of(&doc);
        let whole = yrs::Update::decode_v1(&self.diff(&StateVector::default())).unwrap_or_default();
        let applied = doc.transact_mut().apply_update(whole);
        debug_assert!(applied.is_ok(), "yrs reads what it wrote");
        (doc, roots)
    }
}

impl Roots {
    fn of(doc: &Doc) -> Self {
        Self {
            text: doc.get_or_insert_text(Kind::TEXT),
            list: doc.get_or_insert_array(Kind::LIST),
            map: doc.get_or_insert_map(Kind::MAP),
        }
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

/// Gives yrs one run of structs after the other, then the deletions.
fn feed(txn: &mut TransactionMut<'_>, mut runs: Vec<Section>, deletes: &Ranges) {
    let last = runs.pop();
    for run in runs {
        feed_one(txn, Update { sections: vec![run], deletes: Ranges::default() });
    }
    feed_one(txn, Update { sections: last.into_iter().collect(), deletes: deletes.clone() });
}

fn feed_one(txn: &mut TransactionMut<'_>, update: Update) {
    let applied = yrs::Update::decode_v1(&update.encode()).is_ok_and(|update| txn.apply_update(update).is_ok());
    debug_assert!(applied, "yrs takes what the index let through");
    if !applied {
        // The clocks must go on, alike everywhere: what yrs does not take counts as collected.
        let collected = |item: &Struct| Struct { clock: item.clock, len: item.len, body: Body::Gc };
        let sections = update.sections.iter().map(|section| Section {
            client: section.client,
            structs: section.structs.iter().map(collected).collect(),
        });
        let update = Update { sections: sections.collect(), deletes: update.deletes };
        if let Ok(update) = yrs::Update::decode_v1(&update.encode()) {
            let _ = txn.apply_update(update);
        }
    }
}
