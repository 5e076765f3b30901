//! The state of one node: its fields.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use rustdht_core::{Entry, EntryId, Field, Soul, Stamp};

use crate::{FieldRef, FieldState, Joined, Kinds, Rules};

/// What a field takes beside its entries: the first node of each of its maps, and its key.
const FIELD_BYTES: usize = 768;

/// Every entry of one soul that belongs to the state.
#[derive(Clone, Debug)]
pub struct NodeState {
    soul: Soul,
    rules: Rules,
    fields: BTreeMap<Field, FieldState>,
    kinds: Arc<Kinds>,
    pub(crate) hidden: HashSet<EntryId>,
    weight: usize,
}

impl NodeState {
    /// A node without entries that shows the built-in kinds.
    #[must_use]
    pub fn new(soul: Soul) -> Self {
        Self::with_kinds(soul, Kinds::builtin())
    }

    /// A node without entries that shows these kinds.
    #[must_use]
    pub fn with_kinds(soul: Soul, kinds: Arc<Kinds>) -> Self {
        let rules = Rules::of(&soul);
        Self { soul, rules, fields: BTreeMap::new(), kinds, hidden: HashSet::new(), weight: 256 }
    }

    /// Puts back an entry of a stored state, without joining.
    pub fn restore(&mut self, entry: Arc<Entry>) {
        self.weight += entry.weight();
        match self.fields.get_mut(&*entry.field) {
            Some(field) => field.restore(entry),
            None => self.fields.entry(entry.field.clone()).or_default().restore(entry),
        }
    }

    /// Joins one entry of this soul.
    pub fn join(&mut self, entry: Arc<Entry>) -> Joined {
        debug_assert_eq!(self.soul, entry.soul, "an entry joins the node it names");
        let field = match self.fields.get_mut(&*entry.field) {
            Some(field) => field,
            None => self.fields.entry(entry.field.clone()).or_default(),
        };
        let name = entry.field.clone();
        let joined = field.join(self.rules, entry);
        if field.is_empty() {
            self.fields.remove(&name);
        }
        let changes = &joined.changes;
        let weigh = |entries: &[Arc<Entry>]| entries.iter().map(|entry| entry.weight()).sum::<usize>();
        self.weight = (self.weight + weigh(&changes.puts)).saturating_sub(weigh(&changes.drops));
        joined
    }

    /// The soul.
    #[must_use]
    pub fn soul(&self) -> &Soul {
        &self.soul
    }

    /// The rules of its space.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// The kinds that it shows.
    #[must_use]
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// A field that has entries.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<FieldRef<'_>> {
        self.fields.get_key_value(name).map(|(name, state)| FieldRef { node: self, name, state })
    }

    /// Every field with an entry, in the order of their keys.
    pub fn fields(&self) -> impl Iterator<Item = FieldRef<'_>> {
        self.fields.iter().map(|(name, state)| FieldRef { node: self, name, state })
    }

    /// Every entry.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.fields.values().flat_map(FieldState::entries)
    }

    /// Every field with an entry, shown or not.
    #[must_use]
    pub fn field_names(&self) -> BTreeSet<Field> {
        self.fields.keys().cloned().collect()
    }

    /// The greatest stamp of any entry.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.entries().map(|entry| entry.stamp).max().unwrap_or_default()
    }

    /// A rough size in memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight + self.fields.len() * FIELD_BYTES + self.hidden.capacity() * 2 * size_of::<EntryId>()
    }

    /// Whether no entry is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}
