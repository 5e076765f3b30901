//! max and min: each writer has a slot of its own, and the greatest or least number of all of them is shown. Integers and
//! floats compare by what they are worth; of equal ones (5 and 5.0) the one with the greatest entry id is shown.

use std::{cmp::Ordering, sync::Arc};

use rustdht_core::{Code, Entry, Kind, Refusal, Value};

use crate::{Content, Draft, Lattice, Planner, Shown, number};

pub(super) struct Extreme {
    kind: &'static str,
    /// How a number stands to one that it outdoes.
    better: Ordering,
}

pub(super) const MAX: Extreme = Extreme { kind: Kind::MAX, better: Ordering::Greater };
pub(super) const MIN: Extreme = Extreme { kind: Kind::MIN, better: Ordering::Less };

impl Extreme {
    fn rank(&self, a: &Entry, b: &Entry) -> Ordering {
        let numbers = a.body.value().zip(b.body.value()).and_then(|(a, b)| number::compare(a, b));
        let by_number = numbers.unwrap_or(Ordering::Equal);
        let by_number = if self.better == Ordering::Greater { by_number } else { by_number.reverse() };
        by_number.then_with(|| a.id.cmp(&b.id))
    }
}

impl Lattice for Extreme {
    fn name(&self) -> &'static str {
        self.kind
    }

    fn accepts(&self, value: &Value) -> bool {
        matches!(value, Value::Int(_) | Value::Float(_))
    }

    fn winner<'a>(&self, entries: &[&'a Arc<Entry>]) -> Option<&'a Arc<Entry>> {
        entries.iter().copied().max_by(|a, b| self.rank(a, b))
    }

    fn view(&self, entries: &[&Arc<Entry>]) -> Option<Shown> {
        let value = self.winner(entries)?.body.value()?;
        Some(Shown::Wrapped(Content::Value(value.clone())))
    }

    /// Moves the own slot if the number outdoes what is there.
    fn wish(&self, planner: &Planner<'_>, wish: &Content) -> Result<Vec<Draft>, Refusal> {
        let kind = Kind::listed(self.kind);
        let Content::Value(wanted @ (Value::Int(_) | Value::Float(_))) = wish else {
            return Err(Refusal::new(Code::BadValue, format!("'@{kind}' holds a number")));
        };
        let order = match planner.own_value(&kind) {
            Some(Value::Enc(_)) => return Err(Refusal::new(Code::BadValue, "the number is ciphertext here")),
            Some(own) => number::compare(wanted, own),
            None => None,
        };
        match order {
            Some(order) if order != self.better && !planner.restates(self.kind) => Ok(Vec::new()),
            Some(Ordering::Equal) | None => Ok(vec![planner.own_slot(&kind, wanted.clone())]),
            Some(order) if order == self.better => Ok(vec![planner.own_slot(&kind, wanted.clone())]),
            // Another kind is shown: the own number is stated anew, it never falls back.
            Some(_) => {
                let own = planner.own_value(&kind).unwrap_or(wanted);
                Ok(vec![planner.own_slot(&kind, own.clone())])
            }
        }
    }
}
