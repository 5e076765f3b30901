//! Private files in nodes: a field holds the link, ciphertext like every value, and the field `blobs` names what is linked so
//! that those who cannot read the node keep it too.

use std::time::Duration;

use cid::Cid;
use rustdht_core::{Code, Entry, Field, Refusal, Soul, Value};
use rustdht_graph::{Action, NodeState, Shown, Wanted};
use rustdht_wire::private_blob::PrivateLink;

use super::is_private;
use crate::{At, Committed, Error, Node, NodeWrite, NodeWritten, Op, Principal, RenderOptions, WriteMode, read};

/// The field of a private node in which blobs stay readable.
pub(crate) const BLOBS_FIELD: &str = "blobs";
/// How often a write is planned anew that others got in between.
const MAX_RETRIES: usize = 16;

/// Whether a value is a reference that stays in the clear in a private node: a blob in the set `blobs`. Without it a gateway
/// that holds no key would let go of the ciphertexts.
pub(super) fn is_reference(field: &str, is_set: bool, value: &Value) -> bool {
    field == BLOBS_FIELD && is_set && matches!(value, Value::Blob(_))
}

/// The blob that an opened entry names, by its CID or by a link with a key.
pub(crate) fn blob_of(entry: &Entry) -> Option<Cid> {
    match entry.body.value()? {
        Value::Blob(cid) => Some(*cid),
        value => link_of(value).map(|link| link.cid),
    }
}

fn link_of(value: &Value) -> Option<PrivateLink> {
    match value {
        Value::Text(text) if text.contains('#') => text.parse().ok(),
        _ => None,
    }
}

fn link_shown(shown: Shown) -> Option<PrivateLink> {
    match shown {
        Shown::Value(value) => link_of(&value),
        _ => None,
    }
}

fn refused<T>(code: Code, detail: &'static str, within: &str) -> Result<T, Error> {
    Err(Refusal::new(code, detail).within(within).into())
}

/// What `blobs` holds.
fn references(node: &NodeState) -> Result<Vec<Value>, Error> {
    match node.view(BLOBS_FIELD).map(|view| view.shown) {
        None => Ok(Vec::new()),
        Some(Shown::Set(elements)) => Ok(elements),
        Some(_) => refused(Code::BadKind, "field 'blobs' of a private node is the set of what it links", BLOBS_FIELD),
    }
}

/// What `field` links and no other field does.
fn only_there(node: &NodeState, field: &Field) -> Option<Cid> {
    let old = link_shown(node.view(field)?.shown)?.cid;
    let others = node.views().filter(|(name, _)| *name != field);
    let is_elsewhere = others.filter_map(|(_, view)| link_shown(view.shown)).any(|link| link.cid == old);
    (!is_elsewhere).then_some(old)
}

/// What `blobs` shall be when `field` links `new` from now on; `None`: as it is.
fn wanted_references(node: &NodeState, field: &Field, new: Cid) -> Result<Option<Wanted>, Error> {
    let before = references(node)?;
    let gone = only_there(node, field).filter(|old| *old != new).map(Value::Blob);
    let mut after: Vec<Value> = before.iter().filter(|element| Some(*element) != gone.as_ref()).cloned().collect();
    if !after.contains(&Value::Blob(new)) {
        after.push(Value::Blob(new));
    }
    Ok((after != before).then(|| Wanted::set(after)))
}

impl Node {
    /// The link that a field shows to a reader; `None`: it shows none. A node unknown here is asked for at the members.
    ///
    /// # Errors
    /// `not_authorised` when the field is ciphertext to this reader; when the store fails.
    pub async fn private_link(
        &self,
        soul: &Soul,
        field: &Field,
        reader: Principal,
    ) -> Result<Option<PrivateLink>, Error> {
        let mut node = self.visible_state(soul, reader).await?;
        if node.is_empty() {
            self.get(soul, At::Auto, RenderOptions { reader, ..RenderOptions::default() }).await?;
            node = self.visible_state(soul, reader).await?;
        }
        match node.view(field).map(|view| view.shown) {
            Some(Shown::Value(Value::Enc(_)) | Shown::Opaque { .. }) => {
                let detail =
                    "this was written for the recipients of a private node, and the reader was none of them then";
                refused(Code::NotAuthorised, detail, "field")
            }
            Some(Shown::Value(value)) => Ok(link_of(&value)),
            _ => Ok(None),
        }
    }

    /// Whether `by` can put the link of a private file into a node: it has to be private, and he one of its recipients.
    ///
    /// # Errors
    /// `not_authorised` with what to do.
    pub async fn check_private_writer(&self, soul: &Soul, by: Principal) -> Result<(), Error> {
        let state = self.state(soul).await?;
        self.check_readable(&state, &by)
    }

    fn check_readable(&self, state: &NodeState, by: &Principal) -> Result<(), Error> {
        if !is_private(state) {
            let detail = "the node is not private, so everybody would read the key of the file: set its recipients first \
                          (PUT /api/v1/recipients/{soul}; an empty list is the owner alone)";
            return refused(Code::NotAuthorised, detail, "soul");
        }
        let opener = super::opener(&self.inner.shared.keyring, state, by);
        if opener.is_none_or(|mut opener| opener.current().is_none()) {
            return refused(
                Code::NotAuthorised,
                "this node is private, and the writer is none of its recipients",
                "soul",
            );
        }
        Ok(())
    }

    /// Lets a field of a private node hold a link, and brings `blobs` in line with it. Written only while the node is private.
    ///
    /// # Errors
    /// As [`Node::check_private_writer`] and [`Node::write`]; [`Error::Overloaded`] when others write the node all the time.
    pub async fn put_private_link(
        &self,
        by: Principal,
        soul: &Soul,
        field: &Field,
        link: &PrivateLink,
        wait: Duration,
    ) -> Result<NodeWritten, Error> {
        if field.as_str() == super::FIELD || field.as_str() == BLOBS_FIELD {
            return refused(Code::BadField, "fields 'private' and 'blobs' of a private node hold no file", "field");
        }
        let render = RenderOptions { reader: by, ..RenderOptions::default() };
        for _ in 0..MAX_RETRIES {
            let state = self.state(soul).await?;
            self.check_readable(&state, &by)?;
            let node = super::open(&self.inner.shared.keyring, state, &by);
            let mut fields = vec![(field.clone(), Wanted::Value(Value::from(&*link.to_text())))];
            if let Some(references) = wanted_references(&node, field, link.cid)? {
                fields.push((BLOBS_FIELD.parse()?, references));
            }
            // Whoever makes the node readable meanwhile, or deletes it, changes the tag: the key is not written in the clear.
            let if_match = read::render(&node, RenderOptions::default()).map(|node| vec![node.etag.to_string()]);
            let soul = soul.clone();
            let write =
                NodeWrite { by, soul, mode: WriteMode::Patch, fields, if_match, if_none_match: None, wait, render };
            match self.write(write).await {
                Err(Error::PreconditionFailed(_)) => {}
                done => return done,
            }
        }
        Err(Error::Overloaded)
    }

    /// Takes a link out of a field, its values forgotten everywhere, and its ciphertext out of `blobs`.
    ///
    /// # Errors
    /// As [`Node::commit`]; `bad_value` when the field shows no link to `by`.
    pub async fn take_private_link(
        &self,
        by: Principal,
        soul: &Soul,
        field: &Field,
        wait: Duration,
    ) -> Result<Committed, Error> {
        let node = self.visible_state(soul, by).await?;
        if node.view(field).and_then(|view| link_shown(view.shown)).is_none() {
            return refused(Code::BadValue, "the field shows this writer no link to a private file", "field");
        }
        let op = |field: Field, action| Op { soul: soul.clone(), field, action };
        let mut ops = vec![op(field.clone(), Action::Delete { erase: true })];
        let gone = only_there(&node, field).map(Value::Blob);
        if let Some(gone) = gone.filter(|gone| references(&node).is_ok_and(|held| held.contains(gone))) {
            ops.push(op(BLOBS_FIELD.parse()?, Action::Remove(gone)));
        }
        self.commit(by, ops, wait).await
    }
}
