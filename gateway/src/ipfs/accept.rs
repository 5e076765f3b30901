//! The `Accept` header (RFC 9110 section 12.5.1).

use axum::http::{HeaderMap, header};

/// Media ranges looked at; a header may hold thousands.
const MAX_RANGES: usize = 64;

/// A media range with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MediaRange {
    /// In lower case.
    pub(super) media: String,
    /// Names in lower case.
    pub(super) params: Vec<(String, String)>,
    /// Thousandths.
    weight: u16,
}

impl MediaRange {
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What a client takes, best first; what it refuses (`q=0`) and what is not understood is left out.
pub(super) fn ranges(headers: &HeaderMap) -> Vec<MediaRange> {
    let lists = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges: Vec<MediaRange> =
        lists.flat_map(|list| split(list, b',')).take(MAX_RANGES).filter_map(range).collect();
    // Stable: among equals the client's order counts.
    ranges.sort_by_key(|range| std::cmp::Reverse(range.weight));
    ranges
}

fn range(text: &str) -> Option<MediaRange> {
    let mut parts = split(text, b';');
    let media = parts.next()?.trim().to_ascii_lowercase();
    if !media.contains('/') {
        return None;
    }
    let mut weight = 1000;
    let mut params = Vec::new();
    for part in parts {
        let Some((name, value)) = part.split_once('=') else { continue };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
        if name == "q" {
            weight = thousandths(value)?;
            break;
        }
        params.push((name, value.to_owned()));
    }
    (weight > 0).then_some(MediaRange { media, params, weight })
}

/// `0.5` as 500.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: u16 = whole.parse().ok().filter(|whole| *whole <= 1)?;
    let part: u16 = format!("{part:0<3}").parse().ok()?;
    Some((whole * 1000 + part).min(1000))
}

/// Splits at a byte that does not stand in a quoted string.
fn split(text: &str, at: u8) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        !quoted && c == char::from(at)
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT, HeaderValue::from_str(value).unwrap());
        }
        ranges(&headers).into_iter().map(|range| range.media).collect()
    }

    #[test]
    fn the_best_first() {
        assert_eq!(of(&["a/b;q=0.1, C/d", "e/f;q=0.5;x=1"]), ["c/d", "e/f", "a/b"]);
        assert_eq!(of(&["a/b, c/d;q=1, e/f"]), ["a/b", "c/d", "e/f"]);
        assert_eq!(of(&["a/b;q=0, c;q=1, , d/e;q=x, f/g;q=0.0001, */*"]), ["*/*"]);
        assert_eq!(of(&[]), [""; 0]);
    }

    #[test]
    fn parameters() {
        let mut headers = HeaderMap::new();
        let text = "application/vnd.ipld.car; version=1;Order=\"a,b;c\" ; dups=y;q=0.5; ignored=1";
        headers.append(header::ACCEPT, HeaderValue::from_static(text));
        let range = ranges(&headers).remove(0);
        assert_eq!(
            (range.param("version"), range.param("order"), range.param("dups")),
            (Some("1"), Some("a,b;c"), Some("y"))
        );
        assert_eq!((range.param("ignored"), range.weight), (None, 500));
    }

    proptest! {
        #[test]
        fn any_text_is_a_list(text in "[ -~]{0,60}") {
            prop_assert!(of(&[&text]).iter().all(|media| media.contains('/')));
        }
    }
}
