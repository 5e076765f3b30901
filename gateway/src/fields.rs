//! The fields of a node in a JSON body, borrowed from it.
//!
//! Values stay raw text until they are read, so that `5` and `5.0` keep their types and nothing is parsed twice.

use std::{borrow::Cow, collections::HashSet, fmt};

use rustdht_core::Field;
use rustdht_node::{Wanted, read_wanted};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::problem::Problem;

/// A JSON object with its keys in the order in which they stand; a repeated key is an error.
#[derive(Debug)]
pub(crate) struct RawFields<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

/// A string that is borrowed when it holds no escape.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for RawFields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Object<'a> {
            type Value = RawFields<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of fields")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<RawFields<'a>, M::Error> {
                let mut fields = Vec::new();
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    fields.push((key, value));
                }
                match repeated(&fields) {
                    Some(key) => Err(M::Error::custom(format!("the key '{key}' stands twice"))),
                    None => Ok(RawFields(fields)),
                }
            }
        }
        deserializer.deserialize_map(Object(std::marker::PhantomData))
    }
}

fn repeated<'f>(fields: &'f [(Cow<'_, str>, &RawValue)]) -> Option<&'f str> {
    // Most nodes have few fields, for which a walk is faster than a table.
    const FEW: usize = 12;
    if fields.len() <= FEW {
        let mut before = fields.iter().enumerate();
        return before.find_map(|(at, (key, _))| fields[..at].iter().any(|(other, _)| other == key).then_some(&**key));
    }
    let mut seen = HashSet::with_capacity(fields.len());
    fields.iter().find_map(|(key, _)| (!seen.insert(&**key)).then_some(&**key))
}

impl RawFields<'_> {
    /// What is wanted of each field.
    ///
    /// # Errors
    /// `bad_field`, `bad_value` and `too_large`, blaming the field.
    pub(crate) fn read(&self) -> Result<Vec<(Field, Wanted)>, Problem> {
        self.0
            .iter()
            .map(|(key, raw)| {
                let field: Field = key.parse().map_err(|refusal| Problem::from(refusal).at(shortened(key)))?;
                let wanted = read_wanted(raw).map_err(|refusal| Problem::from(refusal.within(key)))?;
                Ok((field, wanted))
            })
            .collect()
    }
}

/// A key as a problem may repeat it: a hostile one must not make a large answer.
fn shortened(key: &str) -> String {
    key.chars().take(64).collect()
}

/// `malformed` with what the JSON parser says, which names line and column.
pub(crate) fn not_json(error: &serde_json::Error) -> Problem {
    Problem::malformed(format!("not the expected JSON: {error}"))
}

/// Reads the object of fields that PATCH and PUT take.
///
/// # Errors
/// As [`RawFields::read`], and `malformed` when it is no JSON object or repeats a key.
pub(crate) fn read_object(bytes: &[u8]) -> Result<Vec<(Field, Wanted)>, Problem> {
    serde_json::from_slice::<RawFields<'_>>(bytes).map_err(|error| not_json(&error))?.read()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustdht_core::Value;

    use super::*;

    fn code(text: &str) -> &'static str {
        read_object(text.as_bytes()).map_or_else(|problem| problem.code(), |_| "ok")
    }

    #[test]
    fn numbers_keep_their_types_and_keys_their_order() {
        let fields = read_object(b"{\"b\":5,\"a\":5.0,\"\\u0063\":{\"@set\":[1]},\"d\":null}").unwrap();
        let named: Vec<(&str, &Wanted)> = fields.iter().map(|(field, wanted)| (field.as_str(), wanted)).collect();
        assert_eq!(
            named,
            [
                ("b", &Wanted::Value(Value::Int(5))),
                ("a", &Wanted::Value(Value::Float(5.0))),
                ("c", &Wanted::set([Value::Int(1)])),
                ("d", &Wanted::Value(Value::Null)),
            ]
        );
    }

    #[test]
    fn each_kind_of_bad_body_has_its_code() {
        for malformed in [
            "",
            "{",
            "[]",
            "1",
            "{\"a\":NaN}",
            "{\"a\":1,}",
            "{\"a\":1} x",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "\u{0}",
        ] {
            assert_eq!(code(malformed), "malformed", "{malformed}");
        }
        assert_eq!(code("{\"a\":[1]}"), "bad_value");
        assert_eq!(code("{\"a\":{\"x\":1}}"), "bad_value");
        assert_eq!(code("{\"\":1}"), "bad_field");
        assert_eq!(code(&format!("{{\"{}\":1}}", "f".repeat(257))), "bad_field");
        assert_eq!(code(&format!("{{\"a\":\"{}\"}}", "x".repeat(65_536))), "too_large");
        let many: Vec<String> = (0..40).map(|n| format!("\"f{}\":1", n % 39)).collect();
        assert_eq!(code(&format!("{{{}}}", many.join(","))), "malformed");
        let problem = read_object(b"{\"a\":1,\"age\":[1]}").unwrap_err();
        assert_eq!(problem.field(), "age");
    }

    proptest! {
        #[test]
        fn mutated_bodies_never_panic(at in 0_usize..60, byte in any::<u8>()) {
            let mut body = b"{\"name\":\"Ada\",\"born\":1815,\"knows\":{\"@set\":[{\"#\":\"x\"}]}}".to_vec();
            let at = at % body.len();
            body[at] = byte;
            let _ = read_object(&body);
        }
    }
}
