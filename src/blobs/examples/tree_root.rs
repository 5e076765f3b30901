//! Adds a folder and prints its root, to compare with what another implementation makes of it.
//!
//! `cargo run -p rustdht-blobs --example tree_root -- <folder> [unixfs-v1-2025|legacy]`, beside
//! `ipfs add -r -Q --only-hash --hidden --cid-version=1 <folder>` with the profile of the same name.

use std::{
    fs::FileType,
    io::{Error, Write},
    path::Path,
};

use futures::{StreamExt, stream};
use rustdht_blobs::{Config, Store};
use rustdht_core::ports::{AddOptions, AddProfile, BlobStore, DagStore, TreeContent, TreeItem};

fn walk(folder: &Path, path: &[String], items: &mut Vec<TreeItem>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|name| Error::other(format!("{name:?} is not UTF-8")))?;
        let at = [path, &[name]].concat();
        let kind: FileType = entry.file_type()?;
        let content = if kind.is_dir() {
            walk(&entry.path(), &at, items)?;
            TreeContent::Directory
        } else if kind.is_symlink() {
            TreeContent::Symlink(std::fs::read_link(entry.path())?.to_string_lossy().into_owned())
        } else {
            // Opened when it is its turn: a tree may hold more files than a process may open.
            let path = entry.path();
            let read = async move { Ok(tokio::fs::read(path).await?.into()) };
            TreeContent::File(stream::once(read).boxed())
        };
        items.push(TreeItem { path: at, content });
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("name a folder")?;
    let profile = match arguments.next().as_deref() {
        None | Some("unixfs-v1-2025") => AddProfile::UnixfsV1,
        Some("legacy") => AddProfile::Legacy,
        Some(other) => return Err(format!("{other} is no profile").into()),
    };
    let mut items = Vec::new();
    walk(folder.as_ref(), &[], &mut items)?;
    let dir = tempfile::tempdir()?;
    let store = Store::open(Config::new(dir.path()))?;
    let options = AddOptions { profile, ..AddOptions::default() };
    let added = store.add_tree(stream::iter(items.into_iter().map(Ok)).boxed(), options).await?;
    writeln!(std::io::stdout(), "{}", added.cid)?;
    store.close().await;
    Ok(())
}
