//! Yjs under the kinds text, list and map: updates as stock editors write them, folded in an order that loses nothing.
//!
//! A field's entries of such a kind are Yjs updates (encoding v1). Yjs itself waits with an update until all that it
//! depends on is there; yrs loses items when it does not come in order. So this module reads updates itself, strictly
//! and within bounds, decides what is ready, and gives yrs only that. Sources: lib0's and Yjs's encodings (v1), the
//! YATA paper (Nicolaescu et al., "Near real-time peer-to-peer shared editing on extensible data types", 2016).
//!
//! ```text
//!   bytes ──decode──> Update ──merge / split──> bytes
//!                       │
//!   entries ──order──> Document ──content──> view       ──edit──> bytes to be signed
//! ```

mod diff;
mod document;
mod edit;
mod fold;
mod ids;
mod index;
mod lib0;
mod merge;
mod payload;
mod ready;
mod recent;
mod sources;
mod tree;
mod update;
mod upkeep;
pub(crate) mod write;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod stories;

pub use document::Document;
pub use fold::{Applied, MAX_WAITING, MAX_WAITING_BYTES};
pub use ids::{Id, MAX_CLOCK, Ranges, StateVector};
pub use merge::{merge, split};
pub use update::{MAX_UPDATE_BYTES, Update};
pub use upkeep::{COMPACT_AT, COMPACT_BELOW, compact, hidden, unready};
pub use write::{MAX_ENTRY_BYTES, MAX_SEALED_BYTES};
