//! What this door remembers of an upload.

use axum::http::HeaderMap;
use data_encoding::BASE64;
use rustdht_node::Principal;
use serde::{Deserialize, Serialize};

use super::{
    concat::Concat,
    headers::{METADATA, text},
};
use crate::problem::Problem;

/// Longest `Upload-Metadata` in bytes: names and types, no content.
const MAX_METADATA_BYTES: usize = 4096;

/// `Upload-Metadata`, read.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    /// As it came.
    text: String,
    pub(super) filename: String,
    pub(super) filetype: Option<String>,
}

impl Metadata {
    /// # Errors
    /// `malformed` when it is none, or too long.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        match text(headers, &METADATA)? {
            None => Ok(Self::default()),
            Some(text) => Self::parse(text),
        }
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let bad = |detail: String| Problem::malformed(detail).at("upload-metadata");
        if text.len() > MAX_METADATA_BYTES {
            return Err(bad(format!("Upload-Metadata has at most {MAX_METADATA_BYTES} bytes")));
        }
        let mut read = Self { text: text.to_owned(), ..Self::default() };
        let mut seen = Vec::new();
        // Nothing said at all is what some clients send.
        for (at, pair) in text.split(',').filter(|_| !text.is_empty()).enumerate() {
            // Some put a blank behind a comma.
            let pair = if at > 0 { pair.trim_start() } else { pair };
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            if key.is_empty() || seen.contains(&key) {
                return Err(bad(
                    "Upload-Metadata is pairs of a name and a value in base64; no name stands twice".into()
                ));
            }
            seen.push(key);
            let value = BASE64.decode(value.trim().as_bytes());
            let value = value.map_err(|_| bad(format!("the value of '{key}' in Upload-Metadata is not base64")))?;
            let value = String::from_utf8_lossy(&value).into_owned();
            match key {
                "filename" => read.filename = value,
                "filetype" if is_media_type(&value) => read.filetype = Some(value),
                _ => {}
            }
        }
        Ok(read)
    }
}

/// Letters, digits and what else RFC 9110 section 8.3.1 allows in a media type with parameters.
fn is_media_type(text: &str) -> bool {
    let is_one = |char: char| char.is_ascii_alphanumeric() || "!#$&-^_.+/;= \"".contains(char);
    text.contains('/') && text.len() <= 255 && text.chars().all(is_one)
}

/// What is remembered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    /// Who began it.
    pub(super) by: String,
    /// `Upload-Metadata` as it came.
    pub(super) metadata: String,
    /// Pinned when it is complete, or kept for a day.
    pub(super) pin: bool,
    /// It is a part of another one.
    pub(super) partial: bool,
    /// `Upload-Concat` of one that was made of parts.
    pub(super) parts: Option<String>,
}

/// Whose an upload is: that of a key, or of the owner of this gateway.
fn holder(by: Principal) -> String {
    match by {
        Principal::Account(key) => key.to_string(),
        Principal::Owner | Principal::Internal => "owner".to_owned(),
        Principal::Anonymous => "nobody".to_owned(),
    }
}

impl Note {
    pub(super) fn new(by: Principal, metadata: Metadata, concat: &Concat, pin: bool) -> Self {
        let parts = match concat {
            Concat::Final(parts) => Some(Concat::text(parts)),
            Concat::Whole | Concat::Partial => None,
        };
        let partial = matches!(concat, Concat::Partial);
        Self { by: holder(by), metadata: metadata.text, pin, partial, parts }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// # Errors
    /// `too_large` for more than an upload may have.
    pub(super) fn to_text(&self) -> Result<String, Problem> {
        let text = serde_json::to_string(self).map_err(|error| Problem::unavailable(error.to_string()))?;
        let limit = rustdht_core::ports::MAX_UPLOAD_NOTE_BYTES;
        if text.len() > limit { Err(crate::body::too_large(limit)) } else { Ok(text) }
    }

    pub(super) fn is_of(&self, by: Principal) -> bool {
        self.by == holder(by)
    }

    /// Names and types, read again.
    pub(super) fn metadata(&self) -> Metadata {
        Metadata::parse(&self.metadata).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_pairs() {
        let read = Metadata::parse("filename w6RiLnBuZw==,filetype aW1hZ2UvcG5n, is_confidential").unwrap();
        assert_eq!((read.filename.as_str(), read.filetype.as_deref()), ("äb.png", Some("image/png")));
        assert_eq!(Metadata::parse("").unwrap().filename, "");
        // A type that is none is not believed: it goes into answers.
        assert_eq!(Metadata::parse("filetype PHNjcmlwdD4=").unwrap().filetype, None);
        for bad in ["filename ???", "a YQ==,a YQ==", ",", "a YQ==,", " YQ==", &format!("a {}", "YWFh".repeat(2000))] {
            assert_eq!(Metadata::parse(bad).unwrap_err().code(), "malformed", "{bad}");
        }
    }
}
