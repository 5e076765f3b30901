//! Making a node private, sharing it with others and with fewer.

use std::collections::{BTreeSet, HashSet};

use rustdht_core::{Body, Code, CommitId, Entropy, Entry, Field, Kind, PublicKey, Refusal, Soul, Space, Stamp, Value};
use rustdht_graph::{Action, Content, Draft, NodeState, Pen, Shown, Wanted};
use rustdht_wire::limits::MAX_OPERATIONS;

use super::{FIELD, KeyId, NodeKey, Opener, Wrap, wrap, wraps};
use crate::{At, Error, Node, Principal, RenderOptions, accounts, merger::Unless, read};

/// Recipients of one node. A change of recipients has to fit into one commit, with a wrap for each.
pub const MAX_RECIPIENTS: usize = 256;
/// Commits of one change of recipients: one for the keys, one for each field that was written in the clear.
const MAX_COMMITS: usize = 4096;
/// How often fields that others write at the same time are planned anew.
const MAX_RETRIES: usize = 64;

/// Somebody who can read a private node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Whose key it is.
    pub key: PublicKey,
    /// The X25519 key under which the node's key is wrapped for him.
    pub to: [u8; 32],
    /// Whether he reads what is written now, or only what was written under an earlier key.
    pub current: bool,
}

/// What became of a change of recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedWith {
    /// Who can read the node now.
    pub recipients: Vec<Recipient>,
    /// The commits made, in order.
    pub commits: Vec<CommitId>,
    /// Fields that are still readable by everybody: written by others in a way that this writer cannot take back, or of a
    /// kind that this gateway cannot write anew.
    pub left_plain: Vec<Field>,
}

/// A recipient key: whose, and the key.
type Target = (PublicKey, [u8; 32]);

fn field() -> Result<Field, Refusal> {
    FIELD.parse()
}

fn refuse<T>(code: Code, detail: &'static str) -> Result<T, Refusal> {
    Err(Refusal::new(code, detail))
}

/// The keys under which visible values are encrypted.
fn used(state: &NodeState) -> BTreeSet<KeyId> {
    let entries = state.fields().flat_map(|field| field.visible().cloned().collect::<Vec<_>>());
    let key = |entry: std::sync::Arc<Entry>| match entry.body.value() {
        Some(Value::Enc(boxed)) => wrap::key_of(boxed),
        _ => None,
    };
    entries.filter_map(key).collect()
}

/// What brings the wraps in line with who is to read the node; nothing when they are.
fn plan_keys(
    state: &NodeState,
    pen: &Pen,
    mut opener: Option<Opener>,
    targets: &[Target],
    now: Stamp,
    entropy: &dyn Entropy,
) -> Result<Vec<Draft>, Refusal> {
    let held = wraps(state);
    let is_wanted = |wrap: &Wrap| targets.contains(&(wrap.account, wrap.to));
    let mut drafts = Vec::new();
    let current = held.iter().map(|(_, wrap)| wrap.id).max();
    let mut keys: Vec<NodeKey> = Vec::new();
    match current {
        None => keys.push(NodeKey::generate(now, entropy)),
        Some(current) => {
            let own = opener.as_mut().and_then(|opener| opener.current().cloned());
            let Some(own) = own else {
                return refuse(Code::NotAuthorised, "only who can read a private node shares it");
            };
            // Whoever has to go knows the current key: what is written from now on needs another one.
            if held.iter().any(|(_, wrap)| wrap.id == current && !is_wanted(wrap)) {
                let stamp = now.max(Stamp(current.stamp().0.saturating_add(1)));
                keys.push(NodeKey::generate(stamp, entropy));
            } else {
                keys.push(own);
            }
            let earlier = used(state).into_iter().chain([current]).collect::<BTreeSet<_>>();
            for id in earlier.into_iter().filter(|id| *id != keys[0].id).collect::<Vec<_>>() {
                keys.extend(opener.as_mut().and_then(|opener| opener.key(id).cloned()));
            }
        }
    }
    let name = field()?;
    for (entry, _) in held.iter().filter(|(_, wrap)| !is_wanted(wrap)) {
        if let Some(element) = entry.body.value() {
            rustdht_graph::plan(state, pen, &name, &Action::Remove(element.clone()), &mut drafts)?;
        }
    }
    for key in &keys {
        for (account, to) in targets {
            if held.iter().any(|(_, wrap)| wrap.id == key.id && wrap.account == *account && wrap.to == *to) {
                continue;
            }
            let Some(wrap) = Wrap::new(state.soul(), key, *account, *to, entropy) else {
                let detail = format!("the recipient key that {account} published cannot receive anything");
                return Err(Refusal::new(Code::BadKey, detail).within("recipients"));
            };
            let first = drafts.len();
            rustdht_graph::plan(state, pen, &name, &Action::Add(wrap.to_value()), &mut drafts)?;
            // A wrap is not dated behind the entry that brings it.
            drafts[first..].iter_mut().for_each(|draft| draft.after = draft.after.max(key.id.stamp()));
        }
    }
    if drafts.len() > MAX_OPERATIONS {
        let detail = "so many recipients and keys do not fit into one commit; share with fewer at a time";
        return refuse(Code::TooManyOperations, detail);
    }
    Ok(drafts)
}

fn is_plain(entry: &Entry) -> bool {
    let content = !entry.kind.is_null() && !entry.kind.is_kill() && entry.field.as_str() != FIELD;
    let hides = |value: &Value| {
        !matches!(value, Value::Enc(_)) && !super::link::is_reference(&entry.field, entry.kind.is_set(), value)
    };
    content && matches!(&entry.body, Body::Live { value, .. } if hides(value))
}

/// Fields in which something is readable by everybody, shown or not.
fn plain_fields(state: &NodeState) -> BTreeSet<Field> {
    state.entries().filter(|entry| is_plain(entry)).map(|entry| entry.field.clone()).collect()
}

/// What a field shows, as a wish; `None`: it cannot be written anew.
fn wish(shown: Shown, kind: &Kind) -> Option<Wanted> {
    let has_ciphertext = |value: &Value| matches!(value, Value::Enc(_));
    match shown {
        Shown::Value(value) => (!has_ciphertext(&value)).then_some(Wanted::Value(value)),
        Shown::Set(elements) => (!elements.iter().any(has_ciphertext)).then(|| Wanted::set(elements)),
        Shown::Counter(total) => {
            let content = Content::Value(Value::Int(i64::try_from(total).ok()?));
            Some(Wanted::Wrapped { kind: kind.clone(), content })
        }
        Shown::Wrapped(content) => Some(Wanted::Wrapped { kind: kind.clone(), content }),
        Shown::Opaque { .. } => None,
    }
}

/// Forgets what a field holds in the clear, everywhere, and writes what it shows as ciphertext, in one commit. `None`:
/// what it shows would be lost.
fn plan_encryption(
    state: &NodeState,
    pen: &Pen,
    opener: &mut Opener,
    name: &Field,
    entropy: &dyn Entropy,
) -> Result<Option<Vec<Draft>>, Refusal> {
    let node = super::opened(state, opener);
    let mut drafts = Vec::new();
    let view = node.view(name);
    let is_register = view.as_ref().is_some_and(|view| view.kind.is_register());
    let erase = Action::Delete { erase: true };
    if let Some(view) = view {
        let hidden = node.field(name).into_iter().flat_map(|field| field.counted().cloned().collect::<Vec<_>>());
        let unreadable = hidden.filter(|entry| matches!(entry.body.value(), Some(Value::Enc(_)))).count() > 0;
        let Some(wanted) = wish(view.shown, &view.kind).filter(|_| !unreadable) else { return Ok(None) };
        if is_register {
            // In HAM order many values stand below a deletion of the same commit; the erase takes the old one anyway.
            rustdht_graph::plan(&node, pen, name, &Action::Set(wanted), &mut drafts)?;
            let mut erased = Vec::new();
            rustdht_graph::plan(&node, pen, name, &erase, &mut erased)?;
            drafts.extend(erased.into_iter().filter(|draft| !draft.kind.is_null()));
        } else {
            rustdht_graph::plan(&node, pen, name, &erase, &mut drafts)?;
            rustdht_graph::plan(&node, pen, name, &Action::Set(wanted), &mut drafts)?;
        }
    } else {
        rustdht_graph::plan(&node, pen, name, &erase, &mut drafts)?;
    }
    if drafts.len() > MAX_OPERATIONS {
        let detail =
            "this field has too many elements to be made private in one commit: write it after the node is private";
        return Err(Refusal::new(Code::TooManyOperations, detail).within(name));
    }
    for draft in drafts.iter_mut().filter(|draft| super::is_readable(draft)) {
        if let Some(value) = &draft.value {
            draft.value = opener.seal(name, &draft.kind, value, entropy);
        }
    }
    Ok(Some(drafts))
}

pub(crate) fn recipients(state: &NodeState) -> Vec<Recipient> {
    let held = wraps(state);
    let current = held.iter().map(|(_, wrap)| wrap.id).max();
    let targets: BTreeSet<Target> = held.iter().map(|(_, wrap)| (wrap.account, wrap.to)).collect();
    let recipient = |(key, to): Target| {
        let holds = |wrap: &Wrap| wrap.account == key && wrap.to == to && Some(wrap.id) == current;
        Recipient { key, to, current: held.iter().any(|(_, wrap)| holds(wrap)) }
    };
    targets.into_iter().map(recipient).collect()
}

/// The entity tag of a list of recipients.
#[must_use]
pub fn recipients_tag(recipients: &[Recipient]) -> String {
    let mut hasher = blake3::Hasher::new();
    for Recipient { key, to, current } in recipients {
        hasher.update(&key.0).update(to).update(&[u8::from(*current)]);
    }
    format!("\"{}\"", hex::encode(&hasher.finalize().as_bytes()[..16]))
}

impl Node {
    /// Who can read a private node; empty: everybody, it is not private.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn recipients(&self, soul: &Soul) -> Result<Vec<Recipient>, Error> {
        Ok(recipients(&self.state(soul).await?))
    }

    /// Makes a node private, or changes who can read it: the keys named here and the writer himself. What it shows in the
    /// clear is written anew as ciphertext and forgotten everywhere. Whoever is no recipient any more cannot read what is
    /// written from now on; what he could read before he may have kept.
    ///
    /// # Errors
    /// `not_authorised` when `by` does not own the space or cannot read the node; `bad_soul` for a soul that is not below a
    /// key's own; `bad_key` for a recipient without recipient key; `too_many_operations`; as [`Node::write`].
    pub async fn set_recipients(&self, by: Principal, soul: &Soul, keys: Vec<PublicKey>) -> Result<SharedWith, Error> {
        self.set_recipients_if(by, soul, keys, None).await
    }

    /// As [`Node::set_recipients`], if the tag of the recipients ([`recipients_tag`]) is one of `if_match`, or that is `None`.
    ///
    /// # Errors
    /// As [`Node::set_recipients`]; [`Error::PreconditionFailed`], and nothing changed.
    pub async fn set_recipients_if(
        &self,
        by: Principal,
        soul: &Soul,
        keys: Vec<PublicKey>,
        if_match: Option<Vec<String>>,
    ) -> Result<SharedWith, Error> {
        let owner = self.check_sharer(&by, soul)?;
        let mut targets = Vec::new();
        for key in keys.into_iter().chain([owner]).collect::<BTreeSet<_>>() {
            targets.push((key, self.recipient_key(&key).await?));
        }
        if targets.len() > MAX_RECIPIENTS {
            let detail = format!("a node has at most {MAX_RECIPIENTS} recipients");
            return Err(Refusal::new(Code::OutOfRange, detail).within("recipients").into());
        }
        if by == Principal::Owner {
            self.publish_recipient().await?;
        }
        let _turn = self.inner.accounts.sharing.lock().await;
        let (shared, mut tried) = (&self.inner.shared, HashSet::new());
        let (mut commits, mut retries) = (Vec::new(), MAX_RETRIES);
        let mut state = self.state(soul).await?;
        while commits.len() < MAX_COMMITS {
            if commits.is_empty()
                && let Some(tags) = &if_match
            {
                let tag = recipients_tag(&recipients(&state));
                if !read::matches_any(tags, &tag) {
                    return Err(Error::PreconditionFailed(tag));
                }
            }
            let opener = super::opener(&shared.keyring, &state, &by);
            let name = field()?;
            let pen = self.pen(by, soul, &name).await?;
            let (entropy, now) = (&*shared.ports.entropy, Stamp::from_ms(shared.ports.clock.now_ms()));
            let mut drafts = plan_keys(&state, &pen, opener.clone(), &targets, now, entropy)?;
            // Between the look at the tag and the first commit nobody else may change them.
            let first = if_match.is_some() && commits.is_empty();
            let mut unless = first.then(|| Unless::WrittenAfter(Unless::written(&state, &name)));
            while drafts.is_empty() {
                let Some(name) = plain_fields(&state).into_iter().find(|name| !tried.contains(name)) else { break };
                let Some(mut opener) = opener.clone() else { break };
                tried.insert(name.clone());
                let pen = self.pen(by, soul, &name).await?;
                // It forgets what it writes anew: nothing may come in between.
                unless = Some(Unless::WrittenAfter(Unless::written(&state, &name)));
                drafts = plan_encryption(&state, &pen, &mut opener, &name, entropy)?.unwrap_or_default();
            }
            if drafts.is_empty() {
                break;
            }
            match self.submit_unless(by, drafts, Vec::new(), unless, std::time::Duration::ZERO).await {
                Ok(made) => commits.extend(made.commit),
                Err(Error::Refused(refusal)) if refusal.code == Code::Stale && retries > 0 => {
                    retries -= 1;
                    tried.clear();
                }
                Err(error) => return Err(error),
            }
            state = self.state(soul).await?;
        }
        let left_plain = plain_fields(&state).into_iter().collect();
        Ok(SharedWith { recipients: recipients(&state), commits, left_plain })
    }

    /// The key of `by` that owns the soul's space.
    fn check_sharer(&self, by: &Principal, soul: &Soul) -> Result<PublicKey, Refusal> {
        if !super::can_be_private(soul) {
            let detail = "only nodes below a key's own soul (~K/...) can be private: there nobody else adds recipients";
            return Err(Refusal::new(Code::BadSoul, detail).within("soul"));
        }
        let identity = self.identity();
        match (by, soul.space()) {
            (Principal::Account(account), Space::Owned(key)) if *account == key => Ok(key),
            (Principal::Owner, Space::Owned(key)) if key == identity.gateway || key == identity.community => {
                // The owner reads with the gateway's key, in the community's space too.
                Ok(identity.gateway)
            }
            _ => refuse(Code::NotAuthorised, "only who owns the space shares its nodes"),
        }
    }

    /// The key under which something is wrapped for `key`: known here, or published in field `x25519` of `~K`.
    async fn recipient_key(&self, key: &PublicKey) -> Result<[u8; 32], Error> {
        if let Some(to) = self.inner.shared.keyring.recipient_of(key) {
            return Ok(to);
        }
        let home = accounts::home(key)?;
        // Asks the members when it is not here.
        self.get(&home, At::Auto, RenderOptions::default()).await?;
        let view = self.state(&home).await?.view(accounts::RECIPIENT_FIELD);
        if let Some(Shown::Value(Value::Bytes(bytes))) = view.map(|view| view.shown)
            && let Ok(to) = <[u8; 32]>::try_from(&*bytes)
        {
            return Ok(to);
        }
        let detail = format!("{key} has published no recipient key (32 bytes in field 'x25519' of ~{key})");
        Err(Refusal::new(Code::BadKey, detail).within("recipients").into())
    }
}
