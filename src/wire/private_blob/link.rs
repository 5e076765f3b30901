//! What leads to a private blob: its CID, its key, and what the plaintext is.

use std::str::FromStr;

use cid::Cid;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{FileKey, PrivateBlobError};

/// A link, as text. A value of a node holds much more.
pub const MAX_LINK_BYTES: usize = 4096;
/// The media type or the name in it.
const MAX_PART_BYTES: usize = 255;
/// RFC 3986 unreserved characters stay, and the slash, which a fragment may hold.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// `ipfs://CID#key=KEY&type=TYPE&name=NAME`. Whoever has it reads the file; browsers keep what is behind `#` to themselves.
/// `Debug` does not print the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateLink {
    /// The ciphertext.
    pub cid: Cid,
    /// The key.
    pub key: FileKey,
    /// The media type of the plaintext, if it is known: at most 255 bytes of visible ASCII and spaces.
    pub media: Option<String>,
    /// The name of the file, if it has one: at most 255 bytes.
    pub name: Option<String>,
}

impl PrivateLink {
    /// A link without a type and a name.
    #[must_use]
    pub const fn new(cid: Cid, key: FileKey) -> Self {
        Self { cid, key, media: None, name: None }
    }

    /// The same link, which says what the plaintext is; what cannot stand in a link is left out.
    #[must_use]
    pub fn described(self, media: Option<&str>, name: Option<&str>) -> Self {
        let media = media.filter(|media| is_media(media)).map(str::to_owned);
        Self { media, name: name.filter(|name| is_name(name)).map(str::to_owned), ..self }
    }

    /// The text. Holds the key.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("ipfs://{}#key={}", self.cid, self.key.to_text());
        for (part, value) in [("type", &self.media), ("name", &self.name)] {
            if let Some(value) = value {
                text.push_str(&format!("&{part}={}", utf8_percent_encode(value, ESCAPED)));
            }
        }
        text
    }
}

fn is_media(media: &str) -> bool {
    (1..=MAX_PART_BYTES).contains(&media.len()) && media.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn is_name(name: &str) -> bool {
    (1..=MAX_PART_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
}

impl FromStr for PrivateLink {
    type Err = PrivateBlobError;

    /// Reads a link; what a browser shows (`https://HOST/ipfs/CID#key=...`) is one too. Unknown parts are passed over.
    fn from_str(text: &str) -> Result<Self, PrivateBlobError> {
        if text.len() > MAX_LINK_BYTES {
            return Err(PrivateBlobError::Link);
        }
        let (address, fragment) = text.split_once('#').ok_or(PrivateBlobError::Link)?;
        let cid = match address.split_once("/ipfs/") {
            Some((_, cid)) => cid,
            None => address.strip_prefix("ipfs://").unwrap_or(address),
        };
        let cid = cid.trim_end_matches('/').parse().map_err(|_| PrivateBlobError::Link)?;
        let part = |wanted: &str| {
            let parts = fragment.split('&').filter_map(|part| part.split_once('='));
            parts.filter(|(name, _)| *name == wanted).map(|(_, value)| value).next()
        };
        let decoded = |wanted: &str| Some(percent_decode_str(part(wanted)?).decode_utf8().ok()?.into_owned());
        let key = FileKey::from_text(part("key").ok_or(PrivateBlobError::Link)?)?;
        Ok(Self::new(cid, key).described(decoded("type").as_deref(), decoded("name").as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
    const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";

    #[test]
    fn links_lead_back() {
        let plain = PrivateLink::new(CID.parse().unwrap(), FileKey::new([1; 32]));
        assert_eq!(plain.to_text(), format!("ipfs://{CID}#key={KEY}"));
        let named = plain.clone().described(Some("text/html; charset=utf-8"), Some("a&b #1 \u{fc}.html"));
        assert_eq!(
            named.to_text(),
            format!("ipfs://{CID}#key={KEY}&type=text/html%3B%20charset%3Dutf-8&name=a%26b%20%231%20%C3%BC.html")
        );
        assert!(!format!("{named:?}").contains(KEY));
        for link in [plain, named] {
            assert_eq!(link.to_text().parse(), Ok(link.clone()));
            let address = link.to_text().replace("ipfs://", "https://node.example:8480/ipfs/");
            assert_eq!(address.parse(), Ok(link.clone()));
            assert_eq!(link.to_text().replace("ipfs://", "").replace('#', "/#x=y&later&").parse(), Ok(link));
        }
    }

    #[test]
    fn what_is_no_link() {
        let long = format!("ipfs://{CID}#key={KEY}&name={}", "x".repeat(MAX_LINK_BYTES));
        for text in [
            "",
            CID,
            &format!("ipfs://{CID}"),
            &format!("ipfs://{CID}#{KEY}"),
            &format!("ipfs://{CID}#key="),
            &format!("ipfs://{CID}#key={}", &KEY[1..]),
            &format!("ipfs://{CID}#key={KEY}A"),
            &format!("ipfs://{CID}/path#key={KEY}"),
            &format!("ipfs://nonsense#key={KEY}"),
            &long,
        ] {
            assert_eq!(text.parse::<PrivateLink>(), Err(PrivateBlobError::Link), "{text}");
        }
        // What would break a header is left out.
        let odd = format!("ipfs://{CID}#key={KEY}&type=a%0Db&name=%FF").parse::<PrivateLink>().unwrap();
        assert_eq!((odd.media, odd.name), (None, None));
    }
}
