//! What a node is started with.

use std::{fmt, sync::Arc};

use rustdht_core::{
    Clock, Entropy, Mode,
    ports::{DagStore, GraphStore},
};
use rustdht_wire::Invite;

use crate::SealKey;

/// The outside world.
#[derive(Clone)]
pub struct Ports {
    /// Durable storage of the graph.
    pub store: Arc<dyn GraphStore>,
    /// Blobs and directories.
    pub blobs: Arc<dyn DagStore>,
    /// The physical clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ports")
    }
}

/// What a database without an identity does; one that has an identity keeps it.
#[derive(Clone, Debug)]
pub enum Founding {
    /// Found a network of its own.
    Found {
        /// The network's name.
        name: String,
        /// Who may write public space.
        mode: Mode,
    },
    /// Enter the network of an invite. Refused by a database that belongs to another one.
    Join(Box<Invite>),
}

/// How what is kept is looked after.
#[derive(Clone, Debug)]
pub struct PinsConfig {
    /// DAGs fetched at once; each holds a few blocks in memory.
    pub parallel: usize,
    /// How long one block of a fetch may take, in milliseconds; then it is tried again later.
    pub patience_ms: u64,
    /// How long after a pin was made it is given up, in milliseconds.
    pub give_up_ms: u64,
    /// How long an upload is kept that is not pinned, in milliseconds.
    pub lease_ms: u64,
    /// Bytes that an account may keep here; 0: any number.
    pub bytes_per_account: u64,
    /// Pins that an account may have; 0: any number.
    pub pins_per_account: u64,
}

impl PinsConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            parallel: 4,
            patience_ms: 60_000,
            give_up_ms: 24 * 3_600_000,
            lease_ms: 24 * 3_600_000,
            bytes_per_account: 0,
            pins_per_account: 100_000,
        }
    }
}

impl Default for PinsConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Bounds and start-up choices.
#[derive(Clone, Debug)]
pub struct Config {
    /// For a database without an identity.
    pub founding: Founding,
    /// Names the machine and folder that the database was found on. Another tag than last time begins a new session,
    /// so that two copies of one database never write under one (author, session, seq).
    pub host_tag: [u8; 32],
    /// Under which the database's secrets are sealed.
    pub seal_key: SealKey,
    /// Accounts in custody.
    pub max_accounts: usize,
    /// Tokens given out and not expired.
    pub max_tokens: usize,
    /// Bytes of rendered nodes kept for reads.
    pub read_cache_bytes: u64,
    /// Bytes of node states kept for merging.
    pub merge_cache_bytes: usize,
    /// Commits of one author that may wait for their stamp.
    pub deferred_per_author: usize,
    /// Commits that may wait for their stamp in all.
    pub deferred_total: usize,
    /// Bytes of the commits that may wait for their stamp; an eighth of it for one author.
    pub deferred_bytes: usize,
    /// Pins, leases and quotas.
    pub pins: PinsConfig,
}

impl Config {
    /// The defaults, for a database that may have to be founded.
    #[must_use]
    pub const fn new(founding: Founding, host_tag: [u8; 32], seal_key: SealKey) -> Self {
        Self {
            founding,
            host_tag,
            seal_key,
            max_accounts: 10_000,
            max_tokens: 100_000,
            read_cache_bytes: 32 << 20,
            merge_cache_bytes: 16 << 20,
            deferred_per_author: 1024,
            deferred_total: 16_384,
            deferred_bytes: 32 << 20,
            pins: PinsConfig::new(),
        }
    }
}
