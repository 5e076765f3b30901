//! Observed-remove set, add wins (Shapiro et al., "A comprehensive study of convergent and commutative replicated data
//! types", 2011): an element is in while an entry that adds it lives.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rustdht_core::{Entry, Kind, Refusal, Value, ham};

use crate::{
    Action, Content, Draft, Lattice, Planner, Shown,
    plan::{element, elements},
};

pub(super) struct Set;

/// Counted entries, by the HAM text of their element.
fn observed<'a>(planner: &Planner<'a>) -> BTreeMap<String, Vec<&'a Arc<Entry>>> {
    let mut elements: BTreeMap<String, Vec<&Arc<Entry>>> = BTreeMap::new();
    for entry in planner.counted(Kind::SET) {
        if let Some(value) = entry.body.value() {
            elements.entry(ham::text(value)).or_default().push(entry);
        }
    }
    elements
}

impl Lattice for Set {
    fn name(&self) -> &'static str {
        Kind::SET
    }

    fn accepts(&self, value: &Value) -> bool {
        !matches!(value, Value::Null)
    }

    /// Elements are the same when their HAM texts are (5 and 5.0 are one, shown as the one with the greatest entry
    /// id), and are listed in HAM order.
    fn view(&self, entries: &[&Arc<Entry>]) -> Option<Shown> {
        let mut elements: BTreeMap<Vec<u16>, (&Arc<Entry>, &Value)> = BTreeMap::new();
        for entry in entries {
            let Some(value) = entry.body.value() else { continue };
            let slot = elements.entry(ham::text(value).encode_utf16().collect()).or_insert((entry, value));
            if entry.id > slot.0.id {
                *slot = (entry, value);
            }
        }
        Some(Shown::Set(elements.into_values().map(|(_, value)| value.clone()).collect()))
    }

    /// Adds what is missing and kills what is not listed, even while another kind is shown. Where another kind would be
    /// shown although nothing is missing, the first element is stated anew.
    fn wish(&self, planner: &Planner<'_>, wish: &Content) -> Result<Vec<Draft>, Refusal> {
        let set = Kind::listed(Kind::SET);
        let wanted = elements(wish)?;
        let mut held = observed(planner);
        let mut named = BTreeSet::new();
        let mut drafts = Vec::new();
        let mut kept: Vec<&Arc<Entry>> = Vec::new();
        let mut first = None;
        for value in wanted {
            let text = ham::text(value);
            let entries = held.remove(&text);
            // An element named twice is one element.
            if !named.insert(text) {
                continue;
            }
            match entries {
                Some(entries) => {
                    kept.extend(&entries);
                    first.get_or_insert((value, entries));
                }
                None => drafts.push(planner.draft(&set).with_value(value.clone())),
            }
        }
        if let Some((value, entries)) = first
            && drafts.is_empty()
            && !planner.add_only()
            && !planner.would_show(Kind::SET, &kept)
        {
            drafts = planner.replace(&set, value.clone(), &entries);
        }
        if !planner.add_only() {
            let others: Vec<&Arc<Entry>> = held.into_values().flatten().collect();
            drafts.extend(planner.removals(&set, &others));
        }
        Ok(drafts)
    }

    /// `add` always makes an entry, which kills the entries of that element that were observed; `remove` kills them, and
    /// makes none where there are none.
    fn act(&self, planner: &Planner<'_>, action: &Action) -> Result<Vec<Draft>, Refusal> {
        let set = Kind::listed(Kind::SET);
        match action {
            Action::Add(value) => {
                let value = element(value)?;
                let known = if planner.rules().is_permanent(planner.field()) {
                    Vec::new()
                } else {
                    observed(planner).remove(&ham::text(value)).unwrap_or_default()
                };
                Ok(planner.replace(&set, value.clone(), &known))
            }
            Action::Remove(value) => {
                let known = observed(planner).remove(&ham::text(value)).unwrap_or_default();
                Ok(planner.removals(&set, &known))
            }
            other => super::no_such_operation(self, other),
        }
    }
}
