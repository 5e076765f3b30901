//! Files by CID (IPFS path gateway specification; files only).

mod range;

use axum::{
    body::Body,
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use cid::Cid;
use futures::{StreamExt, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rustdht_core::{
    Code, Refusal,
    ports::{BlobError, BlobStore, BoxByteStream},
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::range::Wanted;
use crate::{
    State, auth::Reader, codes::HttpCode, etag, limits, mime, problem::Problem, query, routes::measured, schema,
};

const X_IPFS_PATH: HeaderName = HeaderName::from_static("x-ipfs-path");
const X_IPFS_ROOTS: HeaderName = HeaderName::from_static("x-ipfs-roots");
/// What RFC 8187 leaves unescaped in `filename*`.
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(measured(routes!(get_file))).routes(measured(routes!(get_below)))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct FileQuery {
    /// The name under which a browser saves the file; its extension tells the type.
    filename: Option<String>,
    /// Saved rather than shown.
    #[serde(default)]
    download: bool,
}

/// Read a file.
///
/// Whole or by range. What is missing here is fetched from other members while the answer streams. The bytes of
/// strangers never share the origin of the API: the answer is sandboxed.
#[utoipa::path(
    get, path = "/ipfs/{cid}", tag = "blobs",
    params(
        ("cid" = String, Path, description = "The CID, version 0 or 1"),
        FileQuery,
        ("Range" = Option<String>, Header, description = "One range of bytes; several are answered whole"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "`If-None-Match` names it"),
        (status = "default", response = schema::ProblemAnswer),
    ),
)]
pub(crate) async fn get_file(Shared(state): Shared<State>, _: Reader, request: Request) -> Result<Response, Problem> {
    let text = segment(request.uri().path());
    let cid = parse_cid(text)?;
    let query: FileQuery = query::parse(request.uri())?;
    let tag = format!("\"{cid}\"");
    if etag::is_known(request.headers(), &tag)? {
        return Ok((StatusCode::NOT_MODIFIED, common(&cid, &tag, request.uri().path())).into_response());
    }
    let store = state.node().blobs();
    let size = store.stat(&cid).await?.size;
    let part = match range::wanted(range_header(request.headers(), &tag), size) {
        Wanted::Unsatisfiable => return Err(Problem::out_of_range(size)),
        Wanted::Whole => None,
        Wanted::Part(part) => Some(part),
    };
    let span = part.clone().unwrap_or(0..size);
    let (mime, bytes) = open(store.as_ref(), &cid, span.clone(), size, &query, request.method()).await?;
    let mut response = Response::new(match bytes {
        Some(bytes) => Body::from_stream(bytes),
        None => Body::empty(),
    });
    *response.headers_mut() = common(&cid, &tag, request.uri().path());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(mime));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(span.end - span.start));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(disposition) = disposition(&cid, &query) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    if let Some(part) = part
        && let Ok(value) = HeaderValue::try_from(format!("bytes {}-{}/{size}", part.start, part.end - 1))
    {
        headers.insert(header::CONTENT_RANGE, value);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// Read a file in a directory.
///
/// Directories come with a later version; until then this says so.
#[utoipa::path(
    get, path = "/ipfs/{cid}/{*path}", tag = "blobs",
    params(("cid" = String, Path, description = "The CID"), ("path" = String, Path, description = "A path in the directory")),
    responses((status = "default", response = schema::ProblemAnswer)),
)]
pub(crate) async fn get_below(_: Reader, request: Request) -> Result<Response, Problem> {
    parse_cid(segment(request.uri().path()))?;
    Err(Problem::new(
        HttpCode::NotImplemented,
        "paths inside a directory are not built yet: this version serves files by their CID",
    ))
}

/// The CID's segment of a path.
fn segment(path: &str) -> &str {
    path.strip_prefix("/ipfs/").unwrap_or_default().split('/').next().unwrap_or_default()
}

/// Version 0, or version 1 in any multibase.
fn parse_cid(segment: &str) -> Result<Cid, Problem> {
    let bad = || Problem::from(Refusal::new(Code::BadValue, "not a CID")).at("cid");
    let text = percent_decode_str(segment).decode_utf8().map_err(|_| bad())?;
    Cid::try_from(&*text).map_err(|_| bad())
}

/// The range asked for, unless `If-Range` names another file. A CID's tag is strong, so only equality counts.
fn range_header<'h>(headers: &'h HeaderMap, tag: &str) -> Option<&'h str> {
    let still_same = headers.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == tag.as_bytes());
    headers.get(header::RANGE).filter(|_| still_same).and_then(|value| value.to_str().ok())
}

/// Headers of 200, 206 and 304 alike.
fn common(cid: &Cid, tag: &str, path: &str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=29030400, immutable"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    for (name, value) in [(header::ETAG, tag), (X_IPFS_PATH, path), (X_IPFS_ROOTS, cid.to_string().as_str())] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    headers
}

fn disposition(cid: &Cid, query: &FileQuery) -> Option<HeaderValue> {
    let kind = if query.download { "attachment" } else { "inline" };
    let value = match &query.filename {
        Some(name) => format!("{kind}; filename*=UTF-8''{}", utf8_percent_encode(name, ATTR_CHAR)),
        None if query.download => format!("attachment; filename=\"{cid}\""),
        None => return None,
    };
    HeaderValue::try_from(value).ok()
}

/// The type of the file and, unless the method is HEAD, the bytes of `span`.
async fn open(
    store: &dyn BlobStore,
    cid: &Cid,
    span: std::ops::Range<u64>,
    size: u64,
    query: &FileQuery,
    method: &Method,
) -> Result<(&'static str, Option<BoxByteStream>), Problem> {
    let named = query.filename.as_deref().and_then(mime::of_name);
    let sniffed = size.min(limits::SNIFF_BYTES as u64);
    let head_only = method == Method::HEAD;
    if let Some(mime) = named {
        return Ok((mime, if head_only { None } else { Some(store.read(cid, span).await?) }));
    }
    if !head_only && span.start == 0 && span.end >= sniffed {
        let mut bytes = store.read(cid, span).await?;
        let head = head(&mut bytes).await?;
        let mime = mime::sniff(&head);
        return Ok((mime, Some(stream::iter([Ok(head)]).chain(bytes).boxed())));
    }
    // A range further on must not fail because the first block is missing.
    let first = tokio::time::timeout(limits::SNIFF_WAIT, async {
        let mut bytes = store.read(cid, 0..sniffed).await?;
        head(&mut bytes).await
    });
    let mime = match first.await {
        Ok(Ok(head)) => mime::sniff(&head),
        Ok(Err(_)) | Err(_) => mime::UNKNOWN,
    };
    Ok((mime, if head_only { None } else { Some(store.read(cid, span).await?) }))
}

/// Takes pieces until there is enough to sniff, or the file ends.
async fn head(bytes: &mut BoxByteStream) -> Result<Bytes, BlobError> {
    let mut head = BytesMut::new();
    while let Some(piece) = bytes.next().await {
        let piece = piece?;
        if head.is_empty() && piece.len() >= limits::SNIFF_BYTES {
            return Ok(piece);
        }
        head.extend_from_slice(&piece);
        if head.len() >= limits::SNIFF_BYTES {
            break;
        }
    }
    Ok(head.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cids_of_both_versions_and_any_base() {
        for good in [
            "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKtR6V",
            "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
            "BAFKREIGH2AKISCAILDCQABSYG3DFR6CHU3FGPREGIYMSCK7E7AQA4S52ZY",
        ] {
            assert!(parse_cid(good).is_ok(), "{good}");
        }
        for bad in ["", "x", "Qm", "bafk", "%FF", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52z"] {
            let problem = parse_cid(bad).unwrap_err();
            assert_eq!((problem.code(), problem.field()), ("bad_value", "cid"), "{bad}");
        }
        assert_eq!(segment("/ipfs/a/b"), "a");
    }

    #[test]
    fn if_range_guards_the_range() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=1-2"));
        assert_eq!(range_header(&headers, "\"c\""), Some("bytes=1-2"));
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"c\""));
        assert_eq!(range_header(&headers, "\"c\""), Some("bytes=1-2"));
        for other in ["\"d\"", "W/\"c\"", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            headers.insert(header::IF_RANGE, HeaderValue::from_static(other));
            assert_eq!(range_header(&headers, "\"c\""), None, "{other}");
        }
    }

    #[test]
    fn names_cannot_break_the_header() {
        let cid = parse_cid("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKtR6V").unwrap();
        let query = |filename: Option<&str>, download| FileQuery { filename: filename.map(str::to_owned), download };
        let text = |query: &FileQuery| disposition(&cid, query).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(text(&query(None, false)), None);
        assert_eq!(
            text(&query(Some("a\"\r\nb ü.txt"), false)).unwrap(),
            "inline; filename*=UTF-8''a%22%0D%0Ab%20%C3%BC.txt"
        );
        assert_eq!(text(&query(Some("a"), true)).unwrap(), "attachment; filename*=UTF-8''a");
        assert_eq!(text(&query(None, true)).unwrap(), format!("attachment; filename=\"{cid}\""));
    }

    #[tokio::test]
    async fn the_head_gathers_small_pieces() {
        let pieces = |n: usize| stream::iter((0..n).map(|_| Ok(Bytes::from_static(&[b'x'; 100])))).boxed();
        assert_eq!(head(&mut pieces(3)).await.unwrap().len(), 300);
        assert_eq!(head(&mut pieces(30)).await.unwrap().len(), 600);
    }
}
