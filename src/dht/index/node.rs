//! The nodes of the tree.

use std::ops::ControlFlow;

use super::{Key, Sum};

/// Keys in a leaf. 256 keys move in about 100 ns and leave little slack.
const LEAF_KEYS: usize = 256;
/// Children of an inner node.
const INNER_CHILDREN: usize = 32;

/// A node as its parent sees it.
#[derive(Clone, Debug)]
pub(super) struct Child {
    pub(super) count: usize,
    sum: Sum,
    first: Key,
    pub(super) node: Node,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf(Vec<Key>),
    Inner(Vec<Child>),
}

impl Child {
    /// A leaf of at least one key.
    pub(super) fn leaf(keys: Vec<Key>) -> Self {
        let sum = keys.iter().fold(Sum::ZERO, |sum, key| sum.plus(Sum::of(&key.record.0)));
        Self { count: keys.len(), sum, first: keys[0], node: Node::Leaf(keys) }
    }

    /// An inner node of at least one child.
    pub(super) fn inner(children: Vec<Self>) -> Self {
        let count = children.iter().map(|child| child.count).sum();
        let sum = children.iter().fold(Sum::ZERO, |sum, child| sum.plus(child.sum));
        Self { count, sum, first: children[0].first, node: Node::Inner(children) }
    }

    /// Adds a key: whether it was new, and the right half when the node was full.
    pub(super) fn insert(&mut self, key: Key) -> (bool, Option<Self>) {
        let (added, right) = match &mut self.node {
            Node::Leaf(keys) => match keys.binary_search(&key) {
                Ok(_) => return (false, None),
                Err(at) if keys.len() < LEAF_KEYS => {
                    keys.insert(at, key);
                    (true, None)
                }
                // Ids mostly arrive in the order of time: a full last leaf stays full.
                Err(LEAF_KEYS) => return (true, Some(Self::leaf(vec![key]))),
                Err(at) => {
                    let mut upper = keys.split_off(LEAF_KEYS / 2);
                    if at <= keys.len() {
                        keys.insert(at, key);
                    } else {
                        upper.insert(at - keys.len(), key);
                    }
                    (true, Some(Self::leaf(upper)))
                }
            },
            Node::Inner(children) => {
                let at = position(children, &key);
                let (added, split) = children[at].insert(key);
                if let Some(new) = split {
                    children.insert(at + 1, new);
                }
                let right = (children.len() > INNER_CHILDREN).then(|| {
                    // As for leaves: growth at the end leaves full nodes behind.
                    let keep = if at + 2 == children.len() { INNER_CHILDREN } else { INNER_CHILDREN / 2 };
                    Self::inner(children.split_off(keep))
                });
                (added, right)
            }
        };
        if added {
            self.count += 1;
            self.sum = self.sum.plus(Sum::of(&key.record.0));
            self.first = self.first.min(key);
        }
        if let Some(right) = &right {
            self.count -= right.count;
            self.sum = self.sum.minus(right.sum);
        }
        (added, right)
    }

    /// Removes a key: whether it was there. May leave the node empty.
    pub(super) fn remove(&mut self, key: &Key) -> bool {
        match &mut self.node {
            Node::Leaf(keys) => {
                let Ok(at) = keys.binary_search(key) else { return false };
                keys.remove(at);
                if let Some(first) = keys.first() {
                    self.first = *first;
                }
            }
            Node::Inner(children) => {
                let at = position(children, key);
                if !children[at].remove(key) {
                    return false;
                }
                if children[at].count == 0 {
                    children.remove(at);
                } else {
                    merge(children, at);
                }
                if let Some(first) = children.first() {
                    self.first = first.first;
                }
            }
        }
        self.count -= 1;
        self.sum = self.sum.minus(Sum::of(&key.record.0));
        true
    }

    /// How many keys below this node are less than `key`.
    pub(super) fn rank(&self, key: &Key) -> usize {
        match &self.node {
            Node::Leaf(keys) => keys.partition_point(|held| held < key),
            Node::Inner(children) => {
                let at = position(children, key);
                children[..at].iter().map(|child| child.count).sum::<usize>() + children[at].rank(key)
            }
        }
    }

    /// The sum of the first `end` keys.
    pub(super) fn prefix_sum(&self, end: usize) -> Sum {
        if end >= self.count {
            return self.sum;
        }
        match &self.node {
            Node::Leaf(keys) => keys[..end].iter().fold(Sum::ZERO, |sum, key| sum.plus(Sum::of(&key.record.0))),
            Node::Inner(children) => {
                let mut left = end;
                let mut sum = Sum::ZERO;
                for child in children {
                    if left < child.count {
                        return sum.plus(child.prefix_sum(left));
                    }
                    left -= child.count;
                    sum = sum.plus(child.sum);
                }
                sum
            }
        }
    }

    /// Shows the keys at positions `from..to` below this node.
    pub(super) fn each(
        &self,
        from: usize,
        to: usize,
        visit: &mut impl FnMut(Key) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match &self.node {
            Node::Leaf(keys) => keys[from.min(keys.len())..to.min(keys.len())].iter().try_for_each(|key| visit(*key)),
            Node::Inner(children) => {
                let mut start = 0;
                for child in children {
                    if start >= to {
                        break;
                    }
                    if start + child.count > from {
                        child.each(from.saturating_sub(start), to - start, visit)?;
                    }
                    start += child.count;
                }
                ControlFlow::Continue(())
            }
        }
    }
}

/// The child below which `key` belongs.
fn position(children: &[Child], key: &Key) -> usize {
    children.partition_point(|child| child.first <= *key).saturating_sub(1)
}

/// Joins the child at `at` with its right or left neighbour when both together are at most half full.
fn merge(children: &mut Vec<Child>, at: usize) {
    for left in [at, at.wrapping_sub(1)] {
        if left.checked_add(1).is_none_or(|right| right >= children.len()) {
            continue;
        }
        let fits = match (&children[left].node, &children[left + 1].node) {
            (Node::Leaf(left), Node::Leaf(right)) => left.len() + right.len() <= LEAF_KEYS / 2,
            (Node::Inner(left), Node::Inner(right)) => left.len() + right.len() <= INNER_CHILDREN / 2,
            _ => false,
        };
        if fits {
            let right = children.remove(left + 1);
            let left = &mut children[left];
            match (&mut left.node, right.node) {
                (Node::Leaf(keys), Node::Leaf(more)) => keys.extend(more),
                (Node::Inner(nodes), Node::Inner(more)) => nodes.extend(more),
                _ => return,
            }
            left.count += right.count;
            left.sum = left.sum.plus(right.sum);
            return;
        }
    }
}
