//! What a collector is told.

use rustdht_core::{Mode, Value, ports::GraphStore as _};
use rustdht_testkit::MemoryStore;

use super::{cluster::World, roots as all, *};
use crate::{
    Wanted, WriteMode,
    tests::{Bench, request, set, text},
};

fn blob(cid: Cid) -> Wanted {
    Wanted::Value(Value::Blob(cid))
}

async fn since(node: &Node, mark: rustdht_core::ports::RootMark) -> Vec<Root> {
    let mut roots: Vec<Root> = node.roots().since(mark).try_collect().await.unwrap();
    roots.sort_unstable();
    roots.dedup();
    roots
}

#[tokio::test]
async fn every_blob_that_the_graph_names_is_kept_until_nothing_names_it() {
    let bench = Bench::new(1).await;
    let node = &bench.node;
    let (one, two, three) = (add(node, "one").await, add(node, "two").await, add(node, "three").await);
    bench.patch("photos", &[("cover", blob(one)), ("n", text("x"))]).await;
    let elements = Wanted::set([Value::Blob(two), Value::Blob(three), Value::Int(1)]);
    bench.patch("photos", &[("all", elements)]).await;
    let mut expected = [recursive(one), recursive(two), recursive(three)];
    expected.sort_unstable();
    assert_eq!(all(node).await, expected);
    bench.patch("photos", &[("all", Wanted::set([Value::Blob(three)]))]).await;
    bench.patch("photos", &[("cover", text("none")), ("s", set(&[1]))]).await;
    assert_eq!(all(node).await, [recursive(three)], "history keeps nothing");
    node.write(request("photos", WriteMode::Delete, &[])).await.unwrap();
    assert_eq!(all(node).await, []);
}

#[tokio::test]
async fn what_came_after_a_mark_is_told() {
    let bench = Bench::new(1).await;
    let node = &bench.node;
    let (before, graph, pinned, leased) =
        (add(node, "before").await, add(node, "graph").await, add(node, "pinned").await, add(node, "leased").await);
    bench.patch("a", &[("x", blob(before))]).await;
    let mark = node.roots().mark().await.unwrap();
    assert_eq!(since(node, mark).await, []);
    bench.patch("b", &[("x", blob(graph))]).await;
    for (cid, keep) in [(pinned, Keep::Pin), (leased, Keep::Lease)] {
        let room = node.reserve(Principal::Owner, None).await.unwrap();
        node.pin_upload(Principal::Owner, upload(cid, 1, keep), room).await.unwrap();
    }
    let absent: Cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap();
    node.add_pin(Principal::Owner, NewPin::new(absent), Duration::ZERO).await.unwrap();
    let mut expected = [recursive(graph), recursive(pinned), recursive(leased), recursive(absent)];
    expected.sort_unstable();
    assert_eq!(since(node, mark).await, expected);
    let later = node.roots().mark().await.unwrap();
    assert_eq!(since(node, later).await, []);
    // Of a moment that is too long ago, everything is told.
    for _ in 0..=RECENT_ROOTS {
        drop(node.inner.pins.note(recursive(before)));
    }
    let told = since(node, mark).await;
    assert!(expected.iter().all(|root| told.contains(root)), "{told:?}");
}

#[tokio::test]
async fn a_private_node_keeps_its_blobs_as_far_as_somebody_here_reads_it() {
    let bench = Bench::new(1).await;
    let node = &bench.node;
    let cid = add(node, "secret").await;
    let ada = account(node, "ada").await;
    let Principal::Account(key) = ada else { panic!() };
    let soul: rustdht_core::Soul = format!("~{key}/album").parse().unwrap();
    node.set_recipients(ada, &soul, vec![]).await.unwrap();
    let mark = node.roots().mark().await.unwrap();
    let write =
        crate::NodeWrite { by: ada, ..request(&soul, WriteMode::Patch, &[("photo", blob(cid)), ("n", text("x"))]) };
    node.write(write).await.unwrap();
    let stored = bench.store.load(&[soul]).await.unwrap();
    assert!(!stored.iter().any(|entry| matches!(entry.body.value(), Some(Value::Blob(_)))), "it lies there sealed");
    assert_eq!(all(node).await, [recursive(cid)]);
    assert_eq!(since(node, mark).await, [recursive(cid)]);
    // What this gateway has no key of, it cannot know.
    node.disable_account("ada", true).await.unwrap();
    assert_eq!(all(node).await, []);
}

#[tokio::test]
async fn a_private_file_is_kept_where_nobody_reads_its_node() {
    let bench = Bench::new(1).await;
    let node = &bench.node;
    let (named, only_linked) = (add(node, "named").await, add(node, "only linked").await);
    let ada = account(node, "ada").await;
    let Principal::Account(key) = ada else { panic!() };
    let soul: rustdht_core::Soul = format!("~{key}/album").parse().unwrap();
    node.set_recipients(ada, &soul, vec![]).await.unwrap();
    let mark = node.roots().mark().await.unwrap();
    let link = |cid| crate::PrivateLink::new(cid, crate::FileKey::new([7; 32]));
    let film = "film".parse().unwrap();
    node.put_private_link(ada, &soul, &film, &link(named), Duration::ZERO).await.unwrap();
    let text = text(&link(only_linked).to_text());
    let write = crate::NodeWrite { by: ada, ..request(&soul, WriteMode::Patch, &[("other", text)]) };
    node.write(write).await.unwrap();
    let mut expected = [recursive(named), recursive(only_linked)];
    expected.sort_unstable();
    assert_eq!(all(node).await, expected, "a link is a reference for those who read it");
    assert_eq!(since(node, mark).await, expected);
    // Nobody here reads it any more; what `blobs` names in the clear is kept all the same.
    node.disable_account("ada", true).await.unwrap();
    assert_eq!(all(node).await, [recursive(named)]);
    let values = bench.store.load(std::slice::from_ref(&soul)).await.unwrap();
    let readable = values.iter().filter(|entry| matches!(entry.body.value(), Some(Value::Text(_) | Value::Blob(_))));
    assert_eq!(readable.count(), 1, "nothing but the reference is readable");
    node.disable_account("ada", false).await.unwrap();
    let next = add(node, "next").await;
    node.put_private_link(ada, &soul, &film, &link(next), Duration::ZERO).await.unwrap();
    let mut expected = [recursive(next), recursive(only_linked)];
    expected.sort_unstable();
    assert_eq!(all(node).await, expected, "the version before is let go of");
    node.take_private_link(ada, &soul, &film, Duration::ZERO).await.unwrap();
    assert_eq!(all(node).await, [recursive(only_linked)]);
}

#[tokio::test]
async fn more_than_a_page_of_everything() {
    let world = World::new(1).await;
    let node = &world.members[0].node;
    let cid = |number: u32| {
        let hash = cid::multihash::Multihash::wrap(0x1e, blake3::hash(&number.to_be_bytes()).as_bytes()).unwrap();
        Cid::new_v1(0x55, hash)
    };
    let holder = node.identity().gateway;
    let mut side = Vec::new();
    for number in 0..5000_u32 {
        let pin = row::PinRow {
            cid: cid(number),
            name: String::new(),
            meta: Default::default(),
            origins: Vec::new(),
            recursive: true,
            uploaded: true,
            status: PinStatus::Pinned,
            bytes: 1,
            due_ms: None,
            attempts: 0,
            detail: String::new(),
        };
        side.extend(row::rows(&holder, &PinId::new(u64::from(number), [0; 8]), &pin, None));
        let lease = row::Lease { root: recursive(cid(10_000 + number)), bytes: 1, until_ms: u64::MAX };
        side.push(lease.row(&holder));
    }
    node.side(side).await.unwrap();
    assert_eq!(all(node).await.len(), 10_000);
    let page = node.pins(Principal::Owner, &PinFilter { limit: 7, ..PinFilter::default() }).await.unwrap();
    assert_eq!((page.count, page.pins.len(), page.pins[0].created_ms), (5000, 7, 4999));
    let usage = node.usage(Principal::Owner).await.unwrap();
    assert_eq!((usage.bytes, usage.pins), (None, 5000));
    assert_eq!(quota::read_anew(&**node.store(), &holder, 0).await, (10_000, 5000));
    let _: (Mode, Arc<MemoryStore>) = (node.identity().mode, Arc::clone(&world.members[0].store));
}

#[tokio::test]
async fn a_thumbnail_is_kept_as_long_as_its_image_is_here() {
    use rustdht_core::ports::{Preview, Thumbnail};

    use crate::BlobNote;

    let bench = Bench::new(1).await;
    let node = &bench.node;
    let absent: Cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap();
    let image = add(node, "an image").await;
    let small = add(node, "a thumbnail").await;
    let preview = |cid| Preview {
        width: 9,
        height: 9,
        blurhash: "L".into(),
        thumbnail: Some(Thumbnail { cid, size: 1, mime: "image/png".into(), width: 1, height: 1 }),
    };
    let mark = node.roots().mark().await.unwrap();
    let note = BlobNote { preview: Some(Ok(preview(small))), ..BlobNote::default() };
    node.note_blob(&image, note.clone()).await.unwrap();
    assert_eq!(since(node, mark).await, [recursive(small)], "who collects meanwhile hears of it");
    assert_eq!(all(node).await, [recursive(small)]);
    // What is said first stays; what is known later is added.
    let said = |mime: &str| BlobNote { mime: Some(mime.into()), ..BlobNote::default() };
    node.note_blob(&image, said("image/x-first")).await.unwrap();
    node.note_blob(&image, said("image/x-second")).await.unwrap();
    let held = node.blob_note(&image).await.unwrap().unwrap();
    assert_eq!((held.mime.as_deref(), held.preview), (Some("image/x-first"), note.preview.clone()));
    // An image that is not here keeps nothing, and is forgotten.
    node.note_blob(&absent, note).await.unwrap();
    assert!(node.blob_note(&absent).await.unwrap().is_some());
    assert_eq!(all(node).await, [recursive(small)]);
    assert!(node.blob_note(&absent).await.unwrap().is_none());
}
