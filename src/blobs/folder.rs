//! Packs as files of a folder, for readers and for collections. `recovery` opens it, the writer appends to it.

use std::{
    collections::{HashSet, VecDeque},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use crate::{
    digest::Digest,
    index::Location,
    pack::{Entry, index_file, index_path, pack_path, record, scan::scan},
};

/// Packs kept open for reading; others are opened again when they are needed.
const MAX_OPEN_PACKS: usize = 64;

/// What is open.
#[derive(Default)]
struct Open {
    files: VecDeque<(u32, Arc<File>)>,
    /// Packs that were removed: a reader that opened one just before must not keep it, and its room on the disk, for
    /// longer than his read.
    removed: HashSet<u32>,
}

/// The folder of the packs.
pub(crate) struct Folder {
    dir: PathBuf,
    open: Mutex<Open>,
}

impl Folder {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, open: Mutex::default() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a block; `None` when its record does not hold it whole. `NotFound` when its pack is gone.
    pub(crate) fn read(&self, digest: &Digest, location: Location) -> io::Result<Option<Bytes>> {
        record::read(&*self.pack(location.pack)?, location.offset, location.data_len, digest)
    }

    /// A block that the system has in memory, without waiting for the disk.
    pub(crate) fn read_cached(&self, digest: &Digest, location: Location) -> Option<Bytes> {
        record::read_cached(&*self.held(location.pack)?, location.offset, location.data_len, digest)
    }

    /// A pack that is open.
    fn held(&self, number: u32) -> Option<Arc<File>> {
        let files = &mut self.open().files;
        let at = files.iter().position(|(held, _)| *held == number)?;
        let pair = files.remove(at)?;
        let file = Arc::clone(&pair.1);
        files.push_front(pair);
        Some(file)
    }

    fn pack(&self, number: u32) -> io::Result<Arc<File>> {
        if let Some(file) = self.held(number) {
            return Ok(file);
        }
        let file = Arc::new(File::open(pack_path(&self.dir, number))?);
        let mut open = self.open();
        if !open.removed.contains(&number) {
            open.files.push_front((number, Arc::clone(&file)));
            open.files.truncate(MAX_OPEN_PACKS);
        }
        Ok(file)
    }

    /// The packs and their lengths in bytes, ascending.
    pub(crate) fn packs(&self) -> io::Result<Vec<(u32, u64)>> {
        let mut packs = Vec::new();
        for item in fs::read_dir(&self.dir)? {
            let item = item?;
            let path = item.path();
            if path.extension().is_some_and(|extension| extension == "pack")
                && let Some(number) = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok())
            {
                match item.metadata() {
                    Ok(meta) => packs.push((number, meta.len())),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        packs.sort_unstable();
        Ok(packs)
    }

    /// What a pack that is complete holds: where its last record ends, and its records.
    pub(crate) fn entries(&self, number: u32, len: u64) -> io::Result<(u64, Vec<Entry>)> {
        let (covered, mut entries) = index_file::read(&self.dir, number, len).unwrap_or_default();
        let end = if len > covered { scan(&*self.pack(number)?, covered, len, &mut entries)? } else { covered };
        Ok((end, entries))
    }

    /// Writes which records of a complete pack are still wanted, so that the next start does not bring back the others.
    pub(crate) fn write_index(&self, number: u32, end: u64, entries: &[Entry]) -> io::Result<()> {
        index_file::write(&self.dir, number, end, entries)
    }

    /// Removes a pack. Who is reading it reads on.
    pub(crate) fn remove(&self, number: u32) -> io::Result<()> {
        self.open().removed.insert(number);
        let gone = |path: PathBuf| match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        // The pack first: an index without its pack is nothing, a pack without its index would be read from end to end.
        gone(pack_path(&self.dir, number))?;
        // Closed outside of the lock: that frees what the pack has on the disk, and readers wait for the lock.
        let closed = {
            let files = &mut self.open().files;
            files.iter().position(|(held, _)| *held == number).and_then(|at| files.remove(at))
        };
        drop(closed);
        gone(index_path(&self.dir, number))
    }
}
