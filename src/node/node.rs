//! The handle that doors and bridges hold.

use std::{
    fmt,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Duration,
};

use rustdht_core::{
    CommitId, Stamp,
    ports::{
        DagStore, Durability, FeedRow, GraphStore, Ingest, NetworkStatus, PeerStatus, ReplicationError, Replicator,
    },
};
use tokio::sync::{Notify, SetOnce, broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, Error, GraphStatus, Identity, Ports, Tasks,
    accounts::Desk,
    authority::Authority,
    cache::ReadCache,
    documents::Documents,
    identity::{self, Secrets},
    ingest::Door,
    keys::Keyring,
    membership,
    merger::{Answer, Committer, Job, Merger, QUEUE_JOBS, Request, Shared},
    names::Book,
    pins::Pins,
    routing::RoutingPorts,
    schema::Schemas,
};

/// Feed rows that a slow watcher may lag behind before it is sent back to the store.
const FEED_BACKLOG: usize = 1024;
/// Groups of jobs that met a conflict and wait to be planned again.
const AGAIN_GROUPS: usize = 8;
/// Groups whose answers are being given out.
const ANSWERED_GROUPS: usize = 8;
/// How long a caller waits for room in the merger's queue.
const QUEUE_PATIENCE: Duration = Duration::from_secs(10);

/// A running node; cheap to clone.
#[derive(Clone)]
pub struct Node {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) cache: Arc<ReadCache>,
    pub(crate) replicator: Arc<OnceLock<Arc<dyn Replicator>>>,
    pub(crate) feed: broadcast::Sender<Arc<FeedRow>>,
    pub(crate) jobs: mpsc::Sender<Job>,
    pub(crate) stopping: CancellationToken,
    pub(crate) accounts: Desk,
    pub(crate) documents: Documents,
    pub(crate) pins: Pins,
    pub(crate) names: Book,
    /// Where blocks and names are looked up.
    pub(crate) routing: SetOnce<RoutingPorts>,
    /// The network was bound: there may be somebody to ask for a member certificate.
    pub(crate) bound: Notify,
    secrets: Secrets,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("identity", &self.inner.shared.identity).finish_non_exhaustive()
    }
}

impl Node {
    /// Opens the database's identity (founding or joining a network if it has none) and prepares the tasks that carry
    /// the node. Nothing merges until [`Tasks::run`] runs.
    ///
    /// # Errors
    /// `wrong_network` when an invite of another network is given; when the store fails.
    pub async fn start(ports: Ports, config: Config) -> Result<(Self, Tasks), Error> {
        let secrets = identity::load_or_found(&ports, &config).await?;
        let seen_feed = ports.store.last_feed().await?;
        let keyring = Arc::new(Keyring::load(&ports, &config.seal_key, secrets.identity.gateway).await?);
        let shared = Arc::new(Shared {
            identity: secrets.identity.clone(),
            gateway: Arc::new(rustdht_wire::SigningKey::from_seed(&secrets.gateway.seed())),
            community: secrets.community.as_ref().map(|key| Arc::new(rustdht_wire::SigningKey::from_seed(&key.seed()))),
            authority: Authority::load(Arc::clone(&ports.store), &secrets.identity).await?,
            host_tag: config.host_tag,
            network_key: secrets.network_key,
            keyring,
            schemas: Schemas::load(&*ports.store).await?,
            durable: 0.into(),
            epoch: 0.into(),
            deferred: 0.into(),
            clock: 0.into(),
            feed: seen_feed.into(),
            ports,
        });
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS);
        let (again, again_queue) = mpsc::channel(AGAIN_GROUPS);
        let (answers, answer_queue) = mpsc::channel(ANSWERED_GROUPS);
        let (feed, _) = broadcast::channel(FEED_BACKLOG);
        let cache = Arc::new(ReadCache::new(config.read_cache_bytes));
        let replicator = Arc::new(OnceLock::new());
        let (merger, groups) = Merger::new(Arc::clone(&shared), &config, queue, again_queue).await?;
        let committer = Committer {
            shared: Arc::clone(&shared),
            cache: Arc::clone(&cache),
            replicator: Arc::clone(&replicator),
            feed: feed.clone(),
            seen_feed,
            again,
            answers,
        };
        let stopping = CancellationToken::new();
        let tasks = Tasks::new(merger, committer, groups, answer_queue, Arc::clone(&shared), stopping.clone());
        let accounts = Desk::new(&config);
        let documents = Documents::default();
        let pins = Pins::new(config.pins);
        let bound = Notify::new();
        let inner = Arc::new(Inner {
            shared,
            cache,
            replicator,
            feed,
            jobs,
            stopping,
            accounts,
            documents,
            pins,
            names: Book::default(),
            routing: SetOnce::new(),
            bound,
            secrets,
        });
        inner.load_shared_pins().await?;
        membership::begin(&inner).await?;
        let tasks = tasks.with_documents(Arc::clone(&inner));
        Ok((Self { inner }, tasks))
    }

    /// Binds the network; the first binding holds.
    pub fn bind(&self, replicator: Arc<dyn Replicator>) {
        let _ = self.inner.replicator.set(replicator);
        self.inner.bound.notify_one();
    }

    /// The door for what members send.
    #[must_use]
    pub fn ingest(&self) -> Arc<dyn Ingest> {
        Arc::new(Door { inner: Arc::clone(&self.inner) })
    }

    /// Who this gateway is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.inner.shared.identity
    }

    /// The secret that members of the network share.
    #[must_use]
    pub fn network_key(&self) -> [u8; 32] {
        self.inner.secrets.network_key
    }

    /// The seed of the Ed25519 key behind the PeerId.
    #[must_use]
    pub fn peer_seed(&self) -> [u8; 32] {
        self.inner.secrets.peer_seed
    }

    /// Blobs and directories.
    #[must_use]
    pub fn blobs(&self) -> &Arc<dyn DagStore> {
        &self.inner.shared.ports.blobs
    }

    pub(crate) fn store(&self) -> &Arc<dyn GraphStore> {
        &self.inner.shared.ports.store
    }

    /// Takes no further write; those under way are finished by [`Tasks::run`].
    pub fn stop(&self) {
        self.inner.stopping.cancel();
    }

    /// The text of an invite to this network.
    ///
    /// # Errors
    /// When the network cannot be asked for its addresses.
    pub async fn invite(&self) -> Result<String, Error> {
        let network = self.network_status().await?;
        let addresses = network.map(|status| status.listen).unwrap_or_default();
        Ok(self.inner.secrets.invite(addresses).to_text()?)
    }

    async fn network_status(&self) -> Result<Option<NetworkStatus>, Error> {
        match self.inner.replicator.get() {
            Some(replicator) => Ok(Some(replicator.status().await?)),
            None => Ok(None),
        }
    }

    /// Counts of the graph and the state of the swarm.
    ///
    /// # Errors
    /// When the store or the network fails.
    pub async fn status(&self) -> Result<(GraphStatus, Option<NetworkStatus>), Error> {
        let stats = self.store().stats().await?;
        let graph = GraphStatus {
            entries: stats.entries,
            commits: stats.commits,
            database_bytes: stats.bytes,
            deferred: self.inner.shared.deferred.load(Ordering::Relaxed),
            may_endorse: !self.member_chain().is_empty(),
            clock: Stamp(self.inner.shared.clock.load(Ordering::Relaxed)),
            feed: self.last_feed(),
        };
        Ok((graph, self.network_status().await?))
    }

    /// Peers known.
    ///
    /// # Errors
    /// When the network fails.
    pub async fn peers(&self) -> Result<Vec<PeerStatus>, Error> {
        match self.inner.replicator.get() {
            Some(replicator) => Ok(replicator.peers().await?),
            None => Ok(Vec::new()),
        }
    }

    /// Dials an address and remembers it.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub async fn dial(&self, address: &str) -> Result<(), Error> {
        match self.inner.replicator.get() {
            Some(replicator) => Ok(replicator.dial(address).await?),
            None => Err(ReplicationError::Closed.into()),
        }
    }

    /// Whether the database answers and the node is not stopping.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn ready(&self) -> Result<(), Error> {
        if self.inner.stopping.is_cancelled() {
            return Err(Error::Stopping);
        }
        Ok(self.store().ping().await?)
    }

    /// The last feed number that is durable.
    #[must_use]
    pub fn last_feed(&self) -> u64 {
        self.inner.shared.feed.load(Ordering::Acquire)
    }

    /// How far a commit got; `None`: it is not here.
    ///
    /// # Errors
    /// When the store or the network fails.
    pub async fn durability(&self, commit: CommitId) -> Result<Option<Durability>, Error> {
        if self.store().commits(&[commit]).await?.is_empty() {
            return Ok(None);
        }
        let Some(replicator) = self.inner.replicator.get() else { return Ok(Some(alone())) };
        if let Some(durability) = replicator.outstanding(commit).await? {
            return Ok(Some(durability));
        }
        let status = replicator.status().await?;
        Ok(Some(Durability { durable: status.replicas, wanted: status.write_quorum, outstanding: Vec::new() }))
    }

    /// How far a commit gets within `wait`; it is durable here already, so a network that does not answer makes it one
    /// that is not acknowledged yet, never a failure.
    pub(crate) async fn wait_durable(&self, commit: Option<CommitId>, wait: Duration) -> Durability {
        match (commit, self.inner.replicator.get()) {
            (Some(commit), Some(replicator)) => replicator.durability(commit, wait).await.unwrap_or_else(|error| {
                tracing::warn!(%commit, %error, "the network did not say how far a commit got");
                self.here_only()
            }),
            _ => alone(),
        }
    }

    /// The durability of what is on this disk and known to be on no other.
    pub(crate) fn here_only(&self) -> Durability {
        let wanted = self.inner.shared.identity.placement.write_quorum.max(2);
        Durability { durable: 1, wanted, outstanding: Vec::new() }
    }
}

/// The durability of what only this gateway has to hold.
const fn alone() -> Durability {
    Durability { durable: 1, wanted: 1, outstanding: Vec::new() }
}

impl Inner {
    pub(crate) const fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Hands a job to the merger and waits for its answer, which comes when the write is durable.
    pub(crate) async fn submit(&self, request: Request) -> Result<Answer, Error> {
        if self.stopping.is_cancelled() {
            return Err(Error::Stopping);
        }
        let (reply, answer) = tokio::sync::oneshot::channel();
        match self.jobs.send_timeout(Job { request, reply }, QUEUE_PATIENCE).await {
            Ok(()) => answer.await.unwrap_or(Err(Error::Stopping)),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(Error::Overloaded),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Error::Stopping),
        }
    }
}
