//! Peers of IPFS that do not belong to the network: blocks are exchanged with them, and what the DHT needs; nothing of the graph.

use libp2p::{Multiaddr, PeerId, identify};
use rustdht_wire::protocol::MAX_MEMBER_ADDRESSES;

use super::Running;
use crate::{addresses::is_loopback, limits::MAX_GUESTS, metrics, routing::Which};

/// What a peer that exchanges blocks says it speaks begins so.
const BITSWAP: &str = "/ipfs/bitswap";

impl Running {
    /// Whether a peer that is none of the network is one of IPFS.
    fn speaks_ipfs(&mut self, info: &identify::Info) -> bool {
        let dht = self.swarm.behaviour_mut().kad(Which::Public).map(|kad| (kad.mode(), kad.protocol_names().to_vec()));
        // A client of the DHT announces nothing of it; only who answers is asked.
        let serves = dht.as_ref().is_some_and(|(mode, _)| *mode == libp2p::kad::Mode::Server);
        let names = dht.map(|(_, names)| names).unwrap_or_default();
        serves || info.protocols.iter().any(|spoken| spoken.as_ref().starts_with(BITSWAP) || names.contains(spoken))
    }

    /// A peer showed that it does not belong to the network.
    pub(super) fn stranger(&mut self, peer: PeerId, info: &identify::Info) {
        let asked_for = self.addresses.is_asked_for(&peer);
        let Some(session) = self.sessions.get(&peer) else { return };
        // One that was dialled as a member, by an address that somebody told or found, is left alone for a while.
        let candidate = session.greeted && !asked_for;
        if session.guest {
            self.learn_places(peer, info);
            return;
        }
        if candidate || !self.speaks_ipfs(info) {
            self.turn_away(peer, "another_network");
            return;
        }
        self.admit_guest(peer, asked_for);
        self.learn_places(peer, info);
    }

    /// From now on it is a guest. One that the operator named is kept connected.
    fn admit_guest(&mut self, peer: PeerId, asked_for: bool) {
        let guests = self.sessions.values().filter(|session| session.guest).count();
        if guests >= MAX_GUESTS && !asked_for {
            match self.idlest_guest() {
                Some(idlest) => self.disconnect(idlest),
                None => {
                    self.turn_away(peer, "too_many_guests");
                    return;
                }
            }
        }
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.guest = true;
            session.opened = None;
        }
        self.swarm.behaviour_mut().keep(&peer, asked_for);
        tracing::debug!(%peer, asked_for, "a peer of IPFS is connected");
    }

    /// The guest with which the fewest blocks were exchanged; of those without any, the one that came first.
    fn idlest_guest(&self) -> Option<PeerId> {
        let guests = self.sessions.iter().filter(|(peer, session)| session.guest && !self.addresses.is_asked_for(peer));
        let exchanged = |peer: &PeerId| {
            self.bitswap.ledger(peer).map_or(0, |ledger| ledger.blocks_sent.saturating_add(ledger.blocks_received))
        };
        guests.min_by_key(|(peer, session)| (exchanged(peer), session.deadline_ms)).map(|(peer, _)| *peer)
    }

    /// Where a guest listens: for the public DHT, when it is a part of it.
    fn learn_places(&mut self, peer: PeerId, info: &identify::Info) {
        let remote = self.sessions.get(&peer).is_none_or(|session| session.remote);
        let places: Vec<Multiaddr> = info.listen_addrs.iter().take(MAX_MEMBER_ADDRESSES).cloned().collect();
        if let Some(kad) = self.swarm.behaviour_mut().kad(Which::Public)
            && info.protocols.iter().any(|spoken| kad.protocol_names().contains(spoken))
        {
            for address in places {
                // Another machine's loopback is not ours.
                if !(remote && is_loopback(&address)) {
                    kad.add_address(&peer, address);
                }
            }
        }
    }

    /// Members speak the public DHT as well.
    pub(super) fn learn_member(&mut self, peer: PeerId, info: &identify::Info) {
        self.learn_places(peer, info);
    }

    pub(super) fn count_guests(&self) {
        metrics::guests(self.sessions.values().filter(|session| session.guest).count());
    }
}
