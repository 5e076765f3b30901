//! What travels between members and what is signed: the commit format, certificates, endorsements, signatures, inclusion
//! proofs, the rules that make an operation valid, the other signed things of a network, and private blobs.
//!
//! Deliberately absent: merging (see `graph`), storage, transport, the clock and randomness, and revocation, which is
//! judged against the state. Time and the certificates that are known come in with [`Rules`], salts and nonces with what
//! is signed. docs/spec/ says in words what this crate does in code.
//!
//! ```text
//! bytes -> named (which certificates to load) -> check (everything but signatures) -> Checked
//! Checked -> verify, verify_batch (signatures, and whether somebody vouched) -> Verified { entries, commit, certificates }
//! bytes <- envelope_of (any subset of a commit's entries, with leaves or paths) <- entries, commit, Extras
//! operations -> sign_commit (as Signing says), content_commit -> Built { entries, commit, envelope }
//! ```

#![forbid(unsafe_code)]

mod assemble;
mod authority;
mod certificate;
mod chain;
mod charter;
mod check;
mod content;
mod endorse;
mod envelope;
mod error;
mod header;
pub mod hello;
mod invite;
mod key;
pub mod limits;
pub mod merkle;
mod named;
mod operation;
pub mod private_blob;
mod proofs;
pub mod protocol;
mod refuse;
mod replica;
mod rules;
mod sign;
mod signed;
mod slot;
mod verify;

pub use assemble::{Extras, envelope_of, envelopes_of, with_extras};
pub use certificate::{Certificate, Certificates, Rights, SignedCertificate};
pub use chain::{chain, missing};
pub use charter::{Charter, SignedCharter};
pub use check::check;
pub use content::{content_commit, content_soul};
pub use endorse::{EndorsedBy, endorse};
pub use error::Error;
pub use header::Header;
pub use invite::Invite;
pub use key::{SigningKey, check_key, verify_signature};
pub use named::{Named, named, verify_author};
pub use operation::{Operation, leaf_hash};
pub use proofs::merge_proofs;
pub use replica::{ReplicaRecord, Role, SignedReplica, peer_id_text};
pub use rules::{Place, Rules, Standing};
pub use sign::{Built, Signing, sign_commit};
pub use slot::slot_of;
pub use verify::{Checked, Verified, verify_batch};
