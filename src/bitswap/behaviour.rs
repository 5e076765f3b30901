//! The swarm's side: hands what connections report to the two engines, and what these decide to the connections.

mod faults;
mod peers;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use futures::FutureExt;
use futures::channel::oneshot;
use futures_timer::Delay;
use libp2p_core::transport::PortUse;
use libp2p_core::{Endpoint, Multiaddr};
use libp2p_identity::PeerId;
use libp2p_swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, InvalidProtocol, NetworkBehaviour, NotifyHandler, THandlerInEvent,
    ToSwarm,
};

use crate::client::{self, Fate, SessionId, TICK, WaiterId};
use crate::handle::{Handle, Provider, Request, Shared};
use crate::handler::{Command, Handler, News, Order, Protocols, Report, Setup, Verified};
use crate::limits::MAX_EVENTS;
use crate::server;
use crate::stats::{Counters, add};
use crate::{Blockstore, Clock, Config, Error, Fault, Gate, Open, SystemClock};
use faults::Faults;
use peers::Peers;

/// What the owner of the swarm may want to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Nobody who is connected has offered a block. An owner who can look up providers tells them by
    /// [`Handle::add_providers`]. Comes again for the same block after 5 s, then at growing intervals up to a minute,
    /// and for one block of a session in a second at most.
    NeedProviders {
        /// Whose block it is.
        session: SessionId,
        /// The block.
        cid: Cid,
    },
    /// A peer did something wrong. Its first, second, fourth, eighth ... fault of a kind is reported; [`Stats`] counts
    /// them all.
    ///
    /// [`Stats`]: crate::Stats
    Misbehaved {
        /// Who.
        peer: PeerId,
        /// What.
        fault: Fault,
    },
    /// A peer sent too many blocks that were not asked for or do not hash to what was. Nothing is read from it any more
    /// and nothing sent to it, for [`Config::ignore_for`]. Whether to disconnect is the owner's to decide.
    Ignored {
        /// Who.
        peer: PeerId,
    },
}

/// Bitswap as a part of a swarm. See the [crate](crate) for how it is used.
pub struct Behaviour {
    setup: Arc<Setup>,
    gate: Arc<dyn Gate>,
    clock: Arc<dyn Clock>,
    client: client::Engine,
    server: server::Engine,
    shared: Arc<Shared>,
    peers: Peers,
    faults: HashMap<PeerId, Faults>,
    answers: HashMap<WaiterId, oneshot::Sender<Result<Bytes, Error>>>,
    out: VecDeque<ToSwarm<Event, Command>>,
    /// Events among them.
    events: usize,
    /// Peers of which it may have changed whether anything is expected.
    touched: HashSet<PeerId>,
    ticker: Option<Delay>,
}

impl std::fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Behaviour").field("config", &self.setup.config).finish_non_exhaustive()
    }
}

impl Behaviour {
    /// A behaviour that serves blocks from a store to everybody. Fails when the prefix does not begin with a slash.
    pub fn new(config: Config, store: Arc<dyn Blockstore>) -> Result<Self, InvalidProtocol> {
        let counters = Arc::new(Counters::default());
        Ok(Self {
            gate: Arc::new(Open),
            clock: Arc::new(SystemClock::default()),
            client: client::Engine::new(config.clone()),
            server: server::Engine::new(config.clone()),
            shared: Arc::new(Shared::new(Arc::clone(&counters), config.max_wants)),
            peers: Peers::default(),
            faults: HashMap::new(),
            answers: HashMap::new(),
            out: VecDeque::new(),
            events: 0,
            touched: HashSet::new(),
            ticker: None,
            setup: Arc::new(Setup { protocols: Protocols::new(&config.protocol_prefix)?, config, store, counters }),
        })
    }

    /// Serves whom and what the gate allows.
    #[must_use]
    pub fn with_gate(mut self, gate: Arc<dyn Gate>) -> Self {
        self.gate = gate;
        self
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// For asking from other tasks.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
    }

    fn counters(&self) -> &Counters {
        &self.setup.counters
    }

    /// Takes what handles ask.
    fn take_requests(&mut self, now: Duration) {
        let inbox = self.shared.take();
        for request in inbox.requests {
            match request {
                Request::Get { waiter, session, timeout, cid, answer } => {
                    self.answers.insert(waiter, answer);
                    self.client.get(waiter, session, timeout, cid, now);
                }
                Request::Providers { session, providers } => self.add_providers(session, providers, now),
                Request::Close { session } => self.client.close_session(session),
            }
        }
        for waiter in inbox.cancelled {
            self.answers.remove(&waiter);
            self.client.cancel(waiter);
        }
        for key in inbox.notified {
            self.server.notify(&key);
        }
        if inbox.recheck {
            self.server.recheck();
        }
    }

    fn add_providers(&mut self, session: SessionId, providers: Vec<Provider>, now: Duration) {
        let ids = providers.iter().map(|provider| provider.peer);
        let absent = self.client.add_providers(session, ids, now);
        for provider in providers {
            if !absent.contains(&provider.peer) || self.peers.is_ignored(&provider.peer, now) {
                continue;
            }
            let opts = DialOpts::peer_id(provider.peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(provider.addresses)
                .extend_addresses_through_behaviour()
                .build();
            self.out.push_back(ToSwarm::Dial { opts });
        }
    }

    fn event(&mut self, event: Event) {
        if self.events < MAX_EVENTS {
            self.events += 1;
            self.out.push_back(ToSwarm::GenerateEvent(event));
        }
    }

    fn fault(&mut self, peer: PeerId, fault: &Fault) {
        if let Some(fault) = self.faults.entry(peer).or_default().note(fault) {
            self.event(Event::Misbehaved { peer, fault });
        }
    }

    /// Tells the connection that speaks for a peer.
    fn tell(&mut self, peer: PeerId, order: Order) {
        if let Some(connection) = self.peers.primary(&peer) {
            let event = Command(order);
            self.out.push_back(ToSwarm::NotifyHandler {
                peer_id: peer,
                handler: NotifyHandler::One(connection),
                event,
            });
        }
    }

    /// Lets both engines decide, and carries out what they decided.
    fn run(&mut self, now: Duration) {
        self.client.schedule(now);
        while let Some(action) = self.client.pop_action() {
            match action {
                client::Action::Deliver { waiter, data } => self.answer(waiter, Ok(data)),
                client::Action::Fail { waiter, error } => self.answer(waiter, Err(error)),
                client::Action::NeedProviders { session, cid } => self.event(Event::NeedProviders { session, cid }),
                client::Action::Ignore { peer, unwanted } => self.ignore(peer, unwanted, now),
            }
        }
        for (peer, entries) in self.client.take_sends() {
            self.touched.insert(peer);
            self.tell(peer, Order::Wants(entries));
        }
        let gate = Arc::clone(&self.gate);
        self.server.schedule(|peer, cid| gate.peer(peer) && gate.block(peer, cid));
        while let Some(action) = self.server.pop_action() {
            match action {
                server::Action::LookUp { peer, cids } => self.tell(peer, Order::LookUp(cids)),
                server::Action::Read { peer, blocks } => self.tell(peer, Order::Read(blocks)),
                server::Action::Presences { peer, presences } => self.tell(peer, Order::Presences(presences)),
            }
        }
        for peer in std::mem::take(&mut self.touched) {
            let busy = self.client.expects(&peer) || self.server.has_wants(&peer);
            if self.peers.set_busy(&peer, busy) {
                self.tell(peer, Order::KeepAlive(busy));
            }
        }
    }

    fn answer(&mut self, waiter: WaiterId, result: Result<Bytes, Error>) {
        if let Some(answer) = self.answers.remove(&waiter) {
            // A caller that has just gone away does not need it.
            drop(answer.send(result));
        }
    }

    /// Turns away from a peer.
    fn ignore(&mut self, peer: PeerId, blocks: u64, now: Duration) {
        add(&self.counters().peers_ignored, 1);
        self.fault(peer, &Fault::UnwantedBlocks { blocks });
        self.event(Event::Ignored { peer });
        self.server.connection_lost(&peer, false);
        for connection in self.peers.ignore(peer, now + self.setup.config.ignore_for) {
            let event = Command(Order::Ignore);
            self.out.push_back(ToSwarm::NotifyHandler {
                peer_id: peer,
                handler: NotifyHandler::One(connection),
                event,
            });
        }
    }

    fn message(&mut self, peer: PeerId, verified: Verified, now: Duration) {
        let Verified { message, blocks } = verified;
        for (key, data) in blocks {
            let fate = self.client.block(peer, &key, &data, now);
            let bytes = data.len() as u64;
            let counters = &self.setup.counters;
            let mut ledgers = self.shared.ledgers();
            let ledger = ledgers.of(peer);
            match fate {
                Fate::Wanted => {
                    add(&counters.blocks_received, 1);
                    add(&counters.bytes_received, bytes);
                    ledger.blocks_received += 1;
                    ledger.bytes_received += bytes;
                }
                Fate::Late => {
                    add(&counters.duplicates, 1);
                    add(&counters.duplicate_bytes, bytes);
                    ledger.duplicates += 1;
                }
                Fate::Unwanted => {
                    add(&counters.unwanted, 1);
                    ledger.unwanted += 1;
                    let blocks = ledger.unwanted;
                    drop(ledgers);
                    self.fault(peer, &Fault::UnwantedBlocks { blocks });
                }
            }
        }
        add(&self.counters().presences_received, message.presences.len() as u64);
        for presence in message.presences {
            self.client.presence(peer, presence.cid.hash(), presence.have, now);
        }
        if message.refused > 0 {
            add(&self.counters().refused, message.refused);
            self.fault(peer, &Fault::Refused { items: message.refused });
        }
        // One of its blocks may have been one too many.
        if self.peers.is_ignored(&peer, now) {
            return;
        }
        let mut dropped = message.dropped_wants;
        if !message.wants.is_empty() || message.full {
            let gate = Arc::clone(&self.gate);
            let admitted = gate.peer(&peer);
            let accepted =
                self.server.wants(peer, message.full, &message.wants, |cid| admitted && gate.block(&peer, cid));
            add(&self.counters().wants_denied, accepted.denied);
            dropped += accepted.dropped;
        }
        if dropped > 0 {
            add(&self.counters().wants_dropped, dropped);
            self.shared.ledgers().of(peer).wants_dropped += dropped;
            self.fault(peer, &Fault::WantlistTooLong { dropped });
        }
    }

    fn report(&mut self, peer: PeerId, news: News, now: Duration) {
        match news {
            News::Message(verified) => self.message(peer, *verified, now),
            News::Sizes(sizes) => self.server.looked_up(peer, sizes),
            News::Read { asked, sent, read, missing } => self.server.read(peer, asked, sent, &read, &missing),
            News::Written { blocks, bytes, given_up } => {
                self.server.written(peer, bytes);
                if !given_up {
                    add(&self.counters().blocks_sent, blocks);
                    add(&self.counters().bytes_sent, bytes);
                    let mut ledgers = self.shared.ledgers();
                    let ledger = ledgers.of(peer);
                    ledger.blocks_sent += blocks;
                    ledger.bytes_sent += bytes;
                }
            }
            News::PresencesWritten { count, given_up } => {
                self.server.presences_written(peer, count);
                if !given_up {
                    add(&self.counters().presences_sent, count as u64);
                }
            }
            News::Usable(true) => {
                if let Some(meter) = self.peers.meter(&peer) {
                    self.client.connected(peer, meter, now);
                }
            }
            News::Usable(false) => self.client.disconnected(&peer, now),
            News::Fault(fault) => self.fault(peer, &fault),
        }
        self.touched.insert(peer);
    }

    fn handler(&mut self, peer: PeerId) -> Handler {
        let now = self.clock.now();
        let ignored = self.peers.is_ignored(&peer, now);
        Handler::new(Arc::clone(&self.setup), self.peers.expect(peer), ignored)
    }

    fn poll_ticker(&mut self, cx: &mut Context<'_>, now: Duration) {
        if !self.client.is_waiting() {
            self.ticker = None;
            return;
        }
        let ticker = self.ticker.get_or_insert_with(|| Delay::new(TICK));
        if ticker.poll_unpin(cx).is_ready() {
            ticker.reset(TICK);
            let stalls = self.client.tick(now);
            add(&self.counters().stalls, stalls);
            // The timer must be polled again to be armed.
            cx.waker().wake_by_ref();
        }
    }
}

impl Drop for Behaviour {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let now = self.clock.now();
        match event {
            FromSwarm::ConnectionEstablished(new) => {
                let first = self.peers.established(new.peer_id, new.connection_id);
                if first && !self.peers.is_ignored(&new.peer_id, now) {
                    self.shared.ledgers().connected(new.peer_id);
                    if let Some(meter) = self.peers.meter(&new.peer_id) {
                        self.client.connected(new.peer_id, meter, now);
                    }
                }
            }
            FromSwarm::ConnectionClosed(closed) => {
                let was_primary = self.peers.primary(&closed.peer_id) == Some(closed.connection_id);
                let left = self.peers.closed(&closed.peer_id, closed.connection_id);
                if !was_primary {
                    return;
                }
                self.server.connection_lost(&closed.peer_id, left);
                self.client.disconnected(&closed.peer_id, now);
                if let Some(meter) = self.peers.meter(&closed.peer_id).filter(|_| left)
                    && !self.peers.is_ignored(&closed.peer_id, now)
                {
                    self.client.connected(closed.peer_id, meter, now);
                }
                if !left {
                    self.faults.remove(&closed.peer_id);
                    self.shared.ledgers().disconnected(closed.peer_id);
                }
            }
            FromSwarm::DialFailure(failure) => {
                if let Some(peer) = failure.peer_id {
                    self.peers.failed(&peer);
                }
                return;
            }
            FromSwarm::ListenFailure(failure) => {
                if let Some(peer) = failure.peer_id {
                    self.peers.failed(&peer);
                }
                return;
            }
            _ => return,
        }
        self.shared.waker.wake();
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, report: Report) {
        let now = self.clock.now();
        let Report(news) = report;
        // Peers may write on any connection; what concerns our writing only counts where we write.
        let about_us = matches!(news, News::Usable(_) | News::Sizes(_) | News::Read { .. });
        if self.peers.is_ignored(&peer, now) || (about_us && self.peers.primary(&peer) != Some(connection)) {
            return;
        }
        self.report(peer, news, now);
        self.shared.waker.wake();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        self.shared.waker.register(cx.waker());
        if self.out.is_empty() {
            let now = self.clock.now();
            self.take_requests(now);
            self.poll_ticker(cx, now);
            self.run(now);
        }
        match self.out.pop_front() {
            Some(action) => {
                if matches!(action, ToSwarm::GenerateEvent(_)) {
                    self.events -= 1;
                }
                Poll::Ready(action)
            }
            None => Poll::Pending,
        }
    }
}
