//! The engine: one state machine per replica, driven by [`Input`]s and the time.
//!
//! A commit published here goes to every connected member at once. Whatever gets lost on the way (a queue over its
//! bound, a failed request, a cut) is found again by reconciliation: at once on connect, a second after a failure, and
//! every half minute. Answers that nobody asked for, and answers of the wrong kind, change nothing.

mod ask;
mod io;
mod link;
mod push;
mod serve;
mod session;
mod sync;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use rustdht_core::{
    CommitId, NetId, Placement, RecordId,
    ports::{Durability, IngestOutcome, Published, ReplicaId},
};
use rustdht_wire::{SignedReplica, protocol::Response};

use crate::{
    Error, Index, Key,
    delivery::Deliveries,
    limits::{MAX_STRIKES, RETIRE_AFTER_START_MS, SYNC_YIELD_MS},
    members::{Learned, Members, Row},
    quorum,
};
use ask::Ask;
pub use io::{CallerId, Input, Note, Now, Output, RequestId, Token};
use link::Link;

/// What the engine must know from the start.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The network.
    pub net: NetId,
    /// Its numbers.
    pub placement: Placement,
    /// This replica's signed record.
    pub record: SignedReplica,
}

/// One peer as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// The replica.
    pub id: ReplicaId,
    /// Whether it is connected.
    pub connected: bool,
    /// Whether reconciliation last ended equal and every push since was confirmed.
    pub in_sync: bool,
    /// When it was last seen, in milliseconds since the epoch.
    pub seen_ms: u64,
    /// Whether it counts for quorums.
    pub counted: bool,
    /// Whether it counts no longer, for it was not seen for too long.
    pub retired: bool,
}

/// What an answer is for.
#[derive(Debug)]
enum Pending {
    Push { peer: ReplicaId, commits: Vec<CommitId> },
    Sync(ReplicaId, sync::Step),
    ServePut { peer: ReplicaId, id: RequestId, envelopes: usize },
    ServeFetch { peer: ReplicaId, id: RequestId },
    ServeGet { peer: ReplicaId, id: RequestId },
    Ask { peer: ReplicaId, caller: CallerId },
    Heard { peer: ReplicaId, caller: CallerId },
}

impl Pending {
    const fn peer(&self) -> &ReplicaId {
        match self {
            Self::Push { peer, .. }
            | Self::Sync(peer, _)
            | Self::ServePut { peer, .. }
            | Self::ServeFetch { peer, .. }
            | Self::ServeGet { peer, .. }
            | Self::Ask { peer, .. }
            | Self::Heard { peer, .. } => peer,
        }
    }
}

/// The state machine of one replica: tell it what happened, do what it says.
#[derive(Debug)]
pub struct Engine {
    placement: Placement,
    net: NetId,
    record: Bytes,
    index: Index,
    members: Members,
    links: BTreeMap<ReplicaId, Link>,
    deliveries: Deliveries,
    pending: BTreeMap<Token, Pending>,
    asks: BTreeMap<CallerId, Ask>,
    heard: usize,
    next_token: u64,
    /// When each of the numbers was the next delivery's, oldest first; see [`sync`].
    marks: VecDeque<sync::Mark>,
    /// When the first input came, by the steady clock.
    started_ms: Option<u64>,
    /// By the steady clock.
    now_ms: u64,
    wall_ms: u64,
    out: Vec<Output>,
}

impl Engine {
    /// An engine over what is durable: the ids of the index, and the rows that earlier `Save`s wrote.
    #[must_use]
    pub fn new(config: &EngineConfig, index: Index, rows: &[(Vec<u8>, Vec<u8>)]) -> Self {
        let mut members = Members::new(config.net, &config.record);
        rows.iter().for_each(|(key, value)| members.restore(key, value));
        Self {
            placement: config.placement,
            net: config.net,
            record: config.record.encode().into(),
            index,
            members,
            links: BTreeMap::new(),
            deliveries: Deliveries::default(),
            pending: BTreeMap::new(),
            asks: BTreeMap::new(),
            heard: 0,
            next_token: 0,
            marks: VecDeque::new(),
            started_ms: None,
            now_ms: 0,
            wall_ms: 0,
            out: Vec::new(),
        }
    }

    /// Takes note of something and says what is to be done, in order.
    pub fn handle(&mut self, input: Input, now: impl Into<Now>) -> Vec<Output> {
        let now = now.into();
        self.now_ms = self.now_ms.max(now.steady_ms);
        self.wall_ms = now.wall_ms;
        self.started_ms.get_or_insert(self.now_ms);
        match input {
            Input::Connected { replica, records } => self.connected(replica, &records),
            Input::Disconnected { replica } => self.disconnected(&replica),
            Input::Records { from, records } => self.learn(&from, &records),
            Input::Published(published) => self.published(&published),
            Input::Request { id, from, request } => self.serve(id, &from, request),
            Input::Answer { token, response } => self.answered(token, Some(response)),
            Input::Failed { token } => self.answered(token, None),
            Input::Ingested { token, outcomes } => self.ingested(token, &outcomes),
            Input::Loaded { token, envelopes, missing } => self.loaded(token, envelopes, missing),
            Input::Heard { caller, from, envelope } => self.hear(caller, &from, envelope),
            Input::Await { caller, commit, deadline_ms } => self.wait(caller, commit, deadline_ms),
            Input::Ask { caller, soul } => self.ask(caller, &soul),
            Input::Tick => self.tick(),
        }
        std::mem::take(&mut self.out)
    }

    /// The signed records to tell a new peer: this replica's and those of every other that is not retired.
    #[must_use]
    pub fn records(&self) -> Vec<(ReplicaId, Bytes)> {
        let own = (self.members.own().clone(), self.record.clone());
        std::iter::once(own).chain(self.members.records().map(|(id, record)| (id.clone(), record))).collect()
    }

    /// The network.
    #[must_use]
    pub const fn net(&self) -> &NetId {
        &self.net
    }

    /// How many ids the index holds.
    #[must_use]
    pub fn indexed(&self) -> usize {
        self.index.len()
    }

    /// The index.
    #[must_use]
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// Replicas that count, this one included.
    #[must_use]
    pub fn replicas(&self) -> u16 {
        self.members.replicas()
    }

    /// Whether no other replica counts, and it is certain: nobody else was ever known, or there was time to come back.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.members.counted().next().is_none() && (self.members.all().next().is_none() || self.may_retire())
    }

    /// Whether this engine has run for long enough to judge that others are gone.
    fn may_retire(&self) -> bool {
        self.started_ms.is_some_and(|started_ms| self.now_ms - started_ms >= RETIRE_AFTER_START_MS)
    }

    /// W' now.
    #[must_use]
    pub fn write_quorum(&self) -> u16 {
        quorum::write_quorum(&self.placement, self.members.replicas())
    }

    /// Counted replicas that are connected, this one included.
    #[must_use]
    pub fn reachable(&self) -> u16 {
        let connected = self.links.keys().filter(|id| self.members.counts(id)).count();
        u16::try_from(connected).unwrap_or(u16::MAX).saturating_add(self.members.own_weight())
    }

    /// Whether a signed record of this replica is known here.
    #[must_use]
    pub fn knows(&self, id: &ReplicaId) -> bool {
        self.members.knows(id)
    }

    /// Every replica known but this one.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerView> {
        let view = |(id, seen_ms): (&ReplicaId, u64)| {
            let link = self.links.get(id);
            PeerView {
                id: id.clone(),
                connected: link.is_some(),
                in_sync: link.is_some_and(Link::is_in_sync),
                seen_ms: if link.is_some() { self.wall_ms } else { seen_ms },
                counted: self.members.counts(id),
                retired: self.members.is_retired(id),
            }
        };
        self.members.all().map(view).collect()
    }

    /// How far a commit got; `None`: nothing is outstanding. One that is not remembered is with whoever is in sync.
    #[must_use]
    pub fn outstanding(&self, commit: &CommitId) -> Option<Durability> {
        Some(self.durability(commit)).filter(|durability| !durability.outstanding.is_empty())
    }

    fn token(&mut self, pending: Pending) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.pending.insert(token, pending);
        token
    }

    fn connected(&mut self, replica: ReplicaId, records: &[Bytes]) {
        self.drop_link(&replica);
        self.learn(&replica, records);
        // Without its own record a peer has no place here; hello always brings it.
        if !self.members.knows(&replica) {
            self.out.push(Output::Note(Note::Misbehaved { replica, what: "no replica record of its own" }));
            return;
        }
        let row = self.members.seen(&replica, self.wall_ms);
        self.save(row);
        let first = self.members.own() < &replica;
        let sync_at_ms = self.now_ms + if first { 0 } else { SYNC_YIELD_MS };
        self.links.insert(replica.clone(), Link::new(sync_at_ms));
        if first {
            self.begin_sync(&replica);
        }
    }

    fn disconnected(&mut self, replica: &ReplicaId) {
        self.drop_link(replica);
        let row = self.members.seen(replica, self.wall_ms);
        self.save(row);
        if self.reachable() < self.write_quorum() {
            for commit in self.deliveries.waited() {
                self.settle(&commit, true);
            }
        }
    }

    fn drop_link(&mut self, replica: &ReplicaId) {
        self.links.remove(replica);
        let gone: Vec<Token> = self.pending.iter().filter(|(_, p)| p.peer() == replica).map(|(t, _)| *t).collect();
        for token in gone {
            match self.pending.remove(&token) {
                Some(Pending::Ask { caller, .. }) => self.ask_answered(caller, Vec::new()),
                Some(Pending::Heard { caller, .. }) => self.judge(caller, IngestOutcome::Unavailable),
                _ => {}
            }
        }
    }

    fn learn(&mut self, from: &ReplicaId, records: &[Bytes]) {
        for record in records {
            match self.members.learn(record, self.wall_ms) {
                Ok(Learned { replica, new, rows }) => {
                    rows.into_iter().for_each(|row| self.save(Some(row)));
                    if new {
                        self.out.push(Output::Note(Note::MemberLearned { replica, record: record.clone() }));
                    }
                }
                // No fault of the peer.
                Err(Error::Full) => {}
                Err(_) => self.strike(from, "a replica record that cannot be used"),
            }
        }
    }

    fn save(&mut self, row: Option<Row>) {
        if let Some((key, value)) = row {
            self.out.push(Output::Save { key, value });
        }
    }

    fn published(&mut self, published: &Published) {
        for item in &published.adds {
            self.index.insert(Key::from(item), item.partition);
            self.links.values_mut().for_each(|link| link.arrived(&item.record));
        }
        // What came and went within one batch stands in both lists; what has left the state never returns.
        for item in &published.drops {
            self.index.remove(&Key::from(item), item.partition);
        }
        self.announce(&published.push);
        self.push(&published.push);
    }

    fn answered(&mut self, token: Token, response: Option<Response>) {
        match self.pending.remove(&token) {
            Some(Pending::Push { peer, commits }) => self.push_answered(&peer, &commits, response),
            Some(Pending::Sync(peer, step)) => self.sync_answered(&peer, step, response),
            Some(Pending::Ask { peer, caller }) => {
                let envelopes = match response {
                    Some(Response::Get { envelopes }) => envelopes,
                    Some(_) => {
                        self.strike(&peer, "an answer of another kind");
                        Vec::new()
                    }
                    None => Vec::new(),
                };
                self.ask_answered(caller, envelopes);
            }
            // An answer to something that was no request to a peer: the driver's error, and nothing to undo.
            Some(other) => {
                self.pending.insert(token, other);
            }
            None => {}
        }
    }

    fn ingested(&mut self, token: Token, outcomes: &[IngestOutcome]) {
        match self.pending.remove(&token) {
            Some(Pending::Sync(peer, step)) => self.sync_ingested(&peer, step, outcomes),
            Some(Pending::ServePut { peer, id, envelopes }) => self.put_served(&peer, id, envelopes, outcomes),
            Some(Pending::Heard { caller, .. }) => {
                let outcome = outcomes.first().cloned().unwrap_or(IngestOutcome::Unavailable);
                self.judge(caller, outcome);
            }
            Some(other) => {
                self.pending.insert(token, other);
            }
            None => {}
        }
    }

    fn loaded(&mut self, token: Token, envelopes: Vec<Bytes>, missing: Vec<RecordId>) {
        match self.pending.remove(&token) {
            Some(Pending::Sync(peer, sync::Step::Load)) => self.sync_loaded(&peer, envelopes),
            Some(Pending::ServeFetch { peer, id }) => self.fetch_served(&peer, id, envelopes, missing),
            Some(Pending::ServeGet { peer, id }) => self.get_served(&peer, id, envelopes),
            Some(other) => {
                self.pending.insert(token, other);
            }
            None => {}
        }
    }

    fn strike(&mut self, replica: &ReplicaId, what: &'static str) {
        self.out.push(Output::Note(Note::Misbehaved { replica: replica.clone(), what }));
        if let Some(link) = self.links.get_mut(replica) {
            link.strikes += 1;
            if link.strikes == MAX_STRIKES {
                self.out.push(Output::Distrust { replica: replica.clone() });
            }
        }
    }

    fn tick(&mut self) {
        while let Some((caller, commit)) = self.deliveries.take_late(self.now_ms) {
            let durability = self.durability(&commit);
            self.out.push(Output::Durable { caller, durability });
        }
        self.end_asks();
        for replica in self.links.keys() {
            if let Some((key, value)) = self.members.seen(replica, self.wall_ms) {
                self.out.push(Output::Save { key, value });
            }
        }
        if self.may_retire() {
            for (replica, row) in self.members.retire(self.wall_ms) {
                self.save(Some(row));
                self.out.push(Output::Note(Note::MemberRetired { replica }));
            }
        }
        self.take_mark();
        self.sync_due();
    }
}

#[cfg(test)]
mod tests;
