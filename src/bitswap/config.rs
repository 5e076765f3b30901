use std::time::Duration;

/// What an owner may want to set. `Config::default()` suits a node that talks to Kubo and Helia.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Put before `/ipfs/bitswap/...`, for a network of its own; begins with a slash or is empty.
    pub protocol_prefix: String,

    /// Blocks that may be asked for at the same time, over all sessions; further ones get
    /// [`Error::TooManyWants`](crate::Error::TooManyWants). A want takes about 1 KiB.
    pub max_wants: usize,
    /// A peer that was asked for blocks and sends less than 4 KiB in this time has stalled, and others are asked.
    /// Shortened to four times its latency, but not below 200 ms; lengthened to one and a half times its latency.
    pub stall_after: Duration,
    /// When nobody who is connected has offered a block for this long,
    /// [`Event::NeedProviders`](crate::Event::NeedProviders) says so. At once when all have denied.
    pub need_providers_after: Duration,
    /// Blocks that a peer may send unasked, plus a sixteenth of those that were asked; beyond it is ignored.
    pub max_unwanted_blocks: u64,
    /// How long such a peer is ignored.
    pub ignore_for: Duration,

    /// Blocks are put into one message up to this size, 3 MiB at most. Kubo uses 16 KiB, which makes a message of each
    /// block.
    pub target_message_bytes: usize,
    /// A WANT-HAVE for a block of at most this size is answered by the block, which spares a round trip; Kubo's value.
    /// 0 turns it off, and then `Blockstore::has` is asked instead of the size.
    pub want_have_replace_bytes: u64,
    /// Entries of a peer's wantlist that are kept; those beyond it with the lowest priority are denied. Kubo keeps 1,024.
    /// Helia asks for all blocks of a file at once and only once: 4,121 for 1 GiB of the usual 256 KiB.
    pub max_wantlist: usize,
    /// Entries of all wantlists that are kept, apart from the first 1,024 of each peer. An entry takes about 600 bytes.
    pub max_wantlists_total: usize,
    /// Bytes read for one peer and not yet taken by it.
    pub max_outstanding_bytes_per_peer: usize,
    /// Bytes read for all peers and not yet taken by them.
    pub max_outstanding_bytes: usize,
    /// Jobs that look into the store for peers, at the same time. Each has at most 8 reads under way.
    pub max_jobs: usize,

    /// Inbound streams kept of one connection. Kubo opens one for each message and some stay open.
    pub max_inbound_streams: usize,
    /// How long a message may pause half-way.
    pub read_timeout: Duration,
    /// How long a peer may take nothing of what is being written to it.
    pub write_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            protocol_prefix: String::new(),
            max_wants: 65_536,
            stall_after: Duration::from_millis(500),
            need_providers_after: Duration::from_millis(500),
            max_unwanted_blocks: 64,
            ignore_for: Duration::from_secs(600),
            target_message_bytes: 512 * 1024,
            want_have_replace_bytes: 1024,
            max_wantlist: 16_384,
            max_wantlists_total: 131_072,
            max_outstanding_bytes_per_peer: 4 * 1024 * 1024,
            max_outstanding_bytes: 64 * 1024 * 1024,
            max_jobs: 64,
            max_inbound_streams: 64,
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
        }
    }
}
