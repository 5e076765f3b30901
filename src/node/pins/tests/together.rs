//! The community's pins: who holds what, repair, surplus.

use super::{cluster::World, *};
use crate::Error;

const MINUTE_MS: u64 = 60_000;

/// All blocks of a file of a few mebibytes.
async fn is_whole(node: &Node, cid: &Cid) -> bool {
    let Ok(stat) = node.blobs().stat(cid).await else { return false };
    let Ok(bytes) = node.blobs().read(cid, 0..stat.size).await else { return false };
    bytes.try_collect::<Vec<Bytes>>().await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nearest_fetch_it_and_the_next_comes_up_for_one_that_is_away() {
    let world = World::new(4).await;
    let cid = add(&world.members[3].node, large(1, 3)).await;
    let pin = SharedPin { name: "data".into(), ..SharedPin::new(cid) };
    world.members[1].node.share_pin(Principal::Owner, pin.clone(), Duration::ZERO).await.unwrap();
    world.until("two copies", async || world.holders(0, &cid).await.len() == 2).await;
    let first = world.holders(0, &cid).await;
    for holder in &first {
        let node = &world.members[*holder].node;
        // Alone with what is on its disk.
        world.set_up(*holder, false);
        assert!(is_whole(node, &cid).await && roots(node).await.contains(&recursive(cid)));
        world.set_up(*holder, true);
    }
    for other in (0..4).filter(|number| !first.contains(number)) {
        assert!(!roots(&world.members[other].node).await.contains(&recursive(cid)), "{other} holds it without need");
    }
    let shown = world.members[2].node.shared_pins(None, 10).await.unwrap();
    assert_eq!((shown.len(), &shown[0].pin), (1, &pin));

    world.set_up(first[0], false);
    world.clock.advance(9 * MINUTE_MS);
    world.rest().await;
    let watching = (0..4).find(|number| !first.contains(number)).unwrap();
    assert_eq!(world.holders(watching, &cid).await, first, "nine minutes are not away");
    world.clock.advance(MINUTE_MS);
    let repaired = async || {
        let holders = world.holders(watching, &cid).await;
        holders.len() == 2 && !holders.contains(&first[0])
    };
    world.until("the next one takes over", repaired).await;
    let second = world.holders(watching, &cid).await;
    let next = *second.iter().find(|number| !first.contains(number)).unwrap();
    assert!(is_whole(&world.members[next].node, &cid).await);

    world.set_up(first[0], true);
    world.until("the surplus goes", async || world.holders(watching, &cid).await == first).await;
    let node = &world.members[next].node;
    until("the surplus is no root", async || !roots(node).await.contains(&recursive(cid))).await;

    let gone = world.members[2].node.unshare_pin(Principal::Owner, &cid, Duration::ZERO).await.unwrap();
    assert!(gone.is_some());
    let released = async || {
        let mut held = 0;
        for member in &world.members {
            held += member.node.inner.pins.shared.cids().len();
        }
        held == 0
    };
    world.until("everybody lets go", released).await;
    assert!(world.members[2].node.unshare_pin(Principal::Owner, &cid, Duration::ZERO).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_is_known_after_a_restart_and_what_was_not_is_fetched() {
    let mut world = World::new(2).await;
    let held = add(&world.members[0].node, large(2, 2)).await;
    let absent: Cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap();
    for cid in [held, absent] {
        world.members[0].node.share_pin(Principal::Owner, SharedPin::new(cid), Duration::ZERO).await.unwrap();
    }
    world.until("two copies", async || world.holders(1, &held).await == [0, 1]).await;
    let waiting = async || {
        let shown = world.members[1].node.shared_pins(None, 10).await.unwrap();
        shown.iter().any(|pin| {
            pin.pin.cid == absent && matches!(&pin.here, SharedHere::Fetching { detail, .. } if !detail.is_empty())
        })
    };
    world.until("a fetch that fails", waiting).await;
    world.restart(1).await;
    let here = async |number: usize, cid: &Cid| {
        let shown = world.members[number].node.shared_pins(None, 10).await.unwrap();
        shown.into_iter().find(|pin| pin.pin.cid == *cid).unwrap().here
    };
    assert!(matches!(here(1, &held).await, SharedHere::Held { bytes } if bytes > 2 << 20));
    assert!(matches!(here(1, &absent).await, SharedHere::Fetching { .. }));
    assert!(roots(&world.members[1].node).await.contains(&recursive(absent)), "what came of it is kept meanwhile");
    // Now somebody has it.
    let block = Bytes::from_static(b"hello");
    let block_cid = add(&world.members[0].node, block).await;
    world.members[0].node.share_pin(Principal::Owner, SharedPin::new(block_cid), Duration::ZERO).await.unwrap();
    world.until("a copy after the restart", async || world.holders(0, &block_cid).await == [0, 1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_pin_the_same_differently_are_both_heard() {
    let world = World::new(3).await;
    let cid = add(&world.members[0].node, "both").await;
    let one = SharedPin { min: 1, max: 1, ..SharedPin::new(cid) };
    let three = SharedPin { min: 3, max: 3, ..SharedPin::new(cid) };
    // At the same time: neither has heard of the other.
    world.members[1].node.share_pin(Principal::Owner, one.clone(), Duration::ZERO).await.unwrap();
    world.members[2].node.share_pin(Principal::Owner, three.clone(), Duration::ZERO).await.unwrap();
    world.until("three copies", async || world.holders(0, &cid).await.len() == 3).await;
    assert_eq!(world.members[0].node.shared_pins(None, 10).await.unwrap()[0].pin, three);
    // Who changes it now takes both of them back.
    world.members[0].node.share_pin(Principal::Owner, one.clone(), Duration::ZERO).await.unwrap();
    world.until("one copy", async || world.holders(2, &cid).await.len() == 1).await;
    assert_eq!(world.members[2].node.shared_pins(None, 10).await.unwrap()[0].pin, one);
}

#[tokio::test]
async fn numbers_that_make_no_sense_and_strangers_are_refused() {
    let world = World::new(1).await;
    let node = &world.members[0].node;
    let cid = add(node, "x").await;
    for (min, max) in [(0, 1), (2, 1), (1, 5000)] {
        let refused = node.share_pin(Principal::Owner, SharedPin { min, max, ..SharedPin::new(cid) }, Duration::ZERO);
        assert!(
            matches!(refused.await, Err(Error::Refused(refusal)) if refusal.code == rustdht_core::Code::OutOfRange)
        );
    }
    let ada = account(node, "ada").await;
    for by in [ada, Principal::Anonymous] {
        let refused = node.share_pin(by, SharedPin::new(cid), Duration::ZERO).await;
        let code = rustdht_core::Code::NotAuthorised;
        assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal.code == code));
    }
}
