//! Archives: what is in one, and what is not let in.

use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, TryStreamExt, stream};
use proptest::prelude::*;
use rustdht_blobs::Store;
use rustdht_core::ports::{
    AddOptions, BlobError, BlobStore, CarOptions, DagScope, DagStore, EntityBytes, Fetch, PathError,
};

use crate::common::{LEGACY, Tree, add, body, bytes, cid_of, folder, open, text, varint, whole};

const CHUNK: usize = 256 << 10;

fn all() -> CarOptions {
    CarOptions::default()
}

fn entity(bytes: Option<EntityBytes>) -> CarOptions {
    CarOptions { scope: DagScope::Entity, bytes, ..CarOptions::default() }
}

/// A length and what it counts.
fn counted(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, bytes.len() as u64);
    out.extend(bytes);
    out
}

fn header(roots: &[Cid]) -> Vec<u8> {
    let mut header = b"\xa2eroots".to_vec();
    header.push(0x80 + roots.len() as u8);
    for root in roots {
        let cid = root.to_bytes();
        // Lengths are as short as they can be (RFC 8949 section 4.2.1).
        match cid.len() as u8 + 1 {
            short @ ..24 => header.extend([0xd8, 0x2a, 0x40 | short, 0]),
            long => header.extend([0xd8, 0x2a, 0x58, long, 0]),
        }
        header.extend(cid);
    }
    header.extend(b"gversion\x01");
    counted(&header)
}

fn section(cid: &Cid, block: &[u8]) -> Vec<u8> {
    counted(&[&cid.to_bytes(), block].concat())
}

fn archive(blocks: &[(Cid, Bytes)]) -> Vec<u8> {
    let sections: Vec<u8> = blocks.iter().flat_map(|(cid, block)| section(cid, block)).collect();
    [header(&[blocks[0].0]), sections].concat()
}

/// The same as a CAR v2, with bytes before and behind its data.
fn version_2(data: &[u8]) -> Vec<u8> {
    let mut out = b"\x0a\xa1gversion\x02".to_vec();
    out.extend([0; 16]);
    for number in [60, data.len() as u64, 60 + data.len() as u64] {
        out.extend(number.to_le_bytes());
    }
    out.extend([0xee; 9]);
    out.extend(data);
    out.extend([0xdd; 33]);
    out
}

/// The sections of an archive.
fn sections(car: &[u8]) -> Vec<(Cid, Bytes)> {
    let number = |rest: &mut &[u8]| {
        let (mut number, mut shift) = (0_usize, 0);
        loop {
            let byte = rest[0];
            *rest = &rest[1..];
            number |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return number;
            }
        }
    };
    let mut rest = car;
    let skipped = number(&mut rest);
    rest = &rest[skipped..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let len = number(&mut rest);
        let (mut section, next) = rest.split_at(len);
        let cid = Cid::read_bytes(&mut section).unwrap();
        found.push((cid, Bytes::copy_from_slice(section)));
        rest = next;
    }
    found
}

async fn cids(store: &Store, root: &Cid, path: &str, options: CarOptions) -> Vec<Cid> {
    let path: Vec<String> = path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
    let car = whole(store.car(root, &path, options).await.unwrap()).await;
    let sections = sections(&car);
    for (cid, block) in &sections {
        assert_eq!(store.block(cid).await.unwrap().as_ref(), Some(block));
    }
    sections.into_iter().map(|(cid, _)| cid).collect()
}

async fn import(car: &[u8]) -> (Result<(u64, u64), BlobError>, Store, tempfile::TempDir) {
    let (dir, store) = open();
    let result = store.import_car(body(&Bytes::copy_from_slice(car), 777)).await;
    (result.map(|done| (done.blocks, done.bytes)), store, dir)
}

/// Blocks of several codecs and hashes, the first of them linking some of the others.
fn mixed() -> Vec<(Cid, Bytes)> {
    use multihash::Multihash;
    use sha2::Digest;
    let raw = (cid_of(0x55, b"raw"), Bytes::from_static(b"raw"));
    let long = Multihash::wrap(0x13, &sha2::Sha512::digest(b"long")).unwrap();
    let long = (Cid::new_v1(0x55, long), Bytes::from_static(b"long"));
    let blake = Multihash::wrap(0x1e, blake3::hash(b"blake").as_bytes()).unwrap();
    let blake = (Cid::new_v1(0x55, blake), Bytes::from_static(b"blake"));
    let inline = (Cid::new_v1(0x55, Multihash::wrap(0, b"inline").unwrap()), Bytes::from_static(b"inline"));
    let mut value = vec![0xa1, 0x61, b'l', 0x84];
    for (cid, _) in [&raw, &long, &blake, &inline] {
        let cid = cid.to_bytes();
        value.extend([0xd8, 0x2a, 0x58, cid.len() as u8 + 1, 0]);
        value.extend(cid);
    }
    let value = Bytes::from(value);
    let old = Bytes::from_static(&[0x0a, 2, 8, 1]);
    let version_0 = Cid::new_v0(*cid_of(0x70, &old).hash()).unwrap();
    vec![(cid_of(0x71, &value), value), raw, long, blake, inline, (version_0, old)]
}

#[tokio::test]
async fn both_versions_are_read_with_every_known_hash() {
    let blocks = mixed();
    let car = archive(&blocks);
    for car in [car.clone(), version_2(&car)] {
        let (result, store, _dir) = import(&car).await;
        let total: usize = blocks.iter().map(|(_, block)| block.len()).sum();
        assert_eq!(result.unwrap(), (6, total as u64));
        assert_eq!(store.totals().await.0, 5, "what is inline is not stored");
        for (cid, block) in &blocks {
            assert_eq!(store.block(cid).await.unwrap().as_ref(), Some(block));
        }
        // Out again: what is inline is not written either, and the links of the value are followed.
        assert_eq!(
            cids(&store, &blocks[0].0, "", all()).await,
            blocks[..4].iter().map(|(cid, _)| *cid).collect::<Vec<_>>()
        );
    }
    let (result, _, _dir) = import(&header(&[])).await;
    assert_eq!(result.unwrap(), (0, 0));
}

#[tokio::test]
async fn a_car_with_lies_is_refused_and_says_where() {
    let blocks = mixed();
    let good = archive(&blocks);
    let head = header(&[blocks[0].0]);
    let at = head.len();
    let with = |more: Vec<u8>| [head.clone(), more].concat();
    let unknown = Cid::new_v1(0x55, multihash::Multihash::wrap(0x11, &[7; 20]).unwrap());
    let cut = Cid::new_v1(0x55, multihash::Multihash::wrap(0x12, &[7; 20]).unwrap());
    let mut huge = head.clone();
    varint(&mut huge, 1 << 40);
    let mut wide = Vec::new();
    varint(&mut wide, 1 << 30);
    let over = vec![0; (2 << 20) + 1];
    let mut v2 = version_2(&good);
    v2[27..35].copy_from_slice(&5_u64.to_le_bytes());
    let mut short = version_2(&good);
    short[35..43].copy_from_slice(&(good.len() as u64 - 3).to_le_bytes());
    let mut far = version_2(&good);
    far[27..35].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut inside = version_2(&good);
    inside[35..43].copy_from_slice(&10_u64.to_le_bytes());
    for (car, why) in [
        (with(section(&blocks[1].0, b"other")), format!("block {} does not hash to its CID", blocks[1].0)),
        (with(section(&blocks[2].0, b"other")), format!("block {} does not hash to its CID", blocks[2].0)),
        (with(section(&blocks[4].0, b"other")), format!("block {} does not hash to its CID", blocks[4].0)),
        (with(section(&unknown, b"x")), format!("the hash function 0x11 of {unknown} with 20 bytes is unknown here")),
        (with(section(&cut, b"x")), format!("the hash function 0x12 of {cut} with 20 bytes is unknown here")),
        (huge, format!("not a CAR: the section at byte {at} has 1099511627776 bytes: a block has at most 2097152")),
        (
            with(section(&cid_of(0x55, &over), &over)),
            format!("the section at byte {at} holds a block of 2097153 bytes"),
        ),
        (with(counted(b"no cid at all")), format!("the section at byte {at} begins with no CID")),
        (with(vec![0]), format!("the section at byte {at} begins with no CID")),
        (with(vec![0x80, 0]), "is no varint".into()),
        (with(vec![0xff; 12]), "is no varint".into()),
        (wide, "a header of 1073741824 bytes, more than 1048576".into()),
        (vec![0], "a header of no bytes".into()),
        (Vec::new(), "it ends early: at byte 0 1 bytes are due, and 0 are there".into()),
        (counted(b"\xa2eroots\x80gversion\x03"), "a version other than 1 or 2".into()),
        (
            b"PK\x03\x04 a zip, and not a car, but long enough to be read as one as far as it goes, which is not far"
                .to_vec(),
            "not a CAR: ".into(),
        ),
        (v2, "where its header is or beyond 2^64".into()),
        (far, "where its header is or beyond 2^64".into()),
        (short, "goes beyond the data that the header tells of".into()),
        (inside, "ends inside of its header".into()),
    ] {
        let (result, ..) = import(&car).await;
        let error = result.unwrap_err().to_string();
        assert!(error.contains(&why), "{error}, not {why}");
    }
    let broken = stream::iter([Ok(Bytes::from(good)), Err(BlobError::Body("reset".into()))]).boxed();
    let (_dir, store) = open();
    assert!(matches!(store.import_car(broken).await, Err(BlobError::Body(_))));
}

#[tokio::test]
async fn an_archive_cut_anywhere_is_an_error_unless_nothing_is_missing() {
    let blocks = mixed();
    let good = archive(&blocks);
    let mut ends = vec![header(&[blocks[0].0]).len()];
    for (cid, block) in &blocks {
        ends.push(ends[ends.len() - 1] + section(cid, block).len());
    }
    let (_dir, store) = open();
    for len in 0..good.len() {
        let result = store.import_car(body(&Bytes::copy_from_slice(&good[..len]), 50)).await;
        assert_eq!(result.is_ok(), ends.contains(&len), "cut to {len}");
    }
    // A CAR v2 tells how long its data is.
    let good = version_2(&good);
    for len in 0..good.len() {
        let result = store.import_car(body(&Bytes::copy_from_slice(&good[..len]), 50)).await;
        assert_eq!(result.is_ok(), len >= good.len() - 33, "cut to {len}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn damage_never_lets_a_wrong_block_in(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        second in any::<bool>(),
        piece in 1..400_usize,
    ) {
        let mut car = archive(&mixed());
        if second {
            car = version_2(&car);
        }
        for (at, byte) in changes {
            let at = at.index(car.len());
            car[at] = byte;
        }
        if let Some(cut) = cut {
            car.truncate(cut.index(car.len()));
        }
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap().block_on(async {
            let (_dir, store) = open();
            if let Ok(done) = store.import_car(body(&car.into(), piece)).await {
                prop_assert!(done.blocks <= 6);
            }
            // Whatever came in is among what was good.
            let mut held = 0;
            for (cid, block) in mixed() {
                if let Some(there) = store.block(&cid).await.unwrap() {
                    prop_assert_eq!(there, block);
                    held += u64::from(cid.hash().code() != 0);
                }
            }
            // A changed codec byte leaves a block what it is, so there is nothing else.
            prop_assert_eq!(store.totals().await.0, held);
            Ok(())
        })?;
    }
}

/// A folder with a chunked file, a wide folder and a value, and its root.
async fn sample(store: &Store) -> Cid {
    let wide: Vec<_> = (0..5000).map(|i| (format!("{i:030}"), text("same"))).collect();
    let tree = folder([
        ("big", Tree::File(bytes(1, 5 * CHUNK + 7))),
        ("sub", folder([("a", text("a")), ("b", text("b")), ("link", Tree::Symlink("a".into()))])),
        ("wide", Tree::Folder(wide.into_iter().collect())),
    ]);
    add(store, &tree, LEGACY).await
}

async fn at(store: &Store, root: &Cid, path: &str) -> Cid {
    let path: Vec<String> = path.split('/').map(str::to_owned).collect();
    store.resolve(root, &path, Fetch::LocalOnly).await.unwrap().cid
}

fn chunks() -> Vec<Cid> {
    bytes(1, 5 * CHUNK + 7).chunks(CHUNK).map(|chunk| cid_of(0x55, chunk)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_hold_what_the_trustless_gateway_specification_says() {
    let (_dir, store) = open();
    let root = sample(&store).await;
    let block = CarOptions { scope: DagScope::Block, ..CarOptions::default() };
    let (sub, a, big, wide) = (
        at(&store, &root, "sub").await,
        at(&store, &root, "sub/a").await,
        at(&store, &root, "big").await,
        at(&store, &root, "wide").await,
    );
    assert_eq!(cids(&store, &root, "", block).await, [root]);
    assert_eq!(cids(&store, &root, "sub/a", block).await, [root, sub, a]);
    assert_eq!(cids(&store, &root, "sub", entity(None)).await, [root, sub]);
    assert_eq!(cids(&store, &root, "sub/link", entity(None)).await.len(), 3);
    assert_eq!(cids(&store, &root, "big", entity(None)).await, [vec![root, big], chunks()].concat());
    assert_eq!(cids(&store, &root, "big", all()).await, [vec![root, big], chunks()].concat());
    let (b, link) = (at(&store, &root, "sub/b").await, at(&store, &root, "sub/link").await);
    assert_eq!(cids(&store, &root, "sub", all()).await, [root, sub, a, b, link]);
    // A directory in shards: all of them, and none of its files.
    let shards = cids(&store, &root, "wide", entity(None)).await;
    assert!(shards.len() > 200 && shards[..2] == [root, wide] && shards.iter().all(|cid| cid.codec() == 0x70));
    // A path through shards brings those that it goes through.
    let through = cids(&store, &root, &format!("wide/{:030}", 4321), block).await;
    assert!(through.len() > 3 && through[..2] == [root, wide]);
    assert_eq!(through[through.len() - 1], cid_of(0x55, b"same"));
    assert!(through[2..through.len() - 1].iter().all(|cid| shards.contains(cid)));
    // Every block once, or as often as it is linked.
    let twice = CarOptions { duplicates: true, ..all() };
    assert_eq!(cids(&store, &root, "wide", all()).await.len(), shards.len() + 1);
    assert_eq!(cids(&store, &root, "wide", twice).await.len(), shards.len() + 5000);
    // A path that leads nowhere brings what shows it.
    assert_eq!(cids(&store, &root, "sub/none", all()).await, [root, sub]);
    assert_eq!(cids(&store, &root, "sub/a/none", all()).await, [root, sub, a]);
    let car = whole(store.car(&root, &["none".into()], all()).await.unwrap()).await;
    assert!(car.starts_with(&header(&["bafkqaaa".parse().unwrap()])));
    let error = store.car(&root, &["..".into()], all()).await.err().unwrap();
    assert!(matches!(error, PathError::BadPath(_)));
    // What is inline is never written.
    let inline = "bafkqaf3imvwgy3zaneqgc3janfxgy2lomvscay3jmqfa".parse().unwrap();
    assert!(cids(&store, &inline, "", twice).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_an_entity_need_no_other_blocks() {
    let (_dir, source) = open();
    let root = sample(&source).await;
    let big = at(&source, &root, "big").await;
    let chunks = chunks();
    let size = (5 * CHUNK + 7) as i64;
    for (from, to, wanted) in [
        (0, Some(0), 0..1),
        (CHUNK as i64, Some(2 * CHUNK as i64 - 1), 1..2),
        (CHUNK as i64 - 1, Some(CHUNK as i64), 0..2),
        (-8, None, 4..6),
        (-7, None, 5..6),
        (2 * CHUNK as i64, Some(-8), 2..5),
        (0, None, 0..6),
        (-1000 * size, None, 0..6),
        (size, None, 0..0),
        (3, Some(2), 0..0),
    ] {
        // A store with nothing but these blocks.
        let (_dir, store) = open();
        for cid in [root, big].iter().chain(&chunks[wanted.clone()]) {
            store.put_block(cid, source.block(cid).await.unwrap().unwrap()).await.unwrap();
        }
        let expected = [&[root, big], &chunks[wanted.clone()]].concat();
        let range = entity(Some(EntityBytes { from, to }));
        assert_eq!(cids(&store, &root, "big", range).await, expected, "{from}:{to:?}");
        // The whole is not there: the archive breaks off where a block is missing.
        if wanted.len() < 6 {
            let pieces = store.car(&root, &["big".into()], all()).await.unwrap();
            let error = pieces.try_collect::<Vec<_>>().await.unwrap_err();
            assert!(matches!(error, BlobError::Missing(cid) if chunks.contains(&cid)));
        }
    }
    let before = entity(Some(EntityBytes { from: 10, to: Some(5) }));
    let error = source.car(&root, &["big".into()], before).await.err().unwrap();
    assert!(matches!(error, PathError::Blob(BlobError::OutOfRange { size: told }) if told == size as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_bounded() {
    let (_dir, store) = open();
    // Forty folders, each holding the next one twice: 2^40 paths, 41 blocks.
    let mut inner = add(&store, &folder([("x", text("boom"))]), AddOptions::default()).await;
    for _ in 0..40 {
        let mut node = Vec::new();
        for name in ["a", "b"] {
            let mut link = vec![0x0a, 0x24];
            link.extend(inner.to_bytes());
            link.extend([0x12, 1, name.as_bytes()[0], 0x18, 1]);
            node.push(0x12);
            node.extend(counted(&link));
        }
        node.extend([0x0a, 2, 8, 1]);
        inner = cid_of(0x70, &node);
        store.put_block(&inner, node.into()).await.unwrap();
    }
    assert_eq!(cids(&store, &inner, "", all()).await.len(), 42);
    // With duplicates and as a tar it is as long as it says, but it streams.
    let twice = CarOptions { duplicates: true, ..all() };
    let first: Vec<_> = store.car(&inner, &[], twice).await.unwrap().take(5000).try_collect().await.unwrap();
    assert_eq!(first.len(), 5000);
    let first: Vec<_> = store.tar(&inner, "bomb".into()).await.unwrap().take(5000).try_collect().await.unwrap();
    assert_eq!(first.len(), 5000);

    // A file of 2^60 bytes that is one block.
    let mut inner = (cid_of(0x55, b"0123456789abcdef"), 16_u64);
    store.put_block(&inner.0, Bytes::from_static(b"0123456789abcdef")).await.unwrap();
    for _ in 0..56 {
        let (mut node, mut data) = (Vec::new(), vec![8, 2]);
        for _ in 0..2 {
            node.extend([0x12, 0x26, 0x0a, 0x24]);
            node.extend(inner.0.to_bytes());
            data.push(0x20);
            varint(&mut data, inner.1);
        }
        node.push(0x0a);
        node.extend(counted(&data));
        inner = (cid_of(0x70, &node), inner.1 * 2);
        store.put_block(&inner.0, node.into()).await.unwrap();
    }
    assert_eq!(inner.1, 1 << 60);
    for range in [None, Some(EntityBytes { from: 12_345, to: Some(-9_876_543_210) })] {
        let found = cids(&store, &inner.0, "", entity(range)).await;
        assert_eq!(found.len(), 57, "{range:?}");
    }

    // A chain that is too deep, and a block that is not of its codec.
    let mut inner = cid_of(0x55, b"0123456789abcdef");
    for _ in 0..1100 {
        let mut value = vec![0x81, 0xd8, 0x2a, 0x58, 37, 0];
        value.extend(inner.to_bytes());
        inner = cid_of(0x71, &value);
        store.put_block(&inner, value.into()).await.unwrap();
    }
    let error = store.car(&inner, &[], all()).await.unwrap().try_collect::<Vec<_>>().await.unwrap_err();
    assert!(error.to_string().contains("a DAG of more than 1024 levels"), "{error}");
    let path = vec!["0".to_owned(); 257];
    let error = store.resolve(&inner, &path, Fetch::LocalOnly).await.unwrap_err();
    assert!(matches!(error, PathError::BadPath(_)), "{error}");
    let bad = Bytes::from_static(&[0x9f, 1]);
    store.put_block(&cid_of(0x71, &bad), bad.clone()).await.unwrap();
    let error = store.car(&cid_of(0x71, &bad), &[], all()).await.unwrap().try_collect::<Vec<_>>().await.unwrap_err();
    assert!(error.to_string().contains("is not of its codec: an indefinite length"), "{error}");
}
