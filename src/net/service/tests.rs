//! A service against a peer that does not keep to the rules.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::StreamExt;
use libp2p::{
    gossipsub, identify, identity,
    request_response::{Event, Message},
    swarm::{self, SwarmEvent},
};
use rustdht_core::{
    NetId, Placement, PublicKey, RecordId, Soul, Stamp,
    ports::{IndexItem, IngestOutcome, StoreError},
};
use rustdht_wire::{
    ReplicaRecord, Role, SigningKey,
    protocol::{Greeting, Live, Member, Reply},
};

use super::*;
use crate::{
    ConnectionLimits, Handle, IpfsConfig, NetConfig,
    addresses::with_peer,
    behaviour::{BehaviourEvent, live_topic},
    transport,
};

struct System;

impl Clock for System {
    fn now_ms(&self) -> u64 {
        u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
    }
}

impl Entropy for System {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// Counts what reaches the node.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl Ingest for Counting {
    async fn ingest(&self, _: &ReplicaId, envelopes: Vec<Bytes>) -> Vec<IngestOutcome> {
        self.0.fetch_add(1, Ordering::SeqCst);
        vec![IngestOutcome::Durable; envelopes.len()]
    }

    async fn envelopes(&self, _: &[RecordId], _: usize) -> (Vec<Bytes>, Vec<RecordId>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        (vec![], vec![])
    }

    async fn soul_envelopes(&self, _: &Soul, _: usize) -> Vec<Bytes> {
        self.0.fetch_add(1, Ordering::SeqCst);
        vec![]
    }

    async fn certify(&self, _: PublicKey) -> Vec<(Bytes, Bytes)> {
        self.0.fetch_add(1, Ordering::SeqCst);
        vec![]
    }

    async fn heard(&self, _: &ReplicaId, _: Bytes) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst);
        true
    }

    async fn block(&self, _: &Cid) -> Option<Bytes> {
        self.0.fetch_add(1, Ordering::SeqCst);
        None
    }

    async fn index(&self, _: i64, _: u32) -> Result<(Vec<IndexItem>, i64), StoreError> {
        Ok((vec![], 0))
    }

    async fn save(&self, _: Vec<u8>, _: Option<Vec<u8>>) {}

    async fn saved(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        Ok(vec![])
    }
}

fn config(seed: u8) -> NetConfig {
    NetConfig {
        identity: [seed; 32],
        net: NetId([1; 32]),
        network_key: [2; 32],
        placement: Placement::default(),
        role: Role::Full,
        hosts: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        port: 0,
        ws_port: None,
        external: vec![],
        dial: vec![],
        mdns: false,
        limits: ConnectionLimits::default(),
        ipfs: IpfsConfig::default(),
    }
}

/// The set owns the task and ends it.
async fn service() -> (Handle, Arc<Counting>, JoinSet<()>) {
    let (service, handle) = Service::new(&config(1), Arc::new(System), Arc::new(System)).await.unwrap();
    let counting = Arc::new(Counting::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(service.run(counting.clone(), CancellationToken::new()));
    (handle, counting, tasks)
}

/// A swarm of the network that knows no network key and follows no rule but the transport's.
async fn outlaw(handle: &Handle) -> (Swarm<Behaviour>, PeerId) {
    outlaw_with(handle, 9).await
}

/// One that signs what it gossips with the key of `signer`.
async fn outlaw_with(handle: &Handle, signer: u8) -> (Swarm<Behaviour>, PeerId) {
    let keypair = identity::Keypair::ed25519_from_bytes([9; 32]).unwrap();
    let signing = identity::Keypair::ed25519_from_bytes([signer; 32]).unwrap();
    let (blocks, gate) = (Arc::new(rustdht_bitswap::NoBlocks), Arc::new(rustdht_bitswap::Open));
    let behaviour = Behaviour::new(&config(9), &signing, blocks, gate).unwrap();
    let settings = swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(60));
    let local = keypair.public().to_peer_id();
    let mut swarm = Swarm::new(transport::build(&keypair).unwrap(), behaviour, local, settings);
    let (peer, address) = with_peer(&handle.listen()[0]).unwrap();
    swarm.dial(address).unwrap();
    until(&mut swarm, |event| matches!(event, SwarmEvent::ConnectionEstablished { .. }).then_some(())).await;
    (swarm, peer)
}

async fn until<T>(swarm: &mut Swarm<Behaviour>, mut pick: impl FnMut(SwarmEvent<BehaviourEvent>) -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = pick(swarm.select_next_some().await) {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), search).await.expect("it never happened")
}

#[tokio::test]
async fn nothing_but_hello_is_answered_before_hello() {
    let (handle, counting, _tasks) = service().await;
    let (mut swarm, peer) = outlaw(&handle).await;
    let requests = [
        Request::Put { envelopes: vec![Bytes::from_static(b"x")] },
        Request::Get { soul: "a".parse().unwrap() },
        Request::Fetch { records: vec![RecordId([1; 32])] },
        Request::Certify { gateway: PublicKey([7; 32]) },
        Request::Hello(Greeting::Members(vec![])),
    ];
    let mut waiting = requests.len();
    for request in requests {
        swarm.behaviour_mut().send(&peer, request);
    }
    while waiting > 0 {
        let answered = until(&mut swarm, |event| match event {
            SwarmEvent::Behaviour(
                BehaviourEvent::Hello(event)
                | BehaviourEvent::Put(event)
                | BehaviourEvent::Get(event)
                | BehaviourEvent::Fetch(event)
                | BehaviourEvent::Certify(event),
            ) => match event {
                Event::OutboundFailure { .. } => Some(None),
                Event::Message { message: Message::Response { response, .. }, .. } => Some(Some(response)),
                _ => None,
            },
            _ => None,
        })
        .await;
        assert!(answered.is_none() || answered == Some(Response::Hello(Reply::Denied)), "{answered:?}");
        waiting -= 1;
    }
    assert_eq!(counting.0.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_wrong_proof_is_denied_and_the_peer_is_refused_for_a_while() {
    let (handle, _, _tasks) = service().await;
    let (mut swarm, peer) = outlaw(&handle).await;
    let open = Greeting::Open { nonce: [1; 32], incarnation: [1; 8] };
    swarm.behaviour_mut().send(&peer, Request::Hello(open));
    let response = until(&mut swarm, |event| match event {
        SwarmEvent::Behaviour(BehaviourEvent::Hello(Event::Message {
            message: Message::Response { response, .. },
            ..
        })) => Some(response),
        _ => None,
    })
    .await;
    assert!(matches!(response, Response::Hello(Reply::Challenge { .. })), "{response:?}");
    let prove = Greeting::Prove { proof: [3; 32], members: vec![] };
    swarm.behaviour_mut().send(&peer, Request::Hello(prove));
    until(&mut swarm, |event| matches!(event, SwarmEvent::ConnectionClosed { .. }).then_some(())).await;
    let (_, address) = with_peer(&handle.listen()[0]).unwrap();
    swarm.dial(address).unwrap();
    until(&mut swarm, |event| {
        let over = matches!(event, SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. });
        over.then_some(())
    })
    .await;
    assert!(!swarm.is_connected(&peer));
}

#[tokio::test]
async fn a_stranger_is_not_told_what_is_gossiped() {
    let (handle, _, _tasks) = service().await;
    let (mut swarm, peer) = outlaw(&handle).await;
    swarm.behaviour_mut().admit(&peer);
    let search = async {
        loop {
            if let SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Subscribed { .. })) =
                swarm.select_next_some().await
            {
                return;
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(2), search).await;
    assert!(told.is_err(), "a subscription was sent to a stranger");
}

#[tokio::test]
async fn a_stranger_does_not_enter_the_address_book() {
    let (handle, _, _tasks) = service().await;
    let (mut swarm, _) = outlaw(&handle).await;
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    until(&mut swarm, |event| matches!(event, SwarmEvent::NewListenAddr { .. }).then_some(())).await;
    // Over another connection, so that identify tells where it listens.
    swarm.dial(with_peer(&handle.listen()[0]).unwrap().1).unwrap();
    until(&mut swarm, |event| matches!(event, SwarmEvent::ConnectionEstablished { .. }).then_some(())).await;
    until(&mut swarm, |event| {
        let sent = matches!(event, SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Sent { .. })));
        sent.then_some(())
    })
    .await;
    let drive = async {
        loop {
            swarm.select_next_some().await;
        }
    };
    // Time for it to arrive.
    let _ = tokio::time::timeout(Duration::from_millis(300), drive).await;
    let peers = rustdht_core::ports::Replicator::peers(&handle).await.unwrap();
    assert_eq!(peers.len(), 1, "it is connected");
    assert_eq!(peers[0].addresses, Vec::<String>::new());
}

/// Goes through hello with the network key.
async fn join(swarm: &mut Swarm<Behaviour>, peer: PeerId) {
    let secret = Secret { net: config(9).net, network_key: config(9).network_key, local: *swarm.local_peer_id() };
    let nonce = [1; 32];
    let open = Greeting::Open { nonce, incarnation: [1; 8] };
    let mut asks = vec![Request::Hello(open)];
    while let Some(ask) = asks.pop() {
        swarm.behaviour_mut().send(&peer, ask);
        let answer = until(swarm, |event| match event {
            SwarmEvent::Behaviour(BehaviourEvent::Hello(Event::Message {
                message: Message::Response { response, .. },
                ..
            })) => Some(response),
            _ => None,
        })
        .await;
        match answer {
            Response::Hello(Reply::Challenge { nonce: theirs, .. }) => {
                let key = SigningKey::from_seed(&[9; 32]);
                let replica = swarm.local_peer_id().to_base58();
                let record =
                    ReplicaRecord { net: secret.net, replica, key: key.public(), role: Role::Full, stamp: Stamp(1) };
                let record = record.sign(&key).unwrap().encode().into();
                let proof = secret.prove(&peer, &theirs, &nonce);
                let members = vec![Member { record, addresses: vec![] }];
                asks.push(Request::Hello(Greeting::Prove { proof, members }));
            }
            Response::Hello(Reply::Welcome(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    swarm.behaviour_mut().admit(&peer);
}

/// A member that passes on what it signed with keys that nobody knows would have as many paces as it likes.
#[tokio::test]
async fn live_messages_of_unknown_sources_are_not_heard() {
    for (signer, heard) in [(9, 1), (77, 0)] {
        let (handle, counting, _tasks) = service().await;
        let (mut swarm, peer) = outlaw_with(&handle, signer).await;
        join(&mut swarm, peer).await;
        until(&mut swarm, |event| {
            let subscribed =
                matches!(event, SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Subscribed { .. })));
            subscribed.then_some(())
        })
        .await;
        let message = Live { payload: Bytes::from_static(b"hello") }.encode();
        swarm.behaviour_mut().gossip().publish(live_topic(&config(9).net), message).unwrap();
        let drive = async {
            loop {
                swarm.select_next_some().await;
            }
        };
        // Time for it to arrive.
        let _ = tokio::time::timeout(Duration::from_millis(500), drive).await;
        assert_eq!(counting.0.load(Ordering::SeqCst), heard, "signed by {signer}");
    }
}
