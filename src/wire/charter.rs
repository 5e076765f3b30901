//! The charter: what every member of a network agrees on, signed by the community key.

use bytes::Bytes;
use rustdht_core::{Code, Mode, NetId, Placement, PublicKey, Refusal, cbor};

use crate::{
    SigningKey,
    header::VERSION,
    key::check_key,
    limits::{MAX_CHARTER_BYTES, MAX_NETWORK_NAME_BYTES},
    refuse::{Within, malformed, refuse},
    signed::{self, Keys},
};

const LABEL: &str = "rustdht/charter/1";

/// Greatest number of partitions.
const MAX_PARTITIONS: u32 = 65_536;

/// The keys, in their canonical order.
const KEYS: [&str; 10] =
    ["v", "mode", "name", "nonce", "centres", "replicas", "community", "partitions", "horizon_days", "write_quorum"];

/// What a network is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charter {
    /// For people: 1 to 128 bytes of UTF-8 without control characters.
    pub name: String,
    /// Who may write public space.
    pub mode: Mode,
    /// The community key, which owns `~C`.
    pub community: PublicKey,
    /// Where data lives.
    pub placement: Placement,
    /// Random; tells networks of one name apart.
    pub nonce: [u8; 16],
}

/// A charter with its signature; the signature is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCharter {
    charter: Charter,
    bytes: Bytes,
    signature: [u8; 64],
}

impl Charter {
    /// The canonical DAG-CBOR.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Placement { partitions, replicas, write_quorum, centres, horizon_days } = self.placement;
        let mut out = Vec::with_capacity(256);
        cbor::map(&mut out, KEYS.len());
        cbor::text(&mut out, "v");
        cbor::uint(&mut out, VERSION);
        cbor::text(&mut out, "mode");
        cbor::text(&mut out, self.mode.as_str());
        cbor::text(&mut out, "name");
        cbor::text(&mut out, &self.name);
        cbor::text(&mut out, "nonce");
        cbor::bytes(&mut out, &self.nonce);
        cbor::text(&mut out, "centres");
        cbor::uint(&mut out, centres.into());
        cbor::text(&mut out, "replicas");
        cbor::uint(&mut out, replicas.into());
        cbor::text(&mut out, "community");
        cbor::bytes(&mut out, &self.community.0);
        cbor::text(&mut out, "partitions");
        cbor::uint(&mut out, partitions.into());
        cbor::text(&mut out, "horizon_days");
        cbor::uint(&mut out, horizon_days.into());
        cbor::text(&mut out, "write_quorum");
        cbor::uint(&mut out, write_quorum.into());
        out
    }

    /// Reads a charter.
    ///
    /// # Errors
    /// `malformed`; `bad_key` for an unusable community key; `out_of_range` for a name or number outside its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_CHARTER_BYTES {
            return refuse(Code::TooLarge, "a charter is at most 1 KiB");
        }
        let keys = Keys::read(bytes, &KEYS)?;
        let narrow = |name: &str| {
            let bad = |_| Refusal::new(Code::OutOfRange, "a number outside its bounds").within(name);
            keys.uint(name).and_then(|number| u32::try_from(number).map_err(bad))
        };
        let short = |name: &str| {
            let bad = |_| Refusal::new(Code::OutOfRange, "a number outside its bounds").within(name);
            keys.uint(name).and_then(|number| u16::try_from(number).map_err(bad))
        };
        let charter = Self {
            name: keys.text("name")?.to_owned(),
            mode: match keys.text("mode")? {
                "open" => Mode::Open,
                "members" => Mode::Members,
                _ => return Err(malformed("the mode is open or members").within("mode")),
            },
            community: PublicKey(keys.array("community")?),
            placement: Placement {
                partitions: narrow("partitions")?,
                replicas: short("replicas")?,
                write_quorum: short("write_quorum")?,
                centres: short("centres")?,
                horizon_days: narrow("horizon_days")?,
            },
            nonce: keys.array("nonce")?,
        };
        charter.validate()?;
        Ok(charter)
    }

    fn validate(&self) -> Result<(), Refusal> {
        let Placement { partitions, replicas, write_quorum, centres, horizon_days } = self.placement;
        let bounds = [
            ("name", (1..=MAX_NETWORK_NAME_BYTES).contains(&self.name.len()) && !self.name.contains(char::is_control)),
            ("partitions", partitions.is_power_of_two() && partitions <= MAX_PARTITIONS),
            ("replicas", replicas >= 1),
            ("write_quorum", (1..=replicas).contains(&write_quorum)),
            ("centres", (1..=replicas).contains(&centres) && u32::from(centres) <= partitions),
            ("horizon_days", horizon_days >= 1),
        ];
        if let Some((name, _)) = bounds.iter().find(|(_, holds)| !holds) {
            return refuse(Code::OutOfRange, "outside the bounds of a charter").within(name);
        }
        check_key(&self.community).within("community")
    }

    /// The network: `BLAKE3(charter bytes)`.
    #[must_use]
    pub fn net(&self) -> NetId {
        NetId(*blake3::hash(&self.encode()).as_bytes())
    }

    /// Signs with the community key.
    ///
    /// # Errors
    /// `bad_key` when `key` is another one; `out_of_range` for a name or number outside its bounds.
    pub fn sign(self, key: &SigningKey) -> Result<SignedCharter, Refusal> {
        if key.public() != self.community {
            return refuse(Code::BadKey, "the community key signs its charter");
        }
        self.validate()?;
        let bytes = Bytes::from(self.encode());
        let signature = signed::sign(key, LABEL, &bytes);
        Ok(SignedCharter { charter: self, bytes, signature })
    }
}

impl SignedCharter {
    /// Puts a charter and its signature together again and verifies them.
    ///
    /// # Errors
    /// As [`Charter::decode`]; `bad_signature`.
    pub fn open(bytes: Bytes, signature: [u8; 64]) -> Result<Self, Refusal> {
        let charter = Charter::decode(&bytes)?;
        signed::verify(&charter.community, LABEL, &bytes, &signature)?;
        Ok(Self { charter, bytes, signature })
    }

    /// DAG-CBOR `[charter bytes, b64]`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        signed::write_pair(&self.bytes, &self.signature)
    }

    /// Reads what [`SignedCharter::encode`] wrote, and verifies it.
    ///
    /// # Errors
    /// As [`SignedCharter::open`].
    pub fn decode(pair: &[u8]) -> Result<Self, Refusal> {
        let (bytes, signature) = signed::read_pair(pair)?;
        Self::open(bytes, signature)
    }

    /// The charter.
    #[must_use]
    pub const fn charter(&self) -> &Charter {
        &self.charter
    }

    /// The signed bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The community key's signature.
    #[must_use]
    pub const fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> NetId {
        NetId(*blake3::hash(&self.bytes).as_bytes())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn charter(key: &SigningKey) -> Charter {
        Charter {
            name: "a network".into(),
            mode: Mode::Open,
            community: key.public(),
            placement: Placement::default(),
            nonce: [9; 16],
        }
    }

    #[test]
    fn a_signed_charter_opens_and_names_its_network() {
        let key = SigningKey::from_seed(&[1; 32]);
        let charter = charter(&key);
        let signed = charter.clone().sign(&key).unwrap();
        assert_eq!(SignedCharter::decode(&signed.encode()), Ok(signed.clone()));
        assert_eq!((signed.net(), signed.charter()), (charter.net(), &charter));
        let members = Charter { mode: Mode::Members, ..charter.clone() };
        assert_eq!(Charter::decode(&members.encode()), Ok(members.clone()));
        assert_ne!(members.net(), charter.net());
    }

    #[test]
    fn forged_and_foreign_charters_are_refused() {
        let key = SigningKey::from_seed(&[1; 32]);
        let other = SigningKey::from_seed(&[2; 32]);
        assert_eq!(charter(&key).sign(&other).unwrap_err().code, Code::BadKey);
        let signed = charter(&key).sign(&key).unwrap();
        let mut signature = *signed.signature();
        signature[0] ^= 1;
        assert_eq!(SignedCharter::open(signed.bytes().clone(), signature).unwrap_err().code, Code::BadSignature);
        let weak = Charter { community: PublicKey([0; 32]), ..charter(&key) };
        assert_eq!(Charter::decode(&weak.encode()).unwrap_err().code, Code::BadKey);
    }

    #[test]
    fn bounds_hold() {
        let key = SigningKey::from_seed(&[1; 32]);
        let refused = |change: &dyn Fn(&mut Charter)| {
            let mut charter = charter(&key);
            change(&mut charter);
            assert_eq!(
                Charter::decode(&charter.encode()).unwrap_err().field,
                charter.clone().sign(&key).unwrap_err().field
            );
            let refusal = Charter::decode(&charter.encode()).unwrap_err();
            assert_eq!(refusal.code, Code::OutOfRange);
            refusal.field
        };
        assert_eq!(refused(&|c| c.name.clear()), "name");
        assert_eq!(refused(&|c| c.name = "x".repeat(129)), "name");
        assert_eq!(refused(&|c| c.name = "a\nb".into()), "name");
        assert_eq!(refused(&|c| c.placement.partitions = 1000), "partitions");
        assert_eq!(refused(&|c| c.placement.partitions = 131_072), "partitions");
        assert_eq!(refused(&|c| c.placement.replicas = 0), "replicas");
        assert_eq!(refused(&|c| c.placement.write_quorum = 6), "write_quorum");
        assert_eq!(refused(&|c| c.placement.centres = 0), "centres");
        assert_eq!(refused(&|c| c.placement.horizon_days = 0), "horizon_days");
        assert_eq!(Charter::decode(&[0; MAX_CHARTER_BYTES + 1]).unwrap_err().code, Code::TooLarge);
        assert_eq!(Charter::decode(&[0xa0]).unwrap_err().code, Code::Malformed);
    }
}
