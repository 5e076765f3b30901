//! TCP, QUIC and WebSocket, with TLS or noise, yamux and names.

mod secure;

use libp2p::{
    PeerId, Transport,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    dns, identity, quic, tcp, websocket, yamux,
};

use self::secure::Secure;
use crate::NetError;

/// A container without resolver configuration still dials plain addresses.
fn named<T>(make: impl Fn() -> T) -> dns::tokio::Transport<T> {
    dns::tokio::Transport::system(make()).unwrap_or_else(|_| {
        let nobody = dns::ResolverConfig::from_parts(None, vec![], vec![]);
        dns::tokio::Transport::custom(make(), nobody, dns::ResolverOpts::default())
    })
}

/// A yamux whose windows grow to 1 MiB at most. js-libp2p sends a window in one frame, and rust-yamux ends a connection over a
/// frame beyond 1 MiB. Windows share what 1 GiB leaves when each of the streams has its 256 KiB.
fn muxer() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(4096 - 3);
    config
}

pub(crate) fn build(keypair: &identity::Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetError> {
    let secure = Secure::new(keypair)?;
    let plain = || tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    // Names take any address, so they wrap all that is to share them.
    let sockets = named(|| {
        let tcp = plain()
            .upgrade(Version::V1Lazy)
            .authenticate(secure.clone())
            .multiplex(muxer())
            .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
        let quic = quic::tokio::Transport::new(quic::Config::new(keypair))
            .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
        tcp.or_transport(quic).map(|either, _| either.into_inner()).boxed()
    });
    let websockets = websocket::Config::new(named(plain))
        .upgrade(Version::V1Lazy)
        .authenticate(secure.clone())
        .multiplex(muxer())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    // WebSocket first: TCP would take its addresses for its own and ignore the rest.
    Ok(websockets.or_transport(sockets).map(|either, _| either.into_inner()).boxed())
}
