//! Asking for blocks from outside of the swarm's task.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use futures::channel::oneshot;
use futures::task::AtomicWaker;
use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;

use crate::client::{SessionId, WaiterId};
use crate::hash::{Key, Place};
use crate::limits::MAX_NOTIFIED;
use crate::stats::{Counters, Ledgers};
use crate::{Error, Ledger, Stats};

/// Somebody who may have the blocks of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Who.
    pub peer: PeerId,
    /// Where it can be dialled; may be empty when other behaviours of the swarm know.
    pub addresses: Vec<Multiaddr>,
}

impl From<PeerId> for Provider {
    fn from(peer: PeerId) -> Self {
        Self { peer, addresses: Vec::new() }
    }
}

/// How a session asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// Who is asked first; dialled when not connected.
    pub providers: Vec<Provider>,
    /// How long each block may take; for ever when `None`, or until the future is dropped.
    pub timeout: Option<Duration>,
}

/// A message to the behaviour.
pub(crate) enum Request {
    Get {
        waiter: WaiterId,
        session: SessionId,
        timeout: Option<Duration>,
        cid: Cid,
        answer: oneshot::Sender<Result<Bytes, Error>>,
    },
    Providers {
        session: SessionId,
        providers: Vec<Provider>,
    },
    Close {
        session: SessionId,
    },
}

/// What waits for the behaviour. Each request but `Get` and `Providers` follows from one of those, and these are
/// refused when there are too many.
#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) requests: VecDeque<Request>,
    /// Callers that do not wait any more; each had a place among the live ones.
    pub(crate) cancelled: Vec<WaiterId>,
    pub(crate) notified: Vec<Key>,
    /// More was notified than fits.
    pub(crate) recheck: bool,
}

/// What the behaviour and its handles share. The locks are held for moving a few items, never across an await.
pub(crate) struct Shared {
    pub(crate) counters: Arc<Counters>,
    inbox: Mutex<Inbox>,
    ledgers: Mutex<Ledgers>,
    pub(crate) waker: AtomicWaker,
    next_id: AtomicU64,
    live: AtomicUsize,
    max_wants: usize,
    stopped: AtomicBool,
}

impl Shared {
    pub(crate) fn new(counters: Arc<Counters>, max_wants: usize) -> Self {
        Self {
            counters,
            inbox: Mutex::default(),
            ledgers: Mutex::default(),
            waker: AtomicWaker::new(),
            next_id: AtomicU64::new(0),
            live: AtomicUsize::new(0),
            max_wants,
            stopped: AtomicBool::new(false),
        }
    }

    pub(crate) fn take(&self) -> Inbox {
        std::mem::take(&mut *self.inbox())
    }

    pub(crate) fn ledgers(&self) -> MutexGuard<'_, Ledgers> {
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets every caller know that nothing will come any more.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(self.take());
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Puts a request into the inbox, unless there are too many.
    fn ask(&self, request: Request) -> Result<(), Error> {
        let mut inbox = self.inbox();
        // Under the lock, so that `stop` does not overlook it.
        if self.stopped.load(Ordering::SeqCst) {
            return Err(Error::Stopped);
        }
        if inbox.requests.len() >= self.max_wants {
            return Err(Error::TooManyWants { limit: self.max_wants });
        }
        inbox.requests.push_back(request);
        drop(inbox);
        self.waker.wake();
        Ok(())
    }

    async fn get(&self, session: SessionId, timeout: Option<Duration>, cid: Cid) -> Result<Bytes, Error> {
        if let Place::Inline(block) = Place::of(&cid)? {
            return Ok(block);
        }
        let mut place = Live::take(self)?;
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Get { waiter: place.waiter, session, timeout, cid, answer })?;
        place.asked = true;
        let result = answered.await.unwrap_or(Err(Error::Stopped));
        place.asked = false;
        result
    }
}

/// A place among the wants under way, given back when the caller has its answer or goes away.
struct Live<'a> {
    shared: &'a Shared,
    waiter: WaiterId,
    asked: bool,
}

impl<'a> Live<'a> {
    fn take(shared: &'a Shared) -> Result<Self, Error> {
        let limit = shared.max_wants;
        if shared.live.fetch_add(1, Ordering::Relaxed) >= limit {
            shared.live.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::TooManyWants { limit });
        }
        Ok(Self { shared, waiter: WaiterId(shared.id()), asked: false })
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.shared.live.fetch_sub(1, Ordering::Relaxed);
        if self.asked && !self.shared.stopped.load(Ordering::SeqCst) {
            self.shared.inbox().cancelled.push(self.waiter);
            self.shared.waker.wake();
        }
    }
}

/// Asks for blocks, from any task; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// One block, in a session of its own. It has been hashed and is what the CID says.
    ///
    /// Waits until somebody sends it; dropping the future takes the want back. A CID with the identity hash is answered
    /// at once. For the blocks of a DAG use [`Self::session`], which finds out once who has them.
    pub async fn get(&self, cid: Cid) -> Result<Bytes, Error> {
        self.session(SessionOptions::default()).get(cid).await
    }

    /// A session for blocks that are likely to be at the same peers, such as those of one DAG.
    pub fn session(&self, options: SessionOptions) -> Session {
        let id = SessionId(self.shared.id());
        let inner =
            Inner { shared: Arc::clone(&self.shared), id, timeout: options.timeout, opened: AtomicBool::new(false) };
        let session = Session { inner: Arc::new(inner) };
        if !options.providers.is_empty() {
            session.add_providers(options.providers);
        }
        session
    }

    /// Offers blocks that are in the store since now to the peers that want them.
    pub fn notify(&self, cids: impl IntoIterator<Item = Cid>) {
        let mut inbox = self.shared.inbox();
        for cid in cids {
            if inbox.notified.len() >= MAX_NOTIFIED {
                // Looking at everything that is wanted again costs less than remembering everything that is new.
                inbox.notified.clear();
                inbox.recheck = true;
            }
            if inbox.recheck {
                break;
            }
            inbox.notified.push(*cid.hash());
        }
        drop(inbox);
        self.shared.waker.wake();
    }

    /// Who may have the blocks of a session, as an answer to [`Event::NeedProviders`](crate::Event::NeedProviders).
    pub fn add_providers(&self, session: SessionId, providers: Vec<Provider>) {
        // Refused only when Bitswap has stopped or has too much to do; then the search goes on and asks again.
        if let Err(error) = self.shared.ask(Request::Providers { session, providers }) {
            tracing::debug!(%error, "providers were not taken");
        }
    }

    /// What was done since the start.
    pub fn stats(&self) -> Stats {
        self.shared.counters.read()
    }

    /// What was exchanged with a peer that is connected, or was one of the last 1,024.
    pub fn ledger(&self, peer: &PeerId) -> Option<Ledger> {
        self.shared.ledgers().get(peer)
    }
}

struct Inner {
    shared: Arc<Shared>,
    id: SessionId,
    timeout: Option<Duration>,
    /// Whether the behaviour has heard of it.
    opened: AtomicBool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if *self.opened.get_mut() && !self.shared.stopped.load(Ordering::SeqCst) {
            self.shared.inbox().requests.push_back(Request::Close { session: self.id });
            self.shared.waker.wake();
        }
    }
}

/// Blocks that are likely to be at the same peers. Closed when its last clone is dropped.
///
/// As many blocks may be asked for at once as the caller likes, in the order in which it needs them: the session keeps
/// several MiB under way at each peer and leaves the rest in a queue. Asking for one at a time costs a round trip each.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.inner.id).finish_non_exhaustive()
    }
}

impl Session {
    /// Its name in events.
    pub fn id(&self) -> SessionId {
        self.inner.id
    }

    /// One block. It has been hashed and is what the CID says. Dropping the future takes the want back.
    pub async fn get(&self, cid: Cid) -> Result<Bytes, Error> {
        self.inner.opened.store(true, Ordering::Relaxed);
        self.inner.shared.get(self.inner.id, self.inner.timeout, cid).await
    }

    /// Who else may have its blocks.
    pub fn add_providers(&self, providers: Vec<Provider>) {
        self.inner.opened.store(true, Ordering::Relaxed);
        Handle::new(Arc::clone(&self.inner.shared)).add_providers(self.inner.id, providers);
    }
}
