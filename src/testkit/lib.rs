//! Fakes of the ports and builders of data, for tests only.
//!
//! A fake keeps the port's contract (the same contract tests run against the real adapters); it is never a peer. Blobs
//! have none: tests get the real store in a folder of their own.

mod blobs;
mod clock;
mod commits;
mod forged;
mod replicator;
mod routing;
mod store;

pub use blobs::TempBlobs;
pub use clock::{ManualClock, SeededEntropy};
pub use commits::{Author, set_add, set_remove, write};
pub use forged::{Forged, forge, slotted};
pub use replicator::Recorder;
pub use routing::MemoryRouter;
pub use store::MemoryStore;
