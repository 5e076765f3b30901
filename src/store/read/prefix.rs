//! The least key behind all keys that begin with a prefix, so that a prefix search is a range of an index.

/// For byte strings; `None` when there is no such key (an empty prefix, or one of ff bytes only).
pub(super) fn after_prefix_bytes(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// For text in the order of its bytes, which is that of its code points.
pub(super) fn after_prefix(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // The code point behind U+D7FF is U+E000: surrogates do not occur in UTF-8.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ends_skip_what_does_not_exist() {
        assert_eq!(after_prefix("ab"), Some("ac".into()));
        assert_eq!(after_prefix("a\u{d7ff}"), Some("a\u{e000}".into()));
        assert_eq!(after_prefix("a\u{10ffff}"), Some("b".into()));
        assert_eq!(after_prefix("\u{10ffff}"), None);
        assert_eq!(after_prefix(""), None);
        assert_eq!(after_prefix_bytes(&[1, 0xff]), Some(vec![2]));
        assert_eq!(after_prefix_bytes(&[0xff]), None);
    }

    proptest! {
        #[test]
        fn the_range_is_the_prefix(prefix in "[a\u{d7ff}\u{10ffff}]{0,3}", key in "[ab\u{d7ff}\u{e000}\u{10ffff}]{0,4}") {
            let inside = key >= prefix && after_prefix(&prefix).is_none_or(|end| key < end);
            prop_assert_eq!(inside, key.starts_with(&prefix));
        }

        #[test]
        fn the_range_of_bytes_is_the_prefix(
            prefix in proptest::collection::vec(0xfe..=0xff_u8, 0..3),
            key in proptest::collection::vec(0xfd..=0xff_u8, 0..4),
        ) {
            let inside = key >= prefix && after_prefix_bytes(&prefix).is_none_or(|end| key < end);
            prop_assert_eq!(inside, key.starts_with(&prefix));
        }
    }
}
