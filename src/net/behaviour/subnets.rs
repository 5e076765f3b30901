//! Bounds the inbound connections from one /24 (IPv4) or /48 (IPv6), which one operator can fill with peers. One counts from
//! its first packet on: those that never come to the end of their handshake keep nobody else's out.

use std::{
    collections::{HashMap, hash_map::Entry},
    convert::Infallible,
    fmt,
    net::IpAddr,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm, dummy,
    },
};

#[derive(Debug)]
struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many connections from one subnet")
    }
}

impl std::error::Error for Full {}

/// See the [module](self).
pub(crate) struct Subnets {
    most: u32,
    open: HashMap<[u8; 6], u32>,
    connections: HashMap<ConnectionId, [u8; 6]>,
}

impl Subnets {
    pub(crate) fn new(most: u32) -> Self {
        Self { most, open: HashMap::new(), connections: HashMap::new() }
    }

    /// Takes a place for a connection, until [`Subnets::release`].
    fn admit(&mut self, connection: ConnectionId, remote: &Multiaddr) -> Result<(), ConnectionDenied> {
        let Some(subnet) = subnet(remote) else { return Ok(()) };
        let open = self.open.entry(subnet).or_default();
        if *open >= self.most {
            return Err(ConnectionDenied::new(Full));
        }
        *open += 1;
        self.connections.insert(connection, subnet);
        Ok(())
    }

    fn release(&mut self, connection: ConnectionId) {
        if let Some(subnet) = self.connections.remove(&connection)
            && let Entry::Occupied(mut open) = self.open.entry(subnet)
        {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }
}

/// The first 24 bits of an IPv4 address or 48 of an IPv6 one; `None` for loopback and names.
fn subnet(address: &Multiaddr) -> Option<[u8; 6]> {
    let ip = address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)),
        _ => None,
    })?;
    if ip.is_loopback() {
        return None;
    }
    let mut subnet = [0; 6];
    match ip {
        // 0000::/8 holds no global address, so these cannot meet those of IPv6.
        IpAddr::V4(ip) => subnet[3..].copy_from_slice(&ip.octets()[..3]),
        IpAddr::V6(ip) => subnet.copy_from_slice(&ip.octets()[..6]),
    }
    Some(subnet)
}

impl NetworkBehaviour for Subnets {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.admit(connection, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ListenFailure(failed) => self.release(failed.connection_id),
            FromSwarm::ConnectionClosed(closed) => self.release(closed.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use libp2p::swarm::{ListenError, behaviour::ListenFailure};

    use super::*;

    #[test]
    fn neighbours_share_a_subnet_and_loopback_has_none() {
        let subnet = |text: &str| subnet(&text.parse().unwrap());
        assert_eq!(subnet("/ip4/10.1.2.3/tcp/1"), subnet("/ip4/10.1.2.250/udp/9/quic-v1"));
        assert_ne!(subnet("/ip4/10.1.2.3/tcp/1"), subnet("/ip4/10.1.3.3/tcp/1"));
        assert_eq!(subnet("/ip6/2001:db8:1:2::1/tcp/1"), subnet("/ip6/2001:db8:1:3::1/tcp/1"));
        assert_ne!(subnet("/ip6/2001:db8:1:2::1/tcp/1"), subnet("/ip6/2001:db8:2:2::1/tcp/1"));
        assert_eq!(subnet("/ip6/::ffff:10.1.2.3/tcp/1"), subnet("/ip4/10.1.2.9/tcp/1"));
        assert_eq!(subnet("/ip4/127.0.0.1/tcp/1"), None);
        assert_eq!(subnet("/dns4/example.org/tcp/1"), None);
    }

    #[test]
    fn a_full_subnet_is_denied_and_others_are_not() {
        let mut subnets = Subnets::new(2);
        let mut arrives = |id: usize, from: &str| {
            let (here, from) = ("/ip4/10.9.9.9/tcp/1".parse().unwrap(), from.parse().unwrap());
            subnets.handle_pending_inbound_connection(ConnectionId::new_unchecked(id), &here, &from).is_ok()
        };
        assert!(arrives(1, "/ip4/10.1.2.3/tcp/1") && arrives(2, "/ip4/10.1.2.4/tcp/1"), "neither has shaken hands");
        assert!(!arrives(3, "/ip4/10.1.2.5/tcp/1"));
        assert!(arrives(4, "/ip4/10.1.3.3/tcp/1"));
        assert_eq!(subnets.open.len(), 2);
        for id in [1, 2, 2, 3, 4] {
            let failed = ListenFailure {
                local_addr: &"/ip4/10.9.9.9/tcp/1".parse().unwrap(),
                send_back_addr: &"/ip4/10.1.2.3/tcp/1".parse().unwrap(),
                error: &ListenError::Aborted,
                connection_id: ConnectionId::new_unchecked(id),
                peer_id: None,
            };
            subnets.on_swarm_event(FromSwarm::ListenFailure(failed));
        }
        assert!(subnets.open.is_empty() && subnets.connections.is_empty());
    }
}
