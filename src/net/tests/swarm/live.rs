//! Live messages and member certificates between real swarms.

use std::sync::Arc;

use bytes::Bytes;
use rustdht_core::{
    PublicKey,
    ports::{MAX_LIVE_BYTES, ReplicationError, Replicator},
};
use rustdht_net::{ConnectionLimits, NetConfig};

use crate::{
    WAIT,
    member::{Member, REFUSED, config, eventually},
    pair,
};

/// Sends probes until the way between two members is open: subscriptions take a moment.
async fn open(from: &Member, to: &Member) {
    eventually("the way is open", async || {
        from.handle.broadcast(Bytes::from_static(b"probe")).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        !to.memory.heard.lock().unwrap().is_empty()
    })
    .await;
}

fn heard(member: &Member) -> Vec<(String, Bytes)> {
    let heard = member.memory.heard.lock().unwrap();
    heard
        .iter()
        .filter(|(_, message)| &**message != b"probe")
        .map(|(from, message)| (from.0.clone(), message.clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_broadcast_is_heard_once_in_order_and_not_by_its_source() {
    let a = Member::new(1, &[]).await;
    a.handle.broadcast(Bytes::from_static(b"probe")).await.unwrap();
    let b = Member::new(2, a.handle.listen()).await;
    let c = Member::new(3, a.handle.listen()).await;
    for member in [&a, &b, &c] {
        eventually("everybody is connected with everybody", async || member.in_sync().await == 2).await;
    }
    open(&a, &b).await;
    open(&a, &c).await;
    // Every second one says the same as the one before last.
    let sent: Vec<Bytes> =
        (0..60_u8).map(|number| if number % 2 == 0 { vec![number] } else { b"again".to_vec() }.into()).collect();
    for message in &sent {
        a.handle.broadcast(message.clone()).await.unwrap();
    }
    let wanted: Vec<(String, Bytes)> = sent.into_iter().map(|message| (a.handle.id().0.clone(), message)).collect();
    for member in [&b, &c] {
        eventually("all were heard", async || heard(member).len() >= wanted.len()).await;
        assert_eq!(heard(member), wanted);
    }
    // Time for copies that come round.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!((heard(&a).len(), heard(&b).len(), heard(&c).len()), (0, 60, 60));
    assert_eq!(a.memory.records().len() + b.memory.records().len(), 0, "nothing of it is an envelope");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sizes_are_bounded_where_they_are_sent() {
    let (a, b) = pair().await;
    open(&a, &b).await;
    let large = Bytes::from(vec![7; MAX_LIVE_BYTES]);
    a.handle.broadcast(large.clone()).await.unwrap();
    let error = a.handle.broadcast(vec![7; MAX_LIVE_BYTES + 1].into()).await.unwrap_err();
    assert!(matches!(error, ReplicationError::Invalid(_)), "{error}");
    eventually("the large one was heard", async || !heard(&b).is_empty()).await;
    assert_eq!(heard(&b), [(a.handle.id().0.clone(), large)]);
}

/// In a line a - b - c: what b's node refuses goes no further, the rest does, under the name of its source.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_refuses_is_not_passed_on() {
    let narrow = ConnectionLimits { total: 1, ..ConnectionLimits::default() };
    let b = Member::new(2, &[]).await;
    let line = |seed| NetConfig { limits: narrow, ..config(seed, b.handle.listen()) };
    let a = Member::start(line(1), Arc::default()).await;
    eventually("a is in sync", async || a.in_sync().await == 1).await;
    let c = Member::start(line(3), Arc::default()).await;
    eventually("c knows a", async || c.handle.status().await.unwrap().replicas == 3).await;
    eventually("a knows c", async || a.handle.status().await.unwrap().replicas == 3).await;
    open(&a, &c).await;
    let messages: [&'static [u8]; 3] = [b"one", REFUSED, b"two"];
    for message in messages {
        a.handle.broadcast(Bytes::from_static(message)).await.unwrap();
    }
    eventually("the last one was heard", async || heard(&c).len() >= 2).await;
    let texts = |member: &Member| heard(member).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    assert_eq!(texts(&b), messages);
    assert_eq!(texts(&c), [messages[0], messages[2]]);
    assert!(heard(&c).iter().all(|(from, _)| *from == a.handle.id().0), "the source, not who passed it on");
    assert_eq!(c.connected().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_asked_from_members_until_one_issues_it() {
    let a = Member::new(1, &[]).await;
    let gateway = PublicKey([5; 32]);
    let nobody = a.handle.certify(gateway).await.unwrap_err();
    assert!(matches!(nobody, ReplicationError::TimedOut), "{nobody}");
    let b = Member::new(2, a.handle.listen()).await;
    let c = Member::new(3, a.handle.listen()).await;
    for member in [&a, &b, &c] {
        eventually("everybody is connected with everybody", async || member.in_sync().await == 2).await;
    }
    assert_eq!(a.handle.certify(gateway).await.unwrap(), [], "none of them issues any");
    let chain = vec![
        (Bytes::from_static(b"leaf"), Bytes::from(vec![1; 64])),
        (Bytes::from_static(b"root"), Bytes::from(vec![2; 64])),
    ];
    *c.memory.chain.lock().unwrap() = chain.clone();
    let answer = tokio::time::timeout(WAIT, a.handle.certify(gateway)).await.unwrap();
    assert_eq!(answer.unwrap(), chain);
    assert!(c.memory.certified.lock().unwrap().iter().all(|asked| *asked == gateway));
    // Whoever goes on asking is not served any more, and that reaches no node.
    for _ in 0..10 {
        let _ = a.handle.certify(gateway).await;
    }
    assert!(c.memory.certified.lock().unwrap().len() <= 4 && b.memory.certified.lock().unwrap().len() <= 4);
}
