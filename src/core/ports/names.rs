//! Mutable names: IPNS records and DNSLink.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use bytes::Bytes;
use cid::{Cid, multihash::Multihash};

use super::Fetch;

/// Multicodec `libp2p-key`.
const LIBP2P_KEY: u64 = 0x72;
/// Multihash codes of peer ids: the key itself, or its SHA-256.
const IDENTITY: u64 = 0x00;
const SHA2_256: u64 = 0x12;
/// Key type Ed25519 (1) and a length of 32, before the key (peer id specification, "Keys").
const ED25519_PROTOBUF: [u8; 4] = [0x08, 0x01, 0x12, 0x20];
const ROUTING_PREFIX: &[u8] = b"/ipns/";
/// Greatest IPNS record, in bytes (IPNS specification, "Record Size Limit").
pub const MAX_IPNS_RECORD_BYTES: usize = 10 * 1024;

/// An IPNS name: the multihash of a public key, as in a peer id. Written as a CIDv1 with codec `libp2p-key` in base36.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpnsName(Multihash<64>);

impl IpnsName {
    /// The multihash.
    #[must_use]
    pub const fn multihash(&self) -> &Multihash<64> {
        &self.0
    }

    /// As a CIDv1, codec `libp2p-key`.
    #[must_use]
    pub fn to_cid(&self) -> Cid {
        Cid::new_v1(LIBP2P_KEY, self.0)
    }

    /// A name from the multihash of a key; `None` when it is no hash of a key.
    #[must_use]
    pub fn from_multihash(hash: Multihash<64>) -> Option<Self> {
        matches!(hash.code(), IDENTITY | SHA2_256).then_some(Self(hash))
    }

    /// The name of an Ed25519 key: small enough to stand in its name, as libp2p's protobuf (peer id specification).
    #[must_use]
    pub fn of_ed25519(public: &[u8; 32]) -> Self {
        let mut digest = [0; 36];
        digest[..4].copy_from_slice(&ED25519_PROTOBUF);
        digest[4..].copy_from_slice(public);
        Self(Multihash::wrap(IDENTITY, &digest).unwrap_or_default())
    }

    /// Under which a DHT keeps the record: `/ipns/` and the bytes of the multihash (IPNS specification, "Routing record").
    #[must_use]
    pub fn routing_key(&self) -> Vec<u8> {
        [ROUTING_PREFIX, &self.0.to_bytes()].concat()
    }

    /// The name of a key of a DHT.
    #[must_use]
    pub fn from_routing_key(key: &[u8]) -> Option<Self> {
        let hash = Multihash::from_bytes(key.strip_prefix(ROUTING_PREFIX)?).ok()?;
        Self::from_multihash(hash)
    }

    /// Whether a text can be meant as a name of this kind, rather than a domain.
    #[must_use]
    pub fn is_like(text: &str) -> bool {
        text.parse::<Self>().is_ok()
    }
}

/// Why a text is no IPNS name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an IPNS name: a peer id (12D3..., Qm...) or a CID of a public key (k51..., bafz...)")]
pub struct NotAName;

impl FromStr for IpnsName {
    type Err = NotAName;

    /// A peer id in base58, or a CID with codec `libp2p-key` (or, as older tools write it, `dag-pb`) in any base.
    fn from_str(text: &str) -> Result<Self, NotAName> {
        if text.starts_with("Qm") || text.starts_with('1') {
            let bytes = bs58::decode(text).into_vec().map_err(|_| NotAName)?;
            let hash = Multihash::from_bytes(&bytes).map_err(|_| NotAName)?;
            return Self::from_multihash(hash).ok_or(NotAName);
        }
        let cid: Cid = text.parse().map_err(|_| NotAName)?;
        if !matches!(cid.codec(), LIBP2P_KEY | 0x70) {
            return Err(NotAName);
        }
        Self::from_multihash(*cid.hash()).ok_or(NotAName)
    }
}

impl fmt::Display for IpnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_cid().to_string_of_base(cid::multibase::Base::Base36Lower).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

/// A record that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRecord {
    /// The record as it came, protobuf, at most [`MAX_IPNS_RECORD_BYTES`].
    pub bytes: Bytes,
    /// What the name stands for: `/ipfs/...` or `/ipns/...`.
    pub value: String,
    /// How long it may be cached, in seconds.
    pub ttl_s: u64,
    /// Greater ones replace smaller ones.
    pub sequence: u64,
    /// Until when it is valid, in milliseconds since the epoch.
    pub until_ms: u64,
}

impl NameRecord {
    /// Whether it takes the place of `other` (IPNS specification, "Record Selection"): by sequence, then by validity.
    #[must_use]
    pub fn is_newer(&self, other: &Self) -> bool {
        (self.sequence, self.until_ms) > (other.sequence, other.until_ms)
    }
}

/// What a record is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameDraft {
    /// What the name stands for: `/ipfs/...` or `/ipns/...`.
    pub value: String,
    /// Greater ones replace smaller ones.
    pub sequence: u64,
    /// Until when it is valid, in milliseconds since the epoch.
    pub until_ms: u64,
    /// How long it may be cached, in seconds.
    pub ttl_s: u64,
}

/// The form of IPNS records: made and checked, kept elsewhere.
pub trait NameRecords: Send + Sync {
    /// Checks a record against its name: size, form, key, signature V2, and that its time is not over.
    ///
    /// # Errors
    /// [`NameError::Invalid`].
    fn check(&self, name: &IpnsName, record: Bytes, now_ms: u64) -> Result<NameRecord, NameError>;

    /// A record signed with the Ed25519 key of this seed; its name is [`IpnsName::of_ed25519`].
    ///
    /// # Errors
    /// [`NameError::Invalid`] for a value that makes it larger than [`MAX_IPNS_RECORD_BYTES`].
    fn sign(&self, seed: &[u8; 32], draft: &NameDraft) -> Result<NameRecord, NameError>;
}

/// Why a name stands for nothing.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// No valid record is known.
    #[error("no record of {0} was found")]
    NotFound(String),
    /// The record is not one, not signed by the name's key, or expired.
    #[error("not a valid IPNS record: {0}")]
    Invalid(String),
    /// A newer one is held.
    #[error("a record with sequence {held} is held")]
    Stale {
        /// Its sequence.
        held: u64,
    },
    /// The network or the disk failed.
    #[error("the name could not be looked up: {0}")]
    Unavailable(String),
}

/// IPNS records.
#[async_trait]
pub trait Names: Send + Sync {
    /// The newest valid record that is known here, and, when allowed, in the network.
    async fn resolve(&self, name: &IpnsName, fetch: Fetch) -> Result<NameRecord, NameError>;

    /// Verifies a record, keeps it durably and gives it to the network.
    async fn put(&self, name: &IpnsName, record: Bytes) -> Result<NameRecord, NameError>;
}

/// What a domain's DNSLink says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsLink {
    /// `/ipfs/...` or `/ipns/...`.
    pub target: String,
    /// How long it may be cached, in seconds; `None`: not said.
    pub ttl_s: Option<u64>,
}

/// DNSLink: TXT records of `_dnslink.<domain>` (DNSLink specification).
#[async_trait]
pub trait DnsLinks: Send + Sync {
    /// The link of a domain.
    async fn link(&self, domain: &str) -> Result<DnsLink, NameError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_keys_and_of_routing_tables() {
        // The key of RFC 8032, test 1, and its peer id.
        let mut public = [0; 32];
        hex::decode_to_slice("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", &mut public).unwrap();
        let name = IpnsName::of_ed25519(&public);
        assert_eq!(name.to_string(), "k51qzi5uqu5dljtg5upm7x7ugan9lql3ewyknv4r4mhhkwzn8n7cnbd1unfwgq");
        assert_eq!("12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV".parse(), Ok(name));
        assert_eq!(IpnsName::from_routing_key(&name.routing_key()), Some(name));
        assert_eq!(IpnsName::from_routing_key(b"/ipns/"), None);
        assert_eq!(IpnsName::from_routing_key(b"/pk/abc"), None);
    }

    #[test]
    fn a_greater_sequence_wins_and_then_the_longer_validity() {
        let record =
            |sequence, until_ms| NameRecord { bytes: Bytes::new(), value: String::new(), ttl_s: 0, sequence, until_ms };
        assert!(record(2, 1).is_newer(&record(1, 9)) && !record(1, 9).is_newer(&record(2, 1)));
        assert!(record(1, 9).is_newer(&record(1, 8)) && !record(1, 8).is_newer(&record(1, 8)));
    }
}
