//! The metrics of this crate.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use crate::providers;

/// Operations joined, by outcome.
pub(crate) const OPERATIONS: &str = "rustdht_node_operations_total";
/// Jobs of one group.
pub(crate) const GROUP_JOBS: &str = "rustdht_node_group_jobs";
/// Commits waiting for their stamp.
pub(crate) const DEFERRED: &str = "rustdht_node_deferred_commits";
/// Bytes of node states kept for merging.
pub(crate) const MERGE_CACHE: &str = "rustdht_node_merge_cache_bytes";

/// Envelopes from members that wait for a certificate or for what covers a value.
pub(crate) const PENDING: &str = "rustdht_node_pending_envelopes";

/// DAGs that are being fetched to be kept.
pub(crate) const PINS_FETCHING: &str = "rustdht_node_pins_fetching";

/// Registers names, units and texts with the installed recorder.
pub fn describe() {
    describe_counter!(OPERATIONS, Unit::Count, "operations joined, by outcome");
    describe_histogram!(GROUP_JOBS, Unit::Count, "jobs that shared one transaction");
    describe_gauge!(DEFERRED, Unit::Count, "commits waiting for their stamp");
    describe_gauge!(PENDING, Unit::Count, "envelopes from members that wait for something else");
    describe_gauge!(PINS_FETCHING, Unit::Count, "DAGs that are being fetched to be kept");
    describe_gauge!(providers::WAITING, Unit::Count, "keys that wait for their first announcement, by DHT");
    describe_gauge!(
        providers::BEHIND,
        Unit::Count,
        "how far the cycle of announcements is behind, in thousandths, by DHT"
    );
    describe_counter!(providers::LOOKUPS, Unit::Count, "lookups made to announce blocks, by DHT");
    describe_counter!(providers::RECORDS, Unit::Count, "provider records sent, by DHT");
    describe_gauge!(MERGE_CACHE, Unit::Bytes, "node states kept for merging");
}
