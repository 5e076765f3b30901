//! Values: dag-cbor, dag-json, cbor, json. Of these only the maps, the lists and the links are read: what a path leads
//! through, and where a DAG goes on.

mod cbor;
mod json;

use cid::Cid;

/// Maps, lists and items of one block. 24 bytes each, and keys on top: 2 MiB could hold two million.
const MAX_ITEMS: usize = 1 << 18;
/// Maps and lists within each other, as serde_json bounds them too.
const MAX_DEPTH: usize = 128;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Cbor { links: bool },
    Json { links: bool },
}

impl Codec {
    /// By multicodec.
    pub(crate) const fn of(codec: u64) -> Option<Self> {
        match codec {
            0x51 => Some(Self::Cbor { links: false }),
            0x71 => Some(Self::Cbor { links: true }),
            0x0129 => Some(Self::Json { links: true }),
            0x0200 => Some(Self::Json { links: false }),
            _ => None,
        }
    }

    /// Reads a block.
    ///
    /// # Errors
    /// Why it is not of this codec, or what it has too much of.
    pub(crate) fn read(self, block: &[u8]) -> Result<Value, String> {
        match self {
            Self::Cbor { links } => cbor::read(block, links).map_err(Into::into),
            Self::Json { links } => json::read(block, links),
        }
    }
}

/// The shape of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Neither a map nor a list nor a link.
    Scalar,
    Link(Box<Cid>),
    List(Vec<Value>),
    /// In the order of the block.
    Map(Vec<(String, Value)>),
}

/// Where a path leads within one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To a link, after so many segments.
    Link(Cid, usize),
    /// To something inside of the block.
    Inside,
    /// Nowhere: so many segments were found.
    Nowhere(usize),
}

impl Value {
    /// Follows segments until there is a link, or none are left.
    pub(crate) fn follow(&self, segments: &[String]) -> Step {
        let mut at = self;
        for (taken, segment) in segments.iter().enumerate() {
            let next = match at {
                Self::Link(cid) => return Step::Link(**cid, taken),
                Self::Scalar => None,
                Self::Map(entries) => entries.iter().find(|(key, _)| key == segment).map(|(_, value)| value),
                // Digits only: `usize` would take a plus sign too.
                Self::List(items) => segment
                    .bytes()
                    .all(|byte| byte.is_ascii_digit())
                    .then(|| segment.parse().ok().and_then(|index: usize| items.get(index)))
                    .flatten(),
            };
            match next {
                Some(value) => at = value,
                None => return Step::Nowhere(taken),
            }
        }
        match at {
            Self::Link(cid) if !segments.is_empty() => Step::Link(**cid, segments.len()),
            _ => Step::Inside,
        }
    }

    /// Its links, in the order of the block.
    pub(crate) fn links(&self) -> Vec<Cid> {
        let mut found = Vec::new();
        let mut waiting = vec![self];
        while let Some(value) = waiting.pop() {
            match value {
                Self::Scalar => {}
                Self::Link(cid) => found.push(**cid),
                Self::List(items) => waiting.extend(items.iter().rev()),
                Self::Map(entries) => waiting.extend(entries.iter().rev().map(|(_, value)| value)),
            }
        }
        found
    }
}

/// What is left of the bounds of a block.
struct Budget(usize);

impl Budget {
    const fn new() -> Self {
        Self(MAX_ITEMS)
    }

    /// Takes one item.
    const fn take(&mut self) -> Result<(), &'static str> {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err("a value with more than 262,144 items"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn paths_go_through_maps_and_lists_to_the_first_link() {
        let cid: Cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap();
        let text = format!(r#"{{"a":{{"b":[1,{{"/":"{cid}"}},{{"c":"d"}}]}},"z":{{"/":{{"bytes":"AAE"}}}},"":0}}"#);
        let value = Codec::Json { links: true }.read(text.as_bytes()).unwrap();
        for (at, expected) in [
            ("", Step::Inside),
            ("a", Step::Inside),
            ("a/b/0", Step::Inside),
            ("a/b/1", Step::Link(cid, 3)),
            ("a/b/1/more/still", Step::Link(cid, 3)),
            ("a/b/2/c", Step::Inside),
            ("a/b/2/c/d", Step::Nowhere(4)),
            ("a/b/3", Step::Nowhere(2)),
            ("a/b/+1", Step::Nowhere(2)),
            ("a/x/y", Step::Nowhere(1)),
            ("z", Step::Inside),
            ("z/~1", Step::Nowhere(1)),
        ] {
            assert_eq!(value.follow(&path(at)), expected, "{at}");
        }
        assert_eq!(value.links(), [cid]);
        // Without links the same is a map with a strange key.
        let value = Codec::Json { links: false }.read(text.as_bytes()).unwrap();
        assert!(value.links().is_empty());
        assert_eq!(value.follow(&["a".into(), "b".into(), "1".into(), "/".into()]), Step::Inside);
        // A block that is nothing but a link is followed as soon as there is a segment.
        let link = Value::Link(Box::new(cid));
        assert_eq!((link.follow(&[]), link.follow(&path("x"))), (Step::Inside, Step::Link(cid, 0)));
    }
}
