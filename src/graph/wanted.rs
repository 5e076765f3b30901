//! What a writer wants a field to be, as JSON says it.

use rustdht_core::{Code, Refusal, Value, json};
use serde_json::value::RawValue;

/// What a write wants a field to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// A register; `Value::Null` deletes the field.
    Value(Value),
    /// Exactly these elements: what is missing is added, observed others are killed.
    Set(Vec<Value>),
}

/// Reads a field of a JSON body: a plain value, link, blob or bytes, or a wrapped value such as `{"@set":[...]}`.
///
/// # Errors
/// `bad_value` for a bare array, another object, null in a set, or a wrapped kind that this gateway cannot write;
/// `too_large`, `malformed` as [`json::read`].
pub fn read(raw: &RawValue) -> Result<Wanted, Refusal> {
    let text = raw.get().trim_ascii_start();
    if text.starts_with('{')
        && text.contains("\"@")
        && let Some((key, inner)) = json::single_entry(text)?
        && let Some(kind) = key.strip_prefix('@')
    {
        return match kind {
            "set" => elements(&inner).map(Wanted::Set),
            _ => Err(Refusal::new(
                Code::BadValue,
                format!("'@{kind}' cannot be written here: use a plain value or {{\"@set\":[...]}}"),
            )),
        };
    }
    json::read(raw).map(Wanted::Value)
}

fn elements(raw: &RawValue) -> Result<Vec<Value>, Refusal> {
    let items: Vec<Box<RawValue>> =
        serde_json::from_str(raw.get()).map_err(|_| Refusal::new(Code::BadValue, "'@set' holds an array of values"))?;
    items
        .iter()
        .map(|item| match json::read(item)? {
            Value::Null => Err(Refusal::new(Code::BadValue, "null cannot be an element of a set")),
            value => Ok(value),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Wanted, Code> {
        read(&serde_json::from_str::<Box<RawValue>>(text).unwrap()).map_err(|refusal| refusal.code)
    }

    #[test]
    fn wrapped_and_plain() {
        assert_eq!(parse("{\"@set\":[1,\"a\"]}"), Ok(Wanted::Set(vec![Value::Int(1), Value::from("a")])));
        assert_eq!(parse(" {\"@set\":[]}"), Ok(Wanted::Set(vec![])));
        assert_eq!(parse("{\"#\":\"a\\\"@b\"}"), Ok(Wanted::Value(Value::Link("a\"@b".parse().unwrap()))));
        assert_eq!(parse("null"), Ok(Wanted::Value(Value::Null)));
        for text in [
            "{\"@set\":1}",
            "{\"@set\":[null]}",
            "{\"@set\":[[1]]}",
            "{\"@counter\":1}",
            "[1]",
            "{\"@set\":[],\"x\":1}",
        ] {
            assert_eq!(parse(text), Err(Code::BadValue), "{text}");
        }
    }
}
