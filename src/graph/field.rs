//! The state of one field, and how an entry joins it.
//!
//! ```text
//! State(D) = { the greatest entry of each (kind, slot), by HAM order }
//!          ∪ { own-id entries not in K } ∪ { own-id entries with kills },
//!            less the entries that an erase covers
//! K        = own-id entries, not of kind `kill`, named in `kills` of an entry with a greater stamp
//! ```
//!
//! A dominated entry can never be greatest again, K only grows, and kills never touch slotted entries, so joining one
//! entry at a time gives the same state whatever the order. In owned and mirror space a kill removes nothing: it drops
//! the value when killer and killed share their writer, otherwise it only hides. In permanent fields neither kills nor
//! erases do anything.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use rustdht_core::{Body, Entry, EntryId, Kind, PublicKey, Slot, Soul, Space, Stamp, Writer, ham};

/// What the join needs to know of the space that a soul lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Owned or mirror space.
    pub writer_slots: bool,
    /// K of `~K`, whose own erase covers all authors.
    pub owner: Option<PublicKey>,
    /// Mirror space: what one gateway saw neither deletes nor outranks by its clock what another saw.
    pub mirror: bool,
    /// The soul is exactly `~K`: it has permanent fields.
    pub root: bool,
}

/// Fields of `~K` whose entries nothing touches: what was said there must not be taken back by whoever stole the key.
const PERMANENT: [&str; 3] = ["revoked", "successor", "members"];

/// Whether kills, cut-offs and erases have no effect on this field: `revoked`, `successor` and `members` of exactly `~K`.
#[must_use]
pub fn is_permanent(soul: &Soul, field: &str) -> bool {
    Rules::of(soul).is_permanent(field)
}

impl Rules {
    /// The rules of a soul.
    #[must_use]
    pub fn of(soul: &Soul) -> Self {
        let space = soul.space();
        let owner = if let Space::Owned(key) = space { Some(key) } else { None };
        let root = owner.is_some() && !soul.contains('/');
        Self { writer_slots: space.has_writer_slots(), owner, mirror: space == Space::Mirror, root }
    }

    /// As [`is_permanent`], for a field of this soul.
    #[must_use]
    pub fn is_permanent(&self, field: &str) -> bool {
        self.root && PERMANENT.contains(&field)
    }

    /// Whether `eraser` covers `entry`, both of one field. Kinds `null` and `kill` are never erased, nor is anything
    /// of a permanent field.
    #[must_use]
    pub fn erases(&self, eraser: &Entry, entry: &Entry) -> bool {
        let in_reach = !self.writer_slots || eraser.author == entry.author || Some(eraser.author) == self.owner;
        in_reach
            && !self.is_permanent(&entry.field)
            && entry.cut_stamp() < eraser.stamp
            && !entry.kind.is_null()
            && !entry.kind.is_kill()
    }
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It is part of the state now.
    Taken,
    /// It was part of the state already.
    Known,
    /// Something in the state dominates it.
    Historical,
    /// It came without its value, and nothing here covers it.
    Pending,
}

/// How the state changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Entries that joined the state.
    pub puts: Vec<Arc<Entry>>,
    /// Entries of the state whose value was dropped.
    pub rewrites: Vec<Arc<Entry>>,
    /// Entries that left the state.
    pub drops: Vec<Arc<Entry>>,
    /// Entries that lost, as they were, for the history of losers.
    pub losers: Vec<Arc<Entry>>,
    /// Erases that joined: what they cover must be forgotten outside the state too.
    pub erases: Vec<Arc<Entry>>,
}

impl Changes {
    /// Whether nothing of the state changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.rewrites.is_empty() && self.drops.is_empty()
    }
}

/// The outcome of a join and its changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// What became of the entry.
    pub merge: Merge,
    /// How the state changed.
    pub changes: Changes,
}

#[derive(Clone, Copy, Debug)]
struct Killer {
    stamp: Stamp,
    writer: Writer,
}

/// The state of one field.
#[derive(Clone, Debug, Default)]
pub struct FieldState {
    slots: BTreeMap<(Kind, Box<[u8]>), Arc<Entry>>,
    own: BTreeMap<EntryId, Arc<Entry>>,
    /// Who names an id in `kills`: the greatest stamp of each writer.
    killers: HashMap<EntryId, Vec<Killer>>,
    erases: Vec<Arc<Entry>>,
}

impl FieldState {
    /// Puts back an entry of a stored state, without joining.
    pub(crate) fn restore(&mut self, entry: Arc<Entry>) {
        self.note_kills(&entry);
        match &entry.slot {
            Slot::Explicit(slot) => {
                self.slots.insert((entry.kind.clone(), slot.clone()), entry);
            }
            Slot::Own => {
                if entry.is_erase() {
                    self.erases.push(Arc::clone(&entry));
                }
                self.own.insert(entry.id, entry);
            }
        }
    }

    /// Every entry of the state.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.slots.values().chain(self.own.values())
    }

    /// Whether the field has no entry at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.own.is_empty()
    }

    /// The entry of the state with this id, if it has an own-id slot.
    #[must_use]
    pub fn own(&self, id: &EntryId) -> Option<&Arc<Entry>> {
        self.own.get(id)
    }

    /// The entry of the state in an explicit slot.
    #[must_use]
    pub fn slotted(&self, kind: &Kind, slot: &[u8]) -> Option<&Arc<Entry>> {
        // A key cannot be borrowed by halves; the kind is shared text and a slot is short.
        self.slots.get(&(kind.clone(), slot.into()))
    }

    /// Whether an entry with a greater stamp names this one in its kills.
    pub(crate) fn is_killed(&self, entry: &Entry) -> bool {
        entry.slot.is_own() && !entry.kind.is_kill() && self.killer(entry, |_| true)
    }

    /// Own-id entries that kill.
    pub(crate) fn killing(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let some = !self.killers.is_empty();
        some.then_some(self.own.values()).into_iter().flatten().filter(|entry| !entry.kills.is_empty())
    }

    /// The erases of the state that cover `entry`.
    pub(crate) fn erasers<'a>(&'a self, rules: Rules, entry: &'a Entry) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.erases.iter().filter(move |eraser| rules.erases(eraser, entry))
    }

    /// The entries of the state that cover the missing value of `entry`: kills or an erase.
    pub fn covers<'a>(&'a self, rules: Rules, entry: &'a Entry) -> impl Iterator<Item = &'a Arc<Entry>> {
        let kills = self.own.values().filter(move |killer| {
            killer.stamp > entry.stamp
                && (!rules.writer_slots || killer.writer == entry.writer)
                && !rules.is_permanent(&entry.field)
                && killer.kills.binary_search(&entry.id).is_ok()
        });
        kills.chain(self.erasers(rules, entry))
    }

    /// Joins one entry.
    pub fn join(&mut self, rules: Rules, entry: Arc<Entry>) -> Joined {
        match entry.slot {
            Slot::Explicit(_) => self.join_slotted(rules, entry),
            Slot::Own => self.join_own(rules, entry),
        }
    }

    fn join_slotted(&mut self, rules: Rules, entry: Arc<Entry>) -> Joined {
        let Slot::Explicit(slot) = &entry.slot else { return Joined::unchanged(Merge::Historical) };
        if self.is_erased(rules, &entry) {
            return Joined::unchanged(Merge::Historical);
        }
        if matches!(entry.body, Body::Dropped(_)) {
            // Only an erase drops the value of a slotted entry, and then the entry goes too.
            return Joined::unchanged(Merge::Pending);
        }
        let key = (entry.kind.clone(), slot.clone());
        let mut changes = Changes::default();
        if let Some(held) = self.slots.get(&key) {
            match ham::compare(&entry, held) {
                Ordering::Equal => return Joined::unchanged(Merge::Known),
                Ordering::Less => {
                    changes.losers.push(entry);
                    return Joined { merge: Merge::Historical, changes };
                }
                Ordering::Greater => {
                    changes.drops.push(Arc::clone(held));
                    changes.losers.push(Arc::clone(held));
                }
            }
        }
        self.slots.insert(key, Arc::clone(&entry));
        changes.puts.push(entry);
        Joined { merge: Merge::Taken, changes }
    }

    fn join_own(&mut self, rules: Rules, entry: Arc<Entry>) -> Joined {
        if self.own.contains_key(&entry.id) {
            return Joined::unchanged(Merge::Known);
        }
        let erased = self.is_erased(rules, &entry);
        let killable = !entry.kind.is_kill() && !rules.is_permanent(&entry.field);
        let killed = killable && self.killer(&entry, |killer| !rules.writer_slots || killer.writer == entry.writer);
        let loses_value = erased || killed;
        if matches!(entry.body, Body::Dropped(_)) && !loses_value {
            return Joined::unchanged(Merge::Pending);
        }
        let stays = !entry.kills.is_empty() || (!erased && (rules.writer_slots || !killed));
        let mut changes = Changes::default();
        if !stays {
            if !erased {
                changes.losers.push(entry);
            }
            return Joined { merge: Merge::Historical, changes };
        }
        let entry = if loses_value { without_value(&entry) } else { entry };
        self.note_kills(&entry);
        self.own.insert(entry.id, Arc::clone(&entry));
        changes.puts.push(Arc::clone(&entry));
        self.apply_kills(rules, &entry, &mut changes);
        if entry.is_erase() {
            self.apply_erase(rules, &entry, &mut changes);
        }
        Joined { merge: Merge::Taken, changes }
    }

    fn apply_kills(&mut self, rules: Rules, killer: &Entry, changes: &mut Changes) {
        for id in &killer.kills {
            let Some(held) = self.own.get(id) else { continue };
            if held.stamp >= killer.stamp || held.kind.is_kill() || rules.is_permanent(&held.field) {
                continue;
            }
            let held = Arc::clone(held);
            if rules.writer_slots || !held.kills.is_empty() {
                if (!rules.writer_slots || held.writer == killer.writer) && held.body.value().is_some() {
                    self.drop_value(&held, changes);
                    changes.losers.push(held);
                }
            } else {
                self.own.remove(id);
                changes.drops.push(Arc::clone(&held));
                changes.losers.push(held);
            }
        }
    }

    fn apply_erase(&mut self, rules: Rules, eraser: &Arc<Entry>, changes: &mut Changes) {
        self.erases.push(Arc::clone(eraser));
        if rules.is_permanent(&eraser.field) {
            return;
        }
        changes.erases.push(Arc::clone(eraser));
        // What the erase covers is forgotten, so it is no loser either.
        changes.losers.retain(|loser| !rules.erases(eraser, loser));
        let covered: Vec<Arc<Entry>> = self.entries().filter(|held| rules.erases(eraser, held)).cloned().collect();
        for held in covered {
            match &held.slot {
                Slot::Explicit(slot) => {
                    self.slots.remove(&(held.kind.clone(), slot.clone()));
                    changes.drops.push(held);
                }
                Slot::Own if held.kills.is_empty() => {
                    self.own.remove(&held.id);
                    changes.rewrites.retain(|rewritten| rewritten.id != held.id);
                    changes.drops.push(held);
                }
                Slot::Own if held.body.value().is_some() => self.drop_value(&held, changes),
                Slot::Own => {}
            }
        }
    }

    fn drop_value(&mut self, held: &Arc<Entry>, changes: &mut Changes) {
        let bare = without_value(held);
        self.own.insert(bare.id, Arc::clone(&bare));
        changes.rewrites.push(bare);
    }

    fn note_kills(&mut self, killer: &Entry) {
        for id in &killer.kills {
            let known = self.killers.entry(*id).or_default();
            match known.iter_mut().find(|other| other.writer == killer.writer) {
                Some(other) => other.stamp = other.stamp.max(killer.stamp),
                None => known.push(Killer { stamp: killer.stamp, writer: killer.writer }),
            }
        }
    }

    fn killer(&self, entry: &Entry, counts: impl Fn(&Killer) -> bool) -> bool {
        self.killers
            .get(&entry.id)
            .is_some_and(|killers| killers.iter().any(|killer| killer.stamp > entry.stamp && counts(killer)))
    }

    fn is_erased(&self, rules: Rules, entry: &Entry) -> bool {
        self.erases.iter().any(|eraser| rules.erases(eraser, entry))
    }
}

impl Joined {
    fn unchanged(merge: Merge) -> Self {
        Self { merge, changes: Changes::default() }
    }
}

fn without_value(entry: &Arc<Entry>) -> Arc<Entry> {
    Arc::new(Entry { body: entry.body.dropped(), ..(**entry).clone() })
}
