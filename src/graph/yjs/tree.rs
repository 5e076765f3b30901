//! Plain values of Yjs, as lib0's `any` or as JSON, in one comparable form.

use std::collections::BTreeMap;

use rustdht_core::{Refusal, Value};
use yrs::{Any, Array as _, GetString as _, Map as _, Out, ReadTxn, any::Number};

use super::{
    lib0::{Reader, malformed, write_buffer, write_int, write_uint},
    payload::MAX_DEPTH,
};
use crate::Content;

/// A plain value. Numbers that are equal are equal, however they were written; keys have no order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Undefined,
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Not a number; one, so that equal bytes compare equal.
    Nan,
    Text(Box<str>),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Map(BTreeMap<Box<str>, Tree>),
    /// A UTF-16 code unit of a text.
    Unit(u16),
    /// A nested shared type.
    Type(u8, Option<Box<str>>),
}

impl From<&str> for Tree {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// A float without fraction that an i64 holds is that integer.
fn number(value: f64) -> Tree {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= LIMIT {
        #[expect(clippy::cast_possible_truncation, reason = "integral, and at most 2^53")]
        return Tree::Int(value as i64);
    }
    if value.is_nan() { Tree::Nan } else { Tree::Float(value) }
}

/// Reads over one `any` and checks it.
pub(super) fn skip_any(reader: &mut Reader<'_>, depth: usize) -> Result<(), Refusal> {
    read_any(reader, depth, &mut |_| ()).map(|_| ())
}

/// The value of bytes that [`skip_any`] accepted.
pub(super) fn parse_any(bytes: &[u8]) -> Tree {
    let mut reader = Reader::new(bytes);
    read_tree(&mut reader).unwrap_or(Tree::Undefined)
}

fn read_tree(reader: &mut Reader<'_>) -> Result<Tree, Refusal> {
    let mut built = Tree::Undefined;
    read_any(reader, 0, &mut |tree| built = tree)?;
    Ok(built)
}

/// One reader for checking and for building: `keep` takes the value, and costs nothing when it drops it.
fn read_any(reader: &mut Reader<'_>, depth: usize, keep: &mut dyn FnMut(Tree)) -> Result<(), Refusal> {
    if depth > MAX_DEPTH {
        return Err(malformed("a Yjs update nests values too deeply"));
    }
    keep(match reader.byte()? {
        127 => Tree::Undefined,
        126 => Tree::Null,
        125 => Tree::Int(reader.int()?),
        124 => number(f64::from(f32::from_be_bytes(array(reader.take(4)?)))),
        123 => number(f64::from_be_bytes(array(reader.take(8)?))),
        122 => Tree::Int(i64::from_be_bytes(array(reader.take(8)?))),
        121 => Tree::Bool(false),
        120 => Tree::Bool(true),
        119 => Tree::from(reader.text()?),
        118 => {
            let count = reader.uint()?;
            let mut map = BTreeMap::new();
            for _ in 0..count {
                let key = reader.text()?;
                read_any(reader, depth + 1, &mut |tree| {
                    map.insert(key.into(), tree);
                })?;
            }
            Tree::Map(map)
        }
        117 => {
            let count = reader.uint()?;
            let mut list = Vec::new();
            for _ in 0..count {
                read_any(reader, depth + 1, &mut |tree| list.push(tree))?;
            }
            Tree::List(list)
        }
        116 => Tree::Bytes(reader.buffer()?.to_vec()),
        _ => return Err(malformed("a Yjs update holds a value of an unknown type")),
    });
    Ok(())
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or([0; N])
}

/// Reads a JSON text.
pub(super) fn parse_json(text: &str) -> Result<Tree, Refusal> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|_| malformed("a Yjs update holds JSON that does not parse"))?;
    from_json(&value, 0)
}

/// The value of an accepted JSON text, or of the word "undefined".
pub(super) fn parse_legacy(text: &str) -> Tree {
    parse_json(text).unwrap_or(Tree::Undefined)
}

fn from_json(value: &serde_json::Value, depth: usize) -> Result<Tree, Refusal> {
    if depth > MAX_DEPTH {
        return Err(malformed("a Yjs update nests values too deeply"));
    }
    Ok(match value {
        serde_json::Value::Null => Tree::Null,
        serde_json::Value::Bool(flag) => Tree::Bool(*flag),
        serde_json::Value::Number(value) => number(value.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Tree::from(text.as_str()),
        serde_json::Value::Array(list) => {
            Tree::List(list.iter().map(|value| from_json(value, depth + 1)).collect::<Result<_, _>>()?)
        }
        serde_json::Value::Object(map) => Tree::Map(
            map.iter()
                .map(|(key, value)| Ok((key.as_str().into(), from_json(value, depth + 1)?)))
                .collect::<Result<_, Refusal>>()?,
        ),
    })
}

/// The `any` of a text in a list of an old version.
pub(super) fn legacy_any(text: &str) -> Box<[u8]> {
    let mut out = Vec::new();
    parse_legacy(text).write_any(&mut out);
    out.into()
}

/// Integers up to this stand as such in `any`; greater ones are doubles, as in lib0.
const MAX_VARINT: i64 = 0x7fff_ffff;
/// Greatest integer that is a Yjs number.
const MAX_INT: i64 = 1 << 53;

impl Tree {
    /// Appends it as lib0's `any`, keys ascending.
    pub(super) fn write_any(&self, out: &mut Vec<u8>) {
        match self {
            Self::Undefined | Self::Unit(_) | Self::Type(..) => out.push(127),
            Self::Null => out.push(126),
            Self::Bool(flag) => out.push(if *flag { 120 } else { 121 }),
            Self::Int(value) if value.abs() <= MAX_VARINT => {
                out.push(125);
                write_int(out, *value);
            }
            Self::Int(value) if value.abs() <= MAX_INT => write_double(out, *value as f64),
            Self::Int(value) => {
                out.push(122);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Float(value) => write_double(out, *value),
            Self::Nan => write_double(out, f64::NAN),
            Self::Text(text) => {
                out.push(119);
                write_buffer(out, text.as_bytes());
            }
            Self::Bytes(bytes) => {
                out.push(116);
                write_buffer(out, bytes);
            }
            Self::List(list) => {
                out.push(117);
                write_uint(out, list.len() as u64);
                list.iter().for_each(|value| value.write_any(out));
            }
            Self::Map(map) => {
                out.push(118);
                write_uint(out, map.len() as u64);
                for (key, value) in map {
                    write_buffer(out, key.as_bytes());
                    value.write_any(out);
                }
            }
        }
    }

    /// What a document shows at a place. Nested text and XML show as strings.
    pub(super) fn of(out: &Out, txn: &impl ReadTxn) -> Self {
        match out {
            Out::Any(any) => Self::of_any(any),
            Out::YText(text) => Self::from(&*text.get_string(txn)),
            Out::YArray(array) => Self::List(array.iter(txn).map(|value| Self::of(&value, txn)).collect()),
            Out::YMap(map) => {
                Self::Map(map.iter(txn).map(|(key, value)| (key.into(), Self::of(&value, txn))).collect())
            }
            Out::YXmlElement(xml) => Self::from(&*xml.get_string(txn)),
            Out::YXmlFragment(xml) => Self::from(&*xml.get_string(txn)),
            Out::YXmlText(xml) => Self::from(&*xml.get_string(txn)),
            Out::YDoc(_) | Out::UndefinedRef(_) => Self::Null,
        }
    }

    fn of_any(any: &Any) -> Self {
        match any {
            Any::Undefined => Self::Undefined,
            Any::Null => Self::Null,
            Any::Bool(flag) => Self::Bool(*flag),
            Any::Number(Number::Int(value)) => Self::Int(*value),
            Any::Number(Number::Float(value)) => number(*value),
            Any::String(text) => Self::from(&**text),
            Any::Buffer(bytes) => Self::Bytes(bytes.to_vec()),
            Any::Array(list) => Self::List(list.iter().map(Self::of_any).collect()),
            Any::Map(map) => {
                Self::Map(map.iter().map(|(key, value)| (key.as_str().into(), Self::of_any(value))).collect())
            }
        }
    }

    /// As yrs takes it.
    pub(super) fn to_any(&self) -> Any {
        match self {
            Self::Undefined | Self::Unit(_) | Self::Type(..) => Any::Undefined,
            Self::Null => Any::Null,
            Self::Bool(flag) => Any::Bool(*flag),
            Self::Int(value) => Any::Number(Number::Int(*value)),
            Self::Float(value) => Any::Number(Number::Float(*value)),
            Self::Nan => Any::Number(Number::Float(f64::NAN)),
            Self::Text(text) => Any::String((&**text).into()),
            Self::Bytes(bytes) => Any::Buffer(bytes.as_slice().into()),
            Self::List(list) => Any::Array(list.iter().map(Self::to_any).collect()),
            Self::Map(map) => Any::Map(std::sync::Arc::new(
                map.iter().map(|(key, value)| (key.to_string(), value.to_any())).collect(),
            )),
        }
    }

    /// The plain value that a JSON body means: links and blobs are objects with one key, numbers Yjs numbers.
    ///
    /// # Errors
    /// `bad_value` for an integer beyond 2^53, ciphertext, or nesting beyond [`MAX_DEPTH`].
    pub(super) fn wanted(content: &Content) -> Result<Self, Refusal> {
        Self::wanted_at(content, 0)
    }

    fn wanted_at(content: &Content, depth: usize) -> Result<Self, Refusal> {
        if depth >= MAX_DEPTH {
            return Err(malformed("lists and maps nest at most 48 deep"));
        }
        let single = |key: &str, text: &str| Self::Map([(key.into(), Self::from(text))].into());
        Ok(match content {
            Content::Value(Value::Null) => Self::Null,
            Content::Value(Value::Bool(flag)) => Self::Bool(*flag),
            Content::Value(Value::Int(value)) if value.unsigned_abs() > MAX_INT.unsigned_abs() => {
                return Err(malformed("numbers in lists and maps are doubles: an integer beyond 2^53 does not fit"));
            }
            Content::Value(Value::Int(value)) => Self::Int(*value),
            Content::Value(Value::Float(value)) => number(*value),
            Content::Value(Value::Text(text)) => Self::from(&**text),
            Content::Value(Value::Bytes(bytes)) => Self::Bytes(bytes.to_vec()),
            Content::Value(Value::Link(soul)) => single("#", soul),
            Content::Value(Value::Blob(cid)) => single("/", &cid.to_string()),
            Content::Value(Value::Enc(_)) => return Err(malformed("lists and maps do not hold ciphertext")),
            Content::List(list) => {
                Self::List(list.iter().map(|value| Self::wanted_at(value, depth + 1)).collect::<Result<_, _>>()?)
            }
            Content::Map(map) => Self::Map(
                map.iter()
                    .map(|(key, value)| Ok((key.as_str().into(), Self::wanted_at(value, depth + 1)?)))
                    .collect::<Result<_, Refusal>>()?,
            ),
        })
    }

    /// As a view shows it; what JSON cannot say (undefined, not a number, infinite) is null.
    pub(super) fn into_content(self) -> Content {
        match self {
            Self::Undefined | Self::Null | Self::Nan | Self::Unit(_) | Self::Type(..) => Content::Value(Value::Null),
            Self::Bool(flag) => Content::Value(Value::Bool(flag)),
            Self::Int(value) => Content::Value(Value::Int(value)),
            Self::Float(value) if !value.is_finite() => Content::Value(Value::Null),
            Self::Float(value) => Content::Value(Value::Float(value)),
            Self::Text(text) => Content::Value(Value::from(&*text)),
            Self::Bytes(bytes) => Content::Value(Value::Bytes(bytes.into())),
            Self::List(list) => Content::List(list.into_iter().map(Self::into_content).collect()),
            Self::Map(map) => {
                Content::Map(map.into_iter().map(|(key, value)| (key.into_string(), value.into_content())).collect())
            }
        }
    }
}

/// Four bytes where they are enough, as lib0 does.
fn write_double(out: &mut Vec<u8>, value: f64) {
    #[expect(clippy::cast_possible_truncation, reason = "only taken where it loses nothing")]
    let short = value as f32;
    if f64::from(short) == value {
        out.push(124);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(123);
        out.extend_from_slice(&value.to_be_bytes());
    }
}
