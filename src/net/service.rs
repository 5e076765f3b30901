//! The event loop: one task that owns the swarm and the engine.
//!
//! It never waits for anything but the next event. Verifying, merging and loading run as jobs beside it, their number
//! bounded by what the engine lets peers have under way.

mod blocks;
mod certify;
mod commands;
mod greet;
mod guests;
mod jobs;
mod live;
mod lookups;
mod outputs;
mod start;
mod swarm_events;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use libp2p::{
    Multiaddr, PeerId, Swarm,
    gossipsub::MessageId,
    request_response::{OutboundRequestId, ResponseChannel},
};
use rustdht_core::{
    Clock, Entropy,
    ports::{Ingest, ReplicaId},
};
use rustdht_dht::{CallerId, Engine, EngineConfig, Input, Now, Output, RequestId, Token};
use rustdht_wire::{
    SignedReplica,
    protocol::{Protocol, Request, Response},
};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::{
    addresses::Addresses,
    behaviour::Behaviour,
    handle::{Command, steady_ms},
    hello::{Secret, Session},
    limits::{CLOSE_TIMEOUT, LOOKUP_INTERVAL_MS, MAX_DIALS, MAX_RETIRED_DIALS, STOP_TIMEOUT, TICK},
    metrics,
};
pub(crate) use blocks::Nobody;
use blocks::{Members, ProviderLookups, Shelf};
use certify::Certificates;
pub(crate) use certify::Chain;
use jobs::Done;
use live::LiveMessages;
use lookups::Lookups;

/// The swarm before it runs: made by [`Service::new`], which also listens.
pub struct Service {
    /// Boxed: its behaviours are tens of KiB, which every future that holds it would be.
    swarm: Box<Swarm<Behaviour>>,
    clock: Arc<dyn Clock>,
    started: Instant,
    entropy: Arc<dyn Entropy>,
    engine: EngineConfig,
    secret: Secret,
    incarnation: [u8; 8],
    listen: Vec<Multiaddr>,
    external: Vec<Multiaddr>,
    addresses: Addresses,
    commands: mpsc::Receiver<Command>,
    id: ReplicaId,
    alone: Arc<AtomicBool>,
    shelf: Arc<Shelf>,
    members: Arc<Members>,
    bitswap: rustdht_bitswap::Handle,
    nobody: broadcast::Sender<Nobody>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("id", &self.id).field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// What a request of ours was for.
enum Sent {
    Engine(Token),
    Certify(CallerId),
    Hello(PeerId),
}

/// A request of a peer that the engine works on.
struct Inbound {
    peer: PeerId,
    protocol: Protocol,
    channel: ResponseChannel<Response>,
}

/// Somebody on this side who waits for the engine.
enum Waiting {
    Durability(oneshot::Sender<rustdht_core::ports::Durability>),
    Soul(oneshot::Sender<Vec<bytes::Bytes>>),
    Gossip { message: MessageId, source: PeerId },
}

struct Running {
    swarm: Box<Swarm<Behaviour>>,
    clock: Arc<dyn Clock>,
    started: Instant,
    entropy: Arc<dyn Entropy>,
    ingest: Arc<dyn Ingest>,
    engine: Engine,
    secret: Secret,
    incarnation: [u8; 8],
    id: ReplicaId,
    listen: Vec<Multiaddr>,
    external: Vec<Multiaddr>,
    addresses: Addresses,
    sessions: BTreeMap<PeerId, Session>,
    bans: BTreeMap<PeerId, u64>,
    sent: HashMap<(Protocol, OutboundRequestId), Sent>,
    inbound: HashMap<RequestId, Inbound>,
    early: Vec<(PeerId, Protocol, Request, ResponseChannel<Response>)>,
    waiting: HashMap<CallerId, Waiting>,
    bitswap: rustdht_bitswap::Handle,
    nobody: broadcast::Sender<Nobody>,
    lookups: ProviderLookups,
    routing: Lookups,
    members: Arc<Members>,
    /// Peers that are being dialled because they may be members.
    candidates: BTreeSet<PeerId>,
    certificates: Certificates,
    live: LiveMessages,
    jobs: JoinSet<Done>,
    saves: VecDeque<(Vec<u8>, Option<Vec<u8>>)>,
    saving: bool,
    next_id: u64,
    next_lookup_ms: u64,
    alone: Arc<AtomicBool>,
}

impl Service {
    /// Runs until `cancel`, then finishes what is under way and returns.
    pub async fn run(self, ingest: Arc<dyn Ingest>, cancel: CancellationToken) {
        let mut commands = self.commands;
        let Some((rows, index)) = start::load(ingest.as_ref(), &cancel).await else {
            tracing::error!("stopped before the members and the index could be read");
            return;
        };
        self.shelf.bind(Arc::clone(&ingest));
        let names = ingest.name_records().await;
        let mut addresses = self.addresses;
        rows.iter().for_each(|(key, value)| addresses.restore(key, value));
        tracing::info!(entries = index.len(), "the reconciliation index is built");
        let mut running = Running {
            engine: Engine::new(&self.engine, index, &rows),
            swarm: self.swarm,
            clock: self.clock,
            started: self.started,
            entropy: self.entropy,
            ingest,
            secret: self.secret,
            incarnation: self.incarnation,
            id: self.id,
            listen: self.listen,
            external: self.external,
            addresses,
            sessions: BTreeMap::new(),
            bans: BTreeMap::new(),
            sent: HashMap::new(),
            inbound: HashMap::new(),
            early: Vec::new(),
            waiting: HashMap::new(),
            bitswap: self.bitswap,
            nobody: self.nobody,
            lookups: ProviderLookups::default(),
            routing: Lookups::default(),
            members: self.members,
            candidates: BTreeSet::new(),
            certificates: Certificates::default(),
            live: LiveMessages::default(),
            jobs: JoinSet::new(),
            saves: VecDeque::new(),
            saving: false,
            next_id: 0,
            next_lookup_ms: 0,
            alone: self.alone,
        };
        running.restore_routing(&rows, &names);
        running.serve(&mut commands, &cancel).await;
        running.stop().await;
    }
}

impl Running {
    async fn serve(&mut self, commands: &mut mpsc::Receiver<Command>, cancel: &CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = true;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                command = commands.recv(), if open => match command {
                    Some(command) => self.command(command),
                    // Every handle is gone; the swarm still serves its peers.
                    None => open = false,
                },
                event = futures::StreamExt::select_next_some(&mut *self.swarm) => self.swarm_event(event),
                Some(done) = self.jobs.join_next() => {
                    // What a job changed was published before it ended: take note of that first.
                    for _ in 0..commands.len() {
                        match commands.try_recv() {
                            Ok(command) => self.command(command),
                            Err(_) => break,
                        }
                    }
                    self.done(done);
                }
                (session, cid, asked, found) = self.lookups.next() => {
                    self.providers_looked_up(session, cid, asked, found);
                }
                _ = ticks.tick() => self.tick(),
            }
        }
    }

    /// Lets rows be written and peers be answered, then closes.
    async fn stop(mut self) {
        self.write_routing();
        let finish = async {
            while self.saving || !self.saves.is_empty() || !self.jobs.is_empty() {
                match self.jobs.join_next().await {
                    Some(done) => self.done(done),
                    None => break,
                }
            }
        };
        if tokio::time::timeout(STOP_TIMEOUT, finish).await.is_err() {
            tracing::warn!(jobs = self.jobs.len(), "stopping although jobs are under way");
        }
        let peers: Vec<PeerId> = self.sessions.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.disconnect(peer));
        // So that peers hear of it at once, and sockets are free again.
        let close = async {
            while self.swarm.network_info().num_peers() > 0 {
                futures::StreamExt::select_next_some(&mut *self.swarm).await;
            }
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, close).await.is_err() {
            tracing::debug!("stopping although connections are open");
        }
    }

    /// Milliseconds by the steady clock.
    fn now_ms(&self) -> u64 {
        steady_ms(self.started)
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// Tells the engine, and does what it says.
    fn feed(&mut self, input: Input) {
        let now = Now { steady_ms: self.now_ms(), wall_ms: self.clock.now_ms() };
        let outputs: Vec<Output> = self.engine.handle(input, now);
        self.alone.store(self.engine.is_alone(), Ordering::Relaxed);
        for output in outputs {
            self.perform(output);
        }
    }

    fn tick(&mut self) {
        self.feed(Input::Tick);
        let now_ms = self.now_ms();
        self.end_hellos(now_ms);
        let lifted: Vec<PeerId> = self.bans.iter().filter(|(_, until)| **until <= now_ms).map(|(p, _)| *p).collect();
        for peer in lifted {
            self.bans.remove(&peer);
            self.swarm.behaviour_mut().unblock_peer(peer);
        }
        self.redial(now_ms);
        self.tend_routing(now_ms);
        self.count_guests();
        metrics::peers(self.sessions.values().filter(|session| session.is_member()).count());
        metrics::indexed(self.engine.indexed());
        metrics::bitswap(&self.bitswap.stats());
    }

    /// Dials the members that are not connected, the retired ones now and then, and looks for those that count.
    fn redial(&mut self, now_ms: u64) {
        let (mut wanted, mut retired) = (BTreeSet::new(), BTreeSet::new());
        for view in self.engine.peers().into_iter().filter(|view| !view.connected) {
            let Ok(peer) = view.id.0.parse::<PeerId>() else { continue };
            if self.sessions.contains_key(&peer) {
                continue;
            }
            if view.counted {
                wanted.insert(peer);
            } else if view.retired {
                retired.insert(peer);
            }
        }
        let mut due = self.addresses.due(now_ms, MAX_DIALS, &wanted);
        due.extend(self.addresses.due_retired(now_ms, MAX_RETIRED_DIALS, &retired));
        for (peer, addresses) in due {
            if self.sessions.contains_key(&peer) {
                self.addresses.connected(&peer);
                continue;
            }
            self.dial(peer, addresses);
        }
        if now_ms >= self.next_lookup_ms {
            self.next_lookup_ms = now_ms + LOOKUP_INTERVAL_MS;
            for peer in wanted {
                self.swarm.behaviour_mut().routing().get_closest_peers(peer);
            }
        }
    }

    fn replica(peer: &PeerId) -> ReplicaId {
        ReplicaId(peer.to_base58())
    }

    fn replica_of_record(&self, record: &[u8]) -> Option<PeerId> {
        let signed = SignedReplica::decode(record, &self.secret.net).ok()?;
        signed.record().replica.parse().ok()
    }
}

#[cfg(test)]
mod tests;
