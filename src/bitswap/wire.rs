//! Messages as the specification has them: protobuf behind a varint length.
//!
//! ```text
//! Message  1 wantlist: { 1 entries*: { 1 block: CID, 2 priority, 3 cancel, 4 wantType, 5 sendDontHave }, 2 full }
//!          2 blocks*: bytes (1.0.0)      3 payload*: { 1 prefix, 2 data } (from 1.1.0)
//!          4 blockPresences*: { 1 cid, 2 type } (from 1.2.0)      5 pendingBytes
//! ```

mod decode;
mod encode;
mod proto;

use bytes::Bytes;
use cid::Cid;

use crate::hash::{Hash, SHA2_256};

pub(crate) use decode::decode;
pub(crate) use encode::{Frame, encode};
pub(crate) use proto::{MAX_VARINT_BYTES, varint};

/// Multicodec `dag-pb`, of every block in version 1.0.0.
const DAG_PB: u64 = 0x70;

/// What of a block is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The block itself.
    Block,
    /// Whether it is there.
    Have,
}

/// One line of a wantlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) cid: Cid,
    /// Greater is sooner.
    pub(crate) priority: i32,
    pub(crate) cancel: bool,
    pub(crate) kind: Kind,
    pub(crate) send_dont_have: bool,
}

impl Entry {
    pub(crate) const fn cancel(cid: Cid) -> Self {
        Self { cid, priority: 0, cancel: true, kind: Kind::Block, send_dont_have: false }
    }
}

/// A block as it came, not hashed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) hash: Hash,
    pub(crate) data: Bytes,
}

/// A HAVE or a DONT_HAVE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Presence {
    pub(crate) cid: Cid,
    pub(crate) have: bool,
}

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The wantlist replaces what was wanted before.
    pub(crate) full: bool,
    pub(crate) wants: Vec<Entry>,
    pub(crate) blocks: Vec<Payload>,
    pub(crate) presences: Vec<Presence>,
    /// Entries beyond the bound of a message.
    pub(crate) dropped_wants: u64,
    /// Items that were left out: CIDs that cannot be asked for here, blocks too large, blocks and presences beyond the bound.
    pub(crate) refused: u64,
}

/// A version of the protocol, from the newest to the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// 1.2.0: presences.
    V12,
    /// 1.1.0: blocks with a prefix.
    V11,
    /// 1.0.0, and the one without a number before it: blocks are sha2-256 in dag-pb.
    V10,
}

impl Version {
    /// All, in the order in which they are offered.
    pub(crate) const ALL: [(Self, &str); 4] = [
        (Self::V12, "/ipfs/bitswap/1.2.0"),
        (Self::V11, "/ipfs/bitswap/1.1.0"),
        (Self::V10, "/ipfs/bitswap/1.0.0"),
        (Self::V10, "/ipfs/bitswap"),
    ];
}

/// Whether a block under this CID can be sent in version 1.0.0, which says nothing of codec and hash.
fn is_v10(cid: &Cid) -> bool {
    cid.codec() == DAG_PB && cid.hash().code() == SHA2_256
}

#[cfg(test)]
mod tests;
