//! Keeps a behaviour from hearing of a peer until the peer has proved the network key.
//!
//! Connections and their events are withheld, in order, and handed over when the gate opens: a stranger is neither
//! sent a subscription nor listened to.

use std::{
    collections::HashMap,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm, behaviour::ConnectionEstablished,
    },
};

use crate::limits::MAX_GATED_EVENTS;

struct Held<E> {
    open: bool,
    connections: Vec<(ConnectionId, ConnectedPoint)>,
    events: Vec<(ConnectionId, E)>,
}

pub(crate) struct Gate<B: NetworkBehaviour> {
    inner: B,
    peers: HashMap<PeerId, Held<THandlerOutEvent<B>>>,
}

impl<B: NetworkBehaviour> Gate<B> {
    pub(crate) fn new(inner: B) -> Self {
        Self { inner, peers: HashMap::new() }
    }

    pub(crate) fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// Hands over what was withheld of a connected peer, and withholds nothing from now on.
    pub(crate) fn open(&mut self, peer: &PeerId) {
        let Some(held) = self.peers.get_mut(peer) else { return };
        if std::mem::replace(&mut held.open, true) {
            return;
        }
        for (other_established, (connection_id, endpoint)) in held.connections.iter().enumerate() {
            self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id: *peer,
                connection_id: *connection_id,
                endpoint,
                failed_addresses: &[],
                other_established,
            }));
        }
        for (connection_id, event) in std::mem::take(&mut held.events) {
            self.inner.on_connection_handler_event(*peer, connection_id, event);
        }
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Gate<B> {
    type ConnectionHandler = B::ConnectionHandler;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, address, role, port_use)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            FromSwarm::ConnectionEstablished(established) => {
                let held = self.peers.entry(established.peer_id).or_insert_with(|| Held {
                    open: false,
                    connections: Vec::new(),
                    events: Vec::new(),
                });
                held.connections.push((established.connection_id, established.endpoint.clone()));
                if !held.open {
                    return;
                }
            }
            FromSwarm::ConnectionClosed(closed) => {
                if let Some(held) = self.peers.get_mut(&closed.peer_id) {
                    held.connections.retain(|(id, _)| *id != closed.connection_id);
                    held.events.retain(|(id, _)| *id != closed.connection_id);
                    if held.connections.is_empty() {
                        self.peers.remove(&closed.peer_id);
                    }
                }
            }
            FromSwarm::AddressChange(change) if self.peers.get(&change.peer_id).is_some_and(|held| !held.open) => {
                return;
            }
            _ => {}
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        match self.peers.get_mut(&peer) {
            Some(held) if held.open => self.inner.on_connection_handler_event(peer, connection, event),
            Some(held) if held.events.len() < MAX_GATED_EVENTS => held.events.push((connection, event)),
            _ => {}
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(context)
    }
}
