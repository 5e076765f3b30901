//! The task that gives records to the routers, and renews those of the keys that are here.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use rustdht_core::ports::{ContentRouting, IpnsName, NameRecord};
use tokio::task::JoinSet;

use super::publish;
use crate::node::Inner;

/// How often it is looked whether a name has to be published again.
const LOOK: Duration = Duration::from_secs(600);
/// After the start, so that the swarm has peers.
const FIRST_LOOK: Duration = Duration::from_secs(60);
/// Records given at a time; each takes a DHT lookup of seconds.
const PARALLEL: usize = 4;
/// How long a router may take for one.
const GIVE_TIMEOUT: Duration = Duration::from_secs(90);

/// Runs until the node stops.
pub(crate) async fn run(inner: Arc<Inner>) {
    let stopping = inner.stopping.clone();
    tokio::select! {
        () = stopping.cancelled() => {}
        () = give_and_renew(&inner) => {}
    }
}

async fn give_and_renew(inner: &Arc<Inner>) {
    inner.routing.wait().await;
    let mut giving = JoinSet::new();
    let mut look = tokio::time::interval_at(tokio::time::Instant::now() + FIRST_LOOK, LOOK);
    loop {
        while giving.len() < PARALLEL
            && let Some(name) = inner.names.next_given()
        {
            giving.spawn(give(Arc::clone(inner), name));
        }
        tokio::select! {
            () = inner.names.woken.notified() => {}
            Some(ended) = giving.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "a record was not given to the network");
            },
            _ = look.tick() => if let Err(error) = publish::republish(inner).await {
                tracing::warn!(%error, "names could not be published again");
            },
        }
    }
}

async fn put(router: &dyn ContentRouting, name: &IpnsName, record: &NameRecord) -> bool {
    matches!(tokio::time::timeout(GIVE_TIMEOUT, router.put_name(name, record)).await, Ok(Ok(())))
}

/// Gives the newest record of a name to every router.
async fn give(inner: Arc<Inner>, name: IpnsName) {
    let (Some(ports), Ok(Some(record))) = (inner.routing.get(), inner.names.held(&inner, &name).await) else { return };
    let given = ports.routers.iter().map(|router| put(&**router, &name, &record));
    let taken = join_all(given).await.into_iter().filter(|taken| *taken).count();
    tracing::debug!(%name, sequence = record.sequence, routers = taken, "a record was given to the network");
}
