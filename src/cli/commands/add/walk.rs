//! Walking a folder: one folder's names at a time, sorted, so that the same tree is sent the same way.

use std::{
    fs::{self, FileType},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    Symlink(String),
    File,
}

/// Something in a tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Where it is.
    pub(super) at: PathBuf,
    /// Its path in the tree, segments joined with slashes, the root's name first.
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// A tree under way. Holds the names of the folders from the root to where it is.
#[derive(Debug)]
pub(super) struct Tree {
    /// The last is due first.
    waiting: Vec<(PathBuf, String)>,
    hidden: bool,
}

/// Whether `-r` has something to walk: a folder, or a symbolic link, which is kept.
pub(super) async fn is_tree(path: &Path) -> anyhow::Result<bool> {
    if path.as_os_str() == "-" {
        return Ok(false);
    }
    let meta = tokio::fs::symlink_metadata(path).await.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(meta.is_dir() || meta.is_symlink())
}

impl Tree {
    /// The tree at a path, under its own name.
    pub(super) async fn of(path: &Path, hidden: bool) -> anyhow::Result<Self> {
        // `.` and `..` have no name of their own; a symbolic link is not to be followed for one.
        let name = match path.file_name() {
            Some(name) => name.to_owned(),
            None => {
                let whole =
                    tokio::fs::canonicalize(path).await.with_context(|| format!("cannot read {}", path.display()))?;
                whole.file_name().unwrap_or("root".as_ref()).to_owned()
            }
        };
        let name = utf8(path, &name)?.to_owned();
        Ok(Self { waiting: vec![(path.to_owned(), name)], hidden })
    }

    /// The next item. Blocks the thread for a few system calls.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Item>> {
        let Some((at, name)) = self.waiting.pop() else { return Ok(None) };
        let reading = || format!("cannot read {}", at.display());
        let kind: FileType = fs::symlink_metadata(&at).with_context(reading)?.file_type();
        let kind = if kind.is_dir() {
            self.enter(&at, &name)?;
            Kind::Folder
        } else if kind.is_symlink() {
            let target = fs::read_link(&at).with_context(reading)?;
            Kind::Symlink(utf8(&at, target.as_os_str())?.to_owned())
        } else if kind.is_file() {
            Kind::File
        } else {
            anyhow::bail!("{} is neither a file, a folder nor a symbolic link; leave it out", at.display());
        };
        Ok(Some(Item { at, name, kind }))
    }

    fn enter(&mut self, at: &Path, name: &str) -> anyhow::Result<()> {
        let reading = || format!("cannot read {}", at.display());
        let mut names = Vec::new();
        for entry in fs::read_dir(at).with_context(reading)? {
            let entry = entry.with_context(reading)?.file_name();
            let entry = utf8(&at.join(&entry), &entry)?.to_owned();
            if self.hidden || !entry.starts_with('.') {
                names.push(entry);
            }
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        self.waiting.extend(names.into_iter().map(|entry| (at.join(&entry), format!("{name}/{entry}"))));
        Ok(())
    }
}

fn utf8<'a>(at: &Path, name: &'a std::ffi::OsStr) -> anyhow::Result<&'a str> {
    name.to_str().with_context(|| format!("{} has a name that is not UTF-8; rename it or leave it out", at.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn folders_are_walked_in_order_and_links_kept() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("the root");
        for folder in ["b/deep", "empty", ".git"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["b/deep/z", "b.txt", "B", ".hidden", ".git/config", "\u{e4} b"] {
            fs::write(root.join(file), file).unwrap();
        }
        std::os::unix::fs::symlink("../outside", root.join("link")).unwrap();
        let all = |hidden| {
            let root = root.clone();
            async move {
                let mut tree = Tree::of(&root, hidden).await.unwrap();
                let mut names = Vec::new();
                while let Some(item) = tree.next().unwrap() {
                    assert_eq!(item.kind == Kind::Folder, item.at.is_dir() && !item.at.is_symlink());
                    names.push(item.name.strip_prefix("the root").unwrap().to_owned());
                }
                names
            }
        };
        let shown = ["", "/B", "/b", "/b/deep", "/b/deep/z", "/b.txt", "/empty", "/link", "/\u{e4} b"];
        assert_eq!(all(false).await, shown);
        assert_eq!(all(true).await.len(), shown.len() + 3);
        assert!(is_tree(&root).await.unwrap() && is_tree(&root.join("link")).await.unwrap());
        assert!(!is_tree(&root.join("B")).await.unwrap() && !is_tree("-".as_ref()).await.unwrap());
        let dots = Tree::of(&root.join("b/.."), false).await.unwrap();
        assert_eq!(dots.waiting[0].1, "the root");
    }

    #[tokio::test]
    async fn what_cannot_be_in_a_tree_is_named() {
        use std::os::unix::{ffi::OsStrExt as _, net::UnixListener};
        let dir = tempfile::tempdir().unwrap();
        let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
        let mut tree = Tree::of(dir.path(), false).await.unwrap();
        tree.next().unwrap();
        assert!(tree.next().unwrap_err().to_string().contains("socket is neither a file"));
        fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"\xff")), b"").unwrap();
        let mut tree = Tree::of(dir.path(), false).await.unwrap();
        assert!(tree.next().unwrap_err().to_string().contains("not UTF-8"));
    }
}
