//! Pins of callers: uploads, leases, the queue, finding them.

use rustdht_core::ports::GraphStore as _;

use super::{cluster::World, *};
use crate::{DenyRules, Denylist, Error, PinsConfig};

const HOUR_MS: u64 = 3_600_000;
/// Nobody has it.
const ABSENT: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

async fn pin(node: &Node, by: Principal, cid: Cid) -> Pin {
    node.add_pin(by, NewPin::new(cid), Duration::from_secs(5)).await.unwrap()
}

async fn status(node: &Node, id: PinId) -> PinStatus {
    node.pin(Principal::Owner, id).await.unwrap().status
}

fn is_unknown<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Pin(PinFault::Unknown)))
}

fn deny(denylist: &Denylist, text: &str) {
    denylist.replace(vec![DenyRules::read(text.as_bytes(), "list").unwrap()]);
}

#[tokio::test]
async fn an_upload_is_pinned_once_and_belongs_to_who_sent_it() {
    let world = World::new(1).await;
    let node = &world.members[0].node;
    let (ada, charles) = (account(node, "ada").await, account(node, "charles").await);
    let cid = add(node, "file").await;
    let keep = async |by| {
        let room = node.reserve(by, Some(4)).await.unwrap();
        node.pin_upload(by, upload(cid, 4, Keep::Pin), room).await.unwrap().unwrap()
    };
    let id = keep(ada).await;
    assert_eq!(keep(ada).await, id, "the same again is the same pin");
    let other = keep(charles).await;
    assert_ne!(other, id);
    assert_eq!(roots(node).await, [recursive(cid)]);
    let shown = node.pin(ada, id).await.unwrap();
    assert_eq!((shown.status, shown.bytes, shown.cid), (PinStatus::Pinned, 4, cid));
    assert!(is_unknown(&node.pin(charles, id).await) && is_unknown(&node.remove_pin(charles, id).await));
    assert!(is_unknown(&node.pin(Principal::Owner, id).await), "the owner's pins are his own");
    node.remove_pin(ada, id).await.unwrap();
    assert_eq!(roots(node).await, [recursive(cid)], "the other one keeps it");
    node.remove_pin(charles, other).await.unwrap();
    assert_eq!(roots(node).await, []);
    assert!(is_unknown(&node.remove_pin(ada, id).await));
    assert!(node.reserve(Principal::Anonymous, None).await.is_err());
}

#[tokio::test]
async fn an_upload_that_is_not_pinned_is_kept_for_a_day() {
    let world = World::new(1).await;
    let node = &world.members[0].node;
    let cid = add(node, "file").await;
    let lease = async || {
        let room = node.reserve(Principal::Owner, None).await.unwrap();
        assert_eq!(node.pin_upload(Principal::Owner, upload(cid, 4, Keep::Lease), room).await.unwrap(), None);
    };
    lease().await;
    world.clock.advance(23 * HOUR_MS);
    assert_eq!(roots(node).await, [recursive(cid)]);
    lease().await;
    world.clock.advance(23 * HOUR_MS);
    assert_eq!(roots(node).await, [recursive(cid)], "it was asked for again");
    world.clock.advance(HOUR_MS);
    assert_eq!(roots(node).await, []);
    node.inner.pins.wake.notify_one();
    until("the row goes", async || world.members[0].store.side_scan("lease", &[], 9).await.unwrap().is_empty()).await;
    assert_eq!(node.pins(Principal::Owner, &PinFilter::default()).await.unwrap().count, 0);
}

#[tokio::test]
async fn the_same_bytes_leased_under_another_codec_take_no_lease_away() {
    let world = World::with(1, PinsConfig { bytes_per_account: 10 << 20, ..PinsConfig::default() }).await;
    let node = &world.members[0].node;
    let ada = account(node, "ada").await;
    let used = async || node.usage(ada).await.unwrap().bytes.unwrap();
    let dag = add(node, large(3, 2)).await;
    let block = node.blobs().block(&dag).await.unwrap().unwrap();
    let raw = add(node, block.clone()).await;
    assert_eq!((raw.hash(), raw.codec(), dag.codec()), (dag.hash(), 0x55, 0x70));
    let lease = async |cid, bytes| {
        let room = node.reserve(ada, None).await.unwrap();
        node.pin_upload(ada, upload(cid, bytes, Keep::Lease), room).await.unwrap();
    };
    let mut both = [recursive(dag), recursive(raw)];
    both.sort_unstable();
    lease(dag, 2 << 20).await;
    lease(raw, block.len() as u64).await;
    assert_eq!(roots(node).await, both);
    // One multihash counts once, with the most that is said of it; also when it is read anew.
    assert_eq!(used().await, 2 << 20);
    let Principal::Account(holder) = ada else { panic!() };
    assert_eq!(quota::read_anew(&**node.store(), &holder, 0).await.0, 2 << 20);
    world.clock.advance(HOUR_MS);
    lease(raw, block.len() as u64).await;
    world.clock.advance(23 * HOUR_MS);
    assert_eq!(roots(node).await, [recursive(raw)], "each for its own day");
    assert_eq!(used().await, block.len() as u64);
}

#[tokio::test]
async fn a_lease_of_an_earlier_version_lasts_its_day() {
    let world = World::with(1, PinsConfig { bytes_per_account: 10_000, ..PinsConfig::default() }).await;
    let node = &world.members[0].node;
    let ada = account(node, "ada").await;
    let Principal::Account(holder) = ada else { panic!() };
    let cid = add(node, "file").await;
    let now_ms = rustdht_core::Clock::now_ms(&*world.clock);
    let lease = row::Lease { root: recursive(cid), bytes: 4, until_ms: now_ms + HOUR_MS };
    // It had the multihash for a key.
    let row = rustdht_core::ports::SideRow { key: row::root_prefix(&holder, &cid), ..lease.row(&holder) };
    node.side(vec![row]).await.unwrap();
    let used = async || node.usage(ada).await.unwrap().bytes.unwrap();
    assert_eq!((roots(node).await, used().await), (vec![recursive(cid)], 4));
    // Asked for again, it lasts longer under its new key.
    let room = node.reserve(ada, None).await.unwrap();
    node.pin_upload(ada, upload(cid, 4, Keep::Lease), room).await.unwrap();
    assert_eq!((roots(node).await, used().await), (vec![recursive(cid)], 4));
    world.clock.advance(2 * HOUR_MS);
    assert_eq!((roots(node).await, used().await), (vec![recursive(cid)], 4));
    node.inner.pins.wake.notify_one();
    until("the old row goes", async || world.members[0].store.side_scan("lease", &[], 9).await.unwrap().len() == 1)
        .await;
    assert_eq!((roots(node).await, used().await), (vec![recursive(cid)], 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_is_fetched_from_others_and_what_is_here_is_pinned_at_once() {
    let world = World::new(2).await;
    let (here, there) = (&world.members[0].node, &world.members[1].node);
    let cid = add(there, large(5, 3)).await;
    let made = pin(here, Principal::Owner, cid).await;
    assert_eq!((made.status, made.recursive), (PinStatus::Pinned, true));
    assert!(made.bytes > 3 << 20, "{}", made.bytes);
    let again = pin(here, Principal::Owner, cid).await;
    assert_ne!(again.id, made.id, "each request is a pin of its own");
    let inline: Cid = "bafkqabtimvwgy3yk".parse().unwrap();
    assert_eq!(pin(here, Principal::Owner, inline).await.status, PinStatus::Pinned);
    world.set_up(1, false);
    let stat = here.blobs().stat(&cid).await.unwrap();
    let bytes: Vec<Bytes> = here.blobs().read(&cid, 0..stat.size).await.unwrap().try_collect().await.unwrap();
    assert_eq!(bytes.concat(), large(5, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_pin_fetches_one_block() {
    let world = World::new(2).await;
    let (here, there) = (&world.members[0].node, &world.members[1].node);
    let cid = add(there, large(5, 3)).await;
    let new = NewPin { recursive: false, ..NewPin::new(cid) };
    let made = here.add_pin(Principal::Owner, new, Duration::from_secs(5)).await.unwrap();
    assert_eq!((made.status, made.recursive), (PinStatus::Pinned, false));
    assert!(made.bytes < 1000, "{}", made.bytes);
    assert_eq!(roots(here).await, [Root { cid, recursive: false }]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_has_is_tried_again_survives_a_restart_and_is_given_up() {
    let mut world = World::new(1).await;
    let absent: Cid = ABSENT.parse().unwrap();
    let late = {
        let node = &world.members[0].node;
        let made = pin(node, Principal::Owner, absent).await;
        assert_eq!(made.status, PinStatus::Queued);
        assert!(made.detail.contains("not here"), "{}", made.detail);
        assert_eq!(roots(node).await, [recursive(absent)], "what came of it is kept");
        made.id
    };
    world.restart(0).await;
    let node = &world.members[0].node;
    assert_eq!(status(node, late).await, PinStatus::Queued);
    assert_eq!(roots(node).await, [recursive(absent)]);
    // After the pause it is tried again, from what is here by then.
    let block = Bytes::from_static(b"late");
    let cid = add(node, block).await;
    let found = pin(node, Principal::Owner, cid).await;
    assert_eq!(found.status, PinStatus::Pinned);
    let mut last = String::new();
    for _ in 0..12 {
        world.clock.advance(3 * HOUR_MS);
        node.inner.pins.wake.notify_one();
        for _ in 0..500 {
            let now = node.pin(Principal::Owner, late).await.unwrap();
            let waits = world.members[0].store.side_scan("pin-queue", &[], 9).await.unwrap();
            last = waits.first().map(|(key, _)| hex::encode(key)).unwrap_or_default();
            let due = waits.first().and_then(|(key, _)| row::read_queue_key(key)).map_or(u64::MAX, |(due, ..)| due);
            if now.status == PinStatus::Failed || due > rustdht_core::Clock::now_ms(&*world.clock) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(status(node, late).await, PinStatus::Failed, "{last}");
    assert_eq!(roots(node).await, [recursive(cid)], "what failed is not kept");
    assert_eq!(world.members[0].store.side_scan("pin-queue", &[], 9).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_that_is_removed_while_it_is_fetched_stays_away() {
    let world = World::new(2).await;
    let (here, there) = (&world.members[0].node, &world.members[1].node);
    let cid = add(there, large(7, 6)).await;
    let made = here.add_pin(Principal::Owner, NewPin::new(cid), Duration::ZERO).await.unwrap();
    here.remove_pin(Principal::Owner, made.id).await.unwrap();
    until("the fetch ends", async || here.inner.pins.fetching() == 0).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(is_unknown(&here.pin(Principal::Owner, made.id).await));
    for ns in ["pin", "pin-root", "pin-queue"] {
        until("its rows go", async || world.members[0].store.side_scan(ns, &[], 9).await.unwrap().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_is_one_step() {
    let world = World::new(1).await;
    let node = &world.members[0].node;
    let (old, new) = (add(node, "old").await, add(node, "new").await);
    let made = pin(node, Principal::Owner, old).await;
    let replaced = node
        .replace_pin(Principal::Owner, made.id, NewPin { name: "n".into(), ..NewPin::new(new) }, Duration::from_secs(5))
        .await
        .unwrap();
    assert_ne!(replaced.id, made.id);
    assert_eq!((replaced.cid, replaced.status, replaced.name.as_str()), (new, PinStatus::Pinned, "n"));
    assert!(is_unknown(&node.pin(Principal::Owner, made.id).await));
    assert_eq!(roots(node).await, [recursive(new)]);
    let gone = node.replace_pin(Principal::Owner, made.id, NewPin::new(old), Duration::ZERO).await;
    assert!(is_unknown(&gone));
    assert_eq!(roots(node).await, [recursive(new)], "a refused replacement changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_denylist_names_is_neither_pinned_nor_fetched_nor_given_away() {
    let world = World::new(2).await;
    let (here, there) = (&world.members[0].node, &world.members[1].node);
    let cid = add(there, large(9, 2)).await;
    deny(here.denylist(), &format!("/ipfs/{cid}\n"));
    let refused = here.add_pin(Principal::Owner, NewPin::new(cid), Duration::ZERO).await;
    assert!(matches!(refused, Err(Error::Pin(PinFault::Denied { .. }))));
    let room = here.reserve(Principal::Owner, None).await.unwrap();
    let refused = here.pin_upload(Principal::Owner, upload(cid, 1, Keep::Pin), room).await;
    assert!(matches!(refused, Err(Error::Pin(PinFault::Denied { .. }))));
    assert!(matches!(
        here.share_pin(Principal::Owner, SharedPin::new(cid), Duration::ZERO).await,
        Err(Error::Pin(PinFault::Denied { .. }))
    ));
    // A block below, found on the way.
    let block = there.blobs().block(&cid).await.unwrap().unwrap();
    assert!(!block.is_empty());
    let leaf = add(there, vec![9; 1 << 20]).await;
    deny(here.denylist(), &format!("/ipfs/{leaf}\n"));
    let made = pin(here, Principal::Owner, cid).await;
    assert_eq!(made.status, PinStatus::Failed);
    assert!(made.detail.contains("list 'list'"), "{}", made.detail);
    // And nothing of it goes out.
    deny(there.denylist(), &format!("/ipfs/{leaf}\n"));
    assert!(there.ingest().block(&leaf).await.is_none() && there.ingest().block(&cid).await.is_some());
}

#[tokio::test]
async fn mistakes_are_named() {
    let world = World::new(1).await;
    let node = &world.members[0].node;
    let cid: Cid = ABSENT.parse().unwrap();
    let long = NewPin { name: "é".repeat(256), ..NewPin::new(cid) };
    let origins = NewPin { origins: vec!["/ip4/127.0.0.1/tcp/1/p2p/x".into(); 21], ..NewPin::new(cid) };
    let origin = NewPin { origins: vec!["/p2p/x".into(), "/ip4/127.0.0.1".into()], ..NewPin::new(cid) };
    let meta = NewPin { meta: [("k".to_owned(), "v".repeat(MAX_META_BYTES))].into(), ..NewPin::new(cid) };
    for (new, field) in [(long, "name"), (origins, "origins"), (origin, "origins.1"), (meta, "meta")] {
        match node.add_pin(Principal::Owner, new, Duration::ZERO).await {
            Err(Error::Refused(refusal)) => assert_eq!(refusal.field, field),
            made => panic!("{made:?}"),
        }
    }
    let short = NewPin { name: "é".repeat(255), ..NewPin::new(cid) };
    assert!(node.add_pin(Principal::Owner, short, Duration::ZERO).await.is_ok());
    assert_eq!(node.delegates().await.unwrap(), ["/p2p/replica-0"]);
}
