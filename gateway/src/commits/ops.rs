//! Operations in JSON.

use std::borrow::Cow;

use rustdht_core::{Code, Refusal, Value};
use rustdht_node::{Action, Op, Wanted, read_wanted};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{fields, limits, problem::Problem};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    ops: Vec<RawOp<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOp<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    soul: Cow<'a, str>,
    #[serde(borrow)]
    field: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    erase: Option<bool>,
    // Members of operations on texts, lists and maps, which are refused by name rather than as unknown.
    kind: Option<IgnoredAny>,
    index: Option<IgnoredAny>,
    delete: Option<IgnoredAny>,
    key: Option<IgnoredAny>,
}

/// A member that stands there, null included: `Option` alone would read null as absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads the body of `POST /api/v1/commits`.
///
/// # Errors
/// `malformed`, `too_many_operations`, and whatever is wrong with one operation, blamed as `ops.3.value`.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Op>, Problem> {
    let body: Body<'_> = serde_json::from_slice(bytes).map_err(|error| fields::not_json(&error))?;
    if body.ops.len() > limits::MAX_OPERATIONS {
        let detail = format!("a commit has at most {} operations", limits::MAX_OPERATIONS);
        return Err(Refusal::new(Code::TooManyOperations, detail).into());
    }
    if body.ops.is_empty() {
        return Err(Problem::malformed("a commit has at least one operation").at("ops"));
    }
    body.ops
        .iter()
        .enumerate()
        .map(|(at, raw)| operation(raw).map_err(|refusal| refusal.within(&format!("ops.{at}")).into()))
        .collect()
}

fn operation(raw: &RawOp<'_>) -> Result<Op, Refusal> {
    let action = action(raw)?;
    if raw.erase.is_some() && !matches!(action, Action::Delete { .. }) {
        return Err(Refusal::new(Code::Malformed, "'erase' goes with delete only").within("erase"));
    }
    Ok(Op {
        soul: raw.soul.parse().map_err(|refusal: Refusal| refusal.within("soul"))?,
        field: raw.field.parse().map_err(|refusal: Refusal| refusal.within("field"))?,
        action,
    })
}

fn action(raw: &RawOp<'_>) -> Result<Action, Refusal> {
    let of_yjs = raw.kind.is_some() || raw.index.is_some() || raw.delete.is_some() || raw.key.is_some();
    if of_yjs || matches!(&*raw.op, "increment" | "enable" | "disable" | "insert" | "splice") {
        let detail =
            "operations on counters, flags, texts, lists and maps are not built yet: use set, delete, add, remove";
        return Err(Refusal::new(Code::BadKind, detail).within("op"));
    }
    match &*raw.op {
        "set" => value(raw).map(Action::Set),
        "add" => element(raw).map(Action::Add),
        "remove" => element(raw).map(Action::Remove),
        "delete" if raw.value.is_some() => {
            Err(Refusal::new(Code::Malformed, "delete takes no value; remove takes one out of a set").within("value"))
        }
        "delete" => Ok(Action::Delete { erase: raw.erase.unwrap_or(false) }),
        _ => Err(Refusal::new(Code::Malformed, "op is set, delete, add or remove").within("op")),
    }
}

fn value(raw: &RawOp<'_>) -> Result<Wanted, Refusal> {
    let missing = || Refusal::new(Code::Malformed, format!("{} takes a value", raw.op));
    raw.value.ok_or_else(missing).and_then(read_wanted).map_err(|refusal| refusal.within("value"))
}

fn element(raw: &RawOp<'_>) -> Result<Value, Refusal> {
    match value(raw)? {
        Wanted::Value(Value::Null) => {
            Err(Refusal::new(Code::BadValue, "null cannot be an element of a set").within("value"))
        }
        Wanted::Value(value) => Ok(value),
        Wanted::Set(_) => {
            Err(Refusal::new(Code::BadValue, "add and remove take one element; set takes a whole set").within("value"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(op: &str) -> (&'static str, String) {
        let problem = read(format!("{{\"ops\":[{op}]}}").as_bytes()).unwrap_err();
        (problem.code(), problem.field().to_owned())
    }

    #[test]
    fn the_four_operations() {
        let ops = read(
            br##"{"ops":[
                {"op":"set","soul":"a","field":"x","value":5.0},
                {"op":"set","soul":"a","field":"y","value":null},
                {"op":"delete","soul":"a","field":"z","erase":true},
                {"op":"add","soul":"b","field":"s","value":{"#":"c"}},
                {"op":"remove","soul":"b","field":"s","value":"d"}
            ]}"##,
        )
        .unwrap();
        let actions: Vec<&Action> = ops.iter().map(|op| &op.action).collect();
        assert_eq!(
            actions,
            [
                &Action::Set(Wanted::Value(Value::Float(5.0))),
                &Action::Set(Wanted::Value(Value::Null)),
                &Action::Delete { erase: true },
                &Action::Add(Value::Link("c".parse().unwrap())),
                &Action::Remove(Value::from("d")),
            ]
        );
    }

    #[test]
    fn each_mistake_is_named() {
        for (op, code, field) in [
            (r#"{"op":"set","soul":"a","field":"x"}"#, "malformed", "ops.0.value"),
            (r#"{"op":"set","soul":"a","field":"x","value":[1]}"#, "bad_value", "ops.0.value"),
            (r#"{"op":"set","soul":"","field":"x","value":1}"#, "bad_soul", "ops.0.soul"),
            (r#"{"op":"set","soul":"a","field":"","value":1}"#, "bad_field", "ops.0.field"),
            (r#"{"op":"set","soul":"a","field":"x","value":1,"erase":true}"#, "malformed", "ops.0.erase"),
            (r#"{"op":"add","soul":"a","field":"x","value":null}"#, "bad_value", "ops.0.value"),
            (r#"{"op":"add","soul":"a","field":"x","value":{"@set":[1]}}"#, "bad_value", "ops.0.value"),
            (r#"{"op":"delete","soul":"a","field":"x","value":1}"#, "malformed", "ops.0.value"),
            (r#"{"op":"increment","soul":"a","field":"x","value":1}"#, "bad_kind", "ops.0.op"),
            (r#"{"op":"set","soul":"a","field":"x","kind":"map","key":"k","value":1}"#, "bad_kind", "ops.0.op"),
            (r#"{"op":"frob","soul":"a","field":"x"}"#, "malformed", "ops.0.op"),
            (r#"{"op":"set","soul":"a","field":"x","value":1,"who":2}"#, "malformed", ""),
            (r#"{"op":"set","soul":"a"}"#, "malformed", ""),
        ] {
            assert_eq!(refused(op), (code, field.to_owned()), "{op}");
        }
        assert_eq!(read(b"{\"ops\":[]}").unwrap_err().code(), "malformed");
        let op = r#"{"op":"delete","soul":"a","field":"x"}"#;
        let many = format!("{{\"ops\":[{}]}}", vec![op; 1025].join(","));
        assert_eq!(read(many.as_bytes()).unwrap_err().code(), "too_many_operations");
    }

    proptest! {
        #[test]
        fn mutated_bodies_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut body = br#"{"ops":[{"op":"set","soul":"a","field":"x","value":{"@set":[1]}}]}"#.to_vec();
            let at = at.index(body.len());
            body[at] = byte;
            let _ = read(&body);
        }
    }
}
