//! What is remembered of files beside their bytes: what an upload said of them, and what an image looks like.
//!
//! ```text
//! blob-note   multihash of the root -> JSON
//! ```
//! A note goes when its file is not here any more. Until then it keeps the thumbnail that it names.

use std::sync::Arc;

use cid::{Cid, multihash::Multihash};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use rustdht_core::ports::{Batch, Preview, PreviewError, Root, SideRow, StoreError, Thumbnail};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Node,
    node::Inner,
    side::{Rows, pages},
};

const NOTE_NS: &str = "blob-note";
/// Longest media type that is kept, in bytes (RFC 6838 section 4.2 allows 127 on each side of the slash).
const MAX_MIME_BYTES: usize = 255;
/// Multicodec `raw`; which codec a CID has does not matter where only its multihash is looked at.
const RAW: u64 = 0x55;

/// What is remembered of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobNote {
    /// What the first upload that said so called its media type.
    pub mime: Option<String>,
    /// SHA-256 of the file.
    pub sha256: Option<[u8; 32]>,
    /// Of an image that was looked at: what it looks like, or why that is not known.
    pub preview: Option<Result<Preview, PreviewError>>,
}

#[derive(Default, Serialize, Deserialize)]
struct Row {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mime: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<ImageRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<RefusedRow>,
}

#[derive(Serialize, Deserialize)]
struct ImageRow {
    width: u32,
    height: u32,
    blurhash: String,
    thumbnail: Option<ThumbnailRow>,
}

#[derive(Serialize, Deserialize)]
struct ThumbnailRow {
    cid: String,
    size: u64,
    mime: String,
    width: u32,
    height: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RefusedRow {
    TooManyBytes { bytes: u64, limit: u64 },
    TooManyPixels { width: u32, height: u32, limit: u64 },
    TooSlow { seconds: u64 },
    Broken(String),
}

impl Row {
    fn of(note: &BlobNote) -> Self {
        let (image, refused) = match &note.preview {
            None | Some(Err(PreviewError::Unavailable(_))) => (None, None),
            Some(Ok(preview)) => (Some(ImageRow::of(preview)), None),
            Some(Err(error)) => (None, RefusedRow::of(error)),
        };
        Self { mime: note.mime.clone(), sha256: note.sha256.map(hex::encode), image, refused }
    }

    fn note(self) -> BlobNote {
        let preview = match (self.image.and_then(ImageRow::preview), self.refused) {
            (Some(preview), _) => Some(Ok(preview)),
            (None, Some(refused)) => Some(Err(refused.error())),
            (None, None) => None,
        };
        let sha256 = self.sha256.and_then(|text| hex::decode(text).ok()).and_then(|bytes| bytes.try_into().ok());
        BlobNote { mime: self.mime, sha256, preview }
    }
}

impl ImageRow {
    fn of(preview: &Preview) -> Self {
        let thumbnail = preview.thumbnail.as_ref().map(|small| ThumbnailRow {
            cid: small.cid.to_string(),
            size: small.size,
            mime: small.mime.clone(),
            width: small.width,
            height: small.height,
        });
        Self { width: preview.width, height: preview.height, blurhash: preview.blurhash.clone(), thumbnail }
    }

    fn preview(self) -> Option<Preview> {
        let thumbnail = match self.thumbnail {
            None => None,
            Some(small) => Some(Thumbnail {
                cid: Cid::try_from(small.cid).ok()?,
                size: small.size,
                mime: small.mime,
                width: small.width,
                height: small.height,
            }),
        };
        Some(Preview { width: self.width, height: self.height, blurhash: self.blurhash, thumbnail })
    }
}

impl RefusedRow {
    fn of(error: &PreviewError) -> Option<Self> {
        Some(match error {
            PreviewError::TooManyBytes { bytes, limit } => Self::TooManyBytes { bytes: *bytes, limit: *limit },
            PreviewError::TooManyPixels { width, height, limit } => {
                Self::TooManyPixels { width: *width, height: *height, limit: *limit }
            }
            PreviewError::TooSlow { seconds } => Self::TooSlow { seconds: *seconds },
            PreviewError::Broken(detail) => Self::Broken(detail.clone()),
            PreviewError::Unavailable(_) => return None,
        })
    }

    fn error(self) -> PreviewError {
        match self {
            Self::TooManyBytes { bytes, limit } => PreviewError::TooManyBytes { bytes, limit },
            Self::TooManyPixels { width, height, limit } => PreviewError::TooManyPixels { width, height, limit },
            Self::TooSlow { seconds } => PreviewError::TooSlow { seconds },
            Self::Broken(detail) => PreviewError::Broken(detail),
        }
    }
}

fn read(row: &[u8]) -> Option<BlobNote> {
    serde_json::from_slice::<Row>(row).ok().map(Row::note)
}

fn thumbnail_of(note: &BlobNote) -> Option<Cid> {
    let preview = note.preview.as_ref()?.as_ref().ok()?;
    Some(preview.thumbnail.as_ref()?.cid)
}

impl Node {
    /// What is remembered of a file.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn blob_note(&self, cid: &Cid) -> Result<Option<BlobNote>, Error> {
        let row = self.store().side_get(NOTE_NS, &cid.hash().to_bytes()).await?;
        Ok(row.as_deref().and_then(read))
    }

    /// Remembers something of a file that is here. What was said of it before stays, but for a preview, which replaces the
    /// one before. A thumbnail is kept from now on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn note_blob(&self, cid: &Cid, note: BlobNote) -> Result<(), Error> {
        // Two that note the same file at once say the same, or lose what the other guessed of its type.
        let before = self.blob_note(cid).await?.unwrap_or_default();
        let mime = before.mime.clone().or(note.mime.filter(|mime| mime.len() <= MAX_MIME_BYTES));
        let note = BlobNote {
            mime,
            sha256: before.sha256.or(note.sha256),
            preview: note.preview.or_else(|| before.preview.clone()),
        };
        if note == before {
            return Ok(());
        }
        let _noted = thumbnail_of(&note).map(|thumbnail| self.inner.pins.note(root(thumbnail)));
        let value = serde_json::to_vec(&Row::of(&note)).unwrap_or_default();
        let row = SideRow { ns: NOTE_NS, key: cid.hash().to_bytes(), value: Some(value), insert_only: false };
        self.inner.put_notes(vec![row]).await?;
        Ok(())
    }
}

const fn root(cid: Cid) -> Root {
    Root { cid, recursive: true }
}

impl Inner {
    async fn put_notes(&self, side: Vec<SideRow>) -> Result<(), StoreError> {
        let batch = Batch { side, now_ms: self.shared.ports.clock.now_ms(), ..Batch::default() };
        self.shared.ports.store.apply(batch).await.map(drop)
    }
}

/// The thumbnails of the images that are here. Notes of files that are not are removed on the way.
pub(crate) fn thumbnails(inner: &Arc<Inner>) -> BoxStream<'static, Result<Vec<Root>, StoreError>> {
    let store = Arc::clone(&inner.shared.ports.store);
    let inner = Arc::clone(inner);
    let shown = move |rows| {
        let inner = Arc::clone(&inner);
        async move { thumbnails_of(&inner, rows).await }
    };
    pages(store, NOTE_NS).and_then(shown).boxed()
}

async fn thumbnails_of(inner: &Inner, rows: Rows) -> Result<Vec<Root>, StoreError> {
    let (mut roots, mut gone) = (Vec::new(), Vec::new());
    for (key, value) in rows {
        let file = Multihash::from_bytes(&key).map(|hash| Cid::new_v1(RAW, hash));
        let is_here = match &file {
            Ok(file) => inner.shared.ports.blobs.has(file).await.unwrap_or(true),
            Err(_) => false,
        };
        if is_here {
            roots.extend(read(&value).as_ref().and_then(thumbnail_of).map(root));
        } else {
            gone.push(SideRow { ns: NOTE_NS, key, value: None, insert_only: false });
        }
    }
    if !gone.is_empty() {
        inner.put_notes(gone).await?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let cid: Cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap();
        let thumbnail = Thumbnail { cid, size: 5, mime: "image/png".into(), width: 3, height: 4 };
        let preview = Preview { width: 30, height: 40, blurhash: "LEHV6n".into(), thumbnail: Some(thumbnail) };
        for preview in [
            None,
            Some(Ok(preview.clone())),
            Some(Ok(Preview { thumbnail: None, ..preview })),
            Some(Err(PreviewError::TooManyPixels { width: 1, height: 2, limit: 3 })),
            Some(Err(PreviewError::TooManyBytes { bytes: 2, limit: 1 })),
            Some(Err(PreviewError::TooSlow { seconds: 9 })),
            Some(Err(PreviewError::Broken("x".into()))),
        ] {
            let note = BlobNote { mime: Some("a/b".into()), sha256: Some([7; 32]), preview };
            let row = serde_json::to_vec(&Row::of(&note)).unwrap();
            assert_eq!(read(&row), Some(note));
        }
        // What may be different at another time is not remembered.
        let note = BlobNote { preview: Some(Err(PreviewError::Unavailable("now".into()))), ..BlobNote::default() };
        assert_eq!(serde_json::to_string(&Row::of(&note)).unwrap(), "{}");
    }
}
