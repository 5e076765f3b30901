//! The one place where entries are joined.
//!
//! Jobs are planned, as they come, into the open group, in memory against node states. The group becomes one transaction
//! and is answered once that is durable; while it is being written, the next one is planned on top of it. When a transaction
//! fails, every group planned on top of it fails with it and the states are loaded afresh; when another process got in
//! between (`Conflict`), their jobs are planned again. (For now the command line lets only one process have a data folder: caches of
//! states and rendered nodes are not told of another's writes yet.)

mod commit;
mod deferred;
mod group;
mod join;
mod local;
mod run;
mod session;
mod staged;
mod states;

use bytes::Bytes;
use rustdht_core::{CommitId, EntryId, Refusal, Stamp};
use rustdht_wire::Verified;
use tokio::sync::oneshot;

use crate::{Error, ImportNode, NodeWrite, Op, OpResult, Outcome, Rendered};

pub(crate) use commit::{Answers, Committer, give_out};
pub(crate) use run::{Groups, Merger, Shared};
pub(crate) use session::Session;

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
    /// Whether it came in at a door of this gateway rather than from a member.
    pub(crate) door: bool,
}

#[derive(Debug)]
pub(crate) enum Request {
    Write(Box<NodeWrite>),
    Ops(Vec<Op>),
    Import(Vec<ImportNode>),
    Foreign(Vec<Foreign>),
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
    Due,
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
            Self::Ops(ops) => ops.len(),
            Self::Import(nodes) => nodes.iter().map(|node| node.fields.len()).sum(),
            Self::Foreign(commits) => commits.iter().map(|commit| commit.verified.entries.len()).sum(),
            Self::Due(commits) => commits.iter().map(|(_, commit)| commit.verified.entries.len()).sum(),
        }
    }
}
