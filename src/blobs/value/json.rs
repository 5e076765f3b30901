//! DAG-JSON (ipld.io/specs/codecs/dag-json) and JSON.

use std::fmt;

use cid::Cid;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Budget, Value};

/// The key that a link or bytes stand under, alone in their map.
const RESERVED: &str = "/";

/// Reads a block; `{"/": "<CID>"}` is a link when `links` is set. Depth is bounded by serde_json, to 128.
pub(super) fn read(block: &[u8], links: bool) -> Result<Value, String> {
    let mut reader = serde_json::Deserializer::from_slice(block);
    let mut budget = Budget::new();
    let value = Read { links, budget: &mut budget }.deserialize(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(value)
}

struct Read<'b> {
    links: bool,
    budget: &'b mut Budget,
}

impl Read<'_> {
    const fn again(&mut self) -> Read<'_> {
        Read { links: self.links, budget: self.budget }
    }

    /// What stands under the reserved key, and nothing beside it.
    fn reserved<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<Value, A::Error> {
        let value = map.next_value_seed(Slash(self.again()))?;
        if map.next_key::<IgnoredAny>()?.is_some() {
            return Err(A::Error::custom("a map with the reserved key \"/\" beside others"));
        }
        Ok(value)
    }
}

impl<'de> DeserializeSeed<'de> for Read<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        self.budget.take().map_err(D::Error::custom)?;
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Read<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self.again())? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if self.links && key == RESERVED && entries.is_empty() {
                return self.reserved(&mut map);
            }
            entries.push((key, map.next_value_seed(self.again())?));
        }
        Ok(Value::Map(entries))
    }
}

/// What may stand under the reserved key: the text of a CID, or `{"bytes": "..."}`.
struct Slash<'b>(Read<'b>);

impl<'de> DeserializeSeed<'de> for Slash<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Slash<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CID or bytes under the reserved key \"/\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        let cid = Cid::try_from(text).map_err(|_| E::custom("a link that holds no CID"))?;
        Ok(Value::Link(Box::new(cid)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        // A DAG-JSON map cannot hold the reserved key, so these are bytes; what they are does not matter.
        self.0.visit_map(map).map(|_| Value::Scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_value_says_why() {
        let deep = "[".repeat(200);
        let wide = format!("[{}0]", "0,".repeat(1 << 18));
        for (text, why) in [
            ("", "EOF"),
            ("{} {}", "trailing characters"),
            (r#"{"/":"x"}"#, "a link that holds no CID"),
            (r#"{"/":5}"#, "a CID or bytes"),
            (r#"{"/":"bafkqaaa","a":1}"#, "beside others"),
            (deep.as_str(), "recursion limit"),
            (wide.as_str(), "more than 262,144 items"),
        ] {
            let error = read(text.as_bytes(), true).unwrap_err();
            assert!(error.contains(why), "{text:.40}: {error}");
        }
        assert_eq!(read(br#"{"/":{"bytes":"AA"}}"#, true), Ok(Value::Scalar));
        assert_eq!(read(br#"[1.5,-1,null,true,"x"]"#, true), Ok(Value::List(vec![Value::Scalar; 5])));
    }
}
