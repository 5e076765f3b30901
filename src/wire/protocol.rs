//! What members say to each other: one request and one response per protocol, in strict DAG-CBOR.
//!
//! Every message is a map whose key `t` names its kind. Envelopes, reconciliation messages and replica records travel
//! as byte strings and are judged by whoever understands them. Sizes and counts are bounded here, before anything is
//! allocated for them.
//!
//! ```
//! use rustdht_wire::protocol::{Protocol, Request};
//! let bytes = Request::Fetch { records: vec![] }.encode();
//! assert_eq!(Request::decode(Protocol::Fetch, &bytes)?, Request::Fetch { records: vec![] });
//! assert!(Request::decode(Protocol::Put, &bytes).is_err());
//! # Ok::<(), rustdht_core::Refusal>(())
//! ```

mod limits;
mod live;
mod parts;
mod request;
mod response;

use rustdht_core::NetId;

use crate::limits::{MAX_CERTIFICATE_BYTES, MAX_CHAIN};

pub use limits::*;
pub use live::Live;
pub use parts::{Greeting, Member, PutOutcome, Reply, Summary, SyncMessage};
pub use request::Request;
pub use response::Response;

/// The request-response protocols of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Proof of the network key, and who is known.
    Hello,
    /// Envelopes to be made durable.
    Put,
    /// Everything of one soul.
    Get,
    /// A round of set reconciliation.
    Sync,
    /// Envelopes by record id.
    Fetch,
    /// A member certificate.
    Certify,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 6] = [Self::Hello, Self::Put, Self::Get, Self::Sync, Self::Fetch, Self::Certify];

    /// The name inside the protocol id and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Put => "put",
            Self::Get => "get",
            Self::Sync => "sync",
            Self::Fetch => "fetch",
            Self::Certify => "certify",
        }
    }

    /// `/rustdht/<net>/<name>/1`.
    #[must_use]
    pub fn id(self, net: &NetId) -> String {
        format!("/rustdht/{net}/{}/1", self.name())
    }

    /// Greatest size of a request in bytes.
    #[must_use]
    pub const fn max_request_bytes(self) -> usize {
        match self {
            Self::Hello => MAX_HELLO_BYTES,
            Self::Put => MAX_PUT_BYTES,
            Self::Get | Self::Certify => 1024,
            Self::Sync => MAX_SYNC_BYTES,
            Self::Fetch => MAX_FETCH_RECORDS * 34 + 64,
        }
    }

    /// Greatest size of a response in bytes.
    #[must_use]
    pub const fn max_response_bytes(self) -> usize {
        match self {
            Self::Hello => MAX_HELLO_BYTES,
            Self::Put => MAX_PUT_ENVELOPES * (2 * MAX_REASON_BYTES + 64),
            Self::Get => MAX_GET_BYTES + OVERHEAD_BYTES,
            Self::Sync => MAX_SYNC_BYTES,
            Self::Fetch => MAX_FETCH_BYTES + OVERHEAD_BYTES,
            Self::Certify => MAX_CHAIN * (MAX_CERTIFICATE_BYTES + 80) + 64,
        }
    }
}

#[cfg(test)]
mod tests;
