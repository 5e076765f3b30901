//! The protocol on one connection. Everything here runs in the connection's own task: reading and hashing what comes,
//! looking into the store, writing. The swarm's task only decides.
//!
//! ```text
//!   inbound streams (many) --> decode --> hash --> Report --> Behaviour
//!   Behaviour --> Command --> jobs in the store --> blocks --.
//!                     '-----> wantlist and presences first --'--> one stream
//! ```
//!
//! One stream, since rust-ipfs reads the newest alone and loses what is on the others. Wantlists and presences go before
//! blocks that wait, so they wait for one message at most.

mod changes;
mod inbound;
mod job;
mod outbound;
mod streams;
mod upgrade;
mod verify;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};
use std::time::Duration;

use cid::Cid;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use futures_timer::Delay;
use libp2p_swarm::handler::{ConnectionEvent, ConnectionHandler, ConnectionHandlerEvent, ProtocolsChange};
use libp2p_swarm::{Stream, StreamUpgradeError, SubstreamProtocol};

use crate::client::Meter;
use crate::limits::{ENTRIES_PER_MESSAGE, MAX_ITEMS_PER_MESSAGE, MAX_TARGET_BYTES};
use crate::stats::{Counters, add};
use crate::wire::{Entry, Kind, Presence};
use crate::{Blockstore, Config, Fault};
use changes::Changes;
use job::Found;
use outbound::{Outbound, Outgoing, Progress};
use streams::{Received, Streams};
pub use upgrade::Protocols;
pub(crate) use verify::Verified;
use verify::Verifying;

/// How often time-outs are looked at while something is under way.
const TICK: Duration = Duration::from_secs(1);
/// How long a peer that refused two streams in a row is left alone.
const COOL_DOWN: Duration = Duration::from_secs(1);
/// How long opening a stream may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Reports that wait for the swarm's task; no more is read from the peer meanwhile.
const MAX_REPORTS: usize = 8;

/// What the handlers of all connections share.
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) protocols: Protocols,
    pub(crate) store: Arc<dyn Blockstore>,
    pub(crate) counters: Arc<Counters>,
}

/// What the behaviour tells a connection.
#[derive(Debug)]
pub struct Command(pub(crate) Order);

#[derive(Debug)]
pub(crate) enum Order {
    /// Lines of our wantlist.
    Wants(Vec<Entry>),
    Presences(Vec<Presence>),
    LookUp(Vec<(Cid, Kind)>),
    Read(Vec<(Cid, u64)>),
    /// Whether something is expected from or owed to the peer.
    KeepAlive(bool),
    /// Hear and say nothing any more.
    Ignore,
}

/// What a connection tells the behaviour.
#[derive(Debug)]
pub struct Report(pub(crate) News);

#[derive(Debug)]
pub(crate) enum News {
    Message(Box<Verified>),
    Sizes(Vec<(Cid, Option<u64>)>),
    /// Blocks that were asked for have been read, and `sent` bytes of them are about to be written.
    Read {
        asked: u64,
        sent: u64,
        read: Vec<Cid>,
        missing: Vec<Cid>,
    },
    /// Blocks have been taken by the peer, or given up.
    Written {
        blocks: u64,
        bytes: u64,
        given_up: bool,
    },
    PresencesWritten {
        count: usize,
        given_up: bool,
    },
    /// Whether the peer takes streams of this protocol.
    Usable(bool),
    Fault(Fault),
}

/// The [`ConnectionHandler`] of [`Behaviour`](crate::Behaviour).
pub struct Handler {
    setup: Arc<Setup>,
    meter: Arc<Meter>,
    streams: Streams<Stream>,
    verifying: Option<Verifying>,
    jobs: FuturesUnordered<BoxFuture<'static, Found>>,
    outbound: Outbound<Stream>,
    changes: Changes,
    presences: VecDeque<Presence>,
    queue: VecDeque<Outgoing>,
    reports: VecDeque<News>,
    ticker: Option<Delay>,
    keep_alive: bool,
    ignored: bool,
    /// The peer said that it does not speak the protocol.
    unsupported: bool,
    /// What is left of the time in which no stream is tried.
    cooling: Option<Duration>,
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handler")
            .field("inbound", &self.streams.len())
            .field("jobs", &self.jobs.len())
            .field("queued", &self.queue.len())
            .finish_non_exhaustive()
    }
}

type HandlerEvent = ConnectionHandlerEvent<Protocols, (), Report>;

impl Handler {
    pub(crate) fn new(setup: Arc<Setup>, meter: Arc<Meter>, ignored: bool) -> Self {
        Self {
            streams: Streams::new(setup.config.max_inbound_streams),
            setup,
            meter,
            verifying: None,
            jobs: FuturesUnordered::new(),
            outbound: Outbound::default(),
            changes: Changes::default(),
            presences: VecDeque::new(),
            queue: VecDeque::new(),
            reports: VecDeque::new(),
            ticker: None,
            keep_alive: false,
            ignored,
            unsupported: false,
            cooling: None,
        }
    }

    fn count(&self, counter: impl Fn(&Counters) -> &AtomicU64, n: u64) {
        add(counter(&self.setup.counters), n);
    }

    const fn is_usable(&self) -> bool {
        !self.ignored && !self.unsupported && self.cooling.is_none()
    }

    /// Something is under way that a time-out may end.
    fn needs_ticks(&self) -> bool {
        self.streams.is_half_way() || !self.outbound.is_free() || self.cooling.is_some()
    }

    /// The peer takes no streams: what was to be sent is given up, and the behaviour told to ask others.
    fn give_up(&mut self) {
        if self.is_usable() {
            self.reports.push_back(News::Usable(false));
        }
        self.changes = Changes::default();
        if let Some(message) = self.outbound.abandon() {
            self.settle(&message, true);
        }
        for message in std::mem::take(&mut self.queue) {
            self.settle(&message, true);
        }
        let count = std::mem::take(&mut self.presences).len();
        if count > 0 {
            self.reports.push_back(News::PresencesWritten { count, given_up: true });
        }
    }

    /// Reports that a message has been written or given up.
    fn settle(&mut self, message: &Outgoing, given_up: bool) {
        let (wants, presences, blocks) = (message.wants.len(), message.presences.len(), message.blocks.len());
        tracing::trace!(wants, presences, blocks, given_up, "a message went");
        if !message.blocks.is_empty() {
            let (blocks, bytes) = (message.blocks.len() as u64, message.block_bytes());
            self.reports.push_back(News::Written { blocks, bytes, given_up });
        }
        if !message.presences.is_empty() {
            self.reports.push_back(News::PresencesWritten { count: message.presences.len(), given_up });
        }
    }

    fn fault(&mut self, fault: Fault) {
        self.reports.push_back(News::Fault(fault));
    }

    fn usable_again(&mut self) {
        if !self.is_usable() && !self.ignored {
            self.unsupported = false;
            self.cooling = None;
            self.reports.push_back(News::Usable(true));
        }
    }

    fn poll_ticker(&mut self, cx: &mut Context<'_>) {
        if !self.needs_ticks() {
            self.ticker = None;
            return;
        }
        let ticker = self.ticker.get_or_insert_with(|| Delay::new(TICK));
        if ticker.poll_unpin(cx).is_ready() {
            ticker.reset(TICK);
            self.tick();
            cx.waker().wake_by_ref();
        }
    }

    fn tick(&mut self) {
        let slow = self.streams.tick(TICK, self.setup.config.read_timeout);
        if slow > 0 {
            self.count(|counters| &counters.streams_dropped, slow);
            self.fault(Fault::ReadTimedOut);
        }
        let timeout = self.setup.config.write_timeout;
        if self.outbound.tick(TICK) >= timeout {
            if self.outbound.carries_blocks() {
                // The peer may have been sent more than it wanted to read; it asks again for what it still wants.
                if let Some(message) = self.outbound.abandon() {
                    self.settle(&message, true);
                }
            } else {
                self.give_up();
                self.cooling = Some(COOL_DOWN);
            }
            self.fault(Fault::WriteTimedOut);
        } else if let Some(left) = &mut self.cooling {
            *left = left.saturating_sub(TICK);
            if left.is_zero() {
                self.usable_again();
            }
        }
    }

    fn poll_jobs(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(Some(found)) = self.jobs.poll_next_unpin(cx) else { return false };
        match found {
            Found::Sizes(sizes) => self.reports.push_back(News::Sizes(sizes)),
            Found::Blocks { asked, blocks, missing } => {
                let read = blocks.iter().map(|(cid, _)| *cid).collect();
                let sent = blocks.iter().map(|(_, data)| data.len() as u64).sum();
                let (mut message, mut bytes) = (Outgoing::default(), 0);
                for (cid, data) in blocks {
                    // Only a store whose sizes are wrong makes a second message necessary.
                    if !message.blocks.is_empty() && bytes + data.len() > MAX_TARGET_BYTES {
                        self.queue.push_back(std::mem::take(&mut message));
                        bytes = 0;
                    }
                    bytes += data.len();
                    message.blocks.push((cid, data));
                }
                self.reports.push_back(News::Read { asked, sent, read, missing });
                if !message.blocks.is_empty() {
                    self.queue.push_back(message);
                }
                if !self.is_usable() {
                    self.give_up();
                }
            }
        }
        true
    }

    fn poll_outbound(&mut self, cx: &mut Context<'_>) -> Poll<HandlerEvent> {
        if self.outbound.is_free() {
            if !self.changes.is_empty() || !self.presences.is_empty() {
                let count = self.presences.len().min(ENTRIES_PER_MESSAGE);
                self.outbound.start(Outgoing {
                    wants: self.changes.take(ENTRIES_PER_MESSAGE),
                    presences: self.presences.drain(..count).collect(),
                    blocks: Vec::new(),
                });
            } else if let Some(message) = self.queue.pop_front() {
                self.outbound.start(message);
            }
        }
        match self.outbound.poll(cx) {
            Poll::Pending => {}
            Poll::Ready(Progress::Open) => {
                let protocol = SubstreamProtocol::new(self.setup.protocols.clone(), ()).with_timeout(OPEN_TIMEOUT);
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
            }
            Poll::Ready(Progress::Written(message)) => {
                self.settle(&message, false);
                cx.waker().wake_by_ref();
            }
            Poll::Ready(Progress::GivenUp(message)) => self.lost(&message),
        }
        Poll::Pending
    }

    /// Two streams in a row failed under one message.
    fn lost(&mut self, message: &Outgoing) {
        self.settle(message, true);
        self.give_up();
        self.cooling = Some(COOL_DOWN);
    }

    fn poll_inbound(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(received) = self.streams.poll(cx, &self.meter) else { return false };
        match received {
            Received::Message(message) => {
                let (wants, presences, blocks) = (message.wants.len(), message.presences.len(), message.blocks.len());
                tracing::trace!(wants, presences, blocks, refused = message.refused, "a message came");
                self.count(|counters| &counters.messages_received, 1);
                self.verifying = Some(Verifying::new(message));
            }
            Received::Malformed(error) => {
                self.count(|counters| &counters.messages_malformed, 1);
                self.fault(Fault::Malformed(error));
            }
        }
        true
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Command;
    type ToBehaviour = Report;
    type InboundProtocol = Protocols;
    type OutboundProtocol = Protocols;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Protocols> {
        SubstreamProtocol::new(self.setup.protocols.clone(), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.keep_alive
            || self.needs_ticks()
            || self.verifying.is_some()
            || !self.jobs.is_empty()
            || !self.changes.is_empty()
    }

    fn on_behaviour_event(&mut self, command: Command) {
        match command.0 {
            Order::Wants(entries) => {
                if !self.is_usable() {
                    return;
                }
                for entry in entries {
                    self.changes.add(entry);
                }
                // It has taken nothing for thousands of blocks that came from others.
                if self.changes.len() > MAX_ITEMS_PER_MESSAGE {
                    self.give_up();
                    self.cooling = Some(COOL_DOWN);
                }
            }
            Order::Presences(presences) if self.is_usable() => self.presences.extend(presences),
            Order::Presences(presences) => {
                self.reports.push_back(News::PresencesWritten { count: presences.len(), given_up: true });
            }
            Order::LookUp(cids) => {
                let (store, counters) = (Arc::clone(&self.setup.store), Arc::clone(&self.setup.counters));
                let only_presence = self.setup.config.want_have_replace_bytes == 0;
                self.jobs.push(job::look_up(store, counters, cids, only_presence).boxed());
            }
            Order::Read(blocks) => {
                let (store, counters) = (Arc::clone(&self.setup.store), Arc::clone(&self.setup.counters));
                self.jobs.push(job::read(store, counters, blocks).boxed());
            }
            Order::KeepAlive(keep_alive) => self.keep_alive = keep_alive,
            Order::Ignore => {
                self.ignored = true;
                self.keep_alive = false;
                self.streams.clear();
                self.verifying = None;
                self.jobs.clear();
                self.give_up();
            }
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Protocols, Protocols>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(inbound) => {
                let mut stream = inbound.protocol;
                stream.ignore_for_keep_alive();
                if self.ignored {
                    return;
                }
                if self.unsupported {
                    self.usable_again();
                }
                let (dropped, refused) = self.streams.add(stream);
                tracing::trace!(streams = self.streams.len(), dropped, refused, "a stream came");
                self.count(|counters| &counters.streams_dropped, u64::from(dropped));
                if refused {
                    self.fault(Fault::TooManyStreams);
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(outbound) => {
                let (mut stream, name) = outbound.protocol;
                stream.ignore_for_keep_alive();
                let version = self.setup.protocols.version(&name);
                if self.is_usable() {
                    self.outbound.opened(stream, version);
                }
            }
            ConnectionEvent::DialUpgradeError(error) => {
                if matches!(error.error, StreamUpgradeError::NegotiationFailed) {
                    self.give_up();
                    self.unsupported = true;
                } else if let Some(message) = self.outbound.failed() {
                    self.lost(&message);
                }
            }
            ConnectionEvent::RemoteProtocolsChange(ProtocolsChange::Added(added)) => {
                let speaks = added.into_iter().any(|protocol| self.setup.protocols.contain(protocol));
                if self.unsupported && speaks {
                    self.usable_again();
                }
            }
            _ => {}
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<HandlerEvent> {
        let mut hashed = false;
        loop {
            if let Some(report) = self.reports.pop_front() {
                return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Report(report)));
            }
            if let Poll::Ready(event) = self.poll_outbound(cx) {
                return Poll::Ready(event);
            }
            self.poll_ticker(cx);
            if self.poll_jobs(cx) {
                continue;
            }
            if let Some(verifying) = self.verifying.take_if(|_| !hashed) {
                hashed = true;
                match verifying.step() {
                    Ok(verified) => self.reports.push_back(News::Message(Box::new(verified))),
                    Err(rest) => self.verifying = Some(rest),
                }
            }
            if self.verifying.is_some() {
                // The other protocols of the connection come first.
                cx.waker().wake_by_ref();
            } else if self.reports.len() < MAX_REPORTS && self.poll_inbound(cx) {
                continue;
            }
            if self.reports.is_empty() {
                return Poll::Pending;
            }
        }
    }
}
