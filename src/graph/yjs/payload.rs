//! What an item carries.

use std::ops::Range;

use rustdht_core::Refusal;

use super::{
    lib0::{Reader, malformed, write_buffer, write_uint},
    tree::{self, Tree},
};

/// Deepest nesting of plain values; a decoder recurses, and stock documents stay far below.
pub(super) const MAX_DEPTH: usize = 48;

/// References of content types on the wire (Yjs `contentRefs`).
pub(super) mod reference {
    pub(crate) const GC: u8 = 0;
    pub(crate) const DELETED: u8 = 1;
    pub(crate) const JSON: u8 = 2;
    pub(crate) const BINARY: u8 = 3;
    pub(crate) const STRING: u8 = 4;
    pub(crate) const EMBED: u8 = 5;
    pub(crate) const FORMAT: u8 = 6;
    pub(crate) const TYPE: u8 = 7;
    pub(crate) const ANY: u8 = 8;
    pub(crate) const SKIP: u8 = 10;

    /// Of nested types.
    pub(crate) const LIST: u8 = 0;
    pub(crate) const XML_ELEMENT: u8 = 3;
    pub(crate) const XML_FRAGMENT: u8 = 4;
}

/// A nested shared type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TypeRef {
    /// 0 array, 1 map, 2 text, 3 XML element, 4 XML fragment, 6 XML text. XML hooks (5) are refused: yrs
    /// does not read their names.
    reference: u8,
    /// Node name of an element.
    name: Option<Box<str>>,
}

impl TypeRef {
    pub(super) const fn reference(&self) -> u8 {
        self.reference
    }
}

/// The content of an item. Subdocuments, moves and weak links are refused: this gateway cannot keep their promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// Deleted, and forgotten.
    Deleted(u32),
    /// The content of lists of old versions: JSON texts, or "undefined".
    Json(Vec<Box<str>>),
    /// Bytes.
    Binary(Box<[u8]>),
    /// Text; its length counts UTF-16 code units.
    String(Box<str>),
    /// A JSON text that counts as one character.
    Embed(Box<str>),
    /// A mark: key and JSON text.
    Format(Box<str>, Box<str>),
    /// A nested shared type.
    Type(TypeRef),
    /// Plain values, each as lib0's `any`.
    Any(Vec<Box<[u8]>>),
}

#[cfg(test)]
impl Payload {
    /// A nested shared type by its reference.
    pub(super) fn nested(reference: u8) -> Self {
        Self::Type(TypeRef { reference, name: (reference == 3).then(|| "p".into()) })
    }
}

/// Bytes that are counted at a time, so that a sum of two each fits into a byte.
const BLOCK: usize = 64;

/// UTF-16 code units whose characters begin in these bytes of UTF-8. Updates that overlap cut long strings in many
/// places: this is what each cut costs, so it goes by blocks.
fn units(block: &[u8]) -> usize {
    let begins = |byte: &u8| u8::from(*byte & 0xc0 != 0x80) + u8::from(*byte >= 0xf0);
    usize::from(block.iter().map(begins).sum::<u8>())
}

pub(super) fn utf16_len(text: &str) -> usize {
    text.as_bytes().chunks(BLOCK).map(units).sum()
}

fn json_text(text: &str) -> Result<Box<str>, Refusal> {
    tree::parse_json(text).map(|_| text.into())
}

impl Payload {
    pub(super) fn decode(reader: &mut Reader<'_>, kind: u8) -> Result<Self, Refusal> {
        Ok(match kind {
            reference::DELETED => Self::Deleted(reader.uint32()?),
            reference::JSON => {
                let count = reader.uint()?;
                let mut texts = Vec::new();
                for _ in 0..count {
                    let text = reader.text()?;
                    texts.push(if text == "undefined" { text.into() } else { json_text(text)? });
                }
                Self::Json(texts)
            }
            reference::BINARY => Self::Binary(reader.buffer()?.into()),
            reference::STRING => Self::String(reader.text()?.into()),
            reference::EMBED => Self::Embed(json_text(reader.text()?)?),
            reference::FORMAT => Self::Format(reader.text()?.into(), json_text(reader.text()?)?),
            reference::TYPE => {
                let reference = u8::try_from(reader.uint()?).unwrap_or(u8::MAX);
                let name = match reference {
                    3 => Some(reader.text()?.into()),
                    0..=2 | 4 | 6 => None,
                    _ => return Err(malformed("a Yjs update holds a shared type that is not known here")),
                };
                Self::Type(TypeRef { reference, name })
            }
            reference::ANY => {
                let count = reader.uint()?;
                let mut values = Vec::new();
                for _ in 0..count {
                    let before = reader.rest();
                    tree::skip_any(reader, 0)?;
                    values.push(before[..before.len() - reader.rest().len()].into());
                }
                Self::Any(values)
            }
            _ => return Err(malformed("a Yjs update holds a content type that is not supported here")),
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Deleted(len) => write_uint(out, u64::from(*len)),
            Self::Json(texts) => {
                write_uint(out, texts.len() as u64);
                texts.iter().for_each(|text| write_buffer(out, text.as_bytes()));
            }
            Self::Binary(bytes) => write_buffer(out, bytes),
            Self::String(text) | Self::Embed(text) => write_buffer(out, text.as_bytes()),
            Self::Format(key, value) => {
                write_buffer(out, key.as_bytes());
                write_buffer(out, value.as_bytes());
            }
            Self::Type(kind) => {
                write_uint(out, u64::from(kind.reference));
                if let Some(name) = &kind.name {
                    write_buffer(out, name.as_bytes());
                }
            }
            Self::Any(values) => {
                write_uint(out, values.len() as u64);
                values.iter().for_each(|value| out.extend_from_slice(value));
            }
        }
    }

    pub(super) const fn reference(&self) -> u8 {
        match self {
            Self::Deleted(_) => reference::DELETED,
            Self::Json(_) => reference::JSON,
            Self::Binary(_) => reference::BINARY,
            Self::String(_) => reference::STRING,
            Self::Embed(_) => reference::EMBED,
            Self::Format(..) => reference::FORMAT,
            Self::Type(_) => reference::TYPE,
            Self::Any(_) => reference::ANY,
        }
    }

    /// How many clocks it takes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Deleted(len) => *len as usize,
            Self::Json(texts) => texts.len(),
            Self::String(text) => utf16_len(text),
            Self::Any(values) => values.len(),
            Self::Binary(_) | Self::Embed(_) | Self::Format(..) | Self::Type(_) => 1,
        }
    }

    /// Rough size on the wire.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Deleted(_) => 5,
            Self::Json(texts) => 5 + texts.iter().map(|text| text.len() + 4).sum::<usize>(),
            Self::Binary(bytes) => bytes.len() + 4,
            Self::String(text) | Self::Embed(text) => text.len() + 4,
            Self::Format(key, value) => key.len() + value.len() + 8,
            Self::Type(kind) => 1 + kind.name.as_ref().map_or(0, |name| name.len() + 4),
            Self::Any(values) => 5 + values.iter().map(|value| value.len()).sum::<usize>(),
        }
    }

    /// Whether this and what follows it can be one content.
    pub(super) const fn joins(&self, next: &Self) -> bool {
        matches!(
            (self, next),
            (Self::Deleted(_), Self::Deleted(_)) | (Self::String(_), Self::String(_)) | (Self::Any(_), Self::Any(_))
        )
    }

    /// Contents of which each joins the next, as one.
    pub(super) fn joined<'a>(parts: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let (mut text, mut values, mut deleted, mut last) = (String::new(), Vec::new(), 0_u32, None);
        for part in parts {
            match part {
                Self::Deleted(len) => deleted = deleted.saturating_add(*len),
                Self::String(more) => text.push_str(more),
                Self::Any(more) => values.extend(more.iter().cloned()),
                _ => {}
            }
            last = Some(part);
        }
        Some(match last? {
            Self::Deleted(_) => Self::Deleted(deleted),
            Self::String(_) => Self::String(text.into()),
            Self::Any(_) => Self::Any(values),
            other => other.clone(),
        })
    }

    /// The part between two offsets. As in Yjs, half a surrogate pair becomes U+FFFD.
    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        let whole = 0..self.len();
        if range == whole {
            return self.clone();
        }
        match self {
            Self::Deleted(_) => Self::Deleted(u32::try_from(range.len()).unwrap_or(u32::MAX)),
            Self::Json(texts) => Self::Json(texts[range].to_vec()),
            Self::Any(values) => Self::Any(values[range].to_vec()),
            Self::String(text) => Self::String(slice_utf16(text, range).into()),
            other => other.clone(),
        }
    }

    /// The elements of a list, one character, or the one thing that stands at `offset`, for comparison.
    pub(super) fn element(&self, offset: usize) -> Option<Tree> {
        Some(match self {
            Self::Deleted(_) => return None,
            Self::Json(texts) => tree::parse_legacy(texts.get(offset)?),
            Self::Any(values) => tree::parse_any(values.get(offset)?),
            Self::Binary(bytes) => Tree::Bytes(bytes.to_vec()),
            Self::String(text) => Tree::Unit(unit_at(text, offset)?),
            Self::Embed(text) => Tree::List(vec![Tree::from("embed"), tree::parse_legacy(text)]),
            Self::Format(key, value) => {
                Tree::List(vec![Tree::from("format"), Tree::from(&**key), tree::parse_legacy(value)])
            }
            Self::Type(kind) => Tree::Type(kind.reference, kind.name.clone()),
        })
    }
}

fn unit_at(text: &str, offset: usize) -> Option<u16> {
    text.encode_utf16().nth(offset)
}

/// Byte offset of a UTF-16 offset, and whether it lies inside a surrogate pair (then of the pair's begin).
fn byte_at(text: &str, offset: usize) -> (usize, bool) {
    let (mut passed, mut start) = (0, 0);
    for block in text.as_bytes().chunks(BLOCK) {
        let more = units(block);
        if passed + more > offset {
            break;
        }
        (passed, start) = (passed + more, start + block.len());
    }
    // A character that begins in the block before is counted there.
    while !text.is_char_boundary(start) {
        start += 1;
    }
    for (at, char) in text[start..].char_indices() {
        if passed == offset {
            return (start + at, false);
        }
        passed += char.len_utf16();
        if passed > offset {
            return (start + at, true);
        }
    }
    (text.len(), false)
}

fn slice_utf16(text: &str, range: Range<usize>) -> String {
    let (start, cuts_start) = byte_at(text, range.start);
    let (end, cuts_end) = byte_at(text, range.end);
    let mut out = String::new();
    let start = if cuts_start {
        out.push('\u{fffd}');
        start + 4
    } else {
        start
    };
    out.push_str(text.get(start..end).unwrap_or_default());
    if cuts_end && range.end > range.start {
        out.push('\u{fffd}');
    }
    out
}

/// Whether a UTF-16 offset lies inside a surrogate pair.
pub(super) fn inside_pair(text: &str, offset: usize) -> bool {
    byte_at(text, offset).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_those_of_utf16() {
        for unit in ["a", "\u{e9}", "\u{20ac}", "\u{1f600}", "a\u{1f600}\u{e9}"] {
            for count in [0, 1, 15, 16, 17, 63, 64, 65, 200] {
                let text = format!("x{}", unit.repeat(count));
                assert_eq!(utf16_len(&text), text.encode_utf16().count());
                let mut offset = 0;
                for (at, char) in text.char_indices() {
                    assert_eq!(byte_at(&text, offset), (at, false));
                    if char.len_utf16() == 2 {
                        assert_eq!(byte_at(&text, offset + 1), (at, true));
                    }
                    offset += char.len_utf16();
                }
                assert_eq!(byte_at(&text, offset), (text.len(), false));
                assert_eq!(byte_at(&text, offset + 5), (text.len(), false));
            }
        }
    }

    #[test]
    fn half_a_pair_becomes_the_replacement_character() {
        let text = "a\u{1f600}b";
        assert_eq!(slice_utf16(text, 0..2), "a\u{fffd}");
        assert_eq!(slice_utf16(text, 2..4), "\u{fffd}b");
        assert_eq!(slice_utf16(text, 1..3), "\u{1f600}");
        assert_eq!(slice_utf16(text, 1..2), "\u{fffd}");
        assert!(inside_pair(text, 2) && !inside_pair(text, 1) && !inside_pair(text, 4));
    }
}
