//! What a wrapped value such as `{"@list":[...]}` holds.

use std::{collections::BTreeMap, fmt};

use rustdht_core::{
    Code, MAX_VALUE_BYTES, Refusal, Value,
    json::{self, Ints},
};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Levels of arrays and objects in a wrapped value: reading recurses, and stock editors nest far less.
const MAX_DEPTH: usize = 32;

/// JSON whose scalars keep their type, and in which links, blobs and bytes are values.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A scalar, link, blob, bytes or ciphertext.
    Value(Value),
    /// An array.
    List(Vec<Content>),
    /// An object, by the bytes of its keys.
    Map(BTreeMap<String, Content>),
}

fn bad(detail: &'static str) -> Refusal {
    Refusal::new(Code::BadValue, detail)
}

/// The keys of an object, each once.
struct Object(BTreeMap<String, Box<RawValue>>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut keys = BTreeMap::new();
                while let Some((key, raw)) = map.next_entry()? {
                    if keys.insert(key, raw).is_some() {
                        return Err(serde::de::Error::custom("a key stands twice"));
                    }
                }
                Ok(Object(keys))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

impl Content {
    /// Reads JSON. An object whose only key is `#`, `/` or `enc` is a link, a blob, bytes or ciphertext.
    ///
    /// # Errors
    /// `malformed` for broken JSON or a repeated key; `bad_value` as [`json::read`], or for more than 32 levels.
    pub fn read(raw: &RawValue) -> Result<Self, Refusal> {
        Self::read_level(raw, 0)
    }

    fn read_level(raw: &RawValue, depth: usize) -> Result<Self, Refusal> {
        if depth > MAX_DEPTH {
            return Err(bad("arrays and objects nest at most 32 levels deep"));
        }
        let broken = |error: serde_json::Error| Refusal::new(Code::Malformed, format!("not JSON: {error}"));
        let text = raw.get().trim_ascii_start();
        match text.as_bytes().first() {
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(broken)?;
                items
                    .into_iter()
                    .map(|item| Self::read_level(item, depth + 1))
                    .collect::<Result<_, _>>()
                    .map(Self::List)
            }
            Some(b'{') => {
                let Object(keys) = serde_json::from_str(text).map_err(broken)?;
                if keys.len() == 1 && keys.keys().all(|key| matches!(key.as_str(), "#" | "/" | "enc")) {
                    return json::read(raw).map(Self::Value);
                }
                let read = |(key, raw): (String, Box<RawValue>)| Ok((key, Self::read_level(&raw, depth + 1)?));
                keys.into_iter().map(read).collect::<Result<_, Refusal>>().map(Self::Map)
            }
            // A text may be longer than a value: it is split over several.
            Some(b'"') => {
                let text: String = serde_json::from_str(text).map_err(broken)?;
                Ok(Self::Value(Value::Text(text.into())))
            }
            _ => json::read(raw).map(Self::Value),
        }
    }

    /// Appends the JSON.
    pub fn write(&self, out: &mut String, ints: Ints) {
        match self {
            Self::Value(value) => json::write(out, value, ints),
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    item.write(out, ints);
                }
                out.push(']');
            }
            Self::Map(items) => {
                out.push('{');
                for (at, (key, item)) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    json::write_str(out, key);
                    out.push(':');
                    item.write(out, ints);
                }
                out.push('}');
            }
        }
    }

    /// The one value that this is, as an entry may hold it.
    ///
    /// # Errors
    /// `bad_value` for an array or an object; `too_large` above 64 KiB of DAG-CBOR.
    pub fn as_value(&self) -> Result<&Value, Refusal> {
        match self {
            // Only texts are read without a bound. In front of one stand three bytes.
            Self::Value(Value::Text(text)) if text.len() > MAX_VALUE_BYTES - 3 => {
                Err(Refusal::new(Code::TooLarge, "a value is at most 64 KiB of DAG-CBOR; add larger ones as a blob"))
            }
            Self::Value(value) => Ok(value),
            Self::List(_) | Self::Map(_) => Err(bad("an array or an object is not a value")),
        }
    }
}

impl From<Value> for Content {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Content, Code> {
        let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
        Content::read(&raw).map_err(|refusal| refusal.code)
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in [
            "[1,1.0,\"a\",null,[],{}]",
            "{\"a\":{\"#\":1,\"b\":2},\"\u{e9}\":[true]}",
            "[{\"#\":\"x\"},{\"/\":{\"bytes\":\"AQI\"}}]",
            "\"a\\u0000\"",
            "9007199254740993",
        ] {
            let mut printed = String::new();
            parse(text).unwrap().write(&mut printed, Ints::Numbers);
            assert_eq!(printed, text);
        }
        assert_eq!(parse(" [ 1 ] "), Ok(Content::List(vec![Value::Int(1).into()])));
        let mut printed = String::new();
        parse("[9007199254740993]").unwrap().write(&mut printed, Ints::Strings);
        assert_eq!(printed, "[\"9007199254740993\"]");
    }

    #[test]
    fn bounds() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(parse(&nested(MAX_DEPTH + 1)), Err(Code::BadValue));
        assert_eq!(parse("{\"a\":1,\"a\":2}"), Err(Code::Malformed));
        assert_eq!(parse("[{\"#\":\"\"}]"), Err(Code::BadValue));
        assert_eq!(parse("[1e999]"), Err(Code::BadValue));
        let long = parse(&format!("\"{}\"", "x".repeat(MAX_VALUE_BYTES - 2))).unwrap();
        assert_eq!(long.as_value().map_err(|refusal| refusal.code), Err(Code::TooLarge));
        let fits = parse(&format!("\"{}\"", "x".repeat(MAX_VALUE_BYTES - 3))).unwrap();
        assert_eq!(fits.as_value().unwrap().to_cbor().len(), MAX_VALUE_BYTES);
    }
}
