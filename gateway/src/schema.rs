//! The shapes of the JSON answers, for the OpenAPI document and for clients in Rust.

mod accounts;
mod authority;
mod names;
mod store;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{ToResponse, ToSchema};

pub use self::{
    accounts::{Account, Accounts, NewToken, Token, Tokens},
    authority::{Certificate, Certificates, History, Recipient, Recipients, TypeSchema, TypeSchemas},
    names::{NameKey, NameKeys, PeerRecord, PeersFound, Providers, Published, Resolved},
    store::{BlockStore, Collection},
};

/// An error: problem details of RFC 9457.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A page of this gateway that explains the code.
    #[schema(example = "/errors/bad_value")]
    pub r#type: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request, and what would be right.
    pub detail: String,
    /// The stable code.
    #[schema(example = "bad_value")]
    pub code: String,
    /// Path of the part to blame, such as `ops.3.value`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// What went wrong, as problem details.
#[derive(ToResponse)]
#[response(description = "What went wrong, as problem details (RFC 9457)", content_type = "application/problem+json")]
#[expect(dead_code, reason = "names the response in the document")]
pub(crate) struct ProblemAnswer(Problem);

/// Fields by key: scalars, links `{"#":soul}`, blobs `{"/":cid}`, bytes `{"/":{"bytes":base64}}`, and wrapped values:
/// `{"@set":[...]}`, `{"@counter":"12"}`, `{"@flag":true}`, `{"@max":n}`, `{"@min":n}`, `{"@text":"..."}`,
/// `{"@list":[...]}`, `{"@map":{...}}`. In a request null deletes the field, and a wrapped value is the wanted view.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Fields(pub BTreeMap<String, serde_json::Value>);

/// A node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Its name.
    #[schema(example = "people/ada")]
    pub soul: String,
    /// Its fields.
    #[schema(example = json!({"name": "Ada", "knows": {"@set": [{"#": "people/charles"}]}}))]
    pub data: Fields,
    /// The greatest stamp in it, a decimal u64: milliseconds since the epoch times 4096 plus a counter.
    pub stamp: String,
    /// With `?meta=true`: per field its kind, stamp, author and commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<BTreeMap<String, serde_json::Value>>,
}

/// How far a commit got. In the answer to a write these members stand only with status 202.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Durability {
    /// Replicas on whose disk it is, this one included.
    pub durable: u16,
    /// How many make it acknowledged.
    pub wanted: u16,
    /// Replicas that have not confirmed.
    pub outstanding: Vec<String>,
}

/// What became of a write of one node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Written {
    /// Its name.
    pub soul: String,
    /// The merged fields.
    pub data: Fields,
    /// The stamp of the commit, a decimal u64.
    pub stamp: String,
    /// The last commit made, lower-case hex; null when nothing changed.
    pub commit: Option<String>,
    /// All commits, when there were several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<String>,
    /// How far it got; only with status 202.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
}

/// Operations to commit together.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Commit {
    /// At most 1,024.
    pub ops: Vec<Operation>,
}

/// One operation.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// `set`, `delete`, `add`, `remove`, `increment`, `enable`, `disable`, `insert` or `splice`.
    #[schema(example = "set")]
    pub op: String,
    /// The node.
    #[schema(example = "people/ada")]
    pub soul: String,
    /// The field.
    #[schema(example = "name")]
    pub field: String,
    /// For `set` anything PATCH takes, with `kind` map the value of the key; for `add` and `remove` an element of a set;
    /// for `increment` an integer or its decimal text; for `insert` a text or one element of a list; for `splice` a text
    /// or an array of elements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// For `delete`: the values are forgotten everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erase: Option<bool>,
    /// For `insert` and `splice` `text` or `list`; for `set` and `remove` of a key `map`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// For `insert` and `splice`: where, in UTF-16 code units of the text or elements of the list that this gateway holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// For `splice`: how much goes, in the same units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<u64>,
    /// For `set` and `remove` with `kind` map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What became of a commit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Committed {
    /// Its id, lower-case hex; null when no operation changed anything.
    pub commit: Option<String>,
    /// Its stamp, a decimal u64.
    pub stamp: String,
    /// One per operation.
    pub results: Vec<OperationResult>,
    /// How far it got; only with status 202.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
}

/// The merge outcome of one operation.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OperationResult {
    /// Its index.
    pub i: u16,
    /// `taken`, `known`, `historical` or `deferred`.
    pub result: String,
    /// Its entry, lower-case hex; null when it made none.
    pub id: Option<String>,
    /// For `deferred`: when its stamp is due (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Where a commit is durable.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CommitState {
    /// Its id.
    pub commit: String,
    /// Whether enough replicas hold it.
    pub acknowledged: bool,
    /// How far it got.
    #[serde(flatten)]
    pub durability: Durability,
}

/// A line of the answer to an import; exactly one member stands in it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ImportLine {
    /// Every line up to this one is durable or was answered with an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The line, counted from 1, that `error` is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Why that line was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<LineError>,
    /// The last line of a whole import. Without it the import was cut short: begin again after the last progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Done>,
}

/// How far an import got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// The line, counted from 1.
    pub line: u64,
    /// Nodes taken by this request.
    pub nodes: u64,
    /// Their fields.
    pub fields: u64,
}

/// Why a line was not taken.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LineError {
    /// The stable code.
    pub code: String,
    /// What is wrong.
    pub detail: String,
    /// The part to blame.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// The end of a whole import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// Lines of the stream.
    pub lines: u64,
    /// Nodes taken.
    pub nodes: u64,
    /// Their fields.
    pub fields: u64,
    /// Lines that were not taken.
    pub errors: u64,
}

/// What was added.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Stored {
    /// A file, encrypted.
    Private(PrivateBlob),
    /// A file or a directory.
    Blob(Blob),
    /// An archive.
    Archive(Archive),
}

/// An archive that was read.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Archive {
    /// The CIDs that it names as its roots.
    pub roots: Vec<String>,
    /// Blocks in it.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A file or directory that was added.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Blob {
    /// Its CID.
    #[schema(example = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")]
    pub cid: String,
    /// Its size in bytes; of a directory, that of its files.
    pub size: u64,
    /// Its media type, as the client says or as its first bytes tell; of a directory `inode/directory`.
    pub mime: String,
    /// The SHA-256 of a file as a multibase multihash, whatever its blocks are hashed with.
    #[serde(rename = "digestMultibase", default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "zQmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD")]
    pub digest_multibase: Option<String>,
    /// The same in hex, as `sha256sum` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What an image looks like. Absent of anything else, and while it is looked at.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Why an image has no preview.
    #[serde(rename = "previewRefused", default, skip_serializing_if = "Option::is_none")]
    pub preview_refused: Option<PreviewRefused>,
}

/// What an image looks like.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Image {
    /// In pixels, as it is to be shown.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// A blurred image in some thirty characters (blurha.sh).
    pub blurhash: String,
    /// A smaller image; absent where the image itself is small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail: Option<Thumbnail>,
}

/// A smaller image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Thumbnail {
    /// Its CID.
    pub cid: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its media type.
    pub mime: String,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// Why an image has no preview. The image itself is stored all the same.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PreviewRefused {
    /// `too_many_pixels`, `too_many_bytes`, `too_slow` or `broken`.
    #[schema(example = "too_many_pixels")]
    pub reason: String,
    /// The same in words.
    pub detail: String,
}

/// A file that was encrypted and added.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PrivateBlob {
    /// The CID of the ciphertext.
    pub cid: String,
    /// Bytes of the plaintext.
    pub size: u64,
    /// Bytes of the ciphertext.
    pub stored: u64,
    /// The media type of the plaintext, as the client says or as its first bytes tell.
    pub mime: String,
    /// The key, base64url; this gateway keeps it nowhere.
    pub key: String,
    /// CID and key as a link: whoever has it reads the file.
    #[schema(
        example = "ipfs://bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy#key=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE&type=text/plain"
    )]
    pub link: String,
}

/// Where a path leads.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Path {
    /// Where it began.
    pub soul: String,
    /// The fields followed.
    pub path: Vec<String>,
    /// What the last field holds at each node reached.
    pub values: Vec<serde_json::Value>,
    /// The nodes that the links among these name.
    pub nodes: Vec<Node>,
    /// Whether a limit cut the answer short.
    pub truncated: bool,
}

/// The state of this gateway. Anonymous callers see `version` and `network` only.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The version of the software.
    pub version: String,
    /// The network.
    pub network: Network,
    /// What only the owner sees.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<StatusDetail>,
}

/// The network.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// Its id, 64 hex digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `open` or `members`.
    pub mode: String,
}

/// What only the owner sees.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StatusDetail {
    /// The address that HTTP listens on.
    pub listen: String,
    /// The key with which this gateway signs, as did:key multibase.
    pub gateway: String,
    /// The key of the community.
    pub community: String,
    /// The numbers of the network.
    pub placement: Placement,
    /// The graph.
    pub graph: Graph,
    /// The blobs.
    pub blobs: Blobs,
    /// The swarm; null while the network is down.
    pub swarm: Option<Swarm>,
}

/// The numbers of the network.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Placement {
    /// Partitions.
    pub partitions: u32,
    /// Replicas of a partition.
    pub replicas: u16,
    /// Replicas that make a write acknowledged.
    pub write_quorum: u16,
    /// Days after which tombstones may be collected.
    pub horizon_days: u32,
}

/// The graph.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Graph {
    /// Entries stored.
    pub entries: u64,
    /// Commits stored.
    pub commits: u64,
    /// Bytes of the database.
    pub database_bytes: u64,
    /// Commits that wait for their stamp.
    pub deferred: u64,
    /// Whether this gateway endorses what is written here, so that others take it: in mode `members` once it is certified.
    pub may_endorse: bool,
    /// The greatest stamp admitted, a decimal u64.
    pub clock: String,
    /// The last number of the change feed.
    pub feed: u64,
}

/// The blobs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Blobs {
    /// Blocks held.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The swarm.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Swarm {
    /// This replica.
    pub id: String,
    /// The multiaddrs that it listens on.
    pub listen: Vec<String>,
    /// Replicas counted, this one included.
    pub replicas: u16,
    /// How many make a write acknowledged now.
    pub write_quorum: u16,
    /// Replicas connected, this one included.
    pub reachable: u16,
    /// Ids in the reconciliation index.
    pub indexed: u64,
}

/// The peers known.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Peers {
    /// One each.
    pub peers: Vec<Peer>,
}

/// A peer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Peer {
    /// The replica.
    pub id: String,
    /// Whether a connection is open, and it proved to be of this network or is a guest.
    pub connected: bool,
    /// Its known multiaddrs.
    pub addresses: Vec<String>,
    /// Round trip in microseconds, once measured.
    pub rtt_us: Option<u64>,
    /// Whether reconciliation with it last ended equal.
    pub in_sync: bool,
    /// When it was last seen (RFC 3339); null: never.
    pub seen: Option<String>,
    /// Whether it counts as a replica of this network.
    pub replica: bool,
    /// Whether it is none of the network and speaks IPFS: blocks are exchanged with it.
    pub guest: bool,
}

/// An address to dial.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PeerAddress {
    /// A multiaddr that ends in `/p2p/` and the peer id.
    #[schema(example = "/ip4/192.0.2.7/tcp/4480/p2p/12D3KooW...")]
    pub address: String,
}

/// An invite.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Invite {
    /// What `rustdht serve --join` takes. It holds the network's secret.
    pub invite: String,
}

/// The answer of a health check.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok` or `ready`.
    pub status: String,
}
