//! What the swarm speaks.

mod announcer;
mod gate;
mod keeper;
mod subnets;

use std::{sync::Arc, time::Duration};

use libp2p::{
    Multiaddr, PeerId, allow_block_list, connection_limits, gossipsub, identify, identity, mdns, ping,
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
        CERTIFY_TIMEOUT, MAX_CERTIFY_SERVED, MAX_LARGE_STREAMS, MAX_STREAMS, PING_INTERVAL, PING_TIMEOUT,
        REQUEST_TIMEOUT,
    },
    routing::{self, Kad, Which},
};
use announcer::Announcer;
pub(crate) use announcer::{Announced, Announcement};
pub(crate) use gate::Gate;
use keeper::Keeper;
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
    keeper: Keeper,
    kad: Gate<Kad>,
    public_kad: Toggle<Kad>,
    announcer: Announcer,
    bitswap: rustdht_bitswap::Behaviour,
    gossip: Gate<gossipsub::Behaviour>,
    mdns: Toggle<mdns::tokio::Behaviour>,
    hello: Exchange,
    put: Exchange,
    get: Exchange,
    sync: Exchange,
    fetch: Exchange,
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
    /// `blocks` is what Bitswap serves, `gate` to whom.
    pub(crate) fn new(
        config: &NetConfig,
        keypair: &identity::Keypair,
        blocks: Arc<dyn rustdht_bitswap::Blockstore>,
        gate: Arc<dyn rustdht_bitswap::Gate>,
    ) -> Result<Self, NetError> {
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
            keeper: Keeper::default(),
            kad: Gate::new(routing::of_network(local, &config.net)?),
            public_kad: Toggle::from(routing::public(local, config.ipfs.dht, &config.ipfs.dht_protocol)?),
            announcer: Announcer::default(),
            bitswap: rustdht_bitswap::Behaviour::new(rustdht_bitswap::Config::default(), blocks)
                .map_err(|error| failed(error.to_string()))?
                .with_gate(gate),
            gossip: Gate::new(gossip(keypair, &config.net)?),
            mdns: Toggle::from(config.mdns.then(|| discovery(local)).flatten()),
            hello: exchange(Protocol::Hello, REQUEST_TIMEOUT, MAX_LARGE_STREAMS)?,
            put: exchange(Protocol::Put, REQUEST_TIMEOUT, MAX_LARGE_STREAMS)?,
            get: exchange(Protocol::Get, REQUEST_TIMEOUT, MAX_STREAMS)?,
            sync: exchange(Protocol::Sync, REQUEST_TIMEOUT, MAX_LARGE_STREAMS)?,
            fetch: exchange(Protocol::Fetch, REQUEST_TIMEOUT, MAX_LARGE_STREAMS)?,
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

    /// The connections with a peer are kept, or left to who uses them.
    pub(crate) fn keep(&mut self, peer: &PeerId, keep: bool) {
        self.keeper.keep(peer, keep);
    }

    /// The DHT of the network.
    pub(crate) fn routing(&mut self) -> &mut Kad {
        self.kad.inner_mut()
    }

    /// One of the two DHTs; `None`: this node does not take part in it.
    pub(crate) fn kad(&mut self, which: Which) -> Option<&mut Kad> {
        match which {
            Which::Network => Some(self.kad.inner_mut()),
            Which::Public => self.public_kad.as_mut(),
        }
    }

    /// Gives a peer provider records. `false`: too many are under way.
    pub(crate) fn announce(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, announcement: Announcement) -> bool {
        self.announcer.announce(peer, addresses, announcement)
    }

    /// For asking for blocks.
    pub(crate) fn bitswap(&self) -> rustdht_bitswap::Handle {
        self.bitswap.handle()
    }

    pub(crate) fn gossip(&mut self) -> &mut gossipsub::Behaviour {
        self.gossip.inner_mut()
    }
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
