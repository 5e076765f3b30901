//! Telling DHTs which blocks are here: what is new at once, everything once in a cycle.
//!
//! ```text
//!   RootSource ──since──> drive ──> Sweep (schedule) ──tasks──> Announcer::{nearest, announce}
//!       '───────roots───> source ──keys of a bucket──┘
//! ```

mod drive;
mod keyspace;
mod known;
mod source;
mod sweep;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use drive::{BEHIND, LOOKUPS, RECORDS, WAITING, run};

/// What is announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provide {
    /// The roots of what is kept: pins, uploads, blobs that the graph names.
    #[default]
    Roots,
    /// Every block that is here.
    All,
    /// Nothing.
    Off,
}
