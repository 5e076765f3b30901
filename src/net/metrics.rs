//! Every metric of this crate.

use metrics::{counter, describe_counter, describe_gauge, gauge};
use rustdht_bitswap::Stats;
use rustdht_wire::protocol::Protocol;

/// Members connected.
const PEERS: &str = "rustdht_net_peers";
/// Ids in the reconciliation index.
const INDEXED: &str = "rustdht_net_indexed_entries";
/// Requests, by protocol and direction.
const REQUESTS: &str = "rustdht_net_requests_total";
/// Requests that failed, by protocol and direction.
const FAILURES: &str = "rustdht_net_request_failures_total";
/// Reconciliations, by result.
const SYNCS: &str = "rustdht_net_reconciliations_total";
/// Peers turned away, by reason.
const REJECTED: &str = "rustdht_net_rejected_peers_total";
/// Envelopes refused, by code.
const REFUSED: &str = "rustdht_net_refused_envelopes_total";
/// Messages that the protocol does not allow.
const MISBEHAVED: &str = "rustdht_net_misbehaviour_total";
/// Messages that nobody stores, by what became of them.
const LIVE: &str = "rustdht_net_live_messages_total";

/// Peers of IPFS connected that are none of the network.
const GUESTS: &str = "rustdht_net_guests";
/// Provider records of others, by DHT.
const PROVIDER_RECORDS: &str = "rustdht_net_provider_records";
/// Lookups of providers for blocks that nobody connected has, by result.
const PROVIDER_LOOKUPS: &str = "rustdht_net_provider_lookups_total";

/// The name of a number of Bitswap.
fn of_bitswap(name: &str) -> String {
    format!("rustdht_bitswap_{name}_total")
}

/// Registers the descriptions with the recorder.
pub fn describe_metrics() {
    describe_gauge!(PEERS, "members connected");
    describe_gauge!(GUESTS, "peers of IPFS connected that are none of the network");
    describe_gauge!(PROVIDER_RECORDS, "provider records of others, by DHT");
    describe_counter!(PROVIDER_LOOKUPS, "lookups of providers for blocks that nobody connected has, by result");
    describe_gauge!(INDEXED, "ids in the reconciliation index");
    describe_counter!(REQUESTS, "requests between members, by protocol and direction");
    describe_counter!(FAILURES, "requests between members that failed, by protocol and direction");
    describe_counter!(SYNCS, "reconciliations begun here, by result");
    describe_counter!(REJECTED, "peers turned away, by reason");
    describe_counter!(REFUSED, "envelopes refused between members, by code");
    describe_counter!(LIVE, "messages that nobody stores, by what became of them");
    describe_counter!(MISBEHAVED, "messages from members that the protocol does not allow");
    for (name, description) in Stats::descriptions() {
        describe_counter!(of_bitswap(name), description);
    }
}

pub(crate) fn bitswap(stats: &Stats) {
    for (name, count) in stats.named() {
        counter!(of_bitswap(name)).absolute(count);
    }
}

pub(crate) fn peers(count: usize) {
    gauge!(PEERS).set(count as f64);
}

pub(crate) fn indexed(count: usize) {
    gauge!(INDEXED).set(count as f64);
}

pub(crate) fn guests(count: usize) {
    gauge!(GUESTS).set(count as f64);
}

pub(crate) fn provider_records(dht: &'static str, count: usize) {
    gauge!(PROVIDER_RECORDS, "dht" => dht).set(count as f64);
}

pub(crate) fn provider_lookup(result: &'static str) {
    counter!(PROVIDER_LOOKUPS, "result" => result).increment(1);
}

pub(crate) fn request(protocol: Protocol, direction: &'static str) {
    counter!(REQUESTS, "protocol" => protocol.name(), "direction" => direction).increment(1);
}

pub(crate) fn failure(protocol: Protocol, direction: &'static str) {
    counter!(FAILURES, "protocol" => protocol.name(), "direction" => direction).increment(1);
}

pub(crate) fn reconciled(result: &'static str) {
    counter!(SYNCS, "result" => result).increment(1);
}

pub(crate) fn rejected(reason: &'static str) {
    counter!(REJECTED, "reason" => reason).increment(1);
}

pub(crate) fn refused(code: &'static str) {
    counter!(REFUSED, "code" => code).increment(1);
}

pub(crate) fn misbehaved() {
    counter!(MISBEHAVED).increment(1);
}

pub(crate) fn live(outcome: &'static str) {
    counter!(LIVE, "outcome" => outcome).increment(1);
}
