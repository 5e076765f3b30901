//! TLS 1.3 or noise, whichever the peer speaks (libp2p specification, `tls` and `noise`).
//!
//! TLS first: AES-GCM by the processor's own instructions costs a third of noise's ChaCha20-Poly1305 per byte, and blocks
//! are what this node moves. Kubo prefers it as well; Helia and browsers speak noise alone.

use std::io;

use futures::{
    AsyncRead, AsyncWrite, FutureExt,
    future::{BoxFuture, Either},
};
use libp2p::{
    PeerId,
    core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
    identity::Keypair,
    noise, tls,
};

use crate::NetError;

/// The upgrade of a plain connection. Give it to `authenticate`.
#[derive(Clone)]
pub(super) struct Secure {
    tls: tls::Config,
    noise: noise::Config,
}

/// A connection whose peer is known and which nobody else reads.
type Stream<C> = Either<tls::TlsStream<C>, noise::Output<C>>;

impl Secure {
    pub(super) fn new(keypair: &Keypair) -> Result<Self, NetError> {
        let of = |error: &dyn std::error::Error| NetError::Swarm(error.to_string());
        Ok(Self {
            tls: tls::Config::new(keypair).map_err(|error| of(&error))?,
            noise: noise::Config::new(keypair).map_err(|error| of(&error))?,
        })
    }

    fn names(&self) -> [&'static str; 2] {
        let of = |mut names: std::iter::Once<&'static str>| names.next().unwrap_or_default();
        [of(self.tls.protocol_info()), of(self.noise.protocol_info())]
    }
}

impl UpgradeInfo for Secure {
    type Info = &'static str;
    type InfoIter = std::array::IntoIter<&'static str, 2>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.names().into_iter()
    }
}

impl<C> InboundConnectionUpgrade<C> for Secure
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = (PeerId, Stream<C>);
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Output>>;

    fn upgrade_inbound(self, socket: C, name: Self::Info) -> Self::Future {
        if name == self.names()[0] {
            let upgrade = self.tls.upgrade_inbound(socket, name);
            upgrade.map(|done| done.map(|(peer, io)| (peer, Either::Left(io))).map_err(io::Error::other)).boxed()
        } else {
            let upgrade = self.noise.upgrade_inbound(socket, name);
            upgrade.map(|done| done.map(|(peer, io)| (peer, Either::Right(io))).map_err(io::Error::other)).boxed()
        }
    }
}

impl<C> OutboundConnectionUpgrade<C> for Secure
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = (PeerId, Stream<C>);
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Output>>;

    fn upgrade_outbound(self, socket: C, name: Self::Info) -> Self::Future {
        if name == self.names()[0] {
            let upgrade = self.tls.upgrade_outbound(socket, name);
            upgrade.map(|done| done.map(|(peer, io)| (peer, Either::Left(io))).map_err(io::Error::other)).boxed()
        } else {
            let upgrade = self.noise.upgrade_outbound(socket, name);
            upgrade.map(|done| done.map(|(peer, io)| (peer, Either::Right(io))).map_err(io::Error::other)).boxed()
        }
    }
}
