//! The port, by the parts of this module.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use rustdht_core::ports::{Added, Arrived, BoxByteStream, NewUpload, UploadError, UploadId, UploadState, UploadStore};
use tokio::task::spawn_blocking;

use super::{
    Entry, HOLDERS_PART, Known, MAX_COMPLETE, Uploads,
    journal::{self, Contents, Head},
    lock, offset_of,
};
use crate::{Store, metrics, pack::sync_dir};

#[async_trait]
impl UploadStore for Store {
    fn max_bytes(&self) -> u64 {
        self.uploads.bounds.max_bytes
    }

    async fn begin(&self, id: UploadId, new: NewUpload) -> Result<(), UploadError> {
        let uploads = &self.uploads;
        let limit = uploads.bounds.max_bytes;
        if new.length.is_some_and(|length| length > limit) {
            return Err(UploadError::TooLong { limit });
        }
        let head = Head {
            length: new.length,
            options: new.options,
            expires_ms: new.expires_ms,
            holder: new.holder,
            note: new.note,
            added: None,
        };
        let path = uploads.dir.join(format!("{id}.upload"));
        let entry = Entry::new(path.clone(), Known { offset: 0, head: head.clone() });
        // Its place is taken before it is written, so that many at once cannot pass the bound.
        let (_turn, _) = entry.take_turn().await?;
        let out = {
            let mut entries = lock(&uploads.entries);
            let most = uploads.bounds.max_open;
            let open = |of: Option<&str>| {
                let is_one = |known: &Known| known.head.added.is_none() && of.is_none_or(|of| known.head.holder == of);
                entries.values().filter(|entry| is_one(&lock(&entry.known))).count()
            };
            let holders = (most / HOLDERS_PART).max(1);
            if open(Some(&head.holder)) >= holders {
                return Err(UploadError::TooMany { limit: holders });
            }
            if open(None) >= most {
                return Err(UploadError::TooMany { limit: most });
            }
            entries.insert(id, Arc::clone(&entry));
            let complete = entries.iter().filter_map(|(id, entry)| {
                let known = lock(&entry.known);
                let is_one = known.head.added.is_some() && known.head.holder == head.holder;
                is_one.then_some((known.head.expires_ms, *id))
            });
            let complete: Vec<_> = complete.collect();
            complete.iter().min().filter(|_| complete.len() >= MAX_COMPLETE).map(|(_, id)| *id)
        };
        if let Some(out) = out {
            // Somebody else may have been faster.
            let _ = uploads.discard(out).await;
        }
        let written = spawn_blocking(move || journal::write(&path, &Contents::new(head)));
        let written = written.await.map_err(io::Error::other).and_then(|written| written);
        if let Err(error) = written {
            uploads.forget(id);
            return Err(error.into());
        }
        Ok(())
    }

    async fn state(&self, id: UploadId) -> Result<UploadState, UploadError> {
        Ok(self.uploads.entry(id)?.state())
    }

    async fn interrupt(&self, id: UploadId) -> Result<UploadState, UploadError> {
        let entry = self.uploads.entry(id)?;
        let _turn = entry.take_turn().await?;
        Ok(entry.state())
    }

    async fn set_length(&self, id: UploadId, length: u64) -> Result<(), UploadError> {
        let entry = self.uploads.entry(id)?;
        let (_turn, _, mut contents) = self.uploads.load(&entry).await?;
        let limit = self.uploads.bounds.max_bytes;
        match contents.head.length {
            Some(known) if known == length => return Ok(()),
            Some(known) => return Err(UploadError::LengthKnown(known)),
            None if length > limit => return Err(UploadError::TooLong { limit }),
            None if length < offset_of(&contents) => return Err(UploadError::LengthKnown(offset_of(&contents))),
            None => contents.head.length = Some(length),
        }
        Uploads::note(&entry, contents).await
    }

    async fn append(
        &self,
        id: UploadId,
        offset: u64,
        body: BoxByteStream,
        keep: Arrived,
        expires_ms: u64,
    ) -> Result<UploadState, UploadError> {
        let entry = self.uploads.entry(id)?;
        let uploads = Arc::clone(&self.uploads);
        // A request that is dropped, since its client went, has to keep what came.
        let task = self.uploads.tasks.spawn(uploads.append(entry, offset, body, keep, expires_ms));
        task.await.map_err(io::Error::other)?
    }

    async fn assemble(&self, id: UploadId) -> Result<Added, UploadError> {
        let entry = self.uploads.entry(id)?;
        self.uploads.assemble(&entry).await
    }

    async fn complete(&self, id: UploadId, added: &Added) -> Result<(), UploadError> {
        let entry = self.uploads.entry(id)?;
        let (_turn, _, contents) = self.uploads.load(&entry).await?;
        if contents.head.added.is_some() {
            return Ok(());
        }
        let before = lock(&entry.known).offset;
        let head = Head { added: Some(added.clone()), length: Some(added.size), ..contents.head };
        let (path, new) = (entry.path.clone(), Contents::new(head.clone()));
        let written = spawn_blocking(move || journal::write(&path, &new));
        written.await.map_err(io::Error::other)??;
        *lock(&entry.known) = Known { offset: added.size, head };
        lock(&entry.fresh).clear();
        self.uploads.open_bytes.fetch_sub(before, Ordering::Relaxed);
        metrics::added(added.size);
        Ok(())
    }

    async fn end(&self, id: UploadId) -> Result<(), UploadError> {
        self.uploads.discard(id).await
    }

    async fn expire(&self, now_ms: u64) -> Vec<UploadId> {
        let due: Vec<UploadId> = {
            let entries = lock(&self.uploads.entries);
            let is_due = |entry: &Entry| lock(&entry.known).head.expires_ms <= now_ms;
            // One that somebody appends to goes on.
            let idle = |entry: &Entry| entry.turn.try_lock().is_ok();
            entries.iter().filter(|(_, entry)| is_due(entry) && idle(entry)).map(|(id, _)| *id).collect()
        };
        for id in &due {
            if let Err(error) = self.uploads.discard(*id).await {
                tracing::warn!(upload = %id, %error, "an upload whose time is over could not be removed");
            }
        }
        if !due.is_empty() {
            let dir = self.uploads.dir.clone();
            // Names that come back after a power cut expire again.
            drop(spawn_blocking(move || sync_dir(&dir)).await);
        }
        due
    }
}
