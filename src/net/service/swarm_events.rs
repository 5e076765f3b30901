//! What the swarm reports.

use std::collections::BTreeMap;

use libp2p::{
    Multiaddr, PeerId,
    core::ConnectedPoint,
    gossipsub, identify, mdns, ping,
    request_response::{Event as Exchange, Message, OutboundFailure, ResponseChannel},
    swarm::{
        ConnectionId, DialError, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use rustdht_dht::{CallerId, Input, RequestId};
use rustdht_wire::protocol::{Live, MAX_MEMBER_ADDRESSES, Protocol, Request, Response};

use super::{Inbound, Running, Sent, Waiting};
use crate::{
    addresses::is_loopback,
    behaviour::{BehaviourEvent, prefix},
    hello::Session,
    limits::{HELLO_TIMEOUT_MS, MAX_EARLY, MAX_GOSSIP_WAITING, MAX_INBOUND},
    metrics,
    routing::Which,
};

impl Running {
    pub(super) fn swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, .. } => {
                self.closed(peer_id, connection_id, num_established);
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => self.dial_failed(&peer, &error),
            SwarmEvent::NewListenAddr { address, .. } if !self.listen.contains(&address) => self.listen.push(address),
            SwarmEvent::ExpiredListenAddr { address, .. } => self.listen.retain(|known| *known != address),
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener failed"),
            _ => {}
        }
    }

    fn behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.identified(peer_id, &info);
            }
            BehaviourEvent::Ping(event) => self.pinged(&event),
            BehaviourEvent::Kad(event) => self.dht_event(Which::Network, event),
            BehaviourEvent::PublicKad(event) => self.dht_event(Which::Public, event),
            BehaviourEvent::Announcer(announced) => self.announced(announced),
            BehaviourEvent::Bitswap(event) => self.bitswap_event(event),
            BehaviourEvent::Gossip(gossipsub::Event::Message { propagation_source, message_id, message }) => {
                self.heard(propagation_source, message_id, message);
            }
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => self.discovered(found),
            BehaviourEvent::Hello(event) => self.exchanged(Protocol::Hello, event),
            BehaviourEvent::Put(event) => self.exchanged(Protocol::Put, event),
            BehaviourEvent::Get(event) => self.exchanged(Protocol::Get, event),
            BehaviourEvent::Sync(event) => self.exchanged(Protocol::Sync, event),
            BehaviourEvent::Fetch(event) => self.exchanged(Protocol::Fetch, event),
            BehaviourEvent::Certify(event) => self.exchanged(Protocol::Certify, event),
            _ => {}
        }
    }

    fn established(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let deadline_ms = self.now_ms() + HELLO_TIMEOUT_MS;
        let session = self.sessions.entry(peer).or_insert_with(|| Session { deadline_ms, ..Session::default() });
        session.connections.push(connection);
        session.remote |= !is_loopback(endpoint.get_remote_address());
        self.addresses.connected(&peer);
        if let ConnectedPoint::Dialer { address, .. } = endpoint {
            session.dialled = true;
            // One that was only discovered shows by hello whether it belongs into the book.
            if self.addresses.of(&peer).is_empty() {
                session.keep_address(address.clone());
            } else {
                self.addresses.worked(peer, address);
            }
            // Others are dialled for blocks and lookups; whether they are members, identify will show.
            if self.candidates.remove(&peer) {
                self.open(peer);
            }
        }
    }

    fn closed(&mut self, peer: PeerId, connection: ConnectionId, left: u32) {
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.connections.retain(|id| *id != connection);
        }
        if left > 0 {
            return;
        }
        let [jitter] = self.random();
        self.addresses.disconnected(&peer, self.now_ms(), jitter);
        self.inbound.retain(|_, inbound| inbound.peer != peer);
        self.early.retain(|(from, ..)| *from != peer);
        self.members.set(peer, false);
        if self.sessions.remove(&peer).is_some_and(|session| session.is_member()) {
            tracing::info!(%peer, "a member is disconnected");
            self.feed(Input::Disconnected { replica: Self::replica(&peer) });
        }
    }

    pub(super) fn dial(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        // The address book decides whether another dial is under way; an address named meanwhile does not wait for it.
        self.dial_if(PeerCondition::Disconnected, peer, addresses);
    }

    fn dial_if(&mut self, condition: PeerCondition, peer: PeerId, addresses: Vec<Multiaddr>) {
        let options = DialOpts::peer_id(peer).condition(condition).addresses(addresses).build();
        self.candidates.insert(peer);
        if let Err(error) = self.swarm.dial(options) {
            self.dial_failed(&peer, &error);
        }
    }

    fn dial_failed(&mut self, peer: &PeerId, error: &DialError) {
        tracing::debug!(%peer, %error, "a dial failed");
        // Not tried at all, since another is under way, is no failure.
        let tried = !matches!(error, DialError::DialPeerConditionFalse(_));
        if tried {
            self.candidates.remove(peer);
        }
        if tried && !self.sessions.contains_key(peer) {
            let [jitter] = self.random();
            self.addresses.failed(peer, self.now_ms(), jitter);
        }
    }

    fn identified(&mut self, peer: PeerId, info: &identify::Info) {
        let prefix = prefix(&self.secret.net);
        let ours = info.protocol_version.starts_with(&prefix)
            && info.protocols.iter().any(|protocol| protocol.as_ref().starts_with(&prefix));
        if !ours {
            self.stranger(peer, info);
            return;
        }
        let dialled = self.sessions.get(&peer).is_some_and(|session| session.dialled);
        if dialled {
            self.open(peer);
        }
        self.learn_member(peer, info);
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let mut news = false;
        for address in info.listen_addrs.iter().take(MAX_MEMBER_ADDRESSES) {
            if session.remote && is_loopback(address) {
                continue;
            }
            if session.is_member() {
                news |= self.addresses.add(peer, address.clone());
            } else {
                session.keep_address(address.clone());
            }
        }
        if news {
            self.remember(&peer);
        }
    }

    fn pinged(&mut self, event: &ping::Event) {
        match &event.result {
            Ok(rtt) => {
                if let Some(session) = self.sessions.get_mut(&event.peer) {
                    session.rtt_us = u64::try_from(rtt.as_micros()).ok();
                }
            }
            Err(ping::Failure::Timeout) => {
                tracing::debug!(peer = %event.peer, "a connection is silent");
                self.swarm.close_connection(event.connection);
            }
            Err(_) => {}
        }
    }

    /// Candidates on the local network; whether they are members, hello will show.
    fn discovered(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        let now_ms = self.now_ms();
        let mut candidates: BTreeMap<PeerId, Vec<Multiaddr>> = BTreeMap::new();
        for (peer, address) in found {
            let known = peer == self.secret.local || self.sessions.contains_key(&peer);
            if !known && !self.addresses.is_shunned(&peer, now_ms) {
                let addresses = candidates.entry(peer).or_default();
                if addresses.len() < MAX_MEMBER_ADDRESSES {
                    addresses.push(address);
                }
            }
        }
        for (peer, addresses) in candidates {
            self.dial_if(PeerCondition::DisconnectedAndNotDialing, peer, addresses);
        }
    }

    /// A gossiped message, passed on by `source`: an envelope, or a message that nobody stores.
    fn heard(&mut self, source: PeerId, id: gossipsub::MessageId, message: gossipsub::Message) {
        if !self.sessions.get(&source).is_some_and(Session::is_member) {
            self.judge(&id, &source, gossipsub::MessageAcceptance::Ignore);
            return;
        }
        if Live::is(&message.data) {
            self.heard_live(source, &id, &message);
            return;
        }
        let waiting = self.waiting.values().filter(|waiting| matches!(waiting, Waiting::Gossip { .. })).count();
        if waiting >= MAX_GOSSIP_WAITING {
            self.judge(&id, &source, gossipsub::MessageAcceptance::Ignore);
            return;
        }
        let caller = CallerId(self.next_id());
        self.waiting.insert(caller, Waiting::Gossip { message: id, source });
        self.feed(Input::Heard { caller, from: Self::replica(&source), envelope: message.data.into() });
    }

    fn exchanged(&mut self, protocol: Protocol, event: Exchange<Request, Response>) {
        match event {
            Exchange::Message { peer, connection_id, message: Message::Request { request, channel, .. } } => {
                metrics::request(protocol, "in");
                match request {
                    Request::Hello(greeting) => self.greeted(peer, connection_id, greeting, channel),
                    request => self.requested(peer, protocol, request, channel),
                }
            }
            Exchange::Message { connection_id, message: Message::Response { request_id, response }, .. } => {
                match self.sent.remove(&(protocol, request_id)) {
                    Some(Sent::Engine(token)) => self.feed(Input::Answer { token, response }),
                    Some(Sent::Certify(caller)) => self.certified(caller, Some(response)),
                    Some(Sent::Hello(peer)) => self.hello_answered(peer, connection_id, response),
                    None => {}
                }
            }
            Exchange::OutboundFailure { peer, request_id, error, .. } => {
                metrics::failure(protocol, "out");
                tracing::debug!(%peer, protocol = protocol.name(), %error, "a request failed");
                match self.sent.remove(&(protocol, request_id)) {
                    Some(Sent::Engine(token)) => self.feed(Input::Failed { token }),
                    Some(Sent::Certify(caller)) => self.certified(caller, None),
                    Some(Sent::Hello(peer)) => {
                        self.hello_failed(peer, matches!(error, OutboundFailure::UnsupportedProtocols));
                    }
                    None => {}
                }
            }
            Exchange::InboundFailure { peer, error, .. } => {
                metrics::failure(protocol, "in");
                tracing::debug!(%peer, protocol = protocol.name(), %error, "a request of a peer failed");
            }
            Exchange::ResponseSent { .. } => {}
        }
    }

    /// A request of a graph protocol: answered to members only. Dropping the channel refuses it.
    pub(super) fn requested(
        &mut self,
        peer: PeerId,
        protocol: Protocol,
        request: Request,
        channel: ResponseChannel<Response>,
    ) {
        match self.sessions.get(&peer) {
            Some(session) if session.is_member() => {}
            Some(session) if session.proven => {
                let held = self.early.iter().filter(|(from, ..)| *from == peer).count();
                if held < MAX_EARLY {
                    self.early.push((peer, protocol, request, channel));
                }
                return;
            }
            _ => {
                metrics::rejected("request_before_hello");
                return;
            }
        }
        match request {
            Request::Certify { gateway } => self.serve_certify(peer, gateway, channel),
            request if self.inbound.len() < MAX_INBOUND => {
                let id = RequestId(self.next_id());
                self.inbound.insert(id, Inbound { peer, protocol, channel });
                self.feed(Input::Request { id, from: Self::replica(&peer), request });
            }
            _ => {}
        }
    }
}
