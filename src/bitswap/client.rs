//! Who is asked for which block: a state machine without network or clock.
//!
//! ```text
//!   get --> queue of its session --choose--> WANT-BLOCK at one peer --block--> delivered, CANCEL to the others
//!                  ^      |                        |
//!                  |      '--nobody--> search: WANT-HAVE to all who are connected --nobody has it--> NeedProviders
//!                  '-------- DONT_HAVE, stall, lie, disconnect ('late' blocks still count) ---'
//! ```
//!
//! A session asks those who had something of it first, with WANT-BLOCK at once, each for as many bytes as its measured
//! speed and latency fill; HAVE is asked for only while it is not known who has the blocks.

mod late;
mod peer;
mod receive;
mod schedule;
mod tick;
mod want;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use libp2p_identity::PeerId;

use crate::hash::Key;
use crate::limits::MAX_PROVIDERS;
use crate::wire::Entry;
use crate::{Config, Error};
use late::Late;
pub(crate) use peer::Meter;
use peer::Peer;
pub(crate) use tick::TICK;
use want::{Known, Session, Want};

/// A session, as named in events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) u64);

/// One caller that waits for one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WaiterId(pub(crate) u64);

/// What is to be done. What is to be sent is in [`Engine::take_sends`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Deliver { waiter: WaiterId, data: Bytes },
    Fail { waiter: WaiterId, error: Error },
    NeedProviders { session: SessionId, cid: Cid },
    Ignore { peer: PeerId, unwanted: u64 },
}

/// What became of a block that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Wanted,
    /// It had been asked for, and came from elsewhere or is not wanted any more.
    Late,
    /// It was never asked for, or does not hash to what was.
    Unwanted,
}

#[derive(Debug)]
struct Waiter {
    key: Key,
    session: SessionId,
    deadline: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Engine {
    config: Config,
    peers: HashMap<PeerId, Peer>,
    sessions: HashMap<SessionId, Session>,
    /// Sessions with something queued, in turns.
    round: VecDeque<SessionId>,
    wants: HashMap<Key, Want>,
    waiters: HashMap<WaiterId, Waiter>,
    /// Wants that are searched for, by place.
    searching: BTreeMap<u64, Key>,
    /// Where the next tick goes on with them.
    search_from: u64,
    deadlines: BTreeSet<(Duration, WaiterId)>,
    late: Late,
    next_seq: u64,
    last_tick: Duration,
    sends: HashMap<PeerId, Vec<Entry>>,
    actions: VecDeque<Action>,
}

impl Engine {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            peers: HashMap::new(),
            sessions: HashMap::new(),
            round: VecDeque::new(),
            wants: HashMap::new(),
            waiters: HashMap::new(),
            searching: BTreeMap::new(),
            search_from: 0,
            deadlines: BTreeSet::new(),
            late: Late::default(),
            next_seq: 0,
            last_tick: Duration::ZERO,
            sends: HashMap::new(),
            actions: VecDeque::new(),
        }
    }

    /// What to do next.
    pub(crate) fn pop_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Lines of the wantlist for each peer since the last call.
    pub(crate) fn take_sends(&mut self) -> HashMap<PeerId, Vec<Entry>> {
        std::mem::take(&mut self.sends)
    }

    /// Whether [`Self::tick`] must be called now and then.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.wants.is_empty()
    }

    /// Whether an answer of this peer is expected.
    pub(crate) fn expects(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(Peer::is_busy)
    }

    /// A caller wants a block. The CID is one that can be checked.
    pub(crate) fn get(&mut self, waiter: WaiterId, id: SessionId, timeout: Option<Duration>, cid: Cid, now: Duration) {
        if self.wants.is_empty() {
            self.last_tick = now;
        }
        let session = self.sessions.entry(id).or_insert_with(|| Session::new(timeout, now));
        session.waiters += 1;
        session.newest = Some(*cid.hash());
        let deadline = timeout.or(session.timeout).map(|timeout| now.saturating_add(timeout));
        let key = *cid.hash();
        self.waiters.insert(waiter, Waiter { key, session: id, deadline });
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, waiter));
        }
        if let Some(want) = self.wants.get_mut(&key) {
            want.waiters.push(waiter);
            return;
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        let want =
            Want { cid, seq, waiters: vec![waiter], home: id, known: HashMap::new(), asked: Vec::new(), search: None };
        self.wants.insert(key, want);
        self.enqueue(&key);
    }

    /// A caller does not wait any more.
    pub(crate) fn cancel(&mut self, waiter: WaiterId) {
        let Some(Waiter { key, session, deadline }) = self.waiters.remove(&waiter) else { return };
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, waiter));
        }
        if let Some(want) = self.wants.get_mut(&key) {
            want.waiters.retain(|other| *other != waiter);
            if want.waiters.is_empty() {
                self.drop_want(&key, None);
            } else {
                self.rehome(&key, session);
            }
        }
        self.waiter_gone(session);
    }

    /// Nobody will ask anything more in this session.
    pub(crate) fn close_session(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.closed = true;
            if session.waiters == 0 {
                self.sessions.remove(&id);
            }
        }
    }

    /// Somebody may have the blocks of a session. Gives those that are not connected.
    pub(crate) fn add_providers(
        &mut self,
        id: SessionId,
        providers: impl IntoIterator<Item = PeerId>,
        now: Duration,
    ) -> Vec<PeerId> {
        let session = self.sessions.entry(id).or_insert_with(|| Session::new(None, now));
        let mut absent = Vec::new();
        for peer in providers {
            if self.peers.contains_key(&peer) {
                if let Some(merit) = session.join(peer) {
                    merit.misses_in_a_row = 0;
                }
            } else {
                session.expected.retain(|expected| *expected != peer);
                session.expected.push(peer);
                if session.expected.len() > MAX_PROVIDERS {
                    session.expected.remove(0);
                }
                absent.push(peer);
            }
        }
        let searched: Vec<Key> = session.searching.values().copied().collect();
        for key in searched {
            self.enqueue(&key);
        }
        absent
    }

    /// Puts a want into the queue of its session.
    fn enqueue(&mut self, key: &Key) {
        let Some(want) = self.wants.get(key) else { return };
        let home = want.home;
        if let Some(session) = self.sessions.get_mut(&home) {
            session.queue.insert(want.seq, *key);
        }
        self.line_up(home);
    }

    fn line_up(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id)
            && !session.in_round
        {
            session.in_round = true;
            self.round.push_back(id);
        }
    }

    /// Ends a want, telling everybody who was asked, except who delivered.
    fn drop_want(&mut self, key: &Key, by: Option<PeerId>) -> Option<Want> {
        let want = self.wants.remove(key)?;
        if want.search.is_some() {
            self.take_off_search((want.seq, want.home, want.search));
        }
        if let Some(session) = self.sessions.get_mut(&want.home) {
            session.queue.remove(&want.seq);
        }
        for id in &want.asked {
            if let Some(peer) = self.peers.get_mut(id) {
                peer.forget(key);
                if by != Some(*id) {
                    self.sends.entry(*id).or_default().push(Entry::cancel(want.cid));
                    self.late.expect(id, key);
                }
            }
        }
        for (id, known) in &want.known {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            if *known == Known::AskedHave {
                peer.haves -= 1;
            }
            // Who said HAVE has done with it; who said DONT_HAVE keeps the want in case that the block arrives.
            if *known != Known::Have && by != Some(*id) && !want.asked.contains(id) {
                self.sends.entry(*id).or_default().push(Entry::cancel(want.cid));
                self.late.expect(id, key);
            }
        }
        Some(want)
    }

    /// After a waiter of `left` has gone: a want whose home has none left moves to the session of another.
    fn rehome(&mut self, key: &Key, left: SessionId) {
        let Some(want) = self.wants.get_mut(key) else { return };
        let sessions: Vec<SessionId> =
            want.waiters.iter().filter_map(|waiter| self.waiters.get(waiter)).map(|waiter| waiter.session).collect();
        if want.home != left || sessions.contains(&left) {
            return;
        }
        let Some(to) = sessions.first().copied() else { return };
        want.home = to;
        let (seq, fresh) = (want.seq, want.search.map(|search| search.fresh));
        let mut queued = false;
        if let Some(session) = self.sessions.get_mut(&left) {
            queued = session.queue.remove(&seq).is_some();
            session.searching.remove(&seq);
            session.fresh_searches -= usize::from(fresh == Some(true));
        }
        if let Some(fresh) = fresh
            && let Some(session) = self.sessions.get_mut(&to)
        {
            session.searching.insert(seq, *key);
            session.fresh_searches += usize::from(fresh);
        }
        if queued {
            self.enqueue(key);
        }
    }

    fn waiter_gone(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.waiters -= 1;
            if session.closed && session.waiters == 0 {
                self.sessions.remove(&id);
            }
        }
    }
}

/// Peers serve by falling priority, so earlier wants have a greater one, as with Kubo.
const fn priority(seq: u64) -> i32 {
    i32::MAX - (seq % i32::MAX as u64) as i32
}

#[cfg(test)]
mod tests;
