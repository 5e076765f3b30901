//! What is kept, for whoever removes the rest.
//!
//! Of the graph every blob counts that a stored entry names, shown or not: entries hidden by authority come back when a
//! revocation is not yet all that there is to know. What only history names, or a commit that waits for its time, does not.
//! A private node's blobs are known where its field `blobs` names them, which everybody reads, and else as far as an account
//! that is kept here, or this gateway, reads it: those of a disabled account are not, and what strangers share among themselves
//! without naming it is theirs to pin.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use async_trait::async_trait;
use cid::Cid;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use rustdht_core::{
    Soul, Value,
    ports::{BlobReference, Root, RootMark, RootSource, StoreError},
};
use rustdht_graph::NodeState;

use super::row::{Indexed, LEASE_NS, Lease, ROOT_NS};
use crate::{
    Node, Principal,
    blob_notes::thumbnails,
    node::Inner,
    private,
    side::{Rows, pages},
};

/// Entries looked through for blobs at a time: a few milliseconds of a reading connection.
const ENTRIES: u32 = 16_384;
/// Rows of the change feed read at a time.
const FEED_PAGE: u32 = 256;
/// Nodes read at a time.
const NODES: usize = 64;
/// Private nodes that are remembered as looked at.
const REMEMBERED_NODES: usize = 65_536;

struct Roots {
    inner: Arc<Inner>,
}

impl Node {
    /// What is kept here.
    #[must_use]
    pub fn roots(&self) -> Arc<dyn RootSource> {
        Arc::new(Roots { inner: Arc::clone(&self.inner) })
    }
}

type Pages = BoxStream<'static, Result<Vec<Root>, StoreError>>;

#[async_trait]
impl RootSource for Roots {
    async fn mark(&self) -> Result<RootMark, StoreError> {
        // The pins first: a reader of both must not miss what came in between.
        let pins = self.inner.pins.recent().last;
        Ok(RootMark { feed: self.inner.shared.ports.store.last_feed().await?, pins })
    }

    fn roots(&self) -> BoxStream<'static, Result<Root, StoreError>> {
        let inner = &self.inner;
        flat(stored(inner).chain(entries(inner)).boxed())
    }

    fn since(&self, mark: RootMark) -> BoxStream<'static, Result<Root, StoreError>> {
        let inner = &self.inner;
        let pins = if inner.pins.remembers(mark.pins) { newest(inner, mark.pins) } else { stored(inner) };
        flat(pins.chain(changed(inner, mark.feed)).boxed())
    }
}

fn flat(pages: Pages) -> BoxStream<'static, Result<Root, StoreError>> {
    pages.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten().boxed()
}

impl super::Pins {
    /// Whether everything that became a root after `mark` is remembered.
    fn remembers(&self, mark: u64) -> bool {
        let recent = self.recent();
        mark + recent.roots.len() as u64 >= recent.last
    }
}

/// What came to be after `mark`, as far as it is remembered. Taken when the stream is made.
fn newest(inner: &Arc<Inner>, mark: u64) -> Pages {
    let recent = inner.pins.recent();
    let count = usize::try_from(recent.last.saturating_sub(mark)).unwrap_or(usize::MAX).min(recent.roots.len());
    let roots = recent.roots.iter().rev().take(count).copied().collect();
    stream::iter([Ok(roots)]).boxed()
}

/// Pins, leases, what is held for the community, and thumbnails; first what is not written yet, or a reader would come too early for
/// its row and too late for its number.
fn stored(inner: &Arc<Inner>) -> Pages {
    let mut memory: Vec<Root> = inner.pins.recent().writing.values().copied().collect();
    memory.extend(inner.pins.shared.cids().into_iter().map(recursive));
    let now_ms = inner.shared.ports.clock.now_ms();
    let pinned = |value: &[u8]| Indexed::read(value).filter(|pin| !pin.failed).map(|pin| pin.root);
    let leased = move |value: &[u8]| Lease::read(value).filter(|lease| lease.until_ms > now_ms).map(|lease| lease.root);
    stream::iter([Ok(memory)])
        .chain(rows(inner, ROOT_NS, pinned))
        .chain(rows(inner, LEASE_NS, leased))
        .chain(thumbnails(inner))
        .boxed()
}

fn rows(inner: &Arc<Inner>, ns: &'static str, read: impl Fn(&[u8]) -> Option<Root> + Send + 'static) -> Pages {
    let roots = move |rows: Rows| rows.iter().filter_map(|(_, value)| read(value)).collect();
    pages(Arc::clone(&inner.shared.ports.store), ns).map_ok(roots).boxed()
}

/// Every blob that a stored entry names.
fn entries(inner: &Arc<Inner>) -> Pages {
    let inner = Arc::clone(inner);
    let begin = (Some(0_i64), HashSet::<Soul>::new());
    stream::try_unfold(begin, move |(after, mut looked_at)| {
        let inner = Arc::clone(&inner);
        async move {
            let Some(after) = after else { return Ok(None) };
            let page = inner.shared.ports.store.blob_references(after, ENTRIES).await?;
            let mut roots = Vec::new();
            let mut sealed = Vec::new();
            for reference in page.references {
                match reference {
                    BlobReference::Blob(cid) => roots.push(recursive(cid)),
                    BlobReference::Sealed(soul) => {
                        if !looked_at.contains(&soul) && !sealed.contains(&soul) {
                            sealed.push(soul);
                        }
                    }
                }
            }
            for souls in sealed.chunks(NODES) {
                roots.extend(opened(&inner, souls).await?);
            }
            if looked_at.len() < REMEMBERED_NODES {
                looked_at.extend(sealed);
            }
            Ok(Some((roots, (page.next, looked_at))))
        }
    })
    .boxed()
}

/// Every blob that is named by a node that changed after feed number `after`; all, where the feed does not reach back.
fn changed(inner: &Arc<Inner>, after: u64) -> Pages {
    let inner = Arc::clone(inner);
    let begin = async move {
        let page = inner.shared.ports.store.feed(after, 1).await?;
        Ok(if page.oldest > after + 1 { entries(&inner) } else { following(&inner, after) })
    };
    stream::once(begin).try_flatten().boxed()
}

fn following(inner: &Arc<Inner>, after: u64) -> Pages {
    let inner = Arc::clone(inner);
    stream::try_unfold((after, VecDeque::<Soul>::new()), move |(mut after, mut souls)| {
        let inner = Arc::clone(&inner);
        async move {
            let store = &inner.shared.ports.store;
            if souls.is_empty() {
                let page = store.feed(after, FEED_PAGE).await?;
                if page.oldest > after + 1 {
                    return Err(StoreError::Failed("rows of the change feed went while they were read".into()));
                }
                let Some(last) = page.rows.last() else { return Ok(None) };
                after = last.number;
                let changes = page.rows.into_iter().flat_map(|row| row.changes);
                let distinct: HashSet<Soul> = changes.map(|change| change.soul).collect();
                souls.extend(distinct);
            }
            let some: Vec<Soul> = souls.drain(..souls.len().min(NODES)).collect();
            let (mut roots, mut sealed) = (Vec::new(), Vec::new());
            for entry in store.load(&some).await? {
                match entry.body.value() {
                    Some(Value::Blob(cid)) => roots.push(recursive(*cid)),
                    Some(Value::Enc(_)) if !sealed.contains(&entry.soul) => sealed.push(entry.soul),
                    _ => {}
                }
            }
            roots.extend(opened(&inner, &sealed).await?);
            Ok(Some((roots, (after, souls))))
        }
    })
    .boxed()
}

const fn recursive(cid: Cid) -> Root {
    Root { cid, recursive: true }
}

/// The blobs that private nodes name, as far as somebody whose key is here reads them.
async fn opened(inner: &Arc<Inner>, souls: &[Soul]) -> Result<Vec<Root>, StoreError> {
    if souls.is_empty() {
        return Ok(Vec::new());
    }
    let mut states: std::collections::HashMap<Soul, NodeState> =
        souls.iter().map(|soul| (soul.clone(), NodeState::new(soul.clone()))).collect();
    for entry in inner.shared.ports.store.load(souls).await? {
        if let Some(state) = states.get_mut(&entry.soul) {
            state.restore(entry.into());
        }
    }
    let keyring = &inner.shared.keyring;
    let mut roots = Vec::new();
    for state in states.into_values() {
        // What authority hides takes no key away from here.
        let readers = private::recipients(&state);
        let readers = readers.iter().filter_map(|recipient| {
            let own = recipient.key == inner.shared.identity.gateway;
            let reader = if own { Principal::Owner } else { Principal::Account(recipient.key) };
            (own || keyring.held(&recipient.key).is_some()).then_some(reader)
        });
        for reader in readers {
            let Some(mut opener) = private::opener(keyring, &state, &reader) else { continue };
            let entries = state.entries().filter_map(|entry| opener.open_entry(entry));
            roots.extend(entries.filter_map(|entry| private::blob_of(&entry)).map(recursive));
        }
    }
    Ok(roots)
}
