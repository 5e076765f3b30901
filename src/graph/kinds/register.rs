//! Register: the greatest entry in HAM order. Plain values are written by the planner itself.

use std::sync::Arc;

use rustdht_core::{Entry, Kind, Value, ham};

use crate::{Lattice, Shown};

pub(super) struct Register;

impl Lattice for Register {
    fn name(&self) -> &'static str {
        Kind::REGISTER
    }

    fn accepts(&self, value: &Value) -> bool {
        !matches!(value, Value::Null)
    }

    fn winner<'a>(&self, entries: &[&'a Arc<Entry>]) -> Option<&'a Arc<Entry>> {
        entries.iter().copied().max_by(|a, b| ham::compare(a, b))
    }

    fn view(&self, entries: &[&Arc<Entry>]) -> Option<Shown> {
        self.winner(entries)?.body.value().cloned().map(Shown::Value)
    }
}
