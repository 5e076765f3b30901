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
