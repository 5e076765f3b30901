//! The names of a tree while its items arrive. Everything but the bytes of files is held in memory.

use std::collections::{BTreeMap, btree_map::Entry};

use cid::Cid;
use rustdht_core::ports::{BlobError, MAX_PATH_SEGMENTS};

use super::Leaf;

/// Longest name in bytes. File systems take 255; a full shard of names of this length still fits into a block.
const MAX_NAME_BYTES: usize = 4096;
/// Bytes of memory that the names of one tree may take: about a million entries.
const MAX_TREE_BYTES: usize = 256 << 20;
/// What an entry takes beside its name, with what the map allocates for it.
const ENTRY_BYTES: usize = 200;

/// A directory on its way. Sorted by the bytes of the names, as directories are stored.
pub(super) type Folder = BTreeMap<Box<str>, Child>;

/// An entry.
pub(super) enum Child {
    Folder(Folder),
    /// A CID as bytes is a third of its size as a `Cid`.
    Leaf {
        cid: Box<[u8]>,
        tree_bytes: u64,
    },
}

impl Child {
    fn leaf(leaf: Leaf) -> Self {
        Self::Leaf { cid: leaf.cid.to_bytes().into(), tree_bytes: leaf.tree_bytes }
    }
}

/// What a tree turned out to be.
pub(super) enum Root {
    Leaf(Leaf),
    Folder(Folder),
}

/// A path whose names were checked.
pub(super) struct Place(Vec<Box<str>>);

/// A tree on its way.
pub(super) struct Names {
    root: Folder,
    /// The root, when it is no directory.
    alone: Option<Leaf>,
    /// Whether an item said that the root is a directory.
    said: bool,
    bytes: usize,
    max_bytes: usize,
}

fn twice(path: &[Box<str>]) -> BlobError {
    BlobError::BadName(format!("\"{}\" is there twice", path.join("/")))
}

impl Names {
    pub(super) const fn new() -> Self {
        Self { root: Folder::new(), alone: None, said: false, bytes: 0, max_bytes: MAX_TREE_BYTES }
    }

    /// Checks a path.
    pub(super) fn place(&self, path: &[String]) -> Result<Place, BlobError> {
        if path.len() > MAX_PATH_SEGMENTS {
            return Err(BlobError::Bounded(format!("a path of more than {MAX_PATH_SEGMENTS} segments")));
        }
        for name in path {
            if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\0']) {
                return Err(BlobError::BadName(format!("{name:?} in {path:?} is not the name of an entry")));
            }
            if name.len() > MAX_NAME_BYTES {
                return Err(BlobError::Bounded(format!("a name of more than {MAX_NAME_BYTES} bytes: {name:.40}...")));
            }
        }
        Ok(Place(path.iter().map(|name| name.as_str().into()).collect()))
    }

    /// Whether an entry can still be put there; told before its bytes are read.
    pub(super) fn check_free(&self, place: &Place) -> Result<(), BlobError> {
        if self.alone.is_some() {
            return Err(twice(&[]));
        }
        let Some((name, parents)) = place.0.split_last() else {
            return if self.root.is_empty() && !self.said { Ok(()) } else { Err(twice(&[])) };
        };
        let mut at = &self.root;
        for (depth, parent) in parents.iter().enumerate() {
            match at.get(parent) {
                None => return Ok(()),
                Some(Child::Folder(folder)) => at = folder,
                Some(Child::Leaf { .. }) => return Err(twice(&place.0[..=depth])),
            }
        }
        if at.contains_key(name) { Err(twice(&place.0)) } else { Ok(()) }
    }

    /// The directory of a path, made if it is not there.
    fn folder(&mut self, path: &[Box<str>]) -> Result<&mut Folder, BlobError> {
        if self.alone.is_some() {
            return Err(twice(&[]));
        }
        let mut at = &mut self.root;
        for (depth, name) in path.iter().enumerate() {
            let child = match at.entry(name.clone()) {
                Entry::Occupied(held) => held.into_mut(),
                Entry::Vacant(free) => {
                    self.bytes += name.len() + ENTRY_BYTES;
                    free.insert(Child::Folder(Folder::new()))
                }
            };
            match child {
                Child::Folder(folder) => at = folder,
                Child::Leaf { .. } => return Err(twice(&path[..=depth])),
            }
        }
        Ok(at)
    }

    fn bounded(&self) -> Result<(), BlobError> {
        if self.bytes <= self.max_bytes {
            return Ok(());
        }
        Err(BlobError::Bounded(format!(
            "a tree whose names take more than {} bytes: add its folders one by one",
            self.max_bytes
        )))
    }

    /// Puts a directory, which may be there.
    pub(super) fn directory(&mut self, place: &Place) -> Result<(), BlobError> {
        self.said |= place.0.is_empty();
        self.folder(&place.0)?;
        self.bounded()
    }

    /// Puts an entry that is no directory.
    pub(super) fn leaf(&mut self, place: &Place, leaf: Leaf) -> Result<(), BlobError> {
        self.check_free(place)?;
        let Some((name, parents)) = place.0.split_last() else {
            self.alone = Some(leaf);
            return Ok(());
        };
        self.bytes += name.len() + ENTRY_BYTES;
        self.folder(parents)?.insert(name.clone(), Child::leaf(leaf));
        self.bounded()
    }

    pub(super) fn finish(self) -> Root {
        match self.alone {
            Some(leaf) => Root::Leaf(leaf),
            None => Root::Folder(self.root),
        }
    }
}

/// The CID of a leaf.
pub(super) fn cid(bytes: &[u8]) -> Result<Cid, BlobError> {
    // Its bytes come from a `Cid`.
    Cid::try_from(bytes).map_err(|error| std::io::Error::other(error).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::cid_of;

    #[test]
    fn names_are_bounded() {
        let mut names = Names { max_bytes: 10 * (ENTRY_BYTES + 1), ..Names::new() };
        let leaf = Leaf { cid: cid_of(0x55, b"x"), tree_bytes: 1 };
        for name in 0..10 {
            let place = names.place(&[name.to_string()]).unwrap();
            names.leaf(&place, leaf).unwrap();
        }
        // Folders on the way count too.
        let place = names.place(&["a".into(), "b".into()]).unwrap();
        let error = names.directory(&place).unwrap_err().to_string();
        assert!(error.contains("take more than 2010 bytes: add its folders one by one"), "{error}");
    }
}
