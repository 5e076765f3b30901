//! The bounds of the protocol and of what a peer may make us keep. What an owner may want to change is in
//! [`Config`](crate::Config).

/// Largest message, both ways: the specification's MUST, and what Kubo's reader accepts.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Largest block, both ways: the specification's MUST.
pub const MAX_BLOCK_BYTES: usize = 2 * 1024 * 1024;

/// Entries of a wantlist, blocks, or presences that are kept of one message; further ones are counted and left out.
/// Kubo's client packs up to 512 KiB of entries, which are about 11,000.
pub const MAX_ITEMS_PER_MESSAGE: usize = 16_384;

/// Longest CID that is looked at, as in boxo: four varints and a digest of 128 bytes.
pub const MAX_CID_BYTES: usize = 168;

/// Bytes of messages that are being read on one connection. A message reserves its length before its body is read, so
/// streams wait for each other instead of all holding a part. Two messages of the largest size.
pub(crate) const MAX_ASSEMBLING_BYTES: usize = 2 * MAX_MESSAGE_BYTES;

/// Hashed in one go before the connection's task lets its other protocols run: about 0.6 ms of SHA-256.
pub(crate) const MAX_HASHED_AT_ONCE: usize = 1024 * 1024;

/// Wants of a peer that are kept even when all lists together are full, so that a few greedy peers cannot shut out the
/// others; what Kubo keeps of each.
pub(crate) const SURE_WANTS: usize = 1024;

/// Largest target of a message: with a block of 2 MiB not yet counted it would not fit else.
pub(crate) const MAX_TARGET_BYTES: usize = 3 * 1024 * 1024;

/// Sizes that one job looks up: a peer's list of 1,024 is four jobs, between which other peers have their turn.
pub(crate) const LOOKUPS_PER_JOB: usize = 256;

/// Reads of the store that one job has under way at once.
pub(crate) const READS_AT_ONCE: usize = 8;

/// Presences that wait to be written to one peer; beyond it no more of its wants are looked up.
pub(crate) const MAX_OUTSTANDING_PRESENCES: usize = 4096;

/// Entries put into one outgoing message; about 200 KiB.
pub(crate) const ENTRIES_PER_MESSAGE: usize = 4096;

/// WANT-BLOCKs without answer at one peer. With [`MAX_HAVES_IN_FLIGHT`] below the 1,024 entries that Kubo keeps.
pub(crate) const MAX_BLOCKS_IN_FLIGHT: usize = 256;

/// WANT-HAVEs without answer at one peer.
pub(crate) const MAX_HAVES_IN_FLIGHT: usize = 512;

/// Wants of one session that are searched for at a time. Whoever has one of them is then asked for the others directly.
pub(crate) const SEARCHES_PER_SESSION: usize = 64;

/// Peers asked with WANT-HAVE for one block.
pub(crate) const MAX_BROADCAST: usize = 128;

/// Peers that a session knows to be useful.
pub(crate) const MAX_SESSION_PEERS: usize = 64;

/// Providers given to one session that are remembered while they are being dialled.
pub(crate) const MAX_PROVIDERS: usize = 64;

/// (peer, block) pairs that were asked and are no longer wanted. A block in flight while its CANCEL was sent is late,
/// not a lie.
pub(crate) const MAX_LATE: usize = 65_536;

/// Ledgers of peers that are gone.
pub(crate) const MAX_OLD_LEDGERS: usize = 1024;

/// Peers that are being ignored.
pub(crate) const MAX_IGNORED: usize = 4096;

/// Events that wait for the owner; further reports of misbehaviour are dropped, their counters remain.
pub(crate) const MAX_EVENTS: usize = 1024;

/// CIDs that wait to be offered; beyond it every kept want is looked up again instead.
pub(crate) const MAX_NOTIFIED: usize = 16_384;
