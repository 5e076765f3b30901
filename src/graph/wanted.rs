//! What a writer wants a field to be, as JSON says it.

use rustdht_core::{Code, Kind, Refusal, Value, json};
use serde_json::value::RawValue;

use crate::Content;

/// What a write wants a field to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// A register; `Value::Null` deletes the field.
    Value(Value),
    /// What the view of a kind shall be, such as `{"@set":[...]}`. Whether the content fits the kind is judged when
    /// the write is planned.
    Wrapped {
        /// The kind.
        kind: Kind,
        /// What stands behind it.
        content: Content,
    },
}

impl Wanted {
    /// Exactly these elements: what is missing is added, observed others are killed.
    #[must_use]
    pub fn set(elements: impl IntoIterator<Item = Value>) -> Self {
        let elements = elements.into_iter().map(Content::Value).collect();
        Self::Wrapped { kind: Kind::listed(Kind::SET), content: Content::List(elements) }
    }
}

/// Reads a field of a JSON body: a plain value, link, blob or bytes, or a wrapped value such as `{"@set":[...]}`.
///
/// # Errors
/// `bad_value` for a bare array, another object, or a wrapped value of no kind's name; `too_large`, `malformed` as
/// [`json::read`] and [`Content::read`].
pub fn read(raw: &RawValue) -> Result<Wanted, Refusal> {
    let text = raw.get().trim_ascii_start();
    if text.starts_with('{')
        && text.contains("\"@")
        && let Some((key, inner)) = json::single_entry(text)?
        && let Some(name) = key.strip_prefix('@')
    {
        let kind = name.parse().map_err(|_| Refusal::new(Code::BadValue, format!("'@{name}' names no kind")))?;
        return Content::read(&inner).map(|content| Wanted::Wrapped { kind, content });
    }
    json::read(raw).map(Wanted::Value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Wanted, Code> {
        read(&serde_json::from_str::<Box<RawValue>>(text).unwrap()).map_err(|refusal| refusal.code)
    }

    #[test]
    fn wrapped_and_plain() {
        assert_eq!(parse("{\"@set\":[1,\"a\"]}"), Ok(Wanted::set([Value::Int(1), Value::from("a")])));
        assert_eq!(parse(" {\"@set\":[]}"), Ok(Wanted::set([])));
        assert_eq!(parse("{\"#\":\"a\\\"@b\"}"), Ok(Wanted::Value(Value::Link("a\"@b".parse().unwrap()))));
        assert_eq!(parse("null"), Ok(Wanted::Value(Value::Null)));
        let kind: Kind = "hologram".parse().unwrap();
        assert_eq!(parse("{\"@hologram\":1}"), Ok(Wanted::Wrapped { kind, content: Value::Int(1).into() }));
        for text in ["[1]", "{\"@set\":[],\"x\":1}", "{\"@\":1}", &format!("{{\"@{}\":1}}", "k".repeat(33))] {
            assert_eq!(parse(text), Err(Code::BadValue), "{text}");
        }
    }
}
