//! The one end-to-end test binary: the built `rustdht` as its users run it, on loopback and in temporary folders, and
//! the checks of the house itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod architecture;
mod bad_input;
mod blobs;
mod collecting;
mod commands;
mod durability;
mod gateway;
mod hostile;
mod hostile_content;
mod pins;
mod privacy;
mod private_files;
mod replication;
mod uploads;
