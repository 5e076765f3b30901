//! What goes into the engine and what comes out.

use bytes::Bytes;
use rustdht_core::{
    CommitId, RecordId, Refusal, Soul,
    ports::{Durability, IngestOutcome, Published, ReplicaId},
};
use rustdht_wire::protocol::{Request, Response};

/// Names something the engine asked for, until its answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Names a request of a peer; chosen by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names a caller on this side that waits for a result; chosen by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallerId(pub u64);

/// The time of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since any moment, by a clock that is never set: for intervals and deadlines.
    pub steady_ms: u64,
    /// Milliseconds since the epoch: for stamps, and for what outlives the process.
    pub wall_ms: u64,
}

/// One clock for both, where nobody sets it.
impl From<u64> for Now {
    fn from(ms: u64) -> Self {
        Self { steady_ms: ms, wall_ms: ms }
    }
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection is open and both sides have proved the network key.
    Connected {
        /// The peer.
        replica: ReplicaId,
        /// The signed replica records it sent, its own among them.
        records: Vec<Bytes>,
    },
    /// No connection is left.
    Disconnected {
        /// The peer.
        replica: ReplicaId,
    },
    /// A connected peer sent further replica records.
    Records {
        /// The peer.
        from: ReplicaId,
        /// Signed replica records.
        records: Vec<Bytes>,
    },
    /// Something became durable here.
    Published(Published),
    /// A peer asks. Every request is answered by one `Respond` or `Refuse`.
    Request {
        /// Goes back with the answer.
        id: RequestId,
        /// The peer.
        from: ReplicaId,
        /// What it asks.
        request: Request,
    },
    /// The answer to a `Send`.
    Answer {
        /// The token of the `Send`.
        token: Token,
        /// What the peer answered.
        response: Response,
    },
    /// A `Send` had no answer.
    Failed {
        /// The token of the `Send`.
        token: Token,
    },
    /// An `Ingest` is done. What it changed was published before.
    Ingested {
        /// The token of the `Ingest`.
        token: Token,
        /// One for each envelope, in order.
        outcomes: Vec<IngestOutcome>,
    },
    /// A `LoadRecords` or `LoadSoul` is done.
    Loaded {
        /// The token of the load.
        token: Token,
        /// The envelopes.
        envelopes: Vec<Bytes>,
        /// Records that are not here.
        missing: Vec<RecordId>,
    },
    /// An envelope came by gossip; it is answered by one `Judged`.
    Heard {
        /// Goes back with the verdict.
        caller: CallerId,
        /// The peer that passed it on.
        from: ReplicaId,
        /// The envelope.
        envelope: Bytes,
    },
    /// Somebody waits for a commit to be durable; answered by one `Durable`.
    Await {
        /// Goes back with the answer.
        caller: CallerId,
        /// The commit.
        commit: CommitId,
        /// When to answer at the latest, by the steady clock.
        deadline_ms: u64,
    },
    /// Somebody wants a soul from the others; answered by one `Found`.
    Ask {
        /// Goes back with the answer.
        caller: CallerId,
        /// The node.
        soul: Soul,
    },
    /// Time passed; expected every 100 ms or so.
    Tick,
}

/// Something is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a request to a connected peer; one `Answer` or `Failed` follows.
    Send {
        /// Goes back with the answer.
        token: Token,
        /// The peer.
        to: ReplicaId,
        /// The request.
        request: Request,
    },
    /// Answer a request.
    Respond {
        /// The request.
        id: RequestId,
        /// The answer.
        response: Response,
    },
    /// Leave a request without answer: it was none, or not of the engine's protocols.
    Refuse {
        /// The request.
        id: RequestId,
    },
    /// Verify, merge and make durable; one `Ingested` follows.
    Ingest {
        /// Goes back with the outcomes.
        token: Token,
        /// The peer that sent them.
        from: ReplicaId,
        /// The envelopes.
        envelopes: Vec<Bytes>,
    },
    /// Load envelopes that carry these records; one `Loaded` follows.
    LoadRecords {
        /// Goes back with the envelopes.
        token: Token,
        /// The records.
        records: Vec<RecordId>,
        /// Bytes of envelopes at most.
        max_bytes: usize,
    },
    /// Load envelopes that carry a soul; one `Loaded` follows.
    LoadSoul {
        /// Goes back with the envelopes.
        token: Token,
        /// The node.
        soul: Soul,
        /// Bytes of envelopes at most.
        max_bytes: usize,
    },
    /// The answer to an `Await`.
    Durable {
        /// The caller.
        caller: CallerId,
        /// How far the commit got.
        durability: Durability,
    },
    /// The answer to an `Ask`.
    Found {
        /// The caller.
        caller: CallerId,
        /// Envelopes as they came, unverified.
        envelopes: Vec<Bytes>,
    },
    /// What became of a `Heard`.
    Judged {
        /// The caller.
        caller: CallerId,
        /// The outcome of its envelope.
        outcome: IngestOutcome,
    },
    /// Gossip an envelope: a counted replica is out of direct reach.
    Announce {
        /// The envelope.
        envelope: Bytes,
    },
    /// Keep a row over restarts; `None` deletes it. Rows of one key are written in order.
    Save {
        /// Its key.
        key: Vec<u8>,
        /// Its value.
        value: Option<Vec<u8>>,
    },
    /// Disconnect this peer and refuse it for a while: it broke the protocol too often.
    Distrust {
        /// The peer.
        replica: ReplicaId,
    },
    /// For logs, metrics and the address book.
    Note(Note),
}

/// What an operator may want to count or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A replica was not known before.
    MemberLearned {
        /// The replica.
        replica: ReplicaId,
        /// Its signed record.
        record: Bytes,
    },
    /// A replica counts no longer: it was not seen for seven days.
    MemberRetired {
        /// The replica.
        replica: ReplicaId,
    },
    /// A peer's queue was over its bound and was dropped; reconciliation repairs it.
    QueueDropped {
        /// The peer.
        replica: ReplicaId,
        /// Commits dropped.
        commits: usize,
    },
    /// Reconciliation ended equal.
    Equal {
        /// The peer.
        replica: ReplicaId,
        /// Messages exchanged by this side.
        rounds: u32,
        /// Ids asked for.
        fetched: u64,
        /// Ids offered.
        offered: u64,
    },
    /// Reconciliation ended otherwise; it is tried again later.
    Unequal {
        /// The peer.
        replica: ReplicaId,
    },
    /// A peer refused an envelope of ours, or we one of its.
    Refused {
        /// The peer.
        replica: ReplicaId,
        /// The reason.
        refusal: Refusal,
    },
    /// A peer sent what the protocol does not allow; it was ignored.
    Misbehaved {
        /// The peer.
        replica: ReplicaId,
        /// What it was.
        what: &'static str,
    },
}
