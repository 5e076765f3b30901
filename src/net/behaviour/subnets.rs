//! Bounds the inbound connections from one /24 (IPv4) or /48 (IPv6), which one operator can fill with peers.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    net::IpAddr,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, Endpoint, transport::PortUse},
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

    fn check(&self, remote: &Multiaddr) -> Result<(), ConnectionDenied> {
        match subnet(remote) {
            Some(subnet) if self.open.get(&subnet).copied().unwrap_or(0) >= self.most => {
                Err(ConnectionDenied::new(Full))
            }
            _ => Ok(()),
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
        _: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.check(remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(remote).map(|()| dummy::ConnectionHandler)
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
            FromSwarm::ConnectionEstablished(established) => {
                if let ConnectedPoint::Listener { send_back_addr, .. } = established.endpoint
                    && let Some(subnet) = subnet(send_back_addr)
                {
                    *self.open.entry(subnet).or_default() += 1;
                    self.connections.insert(established.connection_id, subnet);
                }
            }
            FromSwarm::ConnectionClosed(closed) => {
                if let Some(subnet) = self.connections.remove(&closed.connection_id)
                    && let Some(count) = self.open.get_mut(&subnet)
                {
                    *count -= 1;
                    if *count == 0 {
                        self.open.remove(&subnet);
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
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
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
        let address: Multiaddr = "/ip4/10.1.2.3/tcp/1".parse().unwrap();
        subnets.open.insert(subnet(&address).unwrap(), 2);
        assert!(subnets.check(&address).is_err());
        assert!(subnets.check(&"/ip4/10.1.3.3/tcp/1".parse().unwrap()).is_ok());
    }
}
