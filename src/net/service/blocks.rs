//! Blocks: Bitswap with everybody who speaks it, and providers when nobody connected has one.
//!
//! ```text
//!   blobs ──BlockSource──> Session ──wants──> Bitswap ──NeedProviders──> Ingest::providers (routers of the node)
//!                             ^                  ^                               │
//!                             └── nobody ────────┴── providers, dialled <────────┘
//! ```

use std::{
    collections::HashSet,
    io,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::StreamExt;
use libp2p::PeerId;
use rustdht_bitswap::{Blockstore, Gate, SessionId};
use rustdht_core::ports::{BlockGate, Ingest};
use tokio::{task::JoinSet, time::Instant};

use super::Running;
use crate::{
    config::{IpfsConfig, Serve},
    limits::{MAX_FETCH_PROVIDERS, MAX_PROVIDER_LOOKUPS, PROVIDER_LOOKUP_TIMEOUT},
    metrics,
    routing::place,
};

/// The node's blocks. Bound when the service runs, since the swarm is made before.
#[derive(Default)]
pub(crate) struct Shelf(OnceLock<Arc<dyn Ingest>>);

impl Shelf {
    pub(super) fn bind(&self, ingest: Arc<dyn Ingest>) {
        // A service runs once.
        let _ = self.0.set(ingest);
    }
}

#[async_trait]
impl Blockstore for Shelf {
    async fn get(&self, cid: &Cid) -> io::Result<Option<Bytes>> {
        match self.0.get() {
            Some(ingest) => Ok(ingest.block(cid).await),
            None => Ok(None),
        }
    }

    async fn size(&self, cid: &Cid) -> io::Result<Option<u64>> {
        match self.0.get() {
            Some(ingest) => Ok(ingest.block_size(cid).await),
            None => Ok(None),
        }
    }
}

/// Members that are connected, for those who are asked whether somebody is one.
#[derive(Debug, Default)]
pub(crate) struct Members(RwLock<HashSet<PeerId>>);

impl Members {
    pub(super) fn set(&self, peer: PeerId, member: bool) {
        let mut members = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if member {
            members.insert(peer);
        } else {
            members.remove(&peer);
        }
    }

    fn has(&self, peer: &PeerId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(peer)
    }
}

/// Who is served what.
pub(crate) struct Doorkeeper {
    serve: Serve,
    blocks: Option<Arc<dyn BlockGate>>,
    members: Arc<Members>,
}

impl Doorkeeper {
    pub(super) fn new(config: &IpfsConfig, members: Arc<Members>) -> Self {
        Self { serve: config.serve, blocks: config.gate.clone(), members }
    }
}

impl Gate for Doorkeeper {
    fn peer(&self, peer: &PeerId) -> bool {
        match self.serve {
            Serve::All => true,
            Serve::Members => self.members.has(peer),
            Serve::Nobody => false,
        }
    }

    fn block(&self, _: &PeerId, cid: &Cid) -> bool {
        self.blocks.as_ref().is_none_or(|gate| gate.admits(cid))
    }
}

/// Nobody is known who has a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nobody {
    pub(crate) session: SessionId,
    pub(crate) cid: Cid,
    /// When Bitswap asked for providers.
    pub(crate) asked: Instant,
    /// There is nobody who could still answer.
    pub(crate) alone: bool,
}

/// Lookups of providers under way.
#[derive(Default)]
pub(super) struct ProviderLookups {
    under_way: HashSet<(SessionId, Cid)>,
    tasks: JoinSet<(SessionId, Cid, Instant, bool)>,
}

impl ProviderLookups {
    /// The end of one; never while there are none.
    pub(super) async fn next(&mut self) -> (SessionId, Cid, Instant, bool) {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(ended)) => return ended,
                Some(Err(error)) => tracing::error!(%error, "a lookup of providers died"),
                None => std::future::pending().await,
            }
        }
    }
}

impl Running {
    pub(super) fn bitswap_event(&mut self, event: rustdht_bitswap::Event) {
        match event {
            rustdht_bitswap::Event::NeedProviders { session, cid } => self.look_for_providers(session, cid),
            rustdht_bitswap::Event::Misbehaved { peer, fault } => {
                metrics::misbehaved();
                tracing::debug!(%peer, ?fault, "a peer broke the rules of Bitswap");
            }
            rustdht_bitswap::Event::Ignored { peer } => {
                tracing::warn!(%peer, "a peer sends blocks that nobody asked it for, and is not listened to for a while");
                metrics::rejected("bitswap");
            }
            _ => {}
        }
    }

    fn look_for_providers(&mut self, session: SessionId, cid: Cid) {
        if self.lookups.under_way.len() >= MAX_PROVIDER_LOOKUPS || !self.lookups.under_way.insert((session, cid)) {
            // Bitswap asks again.
            return;
        }
        let (ingest, bitswap) = (Arc::clone(&self.ingest), self.bitswap.clone());
        let (local, asked) = (self.secret.local, Instant::now());
        self.lookups.tasks.spawn(async move {
            let mut told = 0;
            let search = async {
                let mut found = ingest.providers(cid.hash(), MAX_FETCH_PROVIDERS).await;
                while let Some(provider) = found.next().await {
                    let Some((peer, addresses)) = place(&provider).filter(|(peer, _)| *peer != local) else { continue };
                    told += 1;
                    bitswap.add_providers(session, vec![rustdht_bitswap::Provider { peer, addresses }]);
                }
            };
            // What was found until then is told.
            let _ = tokio::time::timeout(PROVIDER_LOOKUP_TIMEOUT, search).await;
            (session, cid, asked, told > 0)
        });
    }

    /// A lookup of providers ended.
    pub(super) fn providers_looked_up(&mut self, session: SessionId, cid: Cid, asked: Instant, found: bool) {
        self.lookups.under_way.remove(&(session, cid));
        metrics::provider_lookup(if found { "found" } else { "nobody" });
        if !found {
            let alone = self.swarm.network_info().num_peers() == 0;
            // Nobody may wait for it any more.
            let _ = self.nobody.send(Nobody { session, cid, asked, alone });
        }
    }
}
