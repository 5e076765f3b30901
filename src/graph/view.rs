//! What a field shows.
//!
//! ```text
//! state  ─ less what authority hides ─ less kills and cut-offs ─>  visible
//!        ─ less values that the view of their kind ignores ────>  counted  ─ of the latest kind ─>  shown
//!
//! An entry that the view has to leave out for now, because what it builds on is missing, does not make its kind the
//! latest one while another kind has something to show.
//! ```
//!
//! Space changes two things. In a permanent field only sets count, and nothing takes an element away. In mirror space
//! each gateway tells what it saw of a foreign object: a `null` cuts off its own writer's entries only, and of the
//! registers the one counts whose writer saw the latest origin, whatever the gateways' clocks say. The origin time of
//! a writer is the integer (in milliseconds) in its own register of the field `origin_time` of the same node, 0 without
//! one; then the greater stamp and the greater id decide. All of it is read from entries, so every gateway shows the
//! same.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use rustdht_core::{CertificateId, CommitId, Entry, EntryId, Field, Kind, PublicKey, Stamp, Value, Writer, ham};

use crate::{Content, FieldState, Lattice, NodeState, Rules};

/// The field of a mirror soul in which each writer says when the object that it saw was last changed, in milliseconds.
pub const ORIGIN_TIME: &str = "origin_time";

/// The content of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// A plain value.
    Value(Value),
    /// The elements of a set, in HAM order.
    Set(Vec<Value>),
    /// The sum of a counter.
    Counter(i128),
    /// What any other kind shows.
    Wrapped(Content),
    /// Entries that this gateway keeps and replicates but cannot show: an unknown kind, or ciphertext in a kind that has
    /// to compute.
    Opaque {
        /// Visible entries.
        entries: usize,
    },
}

/// What a field shows, and by whom.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldView {
    /// The kind shown.
    pub kind: Kind,
    /// The content.
    pub shown: Shown,
    /// The stamp of the entry that is shown; where all of a kind count, of the greatest.
    pub stamp: Stamp,
    /// Its author.
    pub author: PublicKey,
    /// The certificate under which it was written.
    pub leaf: Option<CertificateId>,
    /// Its commit.
    pub commit: CommitId,
    /// Its id.
    pub entry: EntryId,
}

/// A field of a node, with all that its view depends on.
#[derive(Clone, Copy, Debug)]
pub struct FieldRef<'a> {
    pub(crate) node: &'a NodeState,
    pub(crate) name: &'a Field,
    pub(crate) state: &'a FieldState,
}

/// What decides which entries of a field are visible.
pub(crate) struct Sight<'a> {
    /// Of each writer in mirror space, else the greatest of all.
    cut_offs: Vec<&'a Arc<Entry>>,
    /// Greatest stamp of the kills that are not hidden; `None`: nothing is hidden, the state knows.
    kills: Option<HashMap<EntryId, Stamp>>,
}

impl<'a> FieldRef<'a> {
    /// Every entry of the state.
    pub fn entries(self) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.state.entries()
    }

    /// The state.
    #[must_use]
    pub fn state(self) -> &'a FieldState {
        self.state
    }

    pub(crate) fn rules(self) -> Rules {
        self.node.rules()
    }

    pub(crate) fn is_permanent(self) -> bool {
        self.rules().is_permanent(self.name)
    }

    /// The entries of the state that cover the missing value of `entry`: kills or an erase.
    pub fn covers(self, entry: &'a Entry) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.state.covers(self.rules(), entry)
    }

    /// Whether authority hides it.
    #[must_use]
    pub fn is_hidden(self, entry: &Entry) -> bool {
        self.node.hidden().contains(&entry.id)
    }

    /// The field's greatest `null` entry: what it hides is deleted. In mirror space each writer has its own.
    #[must_use]
    pub fn cut_off(self) -> Option<&'a Arc<Entry>> {
        self.nulls().max_by(|a, b| ham::compare(a, b))
    }

    fn nulls(self) -> impl Iterator<Item = &'a Arc<Entry>> {
        let cutting = !self.is_permanent();
        self.entries().filter(move |entry| cutting && entry.kind.is_null() && !self.is_hidden(entry))
    }

    pub(crate) fn sight(self) -> Sight<'a> {
        let cut_offs = if self.rules().mirror { self.nulls().collect() } else { self.cut_off().into_iter().collect() };
        let kills = (!self.node.hidden().is_empty()).then(|| {
            let mut kills: HashMap<EntryId, Stamp> = HashMap::new();
            for killer in self.state.killing().filter(|killer| !self.is_hidden(killer)) {
                for id in &killer.kills {
                    let stamp = kills.entry(*id).or_default();
                    *stamp = killer.stamp.max(*stamp);
                }
            }
            kills
        });
        Sight { cut_offs, kills }
    }

    /// The `null` entry that hides `entry`.
    pub(crate) fn cut_off_of(self, sight: &Sight<'a>, entry: &Entry) -> Option<&'a Arc<Entry>> {
        let mirror = self.rules().mirror;
        let cuts = |cut: &Entry| match entry.kind.is_register() {
            true => ham::compare(entry, cut).is_lt(),
            false => entry.cut_stamp() < cut.stamp,
        };
        sight.cut_offs.iter().copied().find(|cut| (!mirror || cut.writer == entry.writer) && cuts(cut))
    }

    /// Whether a kill that is not hidden takes `entry` away.
    pub(crate) fn is_killed_in(self, sight: &Sight<'a>, entry: &Entry) -> bool {
        if !entry.slot.is_own() || entry.kind.is_kill() || self.is_permanent() {
            return false;
        }
        match &sight.kills {
            None => self.state.is_killed(entry),
            Some(kills) => kills.get(&entry.id).is_some_and(|stamp| *stamp > entry.stamp),
        }
    }

    /// Whether the entry is there to be shown, if nothing takes it away: a live value, and not of kind `null` or `kill`.
    pub(crate) fn is_content(self, entry: &Entry) -> bool {
        let content = !entry.kind.is_null() && !entry.kind.is_kill() && entry.body.value().is_some();
        content && (!self.is_permanent() || entry.kind.is_set())
    }

    /// Entries that neither authority nor the cut-off nor a kill hides, that carry a live value, and are not of kind
    /// `null` or `kill`.
    pub fn visible(self) -> impl Iterator<Item = &'a Arc<Entry>> {
        let sight = self.sight();
        self.entries().filter(move |entry| {
            self.is_content(entry)
                && !self.is_hidden(entry)
                && self.cut_off_of(&sight, entry).is_none()
                && !self.is_killed_in(&sight, entry)
        })
    }

    /// Whether the view of its kind does not ignore the value.
    pub(crate) fn is_accepted(self, entry: &Entry) -> bool {
        entry.body.value().is_some_and(|value| {
            matches!(value, Value::Enc(_)) || self.node.kinds().get(&entry.kind).is_none_or(|kind| kind.accepts(value))
        })
    }

    /// Visible entries whose value the view of their kind does not ignore.
    pub fn counted(self) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.visible().filter(move |entry| self.is_accepted(entry))
    }

    /// What the field shows: the kind of the greatest (stamp, kind name, id) among its counted entries. `None`: the
    /// field is absent.
    #[must_use]
    pub fn view(self) -> Option<FieldView> {
        let chosen = self.chosen()?;
        let Chosen { lattice, winner, source, entries, .. } = &chosen;
        let shown = match (lattice, winner) {
            (Some(lattice), Some(winner)) => lattice.view(&[winner])?,
            (Some(lattice), None) => lattice.view(entries)?,
            (None, _) => Shown::Opaque { entries: entries.len() },
        };
        Some(FieldView {
            kind: source.kind.clone(),
            shown,
            stamp: source.stamp,
            author: source.author,
            leaf: source.leaf,
            commit: source.commit,
            entry: source.id,
        })
    }

    /// Which entries are shown. A list without elements has some, too.
    pub(crate) fn chosen(self) -> Option<Chosen<'a>> {
        let mut entries: Vec<&Arc<Entry>> = self.counted().collect();
        let greatest = self.deciding(&entries)?;
        entries.retain(|entry| entry.kind == greatest.kind);
        let lattice = self.readable(&greatest.kind, &entries);
        let winner = lattice.and_then(|lattice| self.winner(lattice, &entries));
        Some(Chosen { lattice, winner, source: winner.unwrap_or(greatest), latest: greatest, entries })
    }

    /// The entry whose kind is shown: the greatest (stamp, kind name, id) of those that are ready. Readiness is worked out
    /// where it matters only: for the latest kinds of a field that has several.
    fn deciding(self, counted: &[&'a Arc<Entry>]) -> Option<&'a Arc<Entry>> {
        let latest = |entries: &[&'a Arc<Entry>]| {
            entries.iter().copied().max_by(|a, b| (a.stamp, &a.kind, a.id).cmp(&(b.stamp, &b.kind, b.id)))
        };
        let greatest = latest(counted)?;
        if counted.iter().all(|entry| entry.kind == greatest.kind) {
            return Some(greatest);
        }
        let mut ready = counted.to_vec();
        let mut judged: Vec<&Kind> = Vec::new();
        while let Some(entry) = latest(&ready) {
            if judged.contains(&&entry.kind) {
                return Some(entry);
            }
            judged.push(&entry.kind);
            let of_kind: Vec<_> = counted.iter().copied().filter(|other| other.kind == entry.kind).collect();
            let Some(lattice) = self.readable(&entry.kind, &of_kind) else { return Some(entry) };
            let unready: HashSet<EntryId> = lattice.unready(&of_kind).into_iter().collect();
            ready.retain(|entry| !unready.contains(&entry.id));
        }
        Some(greatest)
    }

    /// The kind that shows these entries; `None`: they can only be counted.
    fn readable(self, kind: &str, entries: &[&Arc<Entry>]) -> Option<&'a dyn Lattice> {
        self.node.kinds().get(kind).filter(|lattice| {
            let unreadable = |value: &Value| matches!(value, Value::Enc(_)) && !lattice.accepts(value);
            !entries.iter().any(|entry| entry.body.value().is_some_and(unreadable))
        })
    }

    fn winner(self, lattice: &dyn Lattice, entries: &[&'a Arc<Entry>]) -> Option<&'a Arc<Entry>> {
        let is_register = entries.first().is_some_and(|entry| entry.kind.is_register());
        if !self.rules().mirror || !is_register {
            return lattice.winner(entries);
        }
        let origins = self.node.origin_times();
        let origin = |entry: &Entry| origins.get(&entry.writer).copied().unwrap_or_default();
        entries.iter().copied().max_by_key(|entry| (origin(entry), entry.stamp, entry.id))
    }
}

/// The entries that a field shows.
pub(crate) struct Chosen<'a> {
    /// `None`: they can only be counted.
    pub(crate) lattice: Option<&'a dyn Lattice>,
    /// Where one entry is shown: which.
    pub(crate) winner: Option<&'a Arc<Entry>>,
    /// The entry that stands for the view.
    pub(crate) source: &'a Arc<Entry>,
    /// The entry that made its kind the one that is shown.
    pub(crate) latest: &'a Arc<Entry>,
    /// The counted entries of the kind.
    pub(crate) entries: Vec<&'a Arc<Entry>>,
}

impl NodeState {
    /// Of each writer of a mirrored object: when what it saw was last changed at its origin.
    pub(crate) fn origin_times(&self) -> HashMap<Writer, i64> {
        let registers = self.field(ORIGIN_TIME).into_iter().flat_map(FieldRef::visible);
        let time = |entry: &Arc<Entry>| match entry.body.value() {
            Some(Value::Int(time)) if entry.kind.is_register() => Some((entry.writer, *time)),
            _ => None,
        };
        registers.filter_map(time).collect()
    }

    /// Entries of kind `set` with a value, whatever kills, cuts off or hides them: what a permanent field says. In
    /// other fields a state keeps less.
    pub fn added(&self, field: &str) -> impl Iterator<Item = &Arc<Entry>> {
        let entries = self.field(field).into_iter().flat_map(FieldRef::entries);
        entries.filter(|entry| entry.kind.is_set() && entry.body.value().is_some())
    }

    /// What a field shows; `None`: it is absent.
    #[must_use]
    pub fn view(&self, field: &str) -> Option<FieldView> {
        self.field(field).and_then(FieldRef::view)
    }

    /// What each field shows, in the order of their keys; absent fields are left out.
    pub fn views(&self) -> impl Iterator<Item = (&Field, FieldView)> {
        self.fields().filter_map(|field| Some((field.name, field.view()?)))
    }

    /// Sets what authority hides: entries under a revoked certificate, or that no endorser who is not revoked vouches
    /// for. Views and plans take them as not there; joins take no notice.
    pub fn set_hidden(&mut self, hidden: HashSet<EntryId>) {
        self.hidden = hidden;
    }

    /// What authority hides.
    #[must_use]
    pub fn hidden(&self) -> &HashSet<EntryId> {
        &self.hidden
    }
}
