//! Node states that joins work on. They run ahead of the store by the groups in flight, so a state is only let go when
//! every group that touched it is durable.

use std::collections::{BTreeMap, HashMap};

use rustdht_core::{Entry, Soul};
use rustdht_graph::NodeState;

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
}

impl States {
    pub(super) fn new(max_weight: usize) -> Self {
        Self { held: HashMap::new(), by_use: BTreeMap::new(), uses: 0, weight: 0, max_weight }
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
        Some(made)
    }

    /// Lets go of the longest unused states above the bound, but of none that a group after `durable` touched.
    pub(super) fn evict(&mut self, durable: u64) {
        while self.weight > self.max_weight {
            let Some((used, soul)) = self.by_use.first_key_value().map(|(used, soul)| (*used, soul.clone())) else {
                break;
            };
            if self.held.get(&soul).is_some_and(|held| held.group > durable) {
                break;
            }
            self.by_use.remove(&used);
            if let Some(held) = self.held.remove(&soul) {
                self.weight -= held.weight;
            }
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
}
