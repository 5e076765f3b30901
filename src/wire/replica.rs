//! Replica records: how a replica makes itself known to the members of its network.

use bytes::Bytes;
use rustdht_core::{Code, NetId, PublicKey, Refusal, Stamp, cbor};

use crate::{
    SigningKey,
    header::VERSION,
    limits::{MAX_REPLICA_ID_BYTES, MAX_REPLICA_RECORD_BYTES},
    refuse::{Within, malformed, refuse},
    signed::{self, Keys},
};

const LABEL: &str = "rustdht/replica/1";

/// The keys, in their canonical order.
const KEYS: [&str; 6] = ["v", "key", "net", "role", "stamp", "replica"];

/// What a replica does for its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Keeps every partition.
    Full,
    /// Keeps the partitions that it owns.
    Partial,
    /// Never an owner.
    Client,
}

impl Role {
    /// The text of the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::Client => "client",
        }
    }
}

/// What a replica says of itself. Of two records of one replica the one with the greater stamp holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaRecord {
    /// The network.
    pub net: NetId,
    /// The replica: the text of the PeerId of `key`.
    pub replica: String,
    /// The Ed25519 key of the PeerId; it signs the record.
    pub key: PublicKey,
    /// What it does.
    pub role: Role,
    /// When it said so.
    pub stamp: Stamp,
}

/// A replica record with its signature; the signature is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedReplica {
    record: ReplicaRecord,
    bytes: Bytes,
    signature: [u8; 64],
}

/// The text of the PeerId of an Ed25519 key (libp2p peer-ids specification): base58btc of the identity multihash of the
/// key's protobuf, which is too short to be hashed.
#[must_use]
pub fn peer_id_text(key: &PublicKey) -> String {
    let mut bytes = [0; 38];
    // Multihash identity, 36 bytes; protobuf field 1 = Ed25519, field 2 = 32 bytes.
    bytes[..6].copy_from_slice(&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20]);
    bytes[6..].copy_from_slice(&key.0);
    bs58::encode(bytes).into_string()
}

impl ReplicaRecord {
    /// The canonical DAG-CBOR.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        cbor::map(&mut out, KEYS.len());
        cbor::text(&mut out, "v");
        cbor::uint(&mut out, VERSION);
        cbor::text(&mut out, "key");
        cbor::bytes(&mut out, &self.key.0);
        cbor::text(&mut out, "net");
        cbor::bytes(&mut out, &self.net.0);
        cbor::text(&mut out, "role");
        cbor::text(&mut out, self.role.as_str());
        cbor::text(&mut out, "stamp");
        cbor::uint(&mut out, self.stamp.0);
        cbor::text(&mut out, "replica");
        cbor::text(&mut out, &self.replica);
        out
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `malformed`; `too_large` above 1 KiB; `out_of_range` for a replica id over 128 bytes; `bad_key` when the replica
    /// is not the PeerId of the key.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_REPLICA_RECORD_BYTES {
            return refuse(Code::TooLarge, "a replica record is at most 1 KiB");
        }
        let keys = Keys::read(bytes, &KEYS)?;
        let record = Self {
            net: NetId(keys.array("net")?),
            replica: keys.text("replica")?.to_owned(),
            key: PublicKey(keys.array("key")?),
            role: match keys.text("role")? {
                "full" => Role::Full,
                "partial" => Role::Partial,
                "client" => Role::Client,
                _ => return Err(malformed("the role is full, partial or client").within("role")),
            },
            stamp: Stamp(keys.uint("stamp")?),
        };
        record.validate()?;
        Ok(record)
    }

    fn validate(&self) -> Result<(), Refusal> {
        if self.replica.is_empty() || self.replica.len() > MAX_REPLICA_ID_BYTES {
            return refuse(Code::OutOfRange, "a replica id has 1 to 128 bytes").within("replica");
        }
        if self.replica != peer_id_text(&self.key) {
            return refuse(Code::BadKey, "the replica is not the PeerId of the key").within("replica");
        }
        Ok(())
    }

    /// Signs with the key of the PeerId.
    ///
    /// # Errors
    /// `bad_key` when `key` is another one.
    pub fn sign(self, key: &SigningKey) -> Result<SignedReplica, Refusal> {
        if key.public() != self.key {
            return refuse(Code::BadKey, "a replica signs its own record");
        }
        self.validate()?;
        let bytes = Bytes::from(self.encode());
        let signature = signed::sign(key, LABEL, &bytes);
        Ok(SignedReplica { record: self, bytes, signature })
    }
}

impl SignedReplica {
    /// DAG-CBOR `[record bytes, b64]`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        signed::write_pair(&self.bytes, &self.signature)
    }

    /// Reads what [`SignedReplica::encode`] wrote, and verifies it.
    ///
    /// # Errors
    /// As [`ReplicaRecord::decode`]; `wrong_network`; `bad_signature`.
    pub fn decode(pair: &[u8], net: &NetId) -> Result<Self, Refusal> {
        let (bytes, signature) = signed::read_pair(pair)?;
        let record = ReplicaRecord::decode(&bytes)?;
        if record.net != *net {
            return refuse(Code::WrongNetwork, "the replica belongs to another network").within("net");
        }
        signed::verify(&record.key, LABEL, &bytes, &signature)?;
        Ok(Self { record, bytes, signature })
    }

    /// The record.
    #[must_use]
    pub const fn record(&self) -> &ReplicaRecord {
        &self.record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &SigningKey) -> ReplicaRecord {
        ReplicaRecord {
            net: NetId([3; 32]),
            replica: peer_id_text(&key.public()),
            key: key.public(),
            role: Role::Full,
            stamp: Stamp(7),
        }
    }

    #[test]
    fn a_signed_record_opens_in_its_network_only() {
        let key = SigningKey::from_seed(&[1; 32]);
        for role in [Role::Full, Role::Partial, Role::Client] {
            let signed = ReplicaRecord { role, ..record(&key) }.sign(&key).unwrap();
            assert_eq!(SignedReplica::decode(&signed.encode(), &NetId([3; 32])), Ok(signed.clone()));
            let other = SignedReplica::decode(&signed.encode(), &NetId([4; 32]));
            assert_eq!(other.unwrap_err().code, Code::WrongNetwork);
        }
    }

    #[test]
    fn nobody_speaks_for_another_replica() {
        let (key, thief) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        assert_eq!(record(&key).sign(&thief).unwrap_err().code, Code::BadKey);
        let stolen = ReplicaRecord { key: thief.public(), ..record(&key) };
        assert_eq!(stolen.clone().sign(&thief).unwrap_err().code, Code::BadKey);
        assert_eq!(ReplicaRecord::decode(&stolen.encode()).unwrap_err().code, Code::BadKey);
        let mut pair = record(&key).sign(&key).unwrap().encode();
        *pair.last_mut().unwrap() ^= 1;
        assert_eq!(SignedReplica::decode(&pair, &NetId([3; 32])).unwrap_err().code, Code::BadSignature);
        let long = ReplicaRecord { replica: "x".repeat(129), ..record(&key) };
        assert_eq!(ReplicaRecord::decode(&long.encode()).unwrap_err().code, Code::OutOfRange);
        assert_eq!(ReplicaRecord::decode(&[0; 1025]).unwrap_err().code, Code::TooLarge);
    }

    #[test]
    fn peer_ids_begin_as_ed25519_ones_do() {
        assert!(peer_id_text(&SigningKey::from_seed(&[1; 32]).public()).starts_with("12D3KooW"));
    }
}
