//! Bodies and bytes for the tests of this folder.

use std::ops::Range;

use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, TryStreamExt, stream};
use rand::{RngCore, SeedableRng, rngs::StdRng};
use rustdht_blobs::Store;
use rustdht_core::ports::{BlobError, BlobStore, BoxByteStream};
use sha2::Digest;

/// The same bytes for the same seed.
pub(crate) fn bytes(seed: u64, len: usize) -> Bytes {
    let mut out = vec![0; len];
    StdRng::seed_from_u64(seed).fill_bytes(&mut out);
    out.into()
}

/// A body that arrives in pieces of `piece` bytes.
pub(crate) fn body(file: &Bytes, piece: usize) -> BoxByteStream {
    let file = file.clone();
    let pieces = (0..file.len()).step_by(piece).map(move |at| Ok(file.slice(at..file.len().min(at + piece))));
    // Unlike `stream::iter`, an unfolded stream panics when it is asked again after its end, as a request's body may.
    let pieces = pieces.collect::<Vec<_>>().into_iter();
    stream::unfold(pieces, |mut pieces| async move { pieces.next().map(|piece| (piece, pieces)) }).boxed()
}

/// The bytes of a range.
pub(crate) async fn read(store: &Store, cid: &Cid, range: Range<u64>) -> Result<Bytes, BlobError> {
    let pieces: Vec<Bytes> = store.read(cid, range).await?.try_collect().await?;
    Ok(pieces.concat().into())
}

/// CIDv1 with sha2-256.
pub(crate) fn cid_of(codec: u64, data: &[u8]) -> Cid {
    Cid::new_v1(codec, multihash::Multihash::wrap(0x12, &sha2::Sha256::digest(data)).unwrap())
}
