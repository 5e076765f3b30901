//! Appending: chunks become blocks while the next one comes.

use std::{pin::pin, sync::Arc, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use rustdht_core::ports::{AddHash, Arrived, BlobError, BoxByteStream, UploadError};
use sha2::{Digest as _, Sha256};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

use super::{
    Entry, Uploads,
    journal::{self, Contents, Records},
    leaf_cid, leaf_digest, lock,
    sha256::Midstate,
};
use crate::{dag::Profile, hashing, writer::Ticket};

/// What was received is made durable at the latest after so many bytes: what a killed process has to be sent again.
const COMMIT_EVERY_BYTES: u64 = 32 << 20;
/// Chunks are made durable so often. Long enough that flushing costs little (some 10 ms), short enough that a client that
/// comes back notices nothing.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// And what fills no chunk so often: a client on a slow line takes minutes for one.
const COMMIT_TAIL_EVERY: Duration = Duration::from_secs(5);

/// A body that counts only as a whole: until its checksum is known it counts for nobody.
const MAX_WHOLE_BYTES: u64 = 64 << 20;

/// A chunk that is being hashed: SHA-256 of the file behind it, its own digest, and its bytes.
type Hashing = hashing::Hashing<(Midstate, [u8; 32], Bytes)>;

/// An upload that somebody appends to.
pub(super) struct Line {
    uploads: Arc<Uploads>,
    entry: Arc<Entry>,
    contents: Contents,
    chunk_bytes: usize,
    expires_ms: u64,
    ticket: Ticket,
    hashing: Option<Hashing>,
    /// Leaves that are not in the file.
    fresh: Vec<[u8; 32]>,
    /// Bytes of the tail that are in the file.
    noted_tail: usize,
    committed: Instant,
}

impl Line {
    pub(super) fn new(uploads: Arc<Uploads>, entry: Arc<Entry>, contents: Contents, expires_ms: u64) -> Self {
        let chunk_bytes = Profile::from(contents.head.options).chunk_bytes;
        let noted_tail = contents.tail.len();
        Self {
            uploads,
            entry,
            contents,
            chunk_bytes,
            expires_ms,
            ticket: Ticket::default(),
            hashing: None,
            fresh: Vec::new(),
            noted_tail,
            committed: Instant::now(),
        }
    }

    /// Bytes that came, those that are being hashed included.
    fn offset(&self) -> u64 {
        let leaves = self.contents.leaves.len() + self.fresh.len() + usize::from(self.hashing.is_some());
        leaves as u64 * self.chunk_bytes as u64 + self.contents.tail.len() as u64
    }

    /// Whether something came that is not durable.
    fn is_ahead(&self) -> bool {
        !self.fresh.is_empty() || self.hashing.is_some() || self.contents.tail.len() > self.noted_tail
    }

    /// Takes the body; an error says why it ended early.
    pub(super) async fn take(
        &mut self,
        body: BoxByteStream,
        keep: Arrived,
        stop: impl Future<Output = &'static str>,
    ) -> Result<(), UploadError> {
        let mut body = body.fuse();
        let mut stop = pin!(stop);
        let mut limit = self.contents.head.length.unwrap_or(self.uploads.bounds.max_bytes);
        if keep == Arrived::WholeOnly {
            limit = limit.min(self.offset() + MAX_WHOLE_BYTES);
        }
        let open_limit = self.uploads.bounds.max_open_bytes;
        loop {
            let late = self.committed + COMMIT_TAIL_EVERY;
            let piece = tokio::select! {
                // What came is taken before the end is.
                biased;
                piece = body.next() => piece,
                why = &mut stop => return Err(BlobError::Body(why.to_owned()).into()),
                () = sleep_until(late), if keep == Arrived::Partly && self.is_ahead() => {
                    self.commit(true).await?;
                    continue;
                }
            };
            let Some(piece) = piece else { return Ok(()) };
            let piece = piece?;
            if self.offset() + piece.len() as u64 > limit {
                return Err(UploadError::TooLong { limit });
            }
            // What is not durable yet counts by the bound on requests: a commit's worth each.
            if self.uploads.open_bytes.load(Ordering::Relaxed) > open_limit {
                return Err(UploadError::NoRoom { limit: open_limit });
            }
            self.push(&piece).await?;
            if keep == Arrived::Partly {
                let elapsed = self.committed.elapsed();
                let chunks = self.fresh.len() + usize::from(self.hashing.is_some());
                let full = self.fresh.len() as u64 * self.chunk_bytes as u64 >= COMMIT_EVERY_BYTES;
                if full || (chunks > 0 && elapsed >= COMMIT_EVERY) {
                    self.commit(false).await?;
                } else if elapsed >= COMMIT_TAIL_EVERY {
                    self.commit(true).await?;
                }
            }
        }
    }

    async fn push(&mut self, mut piece: &[u8]) -> Result<(), UploadError> {
        while !piece.is_empty() {
            let room = self.chunk_bytes - self.contents.tail.len();
            let (now, later) = piece.split_at(room.min(piece.len()));
            self.contents.tail.extend_from_slice(now);
            piece = later;
            if self.contents.tail.len() == self.chunk_bytes {
                let chunk = std::mem::replace(&mut self.contents.tail, Vec::with_capacity(self.chunk_bytes));
                self.settle().await?;
                let (mut midstate, hash) = (self.contents.midstate, self.contents.head.options.hash);
                self.noted_tail = 0;
                self.hashing = Some(hashing::begin(move || {
                    let digest = match hash {
                        AddHash::Sha2 => Sha256::digest(&chunk).into(),
                        AddHash::Blake3 => *blake3::hash(&chunk).as_bytes(),
                    };
                    // A chunk is a multiple of 64 bytes in every profile.
                    midstate.update(&chunk);
                    (midstate, digest, Bytes::from(chunk))
                }));
            }
        }
        Ok(())
    }

    /// Gives the chunk that was hashed to the writer.
    async fn settle(&mut self) -> Result<(), UploadError> {
        let Some(hashing) = self.hashing.take() else { return Ok(()) };
        let (midstate, digest, chunk) = hashing.await.map_err(std::io::Error::other)?;
        let options = self.contents.head.options;
        // Before the block is there: whoever removes blocks must not find it without a name.
        lock(&self.entry.fresh).push(leaf_digest(&options, &digest));
        self.ticket.check().map_err(BlobError::from)?;
        self.uploads.blocks.append(&leaf_cid(&options, &digest), chunk, &self.ticket).await?;
        self.contents.midstate = midstate;
        self.fresh.push(digest);
        Ok(())
    }

    /// Makes durable what came: the chunks, and with `tail` the rest.
    pub(super) async fn commit(&mut self, tail: bool) -> Result<(), UploadError> {
        self.settle().await?;
        let mut records = Records::default();
        let mut offset = (self.contents.leaves.len() + self.fresh.len()) as u64 * self.chunk_bytes as u64;
        if !self.fresh.is_empty() {
            self.uploads.blocks.writer.flush(&self.ticket).await.map_err(BlobError::from)?;
            records.leaves(self.contents.midstate, &self.fresh);
        }
        let noted = if tail { self.contents.tail.len() } else { self.noted_tail };
        if noted > self.noted_tail {
            records.tail(&self.contents.tail[self.noted_tail..]);
        }
        offset += noted as u64;
        records.until(self.expires_ms);
        let (path, end) = (self.entry.path.clone(), self.contents.end);
        let written = spawn_blocking(move || journal::append(&path, end, &records));
        self.contents.end = written.await.map_err(std::io::Error::other)??;
        // Only now: after a failure it is written with the next.
        self.noted_tail = noted;
        self.contents.leaves.append(&mut self.fresh);
        self.committed = Instant::now();
        lock(&self.entry.fresh).clear();
        let mut known = lock(&self.entry.known);
        let before = std::mem::replace(&mut known.offset, offset);
        known.head.expires_ms = self.expires_ms;
        self.uploads.open_bytes.fetch_add(offset - before, Ordering::Relaxed);
        Ok(())
    }
}
