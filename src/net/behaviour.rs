//! What the swarm speaks.

mod gate;
mod subnets;

use std::time::Duration;

use libp2p::{
    PeerId, StreamProtocol, allow_block_list, connection_limits, gossipsub, identify, identity, kad, mdns, ping,
    request_response,
    request_response::{OutboundRequestId, ProtocolSupport, ResponseChannel},
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
};
use rustdht_core::NetId;
use rustdht_dht::limits::MAX_GOSSIP_BYTES;
use rustdht_wire::protocol::{Live, Protocol, Request, Response};

use crate::{
    NetConfig, NetError,
    codec::{Codec, Rpc},
    limits::{
        BLOCK_TIMEOUT, CERTIFY_TIMEOUT, MAX_CERTIFY_SERVED, MAX_LARGE_STREAMS, MAX_STREAMS, PING_INTERVAL,
        PING_TIMEOUT, REQUEST_TIMEOUT,
    },
};
pub(crate) use gate::Gate;
use subnets::Subnets;

/// Requests and responses of one protocol. Each has a behaviour of its own, since one behaviour would let the other
/// side choose among its protocols.
type Exchange = request_response::Behaviour<Codec>;

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    // The guards stand first: what they deny never reaches the others.
    blocked: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    limits: connection_limits::Behaviour,
    subnets: Subnets,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    kad: Gate<kad::Behaviour<kad::store::MemoryStore>>,
    gossip: Gate<gossipsub::Behaviour>,
    mdns: Toggle<mdns::tokio::Behaviour>,
    hello: Exchange,
    put: Exchange,
    get: Exchange,
    sync: Exchange,
    fetch: Exchange,
    block: Exchange,
    certify: Exchange,
}

/// `/rustdht/<net>/`: what every protocol of the network begins with.
pub(crate) fn prefix(net: &NetId) -> String {
    format!("/rustdht/{net}/")
}

/// The topic of live updates. With full replication everybody is an owner of everything, so one of the 256 is in use.
pub(crate) fn live_topic(net: &NetId) -> gossipsub::IdentTopic {
    gossipsub::IdentTopic::new(format!("/rustdht/{net}/live/00"))
}

impl Behaviour {
    pub(crate) fn new(config: &NetConfig, keypair: &identity::Keypair) -> Result<Self, NetError> {
        let local = keypair.public().to_peer_id();
        let failed = |error: String| NetError::Swarm(error);
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_established(Some(config.limits.total))
            .with_max_established_per_peer(Some(config.limits.per_peer))
            .with_max_pending_incoming(Some(config.limits.total))
            .with_max_pending_outgoing(Some(config.limits.total));
        let identify = identify::Config::new(format!("{}1", prefix(&config.net)), keypair.public())
            .with_agent_version(concat!("rustdht/", env!("CARGO_PKG_VERSION")).to_owned())
            .with_push_listen_addr_updates(true);
        let ping = ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT);
        let exchange = |protocol: Protocol, timeout: Duration, streams: usize| {
            let rpc = Rpc::new(protocol, &config.net).map_err(failed)?;
            let settings =
                request_response::Config::default().with_request_timeout(timeout).with_max_concurrent_streams(streams);
            Ok::<_, NetError>(Exchange::with_codec(Codec, [(rpc, ProtocolSupport::Full)], settings))
        };
        Ok(Self {
            blocked: allow_block_list::Behaviour::default(),
            limits: connection_limits::Behaviour::new(limits),
            subnets: Subnets::new(config.limits.per_subnet),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping),
            kad: Gate::new(routing(local, &config.net)?),
            gossip: Gate::new(gossip(keypair, &config.net)?),
            mdns: Toggle::from(config.mdns.then(|| discovery(local)).flatten()),
            hello: exchange(Protocol::Hello, REQUEST_TIMEOUT, MAX_LARGE_STREAMS)?,
            put: exchange(Protocol::Put, REQUEST_TIMEOUT, MAX_LARGE_STREAMS)?,
            get: exchange(Protocol::Get, REQUEST_TIMEOUT, MAX_STREAMS)?,
            sync: exchange(Protocol::Sync, REQUEST_TIMEOUT, MAX_LARGE_STREAMS)?,
            fetch: exchange(Protocol::Fetch, REQUEST_TIMEOUT, MAX_LARGE_STREAMS)?,
            block: exchange(Protocol::Block, BLOCK_TIMEOUT, MAX_STREAMS)?,
            certify: exchange(Protocol::Certify, CERTIFY_TIMEOUT, MAX_CERTIFY_SERVED)?,
        })
    }

    fn exchange(&mut self, protocol: Protocol) -> &mut Exchange {
        match protocol {
            Protocol::Hello => &mut self.hello,
            Protocol::Put => &mut self.put,
            Protocol::Get => &mut self.get,
            Protocol::Sync => &mut self.sync,
            Protocol::Fetch => &mut self.fetch,
            Protocol::Block => &mut self.block,
            Protocol::Certify => &mut self.certify,
        }
    }

    pub(crate) fn send(&mut self, peer: &PeerId, request: Request) -> (Protocol, OutboundRequestId) {
        let protocol = request.protocol();
        (protocol, self.exchange(protocol).send_request(peer, request))
    }

    /// `false`: the asker is gone.
    pub(crate) fn respond(
        &mut self,
        protocol: Protocol,
        channel: ResponseChannel<Response>,
        response: Response,
    ) -> bool {
        self.exchange(protocol).send_response(channel, response).is_ok()
    }

    pub(crate) fn block_peer(&mut self, peer: PeerId) {
        self.blocked.block_peer(peer);
    }

    pub(crate) fn unblock_peer(&mut self, peer: PeerId) {
        self.blocked.unblock_peer(peer);
    }

    /// The peer proved the network key: routing and gossip may speak to it.
    pub(crate) fn admit(&mut self, peer: &PeerId) {
        self.kad.open(peer);
        self.gossip.open(peer);
    }

    pub(crate) fn routing(&mut self) -> &mut kad::Behaviour<kad::store::MemoryStore> {
        self.kad.inner_mut()
    }

    pub(crate) fn gossip(&mut self) -> &mut gossipsub::Behaviour {
        self.gossip.inner_mut()
    }
}

/// Routing only: nothing is stored, and only members enter the table.
fn routing(local: PeerId, net: &NetId) -> Result<kad::Behaviour<kad::store::MemoryStore>, NetError> {
    let name = StreamProtocol::try_from_owned(format!("/rustdht/{net}/kad/1"))
        .map_err(|error| NetError::Swarm(error.to_string()))?;
    let mut config = kad::Config::new(name);
    config
        .set_record_ttl(None)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_record_ttl(None)
        .set_provider_publication_interval(None)
        .set_periodic_bootstrap_interval(None)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_caching(kad::Caching::Disabled)
        .disjoint_query_paths(true);
    let nothing = kad::store::MemoryStoreConfig { max_records: 0, max_provided_keys: 0, ..Default::default() };
    let mut behaviour =
        kad::Behaviour::with_config(local, kad::store::MemoryStore::with_config(local, nothing), config);
    behaviour.set_mode(Some(kad::Mode::Server));
    Ok(behaviour)
}

/// Live updates, forwarded only after they were ingested here.
fn gossip(keypair: &identity::Keypair, net: &NetId) -> Result<gossipsub::Behaviour, NetError> {
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix(format!("/rustdht/{net}/gossip"))
        .validation_mode(gossipsub::ValidationMode::Strict)
        .validate_messages()
        .max_transmit_size(MAX_GOSSIP_BYTES + 4096)
        .message_id_fn(message_id)
        // What is published goes to every member connected at once and not by way of a mesh.
        .flood_publish(true)
        .build()
        .map_err(|error| NetError::Swarm(error.to_string()))?;
    let mut behaviour = gossipsub::Behaviour::new(gossipsub::MessageAuthenticity::Signed(keypair.clone()), config)
        .map_err(|error| NetError::Swarm(error.to_owned()))?;
    behaviour.subscribe(&live_topic(net)).map_err(|error| NetError::Swarm(error.to_string()))?;
    Ok(behaviour)
}

/// The same envelope from two members is one message. Two live messages are two, also when they say the same: a cursor
/// goes forth and back.
fn message_id(message: &gossipsub::Message) -> gossipsub::MessageId {
    let mut hasher = blake3::Hasher::new();
    if Live::is(&message.data) {
        hasher.update(&message.source.map(PeerId::to_bytes).unwrap_or_default());
        hasher.update(&message.sequence_number.unwrap_or_default().to_be_bytes());
    }
    gossipsub::MessageId::from(hasher.update(&message.data).finalize().as_bytes().to_vec())
}

/// Without a network interface there is nobody to discover, which is no reason not to start.
fn discovery(local: PeerId) -> Option<mdns::tokio::Behaviour> {
    mdns::tokio::Behaviour::new(mdns::Config::default(), local)
        .inspect_err(|error| tracing::warn!(%error, "members on the local network cannot be discovered"))
        .ok()
}
