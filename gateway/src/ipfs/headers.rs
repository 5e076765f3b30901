//! Headers of answers that show content (path gateway specification, "Response Headers").

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustdht_core::ports::Resolved;

use super::{names::Freshness, want::Want};

pub(super) const X_IPFS_PATH: HeaderName = HeaderName::from_static("x-ipfs-path");
pub(super) const X_IPFS_ROOTS: HeaderName = HeaderName::from_static("x-ipfs-roots");

/// Nothing under a CID changes.
const IMMUTABLE: &str = "public, max-age=29030400, immutable";
/// A page that this gateway makes of something immutable may look different in its next version: a week, and another
/// month while a new one is fetched.
const GENERATED: &str = "public, max-age=604800, stale-while-revalidate=2678400";
/// No scripts, no frames, no forms, an origin of its own: what strangers wrote must not act as the API's pages.
pub(super) const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox");
/// What RFC 8187 leaves unescaped in `filename*`.
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Puts a header whose value is text, unless it cannot stand in one.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// How long an answer may be kept, for what is as it lies in its blocks.
pub(super) fn cache_control(freshness: Freshness) -> Option<HeaderValue> {
    match freshness {
        Freshness::Immutable => Some(HeaderValue::from_static(IMMUTABLE)),
        Freshness::Mutable { ttl_s } => max_age(ttl_s, ""),
    }
}

/// How long a page that this gateway made may be kept.
pub(super) fn cache_control_of_page(freshness: Freshness) -> Option<HeaderValue> {
    match freshness {
        Freshness::Immutable => Some(HeaderValue::from_static(GENERATED)),
        Freshness::Mutable { ttl_s } => max_age(ttl_s, ", stale-while-revalidate=2678400"),
    }
}

/// Nothing when the time is not known: caches have rules of their own for that.
fn max_age(ttl_s: Option<u64>, more: &str) -> Option<HeaderValue> {
    let ttl_s = ttl_s.filter(|ttl_s| *ttl_s > 0)?;
    HeaderValue::try_from(format!("public, max-age={ttl_s}{more}")).ok()
}

/// The header that says which CIDs a path leads through, one for each segment.
pub(super) fn put_roots(headers: &mut HeaderMap, resolved: &Resolved) {
    let roots: Vec<String> = resolved.roots.iter().map(ToString::to_string).collect();
    put(headers, X_IPFS_ROOTS, &roots.join(","));
}

/// Whether a file is shown or saved, and under which name; `None`: nobody asked for either.
pub(super) fn disposition_of_file(want: &Want, name: Option<&str>) -> Option<HeaderValue> {
    match &want.filename {
        Some(name) => Some(disposition(if want.download { "attachment" } else { "inline" }, name)),
        None if want.download => {
            Some(name.map_or(HeaderValue::from_static("attachment"), |name| disposition("attachment", name)))
        }
        None => None,
    }
}

/// `Content-Disposition` with a name twice (RFC 6266 appendix D): in ASCII for old clients, whole for all others.
pub(super) fn disposition(kind: &str, name: &str) -> HeaderValue {
    let plain =
        |c: char| if c.is_ascii() && !c.is_ascii_control() && !matches!(c, '"' | '/' | '\\' | '%') { c } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    let whole = utf8_percent_encode(name, ATTR_CHAR);
    HeaderValue::try_from(format!("{kind}; filename=\"{ascii}\"; filename*=UTF-8''{whole}"))
        .unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipfs::query::Query;

    #[test]
    fn names_cannot_break_the_header() {
        let text = |name: &str| disposition("inline", name).to_str().unwrap().to_owned();
        assert_eq!(
            text("testтест.tar"),
            "inline; filename=\"test____.tar\"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.tar"
        );
        assert_eq!(
            text("../a\"\r\n\\%41b.txt"),
            "inline; filename=\".._a_____41b.txt\"; filename*=UTF-8''..%2Fa%22%0D%0A%5C%2541b.txt"
        );
    }

    #[test]
    fn files_are_shown_unless_asked_otherwise() {
        let of = |query: &str, name: Option<&str>| {
            let want = Want::of(&Query::parse(Some(query)), &HeaderMap::new()).unwrap();
            disposition_of_file(&want, name).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(of("", Some("a")), None);
        assert_eq!(of("filename=b", Some("a")).unwrap(), "inline; filename=\"b\"; filename*=UTF-8''b");
        assert_eq!(of("filename=b&download=true", None).unwrap(), "attachment; filename=\"b\"; filename*=UTF-8''b");
        assert_eq!(of("download=true", Some("a")).unwrap(), "attachment; filename=\"a\"; filename*=UTF-8''a");
        assert_eq!(of("download=true", None).unwrap(), "attachment");
    }

    #[test]
    fn how_long_an_answer_is_kept() {
        let text = |value: Option<HeaderValue>| value.map(|value| value.to_str().unwrap().to_owned());
        let mutable = |ttl_s| Freshness::Mutable { ttl_s };
        assert_eq!(text(cache_control(Freshness::Immutable)).unwrap(), IMMUTABLE);
        assert_eq!(text(cache_control(mutable(Some(60)))).unwrap(), "public, max-age=60");
        assert_eq!(text(cache_control(mutable(None))), None);
        assert_eq!(text(cache_control(mutable(Some(0)))), None);
        assert_eq!(text(cache_control_of_page(Freshness::Immutable)).unwrap(), GENERATED);
        let page = text(cache_control_of_page(mutable(Some(60)))).unwrap();
        assert_eq!(page, "public, max-age=60, stale-while-revalidate=2678400");
    }
}
