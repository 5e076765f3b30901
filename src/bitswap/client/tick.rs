//! What time brings: stalls, time-outs, the end of a search.

use std::time::Duration;

use libp2p_identity::PeerId;

use super::peer::{Peer, Pulse};
use super::schedule::Choice;
use super::want::Known;
use super::{Action, Engine, WaiterId};
use crate::Error;
use crate::hash::Key;
use crate::wire::{Entry, Kind};

/// How often [`Engine::tick`] is to be called while it waits for something.
pub(crate) const TICK: Duration = Duration::from_millis(50);

impl Engine {
    /// How often a session with sources looks for more of them, with one block.
    pub(super) const WIDEN_EVERY: Duration = Duration::from_secs(2);
    /// Sessions that do so in one tick.
    const WIDENED: usize = 8;
    /// Wants without a source that one tick looks at.
    const WATCHED: usize = 1024;
    /// Age of a want from which on a second peer is asked, if one has next to nothing to do.
    const HEDGE_AFTER: Duration = Duration::from_millis(600);
    /// Second questions in one tick.
    const HEDGES: usize = 8;
    /// Longest pause between two reports of the same want.
    const REPORT_AT_MOST: Duration = Duration::from_secs(60);
    /// Least pause between two reports of one session: the providers of one block likely have the others.
    const REPORT_EVERY: Duration = Duration::from_secs(1);
    /// How often WANT-HAVE is sent again to those who did not have it, as Kubo does each minute.
    const SEARCH_AGAIN_AFTER: Duration = Duration::from_secs(30);

    /// Gives the number of peers that have just stalled.
    pub(crate) fn tick(&mut self, now: Duration) -> u64 {
        // At most two ticks are counted: if this process was held up, so was its reading of what peers sent.
        let watched = now.saturating_sub(self.last_tick).min(TICK * 2);
        self.last_tick = now;
        self.expire(now);
        let stalls = self.watch_peers(watched, now);
        self.hedge(now);
        self.watch_searches(now);
        self.widen(now);
        self.schedule(now);
        stalls
    }

    fn expire(&mut self, now: Duration) {
        while let Some((deadline, waiter)) = self.deadlines.first().copied()
            && deadline <= now
        {
            self.deadlines.pop_first();
            let cid = self.waiters.get(&waiter).and_then(|waiter| self.wants.get(&waiter.key)).map(|want| want.cid);
            self.cancel(waiter);
            if let Some(cid) = cid {
                self.fail(waiter, Error::TimedOut { cid });
            }
        }
    }

    fn fail(&mut self, waiter: WaiterId, error: Error) {
        self.actions.push_back(Action::Fail { waiter, error });
    }

    fn watch_peers(&mut self, watched: Duration, now: Duration) -> u64 {
        let stall_after = self.config.stall_after;
        let pulses: Vec<(PeerId, Pulse)> =
            self.peers.iter_mut().map(|(id, peer)| (*id, peer.tick(watched, stall_after))).collect();
        let mut stalls = 0;
        for (id, pulse) in pulses {
            match pulse {
                Pulse::Fine => {}
                Pulse::Stalled => {
                    stalls += 1;
                    self.ask_elsewhere(&id, now);
                }
                // Somebody else may have room by now.
                Pulse::Silent => self.ask_elsewhere(&id, now),
                Pulse::AskAgain => {
                    self.ask_elsewhere(&id, now);
                    self.ask_again(&id);
                }
            }
        }
        stalls
    }

    /// Sends once more what a silent peer owes: the question may have been lost with its stream.
    fn ask_again(&mut self, id: &PeerId) {
        let Some(peer) = self.peers.get(id) else { return };
        let owed: Vec<Key> = peer.owed().map(|(key, _)| key).collect();
        for key in owed {
            let Some(want) = self.wants.get(&key) else { continue };
            let entry = Entry {
                cid: want.cid,
                priority: super::priority(want.seq),
                cancel: false,
                kind: Kind::Block,
                send_dont_have: true,
            };
            self.sends.entry(*id).or_default().push(entry);
        }
    }

    /// Asks an idle peer as well for what another has owed for long: the end of a transfer does not wait for the slowest.
    fn hedge(&mut self, now: Duration) {
        let mut old: Vec<(Duration, Key)> = Vec::new();
        for peer in self.peers.values() {
            let owed = peer.owed().take_while(|(_, at)| now.saturating_sub(*at) >= Self::HEDGE_AFTER);
            old.extend(owed.take(Self::HEDGES).map(|(key, at)| (at, key)));
        }
        old.sort_unstable_by_key(|(at, _)| *at);
        for (_, key) in old.into_iter().take(Self::HEDGES) {
            if self.wants.get(&key).is_none_or(|want| want.asked.len() != 1) {
                continue;
            }
            if let Choice::Ask { peer, .. } = self.choose(&key)
                && self.peers.get(&peer).is_some_and(Peer::is_idle)
            {
                self.ask(&key, peer, now);
            }
        }
    }

    /// Looks at some of the wants that nobody is known to have.
    fn watch_searches(&mut self, now: Duration) {
        let from = self.search_from;
        let watched: Vec<(u64, Key)> =
            self.searching.range(from..).take(Self::WATCHED).map(|(seq, key)| (*seq, *key)).collect();
        self.search_from = if watched.len() < Self::WATCHED { 0 } else { watched[Self::WATCHED - 1].0 + 1 };
        for (_, key) in watched {
            if !self.asked_are_stuck(&key) {
                self.end_search(&key);
                continue;
            }
            // Who has it may have been stalled when it said so, and sends again.
            if self.choose(&key) != Choice::Nobody {
                self.enqueue(&key);
                continue;
            }
            let Some(want) = self.wants.get_mut(&key) else { continue };
            let Some(search) = &mut want.search else { continue };
            let due = now >= search.report_at;
            if now.saturating_sub(search.since) >= Self::SEARCH_AGAIN_AFTER {
                search.since = now;
                for (id, known) in &want.known {
                    if *known == Known::AskedHave
                        && let Some(peer) = self.peers.get_mut(id)
                    {
                        peer.haves -= 1;
                    }
                }
                want.known.retain(|_, known| *known == Known::Have);
            }
            // Some may have had no room for the question before.
            self.ask_who_has(&key);
            if due {
                self.report(&key, now);
            }
        }
    }

    /// Reports a searched want at once when everybody who is connected has denied it and nobody is being dialled.
    pub(super) fn report_if_denied(&mut self, key: &Key, now: Duration) {
        let Some(want) = self.wants.get(key) else { return };
        let fresh = want.search.is_some_and(|search| search.fresh);
        let expected = self.sessions.get(&want.home).is_some_and(|session| !session.expected.is_empty());
        if fresh && !expected && want.asked.is_empty() && self.peers.keys().all(|id| want.has_denied(id)) {
            self.report(key, now);
        }
    }

    /// Tells the owner that nobody who is connected has a block, unless its session has just told of another.
    fn report(&mut self, key: &Key, now: Duration) {
        let Some(want) = self.wants.get_mut(key) else { return };
        let home = want.home;
        if want.search.as_mut().is_some_and(|search| std::mem::take(&mut search.fresh)) {
            self.no_longer_fresh(home);
        }
        let Some(want) = self.wants.get_mut(key) else { return };
        let (Some(search), Some(session)) = (&mut want.search, self.sessions.get_mut(&home)) else { return };
        if session.reported_at.is_some_and(|at| now.saturating_sub(at) < Self::REPORT_EVERY) {
            return;
        }
        session.reported_at = Some(now);
        search.pause = (search.pause * 2).clamp(Duration::from_secs(5), Self::REPORT_AT_MOST);
        search.report_at = now + search.pause;
        let cid = want.cid;
        self.actions.push_back(Action::NeedProviders { session: home, cid });
    }

    /// Looks for more sources of sessions that have some: with one block of each, at those who were not asked yet.
    fn widen(&mut self, now: Duration) {
        let mut keys = Vec::new();
        for session in self.sessions.values_mut() {
            if session.waiters == 0 || now.saturating_sub(session.widened_at) < Self::WIDEN_EVERY {
                continue;
            }
            session.widened_at = now;
            keys.extend(session.newest);
            if keys.len() == Self::WIDENED {
                break;
            }
        }
        for key in keys {
            self.ask_who_has(&key);
        }
    }
}
