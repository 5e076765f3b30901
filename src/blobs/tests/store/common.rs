//! Bodies and bytes for the tests of this folder.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;
use cid::Cid;
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use rand::{RngCore, SeedableRng, rngs::StdRng};
use rustdht_blobs::{Config, Store};
use rustdht_core::ports::{
    AddHash, AddOptions, AddProfile, Added, BlobError, BlobStore, BoxByteStream, DagKind, DagStore, Fetch, TreeContent,
    TreeItem,
};
use sha2::Digest;

/// Kubo's older defaults.
pub(crate) const LEGACY: AddOptions = AddOptions { profile: AddProfile::Legacy, hash: AddHash::Sha2 };

/// The same bytes for the same seed.
pub(crate) fn bytes(seed: u64, len: usize) -> Bytes {
    let mut out = vec![0; len];
    StdRng::seed_from_u64(seed).fill_bytes(&mut out);
    out.into()
}

/// A body that arrives in pieces of `piece` bytes.
pub(crate) fn body(file: &Bytes, piece: usize) -> BoxByteStream {
    let file = file.clone();
    let pieces = (0..file.len()).step_by(piece).map(move |at| Ok(file.slice(at..file.len().min(at + piece))));
    // Unlike `stream::iter`, an unfolded stream panics when it is asked again after its end, as a request's body may.
    let pieces = pieces.collect::<Vec<_>>().into_iter();
    stream::unfold(pieces, |mut pieces| async move { pieces.next().map(|piece| (piece, pieces)) }).boxed()
}

/// The bytes of a range.
pub(crate) async fn read(store: &Store, cid: &Cid, range: Range<u64>) -> Result<Bytes, BlobError> {
    let pieces: Vec<Bytes> = store.read(cid, range).await?.try_collect().await?;
    Ok(pieces.concat().into())
}

/// CIDv1 with sha2-256.
pub(crate) fn cid_of(codec: u64, data: &[u8]) -> Cid {
    Cid::new_v1(codec, multihash::Multihash::wrap(0x12, &sha2::Sha256::digest(data)).unwrap())
}

/// A store of its own, in memory where there is such a folder.
pub(crate) fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    (dir, store)
}

/// A tree of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    File(Bytes),
    Symlink(String),
    Folder(BTreeMap<String, Tree>),
}

/// A folder of what is named.
pub(crate) fn folder<const N: usize>(entries: [(&str, Tree); N]) -> Tree {
    Tree::Folder(entries.into_iter().map(|(name, tree)| (name.to_owned(), tree)).collect())
}

/// A file.
pub(crate) fn text(text: &str) -> Tree {
    Tree::File(Bytes::copy_from_slice(text.as_bytes()))
}

impl Tree {
    /// As items, folders only where they are empty.
    pub(crate) fn items(&self) -> Vec<TreeItem> {
        let mut items = Vec::new();
        self.collect(&mut Vec::new(), &mut items);
        items
    }

    fn collect(&self, path: &mut Vec<String>, items: &mut Vec<TreeItem>) {
        let content = match self {
            Self::File(bytes) => TreeContent::File(body(bytes, 70_000)),
            Self::Symlink(target) => TreeContent::Symlink(target.clone()),
            Self::Folder(entries) => {
                for (name, tree) in entries {
                    path.push(name.clone());
                    tree.collect(path, items);
                    path.pop();
                }
                if !entries.is_empty() {
                    return;
                }
                TreeContent::Directory
            }
        };
        items.push(TreeItem { path: path.clone(), content });
    }
}

/// Adds items.
pub(crate) async fn add_items(store: &Store, items: Vec<TreeItem>, options: AddOptions) -> Result<Added, BlobError> {
    store.add_tree(stream::iter(items.into_iter().map(Ok)).boxed(), options).await
}

/// Adds a tree and gives its root.
pub(crate) async fn add(store: &Store, tree: &Tree, options: AddOptions) -> Cid {
    add_items(store, tree.items(), options).await.unwrap().cid
}

/// Reads a tree back, by listings and kinds.
pub(crate) fn read_back<'a>(store: &'a Store, root: &'a Cid) -> BoxFuture<'a, Tree> {
    async move {
        let resolved = store.resolve(root, &[], Fetch::LocalOnly).await.unwrap();
        match resolved.kind {
            DagKind::File => Tree::File(read(store, root, 0..resolved.size.unwrap()).await.unwrap()),
            DagKind::Symlink => Tree::Symlink(store.symlink(root).await.unwrap()),
            DagKind::Directory { .. } => {
                let entries: Vec<_> = store.entries(root).await.unwrap().try_collect().await.unwrap();
                let mut folder = BTreeMap::new();
                for entry in entries {
                    let found = store.resolve(root, std::slice::from_ref(&entry.name), Fetch::LocalOnly).await.unwrap();
                    assert_eq!(found.cid, entry.cid);
                    assert_eq!(found.roots, [*root, entry.cid]);
                    assert!(folder.insert(entry.name, read_back(store, &entry.cid).await).is_none());
                }
                Tree::Folder(folder)
            }
            DagKind::Data { codec } => panic!("{codec:x} in a tree"),
        }
    }
    .boxed()
}

/// The bytes of a stream.
pub(crate) async fn whole(stream: BoxByteStream) -> Bytes {
    stream.try_collect::<Vec<Bytes>>().await.unwrap().concat().into()
}

/// Appends a varint.
pub(crate) fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
