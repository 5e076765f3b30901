//! What peers say, and their coming and going.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::peer::{Meter, Peer};
use super::schedule::Choice;
use super::want::Known;
use super::{Action, Engine, Fate};
use crate::hash::Key;
use crate::limits::MAX_HAVES_IN_FLIGHT;
use crate::wire::Entry;

impl Engine {
    /// A peer that may be asked is connected.
    pub(crate) fn connected(&mut self, id: PeerId, meter: Arc<Meter>, now: Duration) {
        self.peers.entry(id).or_insert_with(|| Peer::new(meter));
        let alone = self.peers.len() == 1;
        let mut again = Vec::new();
        for session in self.sessions.values_mut() {
            let expected = session.expected.contains(&id);
            if expected {
                session.expected.retain(|expected| *expected != id);
                session.join(id);
            }
            if expected || alone {
                again.extend(session.searching.values().copied());
            }
            // One block is enough to find out whether it is of use to a session that has sources already.
            session.widened_at = session.widened_at.min(now.saturating_sub(Self::WIDEN_EVERY));
        }
        for key in again {
            self.enqueue(&key);
        }
        self.schedule(now);
        // The newest first: somebody has just asked for them. The ticks ask for the others.
        let ask: Vec<Key> = self.searching.values().rev().take(MAX_HAVES_IN_FLIGHT / 2).copied().collect();
        for key in ask {
            let open =
                self.wants.get(&key).is_some_and(|want| !want.known.contains_key(&id) && !want.asked.contains(&id));
            if open {
                self.ask_have(&key, id);
            }
        }
    }

    /// A peer is gone, does not speak the protocol, or is ignored from now on.
    pub(crate) fn disconnected(&mut self, id: &PeerId, now: Duration) {
        let Some(peer) = self.peers.remove(id) else { return };
        self.sends.remove(id);
        for session in self.sessions.values_mut() {
            session.peers.remove(id);
        }
        for (key, _) in peer.owed() {
            if let Some(want) = self.wants.get_mut(&key) {
                want.asked.retain(|asked| asked != id);
                self.enqueue(&key);
            }
        }
        for want in self.wants.values_mut() {
            want.known.remove(id);
        }
        self.schedule(now);
    }

    /// A block has come, and hashes to `key`.
    pub(crate) fn block(&mut self, id: PeerId, key: &Key, data: &Bytes, now: Duration) -> Fate {
        if !self.wants.contains_key(key) {
            if self.late.take(&id, key) {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.progress();
                }
                return Fate::Late;
            }
            self.unwanted(id, now);
            return Fate::Unwanted;
        }
        let bytes = data.len() as u64;
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.delivered(key, bytes, now);
        }
        let Some(want) = self.drop_want(key, Some(id)) else { return Fate::Late };
        for waiter in want.waiters {
            let Some(gone) = self.waiters.remove(&waiter) else { continue };
            if let Some(deadline) = gone.deadline {
                self.deadlines.remove(&(deadline, waiter));
            }
            if let Some(session) = self.sessions.get_mut(&gone.session)
                && self.peers.contains_key(&id)
            {
                session.hit(id, bytes);
            }
            self.waiter_gone(gone.session);
            self.actions.push_back(Action::Deliver { waiter, data: data.clone() });
        }
        Fate::Wanted
    }

    /// A peer sent a block that was never asked of it. It may be the wrong bytes for one that was: others are asked for
    /// all that it owes, as nobody can tell for which.
    fn unwanted(&mut self, id: PeerId, now: Duration) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.unwanted += 1;
        let unwanted = peer.unwanted;
        if unwanted > self.config.max_unwanted_blocks + peer.wanted / 16 {
            self.disconnected(&id, now);
            self.actions.push_back(Action::Ignore { peer: id, unwanted });
            return;
        }
        if peer.owes() {
            peer.suspect();
            self.ask_elsewhere(&id, now);
        }
    }

    /// Asks other peers for what this one owes, where there are any; the rest is left with it.
    pub(super) fn ask_elsewhere(&mut self, id: &PeerId, now: Duration) {
        let Some(peer) = self.peers.get(id) else { return };
        let owed: Vec<Key> = peer.owed().map(|(key, _)| key).collect();
        for key in owed {
            match self.choose(&key) {
                Choice::Ask { peer: other, .. } => {
                    self.withdraw(&key, id);
                    self.ask(&key, other, now);
                }
                // They have enough to do: it waits for them in the queue.
                Choice::Wait => {
                    self.withdraw(&key, id);
                    self.enqueue(&key);
                }
                Choice::Nobody => self.search(&key, now),
            }
        }
    }

    /// Sends CANCEL for a WANT-BLOCK. What comes all the same is taken.
    fn withdraw(&mut self, key: &Key, id: &PeerId) {
        let (Some(want), Some(peer)) = (self.wants.get_mut(key), self.peers.get_mut(id)) else { return };
        peer.forget(key);
        want.asked.retain(|asked| asked != id);
        self.late.expect(id, key);
        self.sends.entry(*id).or_default().push(Entry::cancel(want.cid));
    }

    /// HAVE or DONT_HAVE.
    pub(crate) fn presence(&mut self, id: PeerId, key: &Key, have: bool, now: Duration) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(want) = self.wants.get_mut(key) else { return };
        let asked_block = want.asked.contains(&id);
        let asked_have = want.known.get(&id) == Some(&Known::AskedHave);
        // What nobody asked for is not noted: it would let a peer fill our memory, and change what it said before.
        if !asked_block && !asked_have {
            return;
        }
        if asked_have {
            peer.haves -= 1;
        }
        let home = want.home;
        if have {
            want.known.insert(id, Known::Have);
            let idle = want.asked.is_empty();
            if let Some(session) = self.sessions.get_mut(&home) {
                let joined = session.join(id).is_some();
                if joined && !session.queue.is_empty() {
                    self.line_up(home);
                }
            }
            if idle || self.asked_are_stuck(key) {
                self.enqueue(key);
            }
            return;
        }
        want.known.insert(id, Known::DontHave);
        if asked_block {
            // An answer; while HAVEs are none, as they cost nothing to a peer that never sends a block.
            peer.progress();
            peer.forget(key);
            want.asked.retain(|asked| *asked != id);
            if let Some(session) = self.sessions.get_mut(&home) {
                session.miss(&id);
            }
            if self.wants.get(key).is_some_and(|want| want.asked.is_empty()) {
                self.enqueue(key);
            }
        }
        self.report_if_denied(key, now);
    }

    /// Whether everybody who was asked for a block has stalled.
    pub(super) fn asked_are_stuck(&self, key: &Key) -> bool {
        let Some(want) = self.wants.get(key) else { return false };
        want.asked.iter().all(|id| self.peers.get(id).is_none_or(|peer| peer.is_stalled() || peer.is_suspect()))
    }
}
