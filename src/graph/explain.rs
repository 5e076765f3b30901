//! The merge inspector: every side of a field, and why it is shown or not.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::Arc,
};

use rustdht_core::{Body, CommitId, Entry, EntryId, Slot, ham};

use crate::{
    FieldRef, NodeState,
    view::{Chosen, Sight},
};

/// Why an entry is shown or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It is shown, or it is part of what is shown.
    Won,
    /// The shown entry, or the one that holds the slot, has a greater stamp.
    LowerStamp,
    /// At an equal stamp the other value is greater in HAM order.
    LowerValueAtEqualStamp,
    /// At an equal stamp and value the other id is greater.
    LowerIdAtEqualValue,
    /// Mirror space: the other writer saw a later state of the object.
    LowerOriginTime,
    /// max and min: another number outdoes it.
    Outdone,
    /// Another entry kills it.
    KilledBy,
    /// A deletion of the field hides it.
    CutOffBy,
    /// An erase took its value.
    Erased,
    /// Authority hides it: its certificate or all its endorsers are revoked.
    Hidden,
    /// The field shows another kind, which was written later.
    OtherKindShown,
    /// Its value is not of its kind's type, or of no effect in this field.
    Ignored,
    /// What it builds on is missing.
    NotReady,
    /// It takes away and shows nothing itself.
    Removal,
    /// It is in the history only, and nothing here tells why.
    NotInState,
}

impl Reason {
    /// The reason as JSON has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::LowerStamp => "lower_stamp",
            Self::LowerValueAtEqualStamp => "lower_value_at_equal_stamp",
            Self::LowerIdAtEqualValue => "lower_id_at_equal_value",
            Self::LowerOriginTime => "lower_origin_time",
            Self::Outdone => "outdone",
            Self::KilledBy => "killed_by",
            Self::CutOffBy => "cut_off_by",
            Self::Erased => "erased",
            Self::Hidden => "hidden",
            Self::OtherKindShown => "other_kind_shown",
            Self::Ignored => "ignored",
            Self::NotReady => "not_ready",
            Self::Removal => "removal",
            Self::NotInState => "not_in_state",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One entry of a field and how it fared.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// The entry; with its value where the state or the history has it.
    pub entry: Arc<Entry>,
    /// Why it is shown or not.
    pub reason: Reason,
    /// The entry that decided, where one did.
    pub by: Option<EntryId>,
    /// Whether whoever wrote `by` had seen it, as far as the entries here tell: then it was edited, not in conflict.
    pub seen: Option<bool>,
}

/// Commits that are followed back from an entry that decided: far more than the history shows of a field, and few enough
/// that a field of many entries is explained in no time.
const MAX_COMMITS_BACK: usize = 256;

/// Every entry of the field's state and of `losers` (what the history has of it), greatest stamp first, each with one
/// reason. A loser that is in the state too gives it the value that was dropped there.
#[must_use]
pub fn explain(node: &NodeState, field: &str, losers: &[Arc<Entry>]) -> Vec<Side> {
    let Some(field) = node.field(field) else {
        let side =
            |entry: &Arc<Entry>| Side { entry: Arc::clone(entry), reason: Reason::NotInState, by: None, seen: None };
        return losers.iter().map(side).collect();
    };
    let inspector = Inspector::new(field, losers);
    let mut pasts: HashMap<EntryId, HashSet<EntryId>> = HashMap::new();
    let side = |(entry, held): &(Arc<Entry>, Option<&Arc<Entry>>)| {
        let (reason, by) = held.map_or_else(|| inspector.judge_lost(entry), |held| inspector.judge_held(held));
        let seen = by.map(|by| pasts.entry(by).or_insert_with(|| inspector.past(by)).contains(&entry.id));
        Side { entry: Arc::clone(entry), reason, by, seen }
    };
    let mut sides: Vec<Side> = inspector.known.values().map(side).collect();
    sides.sort_unstable_by_key(|side| Reverse((side.entry.stamp, side.entry.id)));
    sides
}

struct Inspector<'a> {
    field: FieldRef<'a>,
    sight: Sight<'a>,
    chosen: Option<Chosen<'a>>,
    counted: HashSet<EntryId>,
    unready: HashSet<EntryId>,
    /// Each with its state's form; losers have none.
    known: BTreeMap<EntryId, (Arc<Entry>, Option<&'a Arc<Entry>>)>,
    commits: HashMap<CommitId, Vec<EntryId>>,
    /// Who names an id in its kills.
    killers: HashMap<EntryId, Vec<&'a Arc<Entry>>>,
}

impl<'a> Inspector<'a> {
    fn new(field: FieldRef<'a>, losers: &[Arc<Entry>]) -> Self {
        let mut known: BTreeMap<EntryId, (Arc<Entry>, Option<&Arc<Entry>>)> =
            losers.iter().map(|loser| (loser.id, (Arc::clone(loser), None))).collect();
        for held in field.entries() {
            let (_, state) = known.entry(held.id).or_insert_with(|| (Arc::clone(held), None));
            *state = Some(held);
        }
        let chosen = field.chosen();
        let unready = match &chosen {
            Some(Chosen { lattice: Some(lattice), entries, .. }) => lattice.unready(entries).into_iter().collect(),
            _ => HashSet::new(),
        };
        let counted = field.counted().map(|entry| entry.id).collect();
        let mut commits: HashMap<CommitId, Vec<EntryId>> = HashMap::new();
        for (entry, _) in known.values() {
            commits.entry(entry.commit).or_default().push(entry.id);
        }
        let mut killers: HashMap<EntryId, Vec<&Arc<Entry>>> = HashMap::new();
        for killer in field.state.killing() {
            for id in &killer.kills {
                killers.entry(*id).or_default().push(killer);
            }
        }
        Self { field, sight: field.sight(), chosen, counted, unready, known, commits, killers }
    }

    /// The greatest entry that kills this one.
    fn killer(&self, entry: &Entry, hidden_too: bool) -> Option<EntryId> {
        let killers = self.killers.get(&entry.id).into_iter().flatten();
        killers
            .filter(|killer| killer.stamp > entry.stamp && (hidden_too || !self.field.is_hidden(killer)))
            .max_by_key(|killer| (killer.stamp, killer.id))
            .map(|killer| killer.id)
    }

    fn judge_held(&self, entry: &'a Arc<Entry>) -> (Reason, Option<EntryId>) {
        if self.field.is_hidden(entry) {
            return (Reason::Hidden, None);
        }
        if self.counted.contains(&entry.id) {
            return self.judge_counted(entry);
        }
        if entry.kind.is_null() || entry.kind.is_kill() || matches!(entry.body, Body::None) {
            return (Reason::Removal, None);
        }
        if let Some(by) = self.taken_by(entry) {
            return by;
        }
        if matches!(entry.body, Body::Dropped(_)) {
            // The kill is hidden, but the value went before it was.
            return (Reason::KilledBy, self.killer(entry, true));
        }
        (Reason::Ignored, None)
    }

    fn judge_counted(&self, entry: &Arc<Entry>) -> (Reason, Option<EntryId>) {
        let Some(chosen) = &self.chosen else { return (Reason::Ignored, None) };
        if entry.kind != chosen.source.kind {
            let rank = |entry: &Entry| (entry.stamp, entry.kind.clone(), entry.id);
            if rank(entry) > rank(chosen.latest) {
                // It would have decided which kind is shown.
                return (Reason::NotReady, None);
            }
            return (Reason::OtherKindShown, Some(chosen.latest.id));
        }
        match chosen.winner {
            _ if self.unready.contains(&entry.id) => (Reason::NotReady, None),
            Some(winner) if winner.id != entry.id => (self.lost_to(entry, winner), Some(winner.id)),
            _ => (Reason::Won, None),
        }
    }

    /// Why one entry is not shown where another one is.
    fn lost_to(&self, entry: &Entry, winner: &Entry) -> Reason {
        if !entry.kind.is_register() {
            return Reason::Outdone;
        }
        if self.field.rules().mirror {
            let origins = self.field.node.origin_times();
            let origin = |entry: &Entry| origins.get(&entry.writer).copied().unwrap_or_default();
            if origin(entry) < origin(winner) {
                return Reason::LowerOriginTime;
            }
            return if entry.stamp < winner.stamp { Reason::LowerStamp } else { Reason::LowerIdAtEqualValue };
        }
        lower_in_ham(entry, winner)
    }

    /// What takes a content entry away: an erase, a kill that is not hidden, or a cut-off.
    fn taken_by(&self, entry: &'a Entry) -> Option<(Reason, Option<EntryId>)> {
        let state = self.field.state;
        if let Some(eraser) = state.erasers(self.field.rules(), entry).next() {
            return Some((Reason::Erased, Some(eraser.id)));
        }
        if self.field.is_killed_in(&self.sight, entry) {
            return Some((Reason::KilledBy, self.killer(entry, false)));
        }
        let cut = self.field.cut_off_of(&self.sight, entry)?;
        Some((Reason::CutOffBy, Some(cut.id)))
    }

    fn judge_lost(&self, entry: &Arc<Entry>) -> (Reason, Option<EntryId>) {
        let state = self.field.state;
        if self.field.is_hidden(entry) {
            return (Reason::Hidden, None);
        }
        if let Some(eraser) = state.erasers(self.field.rules(), entry).next() {
            return (Reason::Erased, Some(eraser.id));
        }
        match &entry.slot {
            Slot::Explicit(slot) => match state.slotted(&entry.kind, slot) {
                Some(holder) if ham::compare(entry, holder).is_lt() => (lower_in_ham(entry, holder), Some(holder.id)),
                _ => (Reason::NotInState, None),
            },
            Slot::Own => match self.killer(entry, true) {
                Some(killer) => (Reason::KilledBy, Some(killer)),
                None => (Reason::NotInState, None),
            },
        }
    }

    /// What whoever wrote `seer` had seen: what it names in `over` and kills, what those name, and so on. What stands in
    /// one commit was seen by the same writer at the same time.
    fn past(&self, seer: EntryId) -> HashSet<EntryId> {
        let mut past = HashSet::new();
        let mut waiting = vec![seer];
        let mut done = HashSet::new();
        while let Some(id) = waiting.pop() {
            let Some((entry, _)) = self.known.get(&id) else { continue };
            if done.len() == MAX_COMMITS_BACK {
                break;
            }
            if !done.insert(entry.commit) {
                continue;
            }
            for mate in self.commits.get(&entry.commit).into_iter().flatten() {
                let Some((mate, _)) = self.known.get(mate) else { continue };
                for id in mate.over.iter().chain(&mate.kills) {
                    if past.insert(*id) {
                        waiting.push(*id);
                    }
                }
            }
        }
        past
    }
}

fn lower_in_ham(entry: &Entry, winner: &Entry) -> Reason {
    if entry.stamp < winner.stamp {
        return Reason::LowerStamp;
    }
    match (entry.body.value(), winner.body.value()) {
        (Some(value), Some(other)) if ham::compare_values(value, other).is_eq() => Reason::LowerIdAtEqualValue,
        _ => Reason::LowerValueAtEqualStamp,
    }
}
