//! From a wish to operations: what has to be signed so that a field becomes what the writer wants.

use std::sync::Arc;

use rustdht_core::{Code, Entry, EntryId, Field, Kind, MAX_OVER, Refusal, Value, ham};

use crate::{Action, Content, Draft, NodeState, Pen, Planner, Wanted};

/// Plans an action on top of what the same commit already holds, and appends its operations to `drafts`. A second
/// change of one running total changes the operation that is there.
///
/// The answer is the index in `drafts` of the operation whose merge outcome is the action's result; `None`: nothing
/// has to change.
///
/// # Errors
/// `bad_value`, `out_of_range`, `too_large` for what the kind does not take; `not_authorised` for anything but adding
/// to a permanent field; `duplicate_operation` for a value that the deletion in the same commit would hide.
pub fn plan(
    node: &NodeState,
    pen: &Pen,
    field: &Field,
    action: &Action,
    drafts: &mut Vec<Draft>,
) -> Result<Option<usize>, Refusal> {
    let planner = Planner { node, field, pen, add_only: false, earlier: drafts };
    let made = planner.act(action)?;
    let mut answer = None;
    for draft in made {
        let total = draft.kind.is_counter() || draft.kind.is_max() || draft.kind.is_min();
        let at = if total { drafts.iter().position(|other| other.competes_with(&draft)) } else { None };
        let at = match at {
            Some(at) => {
                drafts[at] = draft;
                at
            }
            None => {
                drafts.push(draft);
                drafts.len() - 1
            }
        };
        answer.get_or_insert(at);
    }
    Ok(answer)
}

/// Makes `field` what is wanted. `import`: nothing that is there is taken away. An empty answer: nothing has to change.
///
/// # Errors
/// As [`plan`].
pub fn write(node: &NodeState, pen: &Pen, field: &Field, wanted: &Wanted, import: bool) -> Result<Vec<Draft>, Refusal> {
    Planner { node, field, pen, add_only: import, earlier: &[] }.wish(wanted)
}

/// Deletes a field: a `null` entry, plus kills of the observed own-id entries that still carry a value. With `erase`
/// a `kill` entry makes every replica forget what lies below. A permanent field is passed over.
#[must_use]
pub fn delete(node: &NodeState, pen: &Pen, field: &Field, erase: bool) -> Vec<Draft> {
    Planner { node, field, pen, add_only: false, earlier: &[] }.delete(erase)
}

fn permanent() -> Refusal {
    Refusal::new(
        Code::NotAuthorised,
        "entries of revoked, successor and members of a key's own node are permanent: elements can only be added",
    )
}

impl Planner<'_> {
    fn act(&self, action: &Action) -> Result<Vec<Draft>, Refusal> {
        let is_permanent = self.rules().is_permanent(self.field);
        match action {
            Action::Set(wanted) => self.wish(wanted),
            Action::Add(_) if is_permanent => self.kind_acts(action),
            _ if is_permanent => Err(permanent()),
            Action::Delete { erase } => Ok(self.delete(*erase)),
            _ => self.kind_acts(action),
        }
    }

    fn kind_acts(&self, action: &Action) -> Result<Vec<Draft>, Refusal> {
        let kind = action.kind().unwrap_or_else(|| Kind::listed(Kind::REGISTER));
        self.node.kinds().written(&kind)?.act(self, action)
    }

    fn wish(&self, wanted: &Wanted) -> Result<Vec<Draft>, Refusal> {
        if self.rules().is_permanent(self.field) {
            return self.permanent_wish(wanted);
        }
        match wanted {
            Wanted::Value(Value::Null) => Ok(self.delete(false)),
            Wanted::Value(value) => self.register(value).map(|draft| vec![draft]),
            Wanted::Wrapped { kind, content } => self.node.kinds().written(kind)?.wish(self, content),
        }
    }

    /// A set that holds all that is there; what is new is added.
    fn permanent_wish(&self, wanted: &Wanted) -> Result<Vec<Draft>, Refusal> {
        let Wanted::Wrapped { kind, content } = wanted else { return Err(permanent()) };
        if !kind.is_set() {
            return Err(permanent());
        }
        let made = self.node.kinds().written(kind)?.wish(self, content)?;
        if made.iter().any(|draft| draft.value.is_none()) { Err(permanent()) } else { Ok(made) }
    }

    fn register(&self, value: &Value) -> Result<Draft, Refusal> {
        // GUN's ties hold at the one stamp of a commit.
        if self.deleted_before() && ham::compare_values(value, &Value::Null).is_lt() {
            let detail = "the deletion in the same commit hides this value: set it without deleting the field";
            return Err(Refusal::new(Code::DuplicateOperation, detail));
        }
        let mut draft = self.draft(&Kind::listed(Kind::REGISTER)).with_value(value.clone());
        draft.over = self.seen();
        Ok(draft)
    }

    /// What a register or a deletion is written over: what is shown, and the registers behind it, of which several
    /// writers have one each in owned and mirror space.
    fn seen(&self) -> Vec<EntryId> {
        let Some(field) = self.state() else { return Vec::new() };
        let shown = field.chosen().map(|chosen| chosen.source);
        let mut registers: Vec<&Arc<Entry>> = field.counted().filter(|entry| entry.kind.is_register()).collect();
        registers.sort_unstable_by(|a, b| ham::compare(b, a));
        let mut seen: Vec<EntryId> = Vec::with_capacity(MAX_OVER);
        for entry in shown.into_iter().chain(registers) {
            if seen.len() < MAX_OVER && !seen.contains(&entry.id) {
                seen.push(entry.id);
            }
        }
        seen.sort_unstable();
        seen
    }

    fn delete(&self, erase: bool) -> Vec<Draft> {
        if self.rules().is_permanent(self.field) {
            return Vec::new();
        }
        let kill = Kind::listed(Kind::KILL);
        let mut drafts = self.removals(&kill, &self.removable());
        let greatest = self.entries().map(|entry| entry.cut_stamp()).max().unwrap_or_default();
        if erase {
            let mut eraser = self.draft(&kill).with_value(Value::from(Entry::ERASE));
            eraser.after = greatest;
            drafts.push(eraser);
        }
        let mut cut_off = self.draft(&Kind::listed(Kind::NULL)).with_value(Value::Null);
        cut_off.after = greatest;
        cut_off.over = self.seen();
        drafts.push(cut_off);
        drafts
    }
}

/// The elements of `{"@set":[...]}`.
pub(crate) fn elements(content: &Content) -> Result<Vec<&Value>, Refusal> {
    let Content::List(items) = content else {
        return Err(Refusal::new(Code::BadValue, "'@set' holds an array of values"));
    };
    items.iter().map(|item| item.as_value().and_then(element)).collect()
}

/// What may be an element of a set.
pub(crate) fn element(value: &Value) -> Result<&Value, Refusal> {
    match value {
        Value::Null => Err(Refusal::new(Code::BadValue, "null cannot be an element of a set")),
        value => Ok(value),
    }
}
