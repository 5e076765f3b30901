//! What the use cases take and give. Nothing here knows HTTP.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rustdht_core::{
    CommitId, EntryId, Field, Kind, Mode, NetId, Placement, PublicKey, Refusal, Soul, Stamp, Value,
    json::Ints,
    ports::{Durability, ReplicationError, StoreError},
};
use rustdht_graph::{Action, Wanted};

use crate::{AccountFault, NameFault, PinFault, Principal, SchemaViolation};

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input breaks a rule; nothing changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// `If-Match` does not hold; nothing changed. Carries the current tag.
    #[error("the node changed since {0} was read")]
    PreconditionFailed(String),
    /// The node keeps up with no more work now; nothing changed.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The store could not take it; nothing was acknowledged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The network could not be asked.
    #[error(transparent)]
    Network(#[from] ReplicationError),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// The database's secrets do not open under the key that the node was started with.
    #[error(
        "the secrets of this database do not open with its key file ({0}): put back the file 'key' that belongs to this \
         data folder, from a backup; without it the keys in this database cannot be used"
    )]
    SealKey(String),
    /// An account or a token cannot be used so.
    #[error(transparent)]
    Account(#[from] AccountFault),
    /// Something cannot be kept so.
    #[error(transparent)]
    Pin(#[from] PinFault),
    /// A key or a name cannot be used so.
    #[error(transparent)]
    Name(#[from] NameFault),
    /// A write would leave a node that its schema does not allow; nothing changed.
    #[error(transparent)]
    Schema(Box<SchemaViolation>),
    /// A field of another kind than text, list and map is no document.
    #[error("the field is a {0}: editors open text, list and map")]
    NotADocument(Kind),
}

/// Where a read looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// Here; for a soul unknown here the members are asked.
    #[default]
    Auto,
    /// Here only.
    Local,
    /// The members are asked, whatever is here.
    Network,
}

/// A node as `GET` answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// `{"soul":...,"data":{...},"stamp":"..."}`.
    pub json: Bytes,
    /// A strong entity tag with its quotes; changes with every change of the node's state.
    pub etag: Arc<str>,
    /// The node's greatest stamp.
    pub stamp: Stamp,
}

/// How a node is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenderOptions {
    /// Integers beyond 2^53.
    pub ints: Ints,
    /// Adds, per field, kind, stamp, author, commit and the entries that lost.
    pub meta: bool,
    /// For whom: private values are opened for those who hold their key.
    pub reader: Principal,
}

impl RenderOptions {
    /// Whether this is the rendering that is kept for reads, whoever reads.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        Self { reader: Principal::Anonymous, ..*self } == Self::default()
    }
}

/// How the fields that a write does not name fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// They stay.
    Patch,
    /// They are deleted.
    Put,
    /// Every field is deleted; `fields` is empty.
    Delete,
}

/// A write of one node, signed by the writer's key.
#[derive(Clone, Debug)]
pub struct NodeWrite {
    /// Who writes.
    pub by: Principal,
    /// The node.
    pub soul: Soul,
    /// What becomes of unnamed fields.
    pub mode: WriteMode,
    /// The named fields.
    pub fields: Vec<(Field, Wanted)>,
    /// Tags of which one must be the node's current one (`*`: the node exists).
    pub if_match: Option<Vec<String>>,
    /// Tags of which none may be (`*`: the node must not exist).
    pub if_none_match: Option<Vec<String>>,
    /// How long to wait for W' owners.
    pub wait: Duration,
    /// How to print the merged node; for `by`, whatever it says of the reader.
    pub render: RenderOptions,
}

/// What became of a write of one node.
#[derive(Clone, Debug)]
pub struct NodeWritten {
    /// The merged node; `None` when it has no field left.
    pub node: Option<Rendered>,
    /// The commits made, in order; one unless the write needed more than 1,024 operations, none when it changed
    /// nothing.
    pub commits: Vec<CommitId>,
    /// The stamp of the last commit, or the node's when none was made.
    pub stamp: Stamp,
    /// How far the last commit got; 200 when acknowledged, else 202.
    pub durability: Durability,
}

/// An [`Action`] on a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// The node.
    pub soul: Soul,
    /// The field.
    pub field: Field,
    /// What to do.
    pub action: Action,
}

/// The merge outcome of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is part of the state now.
    Taken,
    /// It was known already, or changed nothing.
    Known,
    /// Something newer is here.
    Historical,
    /// It waits until its stamp is due, in milliseconds since the epoch.
    Deferred {
        /// When.
        until_ms: u64,
    },
}

impl Outcome {
    /// The word of the HTTP contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Known => "known",
            Self::Historical => "historical",
            Self::Deferred { .. } => "deferred",
        }
    }
}

/// The outcome of operation `index` of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpResult {
    /// Its index.
    pub index: u16,
    /// What became of it.
    pub outcome: Outcome,
    /// Its entry id; `None` when it made no entry.
    pub id: Option<EntryId>,
}

/// What became of a commit.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The commit; `None` when no operation made an entry.
    pub commit: Option<CommitId>,
    /// Its stamp.
    pub stamp: Stamp,
    /// One for each operation of the request.
    pub results: Vec<OpResult>,
    /// How far it got.
    pub durability: Durability,
}

impl Committed {
    /// Whether any operation waits for its time: answered 202.
    #[must_use]
    pub fn is_deferred(&self) -> bool {
        self.results.iter().any(|result| matches!(result.outcome, Outcome::Deferred { .. }))
    }
}

/// A node of an import stream.
#[derive(Clone, Debug)]
pub struct ImportNode {
    /// The line it stood on, counted from 1.
    pub line: u64,
    /// The node.
    pub soul: Soul,
    /// Its fields. Sets are add only.
    pub fields: Vec<(Field, Wanted)>,
}

/// A step of a path traversal.
#[derive(Clone, Debug, PartialEq)]
pub struct PathAnswer {
    /// What the last segment holds at each node reached, in the order reached, without repeats: links, values.
    pub values: Vec<Value>,
    /// The nodes reached by following links, rendered; those that do not exist are left out.
    pub nodes: Vec<Rendered>,
    /// Whether a limit cut the answer short.
    pub truncated: bool,
}

/// What `watch` filters on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchFilter {
    /// One node.
    Soul(Soul),
    /// Every node whose soul begins so.
    Prefix(String),
}

/// An event of `watch`.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// A node changed: its rendering, or `None` when it has no field left.
    Changed {
        /// The feed number, for `Last-Event-ID`.
        feed: u64,
        /// The node.
        soul: Soul,
        /// The fields that changed.
        fields: Vec<Field>,
        /// The node as it is now.
        node: Option<Rendered>,
        /// Whether another event of the same feed number follows.
        more: bool,
    },
    /// Rows before this number are gone: what happened since the client's id cannot be told.
    Lost {
        /// The oldest row kept.
        oldest: u64,
    },
}

/// Who this gateway is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The network.
    pub net: NetId,
    /// Its name.
    pub name: String,
    /// Its mode.
    pub mode: Mode,
    /// Its numbers.
    pub placement: Placement,
    /// The gateway key G.
    pub gateway: PublicKey,
    /// The community key C.
    pub community: PublicKey,
}

/// Counts for `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GraphStatus {
    /// Entries stored.
    pub entries: u64,
    /// Commits stored.
    pub commits: u64,
    /// Bytes of the database.
    pub database_bytes: u64,
    /// Commits waiting for their stamp.
    pub deferred: u64,
    /// Whether this gateway may endorse: in mode `members` it is a member; in mode `open` nothing is endorsed.
    pub may_endorse: bool,
    /// The greatest stamp admitted.
    pub clock: Stamp,
    /// The last feed number.
    pub feed: u64,
}
