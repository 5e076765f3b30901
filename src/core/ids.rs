//! Fixed-size identifiers: bytes inside, lower-case hex in text.

use std::{fmt, str::FromStr};

use cid::{Cid, multihash::Multihash};

use crate::{Code, Refusal};

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl From<[u8; $len]> for $name {
            fn from(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = std::array::TryFromSliceError;
            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                bytes.try_into().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), hex::encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = Refusal;
            fn from_str(text: &str) -> Result<Self, Refusal> {
                let mut bytes = [0; $len];
                let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
                match hex::decode_to_slice(text, &mut bytes) {
                    Ok(()) if lower => Ok(Self(bytes)),
                    _ => Err(Refusal::new(Code::Malformed, concat!("expected ", $len, " bytes in lower-case hex"))),
                }
            }
        }
    };
}

byte_id!(
    /// `BLAKE3("rustdht/commit/1" || header)`.
    CommitId, 32
);
byte_id!(
    /// `BLAKE3("rustdht/entry/1" || commit_id || u16 i)`: one operation of one commit.
    EntryId, 32
);
byte_id!(
    /// The network: `BLAKE3(charter)`.
    NetId, 32
);
byte_id!(
    /// An [`EntryId`] keyed with the network key, as reconciliation sees it: fingerprints over these cannot be forged
    /// from outside the network.
    RecordId, 32
);
byte_id!(
    /// `BLAKE3(r || DAG-CBOR of v)`: what a leaf holds in place of a value.
    ValueHash, 32
);
byte_id!(
    /// Eight random bytes that tell one process slot of an author from another.
    Session, 8
);
byte_id!(
    /// The 16 random bytes hashed before a value, so that a dropped value cannot be guessed from its leaf.
    Salt, 16
);

byte_id!(
    /// The BLAKE3-256 digest of a certificate's bytes without its signature. As a CID: v1, dag-cbor, blake3.
    CertificateId, 32
);
byte_id!(
    /// `BLAKE3("rustdht/endorsement/1" || commit id || certificate CID)`: what reconciliation compares of an endorsement.
    EndorsementId, 32
);

/// Multicodec of dag-cbor.
const DAG_CBOR: u64 = 0x71;
/// Multihash of BLAKE3-256.
const BLAKE3: u64 = 0x1e;

impl CertificateId {
    /// The certificate's CID, as headers and values name it.
    #[must_use]
    pub fn to_cid(self) -> Cid {
        let hash = Multihash::wrap(BLAKE3, &self.0);
        debug_assert!(hash.is_ok(), "a digest fits into a multihash");
        Cid::new_v1(DAG_CBOR, hash.unwrap_or_default())
    }

    /// The certificate that a CID names; `None` for a CID of anything else.
    #[must_use]
    pub fn from_cid(cid: &Cid) -> Option<Self> {
        let form = cid.version() == cid::Version::V1 && cid.codec() == DAG_CBOR && cid.hash().code() == BLAKE3;
        if form { cid.hash().digest().try_into().ok().map(Self) } else { None }
    }
}

impl EndorsementId {
    /// The id of the endorsement of `commit` under `certificate`.
    #[must_use]
    pub fn of(commit: &CommitId, certificate: &CertificateId) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"rustdht/endorsement/1");
        hasher.update(&commit.0);
        hasher.update(&certificate.to_cid().to_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// The id under which reconciliation compares it inside the network whose secret is `network_key`.
    #[must_use]
    pub fn record_id(&self, network_key: &[u8; 32]) -> RecordId {
        RecordId(*blake3::keyed_hash(network_key, &self.0).as_bytes())
    }
}

impl EntryId {
    /// The id of operation `index` of commit `commit`.
    #[must_use]
    pub fn of(commit: &CommitId, index: u16) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"rustdht/entry/1");
        hasher.update(&commit.0);
        hasher.update(&index.to_be_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// The id under which reconciliation compares this entry inside the network whose secret is `network_key`.
    #[must_use]
    pub fn record_id(&self, network_key: &[u8; 32]) -> RecordId {
        RecordId(*blake3::keyed_hash(network_key, &self.0).as_bytes())
    }
}

impl CommitId {
    /// The id of a commit whose signed header is `header`.
    #[must_use]
    pub fn of(header: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"rustdht/commit/1");
        hasher.update(header);
        Self(*hasher.finalize().as_bytes())
    }
}
