//! The metrics of this crate, each declared and described here and nowhere else.

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

const GROUP_BATCHES: &str = "rustdht_store_group_batches";
const APPLY_SECONDS: &str = "rustdht_store_apply_seconds";
const ROWS: &str = "rustdht_store_rows_total";
const REFUSED: &str = "rustdht_store_refused_batches_total";
const DAMAGED: &str = "rustdht_store_damaged_rows_total";

/// Describes every metric to the installed recorder.
pub(crate) fn describe() {
    describe_histogram!(GROUP_BATCHES, Unit::Count, "batches that shared one transaction");
    describe_histogram!(APPLY_SECONDS, Unit::Seconds, "time of one transaction, from its begin to its commit");
    describe_counter!(ROWS, Unit::Count, "rows of entries written or removed, by op");
    describe_counter!(REFUSED, Unit::Count, "batches that wrote nothing, by reason");
    describe_counter!(DAMAGED, Unit::Count, "rows passed over in reads since they cannot be decoded, by table");
}

/// One committed transaction.
pub(crate) fn group(batches: usize, seconds: f64, written: usize, removed: usize) {
    histogram!(GROUP_BATCHES).record(batches as f64);
    histogram!(APPLY_SECONDS).record(seconds);
    counter!(ROWS, "op" => "written").increment(written as u64);
    counter!(ROWS, "op" => "removed").increment(removed as u64);
}

/// One batch that wrote nothing: `conflict`, `duplicate` or `failed`.
pub(crate) fn refused(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

/// One row that was passed over.
pub(crate) fn damaged(table: &'static str) {
    counter!(DAMAGED, "table" => table).increment(1);
}
