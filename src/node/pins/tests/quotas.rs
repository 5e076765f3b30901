//! What an account may keep.

use proptest::prelude::*;

use super::{cluster::World, *};
use crate::{Error, PinsConfig};

fn limited(bytes: u64, pins: u64) -> PinsConfig {
    PinsConfig { bytes_per_account: bytes, pins_per_account: pins, ..PinsConfig::default() }
}

fn fault<T: std::fmt::Debug>(result: Result<T, Error>) -> PinFault {
    match result {
        Err(Error::Pin(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// Streams `bytes` bytes in and keeps them.
async fn send(node: &Node, by: Principal, bytes: Vec<u8>, keep: Keep) -> Result<Option<PinId>, Error> {
    let mut room = node.reserve(by, None).await?;
    room.take(bytes.len() as u64)?;
    let len = bytes.len() as u64;
    let cid = add(node, bytes).await;
    node.pin_upload(by, upload(cid, len, keep), room).await
}

#[tokio::test]
async fn uploads_are_counted_before_their_bytes_flow_and_once_each() {
    let world = World::with(1, limited(10_000_000, 0)).await;
    let node = &world.members[0].node;
    let (ada, charles) = (account(node, "ada").await, account(node, "charles").await);
    let used = async |by| node.usage(by).await.unwrap().bytes.unwrap();
    let first = send(node, ada, vec![1; 6_000_000], Keep::Pin).await.unwrap().unwrap();
    assert_eq!((used(ada).await, used(charles).await), (6_000_000, 0));
    assert_eq!(
        send(node, ada, vec![1; 6_000_000], Keep::Pin).await.map_err(|_| ()),
        Err(()),
        "while it flows it counts"
    );
    // Declared, it is refused before a byte came.
    assert_eq!(
        fault(node.reserve(ada, Some(4_000_001)).await),
        PinFault::OverQuota { used: 6_000_000, limit: 10_000_000 }
    );
    assert_eq!(fault(node.reserve(ada, Some(10_000_001)).await), PinFault::TooLarge { limit: 10_000_000 });
    // Undeclared, when it goes over.
    let mut room = node.reserve(ada, None).await.unwrap();
    room.take(3_999_999).unwrap();
    room.take(1).unwrap();
    assert!(matches!(room.take(1), Err(PinFault::OverQuota { .. })));
    let mut other = node.reserve(ada, None).await.unwrap();
    assert!(other.take(1).is_err(), "what another upload has taken is not there");
    drop(room);
    other.take(4_000_000).unwrap();
    drop(other);
    // Others and the owner are not concerned.
    assert!(send(node, charles, vec![2; 9_000_000], Keep::Pin).await.is_ok());
    assert!(send(node, Principal::Owner, vec![3; 11_000_000], Keep::Pin).await.is_ok());
    assert_eq!(node.usage(Principal::Owner).await.unwrap().bytes_limit, None);
    node.remove_pin(ada, first).await.unwrap();
    assert_eq!(used(ada).await, 0);
    assert!(node.reserve(ada, Some(10_000_000)).await.is_ok());
}

#[tokio::test]
async fn the_same_root_counts_once_and_a_lease_while_it_lasts() {
    let world = World::with(1, limited(10_000, 0)).await;
    let node = &world.members[0].node;
    let ada = account(node, "ada").await;
    let used = async || node.usage(ada).await.unwrap().bytes.unwrap();
    send(node, ada, vec![1; 4000], Keep::Lease).await.unwrap();
    assert_eq!(used().await, 4000);
    let id = send(node, ada, vec![1; 4000], Keep::Pin).await.unwrap().unwrap();
    assert_eq!(used().await, 4000, "leased and pinned is once");
    node.remove_pin(ada, id).await.unwrap();
    assert_eq!(used().await, 4000, "the lease is still there");
    send(node, ada, vec![2; 6000], Keep::Pin).await.unwrap();
    assert!(node.reserve(ada, Some(1)).await.is_err());
    world.clock.advance(24 * 3_600_000);
    assert_eq!(used().await, 6000);
    assert!(node.reserve(ada, Some(4000)).await.is_ok(), "the lease is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_fetched_for_an_account_counts_too() {
    let world = World::with(2, limited(5 << 20, 0)).await;
    let (here, there) = (&world.members[0].node, &world.members[1].node);
    let ada = account(here, "ada").await;
    let (small, big) = (add(there, large(1, 2)).await, add(there, large(20, 4)).await);
    let wait = Duration::from_secs(5);
    let made = here.add_pin(ada, NewPin::new(small), wait).await.unwrap();
    assert_eq!(made.status, PinStatus::Pinned);
    assert_eq!(here.usage(ada).await.unwrap().bytes, Some(made.bytes));
    let again = here.add_pin(ada, NewPin::new(small), wait).await.unwrap();
    assert_eq!(again.status, PinStatus::Pinned);
    assert_eq!(here.usage(ada).await.unwrap().bytes, Some(made.bytes));
    let over = here.add_pin(ada, NewPin::new(big), wait).await.unwrap();
    assert_eq!(over.status, PinStatus::Failed);
    assert!(over.detail.contains("quota.bytes_per_account"), "{}", over.detail);
    assert_eq!(here.usage(ada).await.unwrap().bytes, Some(made.bytes));
    // An archive that says it is small, with more below it than it brought.
    let room = here.reserve(ada, Some(10)).await.unwrap();
    let id = here.pin_upload(ada, upload(big, 10, Keep::PinWhole), room).await.unwrap().unwrap();
    until("it is looked at", async || here.pin(ada, id).await.unwrap().status == PinStatus::Failed).await;
    assert_eq!(here.usage(ada).await.unwrap().bytes, Some(made.bytes));
}

#[tokio::test]
async fn pins_are_counted() {
    let world = World::with(1, limited(0, 2)).await;
    let node = &world.members[0].node;
    let ada = account(node, "ada").await;
    let cid = add(node, "x").await;
    let first = node.add_pin(ada, NewPin::new(cid), Duration::ZERO).await.unwrap();
    node.add_pin(ada, NewPin::new(cid), Duration::ZERO).await.unwrap();
    let third = node.add_pin(ada, NewPin::new(cid), Duration::ZERO).await;
    assert_eq!(fault(third), PinFault::TooMany { limit: 2 });
    assert!(node.replace_pin(ada, first.id, NewPin::new(cid), Duration::ZERO).await.is_ok(), "one for one");
    assert_eq!(fault(node.reserve(ada, None).await), PinFault::TooMany { limit: 2 });
    assert_eq!(node.usage(ada).await.unwrap().pins, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_end_without_warning_exactly_what_is_kept_is_counted() {
    let mut world = World::with(1, limited(1_000_000, 0)).await;
    let node = world.members[0].node.clone();
    let ada = account(&node, "ada").await;
    send(&node, ada, vec![1; 300_000], Keep::Pin).await.unwrap();
    // An upload that never ends, and one that ends at the same moment as others.
    let mut hanging = node.reserve(ada, Some(400_000)).await.unwrap();
    hanging.take(100_000).unwrap();
    let sends = (2..5_u8).map(|seed| send(&node, ada, vec![seed; 100_000], Keep::Pin));
    let ended = futures::future::join_all(sends).await;
    assert_eq!(ended.iter().filter(|ended| ended.is_ok()).count(), 3);
    assert!(node.reserve(ada, Some(1)).await.is_err());
    std::mem::forget(hanging);
    world.restart(0).await;
    let node = &world.members[0].node;
    assert_eq!(node.usage(ada).await.unwrap().bytes, Some(600_000));
    assert!(node.reserve(ada, Some(400_001)).await.is_err() && node.reserve(ada, Some(400_000)).await.is_ok());
}

#[derive(Clone, Debug)]
enum Act {
    Upload(u8, bool),
    Remove(usize),
    Advance(u64),
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..5_u8, any::<bool>()).prop_map(|(seed, lease)| Act::Upload(seed, lease)),
        (0..8_usize).prop_map(Act::Remove),
        (0..20_u64).prop_map(|hours| Act::Advance(hours * 3_600_000)),
    ]
}

#[test]
fn the_tally_is_what_the_rows_say_whatever_happened() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let world = runtime.block_on(World::with(1, limited(1000, 0)));
    let count = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(48));
    runner
        .run(&proptest::collection::vec(acts(), 1..25), |acts| {
            count.set(count.get() + 1);
            let number = count.get();
            runtime.block_on(async {
                let node = &world.members[0].node;
                let ada = account(node, &format!("ada{number}")).await;
                let mut model: std::collections::BTreeMap<u8, (bool, u64)> = Default::default();
                let mut ids: Vec<(PinId, u8)> = Vec::new();
                for act in acts {
                    match act {
                        Act::Upload(seed, lease) => {
                            // Of 100 to 500 bytes each.
                            let bytes = vec![seed; 100 * (usize::from(seed) + 1)];
                            let keep = if lease { Keep::Lease } else { Keep::Pin };
                            let Ok(id) = send(node, ada, bytes, keep).await else { continue };
                            let until = rustdht_core::Clock::now_ms(&*world.clock) + 24 * 3_600_000;
                            let held = model.entry(seed).or_default();
                            if lease {
                                held.1 = until;
                            } else {
                                held.0 = true;
                            }
                            if let Some(id) = id.filter(|id| !ids.iter().any(|(known, _)| known == id)) {
                                ids.push((id, seed));
                            }
                        }
                        Act::Remove(at) if at < ids.len() => {
                            let (id, seed) = ids.remove(at);
                            node.remove_pin(ada, id).await.unwrap();
                            model.entry(seed).or_default().0 = false;
                        }
                        Act::Remove(_) => {}
                        Act::Advance(ms) => world.clock.advance(ms),
                    }
                    let now_ms = rustdht_core::Clock::now_ms(&*world.clock);
                    let counted = model.iter().filter(|(_, (pinned, until))| *pinned || *until > now_ms);
                    let expected: u64 = counted.map(|(seed, _)| 100 * (u64::from(*seed) + 1)).sum();
                    let Principal::Account(key) = ada else { unreachable!() };
                    let (read, pins) = quota::read_anew(&**node.store(), &key, now_ms).await;
                    prop_assert_eq!((read, pins), (expected, ids.len() as u64), "the rows");
                    prop_assert_eq!(node.usage(ada).await.unwrap().bytes, Some(expected), "the tally");
                    // The tally in memory: exactly what is left can be had.
                    prop_assert!(node.reserve(ada, Some(1000 - expected)).await.is_ok(), "{expected}");
                    prop_assert!(node.reserve(ada, Some(1001 - expected)).await.is_err(), "{expected}");
                }
                Ok(())
            })
        })
        .unwrap();
}
