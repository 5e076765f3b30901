//! TCP, QUIC and WebSocket, with noise, yamux and names.

use libp2p::{
    PeerId, Transport,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    dns, identity, noise, quic, tcp, websocket, yamux,
};

use crate::NetError;

/// A container without resolver configuration still dials plain addresses.
fn named<T>(make: impl Fn() -> T) -> dns::tokio::Transport<T> {
    dns::tokio::Transport::system(make()).unwrap_or_else(|_| {
        let nobody = dns::ResolverConfig::from_parts(None, vec![], vec![]);
        dns::tokio::Transport::custom(make(), nobody, dns::ResolverOpts::default())
    })
}

pub(crate) fn build(keypair: &identity::Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetError> {
    let noise = noise::Config::new(keypair).map_err(|error| NetError::Swarm(error.to_string()))?;
    let plain = || tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let quic = named(|| quic::tokio::Transport::new(quic::Config::new(keypair)));
    let tcp = named(plain)
        .upgrade(Version::V1Lazy)
        .authenticate(noise.clone())
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let ws = websocket::Config::new(named(plain))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    // WebSocket first: TCP would take its addresses for its own and ignore the rest.
    let streams = ws.or_transport(tcp).map(|either, _| either.into_inner());
    let quic = quic.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    Ok(streams.or_transport(quic).map(|either, _| either.into_inner()).boxed())
}
