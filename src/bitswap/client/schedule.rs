//! Choosing whom to ask, and searching when nobody is known.

use std::collections::VecDeque;
use std::time::Duration;

use libp2p_identity::PeerId;

use super::peer::Peer;
use super::want::{Known, Search};
use super::{Engine, SessionId, priority};
use crate::hash::Key;
use crate::limits::{MAX_BROADCAST, SEARCHES_PER_SESSION};
use crate::wire::{Entry, Kind};

/// What came of looking for somebody to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Ask {
        peer: PeerId,
        sure: bool,
    },
    /// Somebody is likely to have it and has enough to do.
    Wait,
    Nobody,
}

impl Engine {
    /// Wants of one session that are looked at in its turn, so that one with many cannot hold up the others.
    const QUANTUM: usize = 64;
    /// Wants of a session that may find everybody busy before its turn ends: the next ones have the same peers.
    const BUSY_LOOKS: usize = 8;
    /// Sessions that may find everybody busy before the round ends: each answer of a peer begins a new one.
    const BUSY_SESSIONS: usize = 64;

    /// Asks for what is queued, as far as peers have room.
    pub(crate) fn schedule(&mut self, now: Duration) {
        let mut waiting = VecDeque::new();
        for _ in 0..self.round.len() {
            if waiting.len() >= Self::BUSY_SESSIONS {
                break;
            }
            let Some(id) = self.round.pop_front() else { break };
            let asked = self.schedule_session(id, now);
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            session.in_round = !session.queue.is_empty();
            // Who had its turn goes behind those who found everybody busy.
            if session.in_round && asked {
                self.round.push_back(id);
            } else if session.in_round {
                waiting.push_back(id);
            }
        }
        // Where there are many, the next ones are looked at the next time.
        if waiting.len() >= Self::BUSY_SESSIONS {
            self.round.append(&mut waiting);
        } else {
            waiting.append(&mut self.round);
            self.round = waiting;
        }
    }

    /// Gives a session its turn; whether it has asked anybody.
    fn schedule_session(&mut self, id: SessionId, now: Duration) -> bool {
        let Some(session) = self.sessions.get(&id) else { return false };
        let candidates: Vec<(u64, Key)> =
            session.queue.iter().take(Self::QUANTUM).map(|(seq, key)| (*seq, *key)).collect();
        let (mut busy, mut asked) = (0, false);
        for (seq, key) in candidates {
            match self.choose(&key) {
                Choice::Ask { peer, sure } => {
                    asked = true;
                    self.ask(&key, peer, now);
                    if !sure {
                        self.ask_who_has(&key);
                    }
                }
                Choice::Wait => {
                    busy += 1;
                    if busy >= Self::BUSY_LOOKS {
                        break;
                    }
                    continue;
                }
                Choice::Nobody => {
                    let Some(session) = self.sessions.get(&id) else { break };
                    let known = self.wants.get(&key).is_some_and(|want| want.search.is_some());
                    if !known && session.fresh_searches >= SEARCHES_PER_SESSION {
                        break;
                    }
                    self.search(&key, now);
                }
            }
            if let Some(session) = self.sessions.get_mut(&id) {
                session.queue.remove(&seq);
            }
        }
        asked
    }

    /// Whom to ask for a block: of those who said HAVE and those who are useful to its session, the one that would have
    /// sent it first.
    pub(super) fn choose(&self, key: &Key) -> Choice {
        let Some(want) = self.wants.get(key) else { return Choice::Wait };
        let Some(session) = self.sessions.get(&want.home) else { return Choice::Wait };
        let mut best: Option<(Duration, PeerId, bool)> = None;
        // Of those who sent something wrong, which are asked only when nobody else can be.
        let mut best_suspect: Option<(Duration, PeerId, bool)> = None;
        let mut busy = false;
        let mut look = |id: &PeerId, sure: bool| {
            let Some(peer) = self.peers.get(id) else { return };
            if peer.is_stalled() || want.asked.contains(id) || want.has_denied(id) {
                return;
            }
            if !peer.has_room(session.block_bytes) {
                busy |= !peer.is_suspect();
                return;
            }
            let eta = peer.eta(session.block_bytes);
            let best = if peer.is_suspect() { &mut best_suspect } else { &mut best };
            if best.is_none_or(|(least, ..)| eta < least) {
                *best = Some((eta, *id, sure));
            }
        };
        for (id, known) in &want.known {
            if *known == Known::Have {
                look(id, true);
            }
        }
        for (id, merit) in &session.peers {
            if merit.is_trusted() {
                look(id, merit.is_sure());
            }
        }
        if self.peers.len() == 1 {
            // There is nobody else to ask, so asking whether it has the block would be a round trip for nothing.
            self.peers.keys().for_each(|id| look(id, true));
        }
        match (best, best_suspect) {
            (Some((_, peer, sure)), _) => Choice::Ask { peer, sure },
            (None, _) if busy => Choice::Wait,
            (None, Some((_, peer, _))) => Choice::Ask { peer, sure: false },
            (None, None) => Choice::Nobody,
        }
    }

    /// Sends WANT-BLOCK.
    pub(super) fn ask(&mut self, key: &Key, id: PeerId, now: Duration) {
        let Some(want) = self.wants.get_mut(key) else { return };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let bytes = self.sessions.get(&want.home).map_or(0, |session| session.block_bytes);
        if want.known.get(&id) == Some(&Known::AskedHave) {
            want.known.remove(&id);
            peer.haves -= 1;
        }
        peer.ask(*key, bytes, now);
        if !want.asked.contains(&id) {
            want.asked.push(id);
        }
        let entry = Entry {
            cid: want.cid,
            priority: priority(want.seq),
            cancel: false,
            kind: Kind::Block,
            send_dont_have: true,
        };
        self.sends.entry(id).or_default().push(entry);
        self.end_search(key);
    }

    /// Sends WANT-HAVE to everybody who is connected and has not been asked, its session's peers first.
    pub(super) fn ask_who_has(&mut self, key: &Key) {
        let Some(want) = self.wants.get(key) else { return };
        let room = MAX_BROADCAST.saturating_sub(want.known.len());
        let Some(session) = self.sessions.get(&want.home) else { return };
        let others = self.peers.keys().filter(|id| !session.peers.contains_key(id));
        let open = |id: &&PeerId| {
            let free = self.peers.get(id).is_some_and(Peer::has_room_for_have);
            free && !want.known.contains_key(id) && !want.asked.contains(id)
        };
        let chosen: Vec<PeerId> = session.peers.keys().chain(others).filter(open).take(room).copied().collect();
        for id in chosen {
            self.ask_have(key, id);
        }
    }

    /// Sends WANT-HAVE to one peer.
    pub(super) fn ask_have(&mut self, key: &Key, id: PeerId) {
        let (Some(want), Some(peer)) = (self.wants.get_mut(key), self.peers.get_mut(&id)) else { return };
        want.known.insert(id, Known::AskedHave);
        peer.haves += 1;
        let entry = Entry {
            cid: want.cid,
            priority: priority(want.seq),
            cancel: false,
            kind: Kind::Have,
            send_dont_have: true,
        };
        self.sends.entry(id).or_default().push(entry);
    }

    /// Begins to look for somebody who has the block, or goes on.
    pub(super) fn search(&mut self, key: &Key, now: Duration) {
        self.ask_who_has(key);
        let Some(want) = self.wants.get_mut(key) else { return };
        if want.search.is_none() {
            let pause = self.config.need_providers_after;
            want.search = Some(Search { since: now, report_at: now.saturating_add(pause), pause, fresh: true });
            self.searching.insert(want.seq, *key);
            if let Some(session) = self.sessions.get_mut(&want.home) {
                session.searching.insert(want.seq, *key);
                session.fresh_searches += 1;
            }
        }
        self.report_if_denied(key, now);
    }

    pub(super) fn end_search(&mut self, key: &Key) {
        let Some(want) = self.wants.get(key).filter(|want| want.search.is_some()) else { return };
        let ended = (want.seq, want.home, want.search);
        self.take_off_search(ended);
        if let Some(want) = self.wants.get_mut(key) {
            want.search = None;
        }
    }

    /// Takes a want off the searched ones.
    pub(super) fn take_off_search(&mut self, (seq, home, search): (u64, SessionId, Option<Search>)) {
        self.searching.remove(&seq);
        let Some(session) = self.sessions.get_mut(&home) else { return };
        session.searching.remove(&seq);
        if search.is_some_and(|search| search.fresh) {
            self.no_longer_fresh(home);
        }
    }

    /// A session may begin another search.
    pub(super) fn no_longer_fresh(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.fresh_searches -= 1;
        if !session.queue.is_empty() {
            self.line_up(id);
        }
    }
}
