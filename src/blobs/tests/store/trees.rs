//! Trees in, and out again by every way.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, stream};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use rustdht_core::ports::{
    AddHash, AddOptions, BlobError, BlobStore, CarOptions, DagKind, DagStore, Fetch, PathError, TreeContent, TreeItem,
};

use crate::common::{LEGACY, Tree, add, add_items, body, bytes, folder, open, read_back, text, whole};

/// What a tar holds: by path, the contents. Reads pax records for paths and targets.
fn untar(tar: &[u8]) -> BTreeMap<String, Tree> {
    let mut found = BTreeMap::new();
    let (mut at, mut pax) = (0, BTreeMap::new());
    let text = |bytes: &[u8]| String::from_utf8(bytes.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap();
    loop {
        let header = &tar[at..at + 512];
        if header.iter().all(|byte| *byte == 0) {
            assert!(tar.len() == at + 1024 && tar[at..].iter().all(|byte| *byte == 0), "two blocks of zeros end it");
            return found;
        }
        let sum: u32 = header
            .iter()
            .enumerate()
            .map(|(i, byte)| if (148..156).contains(&i) { 32 } else { u32::from(*byte) })
            .sum();
        assert_eq!(u32::from_str_radix(text(&header[148..156]).trim(), 8).unwrap(), sum);
        assert_eq!(&header[257..265], b"ustar\x0000");
        let size = usize::from_str_radix(&text(&header[124..136]), 8).unwrap();
        let data = &tar[at + 512..at + 512 + size];
        at += 512 + size.next_multiple_of(512);
        if header[156] == b'x' {
            let mut rest = std::str::from_utf8(data).unwrap();
            while let Some((len, _)) = rest.split_once(' ') {
                let (record, next) = rest.split_at(len.parse().unwrap());
                let (key, value) = record[len.len() + 1..record.len() - 1].split_once('=').unwrap();
                pax.insert(key.to_owned(), value.to_owned());
                rest = next;
            }
            continue;
        }
        let path = pax.remove("path").unwrap_or_else(|| text(&header[..100]));
        let link = pax.remove("linkpath").unwrap_or_else(|| text(&header[157..257]));
        let tree = match header[156] {
            b'0' => Tree::File(Bytes::copy_from_slice(data)),
            b'2' => Tree::Symlink(link),
            b'5' => {
                assert!(path.ends_with('/'));
                Tree::Folder(BTreeMap::new())
            }
            kind => panic!("{kind}"),
        };
        assert!(found.insert(path.trim_end_matches('/').to_owned(), tree).is_none());
    }
}

/// The same, of a tree.
fn flat(tree: &Tree, path: String, found: &mut BTreeMap<String, Tree>) {
    match tree {
        Tree::Folder(entries) => {
            for (name, tree) in entries {
                flat(tree, format!("{path}/{name}"), found);
            }
            found.insert(path, Tree::Folder(BTreeMap::new()));
        }
        other => drop(found.insert(path, other.clone())),
    }
}

fn names() -> impl Strategy<Value = String> {
    let any = prop_oneof!["[a-c]{1,3}", "\\PC{1,40}", "[ -.0-~]{1,120}", "[a-z]{200,255}"];
    any.prop_filter("a name", |name| !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']))
}

fn trees() -> impl Strategy<Value = Tree> {
    let file = (any::<u64>(), prop_oneof![4 => 0..600_usize, 1 => 200_000..700_000_usize]);
    let leaf = prop_oneof![
        4 => file.prop_map(|(seed, len)| Tree::File(bytes(seed, len))),
        1 => "[^\0]{1,150}".prop_map(Tree::Symlink),
        1 => Just(Tree::Folder(BTreeMap::new())),
    ];
    let folder = |inner| proptest::collection::btree_map(names(), inner, 0..6).prop_map(Tree::Folder);
    folder(leaf.prop_recursive(4, 24, 6, move |inner| folder(inner.boxed())).boxed())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_added_is_listed_read_and_archived(tree in trees(), legacy in any::<bool>(), blake in any::<bool>(), seed in any::<u64>()) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap().block_on(async {
            let (_dir, store) = open();
            let mut options = if legacy { LEGACY } else { AddOptions::default() };
            options.hash = if blake { AddHash::Blake3 } else { AddHash::Sha2 };
            let root = add(&store, &tree, options).await;
            assert_eq!(root.hash().code(), if blake { 0x1e } else { 0x12 });
            assert_eq!(read_back(&store, &root).await, tree);

            // In another order, with every folder named, and twice: the same root.
            let mut items = tree.items();
            let parents: Vec<_> = items.iter().flat_map(|item| (0..item.path.len()).map(|len| item.path[..len].to_vec())).collect();
            items.extend(parents.into_iter().map(|path| TreeItem { path, content: TreeContent::Directory }));
            items.shuffle(&mut StdRng::seed_from_u64(seed));
            assert_eq!(add_items(&store, items, options).await.unwrap().cid, root);

            let mut expected = BTreeMap::new();
            flat(&tree, "a name".into(), &mut expected);
            let tar = whole(store.tar(&root, "a name".into()).await.unwrap()).await;
            assert_eq!(untar(&tar), expected);

            for duplicates in [false, true] {
                let car = whole(store.car(&root, &[], CarOptions { duplicates, ..CarOptions::default() }).await.unwrap()).await;
                let (_dir, other) = open();
                let imported = other.import_car(body(&car, 1000)).await.unwrap();
                assert_eq!(imported.roots, [root]);
                assert_eq!(read_back(&other, &root).await, tree);
                let (blocks, bytes) = other.totals().await;
                if !duplicates {
                    assert_eq!((imported.blocks, imported.bytes), (blocks, bytes));
                }
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wide_directory_is_sharded_and_works_like_any_other() {
    let (_dir, store) = open();
    let mut entries: BTreeMap<_, _> =
        (0..6000).map(|i| (format!("{i} {}", "ü".repeat(20)), text(&i.to_string()))).collect();
    entries.insert("below".into(), folder([("deep", text("x"))]));
    let tree = Tree::Folder(entries);
    let root = add(&store, &tree, LEGACY).await;
    let resolved = store.resolve(&root, &[], Fetch::LocalOnly).await.unwrap();
    assert_eq!(resolved.kind, DagKind::Directory { sharded: true });
    assert_eq!(read_back(&store, &root).await, tree);
    let path = ["below".to_owned(), "deep".to_owned()];
    let deep = store.resolve(&root, &path, Fetch::LocalOnly).await.unwrap();
    assert_eq!((deep.kind, deep.size, deep.roots.len()), (DagKind::File, Some(1), 3));
    for missing in ["", "6000 x", "below2"] {
        let error = store.resolve(&root, &[format!("{missing} ")], Fetch::LocalOnly).await.unwrap_err();
        assert!(matches!(error, PathError::NoLink { under, .. } if under == root), "{error}");
    }
    let mut expected = BTreeMap::new();
    flat(&tree, "w".into(), &mut expected);
    assert!(untar(&whole(store.tar(&root, "w".into()).await.unwrap()).await) == expected);
}

#[tokio::test]
async fn a_tree_that_is_none_says_why() {
    let (_dir, store) = open();
    let item = |path: &str, content| TreeItem { path: path.split('/').map(str::to_owned).collect(), content };
    let file = |path: &str| item(path, TreeContent::File(body(&Bytes::from_static(b"x"), 1)));
    let root = |content| TreeItem { path: Vec::new(), content };
    for (items, why) in [
        (vec![file("a"), file("a")], "a bad name in a tree: \"a\" is there twice"),
        (vec![file("a"), file("a/b")], "a bad name in a tree: \"a\" is there twice"),
        (vec![file("a/b"), file("a")], "a bad name in a tree: \"a\" is there twice"),
        (vec![file("a"), item("a", TreeContent::Directory)], "is there twice"),
        (vec![item("a", TreeContent::Directory), item("a", TreeContent::Symlink("b".into()))], "is there twice"),
        (vec![root(TreeContent::Directory), root(TreeContent::Symlink("b".into()))], "is there twice"),
        (vec![root(TreeContent::Symlink("b".into())), file("a")], "is there twice"),
        (vec![file("a/../b")], "\"..\" in "),
        (vec![file("./a")], "\".\" in "),
        (vec![file("/etc/passwd")], "\"\" in "),
        (vec![file("a\0b")], "is not the name of an entry"),
        (vec![TreeItem { path: vec!["a/b".into()], content: TreeContent::Directory }], "is not the name of an entry"),
        (vec![file(&"n".repeat(4097))], "a name of more than 4096 bytes"),
        (vec![file(&["d"; 257].join("/"))], "a path of more than 256 segments"),
        (vec![item("l", TreeContent::Symlink("t".repeat(4097)))], "a symbolic link of more than 4096 bytes"),
    ] {
        let error = add_items(&store, items, AddOptions::default()).await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let broken = stream::iter([Ok(file("a")), Err(BlobError::Body("reset".into()))]).boxed();
    assert!(matches!(store.add_tree(broken, AddOptions::default()).await, Err(BlobError::Body(_))));
}

#[tokio::test]
async fn a_root_may_be_a_file_and_is_then_one() {
    let (_dir, store) = open();
    let file = bytes(3, 700_000);
    let plain = store.add(body(&file, 9999), LEGACY).await.unwrap();
    let root = TreeItem { path: Vec::new(), content: TreeContent::File(body(&file, 9999)) };
    assert_eq!(add_items(&store, vec![root], LEGACY).await.unwrap(), plain);
    let nothing = add_items(&store, Vec::new(), LEGACY).await.unwrap();
    assert_eq!(nothing.cid.to_string(), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
    let tar = whole(store.tar(&plain.cid, "one".into()).await.unwrap()).await;
    assert!(untar(&tar) == [("one".to_owned(), Tree::File(file))].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hash_of_the_whole_file_leads_to_its_root() {
    use sha2::Digest;
    let (dir, store) = open();
    let mut roots = Vec::new();
    for (seed, len, hash) in [
        (1, 0, AddHash::Sha2),
        (2, 5, AddHash::Blake3),
        (3, 300_000, AddHash::Sha2),
        (4, 900_000, AddHash::Blake3),
        (5, 1_048_576, AddHash::Sha2),
        (6, 3_500_000, AddHash::Sha2),
    ] {
        let file = bytes(seed, len);
        let sha256 = <[u8; 32]>::from(sha2::Sha256::digest(&file));
        assert_eq!(store.by_digest(&sha256).await.unwrap(), None);
        let before = store.totals().await.0;
        let added = store.add(body(&file, 100_000), AddOptions { hash, ..LEGACY }).await.unwrap();
        assert_eq!(added.sha256, Some(sha256));
        assert_eq!(store.totals().await.0 - before, if len <= 262_144 { 1 } else { len.div_ceil(262_144) as u64 + 1 });
        roots.push((sha256, added.cid));
    }
    let tree = folder([("big", Tree::File(bytes(7, 600_000)))]);
    let added = add_items(&store, tree.items(), LEGACY).await.unwrap();
    assert_eq!((added.sha256, added.size), (None, 600_000));
    let inside = store.resolve(&added.cid, &["big".into()], Fetch::LocalOnly).await.unwrap().cid;
    roots.push((sha2::Sha256::digest(bytes(7, 600_000)).into(), inside));
    // Notes are kept in packs, and found again in each way of opening one.
    drop(store);
    for with_index in [true, false] {
        let store = rustdht_blobs::Store::open(rustdht_blobs::Config::new(dir.path())).unwrap();
        for (sha256, cid) in &roots {
            assert_eq!(store.by_digest(sha256).await.unwrap(), Some(*cid));
        }
        drop(store);
        if with_index {
            std::fs::remove_file(dir.path().join("packs/00000000.idx")).unwrap();
        }
    }
}
