//! The metrics of this crate, by name.

use std::{sync::Once, time::Duration};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const BLOCKS: &str = "rustdht_blobs_blocks";
const BYTES: &str = "rustdht_blobs_bytes";
const ADDED_BYTES: &str = "rustdht_blobs_added_bytes_total";
const FETCHED: &str = "rustdht_blobs_fetched_blocks_total";
const DAMAGED: &str = "rustdht_blobs_damaged_blocks_total";
const FSYNC: &str = "rustdht_blobs_fsync_seconds";
const UPLOADED: &str = "rustdht_blobs_uploaded_bytes_total";
const PACK_BYTES: &str = "rustdht_blobs_pack_bytes";
const GC_SECONDS: &str = "rustdht_blobs_gc_seconds";
const GC_RUNS: &str = "rustdht_blobs_gc_runs_total";
const GC_BLOCKS: &str = "rustdht_blobs_gc_removed_blocks_total";
const GC_BYTES: &str = "rustdht_blobs_gc_removed_bytes_total";
const GC_FREED: &str = "rustdht_blobs_gc_freed_bytes_total";
const GC_MOVED: &str = "rustdht_blobs_gc_moved_bytes_total";

/// Tells the recorder what the metrics mean.
pub(crate) fn describe() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        describe_gauge!(BLOCKS, "Blocks held");
        describe_gauge!(BYTES, Unit::Bytes, "Bytes of the blocks held, without headers and padding");
        describe_counter!(ADDED_BYTES, Unit::Bytes, "Bytes of files added");
        describe_counter!(FETCHED, "Blocks that came from peers while a file was read");
        describe_counter!(DAMAGED, "Blocks whose record was found damaged when it was read");
        describe_histogram!(FSYNC, Unit::Seconds, "Time of one flush of the packs to the disk, or to the bucket");
        describe_counter!(UPLOADED, Unit::Bytes, "Bytes of packs put into the bucket");
        describe_gauge!(
            PACK_BYTES,
            Unit::Bytes,
            "Bytes of the packs, as of the last collection, or of whoever asked since"
        );
        describe_histogram!(GC_SECONDS, Unit::Seconds, "Time of one collection");
        describe_counter!(GC_RUNS, "Collections, by how they ended");
        describe_counter!(GC_BLOCKS, "Blocks removed by collections");
        describe_counter!(GC_BYTES, Unit::Bytes, "Bytes of blocks removed by collections");
        describe_counter!(GC_FREED, Unit::Bytes, "Bytes of packs removed by collections");
        describe_counter!(GC_MOVED, Unit::Bytes, "Bytes of blocks that collections moved out of packs that went");
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

pub(crate) fn uploaded(bytes: u64) {
    counter!(UPLOADED).increment(bytes);
}

/// The bytes of all packs.
pub(crate) fn packs(bytes: u64) {
    gauge!(PACK_BYTES).set(bytes as f64);
}

/// A collection ended.
pub(crate) fn collected(result: &'static str, took: Duration) {
    counter!(GC_RUNS, "result" => result).increment(1);
    histogram!(GC_SECONDS).record(took);
}

/// Blocks were removed.
pub(crate) fn removed(blocks: u64, bytes: u64) {
    counter!(GC_BLOCKS).increment(blocks);
    counter!(GC_BYTES).increment(bytes);
}

/// A pack was removed, after what was wanted of it was moved.
pub(crate) fn freed(freed: u64, moved: u64) {
    counter!(GC_FREED).increment(freed);
    counter!(GC_MOVED).increment(moved);
}
