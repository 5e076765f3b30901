//! List: the fold of Yjs updates, root type `list`.

use std::sync::Arc;

use rustdht_core::{Code, Entry, EntryId, Kind, Refusal, Value};

use super::text;
use crate::{Action, Content, Draft, Lattice, Planner, Shown, yjs::write::write};

pub(super) struct List;

fn elements(content: Option<&Content>) -> Result<&[Content], Refusal> {
    match content {
        None => Ok(&[]),
        Some(Content::List(elements)) => Ok(elements),
        Some(_) => Err(Refusal::new(Code::BadValue, "a list takes an array")),
    }
}

impl Lattice for List {
    fn name(&self) -> &str {
        Kind::LIST
    }

    fn accepts(&self, value: &Value) -> bool {
        text::accepts(value)
    }

    fn view(&self, entries: &[&Arc<Entry>]) -> Option<Shown> {
        text::view(Kind::LIST, entries)
    }

    fn unready(&self, entries: &[&Arc<Entry>]) -> Vec<EntryId> {
        text::unready(entries)
    }

    /// The fewest insertions and deletions of elements. An empty list is absent: nothing states it.
    fn wish(&self, planner: &Planner<'_>, wish: &Content) -> Result<Vec<Draft>, Refusal> {
        let restate = !elements(Some(wish))?.is_empty() && planner.restates(Kind::LIST);
        write(planner, Kind::LIST, restate, |document, client| document.want_list(client, wish))
    }

    fn act(&self, planner: &Planner<'_>, action: &Action) -> Result<Vec<Draft>, Refusal> {
        let (index, delete, insert) = match action {
            Action::Insert { index, value, .. } => (*index, 0, std::slice::from_ref(value)),
            Action::Splice { index, delete, value, .. } => (*index, *delete, elements(value.as_ref())?),
            other => return super::no_such_operation(self, other),
        };
        write(planner, Kind::LIST, false, |document, client| document.splice_list(client, index, delete, insert))
    }
}
