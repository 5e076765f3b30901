//! Previews of images (the port [`Previews`]): one image at a time, so that whatever a stranger sends costs no more memory
//! than one decoded image.

mod decode;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, TryStreamExt, stream};
use rustdht_core::ports::{AddOptions, BlobError, BlobStore, Preview, PreviewError, Previews, Thumbnail};
use tokio::{sync::Semaphore, task::spawn_blocking, time::Instant};

use self::decode::{Decoded, decode};
use crate::Store;

/// Largest file that is decoded. Cameras make 10 to 25 MiB.
const MAX_FILE_BYTES: u64 = 32 << 20;
/// Images decoded at once. Each takes up to 96 MiB, three times as much where it is a progressive JPEG.
const AT_ONCE: usize = 1;
/// How long one may take; one of the greatest size takes a second or two.
const DECODE_TIME: Duration = Duration::from_secs(15);

/// Makes previews of the images in a store.
#[derive(Clone, Debug)]
pub struct Previewer {
    store: Store,
    turns: Arc<Semaphore>,
}

impl Previewer {
    /// Of the images in `store`; thumbnails go there.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    async fn bytes(&self, cid: &Cid) -> Result<Bytes, BlobError> {
        let size = self.store.stat(cid).await?.size;
        let pieces = self.store.read(cid, 0..size).await?;
        let whole = pieces.try_fold(Vec::with_capacity(size as usize), |mut whole, piece| {
            whole.extend_from_slice(&piece);
            std::future::ready(Ok(whole))
        });
        Ok(whole.await?.into())
    }
}

#[async_trait]
impl Previews for Previewer {
    async fn preview(&self, cid: &Cid) -> Result<Preview, PreviewError> {
        let unavailable = |error: BlobError| PreviewError::Unavailable(error.to_string());
        let bytes = self.store.stat(cid).await.map_err(unavailable)?.size;
        if bytes > MAX_FILE_BYTES {
            return Err(PreviewError::TooManyBytes { bytes, limit: MAX_FILE_BYTES });
        }
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| PreviewError::Unavailable("previews are not made any more".into()))?;
        let image = self.bytes(cid).await.map_err(unavailable)?;
        let deadline = Instant::now() + DECODE_TIME;
        let decoding = spawn_blocking(move || {
            // Until it is done, also where nobody waits any more.
            let _turn = turn;
            decode(&image, deadline)
        });
        let too_slow = |_| PreviewError::TooSlow { seconds: DECODE_TIME.as_secs() };
        let Decoded { width, height, blurhash, thumbnail } =
            match tokio::time::timeout_at(deadline, decoding).await.map_err(too_slow)? {
                Ok(decoded) => decoded?,
                // A decoder that panics is a decoder that cannot decode this.
                Err(_) => return Err(PreviewError::Broken("the decoder gave up".into())),
            };
        let thumbnail = match thumbnail {
            None => None,
            Some(small) => {
                let body = stream::iter([Ok(small.bytes)]).boxed();
                let added = self.store.add(body, AddOptions::default()).await.map_err(unavailable)?;
                Some(Thumbnail {
                    cid: added.cid,
                    size: added.size,
                    mime: small.mime.to_owned(),
                    width: small.width,
                    height: small.height,
                })
            }
        };
        Ok(Preview { width, height, blurhash, thumbnail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    async fn added(store: &Store, bytes: Vec<u8>) -> Cid {
        store.add(stream::iter([Ok(bytes.into())]).boxed(), AddOptions::default()).await.unwrap().cid
    }

    #[tokio::test]
    async fn a_thumbnail_is_in_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Config::new(dir.path())).unwrap();
        let previewer = Previewer::new(store.clone());
        let cid = added(&store, decode::tests::png(1000, 500)).await;
        let preview = previewer.preview(&cid).await.unwrap();
        let thumbnail = preview.thumbnail.clone().unwrap();
        assert_eq!((preview.width, preview.height, thumbnail.width, thumbnail.height), (1000, 500, 320, 160));
        assert_eq!(store.stat(&thumbnail.cid).await.unwrap().size, thumbnail.size);
        assert_eq!(previewer.preview(&cid).await.unwrap(), preview, "the same again");
        let text = added(&store, b"no image".to_vec()).await;
        assert_eq!(previewer.preview(&text).await.unwrap_err().name(), "broken");
        let large = added(&store, vec![0; (MAX_FILE_BYTES + 1) as usize]).await;
        assert_eq!(previewer.preview(&large).await.unwrap_err().name(), "too_many_bytes");
    }
}
