//! Observed-remove set, add wins (Shapiro et al., "A comprehensive study of convergent and commutative replicated data
//! types", 2011): an element is in while an entry that adds it lives.

use std::{collections::BTreeMap, sync::Arc};

use rustdht_core::{Entry, Kind, Value, ham};

use crate::{Lattice, Shown};

pub(super) struct Set;

impl Lattice for Set {
    fn name(&self) -> &'static str {
        Kind::SET
    }

    fn accepts(&self, value: &Value) -> bool {
        !matches!(value, Value::Null)
    }

    /// Elements are the same when their HAM texts are (5 and 5.0 are one, shown as the one with the greatest entry
    /// id), and are listed in HAM order.
    fn view(&self, entries: &[&Arc<Entry>]) -> Shown {
        let mut elements: BTreeMap<Vec<u16>, (&Arc<Entry>, &Value)> = BTreeMap::new();
        for entry in entries {
            let Some(value) = entry.body.value() else { continue };
            let slot = elements.entry(ham::text(value).encode_utf16().collect()).or_insert((entry, value));
            if entry.id > slot.0.id {
                *slot = (entry, value);
            }
        }
        Shown::Set(elements.into_values().map(|(_, value)| value.clone()).collect())
    }
}
