//! The field behind a room, as one reader sees it.

use std::sync::Arc;

use rustdht_core::{Code, Entry, Field, Kind, Refusal, Soul, Value};
use rustdht_graph::{FieldRef, NodeState, yjs::Ranges};

use super::{hidden, replica::update_of, room::View};
use crate::{Error, Node, Principal, merger::Unless, node::Inner, private};

/// The node as `reader` sees it.
pub(crate) async fn read(inner: &Arc<Inner>, soul: &Soul, reader: Principal) -> Result<NodeState, Error> {
    Node { inner: Arc::clone(inner) }.visible_state(soul, reader).await
}

/// The kind that the field shows; `None`: it is absent.
///
/// # Errors
/// When it is none that editors open.
pub(crate) fn kind_of(node: &NodeState, field: &Field) -> Result<Option<Kind>, Error> {
    let counted = node.field(field).into_iter().flat_map(FieldRef::counted);
    let shown = counted.max_by(|a, b| (a.stamp, &a.kind, a.id).cmp(&(b.stamp, &b.kind, b.id)));
    match shown.map(|entry| &entry.kind) {
        None => Ok(None),
        Some(kind) if kind.is_yjs() => Ok(Some(kind.clone())),
        Some(kind) => Err(Error::NotADocument(kind.clone())),
    }
}

/// The entries of one kind.
///
/// # Errors
/// `not_authorised` when the node is private and the reader has no key of it.
pub(crate) async fn view(
    inner: &Inner,
    node: &NodeState,
    field: &Field,
    kind: &Kind,
    reader: &Principal,
) -> Result<View, Error> {
    let is_private = private::is_private(node);
    let may_read = !is_private || private::opener(&inner.shared.keyring, node, reader).is_some();
    let counted = node.field(field).into_iter().flat_map(FieldRef::counted);
    let mut entries: Vec<Arc<Entry>> = counted.filter(|entry| entry.kind == *kind).cloned().collect();
    if !may_read || entries.iter().any(|entry| matches!(entry.body.value(), Some(Value::Enc(_)))) {
        let detail = "this node is private, and you are none of its recipients";
        return Err(Refusal::new(Code::NotAuthorised, detail).within(field).into());
    }
    entries.sort_by_key(|entry| (entry.cut_stamp(), entry.stamp, entry.id));
    let mut hidden = hidden::read(&*inner.shared.ports.store, &(node.soul().clone(), field.clone())).await?;
    hidden.extend(&out_of_sight(node, field));
    let cut = Unless::cut(node, field);
    Ok(View { entries, hidden, cut_ms: cut_ms(node, field), cut, private: is_private })
}

/// When the field was last deleted or erased.
fn cut_ms(node: &NodeState, field: &Field) -> u64 {
    let Some(field) = node.field(field) else { return 0 };
    let erases = field.entries().filter(|entry| entry.is_erase());
    erases.chain(field.cut_off()).map(|entry| entry.stamp.ms()).max().unwrap_or_default()
}

/// Elements of updates that are still in the state and not shown: cut off, killed in another's slot, or revoked.
fn out_of_sight(node: &NodeState, field: &Field) -> Ranges {
    let mut hidden = Ranges::default();
    let Some(field) = node.field(field) else { return hidden };
    let visible: std::collections::HashSet<_> = field.visible().map(|entry| entry.id).collect();
    for entry in field.entries().filter(|entry| entry.kind.is_yjs() && !visible.contains(&entry.id)) {
        if let Some(update) = update_of(entry) {
            hidden.extend(&update.structs());
        }
    }
    hidden
}

/// A value as it is kept where the node is private; `None`: `by` has no key of it.
pub(crate) fn seal(
    inner: &Inner,
    node: &NodeState,
    by: Principal,
    field: &Field,
    kind: &Kind,
    value: &Value,
) -> Option<Value> {
    let mut opener = private::opener(&inner.shared.keyring, node, &by)?;
    opener.seal(field, kind, value, &*inner.shared.ports.entropy)
}

/// What [`seal`] sealed.
pub(crate) fn open(
    inner: &Inner,
    node: &NodeState,
    by: Principal,
    field: &Field,
    kind: &Kind,
    value: &Value,
) -> Option<Value> {
    private::opener(&inner.shared.keyring, node, &by)?.open(field, kind, value)
}
