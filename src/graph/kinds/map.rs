//! Map: the fold of Yjs updates, root type `map`.

use std::sync::Arc;

use rustdht_core::{Entry, EntryId, Kind, Refusal, Value};

use super::text;
use crate::{Action, Content, Draft, Lattice, Planner, Shown, yjs::write::write};

pub(super) struct Map;

impl Lattice for Map {
    fn name(&self) -> &str {
        Kind::MAP
    }

    fn accepts(&self, value: &Value) -> bool {
        text::accepts(value)
    }

    fn view(&self, entries: &[&Arc<Entry>]) -> Option<Shown> {
        text::view(Kind::MAP, entries)
    }

    fn unready(&self, entries: &[&Arc<Entry>]) -> Vec<EntryId> {
        text::unready(entries)
    }

    /// Sets the keys whose values differ and, unless it is an import, removes those that are not named. An empty map is
    /// absent: nothing states it.
    fn wish(&self, planner: &Planner<'_>, wish: &Content) -> Result<Vec<Draft>, Refusal> {
        let empty = matches!(wish, Content::Map(keys) if keys.is_empty());
        let restate = !empty && planner.restates(Kind::MAP);
        let add_only = planner.add_only();
        write(planner, Kind::MAP, restate, |document, client| document.want_map(client, wish, add_only))
    }

    fn act(&self, planner: &Planner<'_>, action: &Action) -> Result<Vec<Draft>, Refusal> {
        let (key, value) = match action {
            Action::SetKey { key, value, .. } => (key, Some(value)),
            Action::RemoveKey { key, .. } => (key, None),
            other => return super::no_such_operation(self, other),
        };
        write(planner, Kind::MAP, false, |document, client| document.set_key(client, key, value))
    }
}
