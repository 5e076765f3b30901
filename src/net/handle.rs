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
use cid::{Cid, multihash::Multihash};
use rustdht_core::{
    CommitId, PublicKey, Soul,
    ports::{
        BlockGate, BlockSource, Durability, MAX_LIVE_BYTES, NetworkStatus, PeerStatus, Published, ReplicaId,
        ReplicationError, Replicator,
    },
};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::Instant,
};

use crate::{
    addresses::with_peer,
    fetching::Fetching,
    limits::{CERTIFY_PEERS, CERTIFY_TIMEOUT},
    routing::{Dht, Lookup, Which},
    service::{Chain, Nobody},
};

/// Multicodec `raw`.
const RAW: u64 = 0x55;
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
    Lookup(Which, Lookup),
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
    pub(crate) bitswap: rustdht_bitswap::Handle,
    pub(crate) nobody: broadcast::Sender<Nobody>,
    pub(crate) gate: Option<Arc<dyn BlockGate>>,
    /// This node takes part in the public DHT.
    pub(crate) public: bool,
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

    /// The DHT of the network.
    #[must_use]
    pub fn network_dht(&self) -> Dht {
        Dht::new(self.commands.clone(), Which::Network)
    }

    /// The public DHT, if this node takes part in it.
    #[must_use]
    pub fn public_dht(&self) -> Option<Dht> {
        self.public.then(|| Dht::new(self.commands.clone(), Which::Public))
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
        Fetching::new(self).fetch_block(cid).await
    }

    fn session(&self) -> Option<Arc<dyn BlockSource>> {
        Some(Arc::new(Fetching::new(self)))
    }

    fn noted(&self, hash: &Multihash<64>) {
        // Wants go by multihash, whatever the codec.
        self.bitswap.notify([Cid::new_v1(RAW, *hash)]);
    }
}
