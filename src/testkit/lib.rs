//! Fakes of the ports and builders of data, for tests only.
//!
//! A fake keeps the port's contract (the same contract tests run against the real adapters); it is never a peer.

mod blobs;
mod clock;
mod commits;
mod replicator;
mod store;

pub use blobs::MemoryBlobs;
pub use clock::{ManualClock, SeededEntropy};
pub use commits::{Author, set_add, set_remove, write};
pub use replicator::Recorder;
pub use store::MemoryStore;
