//! What every node of a network agrees on.

use sha2::{Digest, Sha256};

use crate::Soul;

/// Who may write public space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Any author.
    Open,
    /// Authors whose entries a member gateway endorsed.
    Members,
}

impl Mode {
    /// The text of the charter and of `status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Members => "members",
        }
    }
}

/// The numbers of a network that decide where data lives. They stand in the charter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Partitions (P), a power of two up to 65,536.
    pub partitions: u32,
    /// Replicas of a partition (R).
    pub replicas: u16,
    /// Durable owners before a write is answered 200 (W).
    pub write_quorum: u16,
    /// Centres of a partition (S).
    pub centres: u16,
    /// Days after which tombstones may be collected.
    pub horizon_days: u32,
}

impl Default for Placement {
    fn default() -> Self {
        Self { partitions: 4096, replicas: 5, write_quorum: 3, centres: 3, horizon_days: 90 }
    }
}

/// The partition of a soul among 4,096: the first 12 bits of SHA-256 of its placement key.
#[must_use]
pub fn partition_of(soul: &Soul) -> u16 {
    let digest = Sha256::digest(soul.placement_key().as_bytes());
    u16::from_be_bytes([digest[0], digest[1]]) >> 4
}
