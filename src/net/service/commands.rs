//! What the node asks.

use std::collections::BTreeSet;

use libp2p::{PeerId, multiaddr::Protocol as Part};
use rustdht_core::ports::{NetworkStatus, PeerStatus, ReplicationError};
use rustdht_dht::{CallerId, Input};

use super::{Running, Waiting};
use crate::{addresses::with_peer, handle::Command};

impl Running {
    pub(super) fn command(&mut self, command: Command) {
        // A caller who has gone away needs no answer, hence the ignored results of `send`.
        match command {
            Command::Publish(published) => self.feed(Input::Published(published)),
            Command::Await { commit, deadline_ms, reply } => {
                let caller = CallerId(self.next_id());
                self.waiting.insert(caller, Waiting::Durability(reply));
                self.feed(Input::Await { caller, commit, deadline_ms });
            }
            Command::Outstanding { commit, reply } => {
                let _ = reply.send(self.engine.outstanding(&commit));
            }
            Command::Ask { soul, reply } => {
                let caller = CallerId(self.next_id());
                self.waiting.insert(caller, Waiting::Soul(reply));
                self.feed(Input::Ask { caller, soul });
            }
            Command::Lookup(which, lookup) => self.look_up(which, lookup),
            Command::Certify { gateway, reply } => self.certify(gateway, reply),
            Command::Broadcast(message) => self.broadcast(message),
            Command::Peers { reply } => {
                let _ = reply.send(self.peers());
            }
            Command::Status { reply } => {
                let _ = reply.send(self.status());
            }
            Command::Dial { address, reply } => {
                let result = with_peer(&address).map_err(|error| ReplicationError::Invalid(error.to_string()));
                let _ = reply.send(result.and_then(|(peer, address)| {
                    if peer == self.secret.local {
                        return Err(ReplicationError::Invalid("this is the address of this gateway".to_owned()));
                    }
                    self.addresses.ask_for(peer, &address);
                    Ok(())
                }));
            }
        }
    }

    fn peers(&self) -> Vec<PeerStatus> {
        let views = self.engine.peers();
        let known: BTreeSet<PeerId> = views.iter().filter_map(|view| view.id.0.parse().ok()).collect();
        let now_ms = self.clock.now_ms();
        let addresses =
            |peer: &PeerId| self.addresses.of(peer).iter().map(ToString::to_string).collect::<Vec<String>>();
        let mut peers: Vec<PeerStatus> = views
            .into_iter()
            .map(|view| {
                let peer = view.id.0.parse::<PeerId>().ok();
                let session = peer.and_then(|peer| self.sessions.get(&peer));
                PeerStatus {
                    id: view.id,
                    connected: view.connected,
                    addresses: peer.map(|peer| addresses(&peer)).unwrap_or_default(),
                    rtt_us: session.and_then(|session| session.rtt_us),
                    in_sync: view.in_sync,
                    seen_ms: view.seen_ms,
                    replica: view.counted,
                    guest: session.is_some_and(|session| session.guest),
                }
            })
            .collect();
        let strangers = self.sessions.iter().filter(|(peer, _)| !known.contains(peer));
        peers.extend(strangers.map(|(peer, session)| PeerStatus {
            id: Self::replica(peer),
            connected: session.guest,
            addresses: addresses(peer),
            rtt_us: session.rtt_us,
            in_sync: false,
            seen_ms: now_ms,
            replica: false,
            guest: session.guest,
        }));
        peers
    }

    fn status(&self) -> NetworkStatus {
        let all = self.external.iter().chain(&self.listen);
        let with_id = all.map(|address| address.clone().with(Part::P2p(self.secret.local)).to_string());
        NetworkStatus {
            id: self.id.clone(),
            listen: with_id.collect(),
            replicas: self.engine.replicas(),
            write_quorum: self.engine.write_quorum(),
            reachable: self.engine.reachable(),
            indexed: self.engine.indexed() as u64,
        }
    }
}
