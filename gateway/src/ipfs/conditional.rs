//! Conditions under which nothing needs to be sent (RFC 9110 section 13).

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, StatusCode, header};

use crate::etag;

/// What an answer is told apart by.
#[derive(Clone, Debug)]
pub(super) struct Version {
    /// The entity tag with its quotes.
    pub(super) tag: String,
    /// `Last-Modified`, when the content says.
    pub(super) modified: Option<Modified>,
}

/// When content was changed.
#[derive(Clone, Debug)]
pub(super) struct Modified {
    time: SystemTime,
    /// As an HTTP date.
    pub(super) text: String,
}

impl Modified {
    /// Of seconds since the epoch; `None` for times that an HTTP date cannot hold, and for 0, which tools write that
    /// know no time.
    pub(super) fn of_seconds(seconds: i64) -> Option<Self> {
        // The last second of the year 9999.
        const LAST: u64 = 253_402_300_799;
        let seconds = u64::try_from(seconds).ok().filter(|seconds| (1..=LAST).contains(seconds))?;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Some(Self { time, text: httpdate::fmt_http_date(time) })
    }
}

impl Version {
    pub(super) fn new(tag: String, modified_s: Option<i64>) -> Self {
        Self { tag, modified: modified_s.and_then(Modified::of_seconds) }
    }

    /// The status that the conditions of a request ask for instead of an answer: 304 or 412. A list of tags that is none is
    /// passed over: nothing is changed here, and the whole content is a right answer.
    pub(super) fn check(&self, headers: &HeaderMap) -> Option<StatusCode> {
        match etag::list(headers, &header::IF_MATCH).ok().flatten() {
            // Strong comparison.
            Some(tags) if !tags.iter().any(|tag| tag == "*" || (*tag == self.tag && tag.starts_with('"'))) => {
                return Some(StatusCode::PRECONDITION_FAILED);
            }
            Some(_) => {}
            None if self.is_after(headers, &header::IF_UNMODIFIED_SINCE) == Some(true) => {
                return Some(StatusCode::PRECONDITION_FAILED);
            }
            None => {}
        }
        let unchanged = if headers.contains_key(header::IF_NONE_MATCH) {
            etag::is_known(headers, &self.tag).unwrap_or(false)
        } else {
            self.is_after(headers, &header::IF_MODIFIED_SINCE) == Some(false)
        };
        unchanged.then_some(StatusCode::NOT_MODIFIED)
    }

    /// Whether it changed after the time in a header; `None`: one of the two is not known.
    fn is_after(&self, headers: &HeaderMap, name: &header::HeaderName) -> Option<bool> {
        let modified = self.modified.as_ref()?;
        let given = httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()?;
        Some(modified.time > given)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const DAY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sat, 05 Nov 1994 08:49:37 GMT";

    fn check(version: &Version, given: &[(HeaderName, &'static str)]) -> Option<u16> {
        let headers = given.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        version.check(&headers).map(|status| status.as_u16())
    }

    #[test]
    fn tags_and_times() {
        let version = Version::new("\"a\"".into(), Some(784_111_777));
        assert_eq!(version.modified.as_ref().unwrap().text, DAY);
        for (given, status) in [
            (&[][..], None),
            (&[(header::IF_NONE_MATCH, "\"b\", W/\"a\"")], Some(304)),
            (&[(header::IF_NONE_MATCH, "*")], Some(304)),
            (&[(header::IF_NONE_MATCH, "\"b\"")], None),
            (&[(header::IF_NONE_MATCH, "unquoted")], None),
            (&[(header::IF_NONE_MATCH, "")], None),
            (&[(header::IF_MATCH, "unquoted")], None),
            (&[(header::IF_MODIFIED_SINCE, DAY)], Some(304)),
            (&[(header::IF_MODIFIED_SINCE, BEFORE)], None),
            (&[(header::IF_MODIFIED_SINCE, "yesterday")], None),
            // Tags win over times.
            (&[(header::IF_NONE_MATCH, "\"b\""), (header::IF_MODIFIED_SINCE, DAY)], None),
            (&[(header::IF_MATCH, "\"a\"")], None),
            (&[(header::IF_MATCH, "*")], None),
            (&[(header::IF_MATCH, "W/\"a\"")], Some(412)),
            (&[(header::IF_UNMODIFIED_SINCE, DAY)], None),
            (&[(header::IF_UNMODIFIED_SINCE, BEFORE)], Some(412)),
            (&[(header::IF_MATCH, "\"a\""), (header::IF_UNMODIFIED_SINCE, BEFORE)], None),
        ] {
            assert_eq!(check(&version, given), status, "{given:?}");
        }
        let timeless = Version::new("\"a\"".into(), Some(0));
        assert_eq!(check(&timeless, &[(header::IF_MODIFIED_SINCE, DAY)]), None);
        for odd in [-1, i64::MAX] {
            assert!(Version::new(String::new(), Some(odd)).modified.is_none(), "{odd}");
        }
    }
}
