//! Real swarms on loopback.

#[cfg(test)]
mod ipfs;
#[cfg(test)]
mod live;
#[cfg(test)]
mod member;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use cid::{Cid, multihash::Multihash};
use member::{KEY, Member, Memory, NET, config, eventually};
use rustdht_core::{
    NetId, Soul,
    ports::{BlockSource, Replicator},
};
use rustdht_net::{ConnectionLimits, NetConfig, NetError};

const WAIT: Duration = Duration::from_secs(10);

async fn pair() -> (Member, Member) {
    let a = Member::new(1, &[]).await;
    let b = Member::new(2, a.handle.listen()).await;
    eventually("both are in sync", async || a.in_sync().await == 1 && b.in_sync().await == 1).await;
    (a, b)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_reaches_the_other_and_is_acknowledged() {
    let (a, b) = pair().await;
    let status = a.handle.status().await.unwrap();
    assert_eq!((status.replicas, status.write_quorum, status.reachable), (2, 2, 2));
    assert_eq!(status.listen, a.handle.listen());
    for number in 0..20 {
        let commit = a.publish(number).await;
        let durability = a.handle.durability(commit, WAIT).await.unwrap();
        assert_eq!((durability.durable, durability.wanted, durability.outstanding.len()), (2, 2, 0));
        assert_eq!(a.handle.outstanding(commit).await.unwrap(), None);
    }
    assert_eq!(a.memory.records(), b.memory.records());
    assert_eq!(b.handle.status().await.unwrap().indexed, 20);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_catches_up_both_ways() {
    let (a, b) = pair().await;
    a.publish(0).await;
    let listen = b.handle.listen().to_vec();
    let memory = b.stop().await;
    eventually("the loss is noticed", async || a.connected().await == 0).await;
    let mut last = None;
    for number in 1..=1000 {
        last = Some(a.publish(number).await);
    }
    let last = last.unwrap();
    let durability = a.handle.durability(last, WAIT).await.unwrap();
    assert_eq!((durability.durable, durability.wanted, durability.outstanding.len()), (1, 2, 1));
    assert!(a.handle.outstanding(last).await.unwrap().is_some());
    memory.fill(2000..3000);
    // Nobody tells it where the other is: that was saved.
    let port = listen[0].split('/').nth(4).unwrap().parse().unwrap();
    let b = Member::start(NetConfig { port, ..config(2, &[]) }, memory).await;
    eventually("both are in sync again", async || a.in_sync().await == 1 && b.in_sync().await == 1).await;
    assert_eq!(a.memory.records(), b.memory.records());
    assert_eq!(a.memory.records().len(), 2001);
    assert_eq!(a.handle.outstanding(last).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_on_both_sides_is_reconciled() {
    let (one, two) = (Arc::new(Memory::default()), Arc::new(Memory::default()));
    one.fill(0..2500);
    two.fill(2000..4000);
    let a = Member::start(config(1, &[]), one).await;
    let b = Member::start(config(2, a.handle.listen()), two).await;
    eventually("both are in sync", async || a.in_sync().await == 1 && b.in_sync().await == 1).await;
    assert_eq!(a.memory.records(), b.memory.records());
    assert_eq!(a.memory.records().len(), 4000);
    // Nothing that the other side had was sent in vain.
    assert!(*a.memory.ingested.lock().unwrap() <= 1500 && *b.memory.ingested.lock().unwrap() <= 2000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_stay_out() {
    let a = Member::new(1, &[]).await;
    a.publish(1).await;
    let other_key = NetConfig { network_key: [9; 32], ..config(2, a.handle.listen()) };
    let other_net = NetConfig { net: NetId([6; 32]), ..config(3, a.handle.listen()) };
    let (thief, foreigner) =
        (Member::start(other_key, Arc::default()).await, Member::start(other_net, Arc::default()).await);
    thief.publish(2).await;
    foreigner.publish(3).await;
    let friend = Member::new(4, a.handle.listen()).await;
    eventually("the friend is in sync", async || a.in_sync().await == 1 && friend.in_sync().await == 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (member, connected, records) in [(&a, 1, 1), (&thief, 0, 1), (&foreigner, 0, 1), (&friend, 1, 1)] {
        assert_eq!((member.connected().await, member.memory.records().len()), (connected, records));
    }
    assert_eq!(a.handle.status().await.unwrap().replicas, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_learn_of_each_other_and_form_a_mesh() {
    let a = Member::new(1, &[]).await;
    let b = Member::new(2, &a.handle.listen()[..1]).await;
    let c = Member::new(3, &b.handle.listen()[..1]).await;
    let d = Member::new(4, &a.handle.listen()[..1]).await;
    for member in [&a, &b, &c, &d] {
        eventually("everybody is connected with everybody", async || member.in_sync().await == 3).await;
    }
    let commit = c.publish(1).await;
    let durability = c.handle.durability(commit, WAIT).await.unwrap();
    assert!(durability.durable >= 3 && durability.wanted == 3, "{durability:?}");
    eventually("all have it", async || [&a, &b, &d].iter().all(|member| member.memory.records().len() == 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gossip_reaches_a_member_out_of_direct_reach() {
    let narrow = ConnectionLimits { total: 1, ..ConnectionLimits::default() };
    let b = Member::new(2, &[]).await;
    let a = Member::start(NetConfig { limits: narrow, ..config(1, b.handle.listen()) }, Arc::default()).await;
    eventually("a is in sync", async || a.in_sync().await == 1).await;
    let c = Member::start(NetConfig { limits: narrow, ..config(3, b.handle.listen()) }, Arc::default()).await;
    eventually("c is in sync", async || c.in_sync().await == 1).await;
    eventually("a knows c", async || a.handle.status().await.unwrap().replicas == 3).await;
    assert_eq!((a.connected().await, c.connected().await), (1, 1));
    // Subscriptions and the mesh take a heartbeat or two; a message sent before is not an error, only lost.
    let mut number = 0;
    eventually("c has heard of something", async || {
        number += 1;
        a.publish(number).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        !c.memory.records().is_empty()
    })
    .await;
    assert_eq!(c.connected().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn souls_and_blocks_are_fetched_from_members() {
    let (a, b) = pair().await;
    let soul: Soul = "people/ada".parse().unwrap();
    assert!(a.handle.ask(&soul).await.unwrap().is_empty());
    b.publish_soul(1, &soul).await;
    assert_eq!(a.handle.ask(&soul).await.unwrap().len(), 1);
    let block = Bytes::from(vec![5; 2 * 1024 * 1024]);
    let cid = Cid::new_v1(0x55, Multihash::wrap(0x1e, blake3::hash(&block).as_bytes()).unwrap());
    assert_eq!(a.handle.fetch_block(&cid).await, None);
    b.memory.blocks.lock().unwrap().insert(cid, block.clone());
    // Whoever asked for it a moment ago is told.
    b.handle.noted(cid.hash());
    assert!(a.handle.fetch_block(&cid).await == Some(block));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_member_does_not_make_a_block_unreadable() {
    let (a, b) = pair().await;
    let c = Member::new(3, a.handle.listen()).await;
    eventually("all are in sync", async || a.in_sync().await == 2 && c.in_sync().await == 2).await;
    let block = Bytes::from_static(b"block");
    let cid = Cid::new_v1(0x55, Multihash::wrap(0x1e, blake3::hash(&block).as_bytes()).unwrap());
    // Whichever is asked first, it is the bad one once.
    for (good, bad) in [(&b, &c), (&c, &b)] {
        good.memory.blocks.lock().unwrap().insert(cid, block.clone());
        bad.memory.blocks.lock().unwrap().insert(cid, Bytes::from_static(b"wrong"));
        assert_eq!(a.handle.fetch_block(&cid).await, Some(block.clone()));
    }
    b.memory.blocks.lock().unwrap().insert(cid, Bytes::from_static(b"wrong"));
    c.memory.blocks.lock().unwrap().insert(cid, Bytes::from_static(b"wrong"));
    assert_eq!(a.handle.fetch_block(&cid).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_at_the_start_is_waited_for() {
    let memory = Arc::new(Memory::default());
    memory.fill(0..10);
    memory.failures.store(2, Ordering::SeqCst);
    let a = Member::start(config(1, &[]), memory).await;
    eventually("the index is read", async || a.handle.status().await.is_ok_and(|status| status.indexed == 10)).await;
    let dead = Arc::new(Memory::default());
    dead.failures.store(usize::MAX, Ordering::SeqCst);
    Member::start(config(2, &[]), dead).await.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transport_connects() {
    let a = Member::new(1, &[]).await;
    let listen = a.handle.listen().to_vec();
    assert_eq!(listen.len(), 3, "{listen:?}");
    for (seed, address) in (2..).zip(&listen) {
        let b = Member::new(seed, std::slice::from_ref(address)).await;
        eventually(address, async || b.in_sync().await == 1).await;
        b.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dialling_by_command_and_refusing_nonsense() {
    let (a, b) = (Member::new(1, &[]).await, Member::new(2, &[]).await);
    assert!(a.handle.dial("/ip4/127.0.0.1/tcp/1").await.is_err());
    assert!(a.handle.dial("nonsense").await.is_err());
    assert!(a.handle.dial(&a.handle.listen()[0]).await.is_err(), "itself");
    a.handle.dial(&b.handle.listen()[0]).await.unwrap();
    eventually("both are connected", async || a.connected().await == 1 && b.connected().await == 1).await;
    a.stop().await;
    let error = b.handle.dial("/ip4/127.0.0.1").await;
    assert!(error.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = NetConfig { port, ..config(1, &[]) };
    let (clock, entropy) = member::system();
    let error = rustdht_net::Service::new(&config, clock, entropy).await.unwrap_err();
    assert!(matches!(&error, NetError::Listen { address, .. } if address.contains(&port.to_string())), "{error}");
}

#[test]
fn secrets_are_not_printed() {
    let text = format!("{:?}", config(1, &[]));
    assert!(text.contains(&NET.to_string()) && !text.contains("[8, 8"), "{text}");
    assert_eq!(KEY, [8; 32]);
}
