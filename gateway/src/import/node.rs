//! One line of an import.

use std::borrow::Cow;

use rustdht_core::Refusal;
use rustdht_node::ImportNode;
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    fields::{self, RawFields},
    problem::Problem,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNode<'a> {
    #[serde(borrow)]
    soul: Cow<'a, str>,
    #[serde(borrow)]
    data: RawFields<'a>,
    /// Stands in the answers of GET, which may be imported as they are; the write gets a stamp of its own.
    #[serde(rename = "stamp")]
    _stamp: Option<IgnoredAny>,
}

/// Reads a line; `None` when it is blank.
///
/// # Errors
/// `malformed`, `bad_soul`, and whatever is wrong with a field.
pub(super) fn read(number: u64, text: &[u8]) -> Result<Option<ImportNode>, Problem> {
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    let raw: RawNode<'_> = serde_json::from_slice(text).map_err(|error| fields::not_json(&error))?;
    let soul = raw.soul.parse().map_err(|refusal: Refusal| Problem::from(refusal).at("soul"))?;
    Ok(Some(ImportNode { line: number, soul, fields: raw.data.read()? }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(text: &str) -> &'static str {
        match read(1, text.as_bytes()) {
            Ok(Some(_)) => "node",
            Ok(None) => "blank",
            Err(problem) => problem.code(),
        }
    }

    #[test]
    fn lines() {
        assert_eq!(code(r#"{"soul":"a","data":{"x":1}}"#), "node");
        assert_eq!(code(r#"{"data":{},"stamp":"7","soul":"a"}"#), "node");
        assert_eq!(code(" \t"), "blank");
        assert_eq!(code(""), "blank");
        for malformed in [
            "{",
            "[]",
            r#"{"soul":"a"}"#,
            r#"{"soul":"a","data":[]}"#,
            r#"{"soul":"a","data":{},"x":1}"#,
            r#"{"soul":"a","data":{"x":1,"x":1}}"#,
        ] {
            assert_eq!(code(malformed), "malformed", "{malformed}");
        }
        assert_eq!(code(r#"{"soul":"","data":{}}"#), "bad_soul");
        assert_eq!(code(r#"{"soul":"a","data":{"x":[1]}}"#), "bad_value");
    }

    proptest! {
        #[test]
        fn mutated_lines_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut line = br##"{"soul":"a","data":{"x":{"@set":[{"#":"b"}]},"y":1.5}}"##.to_vec();
            let at = at.index(line.len());
            line[at] = byte;
            let _ = read(1, &line);
        }
    }
}
