//! Keeps connections open that nothing else keeps open: those of members, of peers that the operator named, and of those that are
//! still to say what they are. A guest's connection ends when no protocol uses it for a while.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse, upgrade::DeniedUpgrade},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
        NotifyHandler, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        handler::ConnectionEvent,
    },
};

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Keeper {
    /// Connected peers: whether they are kept, and their connections.
    peers: HashMap<PeerId, Held>,
    /// What connections are to be told; as many as connections change their state at once.
    news: VecDeque<ToSwarm<Infallible, bool>>,
}

struct Held {
    keep: bool,
    connections: Vec<ConnectionId>,
}

impl Keeper {
    /// From now on the connections with a peer are kept, or left to who uses them.
    pub(crate) fn keep(&mut self, peer: &PeerId, keep: bool) {
        let Some(held) = self.peers.get_mut(peer) else { return };
        if std::mem::replace(&mut held.keep, keep) != keep {
            self.news.extend(held.connections.iter().map(|connection| ToSwarm::NotifyHandler {
                peer_id: *peer,
                handler: NotifyHandler::One(*connection),
                event: keep,
            }));
        }
    }
}

impl NetworkBehaviour for Keeper {
    type ConnectionHandler = Hold;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Hold(self.peers.get(&peer).is_none_or(|held| held.keep)))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Hold(self.peers.get(&peer).is_none_or(|held| held.keep)))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(new) => {
                let held = self.peers.entry(new.peer_id).or_insert(Held { keep: true, connections: Vec::new() });
                held.connections.push(new.connection_id);
            }
            FromSwarm::ConnectionClosed(closed) => {
                if let Some(held) = self.peers.get_mut(&closed.peer_id) {
                    held.connections.retain(|connection| *connection != closed.connection_id);
                    if held.connections.is_empty() {
                        self.peers.remove(&closed.peer_id);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.news.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Whether one connection is kept.
pub(crate) struct Hold(bool);

impl ConnectionHandler for Hold {
    type FromBehaviour = bool;
    type ToBehaviour = Infallible;
    type InboundProtocol = DeniedUpgrade;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<DeniedUpgrade> {
        SubstreamProtocol::new(DeniedUpgrade, ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.0
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<DeniedUpgrade, (), Infallible>> {
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, keep: bool) {
        self.0 = keep;
    }

    fn on_connection_event(&mut self, _: ConnectionEvent<'_, DeniedUpgrade, DeniedUpgrade>) {}
}
