//! DAG-CBOR (ipld.io/specs/codecs/dag-cbor) and the part of CBOR (RFC 8949) of definite lengths.

use cid::Cid;

use super::{Budget, MAX_DEPTH, Value};

/// The tag of a link; its bytes begin with a zero.
const LINK: u64 = 42;

/// Reads a block; tag 42 is a link when `links` is set.
pub(super) fn read(block: &[u8], links: bool) -> Result<Value, &'static str> {
    let mut reader = Reader { rest: block, links, budget: Budget::new() };
    let value = reader.value(MAX_DEPTH)?;
    if reader.rest.is_empty() { Ok(value) } else { Err("bytes behind a value") }
}

struct Reader<'a> {
    rest: &'a [u8],
    links: bool,
    budget: Budget,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, &'static str> {
        self.budget.take()?;
        let depth = depth.checked_sub(1).ok_or("a value that is nested deeper than 128 levels")?;
        let (major, argument) = self.head()?;
        match major {
            // Numbers, and simple values with floats: the argument is all of them.
            0 | 1 | 7 => Ok(Value::Scalar),
            2 => self.take(argument).map(|_| Value::Scalar),
            3 => self.text(argument).map(|_| Value::Scalar),
            4 => {
                let mut items = Vec::new();
                for _ in 0..argument {
                    items.push(self.value(depth)?);
                }
                Ok(Value::List(items))
            }
            5 => {
                let mut entries = Vec::new();
                for _ in 0..argument {
                    let key = self.key(depth)?;
                    entries.push((key, self.value(depth)?));
                }
                Ok(Value::Map(entries))
            }
            _ if self.links && argument == LINK => self.link(),
            _ if self.links => Err("a tag other than 42"),
            _ => self.value(depth),
        }
    }

    /// A key; in plain CBOR it may be anything, and then no path leads there.
    fn key(&mut self, depth: usize) -> Result<String, &'static str> {
        let before = self.rest;
        let (major, argument) = self.head()?;
        if major == 3 {
            return self.text(argument).map(str::to_owned);
        }
        if self.links {
            return Err("a key that is no text");
        }
        self.rest = before;
        self.value(depth).map(|_| String::new())
    }

    fn link(&mut self) -> Result<Value, &'static str> {
        let (major, len) = self.head()?;
        if major != 2 {
            return Err("a link that is no bytes");
        }
        let bytes = self.take(len)?.strip_prefix(&[0]).ok_or("a link without its leading zero")?;
        let cid = Cid::try_from(bytes).ok().filter(|cid| cid.encoded_len() == bytes.len());
        Ok(Value::Link(Box::new(cid.ok_or("a link that holds no CID")?)))
    }

    fn head(&mut self) -> Result<(u8, u64), &'static str> {
        let first = self.take(1)?[0];
        let argument = match first & 0x1f {
            small @ 0..=23 => u64::from(small),
            size @ 24..=27 => {
                let bytes = self.take(1 << (size - 24))?;
                bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
            }
            31 => return Err("an indefinite length"),
            _ => return Err("a reserved length"),
        };
        Ok((first >> 5, argument))
    }

    fn text(&mut self, len: u64) -> Result<&'a str, &'static str> {
        std::str::from_utf8(self.take(len)?).map_err(|_| "text that is not UTF-8")
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], &'static str> {
        let parts = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (head, tail) = parts.ok_or("a value that ends early")?;
        self.rest = tail;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::cid_of;

    fn link(cid: &Cid) -> Vec<u8> {
        let bytes = cid.to_bytes();
        [&[0xd8, 42, 0x58, bytes.len() as u8 + 1, 0][..], &bytes].concat()
    }

    #[test]
    fn values_of_every_kind_are_read_over() {
        let cid = cid_of(0x55, b"x");
        // {"a": [1, -500, 1.5, true, null, h'0001', "ü"], "l": link}
        let mut block = vec![0xa2, 0x61, b'a', 0x87, 1, 0x39, 1, 0xf3, 0xfb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xf5, 0xf6];
        block.extend([0x42, 0, 1, 0x62, 0xc3, 0xbc, 0x61, b'l']);
        block.extend(link(&cid));
        let value = read(&block, true).unwrap();
        let Value::Map(entries) = &value else { panic!("{value:?}") };
        assert_eq!(entries[0].1, Value::List(vec![Value::Scalar; 7]));
        assert_eq!(value.links(), [cid]);
        assert!(read(&block, false).unwrap().links().is_empty());
        for cut in 0..block.len() {
            assert!(read(&block[..cut], true).is_err(), "{cut}");
        }
    }

    #[test]
    fn what_is_no_value_says_why() {
        let deep = [vec![0x81; 200], vec![0]].concat();
        let wide = [vec![0x9a, 0, 8, 0, 0], vec![0; 1 << 19]].concat();
        for (block, why) in [
            (&[0, 0][..], "bytes behind a value"),
            (&[], "a value that ends early"),
            (&[0x9f, 0xff], "an indefinite length"),
            (&[0x1c], "a reserved length"),
            (&[0x61, 0xff], "text that is not UTF-8"),
            (&[0xa1, 0, 0], "a key that is no text"),
            (&[0xc1, 0], "a tag other than 42"),
            (&[0xd8, 42, 0], "a link that is no bytes"),
            (&[0xd8, 42, 0x41, 1], "a link without its leading zero"),
            (&[0xd8, 42, 0x42, 0, 1], "a link that holds no CID"),
            (&[0x9b, 255, 255, 255, 255, 255, 255, 255, 255], "a value that ends early"),
            (&deep, "a value that is nested deeper than 128 levels"),
            (&wide, "a value with more than 262,144 items"),
        ] {
            assert_eq!(read(block, true).unwrap_err(), why);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300), links in any::<bool>()) {
            if let Ok(value) = read(&bytes, links) {
                prop_assert!(links || value.links().is_empty());
            }
        }
    }
}
