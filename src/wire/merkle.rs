//! The tree over a commit's leaves: RFC 6962's shape with BLAKE3, a node without a sibling is promoted unchanged.
//!
//! ```text
//! n = 5:        root
//!              /    \
//!            p        e      e is promoted twice
//!          /   \
//!        ab     cd
//!       /  \   /  \
//!      a    b c    d
//! ```

use std::borrow::Cow;

/// A hash: a leaf, a node or a root.
pub type Hash = [u8; 32];

/// `BLAKE3(01 || left || right)`.
#[must_use]
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    *blake3::hash(&bytes).as_bytes()
}

/// The level above.
fn parents(level: &[Hash]) -> Vec<Hash> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => node(left, right),
            promoted => promoted[0],
        })
        .collect()
}

/// The root of a tree. 0^32, the root of no tree, for no leaves.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    if leaves.len() <= 1 {
        return leaves.first().copied().unwrap_or_default();
    }
    let mut level = parents(leaves);
    while level.len() > 1 {
        level = parents(&level);
    }
    level[0]
}

/// The siblings of leaf `index` from the leaf up; nothing where a node is promoted. Empty when there is no such leaf.
#[must_use]
pub fn proof(leaves: &[Hash], index: usize) -> Vec<Hash> {
    proofs(leaves, &[index]).pop().unwrap_or_default()
}

/// The proofs of several leaves, in the order of `indices`.
#[must_use]
pub fn proofs(leaves: &[Hash], indices: &[usize]) -> Vec<Vec<Hash>> {
    let mut rows = vec![Vec::new(); indices.len()];
    let mut level = Cow::Borrowed(leaves);
    let mut height = 0;
    while level.len() > 1 {
        for (row, index) in rows.iter_mut().zip(indices) {
            if *index < leaves.len() {
                row.extend(level.get((index >> height) ^ 1));
            }
        }
        level = Cow::Owned(parents(&level));
        height += 1;
    }
    rows
}

/// How many siblings the proof of leaf `index` of `n` has.
#[must_use]
pub fn proof_len(n: usize, index: usize) -> usize {
    let (mut width, mut index, mut len) = (n, index, 0);
    while width > 1 {
        len += usize::from(index ^ 1 < width);
        index >>= 1;
        width = width.div_ceil(2);
    }
    len
}

/// The root that `leaf`, at `index` of `n`, and `path` lead to; `None` when the path is not of the tree's shape.
#[must_use]
pub fn root_from_proof(n: usize, index: usize, leaf: &Hash, path: &[Hash]) -> Option<Hash> {
    if index >= n {
        return None;
    }
    let (mut width, mut index, mut hash) = (n, index, *leaf);
    let mut path = path.iter();
    while width > 1 {
        if index & 1 == 1 {
            hash = node(path.next()?, &hash);
        } else if index + 1 < width {
            hash = node(&hash, path.next()?);
        }
        index >>= 1;
        width = width.div_ceil(2);
    }
    path.next().is_none().then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(n: usize) -> Vec<Hash> {
        (0..n).map(|i| *blake3::hash(&i.to_be_bytes()).as_bytes()).collect()
    }

    /// RFC 6962, section 2.1, as it is written there: split at the greatest power of two below n.
    fn reference(leaves: &[Hash]) -> Hash {
        if let [leaf] = leaves {
            return *leaf;
        }
        let split = leaves.len().next_power_of_two() / 2;
        node(&reference(&leaves[..split]), &reference(&leaves[split..]))
    }

    #[test]
    fn the_shape_is_that_of_rfc_6962() {
        for n in (1..=70).chain([127, 128, 129, 1000, 1023, 1024]) {
            assert_eq!(root(&leaves(n)), reference(&leaves(n)), "n = {n}");
        }
    }

    #[test]
    fn every_leaf_has_a_proof_of_its_own() {
        for n in (1..=40).chain([63, 64, 65, 1023, 1024]) {
            let leaves = leaves(n);
            let root = root(&leaves);
            for (index, leaf) in leaves.iter().enumerate() {
                let path = proof(&leaves, index);
                assert_eq!(path.len(), proof_len(n, index), "{index} of {n}");
                assert!(path.len() <= crate::limits::MAX_PROOF_LEN);
                assert_eq!(root_from_proof(n, index, leaf, &path), Some(root), "{index} of {n}");
                assert_ne!(root_from_proof(n, index, &[7; 32], &path), Some(root));
                let mut longer = path.clone();
                longer.push([0; 32]);
                assert_eq!(root_from_proof(n, index, leaf, &longer), None, "a sibling too many");
                if let Some((_, shorter)) = path.split_last() {
                    assert_eq!(root_from_proof(n, index, leaf, shorter), None, "a sibling too few");
                }
                if n <= 40 && n > 1 {
                    let other = (index + 1) % n;
                    assert_ne!(root_from_proof(n, other, leaf, &path), Some(root), "{index} is not {other} of {n}");
                }
            }
            assert_eq!(root_from_proof(n, n, &leaves[0], &[]), None, "beyond the tree");
        }
    }

    #[test]
    fn no_leaves_have_no_proofs() {
        assert_eq!(root(&[]), [0; 32]);
        assert!(proof(&[], 0).is_empty());
        assert!(proof(&leaves(3), 3).is_empty());
    }
}
