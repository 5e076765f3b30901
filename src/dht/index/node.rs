//! The nodes of the tree.

use std::ops::ControlFlow;

use super::{Key, Sum};

/// Keys in a leaf. 256 keys move in about 100 ns and leave little slack.
const LEAF_KEYS: usize = 256;
/// Children of an inner node.
const INNER_CHILDREN: usize = 32;

/// A key and the partition that it stands in; of one that stands in several, any of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) key: Key,
    pub(super) partition: u16,
}

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
    Leaf(Vec<Held>),
    Inner(Vec<Child>),
}

impl Child {
    /// A leaf of at least one key.
    pub(super) fn leaf(keys: Vec<Held>) -> Self {
        let sum = keys.iter().fold(Sum::ZERO, |sum, held| sum.plus(Sum::of(&held.key.record.0)));
        Self { count: keys.len(), sum, first: keys[0].key, node: Node::Leaf(keys) }
    }

    /// An inner node of at least one child.
    pub(super) fn inner(children: Vec<Self>) -> Self {
        let count = children.iter().map(|child| child.count).sum();
        let sum = children.iter().fold(Sum::ZERO, |sum, child| sum.plus(child.sum));
        Self { count, sum, first: children[0].first, node: Node::Inner(children) }
    }

    /// Adds a key: the partition of the one that was here already, and the right half when the node was full.
    pub(super) fn insert(&mut self, held: Held) -> (Option<u16>, Option<Self>) {
        let (known, right) = match &mut self.node {
            Node::Leaf(keys) => match find(keys, &held.key) {
                Ok(at) => return (Some(keys[at].partition), None),
                Err(at) if keys.len() < LEAF_KEYS => {
                    keys.insert(at, held);
                    (None, None)
                }
                // Ids mostly arrive in the order of time: a full last leaf stays full.
                Err(LEAF_KEYS) => return (None, Some(Self::leaf(vec![held]))),
                Err(at) => {
                    let mut upper = keys.split_off(LEAF_KEYS / 2);
                    if at <= keys.len() {
                        keys.insert(at, held);
                    } else {
                        upper.insert(at - keys.len(), held);
                    }
                    (None, Some(Self::leaf(upper)))
                }
            },
            Node::Inner(children) => {
                let at = position(children, &held.key);
                let (known, split) = children[at].insert(held);
                if let Some(new) = split {
                    children.insert(at + 1, new);
                }
                let right = (children.len() > INNER_CHILDREN).then(|| {
                    // As for leaves: growth at the end leaves full nodes behind.
                    let keep = if at + 2 == children.len() { INNER_CHILDREN } else { INNER_CHILDREN / 2 };
                    Self::inner(children.split_off(keep))
                });
                (known, right)
            }
        };
        if known.is_none() {
            self.count += 1;
            self.sum = self.sum.plus(Sum::of(&held.key.record.0));
            self.first = self.first.min(held.key);
        }
        if let Some(right) = &right {
            self.count -= right.count;
            self.sum = self.sum.minus(right.sum);
        }
        (known, right)
    }

    /// The partition of a key, to be read or changed.
    pub(super) fn partition(&mut self, key: &Key) -> Option<&mut u16> {
        match &mut self.node {
            Node::Leaf(keys) => find(keys, key).ok().map(|at| &mut keys[at].partition),
            Node::Inner(children) => {
                let at = position(children, key);
                children[at].partition(key)
            }
        }
    }

    /// Removes a key: whether it was there. May leave the node empty.
    pub(super) fn remove(&mut self, key: &Key) -> bool {
        match &mut self.node {
            Node::Leaf(keys) => {
                let Ok(at) = find(keys, key) else { return false };
                keys.remove(at);
                if let Some(first) = keys.first() {
                    self.first = first.key;
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
            Node::Leaf(keys) => keys.partition_point(|held| held.key < *key),
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
            Node::Leaf(keys) => keys[..end].iter().fold(Sum::ZERO, |sum, held| sum.plus(Sum::of(&held.key.record.0))),
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
            Node::Leaf(keys) => {
                keys[from.min(keys.len())..to.min(keys.len())].iter().try_for_each(|held| visit(held.key))
            }
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

/// Where a key is in a leaf, or belongs.
fn find(keys: &[Held], key: &Key) -> Result<usize, usize> {
    keys.binary_search_by(|held| held.key.cmp(key))
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
