//! The shapes of looking after the block store.

use rustdht_core::ports::{BlobUsage, Collected};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a collection did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Collection {
    /// Nothing was removed.
    pub dry_run: bool,
    /// Roots that were followed: pins, leases, blobs that nodes name; one that is kept for several reasons counts as often.
    pub roots: u64,
    /// Links below them that lead to blocks that are not here.
    pub missing: u64,
    /// Blocks that stay.
    pub kept_blocks: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Blocks that went, or would.
    pub removed_blocks: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Bytes of packs that are gone.
    pub freed_bytes: u64,
    /// Bytes of blocks that were moved out of them.
    pub moved_bytes: u64,
    /// Milliseconds that it took.
    pub took_ms: u64,
}

/// What the block store holds, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockStore {
    /// Blocks held.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packs that they lie in.
    pub packs: u64,
    /// Bytes of the packs, with headers, padding, and blocks that were removed and are not overwritten yet.
    pub pack_bytes: u64,
    /// A collection is running.
    pub collecting: bool,
    /// The last collection since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Collection>,
}

impl From<Collected> for Collection {
    fn from(done: Collected) -> Self {
        Self {
            dry_run: done.dry_run,
            roots: done.roots,
            missing: done.missing,
            kept_blocks: done.kept_blocks,
            kept_bytes: done.kept_bytes,
            removed_blocks: done.removed_blocks,
            removed_bytes: done.removed_bytes,
            freed_bytes: done.freed_bytes,
            moved_bytes: done.moved_bytes,
            took_ms: done.took_ms,
        }
    }
}

impl From<BlobUsage> for BlockStore {
    fn from(usage: BlobUsage) -> Self {
        Self {
            blocks: usage.blocks,
            bytes: usage.bytes,
            packs: usage.packs,
            pack_bytes: usage.pack_bytes,
            collecting: usage.collecting,
            last: usage.last.map(Into::into),
        }
    }
}
