//! CRDT kinds. A kind is one implementation of [`Lattice`]; the join serves them all.

mod counter;
mod extreme;
mod flag;
mod list;
mod map;
mod register;
mod set;
mod text;

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use rustdht_core::{Code, Entry, EntryId, Kind, Refusal, Value};

use crate::{Action, Content, Draft, Planner, Shown};

/// One CRDT kind: what it shows, and which operations a wish or an action becomes. The join needs nothing of it, so a
/// gateway that lacks a kind keeps and replicates its entries all the same.
///
/// Laws, by property tests over random histories: equal entry sets give equal views, in whatever order the entries
/// stand; and entries made here have the slots that the space allows ([`Planner::draft`] sees to it).
pub trait Lattice: Send + Sync {
    /// The kind's name.
    fn name(&self) -> &str;

    /// Whether a live value counts; the view ignores an entry whose value is not of the kind's type. A kind that shows
    /// ciphertext as it is accepts [`Value::Enc`] too; any other is shown as opaque where there is some.
    fn accepts(&self, value: &Value) -> bool;

    /// The view of the live, visible entries whose values are accepted; at least one, in no particular order. `None`:
    /// there is nothing to show.
    fn view(&self, entries: &[&Arc<Entry>]) -> Option<Shown>;

    /// Where one entry is shown and the others are not: which. The view is then made of it alone. `None`: all count.
    fn winner<'a>(&self, entries: &[&'a Arc<Entry>]) -> Option<&'a Arc<Entry>> {
        let _ = entries;
        None
    }

    /// Entries that the view has to leave out, because what they build on is missing.
    fn unready(&self, entries: &[&Arc<Entry>]) -> Vec<EntryId> {
        let _ = entries;
        Vec::new()
    }

    /// The operations that make the view what `{"@name": wish}` says. None: nothing has to change.
    ///
    /// # Errors
    /// `bad_value`, `out_of_range`, `too_large` for what the kind does not take.
    fn wish(&self, planner: &Planner<'_>, wish: &Content) -> Result<Vec<Draft>, Refusal> {
        let _ = (planner, wish);
        Err(Refusal::new(Code::BadValue, format!("'@{}' cannot be written", self.name())))
    }

    /// The operations that an action becomes; the first is the one that it is answered with. None: nothing changes.
    ///
    /// # Errors
    /// As [`Lattice::wish`]; `bad_value` for an action that the kind does not know.
    fn act(&self, planner: &Planner<'_>, action: &Action) -> Result<Vec<Draft>, Refusal> {
        let _ = planner;
        no_such_operation(self, action)
    }
}

fn no_such_operation<T>(kind: &(impl Lattice + ?Sized), action: &Action) -> Result<T, Refusal> {
    Err(Refusal::new(Code::BadValue, format!("kind '{}' has no operation '{}'", kind.name(), action.name())))
}

/// The kinds that a gateway shows and writes; all others are kept, replicated and shown as opaque.
#[derive(Clone)]
pub struct Kinds(Vec<Arc<dyn Lattice>>);

impl Kinds {
    /// The kinds of v 1. Shared: every call gives the same.
    #[must_use]
    pub fn builtin() -> Arc<Self> {
        static BUILTIN: LazyLock<Arc<Kinds>> = LazyLock::new(|| {
            Arc::new(Kinds(vec![
                Arc::new(register::Register),
                Arc::new(set::Set),
                Arc::new(counter::Counter),
                Arc::new(flag::Flag),
                Arc::new(extreme::MAX),
                Arc::new(extreme::MIN),
                Arc::new(text::Text),
                Arc::new(list::List),
                Arc::new(map::Map),
            ]))
        });
        Arc::clone(&BUILTIN)
    }

    /// These kinds and one more; it takes the place of one with the same name.
    #[must_use]
    pub fn with(&self, kind: Arc<dyn Lattice>) -> Self {
        let others = self.0.iter().filter(|known| known.name() != kind.name()).cloned();
        let mut kinds: Vec<_> = others.collect();
        kinds.push(kind);
        Self(kinds)
    }

    /// The implementation of a kind.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&dyn Lattice> {
        // A dozen names, the frequent ones first.
        self.0.iter().find(|lattice| lattice.name() == kind).map(|lattice| &**lattice)
    }

    /// The names of the kinds.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|lattice| lattice.name())
    }

    /// The implementation of a kind that is to be written.
    pub(crate) fn written(&self, kind: &Kind) -> Result<&dyn Lattice, Refusal> {
        self.get(kind).ok_or_else(|| {
            let known: Vec<_> = self.names().collect();
            Refusal::new(Code::BadValue, format!("'{kind}' is no kind that can be written here: {}", known.join(", ")))
        })
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
