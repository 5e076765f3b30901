//! The metrics of this crate, by name.

use std::{sync::Once, time::Duration};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const BLOCKS: &str = "rustdht_blobs_blocks";
const BYTES: &str = "rustdht_blobs_bytes";
const ADDED_BYTES: &str = "rustdht_blobs_added_bytes_total";
const FETCHED: &str = "rustdht_blobs_fetched_blocks_total";
const DAMAGED: &str = "rustdht_blobs_damaged_blocks_total";
const FSYNC: &str = "rustdht_blobs_fsync_seconds";

/// Tells the recorder what the metrics mean.
pub(crate) fn describe() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        describe_gauge!(BLOCKS, "Blocks held");
        describe_gauge!(BYTES, Unit::Bytes, "Bytes of the blocks held, without headers and padding");
        describe_counter!(ADDED_BYTES, Unit::Bytes, "Bytes of files added");
        describe_counter!(FETCHED, "Blocks that came from peers while a file was read");
        describe_counter!(DAMAGED, "Blocks whose record was found damaged when it was read");
        describe_histogram!(FSYNC, Unit::Seconds, "Time of one flush of the packs to the disk");
    });
}

pub(crate) fn held(blocks: u64, bytes: u64) {
    gauge!(BLOCKS).set(blocks as f64);
    gauge!(BYTES).set(bytes as f64);
}

pub(crate) fn added(bytes: u64) {
    counter!(ADDED_BYTES).increment(bytes);
}

pub(crate) fn fetched() {
    counter!(FETCHED).increment(1);
}

pub(crate) fn damaged() {
    counter!(DAMAGED).increment(1);
}

pub(crate) fn flushed(took: Duration) {
    histogram!(FSYNC).record(took);
}
