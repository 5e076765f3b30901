//! Blobs in memory: a file is one raw block, whatever its size.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use cid::{Cid, multihash::Multihash};
use futures::{StreamExt, stream};
use rustdht_core::ports::{AddOptions, Added, BlobError, BlobStat, BlobStore, BoxByteStream};
use sha2::{Digest, Sha256};

const RAW: u64 = 0x55;
const SHA2_256: u64 = 0x12;
/// Pieces in which a file is read back.
const PIECE_BYTES: usize = 64 * 1024;

/// A block store that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryBlobs(Mutex<BTreeMap<Cid, Bytes>>);

impl MemoryBlobs {
    fn blocks(&self) -> MutexGuard<'_, BTreeMap<Cid, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self, cid: &Cid) -> Result<Bytes, BlobError> {
        self.blocks().get(cid).cloned().ok_or(BlobError::Missing(*cid))
    }
}

fn cid_of(bytes: &[u8]) -> Result<Cid, BlobError> {
    let digest =
        Multihash::wrap(SHA2_256, &Sha256::digest(bytes)).map_err(|error| BlobError::Body(error.to_string()))?;
    Ok(Cid::new_v1(RAW, digest))
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn add(&self, mut body: BoxByteStream, _options: AddOptions) -> Result<Added, BlobError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = body.next().await {
            whole.extend_from_slice(&piece?);
        }
        let whole = whole.freeze();
        let cid = cid_of(&whole)?;
        self.blocks().insert(cid, whole.clone());
        Ok(Added { cid, size: whole.len() as u64, head: whole.slice(..whole.len().min(512)) })
    }

    async fn stat(&self, cid: &Cid) -> Result<BlobStat, BlobError> {
        Ok(BlobStat { size: self.held(cid)?.len() as u64 })
    }

    async fn read(&self, cid: &Cid, range: Range<u64>) -> Result<BoxByteStream, BlobError> {
        let whole = self.held(cid)?;
        let size = whole.len() as u64;
        if range.start > range.end || range.end > size {
            return Err(BlobError::OutOfRange { size });
        }
        let part = whole.slice(range.start as usize..range.end as usize);
        let pieces: Vec<_> = (0..part.len())
            .step_by(PIECE_BYTES)
            .map(|at| Ok(part.slice(at..part.len().min(at + PIECE_BYTES))))
            .collect();
        Ok(stream::iter(pieces).boxed())
    }

    async fn block(&self, cid: &Cid) -> Result<Option<Bytes>, BlobError> {
        Ok(self.blocks().get(cid).cloned())
    }

    async fn put_block(&self, cid: &Cid, bytes: Bytes) -> Result<(), BlobError> {
        if cid_of(&bytes)? != *cid {
            return Err(BlobError::BadBlock(*cid));
        }
        self.blocks().insert(*cid, bytes);
        Ok(())
    }

    async fn has(&self, cid: &Cid) -> Result<bool, BlobError> {
        Ok(self.blocks().contains_key(cid))
    }

    async fn totals(&self) -> (u64, u64) {
        let blocks = self.blocks();
        (blocks.len() as u64, blocks.values().map(|block| block.len() as u64).sum())
    }

    async fn close(&self) {}
}
