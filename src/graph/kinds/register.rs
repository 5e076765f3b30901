//! Register: the greatest entry in HAM order.

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

    fn view(&self, entries: &[&Arc<Entry>]) -> Shown {
        let greatest = entries.iter().max_by(|a, b| ham::compare(a, b));
        let value = greatest.and_then(|entry| entry.body.value()).cloned();
        Shown::Value(value.unwrap_or(Value::Null))
    }
}
