//! The task of one room: carries out what the room wants.

mod sign;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use rustdht_core::{
    Field, Kind, Mode, Soul, Value,
    ports::{Batch, SideRow},
};
use rustdht_graph::{
    NodeState,
    yjs::{COMPACT_AT, Update},
};
use tokio::sync::mpsc;

use super::{
    Close, EditorId, hidden,
    journal::{self, Row},
    limits::{
        AWARENESS_PER_SECOND, BATCH_FRAMES, BROADCASTS_PER_SECOND, EMPTY_ROOM_FAILURES, MAX_EDITORS, MAX_ROWS, TICK,
        TICK_LEAST,
    },
    live::{self, Body, Live},
    outbox::{Input, Join, Sender},
    room::{Change, Effect, Room, RowOf, Verdict, View, value_of},
    rooms::{self, Place},
    state,
};
use crate::{Error, Principal, node::Inner};

/// How long a room that was just made waits for who asked for it.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);

type Signed = (Principal, Verdict);

/// A room with what it needs of the world.
struct Task {
    inner: Arc<Inner>,
    prefix: [u8; 16],
    room: Room,
    senders: HashMap<EditorId, Sender>,
    signing: FuturesUnordered<BoxFuture<'static, Signed>>,
    /// The compaction under way.
    compacting: FuturesUnordered<BoxFuture<'static, bool>>,
    /// Who signed something since his updates were compacted, or found too few to be.
    grown: Vec<Principal>,
    /// Some author has enough updates for a compaction.
    crowded: bool,
    /// How many are enough: more, after a compaction that found none to put together.
    enough: usize,
    /// The node, where it is private: who has a key of it.
    sealing: Option<NodeState>,
    /// Bytes that the room was counted with.
    counted: usize,
    /// The field changed, and the room was not told yet.
    changed: bool,
    /// The same, said by whoever brings changes.
    dirty: Arc<AtomicBool>,
    /// The document is gone, or the store failed: nothing more is taken.
    ended: bool,
}

/// Runs a room until nobody needs it.
pub(crate) async fn run(inner: Arc<Inner>, place: Place, mut mailbox: mpsc::Receiver<Input>, dirty: Arc<AtomicBool>) {
    let Some(mut task) = Task::open(&inner, &place, &mut mailbox, dirty).await else { return };
    let retired = task.serve(&place, &mut mailbox).await;
    task.count(0);
    if !retired {
        // Whoever waits finds it closed and asks again.
        inner.documents.remove(&place);
    }
}

impl Task {
    /// Reads the field and the journal for the first who comes. `None`: the field is no document, or not his to read, and
    /// nobody else waits.
    async fn open(
        inner: &Arc<Inner>,
        place: &Place,
        mailbox: &mut mpsc::Receiver<Input>,
        dirty: Arc<AtomicBool>,
    ) -> Option<Self> {
        let (soul, field) = place;
        loop {
            let input = tokio::time::timeout(OPEN_PATIENCE, mailbox.recv()).await.ok().flatten();
            let reader = match &input {
                Some(Input::Join(join)) => Some(join.by),
                // Keystrokes of an earlier run wait to be signed.
                Some(Input::Changed) => None,
                _ => {
                    if inner.documents.retire(place, mailbox) {
                        return None;
                    }
                    continue;
                }
            };
            match Self::load(inner, soul, field, reader).await {
                Ok((room, sealing)) => {
                    let mut task = Self {
                        inner: Arc::clone(inner),
                        prefix: journal::prefix(soul, field),
                        room,
                        sealing,
                        senders: HashMap::new(),
                        signing: FuturesUnordered::new(),
                        compacting: FuturesUnordered::new(),
                        grown: Vec::new(),
                        crowded: false,
                        enough: COMPACT_AT,
                        counted: 0,
                        changed: false,
                        dirty,
                        ended: false,
                    };
                    if let Some(input) = input {
                        task.take(input).await;
                    }
                    return Some(task);
                }
                Err(error) => {
                    match input {
                        Some(Input::Join(join)) => {
                            // An error means that the editor is gone.
                            let _ = join.reply.send(Err(error));
                        }
                        _ => tracing::warn!(%error, %soul, "keystrokes of an earlier run cannot be signed now"),
                    }
                    if inner.documents.retire(place, mailbox) {
                        return None;
                    }
                }
            }
        }
    }

    async fn load(
        inner: &Arc<Inner>,
        soul: &Soul,
        field: &Field,
        reader: Option<Principal>,
    ) -> Result<(Room, Option<NodeState>), Error> {
        let prefix = journal::prefix(soul, field);
        let rows = inner.shared.ports.store.side_scan(journal::NS, &prefix, MAX_ROWS).await?;
        let rows: Vec<(u64, Option<Row>)> =
            rows.iter().filter_map(|(key, value)| Some((journal::number(key)?, Row::read(value).ok()))).collect();
        let first = rows.iter().find_map(|(_, row)| row.as_ref());
        let comes = reader.is_some();
        let reader = reader.or(first.map(|row| row.by)).unwrap_or(Principal::Owner);
        let node = state::read(inner, soul, reader).await?;
        let shown = state::kind_of(&node, field);
        let kind = match first {
            // What was typed is signed as what it was, whatever the field shows since.
            Some(row) if !comes || shown.is_ok() => row.kind.clone(),
            _ => shown?.unwrap_or_else(|| Kind::listed(Kind::TEXT)),
        };
        let view = state::view(inner, &node, field, &kind, &reader).await?;
        let is_private = view.private;
        let mut room = Room::new(soul.clone(), field.clone(), kind);
        room.view(view);
        for (number, row) in rows {
            let Some(row) = row else { continue };
            let update = match &row.update {
                // Typed before a deletion: it goes too.
                _ if row.cut < room.cut => None,
                Value::Enc(_) => state::open(inner, &node, row.by, field, &row.kind, &row.update),
                plain => Some(plain.clone()),
            };
            let update = match update {
                Some(Value::Bytes(bytes)) => Update::decode(&bytes).ok(),
                _ => None,
            };
            room.restore_row(number, row.by, update);
        }
        Ok((room, is_private.then_some(node)))
    }

    fn now_ms(&self) -> u64 {
        self.inner.shared.ports.clock.now_ms()
    }

    /// Until everybody is gone; `true`: the room was retired.
    async fn serve(&mut self, place: &Place, mailbox: &mut mpsc::Receiver<Input>) -> bool {
        loop {
            self.flush().await;
            if self.ended {
                return false;
            }
            if self.is_done() && self.inner.documents.retire(place, mailbox) {
                return true;
            }
            let tick = self.pause();
            let stopping = self.inner.stopping.clone();
            tokio::select! {
                () = stopping.cancelled() => {
                    let effects = self.room.close_all(Close::Stopping);
                    self.carry_out(effects).await;
                    return false;
                }
                Some((by, verdict)) = self.signing.next(), if !self.signing.is_empty() => {
                    let now_ms = self.now_ms();
                    self.room.signed(by, verdict, now_ms);
                    if verdict == Verdict::Signed && !self.grown.contains(&by) {
                        self.grown.push(by);
                    }
                    // Perhaps the field was deleted meanwhile.
                    self.changed |= verdict == Verdict::Later;
                    if verdict == Verdict::Refused {
                        // The others come back, and what they hold of it is theirs to bring, or goes.
                        let mut effects = self.room.expel(&by, now_ms);
                        effects.extend(self.room.close_all(Close::Failed));
                        self.carry_out(effects).await;
                        self.ended = true;
                    }
                }
                Some(done) = self.compacting.next(), if !self.compacting.is_empty() => {
                    self.enough = if done { COMPACT_AT } else { self.enough * 2 };
                }
                input = mailbox.recv() => {
                    let Some(input) = input else { return false };
                    self.take(input).await;
                    for _ in 1..BATCH_FRAMES {
                        match mailbox.try_recv() {
                            Ok(input) => self.take(input).await,
                            Err(_) => break,
                        }
                    }
                }
                () = tokio::time::sleep(tick) => {}
            }
        }
    }

    /// Nobody is here, and everything is signed, or cannot be now.
    fn is_done(&self) -> bool {
        self.room.is_deserted()
            && self.signing.is_empty()
            && self.compacting.is_empty()
            && (self.room.is_settled() || self.room.failures() >= EMPTY_ROOM_FAILURES)
    }

    fn pause(&self) -> Duration {
        let now_ms = self.now_ms();
        let mut pause = TICK;
        if let Some(next_ms) = self.room.next_ms() {
            pause = pause.min(Duration::from_millis(next_ms.saturating_sub(now_ms)));
        }
        if self.room.has_unsent() {
            pause = TICK_LEAST;
        }
        pause.max(TICK_LEAST)
    }

    async fn take(&mut self, input: Input) {
        let now_ms = self.now_ms();
        match input {
            Input::Join(join) => self.join(*join).await,
            Input::Frame { editor, frame, _room } => {
                let effects = self.room.frame(editor, &frame, now_ms);
                self.carry_out(effects).await;
            }
            Input::Leave(editor) => {
                self.senders.remove(&editor);
                let effects = self.room.leave(editor, now_ms);
                self.carry_out(effects).await;
            }
            Input::Heard { gateway, body } => {
                let effects = self.room.heard(gateway, &body, now_ms);
                self.carry_out(effects).await;
            }
            Input::Changed => self.changed = true,
        }
    }

    async fn join(&mut self, join: Join) {
        let Join { editor, by, user, may_write, sender, reply } = join;
        let answer = if self.room.len() >= rooms::most(&by, MAX_EDITORS) {
            Err(Error::Overloaded)
        } else {
            // Each for himself: what one reader can open another may not.
            self.read(by).await.and_then(|(node, _)| state::kind_of(&node, &self.room.field)).map(drop)
        };
        let is_in = answer.is_ok();
        // An error means that the editor is gone: its handle is never made, so it cannot leave by itself.
        if reply.send(answer).is_ok() && is_in {
            self.senders.insert(editor, sender);
            let effects = self.room.join(editor, by, user, may_write);
            self.carry_out(effects).await;
        }
    }

    async fn read(&mut self, by: Principal) -> Result<(NodeState, View), Error> {
        let node = state::read(&self.inner, &self.room.soul, by).await?;
        let view = state::view(&self.inner, &node, &self.room.field, &self.room.kind, &by).await?;
        Ok((node, view))
    }

    /// Brings to the disk what is staged, to the room what changed, to the merger what is due, and to the other
    /// gateways what waits for them.
    async fn flush(&mut self) {
        let now_ms = self.now_ms();
        self.room.adopt(now_ms);
        if self.room.has_staged() {
            self.journal().await;
        }
        self.changed |= self.dirty.swap(false, Ordering::AcqRel);
        if std::mem::take(&mut self.changed) {
            self.look().await;
        }
        let mut effects = self.room.tick(now_ms);
        for editor in self.gone() {
            effects.extend(self.room.leave(editor, now_ms));
        }
        self.carry_out(effects).await;
        if self.room.has_unsent()
            && self.inner.documents.may_tell(now_ms, BROADCASTS_PER_SECOND)
            && let Some(body) = self.room.unsent()
        {
            self.tell(body).await;
        }
        for signing in self.room.due(now_ms) {
            self.sign(signing);
        }
        self.compact();
        self.count(self.room.bytes());
    }

    /// Editors whose connection ended while it was being opened: nobody is left to say so.
    fn gone(&mut self) -> Vec<EditorId> {
        let gone: Vec<EditorId> =
            self.senders.iter().filter(|(_, sender)| sender.is_closed()).map(|(editor, _)| *editor).collect();
        gone.iter().for_each(|editor| drop(self.senders.remove(editor)));
        gone
    }

    fn count(&mut self, bytes: usize) {
        let total = &self.inner.documents.bytes;
        total.fetch_add(bytes, Ordering::Relaxed);
        total.fetch_sub(std::mem::replace(&mut self.counted, bytes), Ordering::Relaxed);
    }

    /// Makes staged keystrokes durable; then, and not before, others see them.
    async fn journal(&mut self) {
        let rows = self.room.rows();
        let mut side = Vec::with_capacity(rows.len());
        for row in &rows {
            match self.row(row) {
                Some(put) => side.push(put),
                None => {
                    // The writer cannot read the node any more: his keystrokes must not be kept in the open.
                    let effects = self.room.close_all(Close::Forbidden);
                    self.carry_out(effects).await;
                    self.ended = true;
                    return;
                }
            }
        }
        let batch = Batch { side, now_ms: self.now_ms(), ..Batch::default() };
        if let Err(error) = self.inner.shared.ports.store.apply(batch).await {
            tracing::error!(%error, "keystrokes could not be stored");
            let effects = self.room.close_all(Close::Failed);
            self.carry_out(effects).await;
            self.ended = true;
            return;
        }
        let effects = self.room.durable(&rows, self.now_ms());
        self.carry_out(effects).await;
    }

    fn row(&self, row: &RowOf) -> Option<SideRow> {
        let (soul, field, kind) = (self.room.soul.clone(), self.room.field.clone(), self.room.kind.clone());
        let mut update = value_of(&row.update);
        if let Some(node) = &self.sealing {
            update = state::seal(&self.inner, node, row.by, &field, &kind, &update)?;
        }
        let key = journal::key(&self.prefix, row.number);
        Some(Row { soul, field, kind, by: row.by, cut: self.room.cut, update }.put(key))
    }

    /// Looks at the field anew.
    async fn look(&mut self) {
        let mut readers = self.room.readers();
        readers.extend(self.room.wrote().iter().copied());
        if readers.is_empty() {
            readers.push(Principal::Owner);
        }
        let mut seen = None;
        // One reader speaks for all, unless each needs a key.
        for reader in readers {
            match self.read(reader).await {
                Ok((node, view)) => {
                    self.sealing = view.private.then_some(node);
                    seen = Some(view);
                }
                Err(Error::Refused(_)) => {
                    let effects = self.room.expel(&reader, self.now_ms());
                    self.carry_out(effects).await;
                }
                Err(error) => tracing::warn!(%error, "an open document could not be read"),
            }
            if seen.as_ref().is_some_and(|view: &View| !view.private) {
                break;
            }
        }
        let Some(view) = seen else { return };
        self.crowded |= sign::is_crowded(&view, self.enough);
        let before = self.room.cut;
        match self.room.view(view) {
            Change::Goes(effects) => self.carry_out(effects).await,
            Change::Ends(close) => {
                if close == Close::Deleted {
                    self.remember_deleted(self.room.cut > before).await;
                    self.ended = true;
                }
                let effects = self.room.close_all(close);
                self.carry_out(effects).await;
            }
        }
    }

    /// The document was deleted: what is not signed goes with it, and what editors hold of it is known. Where only some of
    /// it went, because its writer was revoked or took it back, what others typed is signed when the document opens again.
    async fn remember_deleted(&mut self, whole: bool) {
        let mut held = self.room.everything();
        if !whole {
            held.subtract(&self.room.unsigned());
        }
        let rows = if whole { self.room.drop_rows() } else { Vec::new() };
        let mut side: Vec<SideRow> = rows.iter().map(|row| journal::delete(journal::key(&self.prefix, *row))).collect();
        let store = Arc::clone(&self.inner.shared.ports.store);
        let place = (self.room.soul.clone(), self.room.field.clone());
        let now_ms = self.now_ms();
        let written = async {
            side.push(hidden::room_row(&*store, &place, &held).await?);
            store.apply(Batch { side, now_ms, ..Batch::default() }).await
        };
        if let Err(error) = written.await {
            tracing::error!(%error, "keystrokes of a deleted document could not be removed");
        }
    }

    /// Does what the room wants; what that leads to, too.
    async fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut queue: std::collections::VecDeque<Effect> = effects.into();
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Send(editor, frame) => {
                    let slow = self.senders.get(&editor).is_some_and(|sender| !sender.send(frame));
                    if slow {
                        queue.extend(self.room.close(editor, Close::Slow, self.now_ms()));
                    }
                }
                Effect::Close(editor, close) => {
                    if let Some(sender) = self.senders.remove(&editor) {
                        sender.close(close);
                    }
                }
                Effect::Tell(body) => {
                    if self.inner.documents.may_tell(self.now_ms(), AWARENESS_PER_SECOND) {
                        self.tell(body).await;
                    }
                }
            }
        }
    }

    async fn tell(&mut self, body: Body) {
        let Some(replicator) = self.inner.replicator.get() else { return };
        if self.room.soul.space() == rustdht_core::Space::Local {
            return;
        }
        let chain = self.chain();
        if chain.is_empty() && self.inner.shared.identity.mode == Mode::Members {
            // Nobody would listen, and whoever passed it on would be taken for an offender.
            return;
        }
        let live = Live { soul: self.room.soul.clone(), field: self.room.field.clone(), body };
        let message: Bytes =
            live::sign(&live, &self.inner.shared.identity.net, &chain, &self.inner.shared.gateway, self.now_ms());
        if let Err(error) = replicator.broadcast(message).await {
            tracing::debug!(%error, "a live message went nowhere; what it told follows signed");
        }
    }
}

impl Task {
    /// What shows that this gateway is a member.
    fn chain(&self) -> Vec<live::Pair> {
        let node = crate::Node { inner: Arc::clone(&self.inner) };
        let pair = |certificate: &Arc<rustdht_wire::SignedCertificate>| {
            (Bytes::copy_from_slice(certificate.bytes()), *certificate.signature())
        };
        node.member_chain().iter().map(pair).collect()
    }
}
