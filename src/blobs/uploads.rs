//! Uploads in parts (the port [`UploadStore`](rustdht_core::ports::UploadStore)): what was received survives the end of the process.
//!
//! ```text
//!   body ──> chunk full ──> hash ──> block in a pack ──┐ flushed
//!     │                                                v
//!     └────> rest of a chunk ─────────────────> blobs/uploads/<id>.upload ──> offset that is answered
//!   complete: leaves ──> layout ──> root
//! ```
//!
//! A chunk is hashed once, when it is full. Nothing names the blocks of an unfinished upload but its file: whoever removes
//! blocks asks [`Uploads::ids`] and [`Uploads::blocks_of`].

mod append;
mod journal;
mod layout;
mod port;
mod sha256;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cid::Cid;
use rustdht_core::ports::{
    AddHash, AddOptions, Added, Arrived, BlobError, BoxByteStream, UploadError, UploadId, UploadState,
};
use tokio::{sync::OwnedMutexGuard, task::spawn_blocking};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    append::Line,
    journal::{Contents, Head, Records},
    layout::Part,
};
use crate::{
    blocks::Blocks,
    config::UploadBounds,
    dag::Profile,
    digest::{self, Digest, Place},
    node::RAW,
    writer::Ticket,
};

/// Of one holder, at most this part of the uploads may be open.
const HOLDERS_PART: usize = 4;
/// Of one holder, so many that are complete are remembered; the one that ends first gives way. A file of a few hundred bytes
/// each, to 8 KiB of notes.
const MAX_COMPLETE: usize = 1024;
/// How long a request waits until the one before it has stopped.
const PATIENCE: Duration = Duration::from_secs(10);
/// Length of `Added::head`.
const HEAD_BYTES: u64 = 512;

/// What is known of an upload without its file.
#[derive(Clone, Debug)]
struct Known {
    /// Bytes that are durable.
    offset: u64,
    head: Head,
}

/// An upload.
struct Entry {
    path: PathBuf,
    /// Held by whoever changes it.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Asks the holder of the turn to stop.
    leave: Mutex<CancellationToken>,
    known: Mutex<Known>,
    /// Blocks that are in the packs, or on the way there, and not in the file yet.
    fresh: Mutex<Vec<Digest>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entry {
    fn new(path: PathBuf, known: Known) -> Arc<Self> {
        Arc::new(Self {
            path,
            turn: Arc::default(),
            leave: Mutex::default(),
            known: Mutex::new(known),
            fresh: Mutex::default(),
        })
    }

    fn state(&self) -> UploadState {
        let Known { offset, head } = lock(&self.known).clone();
        let Head { length, expires_ms, note, added, .. } = head;
        UploadState { offset, length, expires_ms, note, added }
    }

    /// Its turn, after whoever has it stopped; and what ends it.
    async fn take_turn(&self) -> Result<(OwnedMutexGuard<()>, CancellationToken), UploadError> {
        lock(&self.leave).cancel();
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turn).lock_owned());
        let turn = turn.await.map_err(|_| UploadError::Busy)?;
        let leave = CancellationToken::new();
        *lock(&self.leave) = leave.clone();
        Ok((turn, leave))
    }
}

/// The uploads of a store.
pub(crate) struct Uploads {
    dir: PathBuf,
    bounds: UploadBounds,
    blocks: Arc<Blocks>,
    entries: Mutex<HashMap<UploadId, Arc<Entry>>>,
    /// Bytes of those that are not complete.
    open_bytes: AtomicU64,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// The key of a leaf's block.
fn leaf_digest(options: &AddOptions, digest: &[u8; 32]) -> Digest {
    match options.hash {
        AddHash::Sha2 => Digest::sha2(*digest),
        AddHash::Blake3 => Digest::blake3(*digest),
    }
}

fn leaf_cid(options: &AddOptions, digest: &[u8; 32]) -> Cid {
    match options.hash {
        AddHash::Sha2 => digest::sha2_cid(RAW, digest),
        AddHash::Blake3 => digest::blake3_cid(RAW, digest),
    }
}

/// Bytes that a file says.
fn offset_of(contents: &Contents) -> u64 {
    // Of one that is complete only the outcome is kept.
    if let Some(added) = &contents.head.added {
        return added.size;
    }
    let chunk_bytes = Profile::from(contents.head.options).chunk_bytes as u64;
    contents.leaves.len() as u64 * chunk_bytes + contents.tail.len() as u64
}

impl Uploads {
    /// Reads back what is in the folder. Blocks the thread.
    pub(crate) fn open(dir: PathBuf, bounds: UploadBounds, blocks: Arc<Blocks>) -> io::Result<Arc<Self>> {
        fs::create_dir_all(&dir)?;
        let uploads = Self {
            dir,
            bounds,
            blocks,
            entries: Mutex::default(),
            open_bytes: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        };
        for file in fs::read_dir(&uploads.dir)? {
            let path = file?.path();
            let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            let ends = |end: &str| path.extension().is_some_and(|own| own == end);
            if ends("new") {
                // Begun and not named when the process ended.
                fs::remove_file(&path)?;
            }
            let Some(id) = id.filter(|_: &UploadId| ends("upload")) else { continue };
            let Some(contents) = uploads.read(&path)? else {
                tracing::warn!(path = %path.display(), "this is no upload that can be read: it is removed");
                fs::remove_file(&path)?;
                continue;
            };
            let known = Known { offset: offset_of(&contents), head: contents.head };
            if known.head.added.is_none() {
                uploads.open_bytes.fetch_add(known.offset, Ordering::Relaxed);
            }
            lock(&uploads.entries).insert(id, Entry::new(path, known));
        }
        Ok(Arc::new(uploads))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Contents>> {
        let index = &self.blocks.shelf.index;
        journal::read(path, |options, leaf| index.get(&leaf_digest(options, leaf)).is_some())
    }

    /// Those that are not forgotten.
    pub(crate) fn ids(&self) -> Vec<UploadId> {
        lock(&self.entries).keys().copied().collect()
    }

    /// The blocks of an upload that nothing else names. Blocks the thread; for one of a gibibyte it reads 32 KiB.
    pub(crate) fn blocks_of(&self, id: UploadId) -> io::Result<Vec<Digest>> {
        let Some(entry) = lock(&self.entries).get(&id).cloned() else { return Ok(Vec::new()) };
        // First what is not in the file: it may go there meanwhile, and never the other way round.
        let mut blocks = lock(&entry.fresh).clone();
        let contents = match self.read(&entry.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            contents => contents?,
        };
        // What is complete is kept by something else.
        if let Some(contents) = contents.filter(|contents| contents.head.added.is_none()) {
            blocks.extend(contents.leaves.iter().map(|leaf| leaf_digest(&contents.head.options, leaf)));
        }
        Ok(blocks)
    }

    /// Ends appending; what came is durable then.
    pub(crate) async fn close(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn entry(&self, id: UploadId) -> Result<Arc<Entry>, UploadError> {
        lock(&self.entries).get(&id).cloned().ok_or(UploadError::Unknown)
    }

    /// Its turn, and what its file says.
    async fn load(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
    ) -> Result<(OwnedMutexGuard<()>, CancellationToken, Contents), UploadError> {
        let (turn, leave) = entry.take_turn().await?;
        let (uploads, of) = (Arc::clone(self), Arc::clone(entry));
        let contents = spawn_blocking(move || {
            let mut contents = uploads.read(&of.path)?;
            if let Some(stale) = contents.as_mut().filter(|contents| contents.is_stale()) {
                stale.end = journal::write(&of.path, stale)?;
            }
            Ok(contents)
        });
        match contents.await.map_err(io::Error::other)? {
            Ok(Some(contents)) => Ok((turn, leave, contents)),
            Ok(None) => Err(UploadError::Unknown),
            // It was ended while this one waited for its turn.
            Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Err(UploadError::Unknown),
            Err(error) => Err(error.into()),
        }
    }

    async fn note(entry: &Arc<Entry>, contents: Contents) -> Result<(), UploadError> {
        let of = Arc::clone(entry);
        let written = spawn_blocking(move || {
            let mut records = Records::default();
            records.head(&contents.head)?;
            journal::append(&of.path, contents.end, &records)?;
            lock(&of.known).head = contents.head;
            io::Result::Ok(())
        });
        Ok(written.await.map_err(io::Error::other)??)
    }

    fn forget(&self, id: UploadId) {
        let Some(entry) = lock(&self.entries).remove(&id) else { return };
        let known = lock(&entry.known);
        if known.head.added.is_none() {
            self.open_bytes.fetch_sub(known.offset, Ordering::Relaxed);
        }
    }

    /// Removes an upload. Whoever appends has stopped before, and who waits for a turn finds no file: what they made durable
    /// is not counted any more afterwards.
    async fn discard(&self, id: UploadId) -> Result<(), UploadError> {
        let entry = self.entry(id)?;
        let (_turn, _) = entry.take_turn().await?;
        let path = entry.path.clone();
        let removed = spawn_blocking(move || match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        });
        removed.await.map_err(io::Error::other)??;
        self.forget(id);
        Ok(())
    }

    /// The blocks above the leaves.
    async fn assemble(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<Added, UploadError> {
        let (_turn, _, contents) = self.load(entry).await?;
        if let Some(added) = contents.head.added {
            return Ok(added);
        }
        let size = offset_of(&contents);
        if contents.head.length != Some(size) {
            return Err(UploadError::Incomplete { at: size });
        }
        let (options, blocks) = (contents.head.options, &self.blocks);
        let made = spawn_blocking(move || {
            let profile = Profile::from(options);
            let leaf = |digest| Part::leaf(leaf_cid(&options, digest), profile.chunk_bytes as u64);
            let mut parts: Vec<Part> = contents.leaves.iter().map(leaf).collect();
            let mut made = Vec::new();
            if !contents.tail.is_empty() || parts.is_empty() {
                let cid = digest::make_cid(RAW, options.hash, &contents.tail);
                parts.push(Part::leaf(cid, contents.tail.len() as u64));
                made.push((cid, Bytes::from(contents.tail.clone())));
            }
            let before = contents.leaves.len() as u64 * profile.chunk_bytes as u64;
            let sha256 = contents.midstate.finish(before, &contents.tail);
            let first = parts.first().map(|part| part.cid);
            let (above, root) = layout::above(parts, profile.width, options.hash);
            made.extend(above);
            (made, root, first, sha256)
        });
        let (made, root, first, sha256) = made.await.map_err(io::Error::other)?;
        let (cid, first) = root.zip(first).ok_or_else(|| io::Error::other("a file without a block"))?;
        let ticket = Ticket::default();
        for (cid, block) in made {
            if let Place::Stored(digest) = Place::of(&cid) {
                lock(&entry.fresh).push(digest);
            }
            blocks.append(&cid, block, &ticket).await?;
        }
        if cid.codec() != RAW || digest::sha256_of(&cid).is_none() {
            blocks.note_file(sha256, &cid, &ticket).await?;
        }
        blocks.writer.flush(&ticket).await.map_err(BlobError::from)?;
        let first = blocks.here(&first).await?.ok_or(BlobError::Missing(first))?;
        let head = Bytes::copy_from_slice(&first[..first.len().min(HEAD_BYTES as usize)]);
        Ok(Added { cid, size, head, sha256: Some(sha256) })
    }

    /// Appends until the body ends, or somebody asks it to stop.
    async fn append(
        self: Arc<Self>,
        entry: Arc<Entry>,
        offset: u64,
        body: BoxByteStream,
        keep: Arrived,
        expires_ms: u64,
    ) -> Result<UploadState, UploadError> {
        let (_turn, leave, contents) = self.load(&entry).await?;
        let at = offset_of(&contents);
        if contents.head.added.is_some() || at != offset {
            lock(&entry.known).offset = at;
            return Err(UploadError::Offset { at });
        }
        if contents.head.length == Some(at) {
            // Nothing can come; and what is above the leaves may be waiting for a name.
            return Ok(entry.state());
        }
        let mut line = Line::new(Arc::clone(&self), Arc::clone(&entry), contents, expires_ms);
        let stop = async {
            tokio::select! {
                () = leave.cancelled() => "another request took the upload over",
                () = self.stopping.cancelled() => "the gateway is stopping",
            }
        };
        let ended = line.take(body, keep, stop).await;
        let kept = match (&ended, keep) {
            (Err(_), Arrived::WholeOnly) => Ok(()),
            _ => line.commit(true).await,
        };
        lock(&entry.fresh).clear();
        ended?;
        kept?;
        Ok(entry.state())
    }
}

#[cfg(test)]
mod tests;
