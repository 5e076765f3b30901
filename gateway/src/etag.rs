//! Entity tags and the conditions on them (RFC 9110 sections 8.8.3 and 13.1).

use axum::http::{HeaderMap, HeaderName};

use crate::{limits, problem::Problem};

/// The tags of a list header as they stand, `*` included; `None` when the header is absent.
///
/// # Errors
/// `malformed` for anything that is not `*` or a list of entity tags.
pub(crate) fn list(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Vec<String>>, Problem> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    let bad =
        || Problem::malformed(format!("'{name}' is '*' or a list of entity tags in double quotes")).at(name.as_str());
    let mut tags = Vec::new();
    for value in headers.get_all(name) {
        let mut rest = value.to_str().map_err(|_| bad())?.trim();
        while !rest.is_empty() {
            let (tag, tail) = first(rest).ok_or_else(bad)?;
            tags.push(tag.to_owned());
            rest = tail.trim_start();
            if !rest.is_empty() {
                rest = rest.strip_prefix(',').ok_or_else(bad)?.trim_start();
            }
        }
    }
    if tags.is_empty() || tags.len() > limits::MAX_TAGS || (tags.len() > 1 && tags.iter().any(|tag| tag == "*")) {
        return Err(bad());
    }
    Ok(Some(tags))
}

/// The first tag of a list and what follows it. A comma may stand inside a tag, so the list cannot just be split.
fn first(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Some(("*", rest));
    }
    let weak = if text.starts_with("W/") { 2 } else { 0 };
    let inner = text[weak..].strip_prefix('"')?;
    let end = weak + 1 + inner.find('"')? + 1;
    Some(text.split_at(end))
}

/// Whether `If-None-Match` names `current` (weak comparison) or is `*`: the answer is 304.
pub(crate) fn is_known(headers: &HeaderMap, current: &str) -> Result<bool, Problem> {
    let Some(tags) = list(headers, &axum::http::header::IF_NONE_MATCH)? else { return Ok(false) };
    Ok(tags.iter().any(|tag| tag == "*" || tag.trim_start_matches("W/") == current.trim_start_matches("W/")))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header::IF_MATCH, header::IF_NONE_MATCH};
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Option<Vec<String>> {
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, HeaderValue::from_str(text).ok()?);
        list(&headers, &IF_MATCH).ok().flatten()
    }

    #[test]
    fn lists() {
        assert_eq!(parse("\"a\"").unwrap(), ["\"a\""]);
        assert_eq!(parse("\"a,b\" , W/\"c\",\"\"").unwrap(), ["\"a,b\"", "W/\"c\"", "\"\""]);
        assert_eq!(parse("*").unwrap(), ["*"]);
        for bad in ["", "a", "\"a", "\"a\" \"b\"", "*, \"a\"", "w/\"a\"", "W/", "\"a\",x"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(list(&HeaderMap::new(), &IF_MATCH).unwrap(), None);
    }

    #[test]
    fn none_match_compares_weakly() {
        let mut headers = HeaderMap::new();
        assert!(!is_known(&headers, "\"a\"").unwrap());
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("\"b\", W/\"a\""));
        assert!(is_known(&headers, "\"a\"").unwrap());
        assert!(!is_known(&headers, "\"c\"").unwrap());
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        assert!(is_known(&headers, "\"c\"").unwrap());
    }

    proptest! {
        #[test]
        fn any_text_is_a_list_or_a_problem(text in "[ -~]{0,40}") {
            if let Some(tags) = parse(&text) {
                prop_assert!(tags.iter().all(|tag| tag == "*" || tag.ends_with('"')));
            }
        }
    }
}
