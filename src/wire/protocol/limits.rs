//! The bounds of the messages between members.

/// What the frame of an answer may take besides the envelopes it was asked for: one envelope that is itself at its
/// bound (an answer holds at least one), heads, and the ids that are missing.
pub const OVERHEAD_BYTES: usize = 1024 * 1024 + 128 * 1024;
/// Envelopes in one put.
pub const MAX_PUT_ENVELOPES: usize = 256;
/// Bytes of envelopes that a sender puts into one put; a single envelope may be larger.
pub const PUT_BATCH_BYTES: usize = 1024 * 1024;
/// Greatest size of a put in bytes.
pub const MAX_PUT_BYTES: usize = PUT_BATCH_BYTES + OVERHEAD_BYTES;
/// Greatest size of one envelope between replicas: that of a door, and leaves or proofs beside it.
pub const MAX_REPLICA_ENVELOPE_BYTES: usize = 1024 * 1024 + 64 * 1024;
/// Record ids in one fetch.
pub const MAX_FETCH_RECORDS: usize = 1024;
/// Bytes of envelopes that a fetch is answered with; what does not fit is asked for again.
pub const MAX_FETCH_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of envelopes that a get is answered with.
pub const MAX_GET_BYTES: usize = 4 * 1024 * 1024;
/// Envelopes in the answer of a fetch or get.
pub const MAX_ANSWER_ENVELOPES: usize = 16 * 1024;
/// Bytes of one reconciliation message (negentropy's frame size limit).
pub const SYNC_FRAME_BYTES: usize = 128 * 1024;
/// Greatest size of a sync message in bytes.
pub const MAX_SYNC_BYTES: usize = SYNC_FRAME_BYTES + 1024;
/// Greatest size of a hello message in bytes.
pub const MAX_HELLO_BYTES: usize = 512 * 1024;
/// Members in one hello message.
pub const MAX_HELLO_MEMBERS: usize = 256;
/// Addresses of one member.
pub const MAX_MEMBER_ADDRESSES: usize = 16;
/// Bytes of one address (a multiaddr in text).
pub const MAX_ADDRESS_BYTES: usize = 256;
/// Bytes of one signed replica record.
pub const MAX_RECORD_BYTES: usize = 1024;
/// Bytes of the reason, and of the field, in a refusal that goes over the wire.
pub const MAX_REASON_BYTES: usize = 256;
