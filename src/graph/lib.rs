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
//!                      │  ^    └─explain─> Side
//!      Action ──plan───'  '── Draft (to be signed by `wire`)
//! ```
//!
//! A kind is one implementation of [`Lattice`]; `examples/new_kind.rs` adds one without touching this crate.
//!
//! ```
//! use rustdht_core::{PublicKey, Session};
//! use rustdht_graph::{Action, NodeState, Pen, plan};
//! let node = NodeState::new("votes/42".parse()?);
//! let pen = Pen::new(PublicKey([7; 32]), Session([1; 8]), None);
//! let mut commit = Vec::new();
//! plan(&node, &pen, &"yes".parse()?, &Action::Increment(2), &mut commit)?;
//! assert_eq!(commit[0].value, Some(2.into()));
//! # Ok::<(), rustdht_core::Refusal>(())
//! ```

#![forbid(unsafe_code)]

mod action;
mod content;
mod draft;
mod explain;
mod field;
mod kinds;
mod node;
mod number;
mod pen;
mod plan;
mod planner;
pub mod render;
mod view;
mod wanted;
pub mod yjs;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod stories;

pub use action::Action;
pub use content::Content;
pub use draft::Draft;
pub use explain::{Reason, Side, explain};
pub use field::{Changes, FieldState, Joined, Merge, Rules, is_permanent};
pub use kinds::{Kinds, Lattice};
pub use node::NodeState;
pub use pen::Pen;
pub use plan::{delete, plan, write};
pub use planner::Planner;
pub use view::{FieldRef, FieldView, ORIGIN_TIME, Shown};
pub use wanted::{Wanted, read as read_wanted};
