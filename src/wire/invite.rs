//! Invites: all that a new member needs, as one word to paste.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use data_encoding::BASE32_NOPAD;
use rustdht_core::{Code, Refusal, cbor};

use crate::{
    SignedCharter,
    header::VERSION,
    limits::{MAX_ADDRESS_BYTES, MAX_INVITE_ADDRESSES, MAX_INVITE_BYTES},
    refuse::{Within, malformed, refuse},
    signed::Keys,
};

/// How the text of an invite begins.
const PREFIX: &str = "rustdht1";

/// The keys, in their canonical order.
const KEYS: [&str; 5] = ["v", "key", "charter", "addresses", "signature"];

/// Charter, network key and addresses. Holds a secret: `Debug` does not print it, `to_text` does.
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    /// The network.
    pub charter: SignedCharter,
    /// The secret that members prove to each other in `hello`.
    pub network_key: [u8; 32],
    /// Multiaddrs of members, at most 32, each at most 512 bytes.
    pub addresses: Vec<String>,
}

impl Invite {
    /// The text: `rustdht1` and lower-case base32 without padding.
    ///
    /// # Errors
    /// `out_of_range` for too many or too long addresses, `too_large` when the text would be over 8 KiB.
    pub fn to_text(&self) -> Result<String, Refusal> {
        check_addresses(self.addresses.iter().map(String::as_str))?;
        let mut out = Vec::with_capacity(512);
        cbor::map(&mut out, KEYS.len());
        cbor::text(&mut out, "v");
        cbor::uint(&mut out, VERSION);
        cbor::text(&mut out, "key");
        cbor::bytes(&mut out, &self.network_key);
        cbor::text(&mut out, "charter");
        cbor::bytes(&mut out, self.charter.bytes());
        cbor::text(&mut out, "addresses");
        cbor::array(&mut out, self.addresses.len());
        self.addresses.iter().for_each(|address| cbor::text(&mut out, address));
        cbor::text(&mut out, "signature");
        cbor::bytes(&mut out, self.charter.signature());
        let text = format!("{PREFIX}{}", BASE32_NOPAD.encode(&out).to_ascii_lowercase());
        if text.len() > MAX_INVITE_BYTES {
            return refuse(Code::TooLarge, "an invite is at most 8 KiB of text; name fewer addresses");
        }
        Ok(text)
    }
}

fn check_addresses<'a>(addresses: impl ExactSizeIterator<Item = &'a str>) -> Result<(), Refusal> {
    if addresses.len() > MAX_INVITE_ADDRESSES {
        return refuse(Code::OutOfRange, "an invite names at most 32 addresses").within("addresses");
    }
    for (at, address) in addresses.enumerate() {
        if address.is_empty() || address.len() > MAX_ADDRESS_BYTES {
            return refuse(Code::OutOfRange, "an address has 1 to 512 bytes").within(&format!("addresses.{at}"));
        }
    }
    Ok(())
}

impl FromStr for Invite {
    type Err = Refusal;

    /// Reads an invite and verifies its charter; white space around it is ignored.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let text = text.trim_ascii();
        if text.len() > MAX_INVITE_BYTES {
            return refuse(Code::TooLarge, "an invite is at most 8 KiB of text");
        }
        let body = text.strip_prefix(PREFIX).ok_or_else(|| malformed("an invite begins with 'rustdht1'"))?;
        if body.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(malformed("an invite is written in lower case"));
        }
        let bytes = BASE32_NOPAD
            .decode(body.to_ascii_uppercase().as_bytes())
            .map_err(|_| malformed("an invite is base32 without padding; was it pasted whole?"))?;
        let keys = Keys::read(&bytes, &KEYS)?;
        let addresses = keys.get("addresses")?.elements().within("addresses")?;
        let addresses: Vec<&str> =
            addresses.iter().map(cbor::Item::text).collect::<Result<_, _>>().within("addresses")?;
        check_addresses(addresses.iter().copied())?;
        Ok(Self {
            charter: SignedCharter::open(Bytes::copy_from_slice(keys.bytes("charter")?), keys.array("signature")?)
                .within("charter")?,
            network_key: keys.array("key")?,
            addresses: addresses.into_iter().map(str::to_owned).collect(),
        })
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite")
            .field("net", &self.charter.net())
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SigningKey, charter::tests::charter};

    fn invite() -> Invite {
        let key = SigningKey::from_seed(&[1; 32]);
        Invite {
            charter: charter(&key).sign(&key).unwrap(),
            network_key: [0xab; 32],
            addresses: vec!["/ip4/127.0.0.1/tcp/1".into(), "/ip6/::1/udp/2/quic-v1".into()],
        }
    }

    #[test]
    fn an_invite_survives_being_pasted() {
        let text = invite().to_text().unwrap();
        assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        assert_eq!(format!(" {text}\n").parse(), Ok(invite()));
        let bare = Invite { addresses: Vec::new(), ..invite() };
        assert_eq!(bare.to_text().unwrap().parse(), Ok(bare));
    }

    #[test]
    fn the_key_is_not_printed() {
        let printed = format!("{:?}", invite());
        assert!(!printed.contains("171") && !printed.contains("abab") && !printed.contains("network_key"));
        assert!(printed.contains("127.0.0.1"));
    }

    #[test]
    fn damaged_invites_are_refused() {
        let text = invite().to_text().unwrap();
        for bad in [
            "".into(),
            "rustdht1".into(),
            text[1..].to_owned(),
            text[..text.len() - 1].to_owned(),
            text.to_ascii_uppercase(),
            format!("{text}a"),
            format!("{text}{}", "a".repeat(MAX_INVITE_BYTES)),
        ] {
            assert!(bad.parse::<Invite>().is_err(), "{bad}");
        }
        // One changed letter anywhere is either refused, or lies in the key or the addresses, which nothing signs.
        let mut accepted = 0;
        for at in PREFIX.len()..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            if let Ok(read) = String::from_utf8(bytes).unwrap().parse::<Invite>() {
                assert_eq!(read.charter, invite().charter);
                accepted += 1;
            }
        }
        assert!(accepted < 160, "{accepted}");
    }

    #[test]
    fn addresses_are_bounded() {
        let with = |addresses: Vec<String>| Invite { addresses, ..invite() }.to_text().unwrap_err().code;
        assert_eq!(with(vec!["/x".into(); 33]), Code::OutOfRange);
        assert_eq!(with(vec!["x".repeat(513)]), Code::OutOfRange);
        assert_eq!(with(vec![String::new()]), Code::OutOfRange);
        assert_eq!(with(vec!["x".repeat(512); 32]), Code::TooLarge);
    }
}
