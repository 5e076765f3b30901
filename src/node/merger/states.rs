//! Node states that joins work on. They run ahead of the store by the groups in flight, so a state is only let go when
//! every group that touched it is durable.

use std::collections::{BTreeMap, HashMap};

use rustdht_core::{Entry, Soul};
use rustdht_graph::NodeState;

/// How many times the bound a single state may be and still stay: 128 MiB at the default, some 250,000 entries.
const LARGE_TIMES: usize = 8;

#[derive(Debug)]
struct Held {
    state: NodeState,
    used: u64,
    group: u64,
    weight: usize,
}

#[derive(Debug)]
pub(super) struct States {
    held: HashMap<Soul, Held>,
    by_use: BTreeMap<u64, Soul>,
    uses: u64,
    weight: usize,
    max_weight: usize,
    /// The state above the bound that was used last.
    large: Option<Soul>,
}

impl States {
    pub(super) fn new(max_weight: usize) -> Self {
        Self { held: HashMap::new(), by_use: BTreeMap::new(), uses: 0, weight: 0, max_weight, large: None }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.max_weight);
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// Marks the soul as used by `group`. `false`: it is not here and has to be loaded.
    pub(super) fn touch(&mut self, soul: &Soul, group: u64) -> bool {
        let Some(held) = self.held.get_mut(soul) else { return false };
        self.uses += 1;
        if let Some(soul) = self.by_use.remove(&held.used) {
            self.by_use.insert(self.uses, soul);
        }
        held.used = self.uses;
        held.group = group;
        let weight = held.weight;
        self.note_large(soul, weight);
        true
    }

    /// Takes what the store holds of souls that are not here; a soul without entries is an empty node.
    pub(super) fn restore(&mut self, souls: Vec<Soul>, entries: Vec<Entry>, group: u64) {
        let mut loaded: HashMap<Soul, NodeState> =
            souls.into_iter().map(|soul| (soul.clone(), NodeState::new(soul))).collect();
        for entry in entries {
            if let Some(state) = loaded.get_mut(&entry.soul) {
                state.restore(entry.into());
            }
        }
        for (soul, state) in loaded {
            self.uses += 1;
            let weight = state.weight();
            self.weight += weight;
            self.by_use.insert(self.uses, soul.clone());
            self.note_large(&soul, weight);
            self.held.insert(soul, Held { state, used: self.uses, group, weight });
        }
    }

    pub(super) fn get(&self, soul: &Soul) -> Option<&NodeState> {
        self.held.get(soul).map(|held| &held.state)
    }

    /// Works on a state and keeps its weight in step.
    pub(super) fn with<T>(&mut self, soul: &Soul, work: impl FnOnce(&mut NodeState) -> T) -> Option<T> {
        let held = self.held.get_mut(soul)?;
        let made = work(&mut held.state);
        let weight = held.state.weight();
        self.weight = self.weight + weight - held.weight;
        held.weight = weight;
        self.note_large(soul, weight);
        Some(made)
    }

    /// Lets go of the longest unused states above the bound, but of none that a group after `durable` touched. The large
    /// state that was used last stays beside the bound: a busy node of many entries would be loaded for each write.
    pub(super) fn evict(&mut self, durable: u64) {
        let most = self.max_weight.saturating_mul(LARGE_TIMES);
        let large = self.large.as_ref().and_then(|soul| self.held.get(soul)).filter(|held| held.weight <= most);
        let (kept, beside) = large.map_or((None, 0), |held| (Some(held.used), held.weight));
        let mut from = 0;
        while self.weight - beside > self.max_weight {
            let next = self.by_use.range(from..).find(|(used, _)| Some(**used) != kept);
            let Some((used, soul)) = next.map(|(used, soul)| (*used, soul.clone())) else { break };
            if self.held.get(&soul).is_some_and(|held| held.group > durable) {
                break;
            }
            from = used + 1;
            self.by_use.remove(&used);
            if let Some(held) = self.held.remove(&soul) {
                self.weight -= held.weight;
            }
        }
    }

    fn note_large(&mut self, soul: &Soul, weight: usize) {
        if weight > self.max_weight && self.large.as_ref() != Some(soul) {
            self.large = Some(soul.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_in_flight_stay() {
        let mut states = States::new(0);
        let (a, b): (Soul, Soul) = ("a".parse().unwrap(), "b".parse().unwrap());
        states.restore(vec![a.clone()], Vec::new(), 1);
        states.restore(vec![b.clone()], Vec::new(), 2);
        states.evict(1);
        assert!(states.get(&a).is_none() && states.get(&b).is_some());
        assert!(states.touch(&b, 3) && !states.touch(&a, 3));
        states.evict(2);
        assert!(states.get(&b).is_some());
        states.evict(3);
        assert!(states.get(&b).is_none());
        assert_eq!(states.weight(), 0);
    }

    #[test]
    fn the_large_state_used_last_stays_beside_the_bound() {
        let soul = |name: &str| name.parse::<Soul>().unwrap();
        let small = NodeState::new(soul("a")).weight();
        let mut states = States::new(3 * small);
        let grow = |states: &mut States, name: &str| {
            states.restore(vec![soul(name)], Vec::new(), 1);
            states.held.get_mut(&soul(name)).unwrap().weight = 5 * small;
            states.weight += 4 * small;
            states.touch(&soul(name), 1);
        };
        grow(&mut states, "first");
        grow(&mut states, "second");
        states.restore(["a", "b", "c", "d"].map(soul).to_vec(), Vec::new(), 1);
        states.evict(1);
        assert!(states.get(&soul("first")).is_none() && states.get(&soul("second")).is_some());
        let left = ["a", "b", "c", "d"].iter().filter(|name| states.get(&soul(name)).is_some()).count();
        assert_eq!((left, states.weight()), (3, 8 * small));
        grow(&mut states, "third");
        states.held.get_mut(&soul("third")).unwrap().weight *= 10;
        states.weight += 45 * small;
        states.evict(1);
        assert_eq!(states.get(&soul("third")).map(|_| ()), None, "too large to stay");
    }
}
