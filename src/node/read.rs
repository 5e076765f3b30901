//! Reading nodes.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use rustdht_core::{
    Field, Soul, Space,
    json::{self, Ints},
    ports::Loser,
};
use rustdht_graph::NodeState;

use crate::{At, Error, Node, RenderOptions, Rendered, ingest};

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

fn render_meta(state: &NodeState, losers: &HashMap<Field, Vec<Loser>>, ints: Ints) -> Option<Rendered> {
    let mut out = String::with_capacity(1024);
    out.push_str("{\"soul\":");
    json::write_str(&mut out, state.soul());
    out.push_str(",\"data\":");
    if !rustdht_graph::render::write_data(&mut out, state, ints) {
        return None;
    }
    out.push_str(",\"meta\":{");
    for (at, (name, view)) in state.views().enumerate() {
        if at > 0 {
            out.push(',');
        }
        json::write_str(&mut out, name);
        out.push_str(":{\"kind\":");
        json::write_str(&mut out, &view.kind);
        let entries = state.field(name).map_or(0, |field| field.entries().count());
        let _ = write!(
            out,
            ",\"stamp\":\"{}\",\"author\":\"{}\",\"commit\":\"{}\",\"id\":\"{}\",\"entries\":{entries},\"lost\":[",
            view.stamp, view.author, view.commit, view.entry
        );
        for (at, loser) in losers.get(name).into_iter().flatten().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write_loser(&mut out, loser, ints);
        }
        out.push_str("]}");
    }
    out.push('}');
    Some(finish(out, state))
}

fn write_loser(out: &mut String, loser: &Loser, ints: Ints) {
    let entry = &loser.entry;
    out.push_str("{\"kind\":");
    json::write_str(out, &entry.kind);
    out.push_str(",\"value\":");
    match entry.body.value() {
        Some(value) => json::write(out, value, ints),
        None => out.push_str("null"),
    }
    let _ = write!(
        out,
        ",\"stamp\":\"{}\",\"author\":\"{}\",\"commit\":\"{}\",\"id\":\"{}\"}}",
        entry.stamp, entry.author, entry.commit, entry.id
    );
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
        let plain = options == RenderOptions::default();
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
        if options.meta {
            let losers = self.losers(soul, &state).await?;
            return Ok(render_meta(&state, &losers, options.ints));
        }
        let node = render(&state, options);
        if plain && let Some(node) = &node {
            self.inner.cache.fill(soul, ticket, node);
        }
        Ok(node)
    }

    async fn losers(&self, soul: &Soul, state: &NodeState) -> Result<HashMap<Field, Vec<Loser>>, Error> {
        let mut losers = HashMap::new();
        for field in state.field_names() {
            let lost = self.store().history(soul, &field, LOSERS_SHOWN).await?;
            losers.insert(field, lost);
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
        ingest::join(&self.inner, envelopes).await;
        Ok(true)
    }

    pub(crate) async fn state(&self, soul: &Soul) -> Result<NodeState, Error> {
        let mut state = NodeState::new(soul.clone());
        for entry in self.store().load(std::slice::from_ref(soul)).await? {
            state.restore(entry.into());
        }
        Ok(state)
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
        Ok(states)
    }
}
