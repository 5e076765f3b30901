//! The rooms of a node: found or opened here, told of what other gateways say and of what changed.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use rustdht_core::{Code, Field, Mode, Refusal, Soul, Space};
use rustdht_wire::SignedCertificate;
use tokio::sync::{Semaphore, broadcast::error::RecvError, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::{
    EditorId, UserTag,
    journal::{self, Row},
    limits::{
        BROADCASTS_PER_SECOND, KEPT_FROM_ANYBODY, LEFT_OVER_PAGE, MAILBOX, MAX_INBOUND_BYTES, MAX_OPEN_BYTES, MAX_ROOMS,
    },
    live,
    outbox::{DocumentHandle, Input, Join, Outbox, outbox},
    task,
};
use crate::{Error, Node, Principal, node::Inner};

/// How often a room that is just closing is asked for again.
const TRIES: usize = 8;
/// Rooms of left-over journal rows that are opened at a time.
const LEFT_OVER_ROOMS: usize = 16;
/// Member chains that are remembered; a network has few member gateways that edit at the same time.
const MAX_CHAINS: usize = 256;

/// A field of a node.
pub(crate) type Place = (Soul, Field);

/// Every open document of a node.
pub(crate) struct Documents {
    rooms: Mutex<HashMap<Place, Door>>,
    inbound: Arc<Semaphore>,
    tracker: TaskTracker,
    editors: AtomicU64,
    /// Bytes of updates that all rooms hold.
    pub(crate) bytes: AtomicUsize,
    told: Mutex<Rate>,
    /// Chains of other gateways, by their hash.
    chains: Mutex<HashMap<[u8; 32], Chain>>,
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Documents").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// How a room is reached.
struct Door {
    mailbox: mpsc::Sender<Input>,
    /// The field changed, and the room has not looked yet: a full mailbox must not hide a deletion.
    changed: Arc<AtomicBool>,
}

impl Door {
    fn changed(&self) {
        self.changed.store(true, Ordering::Release);
        // It only wakes the room: a full mailbox has other messages, after which the room looks.
        let _ = self.mailbox.try_send(Input::Changed);
    }
}

/// Messages to other gateways within one second.
#[derive(Debug, Default)]
struct Rate {
    second: u64,
    used: u64,
}

impl Default for Documents {
    fn default() -> Self {
        Self {
            rooms: Mutex::default(),
            inbound: Arc::new(Semaphore::new(MAX_INBOUND_BYTES)),
            tracker: TaskTracker::new(),
            editors: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            told: Mutex::default(),
            chains: Mutex::default(),
        }
    }
}

type Chain = Arc<Vec<Arc<SignedCertificate>>>;

impl Documents {
    /// The certificates of a chain as a message carries them; each chain is decoded and verified once while it is remembered.
    fn chain(&self, pairs: &[live::Pair]) -> Option<Chain> {
        let mut hasher = blake3::Hasher::new();
        for (bytes, signature) in pairs {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes).update(signature);
        }
        let id = *hasher.finalize().as_bytes();
        let known = self.chains.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if known.is_some() {
            return known;
        }
        let decode = |(bytes, signature): &live::Pair| SignedCertificate::decode(bytes, signature).ok().map(Arc::new);
        let chain: Chain = Arc::new(pairs.iter().map(decode).collect::<Option<Vec<_>>>()?);
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        if chains.len() >= MAX_CHAINS {
            chains.clear();
        }
        chains.insert(id, Arc::clone(&chain));
        Some(chain)
    }

    /// Whether one more message may go to the other gateways now, of which at most `most` go in a second.
    pub(crate) fn may_tell(&self, now_ms: u64, most: u64) -> bool {
        let mut rate = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if rate.second != now_ms / 1000 {
            *rate = Rate { second: now_ms / 1000, used: 0 };
        }
        let may = rate.used < most.min(BROADCASTS_PER_SECOND);
        rate.used += u64::from(may);
        may
    }

    fn find(&self, place: &Place) -> Option<mpsc::Sender<Input>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).get(place).map(|door| door.mailbox.clone())
    }

    /// The room of a place; opened if it is not, and fewer than `most` are.
    fn room(&self, inner: &Arc<Inner>, place: &Place, most: usize) -> Result<mpsc::Sender<Input>, Error> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is closed and still here died.
        if let Some(room) = rooms.get(place).map(|door| &door.mailbox).filter(|room| !room.is_closed()) {
            return Ok(room.clone());
        }
        if rooms.len() >= most || self.bytes.load(Ordering::Relaxed) > MAX_OPEN_BYTES {
            return Err(Error::Overloaded);
        }
        let (sender, mailbox) = mpsc::channel(MAILBOX);
        let changed = Arc::new(AtomicBool::new(false));
        rooms.insert(place.clone(), Door { mailbox: sender.clone(), changed: Arc::clone(&changed) });
        self.tracker.spawn(task::run(Arc::clone(inner), place.clone(), mailbox, changed));
        Ok(sender)
    }

    /// Ends a room unless somebody wrote to it meanwhile; `true`: it is gone.
    pub(crate) fn retire(&self, place: &Place, mailbox: &mpsc::Receiver<Input>) -> bool {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if mailbox.is_empty() {
            rooms.remove(place);
        }
        mailbox.is_empty()
    }

    /// Ends a room whatever waits for it.
    pub(crate) fn remove(&self, place: &Place) {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).remove(place);
    }
}

/// How many of `all` places this caller may be the last to take.
pub(super) fn most(by: &Principal, all: usize) -> usize {
    if *by == Principal::Anonymous { all - all / KEPT_FROM_ANYBODY } else { all }
}

/// Names a user who has no account: the owner, or somebody who only reads.
fn nameless(by: &Principal) -> UserTag {
    let word = if matches!(by, Principal::Anonymous) { "anonymous" } else { "owner" };
    UserTag { id: word.into(), name: word.into() }
}

impl Node {
    /// Opens a field as a document for one editor, which then speaks the y-websocket protocol: what it sends goes to
    /// [`DocumentHandle::receive`], what it is sent comes from the [`Outbox`]. Dropping the handle leaves.
    ///
    /// A field that is absent opens, and its first change makes it a text.
    ///
    /// # Errors
    /// [`Error::NotADocument`] for a field of another kind; `not_authorised` when `by` may not read it; `overloaded`
    /// when too many documents are open.
    pub async fn open_document(
        &self,
        soul: &Soul,
        field: &Field,
        by: Principal,
        may_write: bool,
        user: Option<UserTag>,
    ) -> Result<(DocumentHandle, Outbox), Error> {
        if soul.space() == Space::Local && !matches!(by, Principal::Owner | Principal::Internal) {
            return Err(Refusal::new(Code::LocalSpace, "local souls are read by the owner only").into());
        }
        let documents = &self.inner.documents;
        // Who cannot sign here must not see its keystrokes taken.
        let may_write = may_write
            && match self.pen(by, soul, field).await {
                Ok(_) => true,
                Err(Error::Refused(_)) => false,
                Err(error) => return Err(error),
            };
        let editor = EditorId(documents.editors.fetch_add(1, Ordering::Relaxed));
        let place = (soul.clone(), field.clone());
        for _ in 0..TRIES {
            if self.inner.stopping.is_cancelled() {
                return Err(Error::Stopping);
            }
            let room = documents.room(&self.inner, &place, most(&by, MAX_ROOMS))?;
            let (sender, outbox) = outbox();
            let (reply, answer) = oneshot::channel();
            let user = user.clone().unwrap_or_else(|| nameless(&by));
            let join = Input::Join(Box::new(Join { editor, by, user, may_write, sender, reply }));
            if room.send(join).await.is_err() {
                continue;
            }
            match answer.await {
                Ok(Ok(())) => {
                    let inbound = Arc::clone(&documents.inbound);
                    let tracker = documents.tracker.clone();
                    return Ok((DocumentHandle { editor, room, inbound, tracker }, outbox));
                }
                Ok(Err(error)) => return Err(error),
                // It closed just then.
                Err(_) => {}
            }
        }
        Err(Error::Overloaded)
    }

    /// Documents that are open now.
    #[must_use]
    pub fn open_documents(&self) -> usize {
        self.inner.documents.rooms.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// A message that nobody stores came from another gateway; `false`: it breaks a rule, and is not to be passed on.
pub(crate) async fn heard(inner: &Inner, message: Bytes) -> bool {
    let shared = &inner.shared;
    let now_ms = shared.ports.clock.now_ms();
    let heard = match live::read(&message, &shared.identity.net, now_ms) {
        Ok(heard) => heard,
        Err(refusal) => {
            tracing::debug!(%refusal, "a live message was refused");
            // One that is late breaks no rule; whoever passes it on is only slow.
            return refusal.code == Code::Stale;
        }
    };
    if heard.gateway == shared.identity.gateway {
        return true;
    }
    if !is_welcome(inner, &heard).await {
        return false;
    }
    let place = (heard.live.soul.clone(), heard.live.field.clone());
    let Some(room) = inner.documents.find(&place) else { return true };
    // A room that is behind loses it: the signed form comes.
    let _ = room.try_send(Input::Heard { gateway: heard.gateway, body: heard.live.body });
    true
}

/// In a network of members only member gateways are heard.
async fn is_welcome(inner: &Inner, heard: &live::Heard) -> bool {
    if inner.shared.identity.mode == Mode::Open {
        return true;
    }
    let Some(chain) = inner.documents.chain(&heard.chain) else { return false };
    match inner.is_member(&chain, &heard.gateway).await {
        Ok(is_member) => is_member,
        Err(error) => {
            tracing::warn!(%error, "the sender of a live message could not be looked up");
            false
        }
    }
}

/// Signs what a run before left in the journal, then tells rooms of changes, until the node stops.
pub(crate) async fn run(inner: Arc<Inner>) {
    let mut feed = inner.feed.subscribe();
    let stopping = inner.stopping.clone();
    tokio::select! {
        () = stopping.cancelled() => {}
        () = async {
            left_over(&inner).await;
            loop {
                match feed.recv().await {
                    Ok(row) => {
                        for change in &row.changes {
                            for field in &change.fields {
                                changed(&inner.documents, &change.soul, field);
                            }
                        }
                    }
                    Err(RecvError::Lagged(_)) => inner.documents.changed_all(),
                    Err(RecvError::Closed) => break,
                }
            }
        } => {}
    }
    inner.documents.tracker.close();
    inner.documents.tracker.wait().await;
}

/// Tells the rooms of a field, or of every field of a node whose `private` or authority changed.
fn changed(documents: &Documents, soul: &Soul, field: &Field) {
    let rooms = documents.rooms.lock().unwrap_or_else(PoisonError::into_inner);
    if rooms.is_empty() {
        return;
    }
    let authority = matches!(field.as_str(), "private" | "revoked");
    for ((open, named), room) in rooms.iter() {
        let below = open == soul || (authority && open.as_str().starts_with(soul.as_str()));
        let community = authority && soul.as_str().starts_with('~') && field.as_str() == "revoked";
        if (open == soul && named == field) || (authority && below) || community {
            room.changed();
        }
    }
}

impl Documents {
    fn changed_all(&self) {
        for room in self.rooms.lock().unwrap_or_else(PoisonError::into_inner).values() {
            room.changed();
        }
    }
}

/// Opens a room for each document of which the journal still holds rows; a room without editors signs and closes.
async fn left_over(inner: &Arc<Inner>) {
    let store = &inner.shared.ports.store;
    loop {
        let rows = match store.side_scan(journal::NS, &[], LEFT_OVER_PAGE).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, "the journal of keystrokes cannot be read");
                return;
            }
        };
        let mut places: Vec<Place> = Vec::new();
        for (key, value) in &rows {
            match Row::read(value) {
                Ok(row) => {
                    let place = (row.soul, row.field);
                    if places.last() != Some(&place) && places.len() < LEFT_OVER_ROOMS {
                        places.push(place);
                    }
                }
                Err(refusal) => {
                    tracing::error!(%refusal, key = hex::encode(key), "a row of the journal cannot be read");
                }
            }
        }
        if places.is_empty() {
            return;
        }
        let mut waiting = Vec::new();
        for place in &places {
            if let Ok(room) = inner.documents.room(inner, place, MAX_ROOMS) {
                // An error means that it is closing, which is waited for below.
                let _ = room.send(Input::Changed).await;
                waiting.push(room);
            }
        }
        for room in waiting {
            room.closed().await;
        }
        // What is still there could not be signed; it is tried again at the next start, or when the document opens.
        let left = store.side_scan(journal::NS, &[], LEFT_OVER_PAGE).await.unwrap_or_default();
        if left.iter().map(|(key, _)| key).eq(rows.iter().map(|(key, _)| key)) {
            return;
        }
    }
}
