//! CRDT kinds. A kind is one implementation of [`Lattice`]; the join serves them all.

mod register;
mod set;

use std::sync::Arc;

use rustdht_core::{Entry, Kind, Value};

use crate::Shown;

/// What a kind shows. Laws, by property tests over random histories: equal entry sets give equal views.
pub trait Lattice: Sync {
    /// The kind's name.
    fn name(&self) -> &'static str;

    /// Whether a live value counts; the view ignores an entry whose value is not of the kind's type.
    fn accepts(&self, value: &Value) -> bool;

    /// The view of the live, visible entries whose values are accepted; at least one.
    fn view(&self, entries: &[&Arc<Entry>]) -> Shown;
}

/// The implementation of a kind, or `None` for one that is kept, replicated and shown as opaque.
#[must_use]
pub fn lattice_of(kind: &Kind) -> Option<&'static dyn Lattice> {
    const KNOWN: [&dyn Lattice; 2] = [&register::Register, &set::Set];
    KNOWN.into_iter().find(|lattice| lattice.name() == kind.as_str())
}
