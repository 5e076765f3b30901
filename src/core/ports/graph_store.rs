//! Durable storage of the graph.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;

use super::{CheckCursor, CheckPage, Fault, Repaired};
use crate::{CertificateId, CommitId, Entry, EntryId, Field, RecordId, Soul, Stamp};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database or the disk refused; nothing of the batch was written.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

/// The signed part of a commit, kept verbatim while any of its entries lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCommit {
    /// `BLAKE3("rustdht/commit/1" || header)`.
    pub id: CommitId,
    /// The signed header, verbatim.
    pub header: Bytes,
    /// The signature, 64 bytes; empty for a content commit.
    pub signature: Bytes,
    /// All n leaf hashes, 32 bytes each; empty when only proofs arrived, see `proofs`.
    pub leaves: Bytes,
    /// For a commit that arrived with proofs: DAG-CBOR `[[index, [b32]]]` of the operations held here, else empty.
    pub proofs: Bytes,
}

/// An entry to be written, and where reconciliation finds it. Replaces the row of the same id.
#[derive(Clone, Debug)]
pub struct Put {
    /// The entry.
    pub entry: Arc<Entry>,
    /// The id that reconciliation compares.
    pub record: RecordId,
}

/// An entry that lost its place, kept for the merge inspector.
#[derive(Clone, Debug)]
pub struct Loser {
    /// The entry as it was.
    pub entry: Arc<Entry>,
    /// When it was displaced, in milliseconds since the epoch.
    pub lost_ms: u64,
}

/// A page of a field's history.
#[derive(Clone, Debug, Default)]
pub struct HistoryPage {
    /// Displaced entries, newest first.
    pub losers: Vec<Loser>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<i64>,
}

/// A member gateway's word for a commit, to be kept while any entry of the commit lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endorsement {
    /// The commit.
    pub commit: CommitId,
    /// The certificate with the right `endorse`; its audience signed.
    pub certificate: CertificateId,
    /// Over `BLAKE3("rustdht/endorse/1" || commit id)`.
    pub signature: [u8; 64],
    /// The id that reconciliation compares.
    pub record: RecordId,
}

/// An endorsement in one partition that its commit touches: what the reconciliation index holds of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndorsedPartition {
    /// The id that reconciliation compares.
    pub record: RecordId,
    /// The partition.
    pub partition: u16,
    /// The commit's stamp.
    pub stamp: Stamp,
}

/// A private row of a bridge or of the node itself, written in the same transaction as the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideRow {
    /// Namespace, such as `session` or `deferred`.
    pub ns: &'static str,
    /// Key inside the namespace.
    pub key: Vec<u8>,
    /// The value; `None` deletes the row.
    pub value: Option<Vec<u8>>,
    /// A row with this key makes the whole batch a `Duplicate`, and nothing is written.
    pub insert_only: bool,
}

/// What a batch changed, for the change feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The node.
    pub soul: Soul,
    /// The fields of it.
    pub fields: Vec<Field>,
}

/// One transaction.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Entries that are now part of the state.
    pub puts: Vec<Put>,
    /// Entries that left it, with the record id under which they were put.
    pub drops: Vec<(EntryId, RecordId)>,
    /// Commits of `puts` that the store may not hold yet.
    pub commits: Vec<Arc<StoredCommit>>,
    /// Endorsements of commits that have entries after this batch; others are passed over, known ones stay.
    pub endorsements: Vec<Endorsement>,
    /// Entries that were displaced.
    pub losers: Vec<Loser>,
    /// An erase covers these: their history goes too.
    pub forget: Vec<EntryId>,
    /// Rows of other owners.
    pub side: Vec<SideRow>,
    /// What the change feed's row says. Empty: no row.
    pub changes: Vec<Change>,
    /// Now, in milliseconds since the epoch.
    pub now_ms: u64,
    /// The feed number up to which the caller knows every change of the souls it touches. A later row of another
    /// process that names one of them is a conflict.
    pub seen_feed: u64,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Durable. `feed` is the number of the feed's row, or of the last row when the batch made none.
    Done {
        /// Feed number.
        feed: u64,
        /// Endorsed partitions that came to be: an endorsement is new, or its commit has its first entry there.
        endorsed: Vec<EndorsedPartition>,
        /// Endorsed partitions that ended: the commit has no entry there any more.
        ended: Vec<EndorsedPartition>,
    },
    /// Another process changed one of the souls since `seen_feed`; nothing was written. Load again and retry.
    Conflict,
    /// An `insert_only` row exists; nothing was written.
    Duplicate {
        /// Its namespace.
        ns: &'static str,
        /// Its key.
        key: Vec<u8>,
    },
}

/// What reconciliation needs to know of a stored entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexRow {
    /// The entry.
    pub id: EntryId,
    /// Its partition.
    pub partition: u16,
    /// The whole seconds since 2020-01-01 under which it is compared.
    pub seconds: u32,
}

/// One row of the change feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRow {
    /// Rises by at least one from row to row.
    pub number: u64,
    /// When it was applied, in milliseconds since the epoch.
    pub ms: u64,
    /// What changed.
    pub changes: Vec<Change>,
}

/// A page of the change feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedPage {
    /// Rows in order.
    pub rows: Vec<FeedRow>,
    /// The number of the oldest row kept (or of the next one when the feed is empty): whoever has seen less than the
    /// one before it has lost something.
    pub oldest: u64,
}

/// What a stored entry may keep a blob by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobReference {
    /// Its value is a blob.
    Blob(Cid),
    /// Its value is ciphertext of this node, in which a blob may be named.
    Sealed(Soul),
}

/// A page of references to blobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobPage {
    /// In the order of the store, as often as they stand there.
    pub references: Vec<BlobReference>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<i64>,
}

/// Counts for `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Rows of entries.
    pub entries: u64,
    /// Rows of commits.
    pub commits: u64,
    /// Bytes of the database on disk.
    pub bytes: u64,
}

/// Durable storage. Correct for several processes on one database.
#[async_trait]
pub trait GraphStore: Send + Sync {
    /// Every entry of these souls, dropped values included, in no particular order. Here and in every other read a row
    /// that cannot be decoded is passed over, logged and counted: one damaged row must not take its node with it.
    async fn load(&self, souls: &[Soul]) -> Result<Vec<Entry>, StoreError>;

    /// One transaction; concurrent callers share it, and each is answered after it is durable. Batches of one caller
    /// are applied in the order of the calls.
    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError>;

    /// Entries whose record id begins with the first eight bytes of one of these; the caller compares the rest.
    async fn by_record(&self, records: &[RecordId]) -> Result<Vec<Entry>, StoreError>;

    /// The stored commits among these, in no particular order.
    async fn commits(&self, ids: &[CommitId]) -> Result<Vec<StoredCommit>, StoreError>;

    /// A page of all entries but those of local souls, in storage order, for building the reconciliation index; `after`
    /// is the last page's cursor, 0 at first. An empty page ends it.
    async fn index(&self, after: i64, limit: u32) -> Result<(Vec<IndexRow>, i64), StoreError>;

    /// A page of all endorsed partitions in storage order, for building the reconciliation index; as
    /// [`GraphStore::index`]. An endorsement's partitions stay together, so a page may be longer than `limit` by those
    /// of one commit.
    async fn endorsed(&self, after: i64, limit: u32) -> Result<(Vec<EndorsedPartition>, i64), StoreError>;

    /// Endorsements whose record id begins with the first eight bytes of one of these; the caller compares the rest.
    async fn endorsements_by_record(&self, records: &[RecordId]) -> Result<Vec<Endorsement>, StoreError>;

    /// The endorsements of these commits, in no particular order.
    async fn endorsements(&self, commits: &[CommitId]) -> Result<Vec<Endorsement>, StoreError>;

    /// Entries of one commit, at most `limit`, in no particular order.
    async fn entries_of(&self, commit: CommitId, limit: u32) -> Result<Vec<Entry>, StoreError>;

    /// Souls that begin with `prefix`, greater than `after`, ascending by bytes.
    async fn souls(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Soul>, StoreError>;

    /// Displaced entries of a field, newest first; `before` is the last page's `next`, `None` at first.
    async fn history(
        &self,
        soul: &Soul,
        field: &Field,
        before: Option<i64>,
        limit: u32,
    ) -> Result<HistoryPage, StoreError>;

    /// Whether history holds any of these ids; the ones it does.
    async fn in_history(&self, ids: &[EntryId]) -> Result<Vec<EntryId>, StoreError>;

    /// Rows of the change feed after `after`.
    async fn feed(&self, after: u64, limit: u32) -> Result<FeedPage, StoreError>;

    /// The number of the last row of the change feed, 0 before the first.
    async fn last_feed(&self) -> Result<u64, StoreError>;

    /// A private row.
    async fn side_get(&self, ns: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Private rows whose key begins with `prefix`, ascending by key.
    async fn side_scan(
        &self,
        ns: &'static str,
        prefix: &[u8],
        limit: u32,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError>;

    /// Private rows whose key begins with `prefix` and is greater than `after`, ascending by key.
    async fn side_page(
        &self,
        ns: &'static str,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: u32,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError>;

    /// How many private rows have a key from `from` on and before `to`.
    async fn side_count(&self, ns: &'static str, from: &[u8], to: &[u8]) -> Result<u64, StoreError>;

    /// The blobs that stored entries name, hidden ones included, among about `rows` entries; `after` is the last page's
    /// `next`, 0 at first. An entry that is written while pages are read is in a later page.
    async fn blob_references(&self, after: i64, rows: u32) -> Result<BlobPage, StoreError>;

    /// Removes old history and feed rows; see the adapter's configuration.
    async fn trim(&self, now_ms: u64) -> Result<(), StoreError>;

    /// Looks at some of the rows, at least one and about `limit`, and says what is wrong with them. Signatures and proofs
    /// are not looked at.
    async fn check(&self, after: CheckCursor, limit: u32) -> Result<CheckPage, StoreError>;

    /// Puts faults right that [`GraphStore::check`] found, in one transaction: rows that cannot be used go to
    /// [`super::LOST_AND_FOUND`], counts and look-up rows are made anew. A fault that is none any more is passed over.
    async fn repair(&self, faults: Vec<Fault>, now_ms: u64) -> Result<Repaired, StoreError>;

    /// Counts.
    async fn stats(&self) -> Result<StoreStats, StoreError>;

    /// A round trip that shows the database answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Finishes what is under way and closes.
    async fn close(&self);
}
