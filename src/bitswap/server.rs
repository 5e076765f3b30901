//! What peers want and in which order they get it: a state machine without network, store or clock.
//!
//! ```text
//!   wantlist --> New --look up--> Missing (DONT_HAVE, kept) --notify--> New
//!                       |    '--> HAVE
//!                       '-------> Ready --read, in turns--> written
//! ```
//!
//! Presences do not wait for blocks: who hears DONT_HAVE late asks somebody else late. Blocks go to the peers in turns
//! of about one message each; a peer that does not read what it was sent gets no further turn.

mod wantlist;

use std::collections::{HashMap, HashSet, VecDeque};

use cid::Cid;
use libp2p_identity::PeerId;

use crate::Config;
use crate::hash::Key;
use crate::limits::{LOOKUPS_PER_JOB, MAX_BLOCK_BYTES, MAX_OUTSTANDING_PRESENCES, MAX_TARGET_BYTES, SURE_WANTS};
use crate::wire::{Entry, Kind, Presence};
use wantlist::{Added, State, Wantlist};

/// What is to be done for a peer, by one of its connections.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Find out the sizes, or only whether it is here, and tell [`Engine::looked_up`].
    LookUp { peer: PeerId, cids: Vec<(Cid, Kind)> },
    /// Read and send, tell [`Engine::read`], and [`Engine::written`] when the peer has taken it.
    Read { peer: PeerId, blocks: Vec<(Cid, u64)> },
    /// Send, and tell [`Engine::presences_written`].
    Presences { peer: PeerId, presences: Vec<Presence> },
}

/// What became of a wantlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Entries that did not fit.
    pub(crate) dropped: u64,
    /// Entries that the gate refused.
    pub(crate) denied: u64,
}

/// What came of a peer's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Started,
    /// The budget of all is used up; it keeps its place.
    Waits,
    /// It has nothing to start, or must take first what it was sent.
    Nothing,
}

#[derive(Debug, Default)]
struct Client {
    list: Wantlist,
    looking_up: bool,
    reading: bool,
    /// Bytes read or being read for it and not taken by it.
    outstanding: u64,
    /// Presences not taken by it.
    presences: usize,
    in_round: bool,
}

#[derive(Debug)]
pub(crate) struct Engine {
    config: Config,
    clients: HashMap<PeerId, Client>,
    /// Who wants a block and by which name, to offer it when it comes.
    wanted_by: HashMap<Key, Vec<(PeerId, Cid)>>,
    /// Clients with something to look up or to read, in turns.
    round: VecDeque<PeerId>,
    total: usize,
    jobs: usize,
    outstanding: u64,
    actions: VecDeque<Action>,
}

impl Engine {
    pub(crate) fn new(mut config: Config) -> Self {
        config.target_message_bytes = config.target_message_bytes.min(MAX_TARGET_BYTES);
        Self {
            config,
            clients: HashMap::new(),
            wanted_by: HashMap::new(),
            round: VecDeque::new(),
            total: 0,
            jobs: 0,
            outstanding: 0,
            actions: VecDeque::new(),
        }
    }

    /// What to do next.
    pub(crate) fn pop_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether this peer wants something.
    pub(crate) fn has_wants(&self, peer: &PeerId) -> bool {
        self.clients.get(peer).is_some_and(|client| client.list.len() > 0)
    }

    /// A peer's wantlist or a change of it. `allowed` says what the gate lets it have.
    pub(crate) fn wants(
        &mut self,
        peer: PeerId,
        full: bool,
        entries: &[Entry],
        allowed: impl Fn(&Cid) -> bool,
    ) -> Accepted {
        let mut accepted = Accepted::default();
        if full {
            self.forget_wants(&peer, entries);
        }
        let mut denials = Vec::new();
        for entry in entries {
            if entry.cancel {
                self.remove(&peer, &entry.cid);
            } else if !allowed(&entry.cid) {
                accepted.denied += 1;
                denials.extend(entry.send_dont_have.then_some(entry.cid));
            } else if let Err(out) = self.add(peer, entry) {
                accepted.dropped += 1;
                // Some ask only once, and wait for ever for what is dropped in silence.
                denials.extend(out);
            }
        }
        let room = self.clients.get(&peer).map_or(0, |client| client.presences);
        denials.truncate(MAX_OUTSTANDING_PRESENCES.saturating_sub(room));
        let denials = denials.into_iter().map(|cid| Presence { cid, have: false }).collect();
        self.send_presences(peer, denials);
        self.line_up(peer);
        accepted
    }

    /// Puts an entry into the list of its peer. An error when there was no room: what was dropped, if the peer is to hear
    /// of that.
    fn add(&mut self, peer: PeerId, entry: &Entry) -> Result<(), Option<Cid>> {
        let is_full = self.total >= self.config.max_wantlists_total;
        let client = self.clients.entry(peer).or_default();
        let sure = SURE_WANTS.max(client.list.len());
        let max = if is_full { sure.min(self.config.max_wantlist) } else { self.config.max_wantlist };
        let mut result = Ok(());
        match client.list.add(entry, max) {
            Added::Known => return Ok(()),
            Added::Dropped => return Err(entry.send_dont_have.then_some(entry.cid)),
            Added::New => self.total += 1,
            Added::Instead { out, tell } => {
                self.unwanted(&peer, &out);
                if tell {
                    result = Err(Some(out));
                }
            }
        }
        self.wanted_by.entry(*entry.cid.hash()).or_default().push((peer, entry.cid));
        result
    }

    fn remove(&mut self, peer: &PeerId, cid: &Cid) {
        if self.clients.get_mut(peer).is_some_and(|client| client.list.remove(cid)) {
            self.total -= 1;
            self.unwanted(peer, cid);
        }
    }

    /// A full wantlist drops what is not in it. What is stays as it was, so that nothing is sent twice.
    fn forget_wants(&mut self, peer: &PeerId, entries: &[Entry]) {
        let Some(client) = self.clients.get(peer) else { return };
        let kept: HashSet<&Cid> = entries.iter().map(|entry| &entry.cid).collect();
        let gone: Vec<Cid> = client.list.cids().filter(|cid| !kept.contains(cid)).copied().collect();
        for cid in gone {
            self.remove(peer, &cid);
        }
    }

    /// Takes a peer off those who want a block.
    fn unwanted(&mut self, peer: &PeerId, cid: &Cid) {
        if let Some(by) = self.wanted_by.get_mut(cid.hash()) {
            if let Some(at) = by.iter().position(|(by, name)| by == peer && name == cid) {
                by.swap_remove(at);
            }
            if by.is_empty() {
                self.wanted_by.remove(cid.hash());
            }
        }
    }

    /// Sizes that were asked for in [`Action::LookUp`]; `None`: not here.
    pub(crate) fn looked_up(&mut self, peer: PeerId, found: Vec<(Cid, Option<u64>)>) {
        let replace = self.config.want_have_replace_bytes;
        let Some(client) = self.clients.get_mut(&peer) else { return };
        if std::mem::take(&mut client.looking_up) {
            self.jobs -= 1;
        }
        let mut presences = Vec::new();
        let mut answered = Vec::new();
        for (cid, size) in found {
            // Cancelled, or from a job of a connection that is gone.
            let Some(want) = client.list.get(&cid).filter(|_| client.list.state(&cid) == Some(State::LookedUp)) else {
                continue;
            };
            // A block that the protocol cannot carry is as good as none.
            match size.filter(|size| *size <= MAX_BLOCK_BYTES as u64) {
                Some(size) if want.kind == Kind::Block || size <= replace && replace > 0 => {
                    client.list.set(&cid, State::Ready(size));
                }
                Some(_) => {
                    presences.push(Presence { cid, have: true });
                    answered.push(cid);
                }
                None => {
                    if want.send_dont_have {
                        presences.push(Presence { cid, have: false });
                    }
                    client.list.set(&cid, State::Missing);
                }
            }
        }
        for cid in answered {
            self.remove(&peer, &cid);
        }
        self.send_presences(peer, presences);
        self.line_up(peer);
    }

    /// What was asked for in [`Action::Read`] has been read, `sent` bytes of it found and given to the connection.
    pub(crate) fn read(&mut self, peer: PeerId, asked: u64, sent: u64, read: &[Cid], missing: &[Cid]) {
        let Some(client) = self.clients.get_mut(&peer) else { return };
        if std::mem::take(&mut client.reading) {
            self.jobs -= 1;
            client.outstanding = client.outstanding.saturating_sub(asked) + sent;
            self.outstanding = self.outstanding.saturating_sub(asked) + sent;
        }
        let mut presences = Vec::new();
        for cid in missing {
            // It was there when its size was looked up, and is gone.
            let Some(want) = client.list.get(cid) else { continue };
            if want.send_dont_have {
                presences.push(Presence { cid: *cid, have: false });
            }
            client.list.set(cid, State::Missing);
        }
        for cid in read {
            self.remove(&peer, cid);
        }
        self.send_presences(peer, presences);
        self.line_up(peer);
    }

    /// The peer has taken `bytes` of blocks, or they were given up.
    pub(crate) fn written(&mut self, peer: PeerId, bytes: u64) {
        if let Some(client) = self.clients.get_mut(&peer) {
            client.outstanding = client.outstanding.saturating_sub(bytes);
            self.outstanding = self.outstanding.saturating_sub(bytes);
            self.line_up(peer);
        }
    }

    /// The peer has taken so many presences, or they were given up.
    pub(crate) fn presences_written(&mut self, peer: PeerId, count: usize) {
        if let Some(client) = self.clients.get_mut(&peer) {
            client.presences = client.presences.saturating_sub(count);
            self.line_up(peer);
        }
    }

    /// New blocks are here.
    pub(crate) fn notify(&mut self, key: &Key) {
        for (peer, cid) in self.wanted_by.get(key).cloned().unwrap_or_default() {
            let Some(client) = self.clients.get_mut(&peer) else { continue };
            // What is being looked up right now may have been missed.
            if matches!(client.list.state(&cid), Some(State::Missing | State::LookedUp)) {
                client.list.set(&cid, State::New);
            }
            self.line_up(peer);
        }
    }

    /// Any number of new blocks is here.
    pub(crate) fn recheck(&mut self) {
        let peers: Vec<PeerId> = self.clients.keys().copied().collect();
        for peer in peers {
            if let Some(client) = self.clients.get_mut(&peer) {
                client.list.recheck();
            }
            self.line_up(peer);
        }
    }

    /// The connection that served a peer is gone. With `left`, another goes on; else the peer is forgotten.
    pub(crate) fn connection_lost(&mut self, peer: &PeerId, left: bool) {
        let Some(client) = self.clients.get_mut(peer) else { return };
        self.jobs -= usize::from(client.looking_up) + usize::from(client.reading);
        self.outstanding -= client.outstanding;
        (client.looking_up, client.reading, client.outstanding, client.presences) = (false, false, 0, 0);
        if left {
            client.list.restart();
            self.line_up(*peer);
            return;
        }
        let cids: Vec<Cid> = client.list.cids().copied().collect();
        for cid in cids {
            self.remove(peer, &cid);
        }
        self.clients.remove(peer);
    }

    fn send_presences(&mut self, peer: PeerId, presences: Vec<Presence>) {
        if !presences.is_empty() {
            self.clients.entry(peer).or_default().presences += presences.len();
            self.actions.push_back(Action::Presences { peer, presences });
        }
    }

    fn line_up(&mut self, peer: PeerId) {
        if let Some(client) = self.clients.get_mut(&peer)
            && !client.in_round
            && (client.list.has_new() || client.list.next_ready().is_some())
        {
            client.in_round = true;
            self.round.push_back(peer);
        }
    }

    /// Starts jobs, one turn for each peer, as far as the budgets reach. `allowed` is the gate's last word before a block
    /// is read.
    pub(crate) fn schedule(&mut self, allowed: impl Fn(&PeerId, &Cid) -> bool) {
        let mut waiting = 0;
        while waiting < self.round.len() && self.jobs < self.config.max_jobs {
            let Some(peer) = self.round.pop_front() else { return };
            match self.serve(peer, &allowed) {
                Turn::Started => {
                    waiting = 0;
                    self.round.push_back(peer);
                }
                Turn::Waits => {
                    waiting += 1;
                    self.round.push_back(peer);
                }
                // It comes back with its next report, or when it wants something more.
                Turn::Nothing => {
                    if let Some(client) = self.clients.get_mut(&peer) {
                        client.in_round = false;
                    }
                }
            }
        }
    }

    /// Gives one peer its turn.
    fn serve(&mut self, peer: PeerId, allowed: &impl Fn(&PeerId, &Cid) -> bool) -> Turn {
        let Some(client) = self.clients.get_mut(&peer) else { return Turn::Nothing };
        if !client.looking_up && client.list.has_new() && client.presences < MAX_OUTSTANDING_PRESENCES {
            client.looking_up = true;
            self.jobs += 1;
            let cids = client.list.take_new(LOOKUPS_PER_JOB);
            self.actions.push_back(Action::LookUp { peer, cids });
            return Turn::Started;
        }
        let Some(next) = client.list.next_ready() else { return Turn::Nothing };
        // One block always goes, however small the budget is.
        let own = (self.config.max_outstanding_bytes_per_peer as u64).saturating_sub(client.outstanding);
        if client.reading || client.outstanding > 0 && next > own {
            return Turn::Nothing;
        }
        let all = (self.config.max_outstanding_bytes as u64).saturating_sub(self.outstanding);
        if self.outstanding > 0 && next > all {
            return Turn::Waits;
        }
        let target = (self.config.target_message_bytes as u64).min(own).min(all);
        let ready = client.list.take_ready(target).into_iter();
        let (blocks, denied): (Vec<_>, Vec<_>) = ready.partition(|(cid, _)| allowed(&peer, cid));
        let mut presences = Vec::new();
        for (cid, _) in &denied {
            if client.list.get(cid).is_some_and(|want| want.send_dont_have) {
                presences.push(Presence { cid: *cid, have: false });
            }
        }
        if !blocks.is_empty() {
            let bytes: u64 = blocks.iter().map(|(_, size)| size).sum();
            client.reading = true;
            client.outstanding += bytes;
            self.outstanding += bytes;
            self.jobs += 1;
            self.actions.push_back(Action::Read { peer, blocks });
        }
        for (cid, _) in denied {
            self.remove(&peer, &cid);
        }
        self.send_presences(peer, presences);
        Turn::Started
    }
}

#[cfg(test)]
mod tests;
