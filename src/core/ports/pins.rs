//! What has to be kept, for whoever removes the rest, and what must not be served.

use async_trait::async_trait;
use cid::Cid;
use futures::stream::BoxStream;

use super::StoreError;

/// Something that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Root {
    /// The block at the top.
    pub cid: Cid,
    /// With everything that it links, as far as that is here; else the block alone.
    pub recursive: bool,
}

/// A moment in what is kept. Means something only to the [`RootSource`] that gave it out, while that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootMark {
    /// The last row of the change feed.
    pub feed: u64,
    /// The last root that came to be outside of the graph.
    pub pins: u64,
}

/// Everything that is kept: pins, leases that are not over, what the community pinned here, and every blob that a stored
/// entry names.
///
/// A collector takes a [`RootSource::mark`], reads [`RootSource::roots`] and follows them, and then, each time before it
/// removes something, takes the next mark and reads [`RootSource::since`] the one before: what became a root meanwhile
/// is among that before anybody is told that it is kept. Blocks that are written, or found to be here already, while
/// it works are its own business: a root is noted before the blocks below it are looked at.
#[async_trait]
pub trait RootSource: Send + Sync {
    /// The moment now.
    async fn mark(&self) -> Result<RootMark, StoreError>;

    /// Every root, in no order, perhaps several times. What came to be after the call need not be among them. An error
    /// ends the stream: then nothing may be removed.
    fn roots(&self) -> BoxStream<'static, Result<Root, StoreError>>;

    /// Every root that came to be since `mark`, perhaps with others.
    fn since(&self, mark: RootMark) -> BoxStream<'static, Result<Root, StoreError>>;
}

/// Whether blocks may pass: what the operator does not serve, he does not fetch either.
pub trait BlockGate: Send + Sync {
    /// Whether a block may be served and fetched. Asked for each block: answered from memory.
    fn admits(&self, cid: &Cid) -> bool;
}
