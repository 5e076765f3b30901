//! The headers of tus 1.0.0.

use std::time::{Duration, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use rustdht_core::ports::UploadState;
use utoipa::IntoParams;

use super::note::Note;
use crate::problem::Problem;

/// The version of the protocol.
pub(super) const VERSION: &str = "1.0.0";
pub(super) const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,expiration,termination,checksum,concatenation";
pub(super) const CHECKSUMS: &str = "sha1,sha256";

pub(super) const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(super) const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub(super) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(super) const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
pub(super) const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(super) const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const CONCAT: HeaderName = HeaderName::from_static("upload-concat");
pub(super) const CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
pub(super) const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// Not of the protocol: the root of what was uploaded.
pub(super) const CID: HeaderName = HeaderName::from_static("upload-cid");
pub(super) const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// Of every request.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "names the headers in the OpenAPI document")]
pub(super) struct Version {
    /// `1.0.0`
    #[param(rename = "Tus-Resumable")]
    version: String,
}

/// Of the beginning.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "names the headers in the OpenAPI document")]
pub(super) struct Begin {
    /// `1.0.0`
    #[param(rename = "Tus-Resumable")]
    version: String,
    /// Length of the file in bytes.
    #[param(rename = "Upload-Length")]
    length: Option<u64>,
    /// `1`: the length is told with the last bytes.
    #[param(rename = "Upload-Defer-Length")]
    defer_length: Option<u8>,
    /// Pairs of a name and a value in base64, with commas between them. `filename` becomes the name of the pin, `filetype` the
    /// media type.
    #[param(rename = "Upload-Metadata")]
    metadata: Option<String>,
    /// `partial`: a part of a file. `final;` and the uploads of the parts: the file that they make.
    #[param(rename = "Upload-Concat")]
    concat: Option<String>,
    /// `sha1` or `sha256`, and that of the body in base64; the body has at most 64 MiB then.
    #[param(rename = "Upload-Checksum")]
    checksum: Option<String>,
}

/// Of appending.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "names the headers in the OpenAPI document")]
pub(super) struct Append {
    /// `1.0.0`
    #[param(rename = "Tus-Resumable")]
    version: String,
    /// Where the upload stands.
    #[param(rename = "Upload-Offset")]
    offset: u64,
    /// Its length, where it was not told yet.
    #[param(rename = "Upload-Length")]
    length: Option<u64>,
    /// `sha1` or `sha256`, and that of the body in base64; the body has at most 64 MiB then.
    #[param(rename = "Upload-Checksum")]
    checksum: Option<String>,
}

/// Of a method in disguise.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "names the headers in the OpenAPI document")]
pub(super) struct Override {
    /// `1.0.0`
    #[param(rename = "Tus-Resumable")]
    version: String,
    /// `PATCH` or `DELETE`
    #[param(rename = "X-HTTP-Method-Override")]
    method: String,
}

/// A header as text; `None` when it is absent.
///
/// # Errors
/// `malformed` when it stands twice or is no text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    text.map(Some).ok_or_else(|| Problem::malformed(format!("'{name}' is not understood")).at(name.as_str()))
}

/// A header as a number.
///
/// # Errors
/// `malformed`.
pub(super) fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Problem> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    // What `parse` takes as well: a sign in front.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.map(Some).ok_or_else(|| Problem::malformed(format!("'{name}' is a number of bytes")).at(name.as_str()))
}

pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: &(impl ToString + ?Sized)) {
    // What does not fit was never taken: numbers, CIDs, and headers of requests.
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        headers.insert(name, value);
    }
}

/// What an answer says of an upload.
pub(super) fn of(upload: &UploadState, note: &Note) -> HeaderMap {
    let mut answer = HeaderMap::new();
    put(&mut answer, OFFSET, &upload.offset);
    match upload.length {
        Some(length) => put(&mut answer, LENGTH, &length),
        None => put(&mut answer, DEFER_LENGTH, &1),
    }
    if !note.metadata.is_empty() {
        put(&mut answer, METADATA, &note.metadata);
    }
    match &note.parts {
        Some(parts) => put(&mut answer, CONCAT, parts),
        None if note.partial => put(&mut answer, CONCAT, "partial"),
        None => {}
    }
    let expires = UNIX_EPOCH.checked_add(Duration::from_millis(upload.expires_ms));
    put(&mut answer, EXPIRES, &expires.map(httpdate::fmt_http_date).unwrap_or_default());
    if let Some(added) = &upload.added {
        put(&mut answer, CID, &added.cid);
        put(&mut answer, header::LOCATION, &format!("/ipfs/{}", added.cid));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits() {
        let mut headers = HeaderMap::new();
        assert_eq!(number(&headers, &OFFSET).unwrap(), None);
        for (text, expected) in
            [("0", Some(0)), ("18446744073709551615", Some(u64::MAX)), ("18446744073709551616", None)]
        {
            headers.insert(OFFSET, HeaderValue::from_static(text));
            assert_eq!(number(&headers, &OFFSET).ok().flatten(), expected);
        }
        for bad in ["", "-1", "+1", "1.0", " 1", "0x10", "1e3"] {
            headers.insert(OFFSET, HeaderValue::from_static(bad));
            assert_eq!(number(&headers, &OFFSET).unwrap_err().code(), "malformed", "{bad}");
        }
        headers.insert(OFFSET, HeaderValue::from_static("1"));
        headers.append(OFFSET, HeaderValue::from_static("2"));
        assert!(number(&headers, &OFFSET).is_err());
    }
}
