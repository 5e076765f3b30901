//! The shapes of names and their keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A key that publishes a name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NameKey {
    /// What it is called here; `self` is that of the gateway's peer id.
    #[schema(example = "site")]
    pub key: String,
    /// The IPNS name that it publishes, base36.
    pub name: String,
}

/// The keys of a gateway.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NameKeys {
    /// `self` first, then by name.
    pub keys: Vec<NameKey>,
}

/// A name that was published.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Published {
    /// The IPNS name, base36.
    pub name: String,
    /// What it stands for.
    pub value: String,
    /// The record's sequence: greater ones replace smaller ones.
    pub sequence: u64,
    /// Until when the record is valid (RFC 3339). It is renewed while the gateway runs.
    pub valid_until: String,
    /// For how many seconds others may keep it before they ask again.
    pub ttl_s: u64,
}

/// What a name stands for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Resolved {
    /// The name as it was asked.
    pub name: String,
    /// `/ipfs/...`, or `/ipns/...` when only one name was to be followed.
    pub value: String,
    /// For how many seconds that may be kept; null: nobody said.
    pub ttl_s: Option<u64>,
}

/// A peer, as Delegated Routing has it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PeerRecord {
    /// `peer`.
    #[schema(example = "peer")]
    pub schema: String,
    /// Its peer id, base58.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its multiaddrs.
    pub addrs: Vec<String>,
    /// Transfer protocols that it is known to speak; absent: none is known.
    #[serde(default)]
    pub protocols: Vec<String>,
}

/// Who has a block.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Providers {
    /// One each, at most 100.
    pub providers: Vec<PeerRecord>,
}

/// Where a peer is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PeersFound {
    /// The peer, or none.
    pub peers: Vec<PeerRecord>,
}
