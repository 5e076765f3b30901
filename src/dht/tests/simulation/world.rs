//! The network, the clock and the dice.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rustdht_core::{
    CommitId, NetId, Placement, RecordId, Stamp,
    ports::{Durability, IngestOutcome, Published, ReplicaId},
};
use rustdht_dht::{CallerId, Engine, EngineConfig, Index, Input, Note, Output, RequestId, Token};
use rustdht_wire::{
    ReplicaRecord, Role, SigningKey, peer_id_text,
    protocol::{Request, Response},
};

use crate::model::{Store, Write};

const NET: NetId = NetId([9; 32]);
/// 2026-01-01.
const START_MS: u64 = 1_767_225_600_000;
const TICK_MS: u64 = 100;
const REQUEST_TIMEOUT_MS: u64 = 4_000;
const WAIT_MS: u64 = 500;

/// What goes wrong, in percent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) loss: u32,
    pub(crate) duplication: u32,
    pub(crate) store_failure: u32,
    pub(crate) max_delay_ms: u64,
    pub(crate) cuts: bool,
}

impl Faults {
    pub(crate) fn none() -> Self {
        Self { loss: 0, duplication: 0, store_failure: 0, max_delay_ms: 20, cuts: false }
    }

    pub(crate) fn harsh() -> Self {
        Self { loss: 20, duplication: 10, store_failure: 5, max_delay_ms: 400, cuts: true }
    }
}

#[derive(Debug)]
enum Event {
    Request { to: usize, from: usize, epoch: u64, token: Token, request: Request },
    Answer { to: usize, token: Token, response: Response },
    Fail { to: usize, token: Token },
    Ingest { node: usize, token: Token, envelopes: Vec<Bytes>, fails: bool },
    Load { node: usize, token: Token, records: Vec<RecordId>, max_bytes: usize },
    Notice { node: usize, peer: usize },
}

struct Node {
    id: ReplicaId,
    engine: Engine,
    store: Store,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The epoch of the connection that the engine knows of.
    links: BTreeMap<usize, u64>,
}

pub(crate) struct World {
    seed: u64,
    rng: StdRng,
    now_ms: u64,
    faults: Faults,
    nodes: Vec<Node>,
    /// The epoch of every open connection, by the pair.
    pairs: BTreeMap<(usize, usize), u64>,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    requests: BTreeMap<RequestId, (usize, usize, u64, Token)>,
    callers: BTreeMap<CallerId, CommitId>,
    writes: BTreeMap<CommitId, Write>,
    answers: BTreeMap<CommitId, (u64, Durability)>,
    trace: Option<blake3::Hasher>,
    bytes_sent: u64,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it failed with {} replicas and seed {}", self.nodes.len(), self.seed);
        }
    }
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

impl World {
    pub(crate) fn new(seed: u64, replicas: u8, faults: Faults) -> Self {
        let node = |number: u8| {
            let key = SigningKey::from_seed(&[number + 1; 32]);
            let replica = peer_id_text(&key.public());
            let record = ReplicaRecord {
                net: NET,
                replica: replica.clone(),
                key: key.public(),
                role: Role::Full,
                stamp: Stamp(1),
            };
            let config = EngineConfig { net: NET, placement: Placement::default(), record: record.sign(&key).unwrap() };
            Node {
                id: ReplicaId(replica),
                engine: Engine::new(&config, Index::new(), &[]),
                store: Store::default(),
                rows: BTreeMap::new(),
                links: BTreeMap::new(),
            }
        };
        Self {
            seed,
            rng: StdRng::seed_from_u64(seed),
            now_ms: START_MS,
            faults,
            nodes: (0..replicas).map(node).collect(),
            pairs: BTreeMap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            requests: BTreeMap::new(),
            callers: BTreeMap::new(),
            writes: BTreeMap::new(),
            answers: BTreeMap::new(),
            trace: None,
            bytes_sent: 0,
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    pub(crate) fn engine(&self, node: usize) -> &Engine {
        &self.nodes[node].engine
    }

    pub(crate) fn answer(&self, commit: &CommitId) -> Option<&(u64, Durability)> {
        self.answers.get(commit)
    }

    /// From now on every output goes into a hash.
    pub(crate) fn begin_trace(&mut self) {
        self.trace = Some(blake3::Hasher::new());
    }

    pub(crate) fn trace(&self) -> Option<blake3::Hash> {
        self.trace.as_ref().map(blake3::Hasher::finalize)
    }

    pub(crate) fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }

    fn chance(&mut self, percent: u32) -> bool {
        percent > 0 && self.rng.random_range(0..100) < percent
    }

    fn schedule(&mut self, after_ms: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now_ms + after_ms, self.sequence), event);
    }

    fn delayed(&mut self, event: Event) {
        let delay_ms = self.rng.random_range(1..=self.faults.max_delay_ms);
        self.schedule(delay_ms, event);
    }

    pub(crate) fn connect_all(&mut self) {
        for a in 0..self.nodes.len() {
            for b in 0..a {
                self.connect(a, b);
            }
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        if !self.pairs.contains_key(&pair(a, b)) {
            self.sequence += 1;
            self.pairs.insert(pair(a, b), self.sequence);
            self.notice(a, b);
        }
    }

    fn cut(&mut self, a: usize, b: usize) {
        if self.pairs.remove(&pair(a, b)).is_some() {
            self.notice(a, b);
        }
    }

    /// Both ends learn of it, each in its own time.
    fn notice(&mut self, a: usize, b: usize) {
        self.delayed(Event::Notice { node: a, peer: b });
        self.delayed(Event::Notice { node: b, peer: a });
    }

    pub(crate) fn isolate(&mut self, node: usize) {
        (0..self.nodes.len()).for_each(|other| self.cut(node, other));
    }

    pub(crate) fn heal(&mut self) {
        self.faults = Faults::none();
        self.connect_all();
    }

    /// Publishes a new write at a node and waits for its durability.
    pub(crate) fn publish(&mut self, node: usize, slots: u16) -> CommitId {
        let commit = CommitId(self.rng.random());
        // Stamps of the last two minutes, so that old ones also arrive late; and content, which stands behind them all.
        let ago = self.rng.random_range(0..130);
        let seconds = if ago < 120 { Stamp::from_ms(self.now_ms).index_seconds() - ago } else { u32::MAX };
        let slot = if slots == 4096 { self.writes.len() as u16 } else { self.rng.random_range(0..slots) };
        let write = Write { seconds, record: RecordId(self.rng.random()), commit, slot };
        self.writes.insert(commit, write);
        let published = Published { push: vec![(commit, write.encode())], ..self.nodes[node].store.join(write) };
        self.handle(node, Input::Published(published));
        let caller = CallerId(self.callers.len() as u64);
        self.callers.insert(caller, commit);
        self.handle(node, Input::Await { caller, commit, deadline_ms: self.now_ms + WAIT_MS });
        commit
    }

    pub(crate) fn chaos(&mut self, duration_ms: u64) {
        let end_ms = self.now_ms + duration_ms;
        while self.now_ms < end_ms {
            let pause_ms = self.rng.random_range(1..800);
            self.advance(pause_ms);
            let (a, b) = (self.rng.random_range(0..self.nodes.len()), self.rng.random_range(0..self.nodes.len()));
            match self.rng.random_range(0..10) {
                0..6 => (0..self.rng.random_range(1..8)).for_each(|_| {
                    self.publish(a, 100);
                }),
                6 | 7 if self.faults.cuts && a != b => self.cut(a, b),
                8 | 9 if a != b => self.connect(a, b),
                _ => {}
            }
        }
    }

    pub(crate) fn writes(&mut self, duration_ms: u64) {
        let end_ms = self.now_ms + duration_ms;
        while self.now_ms < end_ms {
            let pause_ms = self.rng.random_range(1..100);
            self.advance(pause_ms);
            let node = self.rng.random_range(0..self.nodes.len());
            self.publish(node, 100);
        }
    }

    /// Runs until everybody is in sync with everybody, at most so long.
    pub(crate) fn settle(&mut self, most_ms: u64) {
        let end_ms = self.now_ms + most_ms;
        while self.now_ms < end_ms {
            self.advance(1_000);
            let others = self.nodes.len() - 1;
            let in_sync = |node: &Node| node.engine.peers().iter().filter(|peer| peer.in_sync).count() == others;
            if self.nodes.iter().all(in_sync) {
                return;
            }
        }
    }

    pub(crate) fn advance(&mut self, duration_ms: u64) {
        let end_ms = self.now_ms + duration_ms;
        loop {
            let next_tick_ms = (self.now_ms / TICK_MS + 1) * TICK_MS;
            let next_event_ms = self.events.first_key_value().map_or(u64::MAX, |((at_ms, _), _)| *at_ms);
            if next_event_ms.min(next_tick_ms) > end_ms {
                break;
            }
            self.now_ms = next_event_ms.min(next_tick_ms);
            if next_event_ms <= next_tick_ms {
                if let Some((_, event)) = self.events.pop_first() {
                    self.happen(event);
                }
            } else {
                (0..self.nodes.len()).for_each(|node| self.handle(node, Input::Tick));
            }
        }
        self.now_ms = end_ms;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Request { to, from, epoch, token, request } => {
                let open = self.nodes[to].links.get(&from) == Some(&epoch);
                if open && self.pairs.get(&pair(to, from)) == Some(&epoch) {
                    let id = RequestId(self.sequence);
                    self.sequence += 1;
                    self.requests.insert(id, (to, from, epoch, token));
                    let from = self.nodes[from].id.clone();
                    self.handle(to, Input::Request { id, from, request });
                }
            }
            Event::Answer { to, token, response } => self.handle(to, Input::Answer { token, response }),
            Event::Fail { to, token } => self.handle(to, Input::Failed { token }),
            Event::Ingest { node, token, envelopes, fails } => {
                if fails {
                    let outcomes = vec![IngestOutcome::Unavailable; envelopes.len()];
                    return self.handle(node, Input::Ingested { token, outcomes });
                }
                let (published, outcomes) = self.nodes[node].store.ingest(&envelopes);
                self.handle(node, Input::Published(published));
                self.handle(node, Input::Ingested { token, outcomes });
            }
            Event::Load { node, token, records, max_bytes } => {
                let (envelopes, missing) = self.nodes[node].store.load(&records, max_bytes);
                self.handle(node, Input::Loaded { token, envelopes, missing });
            }
            Event::Notice { node, peer } => {
                let open = self.pairs.get(&pair(node, peer)).copied();
                let known = self.nodes[node].links.get(&peer).copied();
                let replica = self.nodes[peer].id.clone();
                if open == known {
                    return;
                }
                if known.is_some() {
                    self.nodes[node].links.remove(&peer);
                    self.handle(node, Input::Disconnected { replica: replica.clone() });
                }
                if let Some(epoch) = open {
                    self.nodes[node].links.insert(peer, epoch);
                    let records = self.nodes[peer].engine.records().into_iter().map(|(_, record)| record).collect();
                    self.handle(node, Input::Connected { replica, records });
                }
            }
        }
    }

    fn handle(&mut self, node: usize, input: Input) {
        let outputs = self.nodes[node].engine.handle(input, self.now_ms);
        for output in outputs {
            if let Some(trace) = &mut self.trace {
                trace.update(format!("{} {node} {output:?}", self.now_ms).as_bytes());
            }
            self.perform(node, output);
        }
    }

    fn perform(&mut self, node: usize, output: Output) {
        match output {
            Output::Send { token, to, request } => {
                self.schedule(REQUEST_TIMEOUT_MS, Event::Fail { to: node, token });
                let peer = self.nodes.iter().position(|other| other.id == to).unwrap();
                let Some(epoch) = self.nodes[node].links.get(&peer).copied() else { return };
                let bytes = request.encode();
                self.bytes_sent += bytes.len() as u64;
                assert_eq!(Request::decode(request.protocol(), &bytes).as_ref(), Ok(&request));
                let copies =
                    u32::from(!self.chance(self.faults.loss)) + u32::from(self.chance(self.faults.duplication));
                for _ in 0..copies {
                    let request = request.clone();
                    self.delayed(Event::Request { to: peer, from: node, epoch, token, request });
                }
            }
            Output::Respond { id, response } => {
                let (_, to, epoch, token) = self.requests.remove(&id).unwrap();
                self.bytes_sent += response.encode().len() as u64;
                if self.pairs.get(&pair(node, to)) == Some(&epoch) && !self.chance(self.faults.loss) {
                    self.delayed(Event::Answer { to, token, response });
                }
            }
            Output::Refuse { id } => {
                self.requests.remove(&id).unwrap();
            }
            Output::Ingest { token, envelopes, .. } => {
                let fails = self.chance(self.faults.store_failure);
                self.delayed(Event::Ingest { node, token, envelopes, fails });
            }
            Output::LoadRecords { token, records, max_bytes } => {
                // A small bound, so that answers are often cut.
                let max_bytes = max_bytes.min(self.rng.random_range(500..20_000));
                self.delayed(Event::Load { node, token, records, max_bytes });
            }
            Output::Save { key, value } => {
                match value {
                    Some(value) => self.nodes[node].rows.insert(key, value),
                    None => self.nodes[node].rows.remove(&key),
                };
            }
            Output::Durable { caller, durability } => {
                let commit = self.callers[&caller];
                if durability.is_acknowledged() {
                    let holders = self.nodes.iter().filter(|node| node.store.holds(&self.writes[&commit])).count();
                    assert!(holders >= usize::from(durability.durable), "{holders} of {}", durability.durable);
                }
                assert!(self.answers.insert(commit, (self.now_ms, durability)).is_none(), "answered twice");
            }
            Output::Note(Note::Misbehaved { what, .. }) => panic!("an honest peer was taken for a hostile one: {what}"),
            Output::Distrust { .. } | Output::LoadSoul { .. } | Output::Found { .. } | Output::Judged { .. } => {
                panic!("nothing of the kind was asked for")
            }
            Output::Announce { .. } | Output::Note(_) => {}
        }
    }

    /// Every replica holds the greatest write of every slot, and its index says so.
    pub(crate) fn check_equal(&self) {
        let mut all = Store::default();
        for write in self.writes.values() {
            all.join(*write);
        }
        for node in &self.nodes {
            assert_eq!(node.store, all, "a store differs");
            let mut indexed = BTreeSet::new();
            node.engine.index().each(0, usize::MAX, |key| {
                indexed.insert((key.seconds, key.record));
                std::ops::ControlFlow::Continue(())
            });
            let expected: BTreeSet<_> = all.writes().map(|write| (write.seconds, write.record)).collect();
            assert_eq!(indexed, expected, "an index differs from its store");
            assert!(node.engine.peers().iter().all(|peer| peer.in_sync), "somebody does not know that all are equal");
        }
    }

    /// Every caller was answered, and within its deadline.
    pub(crate) fn check_acknowledged(&self) {
        assert_eq!(self.answers.len(), self.callers.len());
    }

    pub(crate) fn unacknowledged(&self) -> usize {
        self.answers.values().filter(|(_, durability)| !durability.is_acknowledged()).count()
    }
}
