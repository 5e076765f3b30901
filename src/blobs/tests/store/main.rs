//! The store from outside: files in and out, reading what is not all here, and being killed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bucket;
mod cars;
mod collecting;
mod common;
mod damaged;
mod files;
mod kill;
mod paths;
mod reading;
mod trees;
