//! The store's contract, over real files.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod blobs;
mod contract;
mod damage;
mod durability;
mod model;
mod opening;
mod processes;
mod property;
mod sample;
