//! A DHT as the node sees it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cid::multihash::Multihash;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use rustdht_core::ports::{
    Announcer, ContentRouting, IpnsName, MAX_MULTIADDR_BYTES, MAX_PEER_ADDRESSES, NameRecord, Provider, RoutingError,
};
use tokio::sync::{mpsc, oneshot};

use super::Which;
use crate::{
    handle::Command,
    limits::{ANNOUNCE_KEYS, ANNOUNCE_PARALLEL},
};

/// How long a question to the service may take: a query ends by itself within a minute.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);
/// Answers that wait for whoever asked; one that takes none loses some.
const ANSWERS: usize = 64;

/// What the service is asked of a DHT.
#[derive(Debug)]
pub(crate) enum Lookup {
    Providers { key: Multihash<64>, limit: usize, found: mpsc::Sender<Provider> },
    Peer { peer: PeerId, reply: oneshot::Sender<Option<Provider>> },
    Nearest { key: Vec<u8>, reply: oneshot::Sender<Option<Vec<Provider>>> },
    Names { name: IpnsName, found: mpsc::Sender<Bytes> },
    PutName { name: IpnsName, record: NameRecord, reply: oneshot::Sender<bool> },
    Announce { peer: PeerId, addresses: Vec<Multiaddr>, keys: Vec<Multihash<64>>, reply: oneshot::Sender<bool> },
}

/// One of the two DHTs. A cheap clone.
#[derive(Clone, Debug)]
pub struct Dht {
    commands: mpsc::Sender<Command>,
    which: Which,
}

impl Dht {
    pub(crate) const fn new(commands: mpsc::Sender<Command>, which: Which) -> Self {
        Self { commands, which }
    }

    async fn send(&self, lookup: Lookup) -> Result<(), RoutingError> {
        self.commands.send(Command::Lookup(self.which, lookup)).await.map_err(|_| RoutingError::Unavailable)
    }

    async fn ask<T>(&self, lookup: impl FnOnce(oneshot::Sender<T>) -> Lookup + Send) -> Result<T, RoutingError> {
        let (reply, answer) = oneshot::channel();
        let asking = async {
            self.send(lookup(reply)).await?;
            answer.await.map_err(|_| RoutingError::Unavailable)
        };
        tokio::time::timeout(ANSWER_TIMEOUT, asking).await.map_err(|_| RoutingError::NobodyAnswered)?
    }
}

fn received<T: Send + 'static>(answers: mpsc::Receiver<T>) -> BoxStream<'static, T> {
    stream::unfold(answers, |mut answers| async move { answers.recv().await.map(|answer| (answer, answers)) }).boxed()
}

#[async_trait]
impl ContentRouting for Dht {
    async fn providers(&self, key: &Multihash<64>, limit: usize) -> Result<BoxStream<'static, Provider>, RoutingError> {
        let (found, answers) = mpsc::channel(ANSWERS);
        self.send(Lookup::Providers { key: *key, limit, found }).await?;
        Ok(received(answers))
    }

    async fn peer(&self, peer: &str) -> Result<Option<Provider>, RoutingError> {
        let peer = peer.parse().map_err(|_| RoutingError::Unsupported)?;
        self.ask(|reply| Lookup::Peer { peer, reply }).await
    }

    async fn name_records(&self, name: &IpnsName) -> Result<BoxStream<'static, Bytes>, RoutingError> {
        let (found, answers) = mpsc::channel(ANSWERS);
        self.send(Lookup::Names { name: *name, found }).await?;
        Ok(received(answers))
    }

    async fn put_name(&self, name: &IpnsName, record: &NameRecord) -> Result<(), RoutingError> {
        let put = self.ask(|reply| Lookup::PutName { name: *name, record: record.clone(), reply }).await?;
        if put { Ok(()) } else { Err(RoutingError::NobodyAnswered) }
    }
}

#[async_trait]
impl Announcer for Dht {
    async fn nearest(&self, key: &[u8]) -> Result<Vec<Provider>, RoutingError> {
        let key = key.to_vec();
        let found = self.ask(|reply| Lookup::Nearest { key, reply }).await?;
        found.filter(|found| !found.is_empty()).ok_or(RoutingError::NobodyAnswered)
    }

    async fn announce(&self, records: Vec<(Provider, Vec<Multihash<64>>)>) -> Result<usize, RoutingError> {
        let parts = records.into_iter().filter_map(|(provider, keys)| {
            let (peer, addresses) = place(&provider)?;
            let parts: Vec<_> =
                keys.chunks(ANNOUNCE_KEYS).map(|keys| (peer, addresses.clone(), keys.to_vec())).collect();
            Some(parts)
        });
        let sent = stream::iter(parts.flatten()).map(|(peer, addresses, keys)| async move {
            let count = keys.len();
            let sent = self.ask(|reply| Lookup::Announce { peer, addresses, keys, reply }).await;
            if sent.unwrap_or(false) { count } else { 0 }
        });
        Ok(sent.buffer_unordered(ANNOUNCE_PARALLEL).fold(0, |all, sent| std::future::ready(all + sent)).await)
    }
}

/// The peer and its addresses; `None` when its id is none.
pub(crate) fn place(provider: &Provider) -> Option<(PeerId, Vec<Multiaddr>)> {
    let addresses = provider.addresses.iter().filter(|text| text.len() <= MAX_MULTIADDR_BYTES);
    let addresses = addresses.filter_map(|text| text.parse().ok()).take(MAX_PEER_ADDRESSES).collect();
    Some((provider.peer.parse().ok()?, addresses))
}

/// A peer of a DHT, in the words of the ports.
pub(crate) fn found(peer: &PeerId, addresses: impl IntoIterator<Item = Multiaddr>) -> Provider {
    let mut texts: Vec<String> = Vec::new();
    for mut address in addresses {
        if matches!(address.iter().last(), Some(Protocol::P2p(last)) if last == *peer) {
            address.pop();
        }
        let text = address.to_string();
        if !address.is_empty() && text.len() <= MAX_MULTIADDR_BYTES && !texts.contains(&text) {
            texts.push(text);
        }
        if texts.len() >= MAX_PEER_ADDRESSES {
            break;
        }
    }
    Provider { peer: peer.to_base58(), addresses: texts, protocols: Vec::new() }
}

/// Whether an address may be reached from anywhere.
fn is_public(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared)
        }
        // 2000::/3 is what is routed.
        Some(Protocol::Ip6(ip)) => ip.segments()[0] & 0xe000 == 0x2000,
        Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_)) => true,
        _ => false,
    }
}

/// The addresses that others are told: where there are any that are reached from anywhere, these alone.
pub(crate) fn wire_addresses<'a>(known: impl Iterator<Item = &'a Multiaddr> + Clone) -> Vec<Multiaddr> {
    let public: Vec<Multiaddr> = known.clone().filter(|address| is_public(address)).cloned().collect();
    let mut told = if public.is_empty() { known.cloned().collect() } else { public };
    told.dedup();
    told.truncate(MAX_PEER_ADDRESSES);
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_told_only_when_there_are_no_others() {
        let of = |texts: &[&str]| -> Vec<String> {
            let all: Vec<Multiaddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
            wire_addresses(all.iter()).iter().map(ToString::to_string).collect()
        };
        let private = [
            "/ip4/10.0.0.1/tcp/1",
            "/ip4/127.0.0.1/tcp/1",
            "/ip6/::1/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/ip4/100.64.0.1/tcp/1",
        ];
        assert_eq!(of(&private), private);
        for public in ["/ip4/1.2.3.4/udp/1/quic-v1", "/ip6/2a00::1/tcp/1", "/dns4/example.org/tcp/1"] {
            assert_eq!(of(&[&private[..], &[public]].concat()), [public]);
        }
    }

    #[test]
    fn peers_lose_their_own_id_and_what_is_too_much() {
        let peer = PeerId::random();
        let address = |port: u16| format!("/ip4/192.0.2.1/tcp/{port}").parse::<Multiaddr>().unwrap();
        let with_id = address(1).with(Protocol::P2p(peer));
        let provider = found(&peer, [with_id, address(1), address(2)]);
        assert_eq!(provider.addresses, ["/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/tcp/2"]);
        assert_eq!(place(&provider), Some((peer, vec![address(1), address(2)])));
        assert_eq!(found(&peer, (1..100).map(address)).addresses.len(), MAX_PEER_ADDRESSES);
        assert_eq!(place(&Provider { peer: "x".into(), ..provider }), None);
    }
}
