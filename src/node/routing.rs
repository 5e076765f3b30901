//! Where blocks, peers and names are looked up: the routers that were bound, asked together.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use cid::{Cid, multihash::Multihash};
use futures::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use rustdht_core::ports::{Announcer, ContentRouting, DnsLinks, NameRecords, Provider};

use crate::{Node, providers::Provide};

/// Multihash code of CIDs that hold their block.
const IDENTITY: u64 = 0;
/// Routers asked at a time: the DHTs, and those over HTTP that the operator named.
pub const MAX_ROUTERS: usize = 16;
/// How long a lookup of providers may take: that of the DHT ends by itself within a minute.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(60);

/// What looks things up.
#[derive(Clone)]
pub struct RoutingPorts {
    /// Where to ask, at most [`MAX_ROUTERS`].
    pub routers: Vec<Arc<dyn ContentRouting>>,
    /// The DHTs that keep provider records of this node, under names that last.
    pub announcers: Vec<(&'static str, Arc<dyn Announcer>)>,
    /// What is announced there.
    pub provide: Provide,
    /// The form of records of names.
    pub records: Arc<dyn NameRecords>,
    /// DNSLink, where it is looked up.
    pub links: Option<Arc<dyn DnsLinks>>,
}

impl fmt::Debug for RoutingPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutingPorts")
            .field("routers", &self.routers.len())
            .field("announcers", &self.announcers.len())
            .field("provide", &self.provide)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Binds what looks things up; the first binding holds. Until then names are looked up here only, and nothing is announced.
    pub fn bind_routing(&self, mut ports: RoutingPorts) {
        ports.routers.truncate(MAX_ROUTERS);
        // A second binding is passed over.
        let _ = self.inner.routing.set(ports);
    }

    /// Who has a block, as far as routers know, each peer once and at most `limit`. Ends by itself.
    pub fn find_providers(&self, key: Multihash<64>, limit: usize) -> BoxStream<'static, Provider> {
        let routers = self.inner.routing.get().map(|ports| ports.routers.clone()).unwrap_or_default();
        let asked = routers.into_iter().map(move |router| {
            // A router that does not answer is one less; the others do.
            let ask = async move { router.providers(&key, limit).await.unwrap_or_else(|_| stream::empty().boxed()) };
            ask.into_stream().flatten().boxed()
        });
        let mut seen = HashSet::new();
        stream::select_all(asked)
            .filter(move |found| std::future::ready(seen.insert(found.peer.clone())))
            .take(limit)
            .take_until(tokio::time::sleep(LOOKUP_TIMEOUT))
            .boxed()
    }

    /// Whether this gateway has a block and tells others so.
    pub async fn provides(&self, cid: &Cid) -> bool {
        let tells = self.inner.routing.get().is_some_and(|ports| ports.provide != Provide::Off);
        // A block that stands in its CID is everybody's.
        let inlined = cid.hash().code() == IDENTITY;
        tells && !inlined && self.blobs().has(cid).await.unwrap_or(false)
    }

    /// Where a peer is, as far as routers know; the addresses of all of them.
    pub async fn find_peer(&self, peer: &str) -> Option<Provider> {
        let routers = self.inner.routing.get().map(|ports| ports.routers.clone()).unwrap_or_default();
        let asked = routers.iter().map(|router| async move { router.peer(peer).await.ok().flatten() });
        let found = tokio::time::timeout(LOOKUP_TIMEOUT, futures::future::join_all(asked)).await.unwrap_or_default();
        found.into_iter().flatten().reduce(|mut one, other| {
            for address in other.addresses {
                if one.addresses.len() < rustdht_core::ports::MAX_PEER_ADDRESSES && !one.addresses.contains(&address) {
                    one.addresses.push(address);
                }
            }
            one.protocols.extend(other.protocols);
            one.protocols.sort_unstable();
            one.protocols.dedup();
            one
        })
    }
}
