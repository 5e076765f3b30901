//! Flag, enable wins: on while an entry that enables it lives. A disable kills the enables that it observed.

use std::sync::Arc;

use rustdht_core::{Code, Entry, Kind, Refusal, Value};

use crate::{Action, Content, Draft, Lattice, Planner, Shown};

pub(super) struct Flag;

fn enable(planner: &Planner<'_>) -> Vec<Draft> {
    planner.replace(&Kind::listed(Kind::FLAG), Value::Bool(true), &planner.counted(Kind::FLAG))
}

fn disable(planner: &Planner<'_>) -> Vec<Draft> {
    planner.removals(&Kind::listed(Kind::FLAG), &planner.counted(Kind::FLAG))
}

impl Lattice for Flag {
    fn name(&self) -> &'static str {
        Kind::FLAG
    }

    fn accepts(&self, value: &Value) -> bool {
        *value == Value::Bool(true)
    }

    fn view(&self, _entries: &[&Arc<Entry>]) -> Option<Shown> {
        Some(Shown::Wrapped(Content::Value(Value::Bool(true))))
    }

    fn wish(&self, planner: &Planner<'_>, wish: &Content) -> Result<Vec<Draft>, Refusal> {
        match wish {
            Content::Value(Value::Bool(true)) if planner.restates(Kind::FLAG) || planner.has_ciphertext(Kind::FLAG) => {
                Ok(enable(planner))
            }
            Content::Value(Value::Bool(true)) => Ok(Vec::new()),
            // An import takes nothing away.
            Content::Value(Value::Bool(false)) if planner.add_only() => Ok(Vec::new()),
            Content::Value(Value::Bool(false)) => Ok(disable(planner)),
            _ => Err(Refusal::new(Code::BadValue, "'@flag' holds true or false")),
        }
    }

    /// `enable` always makes an entry; `disable` makes none where nothing is enabled.
    fn act(&self, planner: &Planner<'_>, action: &Action) -> Result<Vec<Draft>, Refusal> {
        match action {
            Action::Enable => Ok(enable(planner)),
            Action::Disable => Ok(disable(planner)),
            other => super::no_such_operation(self, other),
        }
    }
}
