//! Pack files: their records, how a pack is read back after a crash, and the index file that spares reading it.

pub(crate) mod index_file;
pub(crate) mod record;
pub(crate) mod scan;

use std::path::{Path, PathBuf};

use crate::digest::Digest;

/// A record of a pack.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// What the block hashes to.
    pub(crate) digest: Digest,
    /// Where its record begins, in bytes from the start of the pack.
    pub(crate) offset: u32,
    /// Length of the block in bytes.
    pub(crate) data_len: u32,
}

/// `<number>.pack`
pub(crate) fn pack_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.pack"))
}

/// `<number>.idx`
pub(crate) fn index_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.idx"))
}

/// Makes new names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}
