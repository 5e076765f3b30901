//! What a schema may be, so that judging a node by it takes a bounded time.
//!
//! Two references in each of thirty definitions make 2^30 evaluations out of a kilobyte. So references are followed
//! here once: how many subschemas a schema is with all of them put in place is bounded, and a schema that contains
//! itself is refused.

use std::collections::HashMap;

use rustdht_core::{Code, Refusal};
use serde_json::Value;

/// Greatest size of a schema in bytes.
pub const MAX_SCHEMA_BYTES: usize = 64 * 1024;
/// Greatest nesting of a schema.
const MAX_DEPTH: usize = 32;
/// Objects and arrays of a schema with every reference in it put in place.
const MAX_EXPANDED: u32 = 10_000;
/// Longest chain of references.
const MAX_REFERENCES: usize = 64;

/// Keywords that lead to another place than a JSON pointer of this document says.
const ELSEWHERE: [&str; 6] = ["$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef", "$recursiveAnchor"];

fn refuse<T>(code: Code, detail: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(code, detail.into()).within("schema"))
}

/// Reads a schema.
///
/// # Errors
/// `too_large` above 64 KiB; `malformed` when it is not JSON; `bad_value` for one that refers to another document or to itself,
/// or is too deep or, with its references put in place, too large.
pub(super) fn read(json: &str) -> Result<Value, Refusal> {
    if json.len() > MAX_SCHEMA_BYTES {
        return refuse(Code::TooLarge, "a schema has at most 64 KiB");
    }
    let Ok(schema) = serde_json::from_str::<Value>(json) else {
        return refuse(Code::Malformed, "a schema is JSON");
    };
    if !schema.is_object() {
        return refuse(Code::BadValue, "a schema is a JSON object");
    }
    let mut walk = Walk { root: &schema, sizes: HashMap::new() };
    walk.size(&schema, 0, 0)?;
    Ok(schema)
}

struct Walk<'a> {
    root: &'a Value,
    /// How large what stands at an address is; `None`: it is being walked.
    sizes: HashMap<*const Value, Option<u32>>,
}

impl<'a> Walk<'a> {
    fn size(&mut self, value: &'a Value, depth: usize, references: usize) -> Result<u32, Refusal> {
        if depth > MAX_DEPTH {
            return refuse(Code::BadValue, format!("a schema is nested at most {MAX_DEPTH} deep"));
        }
        if !value.is_object() && !value.is_array() {
            return Ok(0);
        }
        match self.sizes.get(&std::ptr::from_ref(value)) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => return refuse(Code::BadValue, "a schema that contains itself is not taken here"),
            None => {}
        }
        self.sizes.insert(value, None);
        let mut size: u32 = 1;
        let mut add = |more: u32| {
            size = size.saturating_add(more);
            if size <= MAX_EXPANDED {
                return Ok(());
            }
            refuse(Code::BadValue, format!("with its references in place a schema has at most {MAX_EXPANDED} parts"))
        };
        match value {
            Value::Array(items) => {
                for item in items {
                    add(self.size(item, depth + 1, references)?)?;
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    if ELSEWHERE.contains(&name.as_str()) && !member.is_object() {
                        return refuse(Code::BadValue, format!("'{name}' is not taken here: refer by '#/...'"));
                    }
                    if let ("$ref", Value::String(target)) = (name.as_str(), member) {
                        let target = self.target(target)?;
                        if references >= MAX_REFERENCES {
                            return refuse(Code::BadValue, "too many references one behind the other");
                        }
                        // The depth begins anew: it is what the text has, not what it becomes.
                        add(self.size(target, 0, references + 1)?)?;
                    } else {
                        add(self.size(member, depth + 1, references)?)?;
                    }
                }
            }
            _ => {}
        }
        self.sizes.insert(value, Some(size));
        Ok(size)
    }

    fn target(&self, reference: &str) -> Result<&'a Value, Refusal> {
        let pointer = reference.strip_prefix('#').filter(|pointer| !pointer.contains('%'));
        let target = pointer.and_then(|pointer| self.root.pointer(pointer));
        match target {
            Some(target) => Ok(target),
            None => refuse(Code::BadValue, format!("'$ref' leads inside the schema, as '#/$defs/...': {reference:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(json: &str) -> Option<Code> {
        read(json).err().map(|refusal| refusal.code)
    }

    #[test]
    fn shapes() {
        assert_eq!(code(r##"{"$defs":{"a":{"type":"string"}},"properties":{"x":{"$ref":"#/$defs/a"}}}"##), None);
        assert_eq!(code("{"), Some(Code::Malformed));
        assert_eq!(code("true"), Some(Code::BadValue));
        assert_eq!(code(&format!("{{\"title\":\"{}\"}}", "x".repeat(MAX_SCHEMA_BYTES))), Some(Code::TooLarge));
        for json in [
            r##"{"$ref":"https://example.org/a"}"##,
            r##"{"$ref":"file:///etc/passwd"}"##,
            r##"{"$ref":"#/$defs/none"}"##,
            r##"{"properties":{"a":{"$id":"https://example.org/a"}}}"##,
            r##"{"$anchor":"a"}"##,
            r##"{"$dynamicRef":"#a"}"##,
            r##"{"properties":{"a":{"$ref":"#"}}}"##,
            r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}"##,
        ] {
            assert_eq!(code(json), Some(Code::BadValue), "{json}");
        }
        // A field of that name is none of these keywords.
        assert_eq!(code(r#"{"properties":{"$id":{"type":"string"},"$ref":{"type":"string"}}}"#), None);
    }

    #[test]
    fn what_grows_with_its_references_is_refused() {
        let doubling = |levels: usize| {
            let defs: Vec<String> = (0..levels)
                .map(|at| {
                    let next = at + 1;
                    format!(
                        "\"d{at}\":{{\"allOf\":[{{\"$ref\":\"#/$defs/d{next}\"}},{{\"$ref\":\"#/$defs/d{next}\"}}]}}"
                    )
                })
                .collect();
            let last = format!("\"d{levels}\":{{\"type\":\"string\"}}");
            format!("{{\"$ref\":\"#/$defs/d0\",\"$defs\":{{{},{last}}}}}", defs.join(","))
        };
        assert_eq!(code(&doubling(4)), None);
        assert_eq!(code(&doubling(30)), Some(Code::BadValue));
        let chain = |levels: usize| {
            let defs: Vec<String> =
                (0..levels).map(|at| format!("\"d{at}\":{{\"$ref\":\"#/$defs/d{}\"}}", at + 1)).collect();
            format!("{{\"$ref\":\"#/$defs/d0\",\"$defs\":{{{},\"d{levels}\":{{}}}}}}", defs.join(","))
        };
        assert_eq!(code(&chain(20)), None);
        assert_eq!(code(&chain(500)), Some(Code::BadValue));
        let deep = |levels: usize| format!("{}{{}}{}", "{\"not\":".repeat(levels), "}".repeat(levels));
        assert_eq!(code(&deep(MAX_DEPTH)), None);
        assert_eq!(code(&deep(MAX_DEPTH + 1)), Some(Code::BadValue));
    }
}
