//! Nodes and hand-written peers over TCP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod hostile;
mod interop;
mod raw;
mod serving;
mod transfer;
