//! Looking into the store for a peer, in the task of its connection.

use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, stream};

use crate::Blockstore;
use crate::limits::{MAX_BLOCK_BYTES, READS_AT_ONCE};
use crate::stats::{Counters, add};
use crate::wire::Kind;

/// What a job found.
#[derive(Debug)]
pub(crate) enum Found {
    /// Sizes; 0 where only presence was asked.
    Sizes(Vec<(Cid, Option<u64>)>),
    /// Blocks in the order asked, and those that are gone. `asked` are the bytes that were expected.
    Blocks { asked: u64, blocks: Vec<(Cid, Bytes)>, missing: Vec<Cid> },
}

/// Sizes of blocks, in order. Where `only_presence`, a WANT-HAVE is answered by [`Blockstore::has`].
pub(super) async fn look_up(
    store: Arc<dyn Blockstore>,
    counters: Arc<Counters>,
    cids: Vec<(Cid, Kind)>,
    only_presence: bool,
) -> Found {
    let sizes = stream::iter(cids).map(|(cid, kind)| {
        let (store, counters) = (&store, &counters);
        async move {
            let size = if only_presence && kind == Kind::Have {
                store.has(&cid).await.map(|has| has.then_some(0))
            } else {
                store.size(&cid).await
            };
            let size = size.unwrap_or_else(|error| {
                add(&counters.store_errors, 1);
                tracing::warn!(%cid, %error, "the store failed to say whether it has a block that a peer wants");
                None
            });
            (cid, size)
        }
    });
    Found::Sizes(sizes.buffered(READS_AT_ONCE).collect().await)
}

/// Blocks, in order.
pub(super) async fn read(store: Arc<dyn Blockstore>, counters: Arc<Counters>, wanted: Vec<(Cid, u64)>) -> Found {
    let asked = wanted.iter().map(|(_, size)| size).sum();
    let mut reads = stream::iter(wanted)
        .map(|(cid, _)| {
            let (store, counters) = (&store, &counters);
            async move {
                let block = store.get(&cid).await.unwrap_or_else(|error| {
                    add(&counters.store_errors, 1);
                    tracing::warn!(%cid, %error, "the store failed to read a block that a peer wants");
                    None
                });
                (cid, block.filter(|block| block.len() <= MAX_BLOCK_BYTES))
            }
        })
        .buffered(READS_AT_ONCE);
    let (mut blocks, mut missing) = (Vec::new(), Vec::new());
    while let Some((cid, block)) = reads.next().await {
        match block {
            Some(block) => blocks.push((cid, block)),
            None => missing.push(cid),
        }
    }
    drop(reads);
    Found::Blocks { asked, blocks, missing }
}
