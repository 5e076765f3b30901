//! The one place where entries are joined.
//!
//! Jobs are planned, as they come, into the open group, in memory against node states. The group becomes one transaction
//! and is answered once that is durable; while it is being written, the next one is planned on top of it. When a transaction
//! fails, every group planned on top of it fails with it and the states are loaded afresh; when another process got in
//! between (`Conflict`), their jobs are planned again. (For now the command line lets only one process have a data folder: caches of
//! states and rendered nodes are not told of another's writes yet.)

mod authors;
mod commit;
mod deferred;
mod endorse;
mod group;
mod join;
mod load;
mod local;
mod revocations;
mod run;
mod session;
mod shared;
mod sign;
mod staged;
mod states;

use std::sync::Arc;

use bytes::Bytes;
use rustdht_core::{
    CertificateId, CommitId, Entry, EntryId, Field, Refusal, Soul, Stamp,
    ports::{SideRow, StoredCommit},
};
use rustdht_graph::{Draft, FieldRef, NodeState, Pen};
use rustdht_wire::{SignedCertificate, Verified};
use tokio::sync::oneshot;

use crate::{Error, ImportNode, NodeWrite, Op, OpResult, Outcome, Principal, Rendered};

pub(crate) use commit::{Answers, Committer, give_out, index_item};
pub(crate) use deferred::envelope_header;
pub(crate) use run::{Groups, Merger};
pub(crate) use shared::Shared;

/// Jobs waiting for the merger; further callers wait.
pub(crate) const QUEUE_JOBS: usize = 1024;
/// Jobs of one group.
const GROUP_JOBS: usize = 512;
/// Operations after which a group takes no further job.
const GROUP_OPERATIONS: usize = 4096;

/// A verified commit, or a part of one, to be joined.
#[derive(Clone, Debug)]
pub(crate) struct Foreign {
    /// The commit.
    pub(crate) verified: Verified,
    /// The envelope as it came, to be kept while it is deferred and pushed to the others if it came in at a door.
    pub(crate) envelope: Bytes,
    /// Through where it came.
    pub(crate) origin: Origin,
    /// Endorsements of it that were durable here when it came.
    pub(crate) endorsed: Vec<CertificateId>,
}

/// Through where a commit came that was not signed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From a member.
    Member,
    /// At a door of this gateway, from a caller whom it vouches for.
    Door,
    /// At a door of this gateway, from anybody: it has to bring an endorsement where one is needed.
    Stranger,
}

impl Origin {
    /// Whether the members have to get it from here.
    pub(crate) const fn is_door(self) -> bool {
        matches!(self, Self::Door | Self::Stranger)
    }
}

/// A commit that waits for this gateway's endorsement, with what is left of it.
#[derive(Clone, Debug)]
pub(crate) struct Backlog {
    pub(crate) id: CommitId,
    pub(crate) commit: Option<StoredCommit>,
    pub(crate) entries: Vec<Arc<Entry>>,
    /// The chains under which its author wrote.
    pub(crate) certificates: Vec<Arc<SignedCertificate>>,
}

/// Operations that were planned outside of the merger.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) by: Principal,
    pub(crate) drafts: Vec<Draft>,
    /// Rows of the same transaction.
    pub(crate) side: Vec<SideRow>,
    /// What must not have happened since the drafts were planned; else `stale`.
    pub(crate) unless: Option<Unless>,
}

/// A change of the field of a draft, after which what was planned before must not be written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unless {
    /// A deletion or an erase with a greater stamp: what was typed before it would come back.
    CutAfter(Stamp),
    /// Any entry with a greater stamp: it would be overwritten unread.
    WrittenAfter(Stamp),
}

impl Unless {
    /// Whether it happened.
    pub(crate) fn holds(self, node: &NodeState, field: &Field) -> bool {
        match self {
            Self::CutAfter(seen) => Self::cut(node, field) > seen,
            Self::WrittenAfter(seen) => Self::written(node, field) > seen,
        }
    }

    /// The greatest stamp of a deletion or an erase of a field.
    pub(crate) fn cut(node: &NodeState, field: &Field) -> Stamp {
        // Of all of them, whatever authority hides: two who hold the same entries have to agree.
        let entries = node.field(field).into_iter().flat_map(FieldRef::entries);
        entries
            .filter(|entry| entry.kind.is_null() || entry.is_erase())
            .map(|entry| entry.stamp)
            .max()
            .unwrap_or_default()
    }

    /// The greatest stamp in a field.
    pub(crate) fn written(node: &NodeState, field: &Field) -> Stamp {
        let entries = node.field(field).into_iter().flat_map(FieldRef::entries);
        entries.map(|entry| entry.stamp).max().unwrap_or_default()
    }
}

#[derive(Debug)]
pub(crate) enum Request {
    Write(Box<NodeWrite>),
    Ops(Principal, Vec<Op>),
    Import(Principal, Vec<ImportNode>),
    Planned(Planned),
    /// With which pen this principal writes there.
    Pen(Principal, Soul, Field),
    Foreign(Vec<Foreign>),
    /// Commits that this gateway took before it was a member.
    Endorse(Vec<Backlog>),
    /// Deferred commits that are due.
    Due(Vec<(deferred::Key, Foreign)>),
}

/// A write of one node, made.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) node: Option<Rendered>,
    pub(crate) commits: Vec<CommitId>,
    pub(crate) stamp: Stamp,
}

/// A commit, joined.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) commit: Option<CommitId>,
    pub(crate) stamp: Stamp,
    pub(crate) results: Vec<OpResult>,
}

/// What became of one operation from a peer.
pub(crate) type ForeignResult = (u16, EntryId, Result<Option<Outcome>, Refusal>);

/// What became of a foreign commit: per operation, `None` where it waits for what covers it.
#[derive(Debug)]
pub(crate) struct ForeignDone {
    pub(crate) results: Vec<ForeignResult>,
}

#[derive(Debug)]
pub(crate) enum Answer {
    Written(Written),
    Joined(Joined),
    Imported(Vec<Result<(), (u64, Error)>>),
    Foreign(Vec<ForeignDone>),
    Pen(Pen),
    Done,
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) reply: oneshot::Sender<Result<Answer, Error>>,
}

impl Request {
    /// A rough count of operations.
    fn operations(&self) -> usize {
        match self {
            Self::Write(write) => write.fields.len().max(1),
            Self::Ops(_, ops) => ops.len(),
            Self::Planned(planned) => planned.drafts.len().max(1),
            Self::Pen(..) => 1,
            Self::Endorse(commits) => commits.iter().map(|commit| commit.entries.len()).sum(),
            Self::Import(_, nodes) => nodes.iter().map(|node| node.fields.len()).sum(),
            Self::Foreign(commits) => commits.iter().map(|commit| commit.verified.entries.len()).sum(),
            Self::Due(commits) => commits.iter().map(|(_, commit)| commit.verified.entries.len()).sum(),
        }
    }
}
