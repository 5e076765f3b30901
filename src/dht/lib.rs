//! The replication engine, without input or output: what to send to whom, when to reconcile, when a write is
//! durable enough.
//!
//! It sees ids, seconds, envelopes as opaque bytes, and the time as a number. It deliberately knows no sockets, no
//! storage, no clock and no randomness: the same engine runs under the swarm (`net`) and under a simulator.
//!
//! ```text
//!   Published, Connected, Request, Answer, Tick ... --> Engine::handle(Input, now_ms) --> Send, Respond, Ingest, Load ...
//! ```

#![forbid(unsafe_code)]

mod delivery;
mod engine;
mod error;
mod index;
pub mod limits;
mod members;
pub mod quorum;
pub mod reconcile;

pub use engine::{CallerId, Engine, EngineConfig, Input, Note, Now, Output, PeerView, RequestId, Token};
pub use error::Error;
pub use index::{Index, Key, Sum};
