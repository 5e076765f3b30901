//! Text: the fold of Yjs updates, root type `text`.

use std::sync::Arc;

use rustdht_core::{Code, Entry, EntryId, Kind, Refusal, Value};

use crate::{
    Action, Content, Draft, Lattice, Planner, Shown,
    yjs::{self, Document, write::write},
};

pub(super) struct Text;

/// A Yjs update, or the CID of one that is larger; the latter waits, since only a node could load it.
pub(super) fn accepts(value: &Value) -> bool {
    matches!(value, Value::Bytes(_) | Value::Blob(_))
}

pub(super) fn view(kind: &str, entries: &[&Arc<Entry>]) -> Option<Shown> {
    let document = Document::of(entries.iter().copied());
    if document.unready().len() == entries.len() {
        return None;
    }
    document.content(kind).map(Shown::Wrapped)
}

pub(super) fn unready(entries: &[&Arc<Entry>]) -> Vec<EntryId> {
    yjs::unready(entries.iter().copied()).into_iter().collect()
}

fn text_of(content: Option<&Content>) -> Result<&str, Refusal> {
    match content {
        None => Ok(""),
        Some(Content::Value(Value::Text(text))) => Ok(text),
        Some(_) => Err(Refusal::new(Code::BadValue, "a text takes a string")),
    }
}

impl Lattice for Text {
    fn name(&self) -> &str {
        Kind::TEXT
    }

    fn accepts(&self, value: &Value) -> bool {
        accepts(value)
    }

    fn view(&self, entries: &[&Arc<Entry>]) -> Option<Shown> {
        view(Kind::TEXT, entries)
    }

    fn unready(&self, entries: &[&Arc<Entry>]) -> Vec<EntryId> {
        unready(entries)
    }

    /// The fewest insertions and deletions. A text may be empty, so an empty one is stated too.
    fn wish(&self, planner: &Planner<'_>, wish: &Content) -> Result<Vec<Draft>, Refusal> {
        let restate = planner.restates(Kind::TEXT);
        write(planner, Kind::TEXT, restate, |document, client| document.want_text(client, wish))
    }

    fn act(&self, planner: &Planner<'_>, action: &Action) -> Result<Vec<Draft>, Refusal> {
        let (index, delete, insert) = match action {
            Action::Insert { index, value, .. } => (*index, 0, text_of(Some(value))?),
            Action::Splice { index, delete, value, .. } => (*index, *delete, text_of(value.as_ref())?),
            other => return super::no_such_operation(self, other),
        };
        write(planner, Kind::TEXT, false, |document, client| document.splice_text(client, index, delete, insert))
    }
}
