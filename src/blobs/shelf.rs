//! The reading side: the index and the packs that it points into.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use rustdht_core::ports::BlockSource;

use crate::{
    digest::Digest,
    index::{Index, Location},
    metrics,
    pack::{pack_path, record},
};

/// Packs kept open for reading; others are opened again when they are needed.
const MAX_OPEN_PACKS: usize = 64;

/// What became of a read.
pub(crate) enum Found {
    /// The block, checked against the checksum of its record.
    Whole(Bytes),
    /// There was a record, but it is damaged. It is forgotten, so that the block can be stored again.
    Damaged,
    /// There is none.
    Nothing,
}

/// Reads blocks. Never waits for a writer.
pub(crate) struct Shelf {
    pub(crate) index: Index,
    dir: PathBuf,
    open: Mutex<VecDeque<(u32, Arc<File>)>>,
    /// Where missing blocks come from, and who hears of new ones.
    pub(crate) source: OnceLock<Arc<dyn BlockSource>>,
}

impl Shelf {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { index: Index::new(), dir, open: Mutex::default(), source: OnceLock::new() }
    }

    /// A block can be read from now on.
    pub(crate) fn noted(&self, digest: &Digest) {
        if let Some(source) = self.source.get()
            && let Some(hash) = digest.multihash()
        {
            source.noted(&hash);
        }
    }

    /// Reads a block from the disk, without blocking the caller's thread.
    pub(crate) async fn read(self: &Arc<Self>, digest: Digest) -> io::Result<Found> {
        let Some(location) = self.index.get(&digest) else { return Ok(Found::Nothing) };
        let shelf = Arc::clone(self);
        tokio::task::spawn_blocking(move || shelf.read_at(&digest, location)).await.map_err(io::Error::other)?
    }

    fn read_at(&self, digest: &Digest, location: Location) -> io::Result<Found> {
        let file = self.pack(location.pack)?;
        match record::read(&file, location.offset, location.data_len, digest)? {
            Some(block) => Ok(Found::Whole(block)),
            None => {
                tracing::warn!(pack = location.pack, offset = location.offset, "a block on the disk is damaged");
                metrics::damaged();
                self.index.remove(digest, location);
                Ok(Found::Damaged)
            }
        }
    }

    fn pack(&self, number: u32) -> io::Result<Arc<File>> {
        let find = |open: &mut VecDeque<(u32, Arc<File>)>| {
            let at = open.iter().position(|(held, _)| *held == number)?;
            let pair = open.remove(at)?;
            let file = Arc::clone(&pair.1);
            open.push_front(pair);
            Some(file)
        };
        if let Some(file) = find(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(file);
        }
        let file = Arc::new(File::open(pack_path(&self.dir, number))?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push_front((number, Arc::clone(&file)));
        open.truncate(MAX_OPEN_PACKS);
        Ok(file)
    }
}
