//! `Upload-Checksum`: whether what came is what was sent.

use axum::http::{HeaderMap, header};
use data_encoding::BASE64;
use rustdht_core::{Code, Refusal};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::headers::{CHECKSUM, CHECKSUMS, number, text};
use crate::{codes::HttpCode, limits::MAX_CHECKED_BYTES, problem::Problem};

/// Hashing a body beside a hash that it should have.
pub(super) struct Checksum {
    hasher: Hasher,
    expected: Vec<u8>,
    /// Bytes that may come still.
    left: u64,
}

enum Hasher {
    Sha1(Sha1),
    Sha256(Box<Sha256>),
}

impl Checksum {
    /// # Errors
    /// `malformed` for another algorithm, or what is no hash (the protocol asks for 400); `too_large` for a body that says so.
    pub(super) fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(text) = text(headers, &CHECKSUM)? else { return Ok(None) };
        let bad = |detail: String| Problem::malformed(detail).at("upload-checksum");
        let (name, value) = text.split_once(' ').unwrap_or((text, ""));
        let (hasher, bytes) = match name {
            "sha1" => (Hasher::Sha1(Sha1::new()), 20),
            "sha256" => (Hasher::Sha256(Box::default()), 32),
            _ => return Err(bad(format!("a checksum is one of {CHECKSUMS}"))),
        };
        let expected = BASE64.decode(value.as_bytes()).ok().filter(|hash| hash.len() == bytes);
        let expected = expected.ok_or_else(|| bad(format!("a checksum by {name} is {bytes} bytes in base64")))?;
        if number(headers, &header::CONTENT_LENGTH)?.is_some_and(|length| length > MAX_CHECKED_BYTES) {
            return Err(too_large());
        }
        Ok(Some(Self { hasher, expected, left: MAX_CHECKED_BYTES }))
    }

    /// # Errors
    /// `too_large`.
    pub(super) fn update(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(too_large)?;
        match &mut self.hasher {
            Hasher::Sha1(hasher) => hasher.update(bytes),
            Hasher::Sha256(hasher) => hasher.update(bytes),
        }
        Ok(())
    }

    /// # Errors
    /// `checksum_mismatch`.
    pub(super) fn finish(self) -> Result<(), Problem> {
        let same = match self.hasher {
            Hasher::Sha1(hasher) => hasher.finalize().as_slice() == self.expected,
            Hasher::Sha256(hasher) => hasher.finalize().as_slice() == self.expected,
        };
        let detail = "the body does not have the checksum that it was sent with; nothing of it was kept";
        if same { Ok(()) } else { Err(Problem::new(HttpCode::ChecksumMismatch, detail)) }
    }
}

fn too_large() -> Problem {
    let mib = MAX_CHECKED_BYTES / (1024 * 1024);
    let detail = format!("a body with an Upload-Checksum has at most {mib} MiB: send more in several requests");
    Refusal::new(Code::TooLarge, detail).into()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(text: &str) -> Result<Option<Checksum>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(CHECKSUM, HeaderValue::try_from(text).unwrap());
        Checksum::read(&headers)
    }

    #[test]
    fn checksums_by_both_functions() {
        assert!(Checksum::read(&HeaderMap::new()).unwrap().is_none());
        // Of "hello world": the example of the protocol, and what sha256sum prints.
        for text in ["sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="] {
            let mut checksum = read(text).unwrap().unwrap();
            checksum.update(b"hello ").unwrap();
            checksum.update(b"world").unwrap();
            checksum.finish().unwrap();
            let mut checksum = read(text).unwrap().unwrap();
            checksum.update(b"hello World").unwrap();
            assert_eq!(checksum.finish().unwrap_err().code(), "checksum_mismatch");
        }
        for bad in [
            "",
            "sha1",
            "md5 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
            "sha1 Kq5s",
            "sha1 ???",
            "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        ] {
            assert_eq!(read(bad).map(drop).unwrap_err().code(), "malformed", "{bad}");
        }
    }
}
