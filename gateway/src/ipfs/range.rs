//! Range requests (RFC 9110 section 14).

use std::ops::Range;

use axum::http::{HeaderMap, header};

/// Ranges of one request that are answered; whoever asks for more gets the whole (RFC 9110 section 17.15: many small
/// ranges are an attack).
const MAX_RANGES: usize = 16;

/// What a `Range` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything: no range, one that is not understood, or more than it is worth.
    Whole,
    /// These bytes, in this order.
    Parts(Vec<Range<u64>>),
    /// Bytes that are not there.
    Unsatisfiable,
}

/// Interprets the headers for something of `size` bytes with this tag and time. `If-Range` must name it strongly.
pub(super) fn of_request(headers: &HeaderMap, size: u64, tag: &str, modified: Option<&str>) -> Wanted {
    let same = headers.get(header::IF_RANGE).is_none_or(|value| {
        let value = value.as_bytes();
        (value == tag.as_bytes() && tag.starts_with('"')) || modified.is_some_and(|time| value == time.as_bytes())
    });
    let range = headers.get(header::RANGE).filter(|_| same).and_then(|value| value.to_str().ok());
    wanted(range, size)
}

fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(specs) = header.and_then(specs) else { return Wanted::Whole };
    // Some clients ask for `bytes=0-` always; of nothing, nothing is everything.
    if size == 0 || specs.len() > MAX_RANGES {
        return Wanted::Whole;
    }
    let mut parts = Vec::with_capacity(specs.len());
    for spec in specs {
        match spec {
            (Some(first), Some(last)) if last < first => return Wanted::Whole,
            (Some(first), _) if first >= size => {}
            (Some(first), last) => parts.push(first..last.map_or(size, |last| last.saturating_add(1).min(size))),
            (None, Some(0)) => {}
            (None, Some(suffix)) => parts.push(size.saturating_sub(suffix)..size),
            (None, None) => return Wanted::Whole,
        }
    }
    if parts.is_empty() {
        return Wanted::Unsatisfiable;
    }
    let total = parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.end - part.start));
    // Overlapping ranges only multiply what is sent.
    if parts.len() > 1 && total.is_none_or(|total| total > size) { Wanted::Whole } else { Wanted::Parts(parts) }
}

/// First and last byte of one range, each perhaps left out.
type Spec = (Option<u64>, Option<u64>);

/// The ends of each of `bytes=first-last,...`.
fn specs(header: &str) -> Option<Vec<Spec>> {
    let (unit, list) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let specs = list.split(',').map(str::trim).filter(|spec| !spec.is_empty()).take(MAX_RANGES + 1).map(|spec| {
        let (first, last) = spec.split_once('-')?;
        Some((end(first.trim())?, end(last.trim())?))
    });
    specs.collect::<Option<Vec<_>>>().filter(|specs| !specs.is_empty())
}

/// Digits or nothing. A number beyond u64 is beyond every file.
fn end(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn part(part: Range<u64>) -> Wanted {
        Wanted::Parts(vec![part])
    }

    #[test]
    fn table() {
        for (header, expected) in [
            ("bytes=0-0", part(0..1)),
            ("bytes=2-5", part(2..6)),
            ("Bytes = 2-5", part(2..6)),
            ("bytes=2-", part(2..10)),
            ("bytes=-3", part(7..10)),
            ("bytes=-99", part(0..10)),
            ("bytes=9-99", part(9..10)),
            ("bytes=9-18446744073709551615", part(9..10)),
            ("bytes=9-99999999999999999999", part(9..10)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=7-9,1-3", Wanted::Parts(vec![7..10, 1..4])),
            ("bytes=0-1, ,99-", part(0..2)),
            ("bytes=0-7,2-9", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=0", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(header), 10), expected, "{header}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Whole);
        let many = |count: usize| format!("bytes={}", vec!["0-0"; count].join(","));
        assert!(matches!(wanted(Some(&many(MAX_RANGES)), 1 << 20), Wanted::Parts(_)));
        assert_eq!(wanted(Some(&many(MAX_RANGES + 1)), 1 << 20), Wanted::Whole);
    }

    #[test]
    fn if_range_guards_the_range() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=1-2"));
        assert_eq!(of_request(&headers, 10, "\"c\"", None), part(1..3));
        for (value, expected) in [
            ("\"c\"", part(1..3)),
            (date, part(1..3)),
            ("\"d\"", Wanted::Whole),
            ("W/\"c\"", Wanted::Whole),
            ("Mon, 07 Nov 1994 08:49:37 GMT", Wanted::Whole),
        ] {
            headers.insert(header::IF_RANGE, HeaderValue::from_static(value));
            assert_eq!(of_request(&headers, 10, "\"c\"", Some(date)), expected, "{value}");
        }
        headers.insert(header::IF_RANGE, HeaderValue::from_static("W/\"c\""));
        assert_eq!(of_request(&headers, 10, "W/\"c\"", None), Wanted::Whole, "a weak tag promises nothing of bytes");
    }

    proptest! {
        #[test]
        fn parts_lie_in_the_file_and_are_no_more_than_it(header in "bytes=([0-9]{0,4}-[0-9]{0,4},?){1,4}", size in 0_u64..2000) {
            if let Wanted::Parts(parts) = wanted(Some(&header), size) {
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
                prop_assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= size);
            }
        }

        #[test]
        fn any_text_is_understood_or_ignored(header in "[ -~]{0,30}", size in any::<u64>()) {
            let _ = wanted(Some(&header), size);
        }
    }
}
