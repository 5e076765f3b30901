use std::path::PathBuf;

/// Greatest `pack_bytes`: offsets inside a pack are 32 bits wide.
const MAX_PACK_BYTES: u64 = 2 << 30;

/// What unfinished uploads may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadBounds {
    /// Greatest length of one in bytes. 64 GiB by default.
    pub max_bytes: u64,
    /// Unfinished ones at once; a quarter of it for one holder. Each has a file of its own and some KiB in memory. 1,024 by
    /// default.
    pub max_open: usize,
    /// Bytes received of all unfinished ones together. 256 GiB by default.
    pub max_open_bytes: u64,
}

impl Default for UploadBounds {
    fn default() -> Self {
        Self { max_bytes: 64 << 30, max_open: 1024, max_open_bytes: 256 << 30 }
    }
}

/// Where blocks are kept, and the bounds of the store.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder; made if it is not there.
    pub dir: PathBuf,
    /// A pack is sealed before it grows past this many bytes. At most 2 GiB; 1 GiB by default.
    pub pack_bytes: u64,
    /// Adds that run at once; further ones wait. Each holds about 6 MiB. 32 by default.
    pub max_adds: usize,
    /// Uploads in parts.
    pub uploads: UploadBounds,
    /// Of a bucket: random bytes that become the id of this gateway, where its folder has none yet. With them the prefix is
    /// taken for this gateway, and refused where it is another's; without, nobody looks whose it is. None by default.
    pub fresh_id: Option<[u8; 16]>,
}

impl Config {
    /// The defaults, in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), pack_bytes: 1 << 30, max_adds: 32, uploads: UploadBounds::default(), fresh_id: None }
    }

    pub(crate) fn pack_bytes(&self) -> u64 {
        self.pack_bytes.min(MAX_PACK_BYTES)
    }
}
