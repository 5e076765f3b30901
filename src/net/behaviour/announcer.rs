//! Gives provider records to peers that are known already: `ADD_PROVIDER` of the Kademlia specification, many on one stream.
//!
//! libp2p-kad looks peers up anew for every key. Keys of one region share their peers, so whoever has looked these up once writes
//! all of them to each.

use std::{
    collections::{HashMap, VecDeque},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures::{AsyncWriteExt, FutureExt, future::BoxFuture};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol,
    core::{
        Endpoint,
        transport::PortUse,
        upgrade::{DeniedUpgrade, ReadyUpgrade},
    },
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
        NotifyHandler, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        dial_opts::{DialOpts, PeerCondition},
        handler::{ConnectionEvent, FullyNegotiatedOutbound},
    },
};

use crate::limits::{ANNOUNCE_TIMEOUT, MAX_ANNOUNCEMENTS};

/// One peer's records, as they go over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Announcement {
    /// Chosen by whoever asks for it.
    pub(crate) id: u64,
    /// Of the DHT.
    pub(crate) protocol: StreamProtocol,
    /// Messages with their lengths.
    pub(crate) messages: Bytes,
}

/// What became of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) id: u64,
    /// Written, and the stream closed; a peer does not answer.
    pub(crate) sent: bool,
}

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Announcer {
    connections: HashMap<PeerId, Vec<ConnectionId>>,
    /// Waiting for a connection.
    waiting: HashMap<PeerId, Vec<Announcement>>,
    /// At a connection: so that the end of one is noticed.
    writing: HashMap<u64, (PeerId, ConnectionId)>,
    news: VecDeque<ToSwarm<Announced, Announcement>>,
    waker: Option<Waker>,
}

impl Announcer {
    /// Gives a peer records; it is dialled when it is not connected. `false`: too many are under way.
    pub(crate) fn announce(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, announcement: Announcement) -> bool {
        if self.waiting.values().map(Vec::len).sum::<usize>() + self.writing.len() >= MAX_ANNOUNCEMENTS {
            return false;
        }
        match self.connections.get(&peer).and_then(|connections| connections.first()) {
            Some(connection) => self.write(peer, *connection, announcement),
            None => {
                self.waiting.entry(peer).or_default().push(announcement);
                let opts = DialOpts::peer_id(peer)
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    .addresses(addresses)
                    .extend_addresses_through_behaviour()
                    .build();
                self.news.push_back(ToSwarm::Dial { opts });
            }
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        true
    }

    fn write(&mut self, peer: PeerId, connection: ConnectionId, announcement: Announcement) {
        self.writing.insert(announcement.id, (peer, connection));
        let handler = NotifyHandler::One(connection);
        self.news.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler, event: announcement });
    }

    fn failed(&mut self, id: u64) {
        self.news.push_back(ToSwarm::GenerateEvent(Announced { id, sent: false }));
    }
}

impl NetworkBehaviour for Announcer {
    type ConnectionHandler = Writer;
    type ToSwarm = Announced;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Writer::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Writer::default())
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(new) => {
                self.connections.entry(new.peer_id).or_default().push(new.connection_id);
                for announcement in self.waiting.remove(&new.peer_id).unwrap_or_default() {
                    self.write(new.peer_id, new.connection_id, announcement);
                }
            }
            FromSwarm::ConnectionClosed(closed) => {
                if let Some(connections) = self.connections.get_mut(&closed.peer_id) {
                    connections.retain(|connection| *connection != closed.connection_id);
                    if connections.is_empty() {
                        self.connections.remove(&closed.peer_id);
                    }
                }
                let on = (closed.peer_id, closed.connection_id);
                let lost: Vec<u64> = self.writing.iter().filter(|(_, at)| **at == on).map(|(id, _)| *id).collect();
                for id in lost {
                    self.writing.remove(&id);
                    self.failed(id);
                }
            }
            FromSwarm::DialFailure(failure) => {
                // Another dial of the same peer may still be under way: then its connection would find nothing here.
                let peer = failure.peer_id.filter(|peer| !self.connections.contains_key(peer));
                for announcement in peer.and_then(|peer| self.waiting.remove(&peer)).unwrap_or_default() {
                    self.failed(announcement.id);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        self.writing.remove(&event.id);
        self.news.push_back(ToSwarm::GenerateEvent(event));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(news) = self.news.pop_front() {
            return Poll::Ready(news);
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Writes on one connection, one stream after the other.
#[derive(Default)]
pub(crate) struct Writer {
    waiting: VecDeque<Announcement>,
    /// A stream is asked for, or written to.
    opening: Option<Announcement>,
    writing: Option<BoxFuture<'static, Announced>>,
    asked: bool,
}

impl ConnectionHandler for Writer {
    type FromBehaviour = Announcement;
    type ToBehaviour = Announced;
    type InboundProtocol = DeniedUpgrade;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<DeniedUpgrade> {
        SubstreamProtocol::new(DeniedUpgrade, ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.opening.is_some() || self.writing.is_some() || !self.waiting.is_empty()
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Announced>> {
        if let Some(writing) = &mut self.writing
            && let Poll::Ready(announced) = writing.poll_unpin(context)
        {
            self.writing = None;
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(announced));
        }
        if self.opening.is_none() && self.writing.is_none() {
            self.opening = self.waiting.pop_front();
            self.asked = false;
        }
        match &self.opening {
            Some(opening) if !self.asked => {
                self.asked = true;
                let protocol = SubstreamProtocol::new(ReadyUpgrade::new(opening.protocol.clone()), ());
                let protocol = protocol.with_timeout(ANNOUNCE_TIMEOUT);
                Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
            }
            _ => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, announcement: Announcement) {
        // Bounded by `MAX_ANNOUNCEMENTS`.
        self.waiting.push_back(announcement);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, DeniedUpgrade, ReadyUpgrade<StreamProtocol>>) {
        match event {
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, .. }) => {
                let Some(announcement) = self.opening.take() else { return };
                self.writing = Some(write(stream, announcement, ANNOUNCE_TIMEOUT).boxed());
            }
            ConnectionEvent::DialUpgradeError(_) => {
                let Some(announcement) = self.opening.take() else { return };
                self.writing = Some(std::future::ready(Announced { id: announcement.id, sent: false }).boxed());
            }
            _ => {}
        }
    }
}

async fn write(mut stream: libp2p::Stream, announcement: Announcement, timeout: Duration) -> Announced {
    let all = async {
        stream.write_all(&announcement.messages).await?;
        stream.close().await
    };
    let sent = tokio::time::timeout(timeout, all).await.is_ok_and(|written| written.is_ok());
    Announced { id: announcement.id, sent }
}
