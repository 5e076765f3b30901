//! Counter: each writer keeps a running total in a slot of its own, and the counter is their sum.
//!
//! A total replaces the one before it, so an entry that arrives twice counts once (a state-based PN-counter: Shapiro et
//! al., 2011, whose two totals are one signed number here, because HAM orders by stamp and not by size).

use std::sync::Arc;

use rustdht_core::{Code, Entry, Kind, Refusal, Value};

use crate::{Action, Content, Draft, Lattice, Planner, Shown};

pub(super) struct Counter;

fn sum(entries: &[&Arc<Entry>]) -> i128 {
    let total =
        |entry: &&Arc<Entry>| if let Some(Value::Int(total)) = entry.body.value() { i128::from(*total) } else { 0 };
    entries.iter().map(total).sum()
}

/// What this writer added so far; 0 again after a deletion hid it.
fn own_total(planner: &Planner<'_>) -> Result<i128, Refusal> {
    match planner.own_value(&Kind::listed(Kind::COUNTER)) {
        Some(Value::Int(total)) => Ok((*total).into()),
        Some(Value::Enc(_)) => Err(Refusal::new(Code::BadValue, "the counter's total is ciphertext here")),
        _ => Ok(0),
    }
}

fn change(planner: &Planner<'_>, by: i128) -> Result<Vec<Draft>, Refusal> {
    if by == 0 && !planner.restates(Kind::COUNTER) {
        return Ok(Vec::new());
    }
    let total = own_total(planner)?.checked_add(by).and_then(|total| i64::try_from(total).ok());
    let beyond = || Refusal::new(Code::OutOfRange, "a writer's running total is a 64-bit integer");
    Ok(vec![planner.own_slot(&Kind::listed(Kind::COUNTER), Value::Int(total.ok_or_else(beyond)?))])
}

impl Lattice for Counter {
    fn name(&self) -> &'static str {
        Kind::COUNTER
    }

    fn accepts(&self, value: &Value) -> bool {
        matches!(value, Value::Int(_))
    }

    fn view(&self, entries: &[&Arc<Entry>]) -> Option<Shown> {
        Some(Shown::Counter(sum(entries)))
    }

    /// A wished sum changes the own total by the difference: wishes on both sides of a cut add up.
    fn wish(&self, planner: &Planner<'_>, wish: &Content) -> Result<Vec<Draft>, Refusal> {
        let wanted: Option<i128> = match wish {
            Content::Value(Value::Int(number)) => Some((*number).into()),
            Content::Value(Value::Text(digits)) => parse(digits),
            _ => None,
        };
        let shape = || Refusal::new(Code::BadValue, "'@counter' holds an integer, as a decimal string or a number");
        let wanted = wanted.ok_or_else(shape)?;
        if planner.has_ciphertext(Kind::COUNTER) {
            return Err(Refusal::new(Code::BadValue, "the sum is ciphertext here: increment the counter instead"));
        }
        let counted = planner.counted(Kind::COUNTER);
        let slot = planner.pen().slot_of(&Kind::listed(Kind::COUNTER), &planner.rules());
        // The own total may have been changed by an operation before this one in the same commit.
        let others: Vec<&Arc<Entry>> = counted.into_iter().filter(|entry| Some(&entry.slot) != slot.as_ref()).collect();
        let difference = wanted.checked_sub(sum(&others) + own_total(planner)?);
        change(planner, difference.unwrap_or(i128::MAX))
    }

    fn act(&self, planner: &Planner<'_>, action: &Action) -> Result<Vec<Draft>, Refusal> {
        match action {
            Action::Increment(by) => change(planner, (*by).into()),
            other => super::no_such_operation(self, other),
        }
    }
}

/// Reads what the view prints: digits, a minus in front, no more.
fn parse(digits: &str) -> Option<i128> {
    let number: i128 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}
