//! The bounds and intervals of the engine.

/// Commits that wait for one peer. What does not fit is left to reconciliation.
pub const MAX_QUEUED_COMMITS: usize = 4096;
/// Bytes of envelopes that wait for one peer.
pub const MAX_QUEUED_BYTES: usize = 8 * 1024 * 1024;
/// Puts without answer at one peer.
pub const MAX_PUTS_IN_FLIGHT: usize = 4;
/// Requests of one peer that are being worked on.
pub const MAX_SERVED: usize = 32;
/// Gossiped envelopes that are being ingested.
pub const MAX_HEARD: usize = 64;
/// Commits whose delivery is remembered; the oldest is forgotten.
pub const MAX_DELIVERIES: usize = 65_536;
/// Callers that wait for a commit; further ones are answered at once.
pub const MAX_WAITERS: usize = 16_384;
/// Asks for a soul under way; further ones are answered with nothing.
pub const MAX_ASKS: usize = 1024;
/// Peers asked for a soul.
pub const ASKED_PEERS: usize = 3;
/// How long an ask waits for others after the first answer that holds something.
pub const ASK_GRACE_MS: u64 = 250;
/// How long an ask waits at all.
pub const ASK_DEADLINE_MS: u64 = 3_000;
/// Replicas known, retired ones included. Of a full list the retired one not seen for longest makes room, else the
/// oldest of those only heard of.
pub const MAX_MEMBERS: usize = 1024;
/// A replica that was not seen for this long counts no longer.
pub const RETIRE_AFTER_MS: u64 = 7 * 24 * 3_600_000;
/// How long an engine must have run before it retires anybody: what was written down of who was seen is as old as the
/// stop was long, and those who are there need time to come back.
pub const RETIRE_AFTER_START_MS: u64 = 3_600_000;
/// How often the time a replica was seen is written down.
pub const SAVE_SEEN_EVERY_MS: u64 = 3_600_000;
/// Pause between two reconciliations with one peer; a jitter comes on top.
pub const SYNC_INTERVAL_MS: u64 = 30_000;
/// Greatest jitter of that pause.
pub const SYNC_JITTER_MS: u64 = 5_000;
/// Pause before reconciling after a push failed or was dropped.
pub const SYNC_SOON_MS: u64 = 1_000;
/// How long the replica with the greater id waits for the other one to begin.
pub const SYNC_YIELD_MS: u64 = 2_000;
/// Entries younger than this are left out of the regular comparison: their pushes may be under way.
pub const SYNC_SETTLE_S: u32 = 10;
/// How often it is noted which commits were published by then, to know later which of them a comparison covers.
pub const MARK_INTERVAL_MS: u64 = 1_000;
/// Requests and loads of one reconciliation that run at a time, each way.
pub const MAX_SYNC_JOBS: usize = 2;
/// Ids that one reconciliation message may make this side collect, of either kind.
pub const MAX_SYNC_IDS: usize = 65_536;
/// Records loaded at a time to be offered.
pub const OFFER_RECORDS: usize = 256;
/// Bytes of envelopes loaded at a time to be offered.
pub const OFFER_BYTES: usize = 4 * 1024 * 1024;
/// How often a fetch that was answered in part is sent again.
pub const MAX_FETCH_ATTEMPTS: u32 = 64;
/// Comparisons in one reconciliation before it pauses.
pub const MAX_SYNC_RESTARTS: u32 = 8;
/// Messages in one reconciliation before it pauses.
pub const MAX_SYNC_ROUNDS: u32 = 16_384;
/// An envelope above this is not gossiped.
pub const MAX_GOSSIP_BYTES: usize = 64 * 1024;
/// A batch of more commits than this is not gossiped: it is an import, and reconciliation carries it better.
pub const MAX_GOSSIP_COMMITS: usize = 64;
/// Breaches of the protocol after which a peer is distrusted.
pub const MAX_STRIKES: u32 = 8;
