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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt;
    use libp2p::{Swarm, SwarmBuilder, noise, swarm::SwarmEvent, tcp, yamux};

    use super::*;

    /// Longer than this without anything to do ends a connection, in the tests.
    const IDLE: Duration = Duration::from_millis(100);

    fn swarm() -> Swarm<Keeper> {
        SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| Keeper::default())
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
            .build()
    }

    /// Runs both for a while; whether `one` saw a connection end.
    async fn ended(one: &mut Swarm<Keeper>, other: &mut Swarm<Keeper>, within: Duration) -> bool {
        let deadline = tokio::time::sleep(within);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                event = one.select_next_some() => {
                    if matches!(event, SwarmEvent::ConnectionClosed { .. }) {
                        return true;
                    }
                }
                _ = other.select_next_some() => {}
                () = &mut deadline => return false,
            }
        }
    }

    #[tokio::test]
    async fn who_is_not_kept_is_let_go_of_when_idle() {
        let (mut one, mut other) = (swarm(), swarm());
        one.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = one.select_next_some().await {
                break address;
            }
        };
        let other_id = *other.local_peer_id();
        other.dial(address).unwrap();
        assert!(!ended(&mut one, &mut other, 8 * IDLE).await, "everybody is kept until it is known who they are");
        one.behaviour_mut().keep(&other_id, false);
        assert!(ended(&mut one, &mut other, 80 * IDLE).await);
        assert!(one.behaviour().peers.is_empty(), "what is gone is forgotten");
        // Nobody is connected: there is nothing to keep.
        one.behaviour_mut().keep(&other_id, true);
        assert!(one.behaviour().news.is_empty());
    }
}
