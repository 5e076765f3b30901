//! Paths through directories and values, and directories that lie.

use bytes::Bytes;
use cid::Cid;
use futures::TryStreamExt;
use rustdht_blobs::Store;
use rustdht_core::ports::{AddOptions, BlobError, BlobStore, DagKind, DagStore, Fetch, PathError, Resolved};

use crate::common::{Tree, add, cid_of, folder, open, text, varint};

async fn put(store: &Store, codec: u64, block: impl Into<Bytes>) -> Cid {
    let block = block.into();
    let cid = cid_of(codec, &block);
    store.put_block(&cid, block).await.unwrap();
    cid
}

async fn resolve(store: &Store, root: &Cid, path: &str) -> Result<Resolved, PathError> {
    let path: Vec<String> = path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
    store.resolve(root, &path, Fetch::LocalOnly).await
}

#[tokio::test]
async fn paths_lead_through_directories_and_values() {
    let (_dir, store) = open();
    let tree = folder([("f", text("file")), ("l", Tree::Symlink("f".into()))]);
    let files = add(&store, &tree, AddOptions::default()).await;
    let json = put(&store, 0x0129, format!(r#"{{"in":{{"list":[5,{{"/":"{files}"}}]}}}}"#)).await;
    let mut cbor = b"\xa1aj\xd8\x2a\x58\x26\x00".to_vec();
    cbor[6] = json.encoded_len() as u8 + 1;
    cbor.extend(json.to_bytes());
    let cbor = put(&store, 0x71, cbor).await;

    let found = resolve(&store, &cbor, "j/in/list/1/f").await.unwrap();
    assert_eq!(found.roots, [cbor, json, json, json, files, found.cid]);
    assert_eq!((found.kind, found.size, found.remainder.len()), (DagKind::File, Some(4), 0));
    let inside = resolve(&store, &cbor, "j/in/list/0").await.unwrap();
    assert_eq!((inside.cid, inside.kind), (json, DagKind::Data { codec: 0x0129 }));
    assert_eq!(inside.remainder, ["in", "list", "0"]);
    assert_eq!(inside.roots, [cbor, json, json, json, json]);
    let link = resolve(&store, &files, "l").await.unwrap();
    assert_eq!((link.kind, link.size), (DagKind::Symlink, Some(1)));
    assert_eq!(store.symlink(&link.cid).await.unwrap(), "f");
    assert!(matches!(store.symlink(&files).await, Err(BlobError::NotAFile(_))));
    let directory = resolve(&store, &files, "").await.unwrap();
    assert_eq!((directory.kind, directory.size), (DagKind::Directory { sharded: false }, None));
    // Named links of dag-pb that is no UnixFS.
    let mut named = vec![0x12, 0x29, 0x0a, 0x24];
    named.extend(files.to_bytes());
    named.extend([0x12, 1, b'n']);
    named[1] = 0x29;
    let named = put(&store, 0x70, named).await;
    assert_eq!(resolve(&store, &named, "n/f").await.unwrap().cid, found.cid);
    assert_eq!(resolve(&store, &named, "").await.unwrap().kind, DagKind::Data { codec: 0x70 });

    for (root, path, segment, under) in [
        (&files, "x", "x", files),
        (&files, "f/deeper", "deeper", found.cid),
        (&files, "l/deeper", "deeper", link.cid),
        (&cbor, "x", "x", cbor),
        (&cbor, "j/in/list/2", "2", json),
        (&cbor, "j/in/list/0/y", "y", json),
    ] {
        let error = resolve(&store, root, path).await.unwrap_err();
        assert_eq!(error.to_string(), format!("no link named \"{segment}\" under {under}"));
    }
    for path in [vec!["."], vec!["f", ".."], vec![""], vec!["a"; 257]] {
        let path: Vec<String> = path.into_iter().map(str::to_owned).collect();
        let error = store.resolve(&files, &path, Fetch::LocalOnly).await.unwrap_err();
        assert!(matches!(error, PathError::BadPath(_)), "{error}");
    }
    let missing = cid_of(0x70, b"elsewhere");
    let error = resolve(&store, &missing, "x").await.unwrap_err();
    assert!(matches!(error, PathError::Blob(BlobError::Missing(cid)) if cid == missing));
    let inline: Cid = "bafkqaf3imvwgy3zaneqgc3janfxgy2lomvscay3jmqfa".parse().unwrap();
    assert_eq!(resolve(&store, &inline, "").await.unwrap().size, Some(23));
}

#[tokio::test]
async fn what_unixfs_1_5_tells_is_read() {
    let (_dir, store) = open();
    // A directory of mode 0755, last changed at 1,234,567,890 s.
    let mut data = vec![8, 1, 0x38, 0xed, 3, 0x42, 6, 8];
    varint(&mut data, 1_234_567_890);
    let mut block = vec![0x0a, data.len() as u8];
    block.extend(data);
    let cid = put(&store, 0x70, block).await;
    assert_eq!(resolve(&store, &cid, "").await.unwrap().modified_s, Some(1_234_567_890));
}

/// A block of links with names, and a shard's data.
fn shard(links: &[(String, Cid)], slots: &[usize]) -> Vec<u8> {
    let mut field = [0_u8; 32];
    slots.iter().for_each(|slot| field[31 - slot / 8] |= 1 << (slot % 8));
    let mut data = vec![8, 5, 0x12, 32];
    data.extend(field);
    data.extend([0x28, 0x22, 0x30, 0x80, 2]);
    let mut block = Vec::new();
    for (name, cid) in links {
        let mut link = vec![0x0a, 0x24];
        link.extend(cid.to_bytes());
        link.extend([0x12, name.len() as u8]);
        link.extend(name.as_bytes());
        block.extend([0x12, link.len() as u8]);
        block.extend(link);
    }
    block.extend([0x0a, data.len() as u8]);
    block.extend(data);
    block
}

async fn listing(store: &Store, cid: &Cid) -> Result<Vec<String>, BlobError> {
    store.entries(cid).await?.map_ok(|entry| entry.name).try_collect().await
}

#[tokio::test]
async fn directories_that_lie_are_refused() {
    let (_dir, store) = open();
    let leaf = put(&store, 0x55, "leaf").await;
    // "hello" hashes to cb d8 a7 ...: in slot 0xCB of the root.
    let good = put(&store, 0x70, shard(&[("CBhello".into(), leaf)], &[0xcb])).await;
    assert_eq!(listing(&store, &good).await.unwrap(), ["hello"]);
    assert_eq!(resolve(&store, &good, "hello").await.unwrap().cid, leaf);
    let below = put(&store, 0x70, shard(&[("D8hello".into(), leaf)], &[0xd8])).await;
    let deep = put(&store, 0x70, shard(&[("CB".into(), below)], &[0xcb])).await;
    assert_eq!(listing(&store, &deep).await.unwrap(), ["hello"]);
    assert_eq!(resolve(&store, &deep, "hello").await.unwrap().roots, [deep, leaf]);

    let wrong = put(&store, 0x70, shard(&[("CAhello".into(), leaf)], &[0xca])).await;
    let field = put(&store, 0x70, shard(&[("CBhello".into(), leaf)], &[0xcc])).await;
    let empty = put(&store, 0x70, shard(&[], &[])).await;
    let of_empty = put(&store, 0x70, shard(&[("CB".into(), empty)], &[0xcb])).await;
    let of_file = put(&store, 0x70, shard(&[("CB".into(), leaf)], &[0xcb])).await;
    for (cid, why) in [
        (wrong, "has an entry in a slot that its name does not hash to"),
        (field, "links are in other slots than its bit field says"),
        (of_empty, "holds nothing"),
        (of_file, "is no shard"),
        (leaf, "not a directory: block"),
    ] {
        let error = listing(&store, &cid).await.unwrap_err();
        assert!(matches!(error, BlobError::NotADirectory(_)) && error.to_string().contains(why), "{error}");
    }
    assert!(matches!(resolve(&store, &wrong, "hello").await, Err(PathError::NoLink { .. })));
    assert!(matches!(resolve(&store, &of_file, "hello").await, Err(PathError::Blob(BlobError::NotADirectory(_)))));
    assert!(listing(&store, &empty).await.unwrap().is_empty(), "the root may hold nothing");

    // The same shard in every slot, eight levels deep: 256^8 entries from nine blocks, were it listed.
    let mut inner = below;
    for _ in 0..7 {
        let all: Vec<_> = (0..256).map(|slot| (format!("{slot:02X}"), inner)).collect();
        inner = put(&store, 0x70, shard(&all, &(0..256).collect::<Vec<_>>())).await;
    }
    let error = listing(&store, &inner).await.unwrap_err();
    assert!(error.to_string().contains("does not hash to"), "{error}");
    // Deeper than the hash is long.
    let mut inner = below;
    for _ in 0..9 {
        inner = put(&store, 0x70, shard(&[("CB".into(), inner)], &[0xcb])).await;
    }
    for error in [
        listing(&store, &inner).await.unwrap_err(),
        match resolve(&store, &inner, "hello").await {
            Err(PathError::Blob(error)) => error,
            // Lookups follow the hash, which leaves the chain at its second level.
            Err(PathError::NoLink { .. }) => BlobError::NotADirectory("deeper than its hash".into()),
            other => panic!("{other:?}"),
        },
    ] {
        assert!(error.to_string().contains("deeper than its hash"), "{error}");
    }
}

#[tokio::test]
async fn names_that_lead_out_of_a_tar_are_told_before_it_begins() {
    let (_dir, store) = open();
    let leaf = put(&store, 0x55, "leaf").await;
    let directory = |name: &str, cid: Cid| {
        let mut link = vec![0x0a, 0x24];
        link.extend(cid.to_bytes());
        link.extend([0x12, name.len() as u8]);
        link.extend(name.as_bytes());
        let mut block = vec![0x12, link.len() as u8];
        block.extend(link);
        block.extend([0x0a, 2, 8, 1]);
        block
    };
    let outside = put(&store, 0x70, directory("../foo", leaf)).await;
    let error = store.tar(&outside, "root".into()).await.err().unwrap();
    assert!(error.to_string().contains("\"../foo\" leads out of the archive: take it as a CAR"), "{error}");
    // The same name a level below stays inside.
    let inside = put(&store, 0x70, directory("sub", outside)).await;
    let tar: Vec<Bytes> = store.tar(&inside, "root".into()).await.unwrap().try_collect().await.unwrap();
    assert!(tar.concat().windows(9).any(|nine| nine == b"root/foo\0"));
    let deeper = put(&store, 0x70, directory("../../foo", leaf)).await;
    let late = put(&store, 0x70, directory("sub", deeper)).await;
    let error = store.tar(&late, "root".into()).await.unwrap().try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(error, BlobError::BadName(_)), "{error}");
    let value = put(&store, 0x71, Bytes::from_static(&[0xa0])).await;
    let error = store.tar(&value, "root".into()).await.err().unwrap();
    assert!(error.to_string().contains("is not UnixFS"), "{error}");
}
