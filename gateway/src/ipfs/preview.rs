//! dag-json and dag-cbor values as HTML, for people. Bounded in depth, nodes and text: a block may hold a million of each.

use cid::Cid;
use serde_json::Value;

use super::{
    html::escape,
    want::{DAG_CBOR, DAG_JSON},
};

/// Values in values.
const MAX_DEPTH: usize = 32;
/// Values shown.
const MAX_NODES: usize = 5_000;
/// Characters shown of one text, bytes of one byte string.
const MAX_TEXT: usize = 1_000;
/// Tag of a link in dag-cbor.
const LINK_TAG: u64 = 42;

/// The value as a list in a list. `gateway` stands in front of the links. `None`: it is not of the codec.
pub(super) fn html(block: &[u8], codec: u64, gateway: &str) -> Option<String> {
    let mut page = Page { out: String::new(), left: MAX_NODES, gateway };
    match codec {
        DAG_JSON => page.json(&serde_json::from_slice(block).ok()?, 0),
        DAG_CBOR => {
            let mut reader = Cbor { rest: block, was_float: false };
            page.cbor(&mut reader, 0)?;
            reader.rest.is_empty().then_some(())?;
        }
        _ => return None,
    }
    Some(page.out)
}

struct Page<'a> {
    out: String,
    left: usize,
    gateway: &'a str,
}

impl Page<'_> {
    /// Whether one more value is shown, or only counted.
    fn shown(&mut self) -> bool {
        let shown = self.left > 0;
        if self.left == 1 {
            self.out.push_str("<i>more follows</i>");
        }
        self.left = self.left.saturating_sub(1);
        shown && self.left > 0
    }

    fn open(&mut self, shown: bool) {
        if shown {
            self.out.push_str("<ul class=\"value\">\n");
        }
    }

    fn close(&mut self, shown: bool) {
        if shown {
            self.out.push_str("</ul>");
        }
    }

    fn item(&mut self, key: &str) {
        if self.left > 0 {
            self.out.push_str("<li>");
            self.out.push_str(&escape(&cut(key)));
            self.out.push_str(": ");
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push_str("<code>");
        self.out.push_str(&escape(&cut(text)));
        self.out.push_str("</code>");
    }

    fn link(&mut self, cid: &Cid) {
        self.out.push_str(&format!(
            "<a href=\"{}/ipfs/{cid}\" rel=\"nofollow\"><code>{cid}</code></a>",
            escape(self.gateway)
        ));
    }

    fn json(&mut self, value: &Value, depth: usize) {
        let shown = self.shown() && depth < MAX_DEPTH;
        match value {
            _ if !shown => {}
            Value::Array(items) => {
                self.open(shown);
                for (at, item) in items.iter().enumerate().take(self.left) {
                    self.item(&at.to_string());
                    self.json(item, depth + 1);
                    self.out.push_str("</li>\n");
                }
                self.close(shown);
            }
            Value::Object(members) => {
                if let Some(cid) = json_link(members) {
                    return self.link(&cid);
                }
                self.open(shown);
                for (key, item) in members.iter().take(self.left) {
                    self.item(key);
                    self.json(item, depth + 1);
                    self.out.push_str("</li>\n");
                }
                self.close(shown);
            }
            other => self.text(&other.to_string()),
        }
    }

    /// Reads one value, showing it as far as there is room. `None`: it is not dag-cbor.
    fn cbor(&mut self, reader: &mut Cbor<'_>, depth: usize) -> Option<()> {
        if depth >= MAX_DEPTH {
            return None;
        }
        let shown = self.shown();
        let (major, argument) = reader.head()?;
        match major {
            0 if shown => self.text(&argument.to_string()),
            1 if shown => self.text(&(-1 - i128::from(argument)).to_string()),
            2 => {
                let bytes = reader.take(argument)?;
                if shown {
                    let some = &bytes[..bytes.len().min(MAX_TEXT)];
                    self.text(&format!("{} bytes: {}", bytes.len(), data_encoding::HEXLOWER.encode(some)));
                }
            }
            3 => {
                let text = std::str::from_utf8(reader.take(argument)?).ok()?;
                if shown {
                    self.text(&format!("{text:?}"));
                }
            }
            4 => {
                self.open(shown);
                for at in 0..argument {
                    self.item(&at.to_string());
                    self.cbor(reader, depth + 1)?;
                    self.end(shown);
                }
                self.close(shown);
            }
            5 => {
                self.open(shown);
                for _ in 0..argument {
                    let (3, length) = reader.head()? else { return None };
                    let key = std::str::from_utf8(reader.take(length)?).ok()?;
                    self.item(key);
                    self.cbor(reader, depth + 1)?;
                    self.end(shown);
                }
                self.close(shown);
            }
            6 if argument == LINK_TAG => {
                let (2, length) = reader.head()? else { return None };
                // The prefix of a binary CID (dag-cbor specification, "Links").
                let cid = Cid::try_from(reader.take(length)?.strip_prefix(&[0])?).ok()?;
                if shown {
                    self.link(&cid);
                }
            }
            7 => {
                let text = match argument {
                    20 => "false".to_owned(),
                    21 => "true".to_owned(),
                    22 => "null".to_owned(),
                    float if reader.was_float => f64::from_bits(float).to_string(),
                    _ => return None,
                };
                if shown {
                    self.text(&text);
                }
            }
            0 | 1 => {}
            _ => return None,
        }
        Some(())
    }

    fn end(&mut self, shown: bool) {
        if shown {
            self.out.push_str("</li>\n");
        }
    }
}

/// `{"/": "bafy..."}`
fn json_link(members: &serde_json::Map<String, Value>) -> Option<Cid> {
    match members.get("/") {
        Some(Value::String(text)) if members.len() == 1 => text.parse().ok(),
        _ => None,
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

struct Cbor<'a> {
    rest: &'a [u8],
    was_float: bool,
}

impl<'a> Cbor<'a> {
    /// Major type and argument of the next item (RFC 8949 section 3).
    fn head(&mut self) -> Option<(u8, u64)> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        let (major, info) = (first >> 5, first & 0x1f);
        self.was_float = major == 7 && info == 27;
        let argument = match info {
            0..=23 => u64::from(info),
            24..=27 => {
                let bytes = self.take(1 << (info - 24))?;
                bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
            }
            // Of no fixed length: dag-cbor has none.
            _ => return None,
        };
        Some((major, argument))
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CID: &str = "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua";

    #[test]
    fn json_with_a_link() {
        let page =
            html(format!("{{\"<a>\":[1,null,\"x\"],\"l\":{{\"/\":\"{CID}\"}}}}").as_bytes(), DAG_JSON, "//g").unwrap();
        assert!(page.contains("&lt;a&gt;: <ul") && page.contains("<code>null</code>"), "{page}");
        assert!(page.contains(&format!("<a href=\"//g/ipfs/{CID}\" rel=\"nofollow\">")), "{page}");
        assert_eq!(html(b"{", DAG_JSON, ""), None);
    }

    #[test]
    fn cbor_with_a_link() {
        let cid = CID.parse::<Cid>().unwrap().to_bytes();
        let mut block =
            b"\xa3\x61a\x84\x18\x64\x20\xf6\x42\x01\x02\x61b\xfb\x3f\xf8\0\0\0\0\0\0\x61l\xd8\x2a\x58".to_vec();
        block.push(u8::try_from(cid.len() + 1).unwrap());
        block.push(0);
        block.extend(cid);
        let page = html(&block, DAG_CBOR, "").unwrap();
        for shown in [
            "<code>100</code>",
            "<code>-1</code>",
            "<code>null</code>",
            "2 bytes: 0102",
            "<code>1.5</code>",
            "<a href=\"/ipfs/bafyreigb",
        ] {
            assert!(page.contains(shown), "{shown}: {page}");
        }
        for bad in [
            &b"\xa1\x01\x01"[..],
            b"\x9f\xff",
            b"\x01\x01",
            b"\x81",
            b"",
            b"\xc1\x01",
            b"\x1b\xff",
            b"\xf9\x3c\0",
            b"\x61\xff",
        ] {
            assert_eq!(html(bad, DAG_CBOR, ""), None, "{bad:x?}");
        }
    }

    #[test]
    fn large_and_deep_values_are_cut() {
        let many = format!("[{}]", vec!["1"; 20_000].join(","));
        let page = html(many.as_bytes(), DAG_JSON, "").unwrap();
        assert!(page.contains("more follows") && page.len() < 300_000, "{}", page.len());
        let mut many = vec![0x99, 0x4e, 0x20];
        many.extend([1; 20_000]);
        let page = html(&many, DAG_CBOR, "").unwrap();
        assert!(page.contains("more follows") && page.len() < 900_000, "{}", page.len());
        assert_eq!(html(&[0x81; 100_000], DAG_CBOR, ""), None);
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(html(deep.as_bytes(), DAG_JSON, "").is_some());
    }

    proptest! {
        #[test]
        fn any_block_is_shown_or_not(block in prop::collection::vec(any::<u8>(), 0..200)) {
            for codec in [DAG_JSON, DAG_CBOR] {
                if let Some(page) = html(&block, codec, "") {
                    prop_assert!(!page.contains("<script"));
                }
            }
        }
    }
}
