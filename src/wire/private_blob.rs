//! Private blobs: a file as ciphertext in segments that are opened one by one. docs/spec/private-blobs.md has every detail.
//!
//! ```text
//! plaintext ──Encryptor──> header ‖ segment 0 ‖ segment 1 ‖ … ──> added like any file; its CID names the ciphertext
//! Plan (which bytes of it a range needs) ──> Opener ──> plaintext of the range
//! PrivateLink: CID and key, for a private node or the fragment of a URL
//! ```
//!
//! The format is here, beside the others that a second implementation needs, since it is pure: bytes and randomness come in.

mod link;
mod plan;
mod seal;

pub use link::{MAX_LINK_BYTES, PrivateLink};
pub use plan::{Plan, ciphertext_size, plaintext_size};
pub use seal::{Encryptor, FileKey, Opener};

/// A segment with its authenticator; the first one with the header too. As long as a chunk of the default UnixFS profile, so
/// that a segment lies in one block.
pub const SEGMENT_BYTES: usize = 1 << 20;
/// What the ciphertext begins with.
pub const HEADER_BYTES: usize = 64;
/// The authenticator at the end of a segment.
pub const AUTHENTICATOR_BYTES: usize = 16;
/// Bytes of a whole segment that are not its authenticator.
const ROOM_BYTES: usize = SEGMENT_BYTES - AUTHENTICATOR_BYTES;

/// Why ciphertext was not opened, or a link not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrivateBlobError {
    /// No private blob is so long.
    #[error("no private blob has {0} bytes: it was cut, or is none")]
    Length(u64),
    /// It does not begin as one does.
    #[error("this is no private blob of version 1")]
    Header,
    /// The header is not of this key.
    #[error("the key is not the one of this file")]
    Key,
    /// A segment was changed, stands elsewhere, belongs to another file, or is not the last one where the file ends.
    #[error("segment {0} does not open: it was changed or moved, or the file was cut")]
    Segment(u64),
    /// Fewer bytes came than were asked for.
    #[error("the file ended before segment {0} was whole")]
    Cut(u64),
    /// The text is no link to a private blob.
    #[error("not a link to a private file: ipfs://CID#key=KEY, the key as 43 characters of base64url")]
    Link,
}
