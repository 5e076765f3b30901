//! The side of the swarm that the node holds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use rustdht_core::{
    CommitId, PublicKey, Soul,
    ports::{
        BlockSource, Durability, MAX_LIVE_BYTES, NetworkStatus, PeerStatus, Published, ReplicaId, ReplicationError,
        Replicator,
    },
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    addresses::with_peer,
    limits::{CERTIFY_PEERS, CERTIFY_TIMEOUT},
    service::Chain,
};

/// Greatest wait for durability; longer ones are cut.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// How long an answer of the service may take beyond what was asked for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Milliseconds since the swarm was made, by a clock that nobody sets.
pub(crate) fn steady_ms(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// What the service is asked.
#[derive(Debug)]
pub(crate) enum Command {
    Publish(Published),
    Await { commit: CommitId, deadline_ms: u64, reply: oneshot::Sender<Durability> },
    Outstanding { commit: CommitId, reply: oneshot::Sender<Option<Durability>> },
    Ask { soul: Soul, reply: oneshot::Sender<Vec<Bytes>> },
    Block { cid: Cid, reply: oneshot::Sender<Option<Bytes>> },
    Certify { gateway: PublicKey, reply: oneshot::Sender<Result<Chain, ReplicationError>> },
    Broadcast(Bytes),
    Peers { reply: oneshot::Sender<Vec<PeerStatus>> },
    Status { reply: oneshot::Sender<NetworkStatus> },
    Dial { address: String, reply: oneshot::Sender<Result<(), ReplicationError>> },
}

/// A cheap clone that speaks to the [`crate::Service`]. Commands wait until the service runs.
#[derive(Clone)]
pub struct Handle {
    pub(crate) commands: mpsc::Sender<Command>,
    /// The zero of the steady clock.
    pub(crate) started: Instant,
    pub(crate) id: ReplicaId,
    pub(crate) listen: Arc<[String]>,
    /// No other replica counts: what is durable here is durable at W'.
    pub(crate) alone: Arc<AtomicBool>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("id", &self.id).field("listen", &self.listen).finish_non_exhaustive()
    }
}

impl Handle {
    /// This replica.
    #[must_use]
    pub const fn id(&self) -> &ReplicaId {
        &self.id
    }

    /// The multiaddrs on which the swarm listened when it was made, each with `/p2p/`, external ones first.
    #[must_use]
    pub fn listen(&self) -> &[String] {
        &self.listen
    }

    async fn ask_service<T>(
        &self,
        timeout: Duration,
        command: impl FnOnce(oneshot::Sender<T>) -> Command + Send,
    ) -> Result<T, ReplicationError> {
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            self.commands.send(command(reply)).await.map_err(|_| ReplicationError::Closed)?;
            answer.await.map_err(|_| ReplicationError::Closed)
        };
        tokio::time::timeout(timeout, exchange).await.map_err(|_| ReplicationError::TimedOut)?
    }
}

#[async_trait]
impl Replicator for Handle {
    async fn publish(&self, published: Published) -> Result<(), ReplicationError> {
        self.commands.send(Command::Publish(published)).await.map_err(|_| ReplicationError::Closed)
    }

    async fn durability(&self, commit: CommitId, wait: Duration) -> Result<Durability, ReplicationError> {
        if self.alone.load(Ordering::Relaxed) {
            return Ok(Durability { durable: 1, wanted: 1, outstanding: Vec::new() });
        }
        let wait = wait.min(MAX_WAIT);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let deadline_ms = steady_ms(self.started).saturating_add(wait_ms);
        self.ask_service(wait + ANSWER_TIMEOUT, |reply| Command::Await { commit, deadline_ms, reply }).await
    }

    async fn outstanding(&self, commit: CommitId) -> Result<Option<Durability>, ReplicationError> {
        self.ask_service(ANSWER_TIMEOUT, |reply| Command::Outstanding { commit, reply }).await
    }

    async fn ask(&self, soul: &Soul) -> Result<Vec<Bytes>, ReplicationError> {
        let soul = soul.clone();
        self.ask_service(ANSWER_TIMEOUT, |reply| Command::Ask { soul, reply }).await
    }

    async fn fetch_block(&self, cid: &Cid) -> Option<Bytes> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Block { cid: *cid, reply }).await.ok()?;
        // Each peer asked has a timeout of its own, and there are finitely many.
        answer.await.ok().flatten()
    }

    async fn certify(&self, gateway: PublicKey) -> Result<Vec<(Bytes, Bytes)>, ReplicationError> {
        let most = CERTIFY_TIMEOUT * CERTIFY_PEERS as u32;
        self.ask_service(most + ANSWER_TIMEOUT, |reply| Command::Certify { gateway, reply }).await?
    }

    async fn broadcast(&self, message: Bytes) -> Result<(), ReplicationError> {
        if message.len() > MAX_LIVE_BYTES {
            let (len, most) = (message.len(), MAX_LIVE_BYTES);
            return Err(ReplicationError::Invalid(format!(
                "a live message of {len} bytes: at most {most} may be sent"
            )));
        }
        self.commands.send(Command::Broadcast(message)).await.map_err(|_| ReplicationError::Closed)
    }

    async fn peers(&self) -> Result<Vec<PeerStatus>, ReplicationError> {
        self.ask_service(ANSWER_TIMEOUT, |reply| Command::Peers { reply }).await
    }

    async fn status(&self) -> Result<NetworkStatus, ReplicationError> {
        self.ask_service(ANSWER_TIMEOUT, |reply| Command::Status { reply }).await
    }

    async fn dial(&self, address: &str) -> Result<(), ReplicationError> {
        // Checked here too, so that a typing error is told even while the service is busy.
        with_peer(address).map_err(|error| ReplicationError::Invalid(error.to_string()))?;
        let address = address.to_owned();
        self.ask_service(ANSWER_TIMEOUT, |reply| Command::Dial { address, reply }).await?
    }
}

#[async_trait]
impl BlockSource for Handle {
    async fn fetch_block(&self, cid: &Cid) -> Option<Bytes> {
        Replicator::fetch_block(self, cid).await
    }
}
