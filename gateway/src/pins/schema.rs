//! The shapes of the Pinning Service API and of the community's pins.

use std::collections::BTreeMap;

use cid::Cid;
use rustdht_core::{Code, Refusal};
use rustdht_node::PinStatus;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;

/// A CID in any of its forms.
pub(super) fn cid(text: &str) -> Result<Cid, Problem> {
    text.parse().map_err(|_| Refusal::new(Code::BadValue, "not a CID").into())
}

/// What is to be pinned.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Pin)]
pub(crate) struct PinBody {
    /// The root.
    #[schema(example = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")]
    pub(super) cid: String,
    /// A name, up to 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Multiaddrs of peers that have it, up to 20, each ending in `/p2p/...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origins: Option<Vec<String>>,
    /// Notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) meta: Option<BTreeMap<String, String>>,
    /// Beyond the API: `false` pins the one block, without what it links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recursive: Option<bool>,
}

/// How far a pin is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// It waits for its turn, or for the next attempt.
    Queued,
    /// It is being fetched.
    Pinning,
    /// All of it is here.
    Pinned,
    /// It could not be had.
    Failed,
}

impl From<PinStatus> for Status {
    fn from(status: PinStatus) -> Self {
        match status {
            PinStatus::Queued => Self::Queued,
            PinStatus::Pinning => Self::Pinning,
            PinStatus::Pinned => Self::Pinned,
            PinStatus::Failed => Self::Failed,
        }
    }
}

/// A pin.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = PinStatus)]
pub(crate) struct PinStatusBody {
    /// Its id.
    pub(super) requestid: String,
    /// How far it is.
    pub(super) status: Status,
    /// When it was made; no two pins of a gateway have one time.
    #[schema(example = "2026-11-22T21:17:25.123Z")]
    pub(super) created: String,
    /// What is pinned.
    pub(super) pin: PinBody,
    /// Multiaddrs of this gateway, for who has the content.
    pub(super) delegates: Vec<String>,
    /// `status_details`: what stands in the way. `blocks`, `bytes`: what is here while it is fetched. `dag_size`: its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) info: Option<BTreeMap<String, String>>,
}

/// Pins, and how many there are.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PinResults {
    /// How many pins the filter takes, shown here or not.
    pub(super) count: u64,
    /// The newest of them.
    pub(super) results: Vec<PinStatusBody>,
}

/// What went wrong.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Failure)]
pub(crate) struct FailureAnswer {
    pub(super) error: FailureDetail,
}

/// Why.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FailureDetail {
    /// A stable code: that of `/errors/{code}` in capitals.
    #[schema(example = "NOT_FOUND")]
    pub(super) reason: String,
    /// What is wrong with this request.
    pub(super) details: String,
}

/// Something to pin for the community.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SharedPinBody {
    /// The root.
    pub(super) cid: String,
    /// A name, up to 255 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    /// Replicas that hold it at least; absent 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) min: Option<u16>,
    /// Replicas beyond these let go of it; absent as many as `min`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max: Option<u16>,
}

/// What this gateway does about a pin of the community.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Here {
    /// Nearer ones hold it.
    Elsewhere,
    /// It is being fetched.
    Fetching,
    /// All of it is here.
    Held,
}

/// A pin of the community.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SharedPinStatusBody {
    #[serde(flatten)]
    pub(super) pin: SharedPinBody,
    /// Replicas that say they hold it and were seen lately.
    pub(super) holders: Vec<String>,
    /// What this gateway does about it.
    pub(super) here: Here,
    /// Blocks that are here, while it is fetched.
    pub(super) blocks: u64,
    /// Bytes that are here.
    pub(super) bytes: u64,
    /// What stood in the way the last time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) detail: String,
}

/// A page of the community's pins.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SharedPins {
    /// Pins, by CID.
    pub(super) pins: Vec<SharedPinStatusBody>,
    /// `cursor` of the next page; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// What a caller keeps here.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Quota {
    /// Bytes of what is pinned or leased, each root once; absent where nothing limits them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    /// Pins.
    pub(super) pins: u64,
    /// Bytes that may be kept; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bytes_limit: Option<u64>,
    /// Pins that may be had; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pins_limit: Option<u64>,
}
