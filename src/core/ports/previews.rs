//! What a page shows of an image before the image is there.

use async_trait::async_trait;
use cid::Cid;

/// A smaller image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Its CID; it is in the block store.
    pub cid: Cid,
    /// Its size in bytes.
    pub size: u64,
    /// Its media type.
    pub mime: String,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// What an image looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// In pixels, as it is to be shown: after the turn that a camera notes (EXIF orientation).
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Some thirty characters that a blurred image is drawn from (blurha.sh).
    pub blurhash: String,
    /// A smaller image; none where the image itself is small.
    pub thumbnail: Option<Thumbnail>,
}

/// Why there is no preview.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreviewError {
    /// The file is larger than what is decoded.
    #[error("the image has {bytes} bytes; at most {limit} are decoded")]
    TooManyBytes {
        /// Its size.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// It claims more pixels than are decoded: a few bytes can claim any number (a decompression bomb).
    #[error("the image claims {width} x {height} pixels; at most {limit} in all are decoded")]
    TooManyPixels {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The bound on their product.
        limit: u64,
    },
    /// It took too long.
    #[error("the image was not decoded within {seconds} s")]
    TooSlow {
        /// The bound.
        seconds: u64,
    },
    /// It cannot be decoded.
    #[error("the image cannot be decoded: {0}")]
    Broken(String),
    /// The block store failed, or the image is not here any more: another attempt may do.
    #[error("the image cannot be read now: {0}")]
    Unavailable(String),
}

impl PreviewError {
    /// The stable name of the reason.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TooManyBytes { .. } => "too_many_bytes",
            Self::TooManyPixels { .. } => "too_many_pixels",
            Self::TooSlow { .. } => "too_slow",
            Self::Broken(_) => "broken",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// Makes previews.
#[async_trait]
pub trait Previews: Send + Sync {
    /// The preview of an image that is here. A thumbnail is in the block store when it returns; somebody has to keep it.
    async fn preview(&self, cid: &Cid) -> Result<Preview, PreviewError>;
}
