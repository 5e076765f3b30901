//! Hello: who is a member of the network, and whom members know.

use libp2p::{Multiaddr, PeerId, request_response::ResponseChannel, swarm::ConnectionId};
use rustdht_dht::Input;
use rustdht_wire::protocol::{
    Greeting, MAX_HELLO_BYTES, MAX_HELLO_MEMBERS, MAX_MEMBER_ADDRESSES, Member, Protocol, Reply, Request, Response,
};

use super::{Running, Sent, Session};
use crate::{
    addresses::is_loopback,
    limits::{BAN_MS, HELLO_TIMEOUT_MS, MAX_SHUNNED},
    metrics,
};

impl Running {
    /// Asks a peer to prove the network key.
    pub(super) fn open(&mut self, peer: PeerId) {
        let nonce: [u8; 32] = self.random();
        let incarnation = self.incarnation;
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        // A second greeting would void the challenge that the first one's proof answers.
        if session.is_member() || session.opened.is_some() || session.proven {
            return;
        }
        session.opened = Some(nonce);
        session.greeted = true;
        self.send_hello(peer, Greeting::Open { nonce, incarnation });
    }

    fn send_hello(&mut self, peer: PeerId, greeting: Greeting) {
        metrics::request(Protocol::Hello, "out");
        let id = self.swarm.behaviour_mut().send(&peer, Request::Hello(greeting));
        self.sent.insert(id, Sent::Hello(peer));
    }

    /// A peer speaks.
    pub(super) fn greeted(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        greeting: Greeting,
        channel: ResponseChannel<Response>,
    ) {
        let mut joined = false;
        let reply = match greeting {
            Greeting::Open { nonce, incarnation } => {
                self.incarnated(peer, incarnation, connection);
                let ours: [u8; 32] = self.random();
                let Some(session) = self.sessions.get_mut(&peer) else { return };
                session.challenged = Some((nonce, ours));
                let proof = self.secret.prove(&peer, &nonce, &ours);
                Reply::Challenge { proof, nonce: ours, incarnation: self.incarnation }
            }
            Greeting::Prove { proof, members } => {
                let Some(session) = self.sessions.get_mut(&peer) else { return };
                let challenged = session.challenged.take();
                let holds = challenged.is_some_and(|(theirs, ours)| self.secret.verify(&proof, &peer, &theirs, &ours));
                if holds {
                    // It has seen our proof before it sent its own.
                    joined = !session.is_member();
                    session.proven = true;
                    session.satisfied = true;
                    self.introduced(peer, members);
                    Reply::Welcome(self.members())
                } else {
                    Reply::Denied
                }
            }
            Greeting::Members(members) => {
                if self.sessions.get(&peer).is_some_and(|session| session.proven) {
                    self.introduced(peer, members);
                    self.tell_records(peer);
                    Reply::Welcome(Vec::new())
                } else {
                    Reply::Denied
                }
            }
        };
        let denied = reply == Reply::Denied;
        self.swarm.behaviour_mut().respond(Protocol::Hello, channel, Response::Hello(reply));
        if denied {
            self.ban(peer, "network_key");
        } else if joined {
            self.joined(peer);
        }
    }

    /// A peer answered our greeting.
    pub(super) fn hello_answered(&mut self, peer: PeerId, connection: ConnectionId, response: Response) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        match response {
            Response::Hello(Reply::Challenge { proof, nonce, incarnation }) => {
                let Some(ours) = session.opened.take() else { return };
                if !self.secret.verify(&proof, &peer, &nonce, &ours) {
                    self.ban(peer, "network_key");
                    return;
                }
                self.incarnated(peer, incarnation, connection);
                let Some(session) = self.sessions.get_mut(&peer) else { return };
                session.proven = true;
                let proof = self.secret.prove(&peer, &nonce, &ours);
                let members = self.members();
                self.send_hello(peer, Greeting::Prove { proof, members });
            }
            Response::Hello(Reply::Welcome(members)) if session.proven => {
                let joined = !session.is_member();
                session.satisfied = true;
                self.introduced(peer, members);
                if joined {
                    self.joined(peer);
                } else {
                    self.tell_records(peer);
                }
            }
            Response::Hello(Reply::Denied) => {
                tracing::warn!(%peer, "a gateway does not accept our proof of the network key");
                self.turn_away(peer, "denied");
            }
            // Not what was asked for; it may be the answer of a process that is gone.
            _ => self.disconnect(peer),
        }
    }

    /// Our greeting had no answer.
    pub(super) fn hello_failed(&mut self, peer: PeerId, unsupported: bool) {
        match self.sessions.get_mut(&peer) {
            Some(session) if !session.is_member() && !session.guest => {
                session.opened = None;
                if unsupported && self.addresses.is_asked_for(&peer) {
                    // What else it speaks, identify will show or has shown.
                } else if unsupported {
                    self.turn_away(peer, "another_network");
                } else {
                    self.disconnect(peer);
                }
            }
            _ => {}
        }
    }

    /// A new incarnation means that the process at the other end is another one: what is open from before is dead.
    fn incarnated(&mut self, peer: PeerId, incarnation: [u8; 8], connection: ConnectionId) {
        let deadline_ms = self.now_ms() + HELLO_TIMEOUT_MS;
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let restarted = session.incarnation.replace(incarnation).is_some_and(|before| before != incarnation);
        if !restarted {
            return;
        }
        let was_member = session.is_member();
        session.proven = false;
        session.satisfied = false;
        session.opened = None;
        session.deadline_ms = deadline_ms;
        let dead: Vec<ConnectionId> = session.connections.iter().copied().filter(|id| *id != connection).collect();
        dead.into_iter().for_each(|id| {
            self.swarm.close_connection(id);
        });
        self.inbound.retain(|_, inbound| inbound.peer != peer);
        self.early.retain(|(from, ..)| *from != peer);
        if was_member {
            self.feed(Input::Disconnected { replica: Self::replica(&peer) });
        }
    }

    /// Both sides are satisfied.
    fn joined(&mut self, peer: PeerId) {
        tracing::info!(%peer, "a member is connected");
        let found = self.sessions.get_mut(&peer).map(|session| std::mem::take(&mut session.addresses));
        found.into_iter().flatten().for_each(|address| {
            self.addresses.add(peer, address);
        });
        self.addresses.connected(&peer);
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.guest = false;
        }
        self.members.set(peer, true);
        self.swarm.behaviour_mut().keep(&peer, true);
        self.swarm.behaviour_mut().admit(&peer);
        self.remember(&peer);
        let records = self.sessions.get_mut(&peer).map(|session| std::mem::take(&mut session.records));
        self.feed(Input::Connected { replica: Self::replica(&peer), records: records.unwrap_or_default() });
        let (early, others) = std::mem::take(&mut self.early).into_iter().partition(|(from, ..)| *from == peer);
        self.early = others;
        let early: Vec<_> = early;
        for (from, protocol, request, channel) in early {
            self.requested(from, protocol, request, channel);
        }
    }

    /// Keeps the addresses of a member, here, in the routing table and on disk.
    pub(super) fn remember(&mut self, peer: &PeerId) {
        let addresses: Vec<Multiaddr> = self.addresses.of(peer).to_vec();
        for address in addresses {
            self.swarm.behaviour_mut().routing().add_address(peer, address);
        }
        let (key, value) = self.addresses.row(peer);
        self.save(key, value);
    }

    /// Takes the members that a peer told us of: records for the engine, addresses for the book.
    fn introduced(&mut self, peer: PeerId, members: Vec<Member>) {
        let remote = self.sessions.get(&peer).is_some_and(|session| session.remote);
        for member in members {
            let Some(other) = self.replica_of_record(&member.record) else {
                metrics::misbehaved();
                continue;
            };
            if other != self.secret.local {
                for address in member.addresses.iter().filter_map(|text| text.parse::<Multiaddr>().ok()) {
                    // Another machine's loopback is not ours.
                    if !(remote && is_loopback(&address)) {
                        self.addresses.add(other, address);
                    }
                }
            }
            if let Some(session) = self.sessions.get_mut(&peer)
                && session.records.len() < MAX_HELLO_MEMBERS
            {
                session.records.push(member.record);
            }
        }
    }

    /// Hands the records of a peer that is a member already to the engine.
    fn tell_records(&mut self, peer: PeerId) {
        let Some(session) = self.sessions.get_mut(&peer).filter(|session| session.is_member()) else { return };
        let records = std::mem::take(&mut session.records);
        if !records.is_empty() {
            self.feed(Input::Records { from: Self::replica(&peer), records });
        }
    }

    /// This replica and the others it knows.
    fn members(&self) -> Vec<Member> {
        let mut bytes = 0;
        let known = self.engine.records().into_iter().take(MAX_HELLO_MEMBERS);
        let members = known.filter_map(|(replica, record)| Some(self.member(&replica.0.parse().ok()?, record)));
        members
            .take_while(|member| {
                bytes += member.record.len() + member.addresses.iter().map(String::len).sum::<usize>() + 32;
                bytes < MAX_HELLO_BYTES / 2
            })
            .collect()
    }

    /// A member with the addresses known here.
    pub(super) fn member(&self, peer: &PeerId, record: bytes::Bytes) -> Member {
        let addresses: Vec<&Multiaddr> = if *peer == self.secret.local {
            self.external.iter().chain(&self.listen).collect()
        } else {
            self.addresses.of(peer).iter().collect()
        };
        let addresses = addresses.into_iter().take(MAX_MEMBER_ADDRESSES).map(ToString::to_string).collect();
        Member { record, addresses }
    }

    /// Ends the connections of peers that did not prove themselves in time.
    pub(super) fn end_hellos(&mut self, now_ms: u64) {
        let waits = |session: &Session| !session.is_member() && !session.guest;
        let late = self.sessions.iter().filter(|(_, session)| waits(session) && session.deadline_ms <= now_ms);
        let late: Vec<PeerId> = late.map(|(peer, _)| *peer).collect();
        for peer in late {
            metrics::rejected("no_hello");
            self.disconnect(peer);
        }
    }

    pub(super) fn disconnect(&mut self, peer: PeerId) {
        // An error only says that it is gone already.
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    /// Disconnects a peer that is none of ours, and forgets its address for a while.
    pub(super) fn turn_away(&mut self, peer: PeerId, reason: &'static str) {
        tracing::debug!(%peer, reason, "a peer is turned away");
        metrics::rejected(reason);
        self.addresses.shun(peer, self.now_ms());
        self.disconnect(peer);
    }

    /// Disconnects a peer and refuses its connections for a while.
    pub(super) fn ban(&mut self, peer: PeerId, reason: &'static str) {
        tracing::warn!(%peer, reason, "a peer is refused for a while");
        metrics::rejected(reason);
        let now_ms = self.now_ms();
        self.addresses.shun(peer, now_ms);
        if self.bans.len() >= MAX_SHUNNED
            && let Some(first) = self.bans.iter().min_by_key(|(_, until_ms)| **until_ms).map(|(peer, _)| *peer)
        {
            self.bans.remove(&first);
            self.swarm.behaviour_mut().unblock_peer(first);
        }
        self.bans.insert(peer, now_ms + BAN_MS);
        self.swarm.behaviour_mut().block_peer(peer);
    }
}
