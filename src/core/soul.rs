//! Souls: the names of nodes, and the spaces they fall into.

use std::{fmt, ops::Deref, str::FromStr, sync::Arc};

use cid::Cid;

use crate::{Code, PublicKey, Refusal};

const DAG_CBOR: u64 = 0x71;
const SHA2_256: u64 = 0x12;

/// The name of a node: 1 to 512 bytes of UTF-8 without U+0000, well-formed for its space.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Soul(Arc<str>);

/// Who may write a soul follows from how it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// `~K` and `~K/...`: K, or whoever K delegates to.
    Owned(PublicKey),
    /// `#<CID>`: nobody after creation.
    Content(Cid),
    /// `^<url>`: a bridge, for a foreign object.
    Mirror,
    /// `_/...`: this gateway only; never leaves it.
    Local,
    /// Anything else: any author.
    Public,
}

impl Space {
    /// Any author may write here.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        matches!(self, Self::Public)
    }

    /// Owned or mirror space: slots begin with `h`, and a kill hides instead of removing.
    #[must_use]
    pub const fn has_writer_slots(&self) -> bool {
        matches!(self, Self::Owned(_) | Self::Mirror)
    }
}

impl Soul {
    /// Greatest length in bytes.
    pub const MAX_BYTES: usize = 512;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The space this soul lies in.
    #[must_use]
    pub fn space(&self) -> Space {
        // A soul is checked when it is made, so reading it again cannot fail; public is what an unchecked one would be.
        space_of(&self.0).unwrap_or(Space::Public)
    }

    /// `~K` for all of `~K/...` (certificates and revocations sit beside the data they govern), else the whole soul.
    #[must_use]
    pub fn placement_key(&self) -> &str {
        match self.0.strip_prefix('~') {
            Some(rest) => &self.0[..=rest.find('/').unwrap_or(rest.len())],
            None => &self.0,
        }
    }

    /// The root soul `~K` of a key.
    #[must_use]
    pub fn of_key(key: PublicKey) -> Self {
        Self(format!("~{key}").into())
    }
}

fn bad(detail: &'static str) -> Refusal {
    Refusal::new(Code::BadSoul, detail)
}

fn space_of(text: &str) -> Result<Space, Refusal> {
    if let Some(rest) = text.strip_prefix('~') {
        let (key, below) = rest.split_once('/').map_or((rest, None), |(key, below)| (key, Some(below)));
        if below == Some("") {
            return Err(bad("'~K/' needs something behind the slash"));
        }
        let parsed = PublicKey::from_multibase(key).map_err(|_| bad("an owned soul is '~' and a did:key multibase"))?;
        if parsed.to_multibase() != key {
            return Err(bad("the key of an owned soul is not in its canonical text"));
        }
        Ok(Space::Owned(parsed))
    } else if let Some(rest) = text.strip_prefix('#') {
        let cid = Cid::try_from(rest).map_err(|_| bad("a content soul is '#' and a CID"))?;
        let form = cid.version() == cid::Version::V1 && cid.codec() == DAG_CBOR && cid.hash().code() == SHA2_256;
        if !form || cid.hash().size() != 32 || cid.to_string() != rest {
            return Err(bad("the CID of a content soul is v1, dag-cbor, sha2-256, in lower-case base32"));
        }
        Ok(Space::Content(cid))
    } else if let Some(rest) = text.strip_prefix('^') {
        let parsed = url::Url::parse(rest).map_err(|_| bad("a mirror soul is '^' and an absolute URL"))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.as_str() != rest {
            return Err(bad("the URL of a mirror soul is http or https in its WHATWG serialisation"));
        }
        Ok(Space::Mirror)
    } else if let Some(rest) = text.strip_prefix("_/") {
        if rest.is_empty() {
            return Err(bad("'_/' needs something behind the slash"));
        }
        Ok(Space::Local)
    } else {
        Ok(Space::Public)
    }
}

impl FromStr for Soul {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            return Err(bad("a soul is 1 to 512 bytes of UTF-8"));
        }
        if text.contains('\0') {
            return Err(bad("a soul holds no U+0000"));
        }
        space_of(text)?;
        Ok(Self(text.into()))
    }
}

impl Deref for Soul {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Soul {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Soul {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Soul {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<Code> {
        text.parse::<Soul>().err().map(|refusal| refusal.code)
    }

    #[test]
    fn each_space_has_its_form() {
        let key = PublicKey([7; 32]);
        assert_eq!(Soul::of_key(key).space(), Space::Owned(key));
        let below: Soul = format!("~{key}/blog/1").parse().unwrap();
        assert_eq!(below.placement_key(), format!("~{key}"));
        assert_eq!(Soul::of_key(key).placement_key(), format!("~{key}"));
        assert_eq!("^https://example.com/a".parse::<Soul>().unwrap().space(), Space::Mirror);
        assert_eq!("_/x".parse::<Soul>().unwrap().space(), Space::Local);
        let content = "#bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
        assert!(matches!(content.parse::<Soul>().unwrap().space(), Space::Content(_)));
        for public in ["a", "_", "_x", "a~b", "people/ada", "constructor"] {
            assert_eq!(public.parse::<Soul>().unwrap().space(), Space::Public, "{public}");
        }
    }

    #[test]
    fn malformed_reserved_souls_are_never_public() {
        let key = PublicKey([7; 32]);
        for text in [
            "",
            "a\0b",
            "~",
            "~z",
            "~K/x",
            "#",
            "#abc",
            "^",
            "^ftp://a/",
            "^https://EXAMPLE.com/",
            "^https://a",
            "_/",
            &format!("~{key}/"),
            "#QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKtR6V",
            "#bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
            &"x".repeat(513),
        ] {
            assert_eq!(code(text), Some(Code::BadSoul), "{text:?}");
        }
        assert_eq!(code(&"x".repeat(512)), None);
    }
}
