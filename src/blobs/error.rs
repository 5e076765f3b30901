use std::{io, path::PathBuf};

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be created or written, such as on a read-only mount.
    #[error("the blob folder {dir} is not writable: {source}")]
    NotWritable {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the folder open.
    #[error("the blob folder {0} is in use by another process")]
    InUse(PathBuf),
    /// The bucket could not be read.
    #[error("the bucket of the blobs cannot be read: {0}")]
    Bucket(io::Error),
    /// Another gateway keeps its blocks under this prefix of the bucket.
    #[error(
        "this prefix belongs to gateway {owner}, and this one is {id}: two that share it would destroy each other's blocks. Choose \
         another prefix; or, if that gateway is gone for good, remove the object `owner` under the prefix"
    )]
    Taken {
        /// The id that is written there.
        owner: String,
        /// The id in the folder of this gateway.
        id: String,
    },
    /// A pack or its index could not be read or repaired.
    #[error("{path}: {source}")]
    Pack {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// An I/O failure that can be told to several waiters.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: io::ErrorKind,
    text: String,
}

impl Failure {
    pub(crate) fn closed() -> Self {
        Self { kind: io::ErrorKind::BrokenPipe, text: "the block store is closed".into() }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { kind: error.kind(), text: error.to_string() }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind, failure.text)
    }
}

impl From<Failure> for rustdht_core::ports::BlobError {
    fn from(failure: Failure) -> Self {
        Self::Storage(failure.into())
    }
}
