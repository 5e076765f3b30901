//! The join, the CRDT kinds and their views.
//!
//! Merging is total: any two valid states merge, in any order, any number of times, to the same bytes. The join never
//! looks inside a value (except to order equal stamps of one slot), so it converges for known, unknown, encrypted and
//! future kinds alike; kinds only decide what is *shown* and which operations a wish becomes.
//!
//! Deliberately absent: storage, clocks, signatures, async.
//!
//! ```text
//!   Entry ──join──> NodeState ──view──> FieldView ──render──> JSON
//!                      │  ^
//!      Wanted ──plan───'  '── Draft (to be signed by `wire`)
//! ```

#![forbid(unsafe_code)]

mod field;
mod kinds;
mod node;
mod plan;
pub mod render;
mod view;
mod wanted;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod stories;

pub use field::{Changes, FieldState, Joined, Merge, Rules};
pub use kinds::{Lattice, lattice_of};
pub use node::NodeState;
pub use plan::{Draft, add, delete, remove, write};
pub use view::{FieldView, Shown};
pub use wanted::{Wanted, read as read_wanted};
