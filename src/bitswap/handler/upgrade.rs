//! Which protocols are spoken on a stream.

use std::convert::Infallible;
use std::future::{Ready, ready};

use libp2p_core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p_swarm::{InvalidProtocol, Stream, StreamProtocol};

use crate::wire::Version;

const COUNT: usize = Version::ALL.len();

/// All versions, the newest first. Cloned for each stream, which costs four reference counts.
#[derive(Clone, Debug)]
pub struct Protocols([StreamProtocol; COUNT]);

impl Protocols {
    /// The protocols behind a prefix, which is empty or begins with a slash.
    pub(crate) fn new(prefix: &str) -> Result<Self, InvalidProtocol> {
        let [a, b, c, d] = Version::ALL.map(|(_, name)| StreamProtocol::try_from_owned(format!("{prefix}{name}")));
        Ok(Self([a?, b?, c?, d?]))
    }

    pub(super) fn contain(&self, protocol: &StreamProtocol) -> bool {
        self.0.contains(protocol)
    }
}

impl UpgradeInfo for Protocols {
    type Info = StreamProtocol;
    type InfoIter = std::array::IntoIter<StreamProtocol, COUNT>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Protocols {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

impl OutboundUpgrade<Stream> for Protocols {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<(Stream, StreamProtocol), Infallible>>;

    fn upgrade_outbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        ready(Ok((stream, name)))
    }
}

impl Protocols {
    /// The version behind a name that was agreed on.
    pub(super) fn version(&self, name: &StreamProtocol) -> Version {
        let at = self.0.iter().position(|own| own == name);
        at.map_or(Version::V12, |at| Version::ALL[at].0)
    }
}
