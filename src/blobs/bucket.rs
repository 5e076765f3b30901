//! Packs as objects of a bucket (S3 and what speaks like it).
//!
//! ```text
//!   writer --append--> open pack, in memory --upload: one PUT--> 00000007.pack, then 00000007.idx
//!   reader <--- open pack, packs on their way, else a GET of the record's range
//! ```
//!
//! Objects do not grow, so each flush makes a pack, of whatever was appended meanwhile by all adds together. What was
//! not uploaded stays in memory and is tried again; nobody was told that it is kept. Collections join small packs.

use std::{
    collections::BTreeMap,
    io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use tokio::runtime::Handle;

use crate::{
    digest::Digest,
    index::{Index, Location},
    metrics,
    pack::{
        Entry, index_file,
        record::{self, HEADER_BYTES, padded_len},
        scan::scan,
    },
};

/// A pack is complete before it grows past this: a PUT of a second at 16 MiB/s.
pub(crate) const PACK_BYTES: u64 = 16 << 20;
/// Packs uploaded at once.
const UPLOADS: usize = 4;
/// Indices read at once when the store is opened.
const OPENINGS: usize = 16;

/// A pack that is complete, on its way.
struct Sealed {
    data: Bytes,
    entries: Vec<Entry>,
}

#[derive(Default)]
struct State {
    /// Of the pack that is open.
    number: u32,
    data: Vec<u8>,
    entries: Vec<Entry>,
    sealed: BTreeMap<u32, Arc<Sealed>>,
}

impl State {
    fn seal(&mut self) {
        if !self.data.is_empty() {
            let sealed = Sealed { data: mem::take(&mut self.data).into(), entries: mem::take(&mut self.entries) };
            self.sealed.insert(self.number, Arc::new(sealed));
            self.number += 1;
        }
    }
}

/// The objects, and the packs that are not among them yet.
pub(crate) struct Bucket {
    objects: Arc<dyn ObjectStore>,
    /// Carries the uploads that a thread waits for.
    runtime: Handle,
    state: Mutex<State>,
}

fn pack(number: u32) -> Path {
    Path::from(format!("{number:08}.pack"))
}

fn index(number: u32) -> Path {
    Path::from(format!("{number:08}.idx"))
}

/// A failure of the bucket, as the store tells it.
pub(crate) fn failed(error: object_store::Error) -> io::Error {
    let kind = match &error {
        object_store::Error::NotFound { .. } => io::ErrorKind::NotFound,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            io::ErrorKind::PermissionDenied
        }
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl Bucket {
    /// Reads which packs there are, and into `held` what they hold.
    pub(crate) async fn open(objects: Arc<dyn ObjectStore>, held: &Index) -> io::Result<Self> {
        let bucket = Self { objects, runtime: Handle::current(), state: Mutex::default() };
        let packs = bucket.packs().await?;
        let mut read = stream::iter(packs.iter().map(|(number, len)| {
            let (bucket, number, len) = (&bucket, *number, *len);
            async move { Ok::<_, io::Error>((number, bucket.entries(number, len).await?.1)) }
        }))
        .buffered(OPENINGS);
        while let Some((number, entries)) = read.try_next().await? {
            entries.iter().for_each(|entry| held.insert(number, entry, true));
        }
        drop(read);
        bucket.state().number = packs.last().map_or(0, |(number, _)| number + 1);
        Ok(bucket)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of the pack that is open: no object has it, or a higher one.
    pub(crate) fn open_pack(&self) -> u32 {
        let state = self.state();
        state.sealed.keys().next().copied().unwrap_or(state.number)
    }

    /// Appends a block to the open pack.
    pub(crate) fn append(&self, digest: &Digest, data: &[u8]) -> (u32, Entry) {
        let mut state = self.state();
        if state.data.len() as u64 + padded_len(data.len() as u32) > PACK_BYTES
            || state.entries.len() >= index_file::MAX_ENTRIES
        {
            state.seal();
        }
        let entry = Entry { digest: *digest, offset: state.data.len() as u32, data_len: data.len() as u32 };
        record::append(&mut state.data, digest, data);
        state.entries.push(entry);
        (state.number, entry)
    }

    /// Uploads everything that was appended before. For a thread that may wait; what fails is kept for the next time.
    pub(crate) fn upload(&self) -> io::Result<()> {
        let waiting: Vec<_> = {
            let mut state = self.state();
            state.seal();
            state.sealed.iter().map(|(number, sealed)| (*number, Arc::clone(sealed))).collect()
        };
        let puts = stream::iter(waiting).map(|(number, sealed)| async move {
            self.objects.put(&pack(number), sealed.data.clone().into()).await.map_err(failed)?;
            metrics::uploaded(sealed.data.len() as u64);
            self.state().sealed.remove(&number);
            // It spares the next start to read the pack.
            if let Err(error) = self.write_index(number, sealed.data.len() as u64, &sealed.entries).await {
                tracing::warn!(pack = number, %error, "the index of a pack was not uploaded");
            }
            Ok::<_, io::Error>(())
        });
        // All of them are tried, also where one fails.
        let ended: Vec<_> = self.runtime.block_on(puts.buffer_unordered(UPLOADS).collect());
        ended.into_iter().collect()
    }

    /// Reads a block; `None` when its record does not hold it whole.
    pub(crate) async fn read(&self, digest: &Digest, location: Location) -> io::Result<Option<Bytes>> {
        let from = u64::from(location.offset);
        let len = HEADER_BYTES as u64 + u64::from(location.data_len);
        let here = {
            let state = self.state();
            let range = from as usize..(from + len) as usize;
            match state.sealed.get(&location.pack) {
                Some(sealed) => Some(sealed.data.slice(range)),
                None if location.pack == state.number => state.data.get(range).map(Bytes::copy_from_slice),
                None => None,
            }
        };
        let record = match here {
            Some(record) => record,
            None => self.objects.get_range(&pack(location.pack), from..from + len).await.map_err(failed)?,
        };
        Ok(record::block(&record, location.data_len, digest))
    }

    /// The packs that are uploaded, and their lengths, ascending.
    pub(crate) async fn packs(&self) -> io::Result<Vec<(u32, u64)>> {
        let number = |path: &Path| path.filename()?.strip_suffix(".pack")?.parse::<u32>().ok();
        let found = self.objects.list(None).map_err(failed);
        let packs =
            found.try_filter_map(|object| async move { Ok(number(&object.location).map(|n| (n, object.size))) });
        let mut packs: Vec<(u32, u64)> = packs.try_collect().await?;
        packs.sort_unstable();
        Ok(packs)
    }

    /// What an uploaded pack holds, by its index or by reading it.
    pub(crate) async fn entries(&self, number: u32, len: u64) -> io::Result<(u64, Vec<Entry>)> {
        match self.objects.get(&index(number)).await {
            Ok(found) => {
                let read = index_file::parse(&found.bytes().await.map_err(failed)?);
                if let Some(read) = read.filter(|(covered, _)| *covered == len) {
                    return Ok(read);
                }
            }
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
        let data = self.objects.get(&pack(number)).await.map_err(failed)?.bytes().await.map_err(failed)?;
        let mut entries = Vec::new();
        let end = scan(&data, 0, data.len() as u64, &mut entries)?;
        tracing::info!(pack = number, found = entries.len(), "read a pack without its index");
        Ok((end, entries))
    }

    /// Puts the index of an uploaded pack.
    pub(crate) async fn write_index(&self, number: u32, end: u64, entries: &[Entry]) -> io::Result<()> {
        let bytes = index_file::encode(end, entries);
        self.objects.put(&index(number), bytes.into()).await.map_err(failed)?;
        Ok(())
    }

    /// Removes a pack and its index.
    pub(crate) async fn remove(&self, number: u32) -> io::Result<()> {
        // The index first: the number may be given out again, and an index must not outlive its pack.
        for path in [index(number), pack(number)] {
            match self.objects.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }
}
