//! The reading side: the index and the packs that it points into.

use std::{
    io,
    sync::{Arc, OnceLock, atomic::AtomicU64},
};

use bytes::Bytes;
use rustdht_core::ports::BlockSource;
use tokio::task::spawn_blocking;

use crate::{
    arriving::Arriving,
    bucket::Bucket,
    damage::{Damage, is_bad_sector},
    digest::Digest,
    folder::Folder,
    index::{Index, Location},
    metrics,
    pack::Entry,
};

/// What became of a read.
pub(crate) enum Found {
    /// The block, checked against the checksum of its record.
    Whole(Bytes),
    /// There is a record, and it cannot be read. The block can be stored again.
    Damaged,
    /// There is none.
    Nothing,
}

/// Where packs lie.
#[derive(Clone)]
pub(crate) enum Volume {
    /// As files.
    Folder(Arc<Folder>),
    /// As objects.
    Bucket(Arc<Bucket>),
}

/// Reads blocks. Never waits for a writer.
pub(crate) struct Shelf {
    pub(crate) index: Index,
    pub(crate) volume: Volume,
    /// Where missing blocks come from, and who hears of new ones.
    pub(crate) source: OnceLock<Arc<dyn BlockSource>>,
    pub(crate) arriving: Arriving,
    /// Blocks that were here and cannot be read.
    pub(crate) damage: Damage,
    /// Blocks that the writer could not write.
    pub(crate) unwritten: AtomicU64,
}

impl Shelf {
    pub(crate) fn new(volume: Volume) -> Self {
        Self {
            index: Index::new(),
            volume,
            source: OnceLock::new(),
            arriving: Arriving::default(),
            damage: Damage::default(),
            unwritten: AtomicU64::new(0),
        }
    }

    /// A block can be read from now on.
    pub(crate) fn noted(&self, digest: &Digest) {
        self.damage.mended(digest);
        if let Some(source) = self.source.get()
            && let Some(hash) = digest.multihash()
        {
            source.noted(&hash);
        }
    }

    /// Whether a block is here, as far as is known, and can be read.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.index.peek(digest).is_some() && !self.damage.has(digest)
    }

    /// Reads a block, without blocking the caller's thread.
    pub(crate) async fn read(&self, digest: Digest) -> io::Result<Found> {
        let Some(mut location) = self.index.get(&digest) else { return Ok(Found::Nothing) };
        loop {
            let found = self.volume.read(digest, location).await;
            if let Ok(Some(block)) = found {
                // A disk that failed may work again, and a service tell the truth.
                self.damage.mended(&digest);
                return Ok(Found::Whole(block));
            }
            match self.index.get(&digest) {
                None => return Ok(Found::Nothing),
                // A collection moved it, and its pack may be gone.
                Some(now) if now != location => location = now,
                Some(_) => {
                    // Without its pack it is as good as damaged. It stays in the index: something may lead to it, and then
                    // what is below it is no garbage.
                    if let Err(error) = found
                        && error.kind() != io::ErrorKind::NotFound
                        && !is_bad_sector(&error)
                    {
                        return Err(error);
                    }
                    if !self.damage.has(&digest) {
                        tracing::warn!(pack = location.pack, offset = location.offset, "a stored block cannot be read");
                        metrics::damaged();
                        self.damage.note(&digest);
                    }
                    return Ok(Found::Damaged);
                }
            }
        }
    }
}

impl Volume {
    /// Reads a block; `None` when its record does not hold it whole. `NotFound` when its pack is gone.
    pub(crate) async fn read(&self, digest: Digest, location: Location) -> io::Result<Option<Bytes>> {
        match self {
            Self::Folder(folder) => match folder.read_cached(&digest, location) {
                Some(block) => {
                    // Nothing was waited for: a walk over many such blocks would never let others have this thread.
                    tokio::task::consume_budget().await;
                    Ok(Some(block))
                }
                None => on_a_thread(folder, move |folder| folder.read(&digest, location)).await,
            },
            Self::Bucket(bucket) => bucket.read(&digest, location).await,
        }
    }

    /// The packs that are there and their lengths in bytes, ascending.
    pub(crate) async fn packs(&self) -> io::Result<Vec<(u32, u64)>> {
        match self {
            Self::Folder(folder) => on_a_thread(folder, Folder::packs).await,
            Self::Bucket(bucket) => bucket.packs().await,
        }
    }

    /// What a pack that is complete holds: where its last record ends, and its records.
    pub(crate) async fn entries(&self, number: u32, len: u64) -> io::Result<(u64, Vec<Entry>)> {
        match self {
            Self::Folder(folder) => on_a_thread(folder, move |folder| folder.entries(number, len)).await,
            Self::Bucket(bucket) => bucket.entries(number, len).await,
        }
    }

    /// Writes which records of a complete pack are still wanted.
    pub(crate) async fn write_index(&self, number: u32, end: u64, entries: Vec<Entry>) -> io::Result<()> {
        match self {
            Self::Folder(folder) => on_a_thread(folder, move |folder| folder.write_index(number, end, &entries)).await,
            Self::Bucket(bucket) => bucket.write_index(number, end, &entries).await,
        }
    }

    /// Removes a pack. Who is reading it finds its blocks where they are now.
    pub(crate) async fn remove(&self, number: u32) -> io::Result<()> {
        match self {
            Self::Folder(folder) => on_a_thread(folder, move |folder| folder.remove(number)).await,
            Self::Bucket(bucket) => bucket.remove(number).await,
        }
    }
}

async fn on_a_thread<T: Send + 'static>(
    folder: &Arc<Folder>,
    work: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let folder = Arc::clone(folder);
    spawn_blocking(move || work(&folder)).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::atomic::{AtomicBool, Ordering},
    };

    use super::*;
    use crate::{
        digest::sha2_256,
        pack::{pack_path, record},
    };

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_block_that_is_moved_all_the_time_is_found_every_time() {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let folder = Arc::new(Folder::new(dir.path().to_owned()));
        let shelf = Arc::new(Shelf::new(Volume::Folder(Arc::clone(&folder))));
        let digest = sha2_256(b"moved");
        let pack = record::encode(&digest, b"moved");
        let entry = Entry { digest, offset: 0, data_len: 5 };
        fs::write(pack_path(dir.path(), 0), &pack).unwrap();
        shelf.index.insert(0, &entry, false);
        let moving = AtomicBool::new(true);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let at = |pack| Location { pack, offset: 0, data_len: 5 };
                for number in 0..3000 {
                    fs::write(pack_path(dir.path(), number + 1), &pack).unwrap();
                    assert!(shelf.index.moved(&digest, at(number), at(number + 1)));
                    folder.remove(number).unwrap();
                }
                moving.store(false, Ordering::SeqCst);
            });
            let reading = async {
                let mut reads = 0;
                while moving.load(Ordering::SeqCst) {
                    assert!(matches!(shelf.read(digest).await.unwrap(), Found::Whole(block) if block == "moved"));
                    reads += 1;
                }
                reads
            };
            assert!(tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(reading)) > 100);
        });
    }
}
