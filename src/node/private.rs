//! Private nodes: values are ciphertext under a node key that is wrapped for each recipient. Members merge them unread.
//!
//! A node is private while its field `private` holds a wrapped key that counts. Only nodes below `~K/` can be: there
//! nobody writes `private` whom K did not entitle, so nobody can slip in a key that he knows. Everything is planned
//! and shown on an opened copy of the state, for those who hold a key; joined and stored is the ciphertext.

mod file;
mod link;
mod share;
#[cfg(test)]
mod tests;
mod wrap;

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use rustdht_core::{Body, Code, Entropy, Entry, Refusal, Soul, Space, Value};
use rustdht_graph::{Draft, NodeState};
use rustdht_wire::Certificate;

pub use file::{PrivateFault, PrivateFile, encrypted};
pub(crate) use link::blob_of;
pub(crate) use share::recipients;
pub use share::{MAX_RECIPIENTS, Recipient, SharedWith, recipients_tag};
pub(crate) use wrap::{KeyId, NodeKey, RecipientSecret, Wrap};

use crate::{Principal, keys::Keyring};

/// The field that holds the wrapped keys. It is never encrypted.
pub(crate) const FIELD: &str = "private";
/// Wraps of one key for one recipient that are tried. There is one unless somebody entitled to write added others.
const MAX_TRIES: usize = 4;

/// Whether a node of this soul can be private: what lies below `~K/`. `~K` itself says who K is.
pub(crate) fn can_be_private(soul: &Soul) -> bool {
    matches!(soul.space(), Space::Owned(_)) && soul.contains('/')
}

/// Whether `field` of this soul holds the keys of a private node.
pub(crate) fn holds_keys(soul: &Soul, field: &str) -> bool {
    field == FIELD && can_be_private(soul)
}

/// Whether a certificate entitles to write the keys of private nodes: it names the field, or lets its holder issue one that
/// does. Who may merely write everything could lock out those who read the node, K among them.
pub(crate) fn entitles(certificate: &Certificate) -> bool {
    certificate.rights.delegate || certificate.fields.iter().any(|field| field.as_str() == FIELD)
}

/// Entries of `private` that were written under a certificate.
pub(crate) fn certified_keys(state: &NodeState) -> impl Iterator<Item = &Arc<Entry>> {
    let field = state.field(FIELD).filter(|_| can_be_private(state.soul()));
    field.into_iter().flat_map(rustdht_graph::FieldRef::entries).filter(|entry| entry.leaf.is_some())
}

/// The wraps that count: shown elements of `private` that are not dated behind the entry that brought them.
fn wraps(state: &NodeState) -> Vec<(Arc<Entry>, Wrap)> {
    if !can_be_private(state.soul()) {
        return Vec::new();
    }
    let Some(field) = state.field(FIELD) else { return Vec::new() };
    let elements = field.counted().filter(|entry| entry.kind.is_set());
    let read = |entry: &Arc<Entry>| {
        let wrap = Wrap::from_value(entry.body.value()?)?;
        (wrap.id.stamp() <= entry.stamp).then(|| (Arc::clone(entry), wrap))
    };
    elements.filter_map(read).collect()
}

/// Whether the node is private.
pub(crate) fn is_private(state: &NodeState) -> bool {
    !wraps(state).is_empty()
}

/// Whether PUT leaves the field alone although it does not name it: without it the values could never be read again.
pub(crate) fn is_kept(state: &NodeState, field: &str) -> bool {
    field == FIELD && is_private(state)
}

/// What one reader can open of one node.
#[derive(Clone, Debug)]
pub(crate) struct Opener {
    soul: Soul,
    current: KeyId,
    secret: RecipientSecret,
    /// The wraps for this reader, the oldest first.
    wraps: HashMap<KeyId, Vec<Wrap>>,
    keys: HashMap<KeyId, Option<NodeKey>>,
}

impl Opener {
    /// `None`: the node is not private, or holds nothing for this reader.
    fn new(wraps: Vec<(Arc<Entry>, Wrap)>, soul: &Soul, secret: RecipientSecret) -> Option<Self> {
        let to = secret.public();
        let current = wraps.iter().map(|(_, wrap)| wrap.id).max()?;
        let mut mine: Vec<(Arc<Entry>, Wrap)> = wraps.into_iter().filter(|(_, wrap)| wrap.to == to).collect();
        if mine.is_empty() {
            return None;
        }
        mine.sort_by_key(|(entry, _)| (entry.stamp, entry.id));
        let mut wraps: HashMap<KeyId, Vec<Wrap>> = HashMap::new();
        for (_, wrap) in mine {
            let known = wraps.entry(wrap.id).or_default();
            if known.len() < MAX_TRIES {
                known.push(wrap);
            }
        }
        Some(Self { soul: soul.clone(), current, secret, wraps, keys: HashMap::new() })
    }

    fn key(&mut self, id: KeyId) -> Option<&NodeKey> {
        let Self { soul, secret, wraps, keys, .. } = self;
        let open = || wraps.get(&id)?.iter().find_map(|wrap| wrap.open(soul, secret));
        keys.entry(id).or_insert_with(open).as_ref()
    }

    /// The key under which writes are encrypted now.
    pub(crate) fn current(&mut self) -> Option<&NodeKey> {
        self.key(self.current)
    }

    /// What a ciphertext of this node holds, for an entry of `field` and `kind`.
    pub(crate) fn open(&mut self, field: &str, kind: &str, value: &Value) -> Option<Value> {
        let Value::Enc(boxed) = value else { return None };
        let soul = self.soul.clone();
        let key = self.key(wrap::key_of(boxed)?)?;
        wrap::open_value(key, (&soul, field, kind), boxed)
    }

    /// The ciphertext of a value under the current key; `None`: this reader has not got that.
    pub(crate) fn seal(&mut self, field: &str, kind: &str, value: &Value, entropy: &dyn Entropy) -> Option<Value> {
        let soul = self.soul.clone();
        Some(wrap::seal_value(self.current()?, (&soul, field, kind), value, entropy))
    }

    /// An entry with its value opened, if that is ciphertext and this reader has its key.
    pub(crate) fn open_entry(&mut self, entry: &Entry) -> Option<Entry> {
        let Body::Live { value, salt } = &entry.body else { return None };
        let value = self.open(&entry.field, &entry.kind, value)?;
        Some(Entry { body: Body::Live { value, salt: *salt }, ..entry.clone() })
    }
}

/// What `reader` can open of a node; `None`: the node is not private, or he is none of its recipients.
pub(crate) fn opener(keyring: &Keyring, state: &NodeState, reader: &Principal) -> Option<Opener> {
    let wraps = wraps(state);
    if wraps.is_empty() {
        return None;
    }
    Opener::new(wraps, state.soul(), keyring.recipient_secret(reader)?)
}

fn opened(state: &NodeState, opener: &mut Opener) -> NodeState {
    let mut copy = NodeState::new(state.soul().clone());
    for entry in state.entries() {
        copy.restore(opener.open_entry(entry).map_or_else(|| Arc::clone(entry), Arc::new));
    }
    copy.set_hidden(state.hidden().clone());
    copy
}

/// The node as `reader` sees it: values that he has the key of are opened, others stay ciphertext.
pub(crate) fn open(keyring: &Keyring, state: NodeState, reader: &Principal) -> NodeState {
    match opener(keyring, &state, reader) {
        Some(mut opener) => opened(&state, &mut opener),
        None => state,
    }
}

/// As [`open`], for a state that stays where it is. `Owned`: something in it is for this reader only.
pub(crate) fn rendered_for<'a>(keyring: &Keyring, state: &'a NodeState, reader: &Principal) -> Cow<'a, NodeState> {
    match opener(keyring, state, reader) {
        Some(mut opener) => Cow::Owned(opened(state, &mut opener)),
        None => Cow::Borrowed(state),
    }
}

#[derive(Debug)]
enum Sealing {
    /// The node is not private.
    Plain,
    /// Values are encrypted.
    Under(Opener),
    /// The writer has not got the current key.
    Keyless,
}

/// A node on which a writer's operations are planned.
#[derive(Debug)]
pub(crate) struct Planning<'a> {
    node: Cow<'a, NodeState>,
    sealing: Sealing,
}

/// The node as `by` plans on it.
pub(crate) fn plan_for<'a>(keyring: &Keyring, state: &'a NodeState, by: &Principal) -> Planning<'a> {
    let wraps = wraps(state);
    if wraps.is_empty() {
        return Planning { node: Cow::Borrowed(state), sealing: Sealing::Plain };
    }
    let secret = keyring.recipient_secret(by);
    let Some(mut opener) = secret.and_then(|secret| Opener::new(wraps, state.soul(), secret)) else {
        return Planning { node: Cow::Borrowed(state), sealing: Sealing::Keyless };
    };
    let node = Cow::Owned(opened(state, &mut opener));
    let sealing = if opener.current().is_some() { Sealing::Under(opener) } else { Sealing::Keyless };
    Planning { node, sealing }
}

impl Planning<'_> {
    /// The state to plan on: what the writer can open is opened.
    pub(crate) fn node(&self) -> &NodeState {
        &self.node
    }

    /// Encrypts what a writer's own operations on this node write; drafts of other nodes are left alone.
    ///
    /// # Errors
    /// `not_authorised` when the writer is no recipient and would write something readable, or when `private` would
    /// lose an element while other fields stay: nobody could read them again.
    pub(crate) fn seal(&mut self, drafts: &mut [Draft], entropy: &dyn Entropy) -> Result<(), Refusal> {
        if !matches!(self.sealing, Sealing::Plain) {
            self.guard_keys(drafts)?;
        }
        self.seal_made(drafts, entropy)
    }

    /// As [`Planning::seal`], for drafts that this node made of itself: they may change `private`.
    ///
    /// # Errors
    /// `not_authorised` when the writer is no recipient and would write something readable.
    pub(crate) fn seal_made(&mut self, drafts: &mut [Draft], entropy: &dyn Entropy) -> Result<(), Refusal> {
        let soul = self.node.soul().clone();
        for draft in drafts.iter_mut().filter(|draft| draft.soul == soul && is_readable(draft)) {
            let Some(value) = &draft.value else { continue };
            match &mut self.sealing {
                Sealing::Plain => return Ok(()),
                Sealing::Under(opener) => draft.value = opener.seal(&draft.field, &draft.kind, value, entropy),
                Sealing::Keyless => {
                    let detail = "this node is private, and the writer is none of its recipients";
                    return Err(Refusal::new(Code::NotAuthorised, detail).within(&draft.field));
                }
            }
        }
        Ok(())
    }

    fn guard_keys(&self, drafts: &[Draft]) -> Result<(), Refusal> {
        let ours = || drafts.iter().filter(|draft| draft.soul == *self.node.soul());
        let takes_away = |draft: &&Draft| draft.field.as_str() == FIELD && !draft.kills.is_empty();
        let cut = |field: &str| ours().any(|draft| draft.field.as_str() == field && draft.kind.is_null());
        let writes = || ours().any(is_readable);
        if (cut(FIELD) || ours().any(|draft| takes_away(&draft)))
            && (writes() || !self.node.views().all(|(field, _)| cut(field)))
        {
            let detail = "field 'private' holds the keys of this node: share the node with others or with fewer \
                          instead, or delete the whole node";
            return Err(Refusal::new(Code::NotAuthorised, detail).within(FIELD));
        }
        Ok(())
    }
}

/// Whether a draft carries a value that is to be encrypted.
fn is_readable(draft: &Draft) -> bool {
    let content = !draft.kind.is_null() && !draft.kind.is_kill() && draft.field.as_str() != FIELD;
    let hides = |value: &Value| {
        !matches!(value, Value::Enc(_)) && !link::is_reference(&draft.field, draft.kind.is_set(), value)
    };
    content && draft.value.as_ref().is_some_and(hides)
}
