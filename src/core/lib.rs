//! The vocabulary of RustDHT: what a soul, a value, a stamp, an entry and a refusal are, in which order two entries
//! stand, and the ports through which use cases reach storage, blobs and the network.
//!
//! Deliberately absent: tokio, I/O, the wall clock, global randomness, signatures (see `wire`) and merging (see
//! `graph`). Time and randomness come in through [`Clock`] and [`Entropy`].
//!
//! ```
//! use rustdht_core::{Soul, Value, ham};
//! let soul: Soul = "people/ada".parse()?;
//! assert!(soul.space().is_public());
//! assert!(ham::text(&Value::from("b")) > ham::text(&Value::from("a")));
//! # Ok::<(), rustdht_core::Refusal>(())
//! ```

#![forbid(unsafe_code)]

pub mod cbor;
mod clock;
mod entry;
pub mod ham;
mod ids;
pub mod json;
mod key;
mod names;
mod network;
pub mod ports;
mod refusal;
mod soul;
mod stamp;
mod value;

pub use clock::{Clock, Entropy};
pub use entry::{Body, Entry, MAX_KILLS, MAX_OVER, Slot, Writer, hash_value};
pub use ids::{CertificateId, CommitId, EndorsementId, EntryId, NetId, RecordId, Salt, Session, ValueHash};
pub use key::{PublicKey, UNSIGNED};
pub use names::{Field, Kind};
pub use network::{Mode, Placement, partition_of};
pub use refusal::{Code, Refusal};
pub use soul::{Soul, Space};
pub use stamp::{DEFER_LIMIT_MS, FUTURE_LIMIT_MS, Hlc, Stamp, Timing};
pub use value::{Link, MAX_VALUE_BYTES, Value};
