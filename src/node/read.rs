//! Reading nodes.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    sync::Arc,
};

use rustdht_core::{
    Entry, Field, Soul, Space, json,
    ports::{Loser, ReplicaId},
};
use rustdht_graph::NodeState;

use crate::{At, Error, Node, Principal, RenderOptions, Rendered, explain, ingest, private};

/// Whom what members answered counts for, where their envelopes wait.
const ASKED: &str = "asked";
/// Losers of one field that `?meta=true` shows.
const LOSERS_SHOWN: u32 = 8;

/// Renders what a node shows; `None` when it shows nothing.
pub(crate) fn render(state: &NodeState, options: RenderOptions) -> Option<Rendered> {
    let mut out = String::with_capacity(256);
    out.push_str("{\"soul\":");
    json::write_str(&mut out, state.soul());
    out.push_str(",\"data\":");
    if !rustdht_graph::render::write_data(&mut out, state, options.ints) {
        return None;
    }
    Some(finish(out, state))
}

fn finish(mut out: String, state: &NodeState) -> Rendered {
    let stamp = state.stamp();
    let _ = write!(out, ",\"stamp\":\"{stamp}\"}}");
    let hash = blake3::hash(out.as_bytes());
    let etag = format!("\"{}\"", hex::encode(&hash.as_bytes()[..16]));
    Rendered { json: out.into(), etag: etag.into(), stamp }
}

/// Whether a list of entity tags names `tag`; `*` names any, a weak one the strong one behind it.
pub(crate) fn matches_any(tags: &[String], tag: &str) -> bool {
    tags.iter().any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
}

impl Node {
    /// What a node shows, if it was read or written lately; the default rendering.
    #[must_use]
    pub fn cached(&self, soul: &Soul) -> Option<Rendered> {
        self.inner.cache.get(soul)
    }

    /// What a node shows. `None`: it shows nothing.
    ///
    /// # Errors
    /// When the store fails; with [`At::Network`] also when no member can be asked.
    pub async fn get(&self, soul: &Soul, at: At, options: RenderOptions) -> Result<Option<Rendered>, Error> {
        let plain = options.is_plain();
        if at == At::Network {
            self.ask_members(soul).await?;
        } else if plain && let Some(node) = self.inner.cache.get(soul) {
            return Ok(Some(node));
        }
        let ticket = self.inner.cache.ticket(soul);
        let mut state = self.state(soul).await?;
        if state.is_empty() && at == At::Auto && self.ask_members(soul).await.unwrap_or(false) {
            state = self.state(soul).await?;
        }
        // What depends on the reader is not kept for others.
        let same_for_all = !private::is_private(&state);
        let losers = if options.meta { Some(self.losers(&state, &options.reader).await?) } else { None };
        let state = private::open(&self.inner.shared.keyring, state, &options.reader);
        if let Some(losers) = losers {
            return Ok(explain::render_meta(&state, &losers, options.ints).map(|out| finish(out, &state)));
        }
        let node = render(&state, options);
        if plain
            && same_for_all
            && let Some(node) = &node
        {
            self.inner.cache.fill(soul, ticket, node);
        }
        Ok(node)
    }

    /// What the history has of each field, opened for the reader.
    async fn losers(&self, state: &NodeState, reader: &Principal) -> Result<HashMap<Field, Vec<Arc<Entry>>>, Error> {
        let mut opener = private::opener(&self.inner.shared.keyring, state, reader);
        let mut losers = HashMap::new();
        for field in state.field_names() {
            let lost = self.store().history(state.soul(), &field, None, LOSERS_SHOWN).await?.losers;
            let open = |loser: Loser| match opener.as_mut().and_then(|opener| opener.open_entry(&loser.entry)) {
                Some(opened) => Arc::new(opened),
                None => loser.entry,
            };
            losers.insert(field, lost.into_iter().map(open).collect());
        }
        Ok(losers)
    }

    /// Asks the members for a soul and joins what they hold. Whether anything came.
    async fn ask_members(&self, soul: &Soul) -> Result<bool, Error> {
        let Some(replicator) = self.inner.replicator.get().filter(|_| soul.space() != Space::Local) else {
            return Ok(false);
        };
        let envelopes = replicator.ask(soul).await?;
        if envelopes.is_empty() {
            return Ok(false);
        }
        ingest::join(&self.inner, &ReplicaId(ASKED.into()), envelopes).await;
        Ok(true)
    }

    /// What is durable of a node, less what authority hides.
    pub(crate) async fn state(&self, soul: &Soul) -> Result<NodeState, Error> {
        let mut states = self.states(std::slice::from_ref(soul)).await?;
        Ok(states.pop().unwrap_or_else(|| NodeState::new(soul.clone())))
    }

    /// The states of several souls, in their order.
    pub(crate) async fn states(&self, souls: &[Soul]) -> Result<Vec<NodeState>, Error> {
        let distinct: HashSet<&Soul> = souls.iter().collect();
        debug_assert_eq!(distinct.len(), souls.len(), "souls are asked for once");
        let mut at: HashMap<Soul, usize> = HashMap::with_capacity(souls.len());
        let mut states: Vec<NodeState> = Vec::with_capacity(souls.len());
        for soul in souls {
            at.insert(soul.clone(), states.len());
            states.push(NodeState::new(soul.clone()));
        }
        for entry in self.store().load(souls).await? {
            if let Some(at) = at.get(&entry.soul) {
                states[*at].restore(entry.into());
            }
        }
        self.inner.shared.authority.hide(&mut states).await?;
        Ok(states)
    }

    /// What a reader may see of a node: what authority hides is hidden, private values that he holds the key of are
    /// opened.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn visible_state(&self, soul: &Soul, reader: Principal) -> Result<NodeState, Error> {
        Ok(private::open(&self.inner.shared.keyring, self.state(soul).await?, &reader))
    }

    /// As [`Node::visible_state`], of several souls in their order.
    pub(crate) async fn visible_states(&self, souls: &[Soul], reader: Principal) -> Result<Vec<NodeState>, Error> {
        let keyring = &self.inner.shared.keyring;
        Ok(self.states(souls).await?.into_iter().map(|state| private::open(keyring, state, &reader)).collect())
    }
}
