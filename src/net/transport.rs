//! TCP, QUIC and WebSocket, with TLS or noise, yamux and names.

mod secure;

use std::time::Duration;

use libp2p::{
    PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, timeout::TransportTimeout},
        upgrade::Version,
    },
    dns, identity, quic, tcp, websocket, yamux,
};

use self::secure::Secure;
use crate::NetError;

/// From the first byte to an encrypted connection with streams. Who says nothing would else keep one of the places of
/// connections that are being made, for ever.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

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
    let all = websockets.or_transport(sockets).map(|either, _| either.into_inner());
    Ok(TransportTimeout::new(all, HANDSHAKE_TIMEOUT).boxed())
}

#[cfg(test)]
mod tests {
    use futures::future::poll_fn;
    use libp2p::core::transport::{ListenerId, TransportEvent};
    use tokio::{net::TcpStream, time::timeout};

    use super::*;

    #[tokio::test]
    async fn who_connects_and_says_nothing_is_let_go() {
        let mut transport = build(&identity::Keypair::generate_ed25519()).unwrap();
        transport.listen_on(ListenerId::next(), "/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let mut silent = None;
        let ended = async {
            loop {
                match poll_fn(|cx| std::pin::Pin::new(&mut transport).poll(cx)).await {
                    TransportEvent::NewAddress { listen_addr, .. } => {
                        let port = listen_addr.to_string().rsplit('/').next().unwrap().parse::<u16>().unwrap();
                        silent = Some(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
                    }
                    TransportEvent::Incoming { upgrade, .. } => return upgrade.await.is_err(),
                    _ => {}
                }
            }
        };
        assert!(timeout(2 * HANDSHAKE_TIMEOUT, ended).await.unwrap());
        drop(silent);
    }
}
