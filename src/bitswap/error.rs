use cid::Cid;

/// Why a block was not got.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The CID's hash function is not one that blocks can be checked with here.
    #[error(
        "{cid} uses the hash {code:#x} with {digest_bytes} bytes, which cannot be checked: ask for a CID with sha2-256, \
         sha2-512, blake3 or blake2b-256 in full length"
    )]
    UnknownHash {
        /// What was asked for.
        cid: Cid,
        /// Multicodec of the hash function.
        code: u64,
        /// Length of the digest.
        digest_bytes: usize,
    },
    /// Nobody sent the block within the session's time-out.
    #[error("no peer sent {cid} in time: check that somebody provides it, or wait longer")]
    TimedOut {
        /// What was asked for.
        cid: Cid,
    },
    /// More wants are under way than [`Config::max_wants`](crate::Config::max_wants).
    #[error("{limit} blocks are being asked for already: wait until some have arrived")]
    TooManyWants {
        /// The bound.
        limit: usize,
    },
    /// The behaviour is gone.
    #[error("Bitswap has stopped")]
    Stopped,
}

/// Why a message was refused. The stream it came on is reset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than [`MAX_MESSAGE_BYTES`](crate::limits::MAX_MESSAGE_BYTES).
    #[error("a message of {0} bytes, where 4 MiB are the limit")]
    TooLong(u64),
    /// The stream ended, or a field claims more bytes than there are.
    #[error("a message that ends inside a field")]
    Truncated,
    /// A varint of more than ten bytes or 64 bits.
    #[error("a varint beyond 64 bits")]
    Varint,
    /// A wire type that protobuf does not use any more, or field number 0.
    #[error("a protobuf field of no known form")]
    Field,
    /// A known field with another wire type than the schema's.
    #[error("the field {0} has the wrong type")]
    Type(&'static str),
    /// A block without the prefix that says how to hash it.
    #[error("a block whose CID prefix cannot be read")]
    Prefix,
}

/// What a peer did wrong. Reported in [`Event::Misbehaved`](crate::Event::Misbehaved).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It sent something that is no Bitswap message.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// It wants more than [`Config::max_wantlist`](crate::Config::max_wantlist); those of lowest priority are not kept.
    #[error("a wantlist that is too long: {dropped} entries were dropped")]
    WantlistTooLong {
        /// Entries dropped since the last report.
        dropped: u64,
    },
    /// Blocks that were not asked for, or that do not hash to what was.
    #[error("{blocks} blocks that were not asked for, or do not hash to what was")]
    UnwantedBlocks {
        /// How many it has sent in all.
        blocks: u64,
    },
    /// Blocks above 2 MiB, CIDs above 168 bytes, or hash functions that are not known here.
    #[error("{items} items that are too large or of an unknown hash were left out")]
    Refused {
        /// How many since the last report.
        items: u64,
    },
    /// A message that did not go on for [`Config::read_timeout`](crate::Config::read_timeout).
    #[error("a message that stopped half-way")]
    ReadTimedOut,
    /// It did not take what it asked for within [`Config::write_timeout`](crate::Config::write_timeout).
    #[error("it does not read what it asked for")]
    WriteTimedOut,
    /// More than [`Config::max_inbound_streams`](crate::Config::max_inbound_streams) at once.
    #[error("too many streams")]
    TooManyStreams,
}
