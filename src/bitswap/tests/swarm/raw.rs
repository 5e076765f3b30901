//! A peer of which the test does the talking: streams as they are, and messages written by a second implementation of
//! the format.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::Bytes;
use cid::Cid;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{ConnectionEvent, ConnectionHandler, ConnectionHandlerEvent};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, StreamProtocol, SubstreamProtocol,
    SwarmEvent, THandlerInEvent, ToSwarm,
};
use libp2p::{PeerId, Stream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::common::{listen, swarm};

type Upgrade = ReadyUpgrade<StreamProtocol>;

/// Streams that came, and those that we asked for.
#[derive(Debug)]
pub(crate) enum Got {
    Inbound(Stream),
    Outbound(Stream),
}

struct Handler {
    protocol: StreamProtocol,
    wanted: usize,
    got: VecDeque<Got>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = ();
    type ToBehaviour = Got;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Upgrade, (), Got>> {
        if let Some(got) = self.got.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(got));
        }
        if self.wanted > 0 {
            self.wanted -= 1;
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol: self.listen_protocol() });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, (): ()) {
        self.wanted += 1;
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Upgrade, Upgrade>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(inbound) => self.got.push_back(Got::Inbound(inbound.protocol)),
            ConnectionEvent::FullyNegotiatedOutbound(outbound) => self.got.push_back(Got::Outbound(outbound.protocol)),
            _ => {}
        }
    }
}

struct Behaviour {
    protocol: StreamProtocol,
    out: VecDeque<ToSwarm<Got, ()>>,
}

impl Behaviour {
    fn handler(&self) -> Handler {
        Handler { protocol: self.protocol.clone(), wanted: 0, got: VecDeque::new() }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Got;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, got: Got) {
        self.out.push_back(ToSwarm::GenerateEvent(got));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Got, THandlerInEvent<Self>>> {
        self.out.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// A peer that speaks whatever its test writes.
pub(crate) struct Raw {
    pub(crate) peer: PeerId,
    pub(crate) addr: Multiaddr,
    /// Streams that were opened to it, in order.
    pub(crate) inbound: mpsc::Receiver<Stream>,
    opener: Opener,
    _tasks: JoinSet<()>,
}

/// Opens streams to whoever is connected.
#[derive(Clone)]
pub(crate) struct Opener(mpsc::Sender<(PeerId, oneshot::Sender<Stream>)>);

impl Opener {
    pub(crate) async fn open(&self, to: PeerId) -> Stream {
        let (give, take) = oneshot::channel();
        self.0.send((to, give)).await.unwrap();
        take.await.unwrap()
    }
}

impl Raw {
    pub(crate) async fn new(protocol: &'static str) -> Self {
        let behaviour = Behaviour { protocol: StreamProtocol::new(protocol), out: VecDeque::new() };
        let mut swarm = swarm(behaviour);
        let addr = listen(&mut swarm).await;
        let peer = *swarm.local_peer_id();
        let (opener, mut asked) = mpsc::channel::<(PeerId, oneshot::Sender<Stream>)>(64);
        let (came, inbound) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut waiting: VecDeque<oneshot::Sender<Stream>> = VecDeque::new();
            let mut connected = false;
            loop {
                tokio::select! {
                    // The other side may know of the connection first.
                    Some((to, give)) = asked.recv(), if connected => {
                        waiting.push_back(give);
                        let open = ToSwarm::NotifyHandler { peer_id: to, handler: NotifyHandler::Any, event: () };
                        swarm.behaviour_mut().out.push_back(open);
                    }
                    event = swarm.select_next_some() => match event {
                        SwarmEvent::Behaviour(Got::Inbound(stream)) => drop(came.try_send(stream)),
                        SwarmEvent::Behaviour(Got::Outbound(stream)) => drop(waiting.pop_front().unwrap().send(stream)),
                        SwarmEvent::ConnectionEstablished { .. } => connected = true,
                        _ => {}
                    }
                }
            }
        });
        Self { peer, addr, inbound, opener: Opener(opener), _tasks: tasks }
    }

    pub(crate) fn opener(&self) -> Opener {
        self.opener.clone()
    }

    pub(crate) async fn open(&self, to: PeerId) -> Stream {
        self.opener.open(to).await
    }
}

fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n > 127 {
        out.push((n % 128 + 128) as u8);
        n /= 128;
    }
    out.push(n as u8);
    out
}

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number * 8 + 2][..], &varint(content.len() as u64), content].concat()
}

fn flag(number: u8, value: u64) -> Vec<u8> {
    [vec![number * 8], varint(value)].concat()
}

/// A message under construction.
#[derive(Default)]
pub(crate) struct Message {
    list: Vec<u8>,
    rest: Vec<u8>,
}

impl Message {
    pub(crate) fn want(mut self, cid: &Cid, priority: u32, have: bool) -> Self {
        let entry = [field(1, &cid.to_bytes()), flag(2, u64::from(priority)), flag(4, u64::from(have)), flag(5, 1)];
        self.list.extend(field(1, &entry.concat()));
        self
    }

    pub(crate) fn cancel(mut self, cid: &Cid) -> Self {
        self.list.extend(field(1, &[field(1, &cid.to_bytes()), flag(3, 1)].concat()));
        self
    }

    pub(crate) fn block(mut self, cid: &Cid, data: &[u8]) -> Self {
        let hash = cid.hash();
        let prefix = [varint(1), varint(cid.codec()), varint(hash.code()), varint(u64::from(hash.size()))].concat();
        self.rest.extend(field(3, &[field(1, &prefix), field(2, data)].concat()));
        self
    }

    pub(crate) fn presence(mut self, cid: &Cid, have: bool) -> Self {
        self.rest.extend(field(4, &[field(1, &cid.to_bytes()), flag(2, u64::from(!have))].concat()));
        self
    }

    /// With its length in front.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut body = self.rest;
        if !self.list.is_empty() {
            body.extend(field(1, &self.list));
        }
        [varint(body.len() as u64), body].concat()
    }
}

/// What came in a message.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// CID, whether it is a cancel, whether it is a WANT-HAVE.
    pub(crate) wants: Vec<(Cid, bool, bool)>,
    pub(crate) blocks: Vec<Bytes>,
    /// Blocks in the field of version 1.0.0.
    pub(crate) bare_blocks: Vec<Bytes>,
    pub(crate) presences: Vec<(Cid, bool)>,
}

/// Splits a message into its fields: number, varint, bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    fn number(bytes: &mut &[u8]) -> u64 {
        let (mut n, mut factor) = (0, 1);
        loop {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            n += u64::from(byte % 128) * factor;
            if *byte < 128 {
                return n;
            }
            factor *= 128;
        }
    }
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes);
        let value = number(&mut bytes);
        let mut content = &[][..];
        if key % 8 == 2 {
            (content, bytes) = bytes.split_at(value as usize);
        }
        out.push((key / 8, value, content));
    }
    out
}

fn cid(bytes: &[u8]) -> Cid {
    Cid::try_from(bytes).unwrap()
}

/// The next message of a stream; `None` when it has ended.
pub(crate) async fn hear(stream: &mut Stream) -> Option<Heard> {
    let (mut len, mut factor) = (0, 1);
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.ok()?;
        len += usize::from(byte[0] % 128) * factor;
        factor *= 128;
        if byte[0] < 128 {
            break;
        }
    }
    assert!(len <= 4 * 1024 * 1024, "a message of {len} bytes");
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.ok()?;
    let mut heard = Heard::default();
    for (number, _, content) in fields(&body) {
        match number {
            1 => {
                for (_, _, entry) in fields(content).into_iter().filter(|(number, ..)| *number == 1) {
                    let parts = fields(entry);
                    let value = |wanted| parts.iter().find(|(number, ..)| *number == wanted).map_or(0, |part| part.1);
                    heard.wants.push((cid(parts[0].2), value(3) == 1, value(4) == 1));
                }
            }
            2 => heard.bare_blocks.push(Bytes::copy_from_slice(content)),
            3 => heard.blocks.push(Bytes::copy_from_slice(fields(content)[1].2)),
            4 => {
                let parts = fields(content);
                heard.presences.push((cid(parts[0].2), parts[1].1 == 0));
            }
            _ => {}
        }
    }
    Some(heard)
}

/// Sends a message on a stream of its own, as Kubo does.
pub(crate) async fn say_alone(opener: &Opener, to: PeerId, message: Message) {
    let mut stream = opener.open(to).await;
    stream.write_all(&message.bytes()).await.unwrap();
    stream.close().await.unwrap();
}
