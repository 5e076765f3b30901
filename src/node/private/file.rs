//! Private files on their way through a gateway: plaintext comes in and ciphertext goes to the block store, and the other way
//! round. Nothing is kept of either. docs/spec/private-blobs.md has the format.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use cid::Cid;
use futures::{Stream, StreamExt, stream};
use rustdht_core::{
    Entropy,
    ports::{BlobError, BoxByteStream, DagStore},
};
use rustdht_wire::private_blob::{Encryptor, FileKey, HEADER_BYTES, Opener, Plan, PrivateBlobError, plaintext_size};

/// Why a private file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFault {
    /// The ciphertext cannot be had.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The ciphertext does not open.
    #[error(transparent)]
    Sealed(#[from] PrivateBlobError),
}

/// The ciphertext of a body, piece by piece. Holds one segment; sealing one takes about a millisecond, so it is done in place.
pub fn encrypted<S, E>(
    plaintext: S,
    key: &FileKey,
    entropy: &dyn Entropy,
) -> impl Stream<Item = Result<Bytes, E>> + Send + use<S, E>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: Send,
{
    let begin = Some((plaintext.fuse(), Encryptor::new(key, entropy), Bytes::new()));
    stream::unfold(begin, |state| async {
        let (mut plaintext, mut encryptor, mut piece) = state?;
        loop {
            let mut left = &*piece;
            let sealed = encryptor.take(&mut left);
            piece = piece.split_off(piece.len() - left.len());
            if let Some(segment) = sealed {
                return Some((Ok(segment.into()), Some((plaintext, encryptor, piece))));
            }
            if piece.is_empty() {
                piece = match plaintext.next().await {
                    Some(Ok(piece)) => piece,
                    // What was sealed so far must not pass for the file.
                    Some(Err(error)) => return Some((Err(error), None)),
                    None => return Some((Ok(encryptor.finish().into()), None)),
                };
            }
        }
    })
}

/// A private file whose key is known, and whose end was authenticated.
#[derive(Clone)]
pub struct PrivateFile {
    store: Arc<dyn DagStore>,
    cid: Cid,
    opener: Opener,
    ciphertext: u64,
    size: u64,
}

impl std::fmt::Debug for PrivateFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateFile").field("cid", &self.cid).field("size", &self.size).finish_non_exhaustive()
    }
}

impl PrivateFile {
    /// Opens the last segment, which tells where the file ends; what is not here is fetched.
    ///
    /// # Errors
    /// [`PrivateFault`], for another key too.
    pub async fn open(store: Arc<dyn DagStore>, cid: Cid, key: &FileKey) -> Result<Self, PrivateFault> {
        let ciphertext = store.stat(&cid).await?.size;
        let size = plaintext_size(ciphertext)?;
        let mut begins = Vec::with_capacity(HEADER_BYTES);
        let mut pieces = store.read(&cid, 0..HEADER_BYTES as u64).await?;
        while let Some(piece) = pieces.next().await {
            begins.extend_from_slice(&piece?);
        }
        let opener = Opener::new(key, &begins)?;
        let plan = Plan::of_last(ciphertext)?;
        let mut opening = opener.open(&plan);
        let mut pieces = store.read(&cid, plan.ciphertext.clone()).await?;
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            let mut left = &*piece;
            while !left.is_empty() {
                opening.take(&mut left)?;
            }
        }
        opening.end()?;
        Ok(Self { store, cid, opener, ciphertext, size })
    }

    /// The size of the plaintext in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The plaintext of a range. Only the segments that it lies in are read; each piece was authenticated.
    ///
    /// # Errors
    /// As [`rustdht_core::ports::BlobStore::read`]; the stream ends in [`BlobError::NotAFile`] when a segment does not open.
    pub async fn read(&self, range: Range<u64>) -> Result<BoxByteStream, BlobError> {
        let unopened = |error: PrivateBlobError| BlobError::NotAFile(error.to_string());
        let plan = Plan::of(self.ciphertext, range).map_err(unopened)?;
        if plan.length() == 0 {
            return Ok(stream::empty().boxed());
        }
        let pieces = self.store.read(&self.cid, plan.ciphertext.clone()).await?;
        let begin = Some((pieces.fuse(), self.opener.open(&plan), Bytes::new()));
        let opened = stream::unfold(begin, move |state| async move {
            let (mut pieces, mut opening, mut piece) = state?;
            loop {
                let mut left = &*piece;
                let segment = match opening.take(&mut left) {
                    Ok(segment) => segment,
                    Err(error) => return Some((Err(unopened(error)), None)),
                };
                piece = piece.split_off(piece.len() - left.len());
                if let Some(segment) = segment.filter(|segment| !segment.is_empty()) {
                    return Some((Ok(Bytes::from(segment)), Some((pieces, opening, piece))));
                }
                if piece.is_empty() {
                    piece = match pieces.next().await {
                        Some(Ok(piece)) => piece,
                        Some(Err(error)) => return Some((Err(error), None)),
                        None => return opening.end().err().map(|error| (Err(unopened(error)), None)),
                    };
                }
            }
        });
        Ok(opened.boxed())
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use rustdht_core::ports::{AddOptions, BlobStore};
    use rustdht_testkit::{SeededEntropy, TempBlobs};

    use super::*;

    fn pattern(size: usize) -> Vec<u8> {
        (0..size).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
    }

    async fn add(store: &TempBlobs, key: &FileKey, plaintext: &[u8]) -> Cid {
        let entropy = SeededEntropy::new(plaintext.len() as u64);
        let pieces: Vec<_> = plaintext.chunks(70_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let body = encrypted(stream::iter(pieces), key, &entropy).boxed();
        store.add(body, AddOptions::default()).await.unwrap().cid
    }

    async fn read(file: &PrivateFile, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
        let pieces: Vec<Bytes> = file.read(range).await?.try_collect().await?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn ranges_come_back_through_the_store() {
        let (store, key) = (TempBlobs::default(), FileKey::new([7; 32]));
        let plaintext = pattern(3_000_000);
        let cid = add(&store, &key, &plaintext).await;
        let store: Arc<dyn DagStore> = Arc::new(store);
        let file = PrivateFile::open(Arc::clone(&store), cid, &key).await.unwrap();
        assert_eq!(file.size(), 3_000_000);
        for range in [0..3_000_000, 0..1, 1_048_400..1_048_700, 2_999_999..3_000_000, 5..5, 2_000_000..9_000_000] {
            let slice = &plaintext[range.start as usize..(range.end as usize).min(plaintext.len())];
            assert!(read(&file, range.clone()).await.unwrap() == slice, "{range:?}");
        }
        let other = PrivateFile::open(Arc::clone(&store), cid, &FileKey::new([8; 32])).await;
        assert!(matches!(other, Err(PrivateFault::Sealed(PrivateBlobError::Key))));
        let empty = stream::iter([Ok(Bytes::from_static(b"no private blob"))]).boxed();
        let plain = store.add(empty, AddOptions::default()).await.unwrap().cid;
        assert!(matches!(
            PrivateFile::open(store, plain, &key).await,
            Err(PrivateFault::Sealed(PrivateBlobError::Length(15)))
        ));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_sealed_by_no_last_segment() {
        let broken = stream::iter([Ok(Bytes::from(pattern(1_500_000))), Err("gone")]);
        let sealed: Vec<_> = encrypted(broken, &FileKey::new([7; 32]), &SeededEntropy::new(1)).collect().await;
        assert_eq!(sealed.len(), 2);
        assert_eq!(sealed[1], Err("gone"));
    }

    #[tokio::test]
    async fn a_segment_that_was_changed_ends_the_stream_in_an_error() {
        let (store, key) = (TempBlobs::default(), FileKey::new([7; 32]));
        let body = stream::iter([Ok::<_, BlobError>(Bytes::from(pattern(3_000_000)))]);
        let sealed: Vec<Bytes> = encrypted(body, &key, &SeededEntropy::new(1)).try_collect().await.unwrap();
        let mut sealed = sealed.concat();
        sealed[1_500_000] ^= 1;
        let body = stream::iter([Ok(Bytes::from(sealed))]).boxed();
        let cid = store.add(body, AddOptions::default()).await.unwrap().cid;
        let file = PrivateFile::open(Arc::new(store), cid, &key).await.unwrap();
        assert_eq!(read(&file, 0..1_000_000).await.unwrap(), pattern(1_000_000));
        let error = read(&file, 0..3_000_000).await.unwrap_err();
        assert!(error.to_string().contains("segment 1 does not open"), "{error}");
    }
}
