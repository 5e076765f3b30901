//! Strict DAG-CBOR (IPLD DAG-CBOR specification): what is decoded encodes to the same bytes.
//!
//! Shortest integers and lengths, definite lengths, text keys ascending by length then bytes without repeats, 64-bit
//! finite floats, UTF-8, no tag but 42, no undefined, nothing behind the item, depth at most [`MAX_DEPTH`]. Anything
//! else is `malformed`.

use cid::Cid;

use crate::{Code, Refusal};

/// Greatest nesting of arrays and maps.
pub const MAX_DEPTH: usize = 8;

/// A decoded item that borrows its strings from the input.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<'a> {
    /// An unsigned integer.
    Uint(u64),
    /// The negative integer -1 - n.
    Nint(u64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text string.
    Text(&'a str),
    /// An array.
    Array(Vec<Item<'a>>),
    /// A map, in the order of its keys.
    Map(Vec<(&'a str, Item<'a>)>),
    /// A CID (tag 42).
    Cid(Cid),
    /// false or true.
    Bool(bool),
    /// null.
    Null,
    /// A finite 64-bit float.
    Float(f64),
}

fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(Code::Malformed, detail)
}

/// Decodes exactly one item.
///
/// # Errors
/// `malformed` for anything that is not strict DAG-CBOR.
pub fn decode(bytes: &[u8]) -> Result<Item<'_>, Refusal> {
    let mut reader = Reader::new(bytes);
    let item = reader.item(0)?;
    reader.finish()?;
    Ok(item)
}

/// Decodes one map and returns its entries.
///
/// # Errors
/// `malformed` for anything that is not one strict DAG-CBOR map.
pub fn decode_map(bytes: &[u8]) -> Result<Vec<(&str, Item<'_>)>, Refusal> {
    match decode(bytes)? {
        Item::Map(entries) => Ok(entries),
        _ => Err(malformed("expected a map")),
    }
}

/// Reads items one after another without building a tree: for formats that check their bounds on the way, and where a
/// tree of a hostile input would take a hundred times its bytes.
///
/// `depth` is always the number of arrays and maps around what is read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `malformed` when bytes are left.
    pub fn finish(self) -> Result<(), Refusal> {
        if self.rest.is_empty() { Ok(()) } else { Err(malformed("bytes behind the item")) }
    }

    /// The head of an array: its length, never more than the bytes that are left.
    ///
    /// # Errors
    /// `malformed` when no array follows.
    pub fn array_len(&mut self, depth: usize) -> Result<usize, Refusal> {
        self.len_of(4, depth, "expected an array")
    }

    /// The head of a map: its length, never more than the bytes that are left.
    ///
    /// # Errors
    /// `malformed` when no map follows.
    pub fn map_len(&mut self, depth: usize) -> Result<usize, Refusal> {
        self.len_of(5, depth, "expected a map")
    }

    fn len_of(&mut self, major: u8, depth: usize, otherwise: &'static str) -> Result<usize, Refusal> {
        let first = self.take(1)?[0];
        if first >> 5 != major {
            return Err(malformed(otherwise));
        }
        let len = self.argument(first & 31)?;
        self.reserve(len, depth)
    }

    /// The next key of a map; `last` is the one before it.
    ///
    /// # Errors
    /// `malformed` when no text follows, or one that does not stand behind `last`.
    pub fn key(&mut self, last: &mut Option<&'a str>) -> Result<&'a str, Refusal> {
        let first = self.take(1)?[0];
        if first >> 5 != 3 {
            return Err(malformed("a map key that is not text"));
        }
        let len = self.argument(first & 31)?;
        let key = self.text(len)?;
        if last.is_some_and(|last| (last.len(), last.as_bytes()) >= (key.len(), key.as_bytes())) {
            return Err(malformed("map keys out of order or repeated"));
        }
        *last = Some(key);
        Ok(key)
    }

    /// The bytes of the next item, which is checked but not built.
    ///
    /// # Errors
    /// `malformed` when no strict item follows.
    pub fn raw(&mut self, depth: usize) -> Result<&'a [u8], Refusal> {
        let before = self.rest;
        self.skip(depth)?;
        Ok(&before[..before.len() - self.rest.len()])
    }

    fn skip(&mut self, depth: usize) -> Result<(), Refusal> {
        match self.rest.first().map(|first| first >> 5) {
            Some(4) => {
                for _ in 0..self.array_len(depth)? {
                    self.skip(depth + 1)?;
                }
            }
            Some(5) => {
                let mut last = None;
                for _ in 0..self.map_len(depth)? {
                    self.key(&mut last)?;
                    self.skip(depth + 1)?;
                }
            }
            _ => {
                self.item(depth)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Refusal> {
        let len = usize::try_from(len).map_err(|_| malformed("a length beyond the input"))?;
        let (head, tail) = self.rest.split_at_checked(len).ok_or_else(|| malformed("the input ends inside an item"))?;
        self.rest = tail;
        Ok(head)
    }

    fn argument(&mut self, low: u8) -> Result<u64, Refusal> {
        let (bytes, least) = match low {
            0..=23 => return Ok(u64::from(low)),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            _ => return Err(malformed("an indefinite or reserved length")),
        };
        let number = self.take(bytes)?.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        if number < least {
            Err(malformed("an integer or length that is not in its shortest form"))
        } else {
            Ok(number)
        }
    }

    fn text(&mut self, len: u64) -> Result<&'a str, Refusal> {
        std::str::from_utf8(self.take(len)?).map_err(|_| malformed("a text that is not UTF-8"))
    }

    /// The next item, built.
    ///
    /// # Errors
    /// `malformed` when no strict item follows.
    pub fn item(&mut self, depth: usize) -> Result<Item<'a>, Refusal> {
        let first = self.take(1)?[0];
        let (major, low) = (first >> 5, first & 31);
        if major == 7 {
            return match low {
                20 => Ok(Item::Bool(false)),
                21 => Ok(Item::Bool(true)),
                22 => Ok(Item::Null),
                27 => {
                    let bits = self.take(8)?.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
                    let number = f64::from_bits(bits);
                    if number.is_finite() {
                        Ok(Item::Float(number))
                    } else {
                        Err(malformed("a float that is not finite"))
                    }
                }
                _ => Err(malformed("a simple value or float width that DAG-CBOR does not have")),
            };
        }
        let argument = self.argument(low)?;
        match major {
            0 => Ok(Item::Uint(argument)),
            1 => Ok(Item::Nint(argument)),
            2 => Ok(Item::Bytes(self.take(argument)?)),
            3 => Ok(Item::Text(self.text(argument)?)),
            4 => self.array(argument, depth),
            5 => self.map(argument, depth),
            _ => self.tag(argument),
        }
    }

    /// Bounds what a claimed length may reserve: every element takes a byte at least.
    fn reserve(&self, len: u64, depth: usize) -> Result<usize, Refusal> {
        if depth >= MAX_DEPTH {
            return Err(malformed("nested deeper than 8"));
        }
        usize::try_from(len)
            .ok()
            .filter(|len| *len <= self.rest.len())
            .ok_or_else(|| malformed("a length beyond the input"))
    }

    fn array(&mut self, len: u64, depth: usize) -> Result<Item<'a>, Refusal> {
        let len = self.reserve(len, depth)?;
        let mut items = Vec::with_capacity(len.min(1024));
        for _ in 0..len {
            items.push(self.item(depth + 1)?);
        }
        Ok(Item::Array(items))
    }

    fn map(&mut self, len: u64, depth: usize) -> Result<Item<'a>, Refusal> {
        let len = self.reserve(len, depth)?;
        let mut entries = Vec::with_capacity(len.min(64));
        let mut last = None;
        for _ in 0..len {
            let key = self.key(&mut last)?;
            entries.push((key, self.item(depth + 1)?));
        }
        Ok(Item::Map(entries))
    }

    fn tag(&mut self, tag: u64) -> Result<Item<'a>, Refusal> {
        if tag != 42 {
            return Err(malformed("a tag other than 42"));
        }
        let first = self.take(1)?[0];
        if first >> 5 != 2 {
            return Err(malformed("tag 42 holds a byte string"));
        }
        let len = self.argument(first & 31)?;
        let body = self.take(len)?.strip_prefix(&[0]).ok_or_else(|| malformed("a CID in tag 42 begins with 00"))?;
        let cid = Cid::try_from(body).map_err(|_| malformed("tag 42 holds no CID"))?;
        if cid.to_bytes() == body {
            Ok(Item::Cid(cid))
        } else {
            Err(malformed("a CID that is not in its canonical form"))
        }
    }
}

impl<'a> Item<'a> {
    /// The bytes of a byte string of exactly `N` bytes.
    ///
    /// # Errors
    /// `malformed` otherwise.
    pub fn array<const N: usize>(&self) -> Result<[u8; N], Refusal> {
        self.bytes()?.try_into().map_err(|_| malformed("a byte string of another length"))
    }

    /// The bytes of a byte string.
    ///
    /// # Errors
    /// `malformed` otherwise.
    pub fn bytes(&self) -> Result<&'a [u8], Refusal> {
        match self {
            Item::Bytes(bytes) => Ok(bytes),
            _ => Err(malformed("expected a byte string")),
        }
    }

    /// The text of a text string.
    ///
    /// # Errors
    /// `malformed` otherwise.
    pub fn text(&self) -> Result<&'a str, Refusal> {
        match self {
            Item::Text(text) => Ok(text),
            _ => Err(malformed("expected a text")),
        }
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// `malformed` otherwise.
    pub fn uint(&self) -> Result<u64, Refusal> {
        match self {
            Item::Uint(number) => Ok(*number),
            _ => Err(malformed("expected an unsigned integer")),
        }
    }

    /// The elements of an array.
    ///
    /// # Errors
    /// `malformed` otherwise.
    pub fn elements(&self) -> Result<&[Item<'a>], Refusal> {
        match self {
            Item::Array(items) => Ok(items),
            _ => Err(malformed("expected an array")),
        }
    }
}

fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | argument as u8),
        24..=0xff => out.extend([major | 24, argument as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend((argument as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend((argument as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(argument.to_be_bytes());
        }
    }
}

/// Appends an unsigned integer.
pub fn uint(out: &mut Vec<u8>, number: u64) {
    head(out, 0, number);
}

/// Appends an integer.
pub fn int(out: &mut Vec<u8>, number: i64) {
    if number < 0 { head(out, 1, !number as u64) } else { head(out, 0, number as u64) }
}

/// Appends a byte string.
pub fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    head(out, 2, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a text.
pub fn text(out: &mut Vec<u8>, text: &str) {
    head(out, 3, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends the head of an array of `len` elements.
pub fn array(out: &mut Vec<u8>, len: usize) {
    head(out, 4, len as u64);
}

/// Appends the head of a map of `len` entries; the caller writes the keys in order.
pub fn map(out: &mut Vec<u8>, len: usize) {
    head(out, 5, len as u64);
}

/// Appends a CID as tag 42.
pub fn cid(out: &mut Vec<u8>, cid: &Cid) {
    let body = cid.to_bytes();
    head(out, 6, 42);
    head(out, 2, body.len() as u64 + 1);
    out.push(0);
    out.extend(body);
}

/// Appends a boolean.
pub fn bool(out: &mut Vec<u8>, flag: bool) {
    out.push(if flag { 0xf5 } else { 0xf4 });
}

/// Appends null.
pub fn null(out: &mut Vec<u8>) {
    out.push(0xf6);
}

/// Appends a 64-bit float.
pub fn float(out: &mut Vec<u8>, number: f64) {
    out.push(0xfb);
    out.extend(number.to_bits().to_be_bytes());
}

/// Appends any item; what [`decode`] read comes out as the same bytes.
pub fn item(out: &mut Vec<u8>, item: &Item<'_>) {
    match item {
        Item::Uint(number) => head(out, 0, *number),
        Item::Nint(number) => head(out, 1, *number),
        Item::Bytes(value) => bytes(out, value),
        Item::Text(value) => text(out, value),
        Item::Array(items) => {
            array(out, items.len());
            items.iter().for_each(|element| self::item(out, element));
        }
        Item::Map(entries) => {
            map(out, entries.len());
            for (key, element) in entries {
                text(out, key);
                self::item(out, element);
            }
        }
        Item::Cid(value) => cid(out, value),
        Item::Bool(flag) => bool(out, *flag),
        Item::Null => null(out),
        Item::Float(number) => float(out, *number),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_read() {
        for hex in [
            "1817",
            "190017",
            "1a00000017",
            "1b0000000000000017",
            "f93c00",
            "fa3f800000",
            "fb7ff8000000000000",
            "f7",
            "f0",
            "9fff",
            "5fff",
            "c100",
            "a2616200616100",
            "a2616100616100",
            "a10000",
            "62c328",
            "8101ff",
            "6261",
            "d82a420102",
            "818181818181818181f6",
            "9b00000000ffffffff00",
        ] {
            let bytes = hex::decode(hex).unwrap();
            assert!(decode(&bytes).is_err(), "{hex}");
        }
        assert!(decode(&hex::decode("8181818181818181f6").unwrap()).is_ok(), "depth 8 is allowed");
        assert!(decode(&hex::decode("a2616100626161f5").unwrap()).is_ok());
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(decoded) = decode(&bytes) {
                let mut again = Vec::new();
                item(&mut again, &decoded);
                prop_assert_eq!(again, bytes);
            }
        }

        #[test]
        fn an_item_is_checked_alike_whether_it_is_built_or_not(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0x60_u8..0x63, 0x80_u8..0x84, 0xa0_u8..0xa4], 0..32)) {
            let mut building = Reader::new(&bytes);
            let mut skipping = Reader::new(&bytes);
            let built = building.item(0);
            let raw = skipping.raw(0);
            prop_assert_eq!(built.as_ref().err(), raw.as_ref().err());
            prop_assert_eq!(building.rest.len(), skipping.rest.len());
            if let Ok(raw) = raw {
                prop_assert_eq!(decode(raw).ok(), built.ok());
            }
        }

        #[test]
        fn integers_and_floats_survive(int_value in any::<i64>(), float_value in any::<f64>().prop_filter("finite", |f| f.is_finite())) {
            let mut out = Vec::new();
            array(&mut out, 2);
            int(&mut out, int_value);
            float(&mut out, float_value);
            let decoded = decode(&out).unwrap();
            let elements = decoded.elements().unwrap();
            let read = match elements[0] { Item::Uint(n) => n as i64, Item::Nint(n) => -1 - n as i64, _ => unreachable!() };
            prop_assert_eq!(read, int_value);
            prop_assert_eq!(&elements[1], &Item::Float(float_value));
        }
    }
}
