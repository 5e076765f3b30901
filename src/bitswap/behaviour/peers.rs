//! Who is connected, by which connections, and who is ignored.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;

use crate::client::Meter;
use crate::limits::MAX_IGNORED;

#[derive(Debug, Default)]
struct Peer {
    /// In the order in which they were made; the first is the one we write on.
    connections: Vec<ConnectionId>,
    meter: Arc<Meter>,
    busy: bool,
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: HashMap<PeerId, Peer>,
    ignored: HashMap<PeerId, Duration>,
    /// Ignored peers by the end of it.
    ends: BTreeSet<(Duration, PeerId)>,
}

impl Peers {
    /// The meter for a connection that is being made.
    pub(super) fn expect(&mut self, peer: PeerId) -> Arc<Meter> {
        Arc::clone(&self.peers.entry(peer).or_default().meter)
    }

    /// A connection did not come about.
    pub(super) fn failed(&mut self, peer: &PeerId) {
        if self.peers.get(peer).is_some_and(|peer| peer.connections.is_empty()) {
            self.peers.remove(peer);
        }
    }

    /// Whether this is the first connection to the peer.
    pub(super) fn established(&mut self, peer: PeerId, connection: ConnectionId) -> bool {
        let connections = &mut self.peers.entry(peer).or_default().connections;
        connections.push(connection);
        connections.len() == 1
    }

    /// Whether another connection to the peer is left.
    pub(super) fn closed(&mut self, peer: &PeerId, connection: ConnectionId) -> bool {
        let Some(known) = self.peers.get_mut(peer) else { return false };
        known.connections.retain(|other| *other != connection);
        // The next one has not been told yet.
        known.busy = false;
        let left = !known.connections.is_empty();
        if !left {
            self.peers.remove(peer);
        }
        left
    }

    /// The connection we write on.
    pub(super) fn primary(&self, peer: &PeerId) -> Option<ConnectionId> {
        self.peers.get(peer)?.connections.first().copied()
    }

    pub(super) fn meter(&self, peer: &PeerId) -> Option<Arc<Meter>> {
        self.peers.get(peer).map(|peer| Arc::clone(&peer.meter))
    }

    /// Notes whether anything is expected from or owed to a peer; `true` when that is new.
    pub(super) fn set_busy(&mut self, peer: &PeerId, busy: bool) -> bool {
        self.peers.get_mut(peer).is_some_and(|peer| std::mem::replace(&mut peer.busy, busy) != busy)
    }

    /// Ignores a peer until then, and gives its connections. Of too many, the one is forgiven that would be first.
    pub(super) fn ignore(&mut self, peer: PeerId, until: Duration) -> Vec<ConnectionId> {
        if let Some(before) = self.ignored.insert(peer, until) {
            self.ends.remove(&(before, peer));
        }
        self.ends.insert((until, peer));
        if self.ends.len() > MAX_IGNORED
            && let Some((_, first)) = self.ends.pop_first()
        {
            self.ignored.remove(&first);
        }
        self.peers.get(&peer).map(|peer| peer.connections.clone()).unwrap_or_default()
    }

    /// Whether a peer is ignored. A connection that was made meanwhile stays deaf to it until it is closed.
    pub(super) fn is_ignored(&self, peer: &PeerId, now: Duration) -> bool {
        self.ignored.get(peer).is_some_and(|until| now < *until)
    }
}
