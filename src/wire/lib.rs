//! What travels between members and what is signed: the commit format, signatures, inclusion proofs, the rules that
//! make an operation valid, and the other signed things of a network.
//!
//! Deliberately absent: merging (see `graph`), storage, transport, the clock and randomness. Time comes in with
//! [`Rules`], salts and nonces with what is signed. docs/spec/ says in words what this crate does in code.
//!
//! ```text
//! bytes -> check (everything else) -> Checked -> verify, verify_batch (signature) -> Verified { entries, commit }
//!                                                                                        |
//! bytes <- envelope_of (any subset of a commit's entries, with leaves or paths) <--------'
//! operations -> sign_commit -> Built { entries, commit, envelope }
//! ```

#![forbid(unsafe_code)]

mod assemble;
mod charter;
mod check;
mod envelope;
mod error;
mod header;
pub mod hello;
mod invite;
mod key;
pub mod limits;
pub mod merkle;
mod operation;
mod proofs;
pub mod protocol;
mod refuse;
mod replica;
mod rules;
mod sign;
mod signed;
mod slot;
mod verify;

pub use assemble::{envelope_of, envelopes_of};
pub use charter::{Charter, SignedCharter};
pub use check::check;
pub use error::Error;
pub use header::Header;
pub use invite::Invite;
pub use key::{SigningKey, check_key, verify_signature};
pub use operation::{Operation, leaf_hash};
pub use proofs::merge_proofs;
pub use replica::{ReplicaRecord, Role, SignedReplica, peer_id_text};
pub use rules::{Place, Rules};
pub use sign::{Built, sign_commit};
pub use slot::slot_of;
pub use verify::{Checked, Verified, verify_batch};
