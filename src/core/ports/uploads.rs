//! Uploads that may be interrupted and taken up again.

use std::{fmt, str::FromStr};

use async_trait::async_trait;

use super::{AddOptions, Added, BlobError, BoxByteStream};

/// Greatest length of [`NewUpload::note`] in bytes.
pub const MAX_UPLOAD_NOTE_BYTES: usize = 8 * 1024;

/// Names an upload. Random: who does not know it does not guess it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(pub [u8; 16]);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that names no upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an upload is named by 32 hex digits in lower case")]
pub struct NotAnUploadId;

impl FromStr for UploadId {
    type Err = NotAnUploadId;

    fn from_str(text: &str) -> Result<Self, NotAnUploadId> {
        if text.len() != 32 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(NotAnUploadId);
        }
        let mut id = [0; 16];
        for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| NotAnUploadId)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| NotAnUploadId)?;
        }
        Ok(Self(id))
    }
}

/// Why an upload cannot be begun, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// None of that name is here, or not any more.
    #[error("there is no such upload, or its time is over")]
    Unknown,
    /// It is somewhere else.
    #[error("the upload is at byte {at}")]
    Offset {
        /// Bytes that are durable.
        at: u64,
    },
    /// Somebody else appends to it and does not stop.
    #[error("another request appends to this upload")]
    Busy,
    /// More bytes than were announced, or than an upload may have.
    #[error("the upload has at most {limit} bytes")]
    TooLong {
        /// Its length, or the greatest of any upload.
        limit: u64,
    },
    /// The length is known already, or less than what came.
    #[error("the length of the upload is {0}, which cannot be changed")]
    LengthKnown(u64),
    /// Bytes are missing.
    #[error("the upload is not complete: {at} bytes came")]
    Incomplete {
        /// Bytes that are durable.
        at: u64,
    },
    /// As many are open as may be.
    #[error("{limit} uploads are open, as many as may be: end some, or wait until they expire")]
    TooMany {
        /// How many may be open.
        limit: usize,
    },
    /// The open uploads together hold as many bytes as they may.
    #[error("the open uploads hold {limit} bytes, as many as they may: end some, or wait until they expire")]
    NoRoom {
        /// Bytes that they may hold.
        limit: u64,
    },
    /// The block store or the body failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl From<std::io::Error> for UploadError {
    fn from(error: std::io::Error) -> Self {
        Self::Blob(error.into())
    }
}

/// What is known of an upload when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUpload {
    /// Its length in bytes; `None`: it is told later.
    pub length: Option<u64>,
    /// How it becomes a DAG.
    pub options: AddOptions,
    /// When it is given up, in milliseconds since the epoch.
    pub expires_ms: u64,
    /// Whose it is: of each there may be a number of them only.
    pub holder: String,
    /// What its door has to remember, at most [`MAX_UPLOAD_NOTE_BYTES`].
    pub note: String,
}

/// How far an upload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadState {
    /// Bytes that are durable.
    pub offset: u64,
    /// Its length in bytes, once it is known.
    pub length: Option<u64>,
    /// When it is given up, in milliseconds since the epoch.
    pub expires_ms: u64,
    /// What its door remembers.
    pub note: String,
    /// What became of it.
    pub added: Option<Added>,
}

/// What is kept of a body that ends in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// As much as came.
    Partly,
    /// Nothing: it is whole, or it was not sent.
    WholeOnly,
}

/// Uploads in parts. Each chunk becomes a block as soon as it is there; what does not fill one is kept aside.
///
/// One request at a time appends to an upload. Who comes later interrupts it: its client has gone, most likely, and the
/// connection has not noticed.
#[async_trait]
pub trait UploadStore: Send + Sync {
    /// Greatest length of an upload in bytes.
    fn max_bytes(&self) -> u64;

    /// Begins one. Durable when it returns.
    async fn begin(&self, id: UploadId, new: NewUpload) -> Result<(), UploadError>;

    /// How far it is, without waiting for a request that appends to it.
    async fn state(&self, id: UploadId) -> Result<UploadState, UploadError>;

    /// Interrupts whoever appends to it; what came is durable then.
    async fn interrupt(&self, id: UploadId) -> Result<UploadState, UploadError>;

    /// Says its length.
    async fn set_length(&self, id: UploadId, length: u64) -> Result<(), UploadError>;

    /// Appends a body at `offset`, which is where the upload has to be, and puts its end off to `expires_ms`. What it
    /// answers is durable. It goes on when the caller goes away, until the body ends in one way or the other.
    async fn append(
        &self,
        id: UploadId,
        offset: u64,
        body: BoxByteStream,
        keep: Arrived,
        expires_ms: u64,
    ) -> Result<UploadState, UploadError>;

    /// The file of an upload that came in full. Its blocks are durable, and kept as long as the upload is.
    async fn assemble(&self, id: UploadId) -> Result<Added, UploadError>;

    /// Notes what became of an upload, once something else keeps that.
    async fn complete(&self, id: UploadId, added: &Added) -> Result<(), UploadError>;

    /// Forgets an upload. What came of it is not kept any more.
    async fn end(&self, id: UploadId) -> Result<(), UploadError>;

    /// Forgets those whose time is over.
    async fn expire(&self, now_ms: u64) -> Vec<UploadId>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex() {
        let id = UploadId([0xa0; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "a0", &"A0".repeat(16), &"g0".repeat(16), &"a0".repeat(17), "../../etc/passwd../../etc/passwd"]
        {
            assert_eq!(bad.parse::<UploadId>(), Err(NotAnUploadId), "{bad}");
        }
    }
}
