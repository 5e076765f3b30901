//! Who else is here: y-protocols' awareness. Each client has a state (JSON, null when it is gone) under a clock that it
//! alone raises; a state that is not renewed ends.
//!
//! Two things are added to the protocol. A state says who its client is: `user.id` and `user.name` are set here, from
//! what the door knows of the editor, so nobody passes for another. And a state belongs to whoever it came from, so nobody
//! speaks for another's client: others may only take it over with a newer clock for the same user, as an editor does
//! that connects anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rustdht_core::PublicKey;
use serde_json::Value;

use super::{
    EditorId, UserTag,
    lib0::{self, Malformed, Reader},
    limits::{AWARENESS_MEMORY_MS, AWARENESS_TIMEOUT_MS, MAX_AWARENESS_BYTES, MAX_STATE_BYTES, MAX_STATES},
};

/// Where a state came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An editor here.
    Editor(EditorId),
    /// An editor at another gateway.
    Gateway(PublicKey),
}

#[derive(Debug)]
struct Known {
    clock: u64,
    /// `None`: the client is gone.
    json: Option<Arc<str>>,
    /// Its `user.id`.
    user: Box<str>,
    seen_ms: u64,
    origin: Origin,
}

/// The states of one document.
#[derive(Debug, Default)]
pub(crate) struct Awareness {
    clients: BTreeMap<u64, Known>,
}

/// What an update did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Clients whose state changed or was renewed.
    pub(crate) changed: BTreeSet<u64>,
    /// Clients that ended here with a clock that the sender has not passed: told so, its client announces itself again
    /// at once instead of at its next renewal.
    pub(crate) ended: BTreeSet<u64>,
}

/// The greatest size of an update in bytes: every state that is kept, each as large as it may be.
const MAX_UPDATE_BYTES: usize = MAX_STATES * (MAX_STATE_BYTES + 32);

/// The state with the user set, and the user's id. `None`: not an object, or too large.
fn pinned(json: &str, user: &UserTag) -> Option<Arc<str>> {
    if json.len() > MAX_STATE_BYTES {
        return None;
    }
    let mut state: Value = serde_json::from_str(json).ok()?;
    let members = state.as_object_mut()?;
    let who = members.entry("user").or_insert_with(|| Value::Object(serde_json::Map::new()));
    if !who.is_object() {
        *who = Value::Object(serde_json::Map::new());
    }
    let who = who.as_object_mut()?;
    who.insert("id".into(), Value::from(&*user.id));
    who.insert("name".into(), Value::from(&*user.name));
    let text = serde_json::to_string(&state).ok()?;
    (text.len() <= MAX_STATE_BYTES).then(|| text.into())
}

/// The `user.id` of a state that another gateway pinned. `None`: it did not.
fn user_of(json: &str) -> Option<Box<str>> {
    let state: Value = serde_json::from_str(json).ok()?;
    Some(state.get("user")?.get("id")?.as_str()?.into())
}

/// Reads an update: client, clock, JSON text.
fn read(update: &[u8]) -> Result<Vec<(u64, u64, &str)>, Malformed> {
    if update.len() > MAX_UPDATE_BYTES {
        return Err(Malformed);
    }
    let mut reader = Reader::new(update);
    let count = reader.uint()?;
    let mut states = Vec::new();
    for _ in 0..count {
        states.push((reader.uint()?, reader.uint()?, reader.text()?));
    }
    if reader.is_empty() { Ok(states) } else { Err(Malformed) }
}

impl Awareness {
    /// Takes the states that an editor sent. Those of clients that belong to others change nothing: the stock client
    /// sends on what it hears.
    pub(crate) fn editor_says(
        &mut self,
        editor: EditorId,
        user: &UserTag,
        update: &[u8],
        now_ms: u64,
    ) -> Result<Applied, Malformed> {
        let mut applied = Applied::default();
        for (client, clock, json) in read(update)? {
            let state = if json == "null" {
                None
            } else {
                match pinned(json, user) {
                    Some(state) => Some(state),
                    None => continue,
                }
            };
            let from = Origin::Editor(editor);
            if self.take(client, clock, state, user.id.as_str().into(), from, now_ms) {
                applied.changed.insert(client);
            } else if json != "null"
                && let Some(known) = self.clients.get(&client)
                && known.json.is_none()
                && known.clock >= clock
            {
                applied.ended.insert(client);
            }
        }
        Ok(applied)
    }

    /// Takes the states of editors at another gateway, which pinned who they are.
    pub(crate) fn gateway_says(
        &mut self,
        gateway: PublicKey,
        update: &[u8],
        now_ms: u64,
    ) -> Result<BTreeSet<u64>, Malformed> {
        let mut changed = BTreeSet::new();
        for (client, clock, json) in read(update)? {
            let from = Origin::Gateway(gateway);
            let taken = if json == "null" {
                self.take(client, clock, None, Box::default(), from, now_ms)
            } else if json.len() <= MAX_STATE_BYTES
                && let Some(user) = user_of(json)
            {
                self.take(client, clock, Some(json.into()), user, from, now_ms)
            } else {
                false
            };
            if taken {
                changed.insert(client);
            }
        }
        Ok(changed)
    }

    fn take(
        &mut self,
        client: u64,
        clock: u64,
        json: Option<Arc<str>>,
        user: Box<str>,
        origin: Origin,
        now_ms: u64,
    ) -> bool {
        let Some(known) = self.clients.get_mut(&client) else {
            if json.is_none() || self.clients.len() >= MAX_STATES {
                return false;
            }
            self.clients.insert(client, Known { clock, json, user, seen_ms: now_ms, origin });
            return true;
        };
        let newer = clock > known.clock || (clock == known.clock && json.is_none() && known.json.is_some());
        let may = known.origin == origin || (json.is_some() && (known.json.is_none() || known.user == user));
        if !newer || !may {
            return false;
        }
        let user = if json.is_some() { user } else { std::mem::take(&mut known.user) };
        *known = Known { clock, json, user, seen_ms: now_ms, origin };
        true
    }

    /// An editor went: its clients end. The clock stays, as y-protocols has it: the client itself raises it when it
    /// comes back.
    pub(crate) fn leave(&mut self, editor: EditorId, now_ms: u64) -> BTreeSet<u64> {
        self.end(now_ms, |known| known.origin == Origin::Editor(editor))
    }

    /// Ends what was not renewed, and forgets what ended long ago.
    pub(crate) fn expire(&mut self, now_ms: u64) -> BTreeSet<u64> {
        let ended = self.end(now_ms, |known| known.seen_ms.saturating_add(AWARENESS_TIMEOUT_MS) <= now_ms);
        self.clients
            .retain(|_, known| known.json.is_some() || known.seen_ms.saturating_add(AWARENESS_MEMORY_MS) > now_ms);
        ended
    }

    fn end(&mut self, now_ms: u64, which: impl Fn(&Known) -> bool) -> BTreeSet<u64> {
        let mut ended = BTreeSet::new();
        for (client, known) in &mut self.clients {
            if known.json.is_some() && which(known) {
                known.json = None;
                known.seen_ms = now_ms;
                ended.insert(*client);
            }
        }
        ended
    }

    /// Whether any client is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.clients.values().all(|known| known.json.is_none())
    }

    /// Every client that is here.
    pub(crate) fn present(&self) -> BTreeSet<u64> {
        self.clients.iter().filter(|(_, known)| known.json.is_some()).map(|(client, _)| *client).collect()
    }

    /// Those of `clients` that belong to editors here.
    pub(crate) fn own(&self, clients: &BTreeSet<u64>) -> BTreeSet<u64> {
        let own =
            |client: &&u64| self.clients.get(client).is_some_and(|known| matches!(known.origin, Origin::Editor(_)));
        clients.iter().filter(own).copied().collect()
    }

    fn push(out: &mut Vec<u8>, client: u64, known: &Known) {
        lib0::uint(out, client);
        lib0::uint(out, known.clock);
        lib0::bytes(out, known.json.as_deref().unwrap_or("null").as_bytes());
    }

    /// An update with the states of these clients.
    pub(crate) fn encode(&self, clients: &BTreeSet<u64>) -> Vec<u8> {
        let known: Vec<_> = clients.iter().filter_map(|client| Some((*client, self.clients.get(client)?))).collect();
        let mut out = Vec::new();
        lib0::uint(&mut out, known.len() as u64);
        known.into_iter().for_each(|(client, known)| Self::push(&mut out, client, known));
        out
    }

    /// The same as updates that fit into messages to other gateways.
    pub(crate) fn encode_parts(&self, clients: &BTreeSet<u64>) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        let mut part = BTreeSet::new();
        let mut bytes = 0;
        for client in clients {
            let Some(known) = self.clients.get(client) else { continue };
            let more = known.json.as_ref().map_or(4, |json| json.len()) + 24;
            if bytes + more > MAX_AWARENESS_BYTES && !part.is_empty() {
                parts.push(self.encode(&std::mem::take(&mut part)));
                bytes = 0;
            }
            bytes += more;
            part.insert(*client);
        }
        if !part.is_empty() {
            parts.push(self.encode(&part));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: EditorId = EditorId(1);
    const B: EditorId = EditorId(2);
    const FAR: PublicKey = PublicKey([7; 32]);

    fn tag(id: &str) -> UserTag {
        UserTag { id: id.into(), name: format!("{id}'s name") }
    }

    fn update(states: &[(u64, u64, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        lib0::uint(&mut out, states.len() as u64);
        for (client, clock, json) in states {
            lib0::uint(&mut out, *client);
            lib0::uint(&mut out, *clock);
            lib0::bytes(&mut out, json.as_bytes());
        }
        out
    }

    fn only(client: u64) -> BTreeSet<u64> {
        BTreeSet::from([client])
    }

    fn shown(awareness: &Awareness, client: u64) -> String {
        let encoded = awareness.encode(&only(client));
        read(&encoded).unwrap().first().map_or(String::new(), |(_, _, json)| (*json).to_owned())
    }

    #[test]
    fn the_user_is_set_and_the_rest_is_left() {
        let mut awareness = Awareness::default();
        let sent = update(&[
            (1, 1, r#"{"cursor":{"anchor":4},"user":{"name":"root","id":"0","color":"red"}}"#),
            (2, 1, r#"{"user":"root"}"#),
            (3, 1, "{}"),
            (4, 1, "\"text\""),
            (5, 1, "[1]"),
        ]);
        let applied = awareness.editor_says(A, &tag("ada"), &sent, 0).unwrap();
        assert_eq!(applied.changed, BTreeSet::from([1, 2, 3]));
        let user = r#""user":{"color":"red","id":"ada","name":"ada's name"}}"#;
        assert_eq!(shown(&awareness, 1), format!(r#"{{"cursor":{{"anchor":4}},{user}"#));
        for client in [2, 3] {
            assert_eq!(shown(&awareness, client), r#"{"user":{"id":"ada","name":"ada's name"}}"#);
        }
    }

    #[test]
    fn an_older_or_equal_clock_changes_nothing() {
        let mut awareness = Awareness::default();
        awareness.editor_says(A, &tag("ada"), &update(&[(1, 5, r#"{"x":1}"#)]), 0).unwrap();
        for clock in [4, 5] {
            let applied = awareness.editor_says(A, &tag("ada"), &update(&[(1, clock, r#"{"x":2}"#)]), 0).unwrap();
            assert_eq!(applied, Applied::default());
        }
        assert!(shown(&awareness, 1).contains("\"x\":1"));
        let applied = awareness.editor_says(A, &tag("ada"), &update(&[(1, 5, "null")]), 0).unwrap();
        assert_eq!(applied.changed, only(1), "an equal clock ends a state");
        assert!(awareness.is_empty());
    }

    #[test]
    fn nobody_speaks_for_the_client_of_another_user() {
        let mut awareness = Awareness::default();
        awareness.editor_says(A, &tag("ada"), &update(&[(1, 1, "{}")]), 0).unwrap();
        for json in ["{}", "null"] {
            let forged = update(&[(1, 9, json)]);
            assert_eq!(awareness.editor_says(B, &tag("eve"), &forged, 0).unwrap(), Applied::default());
            assert!(awareness.gateway_says(FAR, &forged, 0).unwrap().is_empty());
        }
        let far = update(&[(1, 9, r#"{"user":{"id":"eve"}}"#)]);
        assert!(awareness.gateway_says(FAR, &far, 0).unwrap().is_empty());
        // The same user, connected anew before the old connection was seen to be gone.
        let again = awareness.editor_says(B, &tag("ada"), &update(&[(1, 2, "{}")]), 0).unwrap();
        assert_eq!(again.changed, only(1));
        assert!(awareness.leave(A, 0).is_empty(), "the old connection ends nothing");
        assert_eq!(awareness.leave(B, 0), only(1));
    }

    #[test]
    fn a_client_that_comes_back_is_told_to_announce_itself() {
        let mut awareness = Awareness::default();
        let state = update(&[(1, 3, "{}")]);
        awareness.editor_says(A, &tag("ada"), &state, 0).unwrap();
        awareness.leave(A, 0);
        let applied = awareness.editor_says(B, &tag("ada"), &state, 0).unwrap();
        assert_eq!((applied.changed, applied.ended), (BTreeSet::new(), only(1)));
        // The stock client then raises its clock over what it was told.
        let applied = awareness.editor_says(B, &tag("ada"), &update(&[(1, 4, "{}")]), 0).unwrap();
        assert_eq!(applied.changed, only(1));
    }

    #[test]
    fn states_end_when_they_are_not_renewed() {
        let mut awareness = Awareness::default();
        let far = r#"{"user":{"id":"ada"}}"#;
        awareness.gateway_says(FAR, &update(&[(1, 1, far), (2, 1, "{}")]), 0).unwrap();
        assert_eq!(awareness.present(), only(1), "an unpinned state of another gateway is not taken");
        assert!(awareness.expire(AWARENESS_TIMEOUT_MS - 1).is_empty());
        awareness.gateway_says(FAR, &update(&[(1, 2, far)]), AWARENESS_TIMEOUT_MS - 1).unwrap();
        assert!(awareness.expire(AWARENESS_TIMEOUT_MS).is_empty(), "it was renewed");
        assert_eq!(awareness.expire(3 * AWARENESS_TIMEOUT_MS), only(1));
        assert_eq!(shown(&awareness, 1), "null");
        assert!(awareness.gateway_says(FAR, &update(&[(1, 2, far)]), 0).unwrap().is_empty(), "its clock is remembered");
        awareness.expire(3 * AWARENESS_TIMEOUT_MS + AWARENESS_MEMORY_MS);
        assert!(awareness.clients.is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut awareness = Awareness::default();
        let states: Vec<_> = (0..MAX_STATES as u64 + 5).map(|client| (client, 1, "{}")).collect();
        awareness.editor_says(A, &tag("ada"), &update(&states), 0).unwrap();
        assert_eq!(awareness.present().len(), MAX_STATES);
        let large = format!("{{\"x\":\"{}\"}}", "x".repeat(MAX_STATE_BYTES));
        let applied = awareness.editor_says(A, &tag("ada"), &update(&[(0, 2, &large)]), 0).unwrap();
        assert_eq!(applied, Applied::default());
        let parts = awareness.encode_parts(&awareness.present());
        assert!(parts.iter().all(|part| part.len() <= MAX_AWARENESS_BYTES));
        assert_eq!(parts.iter().map(|part| read(part).unwrap().len()).sum::<usize>(), MAX_STATES);
    }

    #[test]
    fn only_clients_of_editors_here_are_own() {
        let mut awareness = Awareness::default();
        awareness.editor_says(A, &tag("ada"), &update(&[(1, 1, "{}")]), 0).unwrap();
        awareness.gateway_says(FAR, &update(&[(2, 1, r#"{"user":{"id":"bob"}}"#)]), 0).unwrap();
        assert_eq!(awareness.own(&awareness.present()), only(1));
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut awareness = Awareness::default();
            let _ = awareness.editor_says(A, &tag("ada"), &noise, 0);
            let _ = awareness.gateway_says(FAR, &noise, 0);
        }
    }
}
