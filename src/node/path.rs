//! Paths: following links from node to node; a set of links fans out.

use std::collections::HashSet;

use rustdht_core::{Field, Soul, Space, Value, ham};
use rustdht_graph::{NodeState, Shown};

use crate::{At, Error, Node, PathAnswer, RenderOptions, read};

/// Segments of one path.
const MAX_SEGMENTS: usize = 32;
/// Nodes that one path reads.
const MAX_NODES: usize = 4096;
/// Values and nodes of one answer.
const MAX_ANSWERS: usize = 1000;

fn values_of(state: &NodeState, field: &Field) -> Vec<Value> {
    match state.view(field).map(|view| view.shown) {
        Some(Shown::Value(value)) => vec![value],
        Some(Shown::Set(elements)) => elements,
        Some(_) | None => Vec::new(),
    }
}

/// Local and mirror souls are read by the owner only.
fn is_private(soul: &Soul) -> bool {
    matches!(soul.space(), Space::Local | Space::Mirror)
}

impl Node {
    /// Follows `segments` from `soul`. The start is asked for like any other read; `None`: it is unknown.
    ///
    /// # Errors
    /// `out_of_range` above 32 segments; when the store fails.
    pub async fn path(
        &self,
        soul: &Soul,
        segments: &[Field],
        options: RenderOptions,
    ) -> Result<Option<PathAnswer>, Error> {
        if segments.len() > MAX_SEGMENTS {
            return Err(
                rustdht_core::Refusal::new(rustdht_core::Code::OutOfRange, "a path has at most 32 segments").into()
            );
        }
        if self.get(soul, At::Auto, RenderOptions::default()).await?.is_none() {
            return Ok(None);
        }
        let mut answer = PathAnswer { values: Vec::new(), nodes: Vec::new(), truncated: false };
        let mut frontier = vec![soul.clone()];
        let mut read_nodes = 0;
        for (at, segment) in segments.iter().enumerate() {
            if read_nodes + frontier.len() > MAX_NODES {
                frontier.truncate(MAX_NODES - read_nodes);
                answer.truncated = true;
            }
            read_nodes += frontier.len();
            let mut seen = HashSet::new();
            let mut values = Vec::new();
            for state in self.visible_states(&frontier, options.reader).await? {
                values.extend(values_of(&state, segment).into_iter().filter(|value| seen.insert(ham::text(value))));
            }
            frontier = values
                .iter()
                .filter_map(|value| if let Value::Link(soul) = value { Some(soul.clone()) } else { None })
                // A path that begins in the open must not lead into what only the owner may read.
                .filter(|linked| is_private(soul) || !is_private(linked))
                .collect();
            if at + 1 == segments.len() {
                answer.truncated |= values.len() > MAX_ANSWERS;
                values.truncate(MAX_ANSWERS);
                answer.values = values;
            }
        }
        frontier.truncate(MAX_ANSWERS);
        let states = self.visible_states(&frontier, options.reader).await?;
        answer.nodes = states.iter().filter_map(|state| read::render(state, options)).collect();
        Ok(Some(answer))
    }
}
