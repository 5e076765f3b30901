//! Operations in JSON.

use std::borrow::Cow;

use rustdht_core::{Code, Kind, Refusal, Value};
use rustdht_node::{Action, Content, Op, Wanted, read_wanted};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{fields, limits, problem::Problem};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    ops: Vec<RawOp<'a>>,
}

/// One operation. Members stay raw, so that a mistake in one is blamed on it and not on the whole body.
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
    #[serde(borrow, default, deserialize_with = "present")]
    erase: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    index: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    delete: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    key: Option<&'a RawValue>,
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
    Ok(Op {
        action: raw.action()?,
        soul: raw.soul.parse().map_err(|refusal: Refusal| refusal.within("soul"))?,
        field: raw.field.parse().map_err(|refusal: Refusal| refusal.within("field"))?,
    })
}

fn bad(code: Code, member: &str, detail: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(code, detail).within(member)
}

/// What a member holds, or that it is of another type.
fn read_as<'a, T: Deserialize<'a>>(raw: &'a RawValue, member: &str, what: &'static str) -> Result<T, Refusal> {
    serde_json::from_str(raw.get()).map_err(|_| bad(Code::BadValue, member, what))
}

impl<'a> RawOp<'a> {
    fn action(&self) -> Result<Action, Refusal> {
        let takes: &[&str] = match (&*self.op, self.kind.is_some()) {
            ("set", false) | ("add" | "increment", _) => &["value"],
            ("remove", false) => &["value"],
            ("delete", _) => &["erase"],
            ("enable" | "disable", _) => &[],
            ("insert", _) => &["kind", "index", "value"],
            ("splice", _) => &["kind", "index", "delete", "value"],
            ("set", true) => &["kind", "key", "value"],
            ("remove", true) => &["kind", "key"],
            _ => {
                let detail = "op is set, delete, add, remove, increment, enable, disable, insert or splice";
                return Err(bad(Code::Malformed, "op", detail));
            }
        };
        self.only(takes)?;
        Ok(match (&*self.op, self.kind.is_some()) {
            ("set", false) => Action::Set(self.wanted()?),
            ("set", true) => {
                Action::SetKey { kind: self.kind_of(&[Kind::MAP])?, key: self.map_key()?, value: self.content()? }
            }
            ("remove", true) => Action::RemoveKey { kind: self.kind_of(&[Kind::MAP])?, key: self.map_key()? },
            ("add", _) => Action::Add(self.element()?),
            ("remove", false) => Action::Remove(self.element()?),
            ("increment", _) => Action::Increment(self.integer()?),
            ("enable", _) => Action::Enable,
            ("disable", _) => Action::Disable,
            ("insert", _) => {
                let kind = self.kind_of(&[Kind::TEXT, Kind::LIST])?;
                let value = self.content()?;
                self.fits(&kind, &value, false)?;
                Action::Insert { index: self.number("index", self.index)?, kind, value }
            }
            ("splice", _) => {
                let kind = self.kind_of(&[Kind::TEXT, Kind::LIST])?;
                let value = self.value.is_some().then(|| self.content()).transpose()?;
                if let Some(value) = &value {
                    self.fits(&kind, value, true)?;
                }
                let (index, delete) = (self.number("index", self.index)?, self.number("delete", self.delete)?);
                Action::Splice { kind, index, delete, value }
            }
            _ => {
                let erase = self.erase.map(|raw| read_as(raw, "erase", "erase is true or false")).transpose()?;
                Action::Delete { erase: erase.unwrap_or(false) }
            }
        })
    }

    /// Members of other operations are refused: whoever wrote them meant something.
    fn only(&self, takes: &[&str]) -> Result<(), Refusal> {
        let members = [
            ("value", self.value),
            ("erase", self.erase),
            ("kind", self.kind),
            ("index", self.index),
            ("delete", self.delete),
            ("key", self.key),
        ];
        match members.iter().find(|(name, raw)| raw.is_some() && !takes.contains(name)) {
            Some((name, _)) => Err(bad(Code::Malformed, name, format!("'{name}' does not go with op '{}'", self.op))),
            None => Ok(()),
        }
    }

    fn given(&self, member: &str, raw: Option<&'a RawValue>) -> Result<&'a RawValue, Refusal> {
        raw.ok_or_else(|| bad(Code::Malformed, member, format!("{} takes '{member}'", self.op)))
    }

    fn wanted(&self) -> Result<Wanted, Refusal> {
        read_wanted(self.given("value", self.value)?).map_err(|refusal| refusal.within("value"))
    }

    fn content(&self) -> Result<Content, Refusal> {
        Content::read(self.given("value", self.value)?).map_err(|refusal| refusal.within("value"))
    }

    fn element(&self) -> Result<Value, Refusal> {
        match self.wanted()? {
            Wanted::Value(Value::Null) => Err(bad(Code::BadValue, "value", "null cannot be an element of a set")),
            Wanted::Value(value) => Ok(value),
            Wanted::Wrapped { .. } => {
                Err(bad(Code::BadValue, "value", "add and remove take one element; set takes a whole set"))
            }
        }
    }

    /// An integer, or its decimal text: what `?ints=string` prints can be sent back.
    fn integer(&self) -> Result<i64, Refusal> {
        let text = self.given("value", self.value)?.get();
        let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let plain = digits.strip_prefix('-').unwrap_or(digits);
        if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad(Code::BadValue, "value", "increment takes an integer"));
        }
        digits.parse().map_err(|_| bad(Code::BadValue, "value", "an integer outside the 64-bit range"))
    }

    fn number(&self, member: &str, raw: Option<&'a RawValue>) -> Result<u64, Refusal> {
        read_as(self.given(member, raw)?, member, "a position or length is an integer from 0 on")
    }

    fn kind_of(&self, kinds: &[&'static str]) -> Result<Kind, Refusal> {
        let name: Cow<'_, str> = read_as(self.given("kind", self.kind)?, "kind", "a kind is a text")?;
        kinds.iter().find(|kind| ***kind == *name).map(|kind| Kind::listed(kind)).ok_or_else(|| {
            bad(Code::BadKind, "kind", format!("{} works on kind {} only", self.op, kinds.join(" and ")))
        })
    }

    fn map_key(&self) -> Result<String, Refusal> {
        read_as(self.given("key", self.key)?, "key", "the key of a map is a text")
    }

    /// A text takes text; a list takes one element, or an array of them where `several` are meant.
    fn fits(&self, kind: &Kind, value: &Content, several: bool) -> Result<(), Refusal> {
        let text = matches!(value, Content::Value(Value::Text(_)));
        match (kind.as_str() == Kind::TEXT, several) {
            (true, _) if !text => Err(bad(Code::BadValue, "value", "what goes into a text is a text")),
            (false, true) if !matches!(value, Content::List(_)) => {
                Err(bad(Code::BadValue, "value", "splice takes an array of elements; insert takes one"))
            }
            _ => Ok(()),
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

    fn actions(ops: &str) -> Vec<Action> {
        read(format!("{{\"ops\":[{ops}]}}").as_bytes()).unwrap().into_iter().map(|op| op.action).collect()
    }

    #[test]
    fn registers_and_sets() {
        assert_eq!(
            actions(
                r##"{"op":"set","soul":"a","field":"x","value":5.0},
                    {"op":"set","soul":"a","field":"y","value":null},
                    {"op":"set","soul":"a","field":"y","value":{"@set":[1]}},
                    {"op":"delete","soul":"a","field":"z","erase":true},
                    {"op":"delete","soul":"a","field":"z"},
                    {"op":"add","soul":"b","field":"s","value":{"#":"c"}},
                    {"op":"remove","soul":"b","field":"s","value":"d"}"##
            ),
            [
                Action::Set(Wanted::Value(Value::Float(5.0))),
                Action::Set(Wanted::Value(Value::Null)),
                Action::Set(Wanted::set([Value::Int(1)])),
                Action::Delete { erase: true },
                Action::Delete { erase: false },
                Action::Add(Value::Link("c".parse().unwrap())),
                Action::Remove(Value::from("d")),
            ]
        );
    }

    #[test]
    fn counters_flags_texts_lists_and_maps() {
        let (text, list, map) = (Kind::listed(Kind::TEXT), Kind::listed(Kind::LIST), Kind::listed(Kind::MAP));
        let int = |number| Content::Value(Value::Int(number));
        assert_eq!(
            actions(
                r#"{"op":"increment","soul":"a","field":"n","value":-3},
                   {"op":"increment","soul":"a","field":"n","value":"9007199254740993"},
                   {"op":"enable","soul":"a","field":"f"},
                   {"op":"disable","soul":"a","field":"f"},
                   {"op":"insert","soul":"a","field":"t","kind":"text","index":2,"value":"hé"},
                   {"op":"insert","soul":"a","field":"l","kind":"list","index":0,"value":[1]},
                   {"op":"splice","soul":"a","field":"l","kind":"list","index":1,"delete":2,"value":[1,2]},
                   {"op":"splice","soul":"a","field":"t","kind":"text","index":1,"delete":2},
                   {"op":"set","soul":"a","field":"m","kind":"map","key":"k","value":{"x":1}},
                   {"op":"remove","soul":"a","field":"m","kind":"map","key":"k"}"#
            ),
            [
                Action::Increment(-3),
                Action::Increment(9_007_199_254_740_993),
                Action::Enable,
                Action::Disable,
                Action::Insert { kind: text.clone(), index: 2, value: Value::from("hé").into() },
                Action::Insert { kind: list.clone(), index: 0, value: Content::List(vec![int(1)]) },
                Action::Splice { kind: list, index: 1, delete: 2, value: Some(Content::List(vec![int(1), int(2)])) },
                Action::Splice { kind: text, index: 1, delete: 2, value: None },
                Action::SetKey {
                    kind: map.clone(),
                    key: "k".into(),
                    value: Content::Map([("x".to_owned(), int(1))].into())
                },
                Action::RemoveKey { kind: map, key: "k".into() },
            ]
        );
    }

    #[test]
    fn each_mistake_is_named() {
        let op = |rest: &str| format!(r#"{{"soul":"a","field":"x","op":{rest}}}"#);
        for (rest, code, field) in [
            (r#""set""#, "malformed", "ops.0.value"),
            (r#""set","value":[1]"#, "bad_value", "ops.0.value"),
            (r#""set","value":1,"erase":true"#, "malformed", "ops.0.erase"),
            (r#""add","value":null"#, "bad_value", "ops.0.value"),
            (r#""add","value":{"@set":[1]}"#, "bad_value", "ops.0.value"),
            (r#""delete","value":1"#, "malformed", "ops.0.value"),
            (r#""delete","erase":1"#, "bad_value", "ops.0.erase"),
            (r#""increment""#, "malformed", "ops.0.value"),
            (r#""increment","value":1.0"#, "bad_value", "ops.0.value"),
            (r#""increment","value":"+1""#, "bad_value", "ops.0.value"),
            (r#""increment","value":"""#, "bad_value", "ops.0.value"),
            (r#""increment","value":true"#, "bad_value", "ops.0.value"),
            (r#""increment","value":9223372036854775808"#, "bad_value", "ops.0.value"),
            (r#""enable","value":true"#, "malformed", "ops.0.value"),
            (r#""insert","index":0,"value":"x""#, "malformed", "ops.0.kind"),
            (r#""insert","kind":"map","index":0,"value":"x""#, "bad_kind", "ops.0.kind"),
            (r#""insert","kind":1,"index":0,"value":"x""#, "bad_value", "ops.0.kind"),
            (r#""insert","kind":"text","value":"x""#, "malformed", "ops.0.index"),
            (r#""insert","kind":"text","index":-1,"value":"x""#, "bad_value", "ops.0.index"),
            (r#""insert","kind":"text","index":1.5,"value":"x""#, "bad_value", "ops.0.index"),
            (r#""insert","kind":"text","index":0,"value":1"#, "bad_value", "ops.0.value"),
            (r#""insert","kind":"text","index":0,"value":"x","delete":1"#, "malformed", "ops.0.delete"),
            (r#""splice","kind":"list","index":0,"delete":0,"value":1"#, "bad_value", "ops.0.value"),
            (r#""splice","kind":"list","index":0,"value":[1]"#, "malformed", "ops.0.delete"),
            (r#""set","kind":"map","value":1"#, "malformed", "ops.0.key"),
            (r#""set","kind":"map","key":1,"value":1"#, "bad_value", "ops.0.key"),
            (r#""set","kind":"text","key":"k","value":1"#, "bad_kind", "ops.0.kind"),
            (r#""set","key":"k","value":1"#, "malformed", "ops.0.key"),
            (r#""remove","kind":"map","key":"k","value":1"#, "malformed", "ops.0.value"),
            (r#""frob""#, "malformed", "ops.0.op"),
            (r#""set","value":1,"who":2"#, "malformed", ""),
        ] {
            assert_eq!(refused(&op(rest)), (code, field.to_owned()), "{rest}");
        }
        for (op, code, field) in [
            (r#"{"op":"set","soul":"","field":"x","value":1}"#, "bad_soul", "ops.0.soul"),
            (r#"{"op":"set","soul":"a","field":"","value":1}"#, "bad_field", "ops.0.field"),
            (r#"{"op":"set","soul":"a"}"#, "malformed", ""),
        ] {
            assert_eq!(refused(op), (code, field.to_owned()), "{op}");
        }
        assert_eq!(read(b"{\"ops\":[]}").unwrap_err().code(), "malformed");
        let many = format!("{{\"ops\":[{}]}}", vec![op("\"enable\""); 1025].join(","));
        assert_eq!(read(many.as_bytes()).unwrap_err().code(), "too_many_operations");
    }

    proptest! {
        #[test]
        fn mutated_bodies_never_panic(body in 0..3_usize, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let bodies: [&[u8]; 3] = [
                br#"{"ops":[{"op":"set","soul":"a","field":"x","value":{"@set":[1]}}]}"#,
                br#"{"ops":[{"op":"splice","soul":"a","field":"x","kind":"list","index":1,"delete":2,"value":[1,{"a":"b"}]}]}"#,
                br#"{"ops":[{"op":"increment","soul":"a","field":"x","value":"-12"},{"op":"set","soul":"a","field":"m","kind":"map","key":"k","value":null}]}"#,
            ];
            let mut body = bodies[body].to_vec();
            let at = at.index(body.len());
            body[at] = byte;
            let _ = read(&body);
        }
    }
}
